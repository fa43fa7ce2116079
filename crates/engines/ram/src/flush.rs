//! Flushes in constant time.
//!
//! Every flush begins a new *epoch*, and every write notes the epoch it was made in. A flush of everything raises a
//! floor below which no item lives; a flush of a prefix leaves a record that is asked once for each older item, which
//! is then moved up to the present epoch. A look-up of an item written since the last flush costs one comparison.
//!
//! An item keeps the low byte of its epoch. Before that could mean two epochs the engine *sweeps*: it checks every item, after
//! which all are of the present epoch and the records can go.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use larder_engine::{Scope, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::epochs::Epochs;
use crate::record::{Kind, View};

/// Records kept before the engine sweeps them away.
const RECORDS_MAX: usize = 64;
/// Epochs between two sweeps; an item's byte tells 256 of them apart.
const EPOCHS_MAX: u64 = 128;

/// No flush waits.
const NEVER: u32 = u32::MAX;

/// What has been flushed, and what will be.
///
/// Lock order: `turn`, `waiting`, then any shard, then `records`.
pub(crate) struct Flushes {
    /// Held while epochs begin, and while a sweep sees all items into the present one.
    turn: Mutex<()>,
    epochs: Epochs,
    /// Every item is of this epoch or a later one.
    swept: AtomicU64,
    /// The second of the next delayed flush.
    due: AtomicU32,
    waiting: Mutex<Vec<Waiting>>,
    records: Mutex<Vec<Record>>,
}

struct Waiting {
    prefix: Box<[u8]>,
    when: Timestamp,
}

/// Items under `prefix`, and under none of `except`, written in an epoch before `epoch` and at a second before
/// `before` are gone.
struct Record {
    prefix: Box<[u8]>,
    except: Box<[Box<[u8]>]>,
    epoch: u64,
    before: Option<Timestamp>,
}

impl Record {
    fn takes(&self, item: &View<'_>, epoch: u64) -> bool {
        let key = item.key;
        epoch < self.epoch
            && self.before.is_none_or(|before| may_be_older(item, before))
            && key.starts_with(&self.prefix)
            && !self.except.iter().any(|except| key.starts_with(except))
    }
}

/// Whether an item may have been written before `before`. When it was is known only until it is read, and not of a copy of a
/// store's item; where it is not known, the item goes: a flush leaves nothing that it should have taken.
fn may_be_older(item: &View<'_>, before: Timestamp) -> bool {
    let head = &item.head;
    head.copy || head.fetched || head.kind == Kind::Absent || head.last_access < before
}

impl Flushes {
    pub(crate) fn new() -> Self {
        Flushes {
            turn: Mutex::default(),
            epochs: Epochs::new(),
            swept: AtomicU64::new(1),
            due: AtomicU32::new(NEVER),
            waiting: Mutex::default(),
            records: Mutex::default(),
        }
    }

    /// The present epoch. A write notes the one in which it was decided; read it under the shard's lock.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epochs.now()
    }

    /// Whether a delayed flush must be done before anything else.
    #[inline]
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.0 >= self.due.load(Ordering::Acquire)
    }

    /// Whether a flush has spared an item whose byte is not that of the present epoch: the epoch to which it is then to be moved.
    /// Call under the shard's lock.
    #[cold]
    pub(crate) fn spared_until(&self, item: &View<'_>) -> Option<u64> {
        self.epochs.spared_until(item.head.epoch, |epoch| {
            self.records.lock().iter().any(|record| record.takes(item, epoch))
        })
    }

    /// Begin epochs and sweep one after another.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Flushes at once what was written before this call, or before `before` if that is given. It is the caller's turn.
    pub(crate) fn flush(&self, prefix: &[u8], before: Option<Timestamp>) {
        self.begin_epoch(|records, epoch| note(records, prefix, before, epoch));
    }

    /// Flushes at once what is under `prefix` and under none of `except`. It is the caller's turn.
    pub(crate) fn flush_except(&self, prefix: &[u8], except: &[&[u8]]) {
        let except = except.iter().map(|&except| except.into()).collect();
        self.begin_epoch(|records, epoch| {
            records.push(Record { prefix: prefix.into(), except, epoch, before: None });
            false
        });
    }

    /// One epoch, however much is flushed with it: an item's byte does not tell many apart. `note` says whether all is.
    fn begin_epoch(&self, note: impl FnOnce(&mut Vec<Record>, u64) -> bool) {
        let mut records = self.records.lock();
        let epoch = self.epochs.now() + 1;
        let takes_all = note(&mut records, epoch);
        self.epochs.begin(epoch, takes_all);
    }

    /// Drops a waiting flush of the same scope and puts another in its place if `when` is given.
    pub(crate) fn wait_for(&self, scope: Scope<'_>, when: Option<Timestamp>) {
        let prefix = prefix_of(scope);
        let mut waiting = self.waiting.lock();
        waiting.retain(|flush| *flush.prefix != *prefix);
        waiting.extend(when.map(|when| Waiting { prefix: prefix.into(), when }));
        self.set_due(&waiting);
    }

    /// Does the delayed flushes whose time has come. It is the caller's turn.
    pub(crate) fn run_due(&self, now: Timestamp) {
        let mut waiting = self.waiting.lock();
        let due: Vec<Waiting> = waiting.extract_if(.., |flush| flush.when <= now).collect();
        if !due.is_empty() {
            self.begin_epoch(|records, epoch| {
                let mut takes_all = false;
                for flush in &due {
                    takes_all |= note(records, &flush.prefix, None, epoch);
                }
                takes_all
            });
        }
        // Stored last: who sees no flush due sees the epochs above.
        self.set_due(&waiting);
    }

    fn set_due(&self, waiting: &[Waiting]) {
        let due = waiting.iter().map(|flush| flush.when.0).min().unwrap_or(NEVER);
        self.due.store(due, Ordering::Release);
    }

    /// Whether it is time to sweep.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.epoch() - self.swept.load(Ordering::Relaxed) >= EPOCHS_MAX
            || self.records.lock().len() > RECORDS_MAX
    }

    /// Forgets all records, after every item was checked against them.
    pub(crate) fn swept(&self) {
        self.records.lock().clear();
        self.swept.store(self.epoch(), Ordering::Relaxed);
    }
}

/// Notes a flush, which may stand for earlier ones; `true` if it takes everything.
fn note(records: &mut Vec<Record>, prefix: &[u8], before: Option<Timestamp>, epoch: u64) -> bool {
    if before.is_none() {
        records.retain(|record| !record.prefix.starts_with(prefix));
    }
    let takes_all = before.is_none() && prefix.is_empty();
    if !takes_all {
        records.push(Record { prefix: prefix.into(), except: Box::default(), epoch, before });
    }
    takes_all
}

pub(crate) fn prefix_of<'a>(scope: Scope<'a>) -> &'a [u8] {
    match scope {
        Scope::All => &[],
        Scope::Prefix(prefix) => prefix,
    }
}
