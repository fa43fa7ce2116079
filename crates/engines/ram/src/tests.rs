use std::cell::Cell;

use bytes::Bytes;
use larder_engine::item::{Item, Value};
use larder_engine::reply::KeepItem;
use larder_engine::{
    Arithmetic, Cache, Connection, Context, Delete, Direction, Engine, ErrorKind, Expiry, Fill, FillContent,
    Found, Get, Initial, Key, Lookup, Payload, Reply, ScanOrder, Scope, Services, Store, Timestamp, Vivify,
    Worker, Writer,
};

use crate::{RamEngine, RamOptions};

mod bound;
mod churn;
mod large;
mod many;
mod model;
mod observed;
mod policy;

/// An engine with a connection, a worker and a clock of the test's own.
pub(super) struct Bench {
    pub(super) engine: std::sync::Arc<RamEngine>,
    connection: std::sync::Arc<Connection>,
    worker: Worker,
    now: Cell<u32>,
}

impl Bench {
    pub(super) fn new(options: RamOptions) -> Self {
        Bench::over(std::sync::Arc::new(RamEngine::new(Services::system(), options)))
    }

    pub(super) fn of(memory_bytes: u64) -> Self {
        Bench::new(RamOptions::new(memory_bytes))
    }

    pub(super) fn over(engine: std::sync::Arc<RamEngine>) -> Self {
        let worker = Worker::new(0, |_| unreachable!("the engine leaves no work behind"));
        Bench { engine, connection: Connection::new(1, "test".into(), -1), worker, now: Cell::new(1000) }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            connection: &self.connection,
            worker: &self.worker,
            now: Timestamp(self.now.get()),
            deadline: None,
        }
    }

    pub(super) fn pass(&self, seconds: u32) {
        self.now.set(self.now.get() + seconds);
    }

    pub(super) fn in_seconds(&self, seconds: u32) -> Timestamp {
        Timestamp(self.now.get() + seconds)
    }

    pub(super) fn set(&self, key: &[u8], value: &[u8]) -> Result<u64, ErrorKind> {
        self.set_until(key, value, Expiry::NEVER)
    }

    pub(super) fn set_until(&self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<u64, ErrorKind> {
        let store = Store::set(Key::new(key), 0, expiry, Payload::Borrowed(value));
        now(self.engine.store(&self.context(), store)).map(|stored| stored.cas)
    }

    pub(super) fn get_with(&self, key: &[u8], get: &Get) -> Option<Item> {
        let mut sink = KeepItem(None);
        let found = now(self.engine.get(&self.context(), Key::new(key), get, &mut sink)).unwrap();
        assert_eq!(found, sink.0.as_ref().map(|item| item.found), "the sink hears what the caller is told");
        sink.0
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.get_with(key, &Get::plain()).map(|item| item.value.whole().to_vec())
    }

    pub(super) fn delete(&self, key: &[u8]) -> Result<(), ErrorKind> {
        now(self.engine.delete(&self.context(), Key::new(key), &Delete::default())).map(|_| ())
    }

    pub(super) fn increment(&self, key: &[u8], delta: u64) -> Result<u64, ErrorKind> {
        let arithmetic = Arithmetic {
            direction: Direction::Increment,
            delta,
            initial: Some(Initial { value: delta, expiry: Expiry::NEVER }),
            compare: None,
            new_cas: None,
            expiry: None,
        };
        now(self.engine.arithmetic(&self.context(), Key::new(key), &arithmetic)).map(|number| number.value)
    }

    pub(super) fn flush(&self, scope: Scope<'_>, when: Option<Timestamp>) {
        now(self.engine.flush(&self.context(), scope, when)).unwrap();
    }

    pub(super) fn look(&self, key: &[u8], get: &Get) -> Lookup<Found> {
        now(self.engine.lookup(&self.context(), Key::new(key), get, &mut KeepItem(None))).unwrap()
    }

    /// Fills under a lease taken before `between` runs.
    pub(super) fn fill(&self, key: &[u8], fill: Fill, between: impl FnOnce()) -> bool {
        let lease = self.engine.lease(Key::new(key)).unwrap();
        between();
        now(self.engine.fill(&self.context(), Key::new(key), &lease, fill)).unwrap()
    }

    pub(super) fn scan(&self, bytes_max: usize) -> Vec<(Box<[u8]>, Item)> {
        let mut items = Vec::new();
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let page =
                now(self.engine.scan(&self.context(), ScanOrder::Any, cursor.as_deref(), bytes_max)).unwrap();
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return items;
            }
        }
    }
}

