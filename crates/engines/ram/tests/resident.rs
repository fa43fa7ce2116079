//! Resident memory of the process follows the limit, whatever sizes come and go. A process of its own, since it is the
//! process that is measured; one test, since tests of one process run beside each other.

use std::sync::Arc;

use larder_engine::{
    Connection, Context, Engine, ErrorKind, Expiry, Get, Key, Payload, Reply, Services, Store, Timestamp,
    Worker,
};
use larder_ram::{RamEngine, RamOptions};

const MIB: u64 = 1 << 20;
/// What the process may have besides.
const BASE_BYTES: u64 = 32 * MIB;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells what a process holds");
    let pages = statm.split(' ').nth(1).expect("the second number is that of resident pages");
    pages.parse::<u64>().expect("it is a number") * 4096
}

struct Bench {
    engine: RamEngine,
    connection: Arc<Connection>,
    worker: Worker,
    random: u64,
}

impl Bench {
    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.random >> 33) % below
    }

    fn set(&self, number: u64, length: usize) {
        let context =
            Context { connection: &self.connection, worker: &self.worker, now: Timestamp(1), deadline: None };
        let (key, value) = (number.to_be_bytes(), vec![number as u8; length]);
        let store = Store::set(Key::new(&key), 0, Expiry::NEVER, Payload::Borrowed(&value));
        let Reply::Ready(stored) = self.engine.store(&context, store) else { panic!("memory is ready") };
        stored.expect("there is room for it");
        if number.is_multiple_of(3) {
            let reply =
                self.engine.get(&context, Key::new(&key), &Get::plain(), &mut larder_engine::reply::NoValue);
            assert!(matches!(reply, Reply::Ready(Ok(Some(_)))), "what was just stored is there");
        }
    }

    fn assert_bounded(&self, limit: u64, when: &str) {
        let resident = resident_bytes();
        assert!(resident <= limit + BASE_BYTES, "{when}: {} MiB are resident", resident / MIB);
        let held = self.engine.memory_use();
        assert!(held.bytes <= limit, "{when}: {held:?}");
    }
}

#[test]
fn resident_memory_follows_the_limit() {
    let limit = 48 * MIB;
    let worker = Worker::new(0, |_| unreachable!("the engine leaves no work behind"));
    let engine = RamEngine::new(Services::system(), RamOptions::new(limit));
    let mut bench = Bench { engine, connection: Connection::new(1, "test".into(), -1), worker, random: 1 };
    // Each mix of sizes fills the memory anew, over keys that were there before and new ones.
    let mixes: [&[usize]; 9] = [
        &[32],
        &[2000, 30],
        &[100, 9000, 20_000],
        &[100_000],
        &[10, 1_000_000, 50_000, 8191, 8192],
        &[1],
        &[12_000, 13_000, 17_000, 25_000],
        &[500_000, 5],
        &[150, 700, 3000],
    ];
    for (round, mix) in mixes.iter().enumerate() {
        let mut stored = 0;
        while stored < 2 * limit {
            let kind = bench.next(mix.len() as u64) as usize;
            let length = mix[kind] - bench.next(1 + mix[kind] as u64 / 3) as usize;
            let number = bench.next(2_000_000) + round as u64 * 1_000_000;
            bench.set(number, length);
            stored += length as u64 + 80;
        }
        bench.assert_bounded(limit, &format!("after values of {mix:?}"));
        let held = bench.engine.memory_use();
        assert!(held.bytes > limit * 7 / 10, "memory is used, not lost: {held:?} after values of {mix:?}");
    }
    bench.engine.set_memory_limit(8 * MIB).unwrap();
    bench.assert_bounded(8 * MIB, "after the limit was lowered");
    bench.engine.set_memory_limit(limit).unwrap();
    for number in 0..600_000 {
        bench.set(number, 100);
    }
    bench.assert_bounded(limit, "after the limit was raised again");
    assert!(bench.engine.memory_use().bytes > limit * 8 / 10);
    bench.engine.set_memory_limit(0).unwrap();
    bench.assert_bounded(0, "after all was given up");
    let refused = {
        let context = Context {
            connection: &bench.connection,
            worker: &bench.worker,
            now: Timestamp(1),
            deadline: None,
        };
        bench.engine.store(&context, Store::set(Key::new(b"k"), 0, Expiry::NEVER, Payload::Borrowed(b"v")))
    };
    assert!(matches!(refused, Reply::Ready(Err(error)) if error.kind() == ErrorKind::OutOfMemory));
}
