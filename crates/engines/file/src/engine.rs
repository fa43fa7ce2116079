//! The engine: what callers see.

use std::ops::Range;

use larder_engine::completion::{Completer, completion};
use larder_engine::durable::{AnswerTo, Command, StoreCommand, Write};
use larder_engine::engine::check_size;
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Expiry,
    Flushed, Get, GetReply, Key, MemoryUse, Number, Operation, Ordering, Reply, ScanOrder, ScanPage, Scope,
    Services, Sink, StatsSink, Store, Stored, Timestamp, Touched,
};

use crate::error::OpenError;
use crate::options::FileOptions;
use crate::reader::{GetRead, ScanRead};
use crate::running::Running;
use crate::shared::Order;
use crate::stats;

/// Most ids in one reservation.
const IDS_MAX: u64 = 1 << 40;

/// A durable store with one file a key. See the crate's front page.
pub struct FileEngine {
    running: Running,
}

impl FileEngine {
    /// Opens the store, making it where there is none. Blocks for disk.
    ///
    /// # Errors
    /// Each names the file or folder and says what to do. Nothing is changed unless the store is ours.
    pub fn open(services: Services, options: FileOptions) -> Result<FileEngine, OpenError> {
        Ok(FileEngine { running: Running::start(services, options)? })
    }

    /// Gives the writer a command; the reply comes when its outcome is durable.
    fn ask<T: Send + 'static>(
        &self,
        context: &Context<'_>,
        command: Command,
        answer_to: impl FnOnce(Completer<T>) -> AnswerTo,
    ) -> Reply<T> {
        let shared = &self.running.shared;
        let (completer, completion) = completion(context.worker);
        let weight = command.weight();
        let order = Order::Write(Write { command, answer_to: answer_to(completer) });
        match shared.writes.push_in_turn(context.worker, order, weight) {
            Ok(()) => Reply::Pending(Operation::waiting(completion)),
            Err((_, error)) => {
                shared.counters.queue_refusals.one();
                Reply::failed(error)
            }
        }
    }
}

impl Engine for FileEngine {
    fn describe(&self) -> Description {
        Description {
            name: "file".into(),
            level: Durability::Local,
            item_size_max: self.running.shared.options.value_bytes_max(),
            shared: false,
            ordering: Ordering::PerKey,
            versions: true,
            tracks_access: false,
            scan_in_key_order: false,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, _sink: &mut dyn Sink) -> GetReply {
        let shared = &self.running.shared;
        let key = key.bytes().into();
        if get.may_change() {
            return match self.ask(context, Command::Get { key, get: *get }, AnswerTo::Item) {
                Reply::Ready(answer) => Reply::Ready(answer.map(|_| None)),
                Reply::Pending(operation) => Reply::Pending(operation),
            };
        }
        let (done, completion) = completion(context.worker);
        shared.readers.get(shared, context.worker, GetRead { key, get: *get, now: context.now, done });
        Reply::Pending(Operation::waiting(completion))
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        match check_size(&store.value, self.running.shared.options.value_bytes_max()) {
            Ok(()) => self.ask(context, Command::Store(StoreCommand::new(store)), AnswerTo::Stored),
            Err(error) => Reply::failed(error),
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let command = Command::Delete { key: key.bytes().into(), delete: *delete };
        self.ask(context, command, AnswerTo::Deleted)
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
        self.running.shared.flushes.load().map_or_else(Vec::new, |flushes| {
            flushes.waiting.iter().map(|waiting| (waiting.prefix.to_vec(), waiting.at)).collect()
        })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let shared = &self.running.shared;
        let (done, completion) = completion(context.worker);
        let cursor = cursor.map(<[u8]>::to_vec);
        shared.readers.scan(shared, context.worker, ScanRead { order, cursor, bytes_max, done });
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
        let order = Order::Write(Write { command, answer_to: AnswerTo::WarmList(sender) });
        // The list weighs nothing: at a stop nothing else is asked, and it must not be refused.
        self.running.shared.writes.push(order, 0).map_err(|(_, error)| error)?;
        let stopped = || EngineError::new(ErrorKind::Unavailable, "the store's writer has stopped");
        receiver.recv().unwrap_or_else(|_| Err(stopped()))
    }

    fn memory_use(&self) -> MemoryUse {
        stats::memory_use(&self.running.shared)
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        stats::write(&self.running.shared, sink);
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
