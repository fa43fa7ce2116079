//! What a look-up costs through a module that answers at once, beside the RAM engine: CPU time of one thread.
//!
//!     cc -shared -fPIC -O2 -I include -o hash.so crates/engines/module/tests/c/hash.c
//!     cargo run --release -p larder-module --example cost -- ./hash.so

use std::time::Duration;

use larder_engine::kit::{LocalExecutor, Random};
use larder_engine::reply::{GetReply, ManySink};
use larder_engine::{
    Connection, Context, Engine, Expiry, Found, Get, Key, Payload, Reply, Services, Sink, Store,
};
use larder_module::{ModuleEngine, ModuleOptions};
use larder_ram::{RamEngine, RamOptions};

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 100;
const ROUNDS: usize = 20;
const GETS: usize = 200_000;

/// Copies the value, as a connection's output does.
struct Copying {
    bytes: Vec<u8>,
    hits: usize,
}

impl Sink for Copying {
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&found.cas.to_be_bytes());
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.hits += 1;
    }
}

impl ManySink for Copying {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        self
    }

    fn answer(&mut self, _index: usize, reply: GetReply) {
        assert!(matches!(reply, Reply::Ready(Ok(Some(_)))), "every key is there");
    }
}

fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("its first word is the time on a CPU"))
}

fn measure(name: &str, engine: &dyn Engine) {
    let executor = LocalExecutor::new(0);
    let connection = Connection::new(1, "cost".into(), -1);
    let now = Services::system().clock.now();
    let context = Context { connection: &connection, worker: executor.worker(), now, deadline: None };
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number:012}")).collect();
    for key in &keys {
        let value = [b'v'; VALUE_BYTES];
        let store = Store::set(Key::new(key.as_bytes()), 0, Expiry::NEVER, Payload::Borrowed(&value));
        assert!(matches!(engine.store(&context, store), Reply::Ready(Ok(_))), "{name}: stored at once");
    }
    let mut random = Random::new(1);
    let order: Vec<Key<'_>> =
        (0..GETS).map(|_| Key::new(keys[random.below(KEYS) as usize].as_bytes())).collect();
    let mut sink = Copying { bytes: Vec::new(), hits: 0 };
    let (mut single, mut many) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = cpu_time();
        for key in &order {
            assert!(matches!(
                engine.get(&context, *key, &Get::plain(), &mut sink),
                Reply::Ready(Ok(Some(_)))
            ));
        }
        let middle = cpu_time();
        for keys in order.chunks(64) {
            engine.get_many(&context, keys, &Get::plain(), &mut sink);
        }
        single = single.min(middle - start);
        many = many.min(cpu_time() - middle);
    }
    assert_eq!(sink.hits, 2 * ROUNDS * GETS);
    let each = |time: Duration| time.as_nanos() as f64 / GETS as f64;
    println!("{name:8} get {:6.1} ns, get_many {:6.1} ns a key", each(single), each(many));
    engine.connection_closed(&context);
    engine.close().expect("closed");
}

fn main() {
    let services = Services::system();
    measure("ram", &RamEngine::new(services.clone(), RamOptions::new(256 << 20)));
    let library = std::env::args_os().nth(1).expect("the path of the module is the argument");
    let module = ModuleEngine::open(&services, &ModuleOptions::new(library)).expect("it opens");
    measure("module", &module);
}
