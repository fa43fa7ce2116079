//! What is journalled but not yet in the table: the newest state of those keys, in memory.
//!
//! Readers look here first. The writer alone changes it, after a commit, so that nothing is seen before it is durable.
//! Lock order: `ordered` before a shard; readers take one shard only.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::kept::{KeyBytes, Latest};

const SHARDS: usize = 16;
/// What an entry costs besides the bytes of its key and value: two maps, two allocations.
const ENTRY_BYTES: usize = 200;

/// The newest state of a key and the batch that made it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub seq: u64,
    pub latest: Latest,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Overlay {
    hasher: RandomState,
    shards: [RwLock<HashMap<KeyBytes, Entry, RandomState>>; SHARDS],
    ordered: Mutex<BTreeSet<KeyBytes>>,
    bytes: AtomicUsize,
    entries: AtomicUsize,
    items: AtomicUsize,
}

/// What becomes of a key.
pub(crate) enum Publish {
    /// This is its newest state.
    Latest(Latest),
    /// The table has its newest state.
    InTable,
}

impl Overlay {
    fn shard(&self, key: &[u8]) -> &RwLock<HashMap<KeyBytes, Entry, RandomState>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Shows the key's newest state to `look`, under a lock; `None`: ask the table.
    pub fn look<R>(&self, key: &[u8], look: impl FnOnce(Option<&Latest>) -> R) -> R {
        look(self.shard(key).read().get(key).map(|entry| &entry.latest))
    }

    /// Makes the changes of a committed batch visible.
    pub fn publish(&self, seq: u64, changes: impl Iterator<Item = (KeyBytes, Publish)>) {
        let mut ordered = self.ordered.lock();
        for (key, change) in changes {
            let mut shard = self.shard(&key).write();
            match change {
                Publish::Latest(latest) => {
                    self.count(&key, &latest, true);
                    if let Some(entry) = shard.get_mut(&key) {
                        self.count(&key, &entry.latest, false);
                        *entry = Entry { seq, latest };
                    } else {
                        shard.insert(key.clone(), Entry { seq, latest });
                        ordered.insert(key);
                    }
                }
                Publish::InTable => {
                    if let Some(entry) = shard.remove(&key) {
                        self.count(&key, &entry.latest, false);
                        ordered.remove(&key);
                    }
                }
            }
        }
    }

    /// Takes one change of a journal that is being replayed; [`Overlay::replayed`] ends it.
    pub fn replay(&mut self, seq: u64, key: &[u8], change: Publish) {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        let shard = self.shards[shard].get_mut();
        match (change, shard.get_mut(key)) {
            (Publish::Latest(latest), Some(entry)) => *entry = Entry { seq, latest },
            (Publish::Latest(latest), None) => {
                shard.insert(key.into(), Entry { seq, latest });
            }
            (Publish::InTable, Some(_)) => {
                shard.remove(key);
            }
            (Publish::InTable, None) => {}
        }
    }

    /// The journal has been replayed: puts the keys in order, all at once, and counts.
    pub fn replayed(&mut self) {
        let mut keys = Vec::new();
        for shard in &self.shards {
            for (key, entry) in shard.read().iter() {
                self.count(key, &entry.latest, true);
                keys.push(key.clone());
            }
        }
        keys.sort_unstable();
        *self.ordered.get_mut() = BTreeSet::from_iter(keys);
    }

    /// Forgets what was folded, unless it has changed since.
    pub fn forget(&self, folded: &[(KeyBytes, u64)]) {
        let mut ordered = self.ordered.lock();
        for (key, seq) in folded {
            let mut shard = self.shard(key).write();
            if shard.get(key).is_some_and(|entry| entry.seq == *seq) {
                let entry = shard.remove(key).expect("the key was just seen");
                self.count(key, &entry.latest, false);
                ordered.remove(key);
            }
        }
    }

    /// Up to `count_max` entries in key order from `start` on.
    pub fn range(&self, start: Bound<&[u8]>, count_max: usize) -> Vec<(KeyBytes, Entry)> {
        let ordered = self.ordered.lock();
        let keys = ordered.range::<[u8], _>((start, Bound::Unbounded)).take(count_max);
        // Entries come and go only under `ordered`, so each key is there.
        keys.filter_map(|key| Some((key.clone(), self.shard(key).read().get(key)?.clone()))).collect()
    }

    fn count(&self, key: &[u8], latest: &Latest, added: bool) {
        let bytes = key.len() + latest.value_length() + ENTRY_BYTES;
        let items = usize::from(matches!(latest, Latest::Item(_)));
        for (counter, amount) in [(&self.bytes, bytes), (&self.entries, 1), (&self.items, items)] {
            if added {
                counter.fetch_add(amount, Ordering::Relaxed);
            } else {
                counter.fetch_sub(amount, Ordering::Relaxed);
            }
        }
    }

    /// Memory taken, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Keys in it, removed ones included.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Keys in it that have an item.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
