//! What is journalled but not yet in the table: the newest state of those keys, in memory.
//!
//! Readers look here first. The writer alone changes it, after a commit, so that nothing is seen before it is durable.
//! No key order is kept: folding sorts the keys that came since its last sweep, and a scan picks what it wants.
//! Lock order: `unswept` before a shard; readers take one shard only.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table;
use parking_lot::{Mutex, RwLock};

use crate::kept::{KeyBytes, Latest};

const SHARDS: usize = 16;
/// What an entry costs besides the bytes of its key and value: a place in a table and in a list, two allocations.
const ENTRY_BYTES: usize = 200;

/// The newest state of a key and the batch that made it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub seq: u64,
    pub latest: Latest,
}

type Shard = HashTable<(KeyBytes, Entry)>;

/// See the module.
#[derive(Default)]
pub(crate) struct Overlay {
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
    /// Keys that came, or changed after they were folded, since the last sweep began. Some may be gone or stand twice.
    unswept: Mutex<Vec<KeyBytes>>,
    size: Size,
}

/// What becomes of a key.
pub(crate) enum Publish {
    /// This is its newest state.
    Latest(Latest),
    /// The table has its newest state.
    InTable,
}

impl Overlay {
    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The shard by bits of the hash that its table does not use.
    fn shard_of(hash: u64) -> usize {
        (hash >> 32) as usize % SHARDS
    }

    /// Shows the key's newest state to `look`, under a lock; `None`: ask the table.
    pub fn look<R>(&self, key: &[u8], look: impl FnOnce(Option<&Latest>) -> R) -> R {
        let hash = self.hash(key);
        let shard = self.shards[Self::shard_of(hash)].read();
        look(shard.find(hash, |(at, _)| **at == *key).map(|(_, entry)| &entry.latest))
    }

    /// The key's newest state and its batch.
    pub fn entry(&self, key: &[u8]) -> Option<Entry> {
        let hash = self.hash(key);
        let shard = self.shards[Self::shard_of(hash)].read();
        shard.find(hash, |(at, _)| **at == *key).map(|(_, entry)| entry.clone())
    }

    /// Makes the changes of a committed batch visible.
    pub fn publish(&self, seq: u64, changes: impl Iterator<Item = (KeyBytes, Publish)>) {
        let mut unswept = self.unswept.lock();
        let mut growth = Growth::default();
        for (key, change) in changes {
            let hash = self.hash(&key);
            let mut shard = self.shards[Self::shard_of(hash)].write();
            let place = shard.entry(hash, |(at, _)| *at == key, |(at, _)| self.hasher.hash_one(&at[..]));
            match (change, place) {
                (Publish::Latest(latest), hash_table::Entry::Occupied(mut place)) => {
                    growth.add(&key, &latest);
                    let (_, entry) = place.get_mut();
                    growth.subtract(&key, &entry.latest);
                    *entry = Entry { seq, latest };
                }
                (Publish::Latest(latest), hash_table::Entry::Vacant(place)) => {
                    growth.add(&key, &latest);
                    unswept.push(key.clone());
                    place.insert((key, Entry { seq, latest }));
                }
                (Publish::InTable, hash_table::Entry::Occupied(place)) => {
                    let ((_, entry), _) = place.remove();
                    growth.subtract(&key, &entry.latest);
                }
                (Publish::InTable, hash_table::Entry::Vacant(_)) => {}
            }
        }
        self.size.apply(&growth);
    }

    /// Takes one change of a journal that is being replayed; [`Overlay::replayed`] ends it.
    pub fn replay(&mut self, seq: u64, key: &[u8], change: Publish) {
        let hash = self.hash(key);
        let shard = self.shards[Self::shard_of(hash)].get_mut();
        let place = shard.entry(hash, |(at, _)| **at == *key, |(at, _)| self.hasher.hash_one(&at[..]));
        match (change, place) {
            (Publish::Latest(latest), hash_table::Entry::Occupied(mut place)) => {
                place.get_mut().1 = Entry { seq, latest };
            }
            (Publish::Latest(latest), hash_table::Entry::Vacant(place)) => {
                place.insert((key.into(), Entry { seq, latest }));
            }
            (Publish::InTable, hash_table::Entry::Occupied(place)) => drop(place.remove()),
            (Publish::InTable, hash_table::Entry::Vacant(_)) => {}
        }
    }

