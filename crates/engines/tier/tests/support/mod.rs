//! A store whose every step the test decides, and a tier above it.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_engine::completion::completion;
use larder_engine::engine::{MemoryUse, StatsSink};
use larder_engine::kit::clock::START;
use larder_engine::kit::{Client, Command, LocalExecutor, ManualClock, ModelEngine, Outcome};
use larder_engine::reply::KeepItem;
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Flushed,
    Get, GetReply, Item, Key, Number, Operation, Payload, Reply, ScanOrder, ScanPage, Scope, Services, Sink,
    Store, Stored, Timestamp,
};
use larder_ram::{RamEngine, RamOptions};
use larder_tier::{Keys, Tier, TierOptions};
use parking_lot::{Condvar, Mutex};

/// Takes the answer to the caller; with an error in its place if one is given.
type Answer = Box<dyn FnOnce(Option<ErrorKind>) + Send>;
type Apply = Box<dyn FnOnce(&ModelEngine, &Context<'_>) -> Answer + Send>;

enum Stage {
    /// The store was asked.
    Asked(Apply),
    /// It has done what it was asked; nobody knows yet.
    Applied(Answer),
}

/// Keeps items in a model. Held, it does nothing until the test says so, in the order the test likes.
pub struct ScriptedStore {
    model: ModelEngine,
    shared: bool,
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Default)]
struct State {
    held: bool,
    refuses: Option<ErrorKind>,
    calls: Vec<(String, Stage)>,
    /// Every call there ever was.
    log: Vec<String>,
    ids: u64,
    warm_list: Vec<Box<[u8]>>,
    closed: usize,
}