/// This engine answers at once.
pub(super) fn now<T, P>(reply: Reply<T, P>) -> Result<T, ErrorKind> {
    match reply {
        Reply::Ready(answer) => answer.map_err(|error| error.kind()),
        Reply::Pending(_) => panic!("an answer from memory is ready"),
    }
}

fn item(value: &'static [u8], cas: u64) -> Fill {
    let found = Found { flags: 9, cas, ..Found::default() };
    let item = Item { found, value: Value::Whole(Bytes::from_static(value)) };
    Fill { content: FillContent::Item(item), version: 0, fresh_until: None }
}

fn absent(until: Timestamp) -> Fill {
    Fill { content: FillContent::Absent, version: 0, fresh_until: Some(until) }
}

const MIB: u64 = 1024 * 1024;

#[test]
fn an_item_expires_at_its_second() {
    let bench = Bench::of(MIB);
    bench.set_until(b"k", b"v", Expiry::at(1010)).unwrap();
    bench.pass(9);
    assert_eq!(bench.get(b"k").unwrap(), b"v");
    bench.pass(1);
    assert_eq!(bench.get(b"k"), None);
    let held = bench.engine.memory_use();
    assert_eq!((held.items, held.reclaimed, held.expired_unfetched), (0, 1, 0));
}

#[test]
fn access_is_told_as_it_was_before() {
    let bench = Bench::of(MIB);
    bench.set(b"k", b"v").unwrap();
    let quiet = Get { bump: false, ..Get::plain() };
    assert!(!bench.get_with(b"k", &quiet).unwrap().found.fetched);
    bench.pass(5);
    let first = bench.get_with(b"k", &Get::plain()).unwrap().found;
    assert_eq!((first.fetched, first.last_access), (false, Some(Timestamp(1000))));
    let second = bench.get_with(b"k", &Get::plain()).unwrap().found;
    assert_eq!((second.fetched, second.last_access), (true, Some(Timestamp(1005))));
}

#[test]
fn a_miss_can_create_an_item_and_win_it() {
    let bench = Bench::of(MIB);
    let vivify = Some(Vivify { expiry: Expiry::at(1030), new_cas: None });
    let get = Get { vivify, tokens: true, ..Get::plain() };
    let won = bench.get_with(b"k", &get).unwrap();
    assert_eq!((won.found.token, won.value.len()), (larder_engine::Token::Won, 0));
    assert_eq!(bench.get_with(b"k", &get).unwrap().found.token, larder_engine::Token::Taken);
    bench.pass(30);
    assert_eq!(bench.get(b"k"), None);
}

#[test]
fn a_touch_moves_the_expiry_and_keeps_the_cas() {
    let bench = Bench::of(MIB);
    let cas = bench.set_until(b"k", b"v", Expiry::at(1010)).unwrap();
    let touched = now(bench.engine.touch(&bench.context(), Key::new(b"k"), Expiry::at(1100))).unwrap();
    assert_eq!(touched.cas, cas);
    bench.pass(50);
    assert_eq!(bench.get(b"k").unwrap(), b"v");
    assert_eq!(
        now(bench.engine.touch(&bench.context(), Key::new(b"x"), Expiry::NEVER)),
        Err(ErrorKind::NotFound)
    );
}

#[test]
fn large_values_are_shared_and_reserved_ones_taken_over() {
    let bench = Bench::of(16 * MIB);
    let mut writer =
        now(bench.engine.reserve(&bench.context(), Key::new(b"k"), 100_000, 0, Expiry::NEVER)).unwrap();
    writer.buffer().fill(7);
    let address = writer.as_slice().as_ptr();
    let store = Store::set(Key::new(b"k"), 0, Expiry::NEVER, Payload::Reserved(writer));
    now(bench.engine.store(&bench.context(), store)).unwrap();
    let read = bench.get_with(b"k", &Get::plain()).unwrap().value.whole();
    assert_eq!(read.as_ptr(), address, "neither storing nor reading copied");
    bench.set(b"k", b"small").unwrap();
    assert!(read.iter().all(|byte| *byte == 7), "a reader keeps what it was given");
    assert_eq!(bench.get(b"k").unwrap(), b"small");
    let small = Store::set(Key::new(b"s"), 0, Expiry::NEVER, Payload::Reserved(Writer::heap(10)));
    now(bench.engine.store(&bench.context(), small)).unwrap();
    assert_eq!(bench.get(b"s").unwrap(), [0; 10]);
}

