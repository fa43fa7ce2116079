use larder_engine::Expiry;

use super::*;

fn item(value: &'static [u8]) -> Option<Held> {
    Some(Held {
        value: value.into(),
        cas: 1,
        flags: 0,
        expiry: Expiry::NEVER,
        stale: false,
        token_taken: false,
        fetched: false,
        last_access: None,
    })
}

fn write(name: &'static [u8], value: &'static [u8], tick: u64) -> Change<'static> {
    Change { name, key: None, prefix_length: 0, item: item(value), version: 1, written: Timestamp(1), tick }
}

/// An entry that nothing counts.
pub(super) fn entry(name: &[u8]) -> Entry {
    Entry {
        name: name.into(),
        item: item(b"value"),
        key: None,
        prefix_length: 0,
        version: 1,
        written: Timestamp(1),
        tick: 0,
        changed_tick: 0,
        counted: false,
        state: State::Ready,
    }
}

fn take(shard: &mut Shard) -> Vec<Sent> {
    let mut batch = Vec::new();
    shard.take(usize::MAX, u64::MAX, &mut batch);
    batch
}

fn values(batch: &[Sent]) -> Vec<&[u8]> {
    batch.iter().map(|sent| sent.item.as_ref().map_or(&b"gone"[..], |item| &item.value)).collect()
}

#[test]
fn writes_go_out_in_order_and_leave_when_done() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    shard.put(write(b"b", b"2", 6), &room);
    shard.put(write(b"a", b"3", 7), &room);
    assert_eq!(room.bytes(), entry_bytes(b"a", 1) + entry_bytes(b"b", 1));
    let batch = take(&mut shard);
    assert_eq!(values(&batch), [b"3", b"2"]);
    assert_eq!(shard.ages.oldest(), Some(5));
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!(shard.ages.oldest(), Some(6));
    shard.finish(&batch[1].name, Fate::Done, &room);
    assert_eq!((room.bytes(), shard.ages.oldest(), shard.entries.len()), (0, None, 0));
}

#[test]
fn a_write_that_came_meanwhile_goes_out_next_with_an_age_of_its_own() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    let batch = take(&mut shard);
    shard.put(write(b"a", b"long", 9), &room);
    assert!(take(&mut shard).is_empty());
    assert_eq!(shard.ages.oldest(), Some(5));
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!(shard.ages.oldest(), Some(9));
    assert_eq!(room.bytes(), entry_bytes(b"a", 4));
    assert_eq!(values(&take(&mut shard)), [b"long"]);
}

#[test]
fn a_failed_write_goes_out_again_as_old_as_it_is() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    let batch = take(&mut shard);
    shard.finish(&batch[0].name, Fate::Again, &room);
    assert_eq!(shard.ages.oldest(), Some(5));
    assert_eq!(values(&take(&mut shard)), [b"1"]);
}

#[test]
fn a_failed_write_that_was_changed_meanwhile_stays_as_old_as_it_is() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    for tick in 6..20 {
        let batch = take(&mut shard);
        shard.put(write(b"a", b"2", tick), &room);
        shard.finish(&batch[0].name, Fate::Again, &room);
        assert_eq!(shard.ages.oldest(), Some(5));
    }
    let batch = take(&mut shard);
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!((shard.ages.oldest(), room.bytes()), (None, 0));
}

#[test]
fn the_age_of_what_came_meanwhile_is_that_of_its_first_write() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    let batch = take(&mut shard);
    (8..20).for_each(|tick| shard.put(write(b"a", b"2", tick), &room));
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!(shard.ages.oldest(), Some(8));
}

#[test]
fn a_refused_write_waits_without_an_age() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    let batch = take(&mut shard);
    shard.finish(&batch[0].name, Fate::Refused, &room);
    assert!(take(&mut shard).is_empty());
    assert_eq!((shard.ages.oldest(), room.bytes()), (None, entry_bytes(b"a", 1)));
    shard.retry(&batch[0].name);
    let batch = take(&mut shard);
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!(room.bytes(), 0);
}

#[test]
fn a_flush_that_fell_due_turns_a_write_into_a_removal() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a", b"1", 5), &room);
    let batch = take(&mut shard);
    shard.finish(&batch[0].name, Fate::Flushed, &room);
    let batch = take(&mut shard);
    assert_eq!(values(&batch), [b"gone"]);
    shard.finish(&batch[0].name, Fate::Done, &room);
    assert_eq!(room.bytes(), 0);
}

#[test]
fn a_flush_drops_its_scope_only() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    shard.put(write(b"a:1", b"1", 5), &room);
    shard.put(write(b"b:1", b"1", 6), &room);
    shard.drop_scope(Scope::Prefix(b"a:"), &room);
    assert_eq!(room.bytes(), entry_bytes(b"b:1", 1));
    // A key that is written again is sent once.
    shard.put(write(b"a:1", b"2", 7), &room);
    let mut batch = take(&mut shard);
    batch.sort_by(|one, other| one.name[..].cmp(&other.name));
    assert_eq!(values(&batch), [b"2", b"1"]);
}

#[test]
fn a_watch_hears_of_writes_and_flushes_of_its_key() {
    let (mut shard, room) = (Shard::default(), Room::new(1000));
    let (first, second) = (shard.watch(b"a"), shard.watch(b"a"));
    assert!(!shard.unwatch(b"a", first));
    shard.put(write(b"b", b"1", 5), &room);
    assert!(!shard.unwatch(b"a", second));
    let before = shard.watch(b"a");
    shard.put(write(b"a", b"1", 5), &room);
    let after = shard.watch(b"a");
    assert!(!shard.unwatch(b"a", after));
    assert!(shard.unwatch(b"a", before));
    let watch = shard.watch(b"a");
    shard.drop_scope(Scope::All, &room);
    assert!(shard.unwatch(b"a", watch));
    assert!(shard.watches.is_empty());
}

#[test]
fn ages_bear_late_ticks_and_long_outages() {
    let mut ages = Ages::default();
    let first = ages.add(10);
    let late = ages.add(7);
    let far = ages.add(10 + 5 * TICKS_MAX);
    assert_eq!((first, late, far), (10, 10, 10 + TICKS_MAX - 1));
    ages.remove(first);
    assert_eq!(ages.oldest(), Some(10));
    ages.remove(late);
    assert_eq!(ages.oldest(), Some(far));
    ages.remove(far);
    assert_eq!(ages.oldest(), None);
}

#[test]
fn an_entry_is_a_few_cache_lines() {
    assert!(size_of::<Entry>() <= 320, "{}", size_of::<Entry>());
}
