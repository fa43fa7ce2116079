//! Flushes: `everything that begins so and was changed before this id is gone`.
//!
//! A flush costs one entry, however many items it takes: ids grow with every change, so an item is dead when its id is
//! lower than that of a flush whose prefix its key has. The purge removes dead items; then the flush is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::time::Timestamp;

/// A flush in effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flush {
    /// What the keys begin with.
    pub prefix: Box<[u8]>,
    /// Items with a lower id are dead.
    pub version: u64,
}

/// A flush for a time to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// What the keys begin with.
    pub prefix: Box<[u8]>,
    /// Its second.
    pub at: Timestamp,
}

/// All that is known of flushes at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flushes {
    /// Those whose dead items are not all removed.
    pub in_effect: Vec<Flush>,
    /// Those for a time to come.
    pub waiting: Vec<Waiting>,
}

impl Flushes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.in_effect.is_empty() && self.waiting.is_empty()
    }

    /// Whether an item last changed by `version` is gone. A waiting flush whose time has come counts: nothing can
    /// have been written after its time, because the writer puts it into effect before it writes.
    pub fn is_dead(&self, key: &[u8], version: u64, now: Timestamp) -> bool {
        self.in_effect.iter().any(|flush| version < flush.version && key.starts_with(&flush.prefix))
            || self.waiting.iter().any(|waiting| waiting.at <= now && key.starts_with(&waiting.prefix))
    }

    /// Whether a waiting flush is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.waiting.iter().any(|waiting| waiting.at <= now)
    }

    /// Puts a flush into effect; drops what it makes superfluous.
    pub fn add(&mut self, prefix: &[u8], version: u64) {
        self.in_effect.retain(|flush| !flush.prefix.starts_with(prefix));
        self.in_effect.push(Flush { prefix: prefix.into(), version });
    }

    /// Lets a flush wait, in the place of one of the same scope.
    pub fn wait(&mut self, prefix: &[u8], at: Timestamp) {
        self.stop_waiting(prefix);
        self.waiting.push(Waiting { prefix: prefix.into(), at });
    }

    /// Drops a waiting flush of this scope.
    pub fn stop_waiting(&mut self, prefix: &[u8]) {
        self.waiting.retain(|waiting| *waiting.prefix != *prefix);
    }

    /// Takes the waiting flushes that are due out.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.waiting.extract_if(.., |waiting| waiting.at <= now).collect()
    }
}

/// The flushes as readers see them.
///
/// A reader loads them *before* it looks for the item: then its answer is right for some moment of its call, whatever
/// is published meanwhile.
#[derive(Default)]
pub struct Board {
    any: AtomicBool,
    flushes: RwLock<Arc<Flushes>>,
}

impl Board {
    /// `None` when there are none, which costs no lock.
    pub fn load(&self) -> Option<Arc<Flushes>> {
        self.any.load(Ordering::Acquire).then(|| self.flushes.read().clone())
    }

    /// Replaces them.
    pub fn publish(&self, flushes: Flushes) {
        let any = !flushes.is_empty();
        *self.flushes.write() = Arc::new(flushes);
        self.any.store(any, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
