//! The memory engine of larder.
//!
//! Keys are spread over shards by their hash; a shard is a hash table over slots and the queues that decide who is
//! evicted, behind one short lock. The bound on memory is one number for all shards, so that an item may take more
//! than a shard's share.
//!
//! | file | subject |
//! |---|---|
//! | `engine.rs`, `cache.rs` | the two traits |
//! | `write.rs` | how a change is made: decide, find room, apply |
//! | `shard.rs`, `entry.rs` | what is kept |
//! | `eviction.rs` | who goes when memory is full |
//! | `flush.rs` | flushes in constant time |
//! | `memory.rs` | the bound |
//! | `scan.rs` | walking over everything |
//!
//! Lock order: lease shard, shard, flush records. No two shards are locked at once.

mod cache;
mod engine;
mod entry;
mod eviction;
mod flush;
mod memory;
mod scan;
mod shard;
#[cfg(test)]
mod tests;
mod write;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use larder_engine::{LeaseTable, Services, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::flush::Flushes;
use crate::memory::Budget;
use crate::shard::Shard;

/// A shard for each of so many bytes, within bounds.
const SHARD_BYTES: u64 = 256 * 1024;
const SHARDS_MIN: u64 = 4;
const SHARDS_MAX: u64 = 1024;

/// How a [`RamEngine`] is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RamOptions {
    /// Memory for items and the index over them, in bytes. What the allocator loses between blocks is not counted.
    pub memory_bytes: u64,
    /// Longest value in bytes. Half of `memory_bytes` bounds it too.
    pub item_size_max: u64,
    /// Whether items are evicted for new ones; if not, a full engine refuses.
    pub evict: bool,
    /// Most keys on their way between this cache and a store below it.
    pub leases_max: usize,
}

impl RamOptions {
    /// An evicting engine of `memory_bytes` with values up to 1 MiB.
    pub fn new(memory_bytes: u64) -> Self {
        RamOptions { memory_bytes, item_size_max: 1024 * 1024, evict: true, leases_max: 100_000 }
    }
}

/// Keeps items in memory; may stand above a store.
pub struct RamEngine {
    options: RamOptions,
    services: Services,
    hasher: foldhash::fast::RandomState,
    shards: Box<[Padded]>,
    memory: Budget,
    flushes: Flushes,
    leases: LeaseTable,
    /// The last id given: CAS ids and versions come from one row.
    ids: AtomicU64,
    /// The shard that gives up memory next, when a shard's own does not do.
    hand: AtomicUsize,
    out_of_memory: AtomicU64,
}

/// Keeps two shards' locks off one cache line, and off the pair of lines that is fetched together.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl RamEngine {
    /// An empty engine.
    pub fn new(services: Services, options: RamOptions) -> Self {
        let shards = (options.memory_bytes / SHARD_BYTES).clamp(SHARDS_MIN, SHARDS_MAX).next_power_of_two();
        RamEngine {
            services,
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..shards).map(|_| Padded(Mutex::new(Shard::new()))).collect(),
            memory: Budget::new(options.memory_bytes),
            flushes: Flushes::new(),
            leases: LeaseTable::new(options.leases_max),
            ids: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            out_of_memory: AtomicU64::new(0),
            options,
        }
    }

    fn item_size_max(&self) -> u64 {
        self.options.item_size_max.min(self.options.memory_bytes / 2)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The shard of a hash. Its bits are not those by which the table inside spreads.
    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)].0
    }

    fn locked_shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.0.lock())
    }

    /// Call under the shard's lock, so that ids of one key grow in the order of its changes.
    #[inline]
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Does delayed flushes whose time has come; the first thing every operation does, before it locks anything.
    #[inline]
    fn settle(&self, now: Timestamp) {
        if self.flushes.is_due(now) {
            self.run_due_flushes(now);
        }
    }

    #[cold]
    fn run_due_flushes(&self, now: Timestamp) {
        // First the leases: a copy read before the flush must not be filled after it.
        self.leases.revoke_all();
        self.flushes.run_due(now);
    }

    /// The slot of a living entry. An entry that is over is taken out on the way.
    #[inline]
    fn find_living(&self, shard: &mut Shard, hash: u64, key: &[u8], now: Timestamp) -> Option<u32> {
        let slot = shard.find(hash, key)?;
        if shard.is_over(slot, now, &self.flushes) {
            self.memory.release(shard.reclaim(slot));
            return None;
        }
        Some(slot)
    }
}
