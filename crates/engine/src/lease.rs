//! The bounded table of keys in flight between a cache and its store.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::reply::Version;

const SHARDS: usize = 16;

/// Keys that are on their way to the store, with what was written to the cache meanwhile.
///
/// A shard's lock is held while the cache itself is changed, so that the check and the change are one. Lock order:
/// lease shard before any lock of the cache.
pub struct LeaseTable {
    hasher: foldhash::fast::RandomState,
    shards: Box<[Arc<Mutex<Shard>>]>,
    keys_max_per_shard: usize,
    /// Leases out, so that a cache that nobody fills need not look.
    outstanding: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Shard {
    keys: HashMap<Vec<u8>, Flight, foldhash::fast::RandomState>,
}

#[derive(Default)]
struct Flight {
    holders: u32,
    /// Grows with each write or invalidation of the key.
    epoch: u64,
    /// The newest version filled or invalidated under a lease.
    newest: Version,
}

/// The right to fill one key once the store has answered. Dropping it gives it back.
pub struct Lease {
    key: Vec<u8>,
    epoch: u64,
    shard: Arc<Mutex<Shard>>,
    outstanding: Arc<AtomicUsize>,
}

impl LeaseTable {
    /// A table of at most about `keys_max` keys.
    pub fn new(keys_max: usize) -> Self {
        LeaseTable {
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            keys_max_per_shard: keys_max.div_ceil(SHARDS),
            outstanding: Arc::default(),
        }
    }

    fn shard(&self, key: &[u8]) -> &Arc<Mutex<Shard>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// A lease on `key`, or `None` when the table is full.
    pub fn lease(&self, key: &[u8]) -> Option<Lease> {
        let shard = self.shard(key);
        let mut locked = shard.lock();
        if locked.keys.len() >= self.keys_max_per_shard && !locked.keys.contains_key(key) {
            return None;
        }
        let flight = locked.keys.entry_ref(key).or_default();
        flight.holders += 1;
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Some(Lease {
            key: key.into(),
            epoch: flight.epoch,
            shard: shard.clone(),
            outstanding: self.outstanding.clone(),
        })
    }

    /// Whether a fill under `lease` is right; if so, the guard must be held while the cache is changed.
    /// `version` 0 is a read, anything else a write's place in the store's order.
    pub fn admit<'l>(&self, lease: &'l Lease, version: Version) -> Option<FillGuard<'l>> {
        let mut shard = lease.shard.lock();
        let flight =
            shard.keys.get_mut(lease.key.as_slice()).expect("a key with a lease out is in the table");
        if version == 0 {
            return (flight.epoch == lease.epoch).then_some(FillGuard { _shard: shard });
        }
        // A read on its way may carry the value from before this write, whichever of two writes wins.
        flight.epoch += 1;
        if version <= flight.newest {
            return None;
        }
        flight.newest = version;
        Some(FillGuard { _shard: shard })
    }

    /// Refuses fills under leases taken before, of reads and, since the write behind this call has no known place in
    /// the order, of writes too. The guard must be held while the cache forgets the key.
    pub fn revoke(&self, key: &[u8]) -> FillGuard<'_> {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.keys.get_mut(key) {
            flight.epoch += 1;
            flight.newest = Version::MAX;
        }
        FillGuard { _shard: shard }
    }

    /// Refuses fills under all leases taken before, for a flush. Writes on their way are refused too.
    pub fn revoke_all(&self) {
        for shard in &self.shards {
            for flight in shard.lock().keys.values_mut() {
                flight.epoch += 1;
                flight.newest = Version::MAX;
            }
        }
    }

    /// Keys in flight.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().keys.len()).sum()
    }

    /// Whether no lease is out; one load. A lease whose taking happened before this call is seen.
    pub fn is_empty(&self) -> bool {
        self.outstanding.load(Ordering::Relaxed) == 0
    }
}

/// Held while the cache is changed.
pub struct FillGuard<'a> {
    _shard: MutexGuard<'a, Shard>,
}

impl Lease {
    /// The key it is for.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut shard = self.shard.lock();
        let flight = shard.keys.get_mut(self.key.as_slice()).expect("a key with a lease out is in the table");
        flight.holders -= 1;
        if flight.holders == 0 {
            shard.keys.remove(self.key.as_slice());
        }
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