#[test]
fn a_flush_takes_what_was_there_and_spares_what_comes() {
    let bench = Bench::of(MIB);
    for key in [b"a:1", b"a:2", b"b:1"] {
        bench.set(key, b"old").unwrap();
    }
    bench.flush(Scope::Prefix(b"a:"), None);
    assert_eq!((bench.get(b"a:1"), bench.get(b"b:1")), (None, Some(b"old".to_vec())));
    bench.set(b"a:1", b"new").unwrap();
    assert_eq!((bench.get(b"a:1"), bench.get(b"a:2")), (Some(b"new".to_vec()), None));
    bench.flush(Scope::All, None);
    assert_eq!((bench.get(b"a:1"), bench.get(b"b:1")), (None, None));
    assert!(bench.scan(1000).is_empty());
}

#[test]
fn forgetting_a_prefix_spares_longer_ones_and_refuses_copies_on_their_way() {
    let bench = Bench::of(MIB);
    for key in [&b"user:1"[..], b"user:kept:1", b"other"] {
        bench.set(key, b"old").unwrap();
    }
    assert!(!bench.fill(b"user:2", item(b"copy", 1), || bench.engine.forget(b"user:", &[b"user:kept:"])));
    assert_eq!((bench.get(b"user:1"), bench.get(b"user:2")), (None, None));
    assert!(bench.get(b"user:kept:1").is_some() && bench.get(b"other").is_some());
    bench.set(b"user:1", b"new").unwrap();
    bench.engine.forget(b"", &[b"other"]);
    assert_eq!((bench.get(b"user:1"), bench.get(b"user:kept:1")), (None, None));
    assert!(bench.get(b"other").is_some());
}

#[test]
fn a_flush_to_come_is_done_at_its_second() {
    let bench = Bench::of(MIB);
    bench.set(b"a", b"old").unwrap();
    bench.flush(Scope::All, Some(bench.in_seconds(10)));
    bench.pass(9);
    bench.set(b"b", b"old").unwrap();
    assert!(bench.get(b"a").is_some());
    bench.pass(1);
    bench.set(b"c", b"new").unwrap();
    assert_eq!((bench.get(b"a"), bench.get(b"b")), (None, None));
    assert!(bench.get(b"c").is_some());
}

#[test]
fn a_later_flush_replaces_one_that_waits() {
    let bench = Bench::of(MIB);
    bench.flush(Scope::All, Some(bench.in_seconds(10)));
    bench.flush(Scope::All, Some(bench.in_seconds(20)));
    bench.flush(Scope::Prefix(b"a"), Some(bench.in_seconds(15)));
    bench.set(b"a", b"v").unwrap();
    bench.set(b"b", b"v").unwrap();
    bench.pass(10);
    assert!(bench.get(b"a").is_some());
    bench.pass(5);
    assert_eq!((bench.get(b"a"), bench.get(b"b")), (None, Some(b"v".to_vec())));
    bench.flush(Scope::All, None);
    bench.set(b"b", b"v").unwrap();
    bench.pass(100);
    assert!(bench.get(b"b").is_some(), "a flush at once replaces the one that waited");
}

#[test]
fn a_flush_of_the_past_spares_what_was_written_since() {
    let bench = Bench::of(MIB);
    bench.set(b"a", b"v").unwrap();
    bench.pass(10);
    bench.set(b"b", b"v").unwrap();
    bench.flush(Scope::All, Some(Timestamp(1005)));
    assert_eq!((bench.get(b"a"), bench.get(b"b")), (None, Some(b"v".to_vec())));
}

#[test]
fn many_prefixes_may_be_flushed() {
    let bench = Bench::of(4 * MIB);
    for n in 0..300u32 {
        bench.set(format!("{n}:x").as_bytes(), b"v").unwrap();
    }
    for n in 0..200u32 {
        bench.flush(Scope::Prefix(format!("{n}:").as_bytes()), None);
    }
    let left: Vec<u32> = (0..300).filter(|n| bench.get(format!("{n}:x").as_bytes()).is_some()).collect();
    assert_eq!(left, (200..300).collect::<Vec<_>>());
}