    /// The journal has been replayed: counts.
    pub fn replayed(&mut self) {
        let mut growth = Growth::default();
        let unswept = self.unswept.get_mut();
        for shard in &mut self.shards {
            for (key, entry) in shard.get_mut().iter() {
                growth.add(key, &entry.latest);
                unswept.push(key.clone());
            }
        }
        self.size.apply(&growth);
    }

    /// The keys for a sweep that begins now: all that are here, in no order, some perhaps twice, and others.
    pub fn take_unswept(&self) -> Vec<KeyBytes> {
        std::mem::take(&mut *self.unswept.lock())
    }

    /// Forgets what a sweep has folded. What has changed since is left to the next one.
    pub fn forget(&self, folded: &[(KeyBytes, u64)]) {
        let mut unswept = self.unswept.lock();
        let mut growth = Growth::default();
        for (key, seq) in folded {
            let hash = self.hash(key);
            let mut shard = self.shards[Self::shard_of(hash)].write();
            match shard.find_entry(hash, |(at, _)| at == key) {
                Ok(place) if place.get().1.seq == *seq => {
                    let ((_, entry), _) = place.remove();
                    growth.subtract(key, &entry.latest);
                }
                Ok(_) => unswept.push(key.clone()),
                Err(_) => {}
            }
        }
        self.size.apply(&growth);
    }

    /// Up to `count_max` entries in key order from `start` on. Looks at every key there is.
    pub fn range(&self, start: Bound<&[u8]>, count_max: usize) -> Vec<(KeyBytes, Entry)> {
        let mut first = BinaryHeap::with_capacity(count_max.saturating_add(1).min(self.entries() + 1));
        for shard in &self.shards {
            for (key, entry) in shard.read().iter() {
                let is_after = match start {
                    Bound::Unbounded => true,
                    Bound::Included(start) => **key >= *start,
                    Bound::Excluded(start) => **key > *start,
                };
                let is_full = first.len() >= count_max;
                if is_after && !(is_full && first.peek().is_none_or(|ByKey(last, _)| key >= last)) {
                    first.push(ByKey(key.clone(), entry.clone()));
                    if is_full {
                        first.pop();
                    }
                }
            }
        }
        first.into_sorted_vec().into_iter().map(|ByKey(key, entry)| (key, entry)).collect()
    }

    /// Memory taken, about.
    pub fn bytes(&self) -> usize {
        self.size.bytes.load(Ordering::Relaxed)
    }

    /// Keys in it, removed ones included.
    pub fn entries(&self) -> usize {
        self.size.entries.load(Ordering::Relaxed)
    }

    /// Keys in it that have an item.
    pub fn items(&self) -> usize {
        self.size.items.load(Ordering::Relaxed)
    }
}

/// An entry that is compared by its key.
struct ByKey(KeyBytes, Entry);

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Order {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ByKey {}

/// How much there is, for anyone to read.
#[derive(Default)]
struct Size {
    bytes: AtomicUsize,
    entries: AtomicUsize,
    items: AtomicUsize,
}

impl Size {
    fn apply(&self, growth: &Growth) {
        for (counter, amount) in
            [(&self.bytes, growth.bytes), (&self.entries, growth.entries), (&self.items, growth.items)]
        {
            // Adding what wraps around subtracts.
            counter.fetch_add(amount as usize, Ordering::Relaxed);
        }
    }
}

/// What a batch adds to [`Size`].
#[derive(Default)]
struct Growth {
    bytes: isize,
    entries: isize,
    items: isize,
}

impl Growth {
    fn add(&mut self, key: &[u8], latest: &Latest) {
        self.count(key, latest, 1);
    }

    fn subtract(&mut self, key: &[u8], latest: &Latest) {
        self.count(key, latest, -1);
    }

    fn count(&mut self, key: &[u8], latest: &Latest, sign: isize) {
        self.bytes += sign * (key.len() + latest.value_length() + ENTRY_BYTES) as isize;
        self.entries += sign;
        self.items += sign * isize::from(matches!(latest, Latest::Item(_)));
    }
}

#[cfg(test)]
mod tests;
