//! Measures the engine by itself: memory an item, hit ratios, cost of a look-up.
//!
//! ```text
//! cargo run --release -p larder-ram --example measure [density] [hit-ratio] [look-up] [eviction]
//! ```

use std::sync::Arc;

use larder_engine::engine::StatsSink;
use larder_engine::reply::{GetReply, NoValue};
use larder_engine::{
    Connection, Context, Engine, Expiry, Get, Key, ManySink, Payload, Reply, Services, Sink, Store,
    Timestamp, Worker,
};
use larder_ram::{RamEngine, RamOptions};

const MIB: u64 = 1 << 20;

struct Bench {
    engine: RamEngine,
    connection: Arc<Connection>,
    worker: Worker,
}

impl Bench {
    fn new(memory_bytes: u64) -> Self {
        let engine = RamEngine::new(Services::system(), RamOptions::new(memory_bytes));
        let worker = Worker::new(0, |_| unreachable!("the engine leaves no work behind"));
        Bench { engine, connection: Connection::new(1, "measure".into(), -1), worker }
    }

    fn context(&self) -> Context<'_> {
        Context { connection: &self.connection, worker: &self.worker, now: Timestamp(1000), deadline: None }
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        let store = Store::set(Key::new(key), 0, Expiry::NEVER, Payload::Borrowed(value));
        let stored = self.engine.store(&self.context(), store);
        assert!(matches!(stored, Reply::Ready(Ok(_))), "a store in memory succeeds");
    }

    fn get(&self, key: &[u8]) -> bool {
        let found = self.engine.get(&self.context(), Key::new(key), &Get::plain(), &mut NoValue);
        matches!(found, Reply::Ready(Ok(Some(_))))
    }

    fn print_stats(&self, names: &[&str]) {
        struct Lines<'a>(&'a [&'a str]);
        impl StatsSink for Lines<'_> {
            fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
                if self.0.contains(&name) {
                    println!("    {name} {value}");
                }
            }
        }
        self.engine.stats(&mut Lines(names));
    }
}

