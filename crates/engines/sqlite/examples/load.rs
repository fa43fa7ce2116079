//! Loads a store without a server: `cargo run --release -p larder-sqlite --example load -- set 50 1 200000 5`
//! (what: set, get, fill, or select for bare SELECTs; clients; requests in flight of each; keys; seconds). Prints rates, latencies and the
//! store's statistics. `LARDER_LOAD_FOLDER` names the folder; with `LARDER_LOAD_KILL` it ends without closing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use larder_engine::reply::NoValue;
use larder_engine::{
    Connection, Context, Engine, Expiry, Get, Key, Payload, Reply, Services, StatsSink, Store, Worker,
};
use larder_sqlite::{SqliteEngine, SqliteOptions};

const WORKERS: usize = 2;
const VALUE: [u8; 100] = [b'v'; 100];

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Pending = Pin<Box<dyn Future<Output = bool>>>;

struct Unpark(std::thread::Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// Says that its operation should be polled.
struct Ready(usize, Arc<parking_lot::Mutex<VecDeque<usize>>>);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.1.lock().push_back(self.0);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: u64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let what = words.first().map_or("set", String::as_str).to_owned();
    let (clients, in_flight) = (number(1, 50) as usize, number(2, 1) as usize);
    let (keys, seconds) = (number(3, 200_000), number(4, 5));
    let folder = std::env::var("LARDER_LOAD_FOLDER").unwrap_or_else(|_| "target/load".into());
    if what == "select" {
        return select(&folder, keys, seconds);
    }
    let began = Instant::now();
    let engine =
        SqliteEngine::open(Services::system(), SqliteOptions::new(&folder)).expect("the store opens");
    println!("opened in {:?}", began.elapsed());
    let cpu = cpu_seconds();
    let began = Instant::now();
    let over = AtomicBool::new(false);
    let mut latencies: Vec<u32> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|id| {
                let (engine, over, what) = (&engine, &over, what.as_str());
                scope.spawn(move || {
                    work(engine, id, (clients * in_flight).div_ceil(WORKERS), keys, what, over)
                })
            })
            .collect();
        if what != "fill" {
            std::thread::sleep(Duration::from_secs(seconds));
            over.store(true, Ordering::Relaxed);
        }
        workers.into_iter().flat_map(|worker| worker.join().expect("workers do not fail")).collect()
    });
    let took = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let count = latencies.len() as f64;
    println!(
        "{what}: {:.0} a second, p50 {} us, p99 {} us, p999 {} us, max {} us, {:.2} us of CPU each",
        count / took,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        cpu / count * 1e6
    );
    engine.stats(&mut Print);
    println!();
    if std::env::var_os("LARDER_LOAD_KILL").is_some() {
        println!("ended without closing");
        std::process::exit(0);
    }
    let began = Instant::now();
    engine.close().expect("the store closes");
    println!("closed in {:?}", began.elapsed());
}

/// The least a look-up can cost: a prepared SELECT in a loop, on a store that nobody has open.
fn select(folder: &str, keys: u64, seconds: u64) {
    let connection = rusqlite::Connection::open(format!("{folder}/larder.db")).expect("the store opens");
    let columns = "version, cas, expiry, flags, state, value";
    let query = format!("SELECT {columns} FROM items WHERE key = ?1");
    let mut statement = connection.prepare(&query).expect("the table is there");
    let mut random = Random(88_172_645_463_325_252);
    let cpu = cpu_seconds();
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..100 {
            let name = format!("key:{:012}", random.below(keys));
            let value: Vec<u8> =
                statement.query_row([name.as_bytes()], |row| row.get(5)).expect("it is there");
            assert_eq!(value.len(), VALUE.len());
            count += 1;
        }
    }
    println!("select: {:.2} us of CPU each", (cpu_seconds() - cpu) / f64::from(count) * 1e6);
}

struct Print;

impl StatsSink for Print {
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
        print!("{name} {value}; ");
    }
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text.rsplit(')').next().expect("a name").split_whitespace().collect();
    (fields[11].parse::<f64>().expect("ticks") + fields[12].parse::<f64>().expect("ticks")) / 100.0
}

fn work(
    engine: &SqliteEngine,
    id: usize,
    slots: usize,
    keys: u64,
    what: &str,
    over: &AtomicBool,
) -> Vec<u32> {
    let tasks: Rc<RefCell<Vec<Task>>> = Rc::default();
    let spawned = tasks.clone();
    let worker = Worker::new(id, move |task| spawned.borrow_mut().push(task));
    let connection = Connection::new(id as u64, "load".into(), -1);
    let unpark = Arc::new(Unpark(std::thread::current(), AtomicBool::new(true)));
    let bell = Waker::from(unpark.clone());
    let mut deliver = Box::pin(worker.mailbox().clone().deliver());
    let ready: Arc<parking_lot::Mutex<VecDeque<usize>>> = Arc::default();
    let wakers: Vec<Waker> =
        (0..slots).map(|slot| Waker::from(Arc::new(Ready(slot, ready.clone())))).collect();
    let mut operations: Vec<Option<(Pending, Instant)>> = (0..slots).map(|_| None).collect();
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (id as u64 + 1));
    let mut latencies = Vec::new();
    let mut next = id as u64;
    let mut idle: Vec<usize> = (0..slots).collect();
    let clock = Services::system().clock;
    loop {
        let now = clock.now();
        let context = Context { connection: &connection, worker: &worker, now, deadline: None };
        let ends = over.load(Ordering::Relaxed) || (what == "fill" && next >= keys);
        while let Some(slot) = (!ends).then(|| idle.pop()).flatten() {
            let number = if what == "fill" { next } else { random.below(keys) };
            next += WORKERS as u64;
            let began = Instant::now();
            match start(engine, &context, number, what) {
                Some(operation) => {
                    operations[slot] = Some((operation, began));
                    ready.lock().push_back(slot);
                }
                None => {
                    latencies.push(began.elapsed().as_micros() as u32);
                    idle.push(slot);
                    if latencies.len() % 64 == 0 {
                        break;
                    }
                }
            }
        }
        let batch = std::mem::take(&mut *ready.lock());
        let nothing = batch.is_empty();
        for slot in batch {
            let Some((operation, began)) = &mut operations[slot] else { continue };
            if let Poll::Ready(sound) = operation.as_mut().poll(&mut TaskContext::from_waker(&wakers[slot])) {
                assert!(sound, "a command failed");
                latencies.push(began.elapsed().as_micros() as u32);
                operations[slot] = None;
                idle.push(slot);
            }
        }
        if ends && idle.len() == slots {
            return latencies;
        }
        if unpark.1.swap(false, Ordering::Acquire) {
            let _never_ends = deliver.as_mut().poll(&mut TaskContext::from_waker(&bell));
        } else if nothing && (idle.is_empty() || ends) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

fn start(engine: &SqliteEngine, context: &Context<'_>, number: u64, what: &str) -> Option<Pending> {
    let name = format!("key:{number:012}");
    let key = Key::new(name.as_bytes());
    if what == "get" {
        return match engine.get(context, key, &Get::plain(), &mut NoValue) {
            Reply::Ready(answer) => answer.map(|_| None).expect("a look-up does not fail"),
            Reply::Pending(operation) => Some(Box::pin(async { operation.await.is_ok() })),
        };
    }
    let store = Store::set(key, 0, Expiry::NEVER, Payload::Borrowed(&VALUE));
    match engine.store(context, store) {
        Reply::Ready(answer) => panic!("a set is never done at once: {answer:?}"),
        Reply::Pending(operation) => Some(Box::pin(async { operation.await.is_ok() })),
    }
}
