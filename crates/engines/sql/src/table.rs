//! A container at work: its plan, and what its commands share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use larder_engine::{Durability, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::counters::Counters;
use crate::plan::Plan;

/// See the module.
pub(crate) struct Table {
    plan: RwLock<Arc<Plan>>,
    pub level: Durability,
    pub item_size_max: u64,
    /// Whether a flush empties the table.
    pub flush_from_db: bool,
    pub counters: Counters,
    /// Rows added here less rows removed here.
    pub rows: AtomicI64,
    pub flushes: Flushes,
    /// Held by whoever carries out the flushes that are due.
    pub flush_gate: tokio::sync::Mutex<()>,
}

impl Table {
    pub fn new(plan: Plan, level: Durability, item_size_max: u64, flush_from_db: bool) -> Self {
        Table {
            plan: RwLock::new(Arc::new(plan)),
            level,
            item_size_max,
            flush_from_db,
            counters: Counters::default(),
            rows: AtomicI64::new(0),
            flushes: Flushes::default(),
            flush_gate: tokio::sync::Mutex::default(),
        }
    }

    pub fn plan(&self) -> Arc<Plan> {
        self.plan.read().clone()
    }

    /// Goes on with another plan, after the table changed.
    pub fn replan(&self, plan: Plan) {
        *self.plan.write() = Arc::new(plan);
    }
}

/// Flushes for a time to come. Lost when the process ends.
pub(crate) struct Flushes {
    waiting: Mutex<Vec<(Box<[u8]>, Timestamp)>>,
    /// The earliest of them.
    earliest: AtomicU32,
}

impl Default for Flushes {
    fn default() -> Self {
        Flushes { waiting: Mutex::default(), earliest: AtomicU32::new(u32::MAX) }
    }
}

impl Flushes {
    /// Lets the rows that begin so wait for `when`; replaces a flush of the same rows that waits.
    pub fn wait(&self, prefix: &[u8], when: Option<Timestamp>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|(known, _)| **known != *prefix);
        waiting.extend(when.map(|when| (prefix.into(), when)));
        self.note(&waiting);
    }

    fn note(&self, waiting: &[(Box<[u8]>, Timestamp)]) {
        let earliest = waiting.iter().map(|(_, when)| when.0).min().unwrap_or(u32::MAX);
        self.earliest.store(earliest, Ordering::Release);
    }

    /// Whether one is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.earliest.load(Ordering::Acquire) <= now.0
    }

    /// Those that are due.
    pub fn due(&self, now: Timestamp) -> Vec<(Box<[u8]>, Timestamp)> {
        self.waiting.lock().iter().filter(|(_, when)| *when <= now).cloned().collect()
    }

    /// One of them has been carried out.
    pub fn done(&self, flush: &(Box<[u8]>, Timestamp)) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|known| known != flush);
        self.note(&waiting);
    }

    pub fn all(&self) -> Vec<(Box<[u8]>, Timestamp)> {
        self.waiting.lock().clone()
    }
}
