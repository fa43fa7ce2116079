//! A client of an engine: one connection on one worker, with the interface's rules watched at every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::context::{Connection, Context, Worker};
use crate::engine::Engine;
use crate::error::{EngineError, ErrorKind};
use crate::item::{Found, Item};
use crate::key::Key;
use crate::reply::{GetReply, KeepItem, ManySink, Operation, Reply, Sink};
use crate::request::{Get, Payload, ScanOrder, ScanPage, Scope, Store, Writer};
use crate::time::{Clock, Timestamp};

use super::calls;
use super::clock::ManualClock;
use super::command::{Command, HandOver, Outcome, StoreCommand};
use super::executor::patiently;

/// One connection to an engine. All calls on its worker's thread.
pub struct Client {
    engine: Arc<dyn Engine>,
    connection: Arc<Connection>,
    worker: Worker,
    clock: Arc<ManualClock>,
}

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

impl Client {
    /// Connects.
    pub fn new(engine: Arc<dyn Engine>, worker: Worker, clock: Arc<ManualClock>) -> Self {
        let id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
        let client = Client { engine, connection: Connection::new(id, "kit".into(), -1), worker, clock };
        client.engine.connection_opened(&client.context());
        client
    }

    /// The engine it speaks to.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The context of a call made at this second.
    pub fn context(&self) -> Context<'_> {
        self.context_at(self.clock.now())
    }

    fn context_at(&self, now: Timestamp) -> Context<'_> {
        Context { connection: &self.connection, worker: &self.worker, now, deadline: None }
    }

    /// Runs a command to its end.
    pub async fn run(&self, command: &Command) -> Outcome {
        let context = self.context();
        match command {
            Command::Get { key, get } => self.look_up(&context, key, get).await,
            Command::Store(store) => match self.start_store(&context, store).await {
                Ok(reply) => settle(reply, Outcome::Stored).await,
                Err(error) => Outcome::error(&error),
            },
            Command::Delete { key, delete } => {
                let call = || self.engine.delete(&context, Key::new(key), delete);
                settle(calls::inside(command.method(), call), Outcome::Deleted).await
            }
            Command::Arithmetic { key, arithmetic } => {
                let call = || self.engine.arithmetic(&context, Key::new(key), arithmetic);
                settle(calls::inside(command.method(), call), Outcome::Number).await
            }
            Command::Touch { key, expiry } => {
                let call = || self.engine.touch(&context, Key::new(key), *expiry);
                settle(calls::inside(command.method(), call), Outcome::Touched).await
            }
            Command::Flush { prefix, when } => {
                let scope = prefix.as_ref().map_or(Scope::All, |prefix| Scope::Prefix(prefix));
                let call = || self.engine.flush(&context, scope, *when);
                settle(calls::inside(command.method(), call), Outcome::Flushed).await
            }
        }
    }

    async fn look_up(&self, context: &Context<'_>, key: &[u8], get: &Get) -> Outcome {
        let mut sink = WatchedSink::default();
        let reply = calls::inside("get", || self.engine.get(context, Key::new(key), get, &mut sink));
        settle_get(reply, sink).await
    }

    async fn start_store(
        &self,
        context: &Context<'_>,
        store: &StoreCommand,
    ) -> Result<Reply<crate::Stored>, EngineError> {
        let value = match store.hand_over {
            HandOver::Borrowed => Payload::Borrowed(&store.value),
            HandOver::Owned => Payload::Owned(store.value.clone()),
            HandOver::Reserved => {
                let mut writer = self.reserve(store).await?;
                writer.buffer().copy_from_slice(&store.value);
                Payload::Reserved(writer)
            }
        };
        Ok(calls::inside("store", || self.engine.store(context, Store { value, ..store.lent() })))
    }

    /// Asks for a place for the value of `store`.
    ///
    /// # Errors
    /// The engine's.
    pub async fn reserve(&self, store: &StoreCommand) -> Result<Writer, EngineError> {
        let context = self.context();
        let key = Key::new(&store.key);
        let call = || self.engine.reserve(&context, key, store.value.len(), store.flags, store.expiry);
        answer(calls::inside("reserve", call)).await
    }

    /// Starts a store and, if it is not done at once, drops the operation.
    ///
    /// # Errors
    /// The engine's, where it answers at once.
    pub async fn start_and_leave(&self, store: &StoreCommand) -> Result<(), EngineError> {
        match self.start_store(&self.context(), store).await? {
            Reply::Ready(answer) => answer.map(drop),
            Reply::Pending(operation) => {
                drop(operation);
                Ok(())
            }
        }
    }

    /// Looks several keys up at once.
    pub async fn get_many(&self, keys: &[&[u8]], get: &Get) -> Vec<Outcome> {
        let keys: Vec<Key<'_>> = keys.iter().map(|key| Key::new(key)).collect();
        let mut sink = WatchedManySink {
            sinks: keys.iter().map(|_| WatchedSink::default()).collect(),
            answers: Vec::new(),
            breach: None,
        };
        calls::inside("get_many", || self.engine.get_many(&self.context(), &keys, get, &mut sink));
        if sink.breach.is_none() && sink.answers.len() != keys.len() {
            sink.breach = Some(format!("get_many answered {} of {} keys", sink.answers.len(), keys.len()));
        }
        if let Some(breach) = sink.breach {
            return vec![Outcome::Breach(breach)];
        }
        let mut outcomes = Vec::new();
        for (watched, reply) in sink.sinks.into_iter().zip(sink.answers) {
            outcomes.push(settle_get(reply, watched).await);
        }
        outcomes
    }

    /// Fetches a piece of a scan.
    ///
    /// # Errors
    /// The engine's.
    pub async fn scan(
        &self,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<ScanPage, EngineError> {
        let call = || self.engine.scan(&self.context(), order, cursor, bytes_max);
        answer(calls::inside("scan", call)).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.engine.connection_closed(&self.context());
    }
}