#[test]
fn flushes_without_end_take_nothing_that_came_after() {
    let bench = Bench::of(MIB);
    for round in 0..1000u32 {
        bench.set(b"stays", b"v").unwrap();
        bench.set(b"old:x", b"v").unwrap();
        bench.flush(Scope::Prefix(b"old:"), None);
        assert_eq!((bench.get(b"old:x"), bench.get(b"stays").is_some()), (None, true), "{round}");
        if round % 3 == 0 {
            bench.flush(Scope::All, None);
            assert_eq!(bench.get(b"stays"), None);
        }
    }
    bench.set(b"untouched", b"v").unwrap();
    for _ in 0..700 {
        bench.flush(Scope::Prefix(b"other:"), None);
    }
    assert!(bench.get(b"untouched").is_some());
    bench.flush(Scope::All, None);
    for _ in 0..700 {
        bench.flush(Scope::Prefix(b"other:"), None);
    }
    assert_eq!(bench.get(b"untouched"), None, "what was flushed stays so");
}

#[test]
fn any_number_of_flushes_may_come_due_at_once() {
    for prefixes in [200u32, 255, 256, 257, 600] {
        let bench = Bench::of(4 * MIB);
        bench.set(b"spared", b"v").unwrap();
        for n in 0..prefixes {
            bench.set(format!("{n}:x").as_bytes(), b"v").unwrap();
            bench.flush(Scope::Prefix(format!("{n}:").as_bytes()), Some(bench.in_seconds(10)));
        }
        bench.pass(10);
        bench.set(b"0:new", b"v").unwrap();
        let left = (0..prefixes).filter(|n| bench.get(format!("{n}:x").as_bytes()).is_some()).count();
        assert_eq!(left, 0, "of {prefixes}");
        assert!(bench.get(b"spared").is_some() && bench.get(b"0:new").is_some());
    }
}

#[test]
fn a_flush_of_the_past_takes_what_may_be_older() {
    let bench = Bench::of(MIB);
    bench.set(b"read since", b"v").unwrap();
    bench.fill(b"copy", item(b"v", 1), || ());
    bench.pass(10);
    bench.get(b"read since").unwrap();
    bench.fill(b"new copy", item(b"v", 1), || ());
    bench.set(b"new", b"v").unwrap();
    bench.flush(Scope::All, Some(Timestamp(1005)));
    let left = [&b"read since"[..], b"copy", b"new copy", b"new"].map(|key| bench.get(key).is_some());
    assert_eq!(left, [false, false, false, true]);
}

#[test]
fn ids_grow_and_reserved_ones_are_given_to_nobody() {
    let bench = Bench::of(MIB);
    let before = bench.set(b"a", b"v").unwrap();
    let reserved = now(bench.engine.reserve_ids(&bench.context(), 100)).unwrap();
    let after = bench.set(b"a", b"v").unwrap();
    assert!(before < reserved.start && reserved.end <= after && reserved.end - reserved.start == 100);
}

#[test]
fn fills_serve_overdue_expire_and_refer() {
    let bench = Bench::of(MIB);
    assert_eq!(bench.look(b"k", &Get::plain()), Lookup::Unknown);
    let fresh_until = Some(bench.in_seconds(10));
    assert!(bench.fill(b"k", Fill { fresh_until, ..item(b"v", 77) }, || ()));
    let Lookup::Fresh(found) = bench.look(b"k", &Get::plain()) else { panic!("just filled") };
    assert_eq!((found.flags, found.cas), (9, 77));
    bench.pass(10);
    assert!(matches!(bench.look(b"k", &Get::plain()), Lookup::Overdue(_)));
    let found = Found { stale: true, ..Found::default() };
    let stale = Item { found, value: Value::default() };
    let fill = Fill { content: FillContent::Item(stale), version: 0, fresh_until: None };
    assert!(bench.fill(b"k", fill, || ()));
    assert!(matches!(bench.look(b"k", &Get::plain()), Lookup::Fresh(_)));
    assert_eq!(bench.look(b"k", &Get { tokens: true, ..Get::plain() }), Lookup::Refer);
}

