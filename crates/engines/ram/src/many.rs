//! Look-ups of several keys as a group.
//!
//! Most of what a look-up costs, when there are many items, is waiting for memory: for a line of the index, then for the record. A
//! group's lines are asked for before the first is needed.

use larder_engine::Key;

use crate::RamEngine;
use crate::index::ShortHash;

/// Keys whose memory is fetched ahead together.
const GROUP_KEYS: usize = 16;
/// With less than this in use the index is in the processor's caches.
const CACHED_BYTES_MAX: u64 = 16 << 20;

impl RamEngine {
    /// Calls `look_up` for each key in order, with its index and hash.
    pub(crate) fn look_up_many(&self, keys: &[Key<'_>], mut look_up: impl FnMut(usize, Key<'_>, u64)) {
        let mut hashes = [0; GROUP_KEYS];
        for (number, group) in keys.chunks(GROUP_KEYS).enumerate() {
            for (hash, key) in hashes.iter_mut().zip(group) {
                *hash = self.hash(key.bytes());
            }
            if group.len() > 1 {
                self.fetch_ahead(&hashes[..group.len()]);
            }
            for (at, (key, hash)) in group.iter().zip(hashes).enumerate() {
                look_up(number * GROUP_KEYS + at, *key, hash);
            }
        }
    }

    /// Fetches ahead what look-ups of up to a group of keys will need.
    pub(crate) fn fetch_keys_ahead(&self, keys: &[Key<'_>]) {
        let mut hashes = [0; GROUP_KEYS];
        let count = keys.len().min(GROUP_KEYS);
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key.bytes());
        }
        self.fetch_ahead(&hashes[..count]);
    }

    /// First the lines of the index, then the records they point to. Locks are held for a moment each: a look-up that
    /// comes between may move things, and then the fetch was in vain.
    fn fetch_ahead(&self, hashes: &[u64]) {
        if self.arena.budget.used() > CACHED_BYTES_MAX {
            for hash in hashes {
                self.shard(*hash).lock().index.prefetch(ShortHash::of(*hash));
            }
        }
        for hash in hashes {
            let shard = self.shard(*hash).lock();
            if let Some(place) = shard.index.first(ShortHash::of(*hash)) {
                larder_engine::prefetch::prefetch(&shard.record(place)[0]);
            }
        }
    }
}