fn key(number: u64) -> [u8; 20] {
    let mut key = *b"key:0000000000000000";
    for (place, shift) in key[4..].iter_mut().rev().zip((0..16).map(|digit| digit * 4)) {
        *place = b"0123456789abcdef"[(number >> shift & 15) as usize];
    }
    key
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Processor time of this thread, which other processes hardly change.
fn processor_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn density() {
    println!(
        "20-byte keys, 64 MiB, filled until eviction: (memcached 1.6.18: 138, 215, 1302 resident bytes an item)"
    );
    for length in [32, 100, 1024] {
        let before = resident_bytes();
        let bench = Bench::new(64 * MIB);
        let value = vec![7u8; length];
        let mut number = 0;
        while bench.engine.memory_use().evictions == 0 || number % 4096 != 0 {
            for _ in 0..256 {
                bench.set(&key(number), &value);
                number += 1;
            }
        }
        for more in 0..number {
            bench.set(&key(number + more), &value);
        }
        let held = bench.engine.memory_use();
        let resident = resident_bytes() - before;
        println!(
            "  {length:5} B: {} items, {:.1} bytes of -m, {:.1} resident, each; process {:.1} MiB",
            held.items,
            64.0 * MIB as f64 / held.items as f64,
            resident as f64 / held.items as f64,
            resident_bytes() as f64 / MIB as f64,
        );
        bench.print_stats(&[
            "bytes",
            "bytes_taken",
            "bytes_free_resident",
            "bytes_index",
            "bytes_ghosts",
            "eviction_us_max",
            "eviction_us_p99",
            "eviction_calls",
        ]);
    }
}

/// Cumulative weights of zipf(1.0), to be searched.
fn zipf(keys: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let mut weights: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// A key's value: log-normal lengths around 150.
fn value_length(number: u64) -> usize {
    let mut random = Random(number.wrapping_mul(31) + 7);
    let (first, second) = (random.unit().max(1e-12), random.unit());
    let normal = (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos();
    ((150f64.ln() + 0.5 * normal).exp() as usize).clamp(1, 4000)
}

/// What memcached 1.6 takes for such an item: its head, CAS, key, value and CRLF, in the next slab class.
fn memcached_bytes(key_length: usize, length: usize) -> usize {
    let bytes = 48 + 8 + key_length + 1 + length + 2;
    let mut class = 96;
    while class < bytes {
        class = (class * 5 / 4 + 7) & !7;
    }
    class + 8
}

/// A plain LRU list by bytes.
struct Lru {
    places: std::collections::HashMap<u64, u64>,
    order: std::collections::BTreeMap<u64, (u64, usize)>,
    clock: u64,
    bytes: usize,
}

impl Lru {
    fn look_up(&mut self, number: u64, bytes: usize, bytes_max: usize) -> bool {
        self.clock += 1;
        if let Some(place) = self.places.insert(number, self.clock) {
            let entry = self.order.remove(&place).expect("each place has an entry");
            self.order.insert(self.clock, entry);
            return true;
        }
        self.order.insert(self.clock, (number, bytes));
        self.bytes += bytes;
        while self.bytes > bytes_max {
            let (_, (oldest, bytes)) = self.order.pop_first().expect("bytes are those of entries");
            self.places.remove(&oldest);
            self.bytes -= bytes;
        }
        false
    }
}

fn hit_ratio() {
    const KEYS: usize = 1_000_000;
    let requests: u64 = std::env::var("REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let weights = zipf(KEYS);
    for scans in [false, true] {
        let bench = Bench::new(32 * MIB);
        let mut lru = Lru { places: Default::default(), order: Default::default(), clock: 0, bytes: 0 };
        let value = vec![1u8; 4096];
        let mut random = Random(1);
        let (mut hits, mut lru_hits, mut counted) = (0u64, 0u64, 0u64);
        for request in 0..requests {
            let number = if scans && random.unit() < 0.1 {
                (KEYS as u64) * 10 + request
            } else {
                // Ranks are spread over the numbers.
                let unit = random.unit();
                weights.partition_point(|weight| *weight < unit) as u64
            };
            let key = key(number);
            let length = value_length(number);
            let hit = bench.get(&key);
            if !hit {
                bench.set(&key, &value[..length]);
            }
            let lru_hit = lru.look_up(number, memcached_bytes(key.len(), length), 32 << 20);
            if request >= requests / 2 {
                counted += 1;
                hits += u64::from(hit);
                lru_hits += u64::from(lru_hit);
            }
        }
        println!(
            "zipf(1.0), 32 MiB, {}: {:.4}, an LRU of memcached's item sizes {:.4}; {} items",
            if scans { "a tenth scans" } else { "no scans" },
            hits as f64 / counted as f64,
            lru_hits as f64 / counted as f64,
            bench.engine.memory_use().items,
        );
        bench.print_stats(&[
            "eviction_calls",
            "eviction_us_p99",
            "eviction_us_max",
            "bytes",
            "bytes_taken",
            "bytes_index",
        ]);
    }
}

struct Count(usize);

impl Sink for Count {
    fn hit(&mut self, _found: &larder_engine::Found, pieces: &[&[u8]]) {
        self.0 += pieces[0].len();
    }
}

impl ManySink for Count {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        self
    }

    fn answer(&mut self, _index: usize, _reply: GetReply) {}
}

fn look_up() {
    for (memory, items) in [(64 * MIB, 20_000u64), (1024 * MIB, 5_000_000)] {
        let bench = Bench::new(memory);
        for number in 0..items {
            bench.set(&key(number), &[1; 32]);
        }
        let mut random = Random(3);
        let keys: Vec<[u8; 20]> = (0..1_000_000).map(|_| key(random.next() % items)).collect();
        let mut sink = Count(0);
        let timed = |what: &str, operations: u64, work: &mut dyn FnMut()| {
            work();
            let start = processor_ns();
            work();
            let ns = (processor_ns() - start) as f64 / operations as f64;
            println!("  {items} items: {what}: {ns:.0} ns");
        };
        timed("get", keys.len() as u64, &mut || {
            for key in &keys {
                let _found = bench.engine.get(&bench.context(), Key::new(key), &Get::plain(), &mut sink);
            }
        });
        let many: Vec<Key<'_>> = keys.iter().map(|key| Key::new(key)).collect();
        timed("get of 100", keys.len() as u64, &mut || {
            for group in many.chunks(100) {
                bench.engine.get_many(&bench.context(), group, &Get::plain(), &mut sink);
            }
        });
        timed("set", keys.len() as u64, &mut || {
            for key in &keys {
                bench.set(key, &[2; 32]);
            }
        });
    }
}

/// Stores without end into a full engine.
fn eviction() {
    for length in [0, 32, 100, 1024, 20_000] {
        let bench = Bench::new(256 * MIB);
        let value = vec![3u8; length];
        let count = 3 * 256 * MIB / (length as u64 + 80);
        for number in 0..count / 2 {
            bench.set(&key(number), &value);
        }
        let start = processor_ns();
        for number in count / 2..count {
            bench.set(&key(number), &value);
        }
        let ns = (processor_ns() - start) as f64 / (count - count / 2) as f64;
        println!("  {length} B into a full engine: {ns:.0} ns a set");
        bench.print_stats(&["eviction_calls", "eviction_us_p99", "eviction_us_max"]);
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let parts: [(&str, fn()); 4] =
        [("density", density), ("hit-ratio", hit_ratio), ("look-up", look_up), ("eviction", eviction)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|other| other == name) {
            part();
        }
    }
}
