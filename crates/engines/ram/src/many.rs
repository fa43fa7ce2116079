//! Look-ups of several keys as a group.
//!
//! Most of what a look-up costs, when there are many items, is waiting for memory: for a line of the index, then for the record. A
//! group's lines are asked for before the first is needed. Where everything fits the processor's caches there is
//! nothing to wait for, and the keys are looked up one by one.

use larder_engine::Key;

use crate::RamEngine;
use crate::index::ShortHash;

/// Keys whose memory is fetched ahead together.
const GROUP_KEYS: usize = 16;
/// With less than this in use all is in the processor's caches.
const CACHED_BYTES_MAX: u64 = 8 << 20;

impl RamEngine {
    /// Calls `look_up` for each key in order, with its index and hash.
    pub(crate) fn look_up_many(&self, keys: &[Key<'_>], mut look_up: impl FnMut(usize, Key<'_>, u64)) {
        let fetches_ahead = self.arena.budget.used() > CACHED_BYTES_MAX;
        let mut hashes = [0; GROUP_KEYS];
        for (number, group) in keys.chunks(GROUP_KEYS).enumerate() {
            for (hash, key) in hashes.iter_mut().zip(group) {
                *hash = self.hash(key.bytes());
            }
            if fetches_ahead && group.len() > 1 {
                self.fetch_ahead(&hashes[..group.len()]);
            }
            for (at, (key, hash)) in group.iter().zip(hashes).enumerate() {
                look_up(number * GROUP_KEYS + at, *key, hash);
            }
        }
    }

    /// First the lines of the index, then the records they point to. Locks are held for a moment each: a look-up that
    /// comes between may move things, and then the fetch was in vain.
    fn fetch_ahead(&self, hashes: &[u64]) {
        for hash in hashes {
            self.shard(*hash).lock().index.prefetch(ShortHash::of(*hash));
        }
        for hash in hashes {
            let shard = self.shard(*hash).lock();
            if let Some(place) = shard.index.first(ShortHash::of(*hash)) {
                crate::prefetch::prefetch(&shard.record(place)[0]);
            }
        }
    }
}