fn now<T>(reply: Reply<T>) -> Result<T, EngineError> {
    match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(_) => panic!("the model answers at once"),
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

impl ScriptedStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::of(false))
    }

    /// One that others write too.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::of(true))
    }

    fn of(shared: bool) -> Self {
        let state = State { ids: 1 << 32, ..State::default() };
        ScriptedStore {
            model: ModelEngine::default(),
            shared,
            state: Mutex::new(state),
            asked: Condvar::new(),
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        context: &Context<'_>,
        label: String,
        run: impl FnOnce(&ModelEngine, &Context<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Reply<T> {
        let (completer, completion) = completion(context.worker);
        let mut state = self.state.lock();
        state.log.push(label.clone());
        if let Some(kind) = state.refuses {
            completer.complete(Err(kind.into()));
            return Reply::Pending(Operation::waiting(completion));
        }
        let apply: Apply = Box::new(move |model, context| {
            let answer = run(model, context);
            Box::new(move |error| completer.complete(error.map_or(answer, |kind| Err(kind.into()))))
        });
        if state.held {
            state.calls.push((label, Stage::Asked(apply)));
            self.asked.notify_all();
        } else {
            drop(state);
            apply(&self.model, context)(None);
        }
        Reply::Pending(Operation::waiting(completion))
    }

    /// From now on calls wait for the test.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    /// From now on calls are done at once, and those that wait are done now.
    pub fn release(&self, context: &Context<'_>) {
        self.state.lock().held = false;
        while self.waiting() > 0 {
            self.finish(0, context);
        }
    }

    /// From now on every call fails so, or none.
    pub fn refuse(&self, kind: Option<ErrorKind>) {
        self.state.lock().refuses = kind;
    }

    /// Calls that wait for the test.
    pub fn waiting(&self) -> usize {
        self.state.lock().calls.len()
    }

    /// Waits until so many calls wait.
    pub fn wait_for(&self, count: usize) {
        let mut state = self.state.lock();
        while state.calls.len() < count {
            self.asked.wait(&mut state);
        }
    }

    /// How many calls there were whose label begins so.
    pub fn count(&self, label: &str) -> usize {
        self.state.lock().log.iter().filter(|call| call.starts_with(label)).count()
    }

    /// Labels of the calls that wait.
    pub fn labels(&self) -> Vec<String> {
        self.state.lock().calls.iter().map(|(label, _)| label.clone()).collect()
    }

    /// Does a call that waits, without telling anybody. One that is done already stays so.
    pub fn apply(&self, index: usize, context: &Context<'_>) {
        let mut state = self.state.lock();
        let (label, stage) = state.calls.remove(index);
        let applied = match stage {
            Stage::Asked(apply) => Stage::Applied(apply(&self.model, context)),
            applied => applied,
        };
        state.calls.insert(index, (label, applied));
    }

    /// Answers a call.
    pub fn finish(&self, index: usize, context: &Context<'_>) {
        self.finish_with(index, context, None);
    }

    /// Answers a call with an error, after doing it if it is not done.
    pub fn finish_with(&self, index: usize, context: &Context<'_>, error: Option<ErrorKind>) {
        let (_, stage) = self.state.lock().calls.remove(index);
        match stage {
            Stage::Asked(apply) => apply(&self.model, context)(error),
            Stage::Applied(answer) => answer(error),
        }
    }

    /// Fails a call without doing it.
    pub fn fail(&self, index: usize, kind: ErrorKind) {
        let (_, stage) = self.state.lock().calls.remove(index);
        match stage {
            // The model is thrown away with what the call does to it.
            Stage::Asked(apply) => {
                let (executor, clock) = (LocalExecutor::new(90), Arc::new(ManualClock::new(START)));
                let spare: Arc<dyn Engine> = Arc::new(ModelEngine::default());
                let client = Client::new(spare, executor.worker().clone(), clock);
                apply(&ModelEngine::default(), &client.context())(Some(kind));
            }
            Stage::Applied(_) => panic!("the call is done already"),
        }
    }

    /// Puts an item into the store past any tier.
    pub fn put(&self, context: &Context<'_>, key: &[u8], value: &[u8]) {
        let store = Store::set(Key::new(key), 0, larder_engine::Expiry::NEVER, Payload::Borrowed(value));
        now(self.model.store(context, store)).unwrap();
    }

    /// What the store has, past any tier.
    pub fn value(&self, context: &Context<'_>, key: &[u8]) -> Option<Vec<u8>> {
        let mut keep = KeepItem::default();
        let get = Get { bump: false, ..Get::plain() };
        match self.model.get(context, Key::new(key), &get, &mut keep) {
            Reply::Ready(Ok(_)) => keep.0.map(|item| item.value.whole().to_vec()),
            _ => panic!("the model answers at once"),
        }
    }

    /// How often it was closed.
    pub fn closed(&self) -> usize {
        self.state.lock().closed
    }

    /// What it was given to warm a cache with.
    pub fn warm_list(&self) -> Vec<Box<[u8]>> {
        self.state.lock().warm_list.clone()
    }
}

impl Engine for ScriptedStore {
    fn describe(&self) -> Description {
        Description {
            name: "scripted".into(),
            level: Durability::Local,
            shared: self.shared,
            ..self.model.describe()
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, _sink: &mut dyn Sink) -> GetReply {
        let (key, get) = (key.bytes().to_vec(), *get);
        let reply = self.ask(context, format!("get {}", shown(&key)), move |model, context| {
            let mut keep = KeepItem::default();
            match model.get(context, Key::new(&key), &get, &mut keep) {
                Reply::Ready(answer) => answer.map(|_| keep.0),
                Reply::Pending(_) => panic!("the model answers at once"),
            }
        });
        match reply {
            Reply::Pending(operation) => Reply::Pending(operation),
            Reply::Ready(_) => unreachable!("a call of this store is an operation"),
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let key = store.key.bytes().to_vec();
        let label = format!("store {}", shown(&key));
        let value = store.value.into_bytes();
        let store = Store { key: Key::new(b"-"), value: Payload::Owned(value), ..store };
        self.ask(context, label, move |model, context| {
            let stored = now(model.store(context, Store { key: Key::new(&key), ..store }));
            stored.map(|stored| Stored { level: Durability::Local, ..stored })
        })
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let (key, delete) = (key.bytes().to_vec(), *delete);
        self.ask(context, format!("delete {}", shown(&key)), move |model, context| {
            now(model.delete(context, Key::new(&key), &delete))
        })
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let (key, arithmetic) = (key.bytes().to_vec(), *arithmetic);
        self.ask(context, format!("arithmetic {}", shown(&key)), move |model, context| {
            now(model.arithmetic(context, Key::new(&key), &arithmetic))
        })
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => None,
            Scope::Prefix(prefix) => Some(prefix.to_vec()),
        };
        self.ask(context, "flush".into(), move |model, context| {
            let scope = prefix.as_deref().map_or(Scope::All, Scope::Prefix);
            now(model.flush(context, scope, when))
        })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let cursor = cursor.map(<[u8]>::to_vec);
        self.ask(context, "scan".into(), move |model, context| {
            now(model.scan(context, ScanOrder::Any, cursor.as_deref(), bytes_max))
        })
    }

    fn reserve_ids(&self, context: &Context<'_>, count: u64) -> Reply<std::ops::Range<u64>> {
        let (completer, completion) = completion(context.worker);
        let mut state = self.state.lock();
        let start = state.ids;
        state.ids += count;
        completer.complete(Ok(start..start + count));
        Reply::Pending(Operation::waiting(completion))
    }

    fn keep_warm_list(&self, keys: &mut dyn Iterator<Item = Box<[u8]>>) -> Result<(), EngineError> {
        self.state.lock().warm_list = keys.collect();
        Ok(())
    }

    fn memory_use(&self) -> MemoryUse {
        self.model.memory_use()
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        self.model.stats(sink);
    }

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        self.state.lock().closed += 1;
        self.model.close()
    }
}

/// Lets the tasks of an executor run until nothing moves by itself.
pub fn turn(executor: &LocalExecutor) {
    /// No chain of wake-ups within one thread is longer.
    const ROUNDS: usize = 32;
    executor.block_on(async {
        for _ in 0..ROUNDS {
            let mut yielded = false;
            poll_fn(|task| match std::mem::replace(&mut yielded, true) {
                true => Poll::Ready(()),
                false => {
                    task.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
        }
    });
}

/// A command that was started.
#[derive(Clone)]
pub struct Started(Rc<RefCell<Option<Outcome>>>);

impl Started {
    /// What came of it, if anything yet.
    pub fn outcome(&self) -> Option<Outcome> {
        self.0.borrow().clone()
    }

    /// The value of a look-up that has ended.
    pub fn value(&self) -> Option<Vec<u8>> {
        value_of(self.outcome().expect("the look-up has not ended"))
    }
}

/// The value of a look-up.
pub fn value_of(outcome: Outcome) -> Option<Vec<u8>> {
    match outcome {
        Outcome::Found(_, value) => Some(value.to_vec()),
        Outcome::Missing => None,
        other => panic!("not the outcome of a look-up: {other}"),
    }
}

/// A tier of `ram` above a scripted store, and one worker with clients.
pub struct Bench {
    pub store: Arc<ScriptedStore>,
    pub ram: Arc<RamEngine>,
    pub tier: Arc<Tier<RamEngine>>,
    pub clock: Arc<ManualClock>,
    pub executor: LocalExecutor,
    client: Rc<Client>,
}

impl Bench {
    pub fn new(options: TierOptions) -> Self {
        Bench::above(ScriptedStore::new(), options)
    }

    pub fn above(store: Arc<ScriptedStore>, options: TierOptions) -> Self {
        Bench::for_keys(store, options, Keys::All)
    }

    pub fn for_keys(store: Arc<ScriptedStore>, options: TierOptions, keys: Keys) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let services = Services { clock: clock.clone(), ..Services::system() };
        let ram = Arc::new(RamEngine::new(services.clone(), RamOptions::new(8 << 20)));
        let tier = Arc::new(Tier::for_keys(services, ram.clone(), store.clone(), options, keys).unwrap());
        let executor = LocalExecutor::new(0);
        let client = Rc::new(Client::new(tier.clone(), executor.worker().clone(), clock.clone()));
        Bench { store, ram, tier, clock, executor, client }
    }

    /// For calls past the tier.
    pub fn context(&self) -> Context<'_> {
        self.client.context()
    }

    /// Starts a command on a connection of its own and lets it come as far as it can.
    pub fn start(&self, command: impl Into<Command>) -> Started {
        let started = Started(Rc::default());
        let client = Client::new(self.tier.clone(), self.executor.worker().clone(), self.clock.clone());
        let (place, command) = (started.0.clone(), command.into());
        self.executor.worker().spawn(async move {
            let outcome = client.run(&command).await;
            *place.borrow_mut() = Some(outcome);
        });
        turn(&self.executor);
        started
    }

    /// Runs a command to its end.
    pub fn run(&self, command: impl Into<Command>) -> Outcome {
        let command = command.into();
        self.executor.block_on(self.client.run(&command))
    }

    /// The value of a key.
    pub fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        value_of(self.run(larder_engine::kit::command::get(key)))
    }

    /// Lets the store do a call and answer it, and everybody hear of it.
    pub fn finish(&self, index: usize) {
        self.store.finish(index, &self.context());
        turn(&self.executor);
    }

    /// Lets the store do a call.
    pub fn apply(&self, index: usize) {
        self.store.apply(index, &self.context());
    }

    /// Makes RAM forget a key, as eviction would, without a word to anybody.
    pub fn evict(&self) {
        self.ram.set_memory_limit(1).unwrap();
        self.ram.set_memory_limit(8 << 20).unwrap();
    }

    /// Puts an item into RAM past the tier, as a stack that shares it does.
    pub fn put_into_ram(&self, key: &[u8], value: &[u8]) {
        let store = Store::set(Key::new(key), 0, larder_engine::Expiry::NEVER, Payload::Borrowed(value));
        now(self.ram.store(&self.context(), store)).unwrap();
    }

    /// A line of the tier's statistics.
    pub fn stat(&self, name: &str) -> String {
        struct Find<'a>(&'a str, Option<String>);
        impl StatsSink for Find<'_> {
            fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
                if name == self.0 {
                    self.1 = Some(value.to_string());
                }
            }
        }
        let mut find = Find(name, None);
        self.tier.stats(&mut find);
        find.1.unwrap_or_else(|| panic!("there is no statistic {name}"))
    }

    /// Waits for something another thread does.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        /// Only a fault makes anybody wait this long.
        const PATIENCE: Duration = Duration::from_secs(30);
        let began = std::time::Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
            turn(&self.executor);
            std::thread::yield_now();
        }
    }
}

/// An item's value.
pub fn bytes(item: &Item) -> Vec<u8> {
    item.value.whole().to_vec()
}