#[test]
fn absence_is_remembered_until_it_is_not() {
    let bench = Bench::of(MIB);
    assert!(bench.fill(b"k", absent(bench.in_seconds(5)), || ()));
    assert_eq!(bench.look(b"k", &Get::plain()), Lookup::Absent);
    assert_eq!((bench.get(b"k"), bench.engine.memory_use().items), (None, 0));
    bench.set(b"k", b"v").unwrap();
    assert!(matches!(bench.look(b"k", &Get::plain()), Lookup::Fresh(_)));
    assert!(bench.fill(b"k", absent(bench.in_seconds(5)), || ()));
    bench.pass(5);
    assert_eq!(bench.look(b"k", &Get::plain()), Lookup::Unknown);
}

#[test]
fn a_slow_read_never_hides_a_write() {
    let bench = Bench::of(MIB);
    assert!(!bench.fill(b"k", item(b"old", 1), || assert!(bench.set(b"k", b"new").is_ok())));
    assert_eq!(bench.get(b"k").unwrap(), b"new");
    assert!(!bench.fill(b"k", item(b"old", 1), || assert_eq!(bench.delete(b"k"), Ok(()))));
    assert_eq!(bench.get(b"k"), None);
    assert!(!bench.fill(b"k", item(b"old", 1), || {
        now(bench.engine.invalidate(&bench.context(), Key::new(b"k"))).unwrap();
    }));
    assert!(!bench.fill(b"k", item(b"old", 1), || bench.flush(Scope::All, None)));
    bench.flush(Scope::All, Some(bench.in_seconds(10)));
    assert!(!bench.fill(b"k", item(b"old", 1), || bench.pass(10)));
    assert_eq!(bench.get(b"k"), None);
    assert!(bench.fill(b"k", item(b"now", 1), || ()));
}

#[test]
fn a_fill_that_cannot_be_kept_leaves_nothing_older() {
    let bench = Bench::new(RamOptions { item_size_max: 2, ..RamOptions::new(MIB) });
    bench.set(b"k", b"v").unwrap();
    assert!(!bench.fill(b"k", item(b"too long", 1), || ()));
    assert_eq!(bench.get(b"k"), None);
}

#[test]
fn a_scan_sees_every_item() {
    let bench = Bench::of(8 * MIB);
    for n in 0..5000u32 {
        bench.set(&n.to_be_bytes(), b"value").unwrap();
    }
    let mut keys: Vec<_> = bench.scan(1000).into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5000);
}

#[test]
fn a_scan_goes_on_after_slots_were_packed() {
    let bench = Bench::of(8 * MIB);
    for n in 0..20_000u32 {
        bench.set(&n.to_be_bytes(), b"value").unwrap();
    }
    let page = now(bench.engine.scan(&bench.context(), ScanOrder::Any, None, 1000)).unwrap();
    let mut keys: Vec<_> = page.items.into_iter().map(|(key, _)| key).collect();
    for n in 500..20_000u32 {
        bench.delete(&n.to_be_bytes()).unwrap();
    }
    let mut cursor = page.next;
    while let Some(at) = cursor {
        let page = now(bench.engine.scan(&bench.context(), ScanOrder::Any, Some(&at), 1000)).unwrap();
        keys.extend(page.items.into_iter().map(|(key, _)| key));
        cursor = page.next;
    }
    for n in 0..500u32 {
        assert!(keys.iter().any(|key| **key == n.to_be_bytes()), "{n} was there throughout");
    }
}

#[test]
fn the_newest_keys_come_first() {
    let bench = Bench::of(MIB);
    for n in 0..100u32 {
        bench.set(&n.to_be_bytes(), b"v").unwrap();
        bench.pass(1);
    }
    bench.get(&7u32.to_be_bytes()).unwrap();
    let newest = bench.engine.newest_keys(3);
    let expected: Vec<Box<[u8]>> = [7u32, 99, 98].iter().map(|n| n.to_be_bytes()[..].into()).collect();
    assert_eq!(newest, expected);
}

/// Where there is nothing but marks of absence, all of them may go for the next one, and their table with them.
#[test]
fn marks_of_absence_alone_make_way_for_others() {
    for memory_bytes in [64 << 10, 128 << 10, 256 << 10] {
        let bench = Bench::of(memory_bytes);
        for number in 0..5_000 {
            let key = format!("key:{number:0>60}");
            assert!(bench.fill(key.as_bytes(), absent(bench.in_seconds(5)), || ()));
            assert_eq!(bench.look(key.as_bytes(), &Get::plain()), Lookup::Absent);
        }
    }
}
