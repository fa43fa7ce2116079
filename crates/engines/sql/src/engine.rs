//! The engine: what callers see of one container under one prefix.

use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;

use larder_engine::batch::BatchQueue;
use larder_engine::completion::{Completer, completion};
use larder_engine::engine::check_size;
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Engine, EngineError, ErrorKind, Expiry, Flushed, Get,
    GetReply, Key, MemoryUse, Mode, Number, Operation, Ordering, Reply, ScanOrder, ScanPage, Scope, Sink,
    StatsSink, Store, Stored, Timestamp, Touched,
};

use crate::cluster::{Cluster, lane_of};
use crate::command::{AnswerTo, Command, Read, ReadWhat, StoreCommand, Write};
use crate::plan::Plan;
use crate::row::{self, KeyCells, unsupported};
use crate::table::Table;
use crate::types::Kind;

/// Rows in one page of a scan at most.
const PAGE_ROWS_MAX: usize = 1000;
/// Bytes a row is taken for when a page is cut.
const ROW_BYTES: usize = 512;

/// The items of a prefix, as rows of a table. See the crate's front page.
pub struct SqlEngine {
    cluster: Arc<Cluster>,
    table: Arc<Table>,
    prefix: Arc<[u8]>,
}

impl SqlEngine {
    pub(crate) fn new(cluster: Arc<Cluster>, table: Arc<Table>, prefix: Vec<u8>) -> Self {
        SqlEngine { cluster, table, prefix: prefix.into() }
    }

    fn ask<T: Send + 'static>(
        &self,
        context: &Context<'_>,
        key: KeyCells,
        command: Command,
        answer_to: impl FnOnce(Completer<T>) -> AnswerTo,
    ) -> Reply<T> {
        let (completer, completion) = completion(context.worker);
        let queues = &self.cluster.shared().writes;
        let queue: &Arc<BatchQueue<Write>> = &queues[lane_of(&key, queues.len())];
        let write = Write { table: self.table.clone(), key, command, answer_to: answer_to(completer) };
        let weight = write.weight();
        match queue.push_in_turn(context.worker, write, weight) {
            Ok(()) => Reply::Pending(Operation::waiting(completion)),
            Err((_, error)) => Reply::failed(error),
        }
    }

    fn read<T: Send + 'static>(
        &self,
        context: &Context<'_>,
        lane: usize,
        what: impl FnOnce(Completer<T>) -> ReadWhat,
    ) -> Result<Operation<T>, EngineError> {
        let (completer, completion) = completion(context.worker);
        let queue = &self.cluster.shared().reads[lane];
        let read = Read { table: self.table.clone(), what: what(completer) };
        let weight = read.weight();
        match queue.push_in_turn(context.worker, read, weight) {
            Ok(()) => Ok(Operation::waiting(completion)),
            Err((_, error)) => Err(error),
        }
    }

    fn key(&self, plan: &Plan, key: &Key<'_>) -> Option<KeyCells> {
        row::key_cells(plan, key)
    }

    fn misfit(&self, plan: &Plan) -> EngineError {
        let text = format!("key does not fit container {}", plan.container.name);
        EngineError::new(ErrorKind::BadArgument, text)
    }

    /// The part of the suffix that a flush is about; `None`: no key of this prefix is meant.
    fn flushed_suffix<'s>(&self, scope: Scope<'s>) -> Option<&'s [u8]> {
        match scope {
            Scope::All => Some(b""),
            Scope::Prefix(prefix) if self.prefix.starts_with(prefix) => Some(b""),
            Scope::Prefix(prefix) => prefix.strip_prefix(&*self.prefix),
        }
    }
}

