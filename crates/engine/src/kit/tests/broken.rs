//! Engines that are right but for one thing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::completion::{Completer, completion};
use crate::context::Context;
use crate::engine::{Description, Engine, MemoryUse, StatsSink};
use crate::error::EngineError;
use crate::item::{Found, Item};
use crate::key::Key;
use crate::kit::ModelEngine;
use crate::kit::command::StoreCommand;
use crate::reply::{
    Deleted, Durability, Flushed, GetReply, KeepItem, ManySink, Number, Operation, Reply, Sink, Stored,
};
use crate::request::{Arithmetic, Delete, Direction, Get, Mode, Payload, ScanOrder, ScanPage, Scope, Store};
use crate::time::{Expiry, Timestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bug {
    LosesAWrite,
    IgnoresExpiry,
    ExpiresASecondLate,
    KeepsCas,
    IgnoresCompare,
    SwapsKeys,
    SwapsManyAnswers,
    CountsInTwoSteps,
    SinkOnMiss,
    ForgetsAbandoned,
    BoastsOfItsLevel,
    FlushesAtOnce,
    GivesStaleCas,
    ForgetsFlags,
    AddOverwrites,
    CountsTwice,
    BlocksItsWorker,
    NeverAnswersOne,
    Panics,
}

pub(super) struct Broken {
    model: Arc<ModelEngine>,
    bug: Bug,
    stores: AtomicU64,
    /// The CAS before the newest, by key.
    earlier: Mutex<HashMap<Vec<u8>, (u64, u64)>>,
    forgotten: Mutex<Vec<Completer<Stored>>>,
}

impl Broken {
    pub(super) fn new(bug: Bug) -> Self {
        Broken {
            model: Arc::default(),
            bug,
            stores: AtomicU64::new(0),
            earlier: Mutex::default(),
            forgotten: Mutex::default(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// Where a look-up looks.
    fn looked_up<'k>(&self, key: Key<'k>) -> Key<'k> {
        match key.bytes() {
            b"a" if self.has(Bug::SwapsKeys) => Key::new(b"b"),
            b"b" if self.has(Bug::SwapsKeys) => Key::new(b"a"),
            _ => key,
        }
    }
}

impl Engine for Broken {
    fn describe(&self) -> Description {
        self.model.describe()
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        let now = match self.has(Bug::ExpiresASecondLate) {
            true => Timestamp(context.now.0 - 1),
            false => context.now,
        };
        if self.has(Bug::GivesStaleCas) {
            return self.get_with_stale_cas(context, key, get, sink);
        }
        let context = Context { now, deadline: None, ..*context };
        let reply = self.model.get(&context, self.looked_up(key), get, sink);
        if self.has(Bug::SinkOnMiss) && matches!(reply, Reply::Ready(Ok(None))) {
            sink.hit(&Found::default(), &[]);
        }
        reply
    }

    fn get_many(&self, context: &Context<'_>, keys: &[Key<'_>], get: &Get, sink: &mut dyn ManySink) {
        let mut keys = keys.to_vec();
        if self.has(Bug::SwapsManyAnswers) && keys.len() > 50 {
            keys.swap(10, 11);
        }
        for (index, key) in keys.iter().enumerate() {
            let reply = self.get(context, *key, get, sink.sink(index));
            sink.answer(index, reply);
        }
    }

    fn store(&self, context: &Context<'_>, mut store: Store<'_>) -> Reply<Stored> {
        let key = store.key;
        match self.bug {
            Bug::IgnoresExpiry => store.expiry = Expiry::NEVER,
            Bug::IgnoresCompare => store.compare = None,
            Bug::KeepsCas => {
                let mut kept = KeepItem::default();
                drop(self.model.get(context, key, &Get { bump: false, ..Get::plain() }, &mut kept));
                store.new_cas = store.new_cas.or(kept.0.map(|item| item.found.cas));
            }
            Bug::ForgetsAbandoned => return self.store_when_polled(context, store),
            Bug::ForgetsFlags => store.flags = 0,
            Bug::AddOverwrites if store.mode == Mode::Add => store.mode = Mode::Set,
            Bug::BlocksItsWorker => std::thread::sleep(Duration::from_micros(10)),
            _ => {}
        }
        let reply = self.model.store(context, store);
        let stores = self.stores.fetch_add(1, AtomicOrdering::Relaxed);
        if let Reply::Ready(Ok(stored)) = &reply {
            let mut earlier = self.earlier.lock();
            let known = earlier.entry(key.bytes().into()).or_insert((stored.cas, stored.cas));
            *known = (known.1, stored.cas);
        }
        if self.has(Bug::NeverAnswersOne) && stores % 50 == 49 {
            let (completer, answer) = completion(context.worker);
            self.forgotten.lock().push(completer);
            return Reply::Pending(Operation::waiting(answer));
        }
        if self.has(Bug::LosesAWrite) && stores % 50 == 49 {
            drop(self.model.delete(context, key, &Delete::default()));
        }
        match reply {
            Reply::Ready(Ok(stored)) if self.has(Bug::BoastsOfItsLevel) => {
                Reply::done(Stored { level: Durability::Local, ..stored })
            }
            reply => reply,
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        assert!(!self.has(Bug::Panics) || key.bytes() != b"k", "an index out of bounds, say");
        self.model.delete(context, key, delete)
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        if self.has(Bug::CountsTwice) && self.stores.fetch_add(1, AtomicOrdering::Relaxed) % 4 == 3 {
            drop(self.model.arithmetic(context, key, arithmetic));
        }
        if !self.has(Bug::CountsInTwoSteps) {
            return self.model.arithmetic(context, key, arithmetic);
        }
        let probe = Arithmetic {
            delta: 0,
            direction: Direction::Increment,
            compare: None,
            new_cas: None,
            ..*arithmetic
        };
        let mut kept = KeepItem::default();
        let plain = Get { bump: false, ..Get::plain() };
        drop(self.model.get(context, key, &plain, &mut kept));
        std::thread::yield_now();
        let (Some(Item { found, value }), None, None) = (kept.0, arithmetic.compare, arithmetic.new_cas)
        else {
            return self.model.arithmetic(context, key, arithmetic);
        };
        let Some(before) = std::str::from_utf8(&value.whole()).ok().and_then(|text| text.parse::<u64>().ok())
        else {
            return self.model.arithmetic(context, key, &probe);
        };
        let after = match arithmetic.direction {
            Direction::Increment => before.wrapping_add(arithmetic.delta),
            Direction::Decrement => before.saturating_sub(arithmetic.delta),
        };
        let expiry = arithmetic.expiry.unwrap_or(found.expiry);
        let text = after.to_string();
        let store = Store {
            stale: found.stale,
            token_taken: found.token != crate::Token::Free,
            mode: Mode::Set,
            ..Store::set(key, found.flags, expiry, Payload::Borrowed(text.as_bytes()))
        };
        let Reply::Ready(Ok(stored)) = self.model.store(context, store) else {
            unreachable!("the model stores")
        };
        Reply::done(Number {
            value: after,
            cas: stored.cas,
            flags: found.flags,
            expiry,
            expiry_before: found.expiry,
            created: false,
            stale: found.stale,
            token_taken: found.token != crate::Token::Free,
            level: stored.level,
            version: stored.version,
        })
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        self.model.flush(context, scope, when.filter(|_| !self.has(Bug::FlushesAtOnce)))
    }

    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        self.model.scan(context, order, cursor, bytes_max)
    }

    fn memory_use(&self) -> MemoryUse {
        self.model.memory_use()
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        self.model.stats(sink);
    }

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        self.model.close()
    }
}

impl Broken {
    fn get_with_stale_cas(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> GetReply {
        let mut kept = KeepItem::default();
        let reply = self.model.get(context, key, get, &mut kept);
        let Some(Item { mut found, value }) = kept.0 else { return reply };
        if let Some((earlier, _)) = self.earlier.lock().get(key.bytes()) {
            found.cas = *earlier;
        }
        sink.hit_shared(&found, &value.whole());
        Reply::done(Some(found))
    }

    /// The future is the work, but the operation says the work proceeds elsewhere: dropped, it is forgotten.
    fn store_when_polled(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let (model, command) = (self.model.clone(), StoreCommand::from(store));
        let (connection, worker, now) = (context.connection.clone(), context.worker.clone(), context.now);
        Reply::Pending(Operation::waiting(async move {
            let context = Context { connection: &connection, worker: &worker, now, deadline: None };
            match model.store(&context, command.lent()) {
                Reply::Ready(answer) => answer,
                Reply::Pending(operation) => operation.await,
            }
        }))
    }
}
