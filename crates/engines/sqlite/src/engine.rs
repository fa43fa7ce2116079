//! The engine: what callers see.

use std::ops::Range;

use larder_engine::completion::{Completer, completion};
use larder_engine::durable::{AnswerTo, Command, StoreCommand, Write};
use larder_engine::engine::check_size;
use larder_engine::semantics::{self, Change};
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Expiry,
    Flushed, Get, GetReply, Key, MemoryUse, Number, Operation, Ordering, Reply, ScanOrder, ScanPage, Scope,
    Sink, StatsSink, Store, Stored, Timestamp, Touched,
};

use crate::error::OpenError;
use crate::kept::{Kept, Latest};
use crate::options::SqliteOptions;
use crate::reader::GetRead;
use crate::running::Running;
use crate::stats;

/// Longest value. SQLite's bound on a row is 1,000,000,000 bytes; key, numbers and row head take the rest.
pub(crate) const ITEM_SIZE_MAX: u64 = 1_000_000_000 - 1024;

/// Most ids in one reservation.
const IDS_MAX: u64 = 1 << 40;

/// A durable store in one SQLite file. See the crate's front page.
pub struct SqliteEngine {
    running: Running,
}

impl SqliteEngine {
    /// Opens the store, making folder and file where they are missing. Blocks for disk.
    ///
    /// # Errors
    /// Each names the file or folder and says what to do. Nothing is changed unless the store is ours and sound.
    pub fn open(
        services: larder_engine::Services,
        options: SqliteOptions,
    ) -> Result<SqliteEngine, OpenError> {
        Ok(SqliteEngine { running: Running::start(services, options)? })
    }

    /// Gives the writer a command; the reply comes when it is committed.
    fn ask<T: Send + 'static>(
        &self,
        context: &Context<'_>,
        command: Command,
        answer_to: impl FnOnce(Completer<T>) -> AnswerTo,
    ) -> Reply<T> {
        let (completer, completion) = completion(context.worker);
        let weight = command.weight();
        let write = Write { command, answer_to: answer_to(completer) };
        match self.running.shared.writes.push_in_turn(context.worker, write, weight) {
            Ok(()) => Reply::Pending(Operation::waiting(completion)),
            Err((_, error)) => {
                self.running.shared.counters.queue_refusals.one();
                Reply::failed(error)
            }
        }
    }

    fn ask_item(&self, context: &Context<'_>, key: Key<'_>, get: &Get) -> GetReply {
        match self.ask(context, Command::Get { key: key.bytes().into(), get: *get }, AnswerTo::Item) {
            Reply::Ready(answer) => Reply::Ready(answer.map(|_| None)),
            Reply::Pending(operation) => Reply::Pending(operation),
        }
    }
}

/// What the overlay says of a key.
enum Known {
    Hit(larder_engine::Found),
    Miss,
    /// The look-up changes the item.
    Changes,
    AskTable,
}

impl Engine for SqliteEngine {
    fn describe(&self) -> Description {
        Description {
            name: "sqlite".into(),
            level: Durability::Local,
            item_size_max: self.running.shared.connector.options.value_bytes_max(),
            shared: false,
            ordering: Ordering::PerKey,
            versions: true,
            tracks_access: false,
            scan_in_key_order: true,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        if get.may_change() {
            return self.ask_item(context, key, get);
        }
        let shared = &self.running.shared;
        let flushes = shared.flushes.load();
        let flushes = flushes.as_deref();
        let known = shared.overlay.look(key.bytes(), |latest| {
            let kept = match latest {
                None => return Known::AskTable,
                Some(Latest::Gone(_)) => return Known::Miss,
                Some(Latest::Item(kept)) => kept,
            };
            if !kept.is_alive(key.bytes(), flushes, context.now) {
                return Known::Miss;
            }
            lend(kept, get, context.now, sink)
        });
        let found = match known {
            Known::AskTable => {
                let (done, completion) = completion(context.worker);
                let read = GetRead { key: key.bytes().into(), get: *get, now: context.now, done };
                self.running.readers.get(shared, context.worker, read);
                return Reply::Pending(Operation::waiting(completion));
            }
            Known::Changes => return self.ask_item(context, key, get),
            Known::Miss => None,
            Known::Hit(found) => Some(found),
        };
        shared.counters.overlay_hits.one();
        Reply::done(found)
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, self.running.shared.connector.options.value_bytes_max())
        {
            return Reply::failed(error);
        }
        self.ask(context, Command::Store(StoreCommand::new(store)), AnswerTo::Stored)
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        self.ask(context, Command::Delete { key: key.bytes().into(), delete: *delete }, AnswerTo::Deleted)
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let command = Command::Arithmetic { key: key.bytes().into(), arithmetic: *arithmetic };
        self.ask(context, command, AnswerTo::Number)
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        self.ask(context, Command::Touch { key: key.bytes().into(), expiry }, AnswerTo::Touched)
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => Box::default(),
            Scope::Prefix(prefix) => prefix.into(),
        };
        self.ask(context, Command::Flush { prefix, when }, AnswerTo::Flushed)
    }

    fn pending_flushes(&self) -> Vec<(Vec<u8>, Timestamp)> {
        let Some(flushes) = self.running.shared.flushes.load() else { return Vec::new() };
        flushes.waiting.iter().map(|waiting| (waiting.prefix.to_vec(), waiting.at)).collect()
    }

    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let (done, completion) = completion(context.worker);
        let cursor = cursor.map(<[u8]>::to_vec);
        let shared = &self.running.shared;
        self.running.readers.scan(shared, context.worker, order, cursor, bytes_max, done);
        Reply::Pending(Operation::waiting(completion))
    }

    fn reserve_ids(&self, context: &Context<'_>, count: u64) -> Reply<Range<u64>> {
        if count > IDS_MAX {
            return Reply::failed(EngineError::new(ErrorKind::BadArgument, "too many ids asked for"));
        }
        self.ask(context, Command::ReserveIds { count }, AnswerTo::Ids)
    }

    fn keep_warm_list(&self, keys: &mut dyn Iterator<Item = Box<[u8]>>) -> Result<(), EngineError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let command = Command::KeepWarmList { keys: keys.collect() };
        let write = Write { command, answer_to: AnswerTo::WarmList(sender) };
        // The list weighs nothing: at a stop nothing else is asked, and it must not be refused.
        self.running.shared.writes.push(write, 0).map_err(|(_, error)| error)?;
        let stopped = || EngineError::new(ErrorKind::Unavailable, "the store's writer has stopped");
        receiver.recv().unwrap_or_else(|_| Err(stopped()))
    }

    fn memory_use(&self) -> MemoryUse {
        stats::memory_use(&self.running.shared)
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        stats::write(&self.running, sink);
    }

    fn reset_stats(&self) {
        self.running.shared.counters.reset();
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.running.shared.health.is_good()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.running.close()
    }
}

/// Lends an item to the sink, unless the look-up changes it.
fn lend(kept: &Kept, get: &Get, now: Timestamp, sink: &mut dyn Sink) -> Known {
    let current = kept.current();
    match semantics::get(Some(&current), get, 0, now) {
        Some(seen) if seen.change == Change::None => {
            sink.hit_shared(&seen.found, &kept.value);
            Known::Hit(seen.found)
        }
        _ => Known::Changes,
    }
}