impl Engine for SqlEngine {
    fn describe(&self) -> Description {
        let plan = self.table.plan();
        let column_max = match plan.values[..] {
            [only] => plan.columns[only].column.kind.bytes_max().unwrap_or(u64::MAX),
            _ => u64::MAX,
        };
        Description {
            name: "sql".into(),
            level: self.table.level,
            item_size_max: self.table.item_size_max.min(column_max),
            shared: true,
            ordering: Ordering::PerKey,
            versions: false,
            tracks_access: false,
            scan_in_key_order: false,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, _sink: &mut dyn Sink) -> GetReply {
        let plan = self.table.plan();
        let Some(key) = self.key(&plan, &key) else { return Reply::done(None) };
        if get.may_change() {
            return match self.ask(context, key, Command::Get(*get), AnswerTo::Item) {
                Reply::Ready(answer) => Reply::Ready(answer.map(|_| None)),
                Reply::Pending(operation) => Reply::Pending(operation),
            };
        }
        let lane = lane_of(&key, self.cluster.shared().reads.len());
        match self.read(context, lane, |done| ReadWhat::Row { key, get: *get, done }) {
            Ok(operation) => Reply::Pending(operation),
            Err(error) => Reply::failed(error),
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, self.table.item_size_max) {
            return Reply::failed(error);
        }
        let plan = self.table.plan();
        let Some(key) = self.key(&plan, &store.key) else {
            return match store.mode {
                Mode::Set | Mode::Replace if store.compare.is_some() => Reply::failed(ErrorKind::NotFound),
                Mode::Append | Mode::Prepend if store.vivify.is_none() => Reply::failed(ErrorKind::NotStored),
                Mode::Replace => Reply::failed(ErrorKind::NotStored),
                _ => Reply::failed(self.misfit(&plan)),
            };
        };
        self.ask(context, key, Command::Store(StoreCommand::new(store)), AnswerTo::Stored)
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        match self.key(&self.table.plan(), &key) {
            Some(key) => self.ask(context, key, Command::Delete(*delete), AnswerTo::Deleted),
            None => Reply::failed(ErrorKind::NotFound),
        }
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let plan = self.table.plan();
        match self.key(&plan, &key) {
            Some(key) => self.ask(context, key, Command::Arithmetic(*arithmetic), AnswerTo::Number),
            None if arithmetic.initial.is_some() => Reply::failed(self.misfit(&plan)),
            None => Reply::failed(ErrorKind::NotFound),
        }
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        match self.key(&self.table.plan(), &key) {
            Some(key) => self.ask(context, key, Command::Touch(expiry), AnswerTo::Touched),
            None => Reply::failed(ErrorKind::NotFound),
        }
    }

    /// Empties the table where the policy says so, all of it whatever the prefix; a longer prefix than the routed one
    /// removes the rows whose key begins so. Elsewhere the rows stay, and that is success too.
    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let done = Flushed { level: self.table.level };
        let suffix = match self.flushed_suffix(scope) {
            Some(suffix) if self.table.flush_from_db => suffix,
            _ => return Reply::done(done),
        };
        let plan = self.table.plan();
        let by_bytes = matches!(&plan.keys[..], [only] if !only.column.folds
            && matches!(only.column.kind, Kind::Text { .. } | Kind::Binary { .. }));
        if !suffix.is_empty() && !by_bytes {
            return Reply::failed(unsupported("flush of a part of the keys is"));
        }
        if let Some(when) = when.filter(|when| *when > context.now) {
            self.table.flushes.wait(suffix, Some(when));
            // The first lane looks at the time from now on.
            self.cluster.shared().writes[0].nudge();
            return Reply::done(done);
        }
        self.table.flushes.wait(suffix, None);
        let nothing: KeyCells = Box::default();
        self.ask(context, nothing, Command::Flush(suffix.into()), AnswerTo::Flushed)
    }

    fn pending_flushes(&self) -> Vec<(Vec<u8>, Timestamp)> {
        let whole = |suffix: &[u8]| [&*self.prefix, suffix].concat();
        self.table.flushes.all().iter().map(|(suffix, when)| (whole(suffix), *when)).collect()
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let plan = self.table.plan();
        let after = match cursor {
            None => None,
            Some(suffix) => match row::suffix_cells(&plan, suffix) {
                Some(key) => Some(key),
                None => {
                    return Reply::failed(EngineError::new(
                        ErrorKind::BadArgument,
                        "not a place in this scan",
                    ));
                }
            },
        };
        let rows_max = (bytes_max / ROW_BYTES).clamp(1, PAGE_ROWS_MAX);
        let prefix = self.prefix.clone();
        match self.read(context, 0, |done| ReadWhat::Page { prefix, after, rows_max, done }) {
            Ok(operation) => Reply::Pending(operation),
            Err(error) => Reply::failed(error),
        }
    }

    /// Rows this server added less those it removed: what else is in the table only a count would tell.
    fn memory_use(&self) -> MemoryUse {
        let items = self.table.rows.load(Atomic::Relaxed).max(0) as u64;
        MemoryUse { items, bytes: items * ROW_BYTES as u64, ..MemoryUse::default() }
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        let shared = self.cluster.shared();
        let sum = |depths: &mut dyn Iterator<Item = (usize, usize)>| {
            depths.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
        };
        let (reads, _) = sum(&mut shared.reads.iter().map(|queue| queue.depth()));
        let (writes, bytes) = sum(&mut shared.writes.iter().map(|queue| queue.depth()));
        sink.stat("container", &self.table.plan().container.name);
        sink.stat("connected", &u8::from(shared.health.check().is_ok()));
        sink.stat("queue_reads", &reads);
        sink.stat("queue_writes", &writes);
        sink.stat("queue_bytes", &bytes);
        sink.stat("rows_added", &self.table.rows.load(Atomic::Relaxed));
        self.table.counters.each(|name, value| sink.count(name, value));
    }

    fn reset_stats(&self) {
        self.table.counters.reset();
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.cluster.shared().health.check()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.cluster.release(&self.table)
    }
}