/// The answer of a call that is no command.
async fn answer<T: 'static>(reply: Reply<T>) -> Result<T, EngineError> {
    match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(operation) => patiently(operation)
            .await
            .unwrap_or_else(|| Err(EngineError::new(ErrorKind::TimedOut, Outcome::Unanswered.to_string()))),
    }
}

async fn settle<T: 'static>(reply: Reply<T>, outcome: impl FnOnce(T) -> Outcome) -> Outcome {
    let answer = match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(operation) => match patiently(operation).await {
            Some(answer) => answer,
            None => return Outcome::Unanswered,
        },
    };
    match answer {
        Ok(success) => outcome(success),
        Err(error) => Outcome::error(&error),
    }
}

async fn settle_get(reply: GetReply, sink: WatchedSink) -> Outcome {
    match reply {
        Reply::Ready(answer) => ready_get(answer, sink),
        Reply::Pending(operation) => pending_get(operation, sink).await,
    }
}

fn ready_get(answer: Result<Option<Found>, EngineError>, sink: WatchedSink) -> Outcome {
    match (answer, sink.kept.0, sink.calls) {
        (Ok(Some(found)), Some(item), 1) if item.found == found => Outcome::Found(found, item.value.whole()),
        (Ok(Some(_)), Some(item), 1) => {
            Outcome::Breach(format!("the sink was told {:?}, the caller something else", item.found))
        }
        (Ok(Some(_)), _, calls) => Outcome::Breach(format!("a ready hit called the sink {calls} times")),
        (Ok(None), _, 0) => Outcome::Missing,
        (Ok(None), ..) => Outcome::Breach("a miss called the sink".into()),
        (Err(error), _, 0) => Outcome::error(&error),
        (Err(error), ..) => Outcome::Breach(format!("the error {error:?} called the sink")),
    }
}

async fn pending_get(operation: Operation<Option<Item>>, sink: WatchedSink) -> Outcome {
    if sink.calls != 0 {
        return Outcome::Breach("a pending look-up called the sink".into());
    }
    match patiently(operation).await {
        Some(Ok(Some(item))) => Outcome::Found(item.found, item.value.whole()),
        Some(Ok(None)) => Outcome::Missing,
        Some(Err(error)) => Outcome::error(&error),
        None => Outcome::Unanswered,
    }
}

#[derive(Default)]
struct WatchedSink {
    kept: KeepItem,
    calls: u32,
}

impl Sink for WatchedSink {
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]) {
        self.calls += 1;
        self.kept.hit(found, pieces);
    }

    fn hit_shared(&mut self, found: &Found, value: &Bytes) {
        self.calls += 1;
        self.kept.hit_shared(found, value);
    }
}

struct WatchedManySink {
    sinks: Vec<WatchedSink>,
    answers: Vec<GetReply>,
    breach: Option<String>,
}

impl ManySink for WatchedManySink {
    fn sink(&mut self, index: usize) -> &mut dyn Sink {
        if index != self.answers.len() {
            self.breach =
                Some(format!("get_many asked for sink {index} before answer {}", self.answers.len()));
        }
        &mut self.sinks[index]
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        if index != self.answers.len() {
            self.breach = Some(format!("get_many answered key {index}, due was {}", self.answers.len()));
        }
        self.answers.push(reply);
    }
}
