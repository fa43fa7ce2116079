use super::*;

#[test]
fn a_read_is_refused_after_a_write() {
    let table = LeaseTable::new(100);
    let read = table.lease(b"k").unwrap();
    let write = table.lease(b"k").unwrap();
    assert!(table.admit(&write, 7).is_some());
    assert!(table.admit(&read, 0).is_none());
    let later = table.lease(b"k").unwrap();
    assert!(table.admit(&later, 0).is_some());
}

#[test]
fn a_read_is_refused_after_an_invalidation() {
    let table = LeaseTable::new(100);
    let read = table.lease(b"k").unwrap();
    drop(table.revoke(b"k"));
    assert!(table.admit(&read, 0).is_none());
}

#[test]
fn a_write_under_way_is_refused_after_an_invalidation() {
    let table = LeaseTable::new(100);
    let write = table.lease(b"k").unwrap();
    drop(table.revoke(b"k"));
    assert!(table.admit(&write, 5).is_none());
}

#[test]
fn writes_out_of_order_leave_the_newest() {
    let table = LeaseTable::new(100);
    let first = table.lease(b"k").unwrap();
    let second = table.lease(b"k").unwrap();
    assert!(table.admit(&second, 2).is_some());
    assert!(table.admit(&first, 1).is_none());
}

#[test]
fn a_write_that_came_late_still_refuses_a_read() {
    let table = LeaseTable::new(100);
    let late = table.lease(b"k").unwrap();
    let newer = table.lease(b"k").unwrap();
    assert!(table.admit(&newer, 2).is_some());
    let read = table.lease(b"k").unwrap();
    assert!(table.admit(&late, 1).is_none());
    assert!(table.admit(&read, 0).is_none());
}

#[test]
fn the_table_is_bounded_and_empties() {
    let table = LeaseTable::new(SHARDS);
    let leases: Vec<_> = (0..1000u32).map(|n| table.lease(&n.to_be_bytes())).collect();
    assert!(leases.iter().any(Option::is_none));
    assert!(table.len() <= SHARDS);
    drop(leases);
    assert!(table.is_empty());
}

#[test]
fn a_flush_refuses_reads_and_writes_under_way() {
    let table = LeaseTable::new(100);
    let read = table.lease(b"a").unwrap();
    let write = table.lease(b"b").unwrap();
    table.revoke_all();
    assert!(table.admit(&read, 0).is_none());
    assert!(table.admit(&write, 9).is_none());
}
