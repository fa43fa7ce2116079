//! A worker, a clock and short calls for tests.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part, and may panic")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use larder_engine::disk::LocalDisk;
use larder_engine::*;
use larder_sqlite::{SqliteEngine, SqliteOptions};

/// A clock whose seconds the test sets.
pub struct TestClock {
    pub seconds: AtomicU32,
    start: Instant,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.seconds.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A worker on this thread that runs while it waits for an answer.
pub struct Caller {
    worker: Worker,
    connection: Arc<Connection>,
    tasks: Rc<RefCell<Vec<Task>>>,
    pub clock: Arc<TestClock>,
}

pub const NOW: u32 = 1_000_000;

impl Caller {
    pub fn new(clock: Arc<TestClock>) -> Self {
        let tasks: Rc<RefCell<Vec<Task>>> = Rc::default();
        let spawned = tasks.clone();
        let worker = Worker::new(0, move |task| spawned.borrow_mut().push(task));
        tasks.borrow_mut().push(Box::pin(worker.mailbox().clone().deliver()));
        Caller { worker, connection: Connection::new(1, "test".into(), -1), tasks, clock }
    }

    pub fn context(&self) -> Context<'_> {
        Context { connection: &self.connection, worker: &self.worker, now: self.clock.now(), deadline: None }
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut task = TaskContext::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(answer) = future.as_mut().poll(&mut task) {
                return answer;
            }
            let mut tasks = std::mem::take(&mut *self.tasks.borrow_mut());
            tasks.retain_mut(|future| future.as_mut().poll(&mut task).is_pending());
            self.tasks.borrow_mut().append(&mut tasks);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn answer<T: 'static>(&self, reply: Reply<T>) -> Result<T, EngineError> {
        match reply {
            Reply::Ready(answer) => answer,
            Reply::Pending(operation) => self.wait(operation),
        }
    }
}

/// A store in a folder, and somebody who asks it.
pub struct Store {
    pub engine: SqliteEngine,
    pub caller: Caller,
}

pub fn clock() -> Arc<TestClock> {
    Arc::new(TestClock { seconds: AtomicU32::new(NOW), start: Instant::now() })
}

pub fn services(clock: &Arc<TestClock>) -> Services {
    Services { clock: clock.clone(), disk: Arc::new(LocalDisk) }
}

pub fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions { purge_rest: Duration::from_millis(5), ..SqliteOptions::new(folder) }
}

impl Store {
    pub fn open(folder: &Path) -> Store {
        Store::open_with(options(folder), clock())
    }

    pub fn open_with(options: SqliteOptions, clock: Arc<TestClock>) -> Store {
        let engine = SqliteEngine::open(services(&clock), options).unwrap();
        Store { engine, caller: Caller::new(clock) }
    }

    pub fn set_time(&self, seconds: u32) {
        self.caller.clock.seconds.store(seconds, Ordering::SeqCst);
    }

    pub fn try_set(&self, key: &str, value: &[u8], expiry: Expiry) -> Result<Stored, EngineError> {
        let key = Key::new(key.as_bytes());
        let command = larder_engine::Store::set(key, 7, expiry, Payload::Borrowed(value));
        self.caller.answer(self.engine.store(&self.caller.context(), command))
    }

    pub fn set(&self, key: &str, value: &[u8]) -> Stored {
        self.try_set(key, value, Expiry::NEVER).unwrap()
    }

    pub fn get(&self, key: &str) -> Option<Item> {
        self.get_with(key, Get::plain())
    }

    pub fn get_with(&self, key: &str, get: Get) -> Option<Item> {
        self.try_get(key, get).unwrap()
    }

    pub fn try_get(&self, key: &str, get: Get) -> Result<Option<Item>, EngineError> {
        let mut sink = reply::KeepItem::default();
        let key = Key::new(key.as_bytes());
        match self.engine.get(&self.caller.context(), key, &get, &mut sink) {
            Reply::Ready(answer) => answer.map(|_| sink.0),
            Reply::Pending(operation) => self.caller.wait(operation),
        }
    }

    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).map(|item| item.value.whole().to_vec())
    }

    pub fn delete(&self, key: &str) -> Result<Deleted, EngineError> {
        let key = Key::new(key.as_bytes());
        self.caller.answer(self.engine.delete(&self.caller.context(), key, &Delete::default()))
    }

    pub fn increment(&self, key: &str) -> Result<Number, EngineError> {
        let arithmetic = Arithmetic {
            direction: Direction::Increment,
            delta: 1,
            initial: Some(Initial { value: 1, expiry: Expiry::NEVER }),
            compare: None,
            new_cas: None,
            expiry: None,
        };
        let key = Key::new(key.as_bytes());
        self.caller.answer(self.engine.arithmetic(&self.caller.context(), key, &arithmetic))
    }

    pub fn touch(&self, key: &str, expiry: Expiry) -> Result<Touched, EngineError> {
        let key = Key::new(key.as_bytes());
        self.caller.answer(self.engine.touch(&self.caller.context(), key, expiry))
    }

    pub fn flush(&self, scope: Scope<'_>, when: Option<u32>) {
        let when = when.map(Timestamp);
        self.caller.answer(self.engine.flush(&self.caller.context(), scope, when)).unwrap();
    }

    pub fn scan(&self, order: ScanOrder, bytes_max: usize) -> Vec<(String, Vec<u8>)> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let reply = self.engine.scan(&self.caller.context(), order, cursor.as_deref(), bytes_max);
            let page = self.caller.answer(reply).unwrap();
            items.extend(page.items.into_iter().map(|(key, item)| {
                (String::from_utf8_lossy(&key).into_owned(), item.value.whole().to_vec())
            }));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return items,
            }
        }
    }

    pub fn stats(&self) -> HashMap<String, i64> {
        struct Collect(HashMap<String, i64>);
        impl StatsSink for Collect {
            fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
                self.0.insert(name.into(), value.to_string().parse().unwrap());
            }
        }
        let mut collect = Collect(HashMap::new());
        self.engine.stats(&mut collect);
        collect.0
    }

    /// Waits until the statistics say so.
    pub fn wait_until(&self, what: impl Fn(&HashMap<String, i64>) -> bool) -> HashMap<String, i64> {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if what(&stats) {
                return stats;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "still {stats:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until everything is in the table and the journal is empty.
    pub fn wait_until_folded(&self) {
        self.wait_until(|stats| stats["journal_keys"] == 0 && stats["journal_file_bytes"] == 0);
    }

    pub fn close(self) {
        self.engine.close().unwrap();
    }
}

pub fn kind<T: std::fmt::Debug>(answer: Result<T, EngineError>) -> ErrorKind {
    answer.unwrap_err().kind()
}

impl Store {
    pub fn engine_items(&self) -> u64 {
        self.engine.memory_use().items
    }
}
