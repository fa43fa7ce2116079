use super::*;

fn file(batches: &[(u64, usize)]) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    crate::schema::create(&connection).unwrap();
    let mut slot = 0;
    for (seq, length) in batches {
        for part in parts(*seq, &vec![*seq as u8; *length]) {
            slot += 1;
            connection.execute("INSERT INTO journal VALUES(?1, ?2)", (slot, part)).unwrap();
        }
    }
    connection
}

/// Numbers and lengths of the batches read, slots in use, and complaints.
fn read_all(connection: &Connection, first: u64) -> (Vec<(u64, usize)>, usize, Vec<String>) {
    let mut complaints = Vec::new();
    let (batches, slots) = read(connection, first, &mut |what| complaints.push(what)).unwrap();
    for batch in &batches {
        assert!(batch.bytes.iter().all(|byte| *byte == batch.seq as u8));
    }
    (batches.iter().map(|batch| (batch.seq, batch.bytes.len())).collect(), slots.in_use(), complaints)
}

#[test]
fn a_batch_of_any_length_comes_back() {
    let batches = [(5, 1), (6, PART_BYTES), (7, PART_BYTES + 1), (8, 3 * PART_BYTES), (9, 100)];
    let (read, in_use, complaints) = read_all(&file(&batches), 5);
    assert_eq!((read.as_slice(), in_use), (batches.as_slice(), 8));
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn folded_batches_leave_free_slots() {
    let (read, in_use, complaints) = read_all(&file(&[(9, 9000), (7, 10), (8, 5000)]), 8);
    assert_eq!((read.as_slice(), in_use), ([(8, 5000), (9, 9000)].as_slice(), 5));
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn what_is_missing_or_torn_is_told() {
    for fault in [
        "DELETE FROM journal WHERE slot = 1",
        "DELETE FROM journal WHERE slot = 2",
        "DELETE FROM journal WHERE slot = 3",
        "DELETE FROM journal WHERE slot = 5",
        "UPDATE journal SET part = zeroblob(4056) WHERE slot = 4",
        "UPDATE journal SET part = x'01' WHERE slot = 4",
    ] {
        let connection = file(&[(1, 10), (2, 9000), (3, 5000)]);
        connection.execute_batch(fault).unwrap();
        // The last slot is the end of a batch; without it the batch before it is whole all the same.
        assert!(!read_all(&connection, 1).2.is_empty(), "{fault}");
    }
}

#[test]
fn slots_are_used_again_in_order() {
    let mut slots = Slots::default();
    assert_eq!((slots.next(0), slots.next(1)), ((1, true), (2, true)));
    slots.take(1, 2);
    slots.take(2, 1);
    assert_eq!(slots.in_use(), 3);
    slots.free_before(2);
    assert_eq!((slots.next(0), slots.next(1), slots.next(2)), ((1, false), (2, false), (4, true)));
    slots.take(3, 3);
    assert_eq!((slots.in_use(), slots.next(0)), (4, (5, true)));
}

#[test]
fn a_slot_is_one_page() {
    let connection = file(&[(1, 100 * PART_BYTES)]);
    let pages = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pages("page_size"), 4096);
    // One leaf a slot, one page above them, and those of the other tables.
    let others = 1 + 5 + 2;
    assert!(pages("page_count") <= 100 + others, "{}", pages("page_count"));
}

/// A number that has no next one must not stop the reader.
#[test]
fn the_highest_numbers_are_refused() {
    for (at, says) in
        [(0..8, "says part 0 of 1 of batch 18446744073709551615"), (8..12, "says part 4294967295 of 1")]
    {
        let mut slot = parts(1, &[7; 10]).next().expect("one part");
        slot[at].fill(0xff);
        assert!(parse(&slot).is_err_and(|why| why.starts_with(says)));
    }
}
