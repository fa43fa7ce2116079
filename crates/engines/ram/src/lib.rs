//! The memory engine of larder.
//!
//! # Layout
//!
//! ```text
//!  key ── hash ──┬─ 10 bits ─→ shard ─ a lock around:
//!                └─ 28 bits ─→ index
//!
//!  index          tables of 1 to 8 pages, each for a range of hashes, slots in the order of their hashes
//!                 ┌──────────────┬────────────────┐
//!                 │ 28 bits hash │ 36 bits place ─┼──┐    8 bytes an item, 7/8 full at most
//!                 └──────────────┴────────────────┘  │
//!                                                    ↓
//!  small queue    [segment] → [segment] → [segment ← new items]                        a tenth
//!                  │ read meanwhile: moved, uses = 0   ╲ not: evicted, a ghost remains
//!                  ↓                                    ↓
//!  main queue     [segment] → [segment] → [segment] → [segment ← ]    ghosts: 1 byte of hash each;
//!                  │ read: moved behind, uses - 1                      who comes back enters here
//!                  ↓ not: evicted
//!  absent queue   [segment] → [segment ← ]     keys the store below does not have; a sixteenth at most
//!
//!  segment        ┌────────┬────────┬──────────┬────────┬─────────┐
//!  64 KiB         │ record │ record │ (a gap)  │ record │ → free  │
//!                 └────────┴───┬────┴──────────┴────────┴─────────┘
//!                              ↓
//!  record         shape state length key-length epoch last-access cas [flags] [expiry] [fresh until] key value
//!                   1     1     2        1        1        4       5     4        4          4
//!                              │
//!                              ↓  8 KiB and more: a number instead of the value
//!  large value    pages of its own, shared with the readers that are sending it
//!
//!  arena          all of these are runs of 4 KiB pages out of one budget: segments, tables, ghosts, large values
//! ```
//!
//! # What was decided, and why
//!
//! * **The budget counts pages.** Items, index and ghosts take whole pages of memory that is mapped here, and freed pages count until
//!   they are given back to the system; so the bound is on resident memory, whatever sizes come and go. Besides it the process
//!   has only what grows with the number of segments and large values, and that is counted by estimate.
//! * **Records are packed, and move.** A segment wastes nothing between records and nearly nothing at its end. Room comes from cleaning
//!   the oldest segment, where every record is judged by itself: eviction, moving together what stays, and dropping what is dead or
//!   expired are one thing, and it costs the same however full the engine is.
//! * **Optional fields are left out**, a CAS takes five bytes until it needs eight: an item of 20 bytes key and 32 bytes value takes 67 bytes
//!   and about ten of the index.
//! * **The index grows by a page** at a time and needs no key to move an entry: the position of a slot follows from the hash that is
//!   in it. No growth touches more than eight pages.
//! * **Large values stay where they are**, so that a worker can send them from there. Their records take part in the queues like
//!   all others.
//! * **Leases are not in items** but in a table of keys in flight ([`larder_engine::LeaseTable`]), so that eviction cannot forget a newer
//!   write. `fresh_until`, the stale mark and the token are in the record.
//!
//! | file | subject |
//! |---|---|
//! | `engine.rs`, `cache.rs`, `many.rs` | the two traits |
//! | `write.rs` | how a change is made: decide, find room, apply |
//! | `room.rs` | finding room: in the shard itself, then in all in turn |
//! | `clean.rs`, `ghosts.rs` | eviction and compaction |
//! | `shard.rs` | segments, queues and the records in them |
//! | `record.rs` | a record, byte for byte |
//! | `index.rs` | where records are |
//! | `large.rs` | large values |
//! | `arena.rs`, `pages.rs`, `memory.rs` | memory, which of it is free, and the bound |
//! | `arena.rs` | the only unsafe code |
//! | `flush.rs`, `epochs.rs` | flushes in constant time |
//! | `scan.rs` | walking over everything |
//! | `timing.rs` | how long evictions take |
//!
//! All that belongs to a shard is read and changed under its lock, and for a moment only: nobody sees a record that is being moved.
//! What leaves the lock is copied, or a large value that its holder shares. Lock order: the turn to flush, lease shard, shard, flush
//! records; the arena's lock is the last. No two shards are locked at once.

mod arena;
mod cache;
mod clean;
mod engine;
mod epochs;
mod flush;
mod ghosts;
mod index;
mod large;
mod many;
mod memory;
mod pages;
mod record;
mod room;
mod scan;
mod shard;
#[cfg(test)]
mod tests;
mod timing;
mod write;

/// What `memory.rs` and `epochs.rs` count with; a model checker puts its own in this place.
mod atomics {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use larder_engine::{LeaseTable, Missed, Observer, Services, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::arena::{Arena, PAGE_BYTES};
use crate::flush::Flushes;
use crate::index::Place;
use crate::record::Kind;
use crate::shard::Shard;
use crate::timing::Timing;

/// A shard for each of so many bytes, within bounds.
const SHARD_BYTES: u64 = 4 << 20;
const SHARDS_MAX: u64 = 64;
/// A segment is one part of the memory in so many, within bounds.
const SEGMENT_PARTS: u64 = 64;
const SEGMENT_BYTES_MAX: u64 = 64 << 10;
/// A value that takes more than one part of a segment in so many has pages of its own.
const SMALL_VALUE_PARTS: usize = 8;
/// The least there is room for, whatever the options say: a few segments, and tables to find what is in them.
const MEMORY_BYTES_MIN: u64 = 64 << 10;

/// How a [`RamEngine`] is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RamOptions {
    /// Memory for items and the index over them, in bytes; at least 64 KiB are taken as given.
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
    arena: Arc<Arena>,
    segment_bytes: usize,
    /// Longer values have pages of their own.
    small_value_bytes_max: usize,
    flushes: Flushes,
    leases: LeaseTable,
    /// The last id given: CAS ids and versions come from one row.
    ids: AtomicU64,
    /// The shard that gives up memory next, when a shard's own does not do.
    hand: AtomicUsize,
    out_of_memory: AtomicU64,
    timing: Timing,
    /// Who hears of evictions.
    observer: OnceLock<Arc<dyn Observer>>,
}

/// Keeps two shards' locks off one cache line, and off the pair of lines that is fetched together.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl RamEngine {
    /// An empty engine.
    pub fn new(services: Services, options: RamOptions) -> Self {
        let memory_bytes = options.memory_bytes.max(MEMORY_BYTES_MIN);
        let shards = power_of_two_up_to(memory_bytes / SHARD_BYTES).clamp(1, SHARDS_MAX);
        let segment_bytes =
            power_of_two_up_to(memory_bytes / SEGMENT_PARTS).clamp(PAGE_BYTES as u64, SEGMENT_BYTES_MAX);
        let segment_bytes = segment_bytes as usize;
        RamEngine {
            services,
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..shards).map(|_| Padded(Mutex::new(Shard::new()))).collect(),
            arena: Arena::new(memory_bytes),
            segment_bytes,
            small_value_bytes_max: segment_bytes / SMALL_VALUE_PARTS - 1,
            flushes: Flushes::new(),
            leases: LeaseTable::new(options.leases_max),
            ids: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            out_of_memory: AtomicU64::new(0),
            timing: Timing::default(),
            observer: OnceLock::new(),
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

    /// The shard of a hash. Its bits are not those that the index and the ghosts use.
    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 54) as usize & (self.shards.len() - 1)].0
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

    /// The record of a key that is living. One that is over is taken out on the way.
    #[inline]
    fn find_living(&self, shard: &mut Shard, hash: u64, key: &[u8], now: Timestamp) -> Result<Place, Miss> {
        let place = shard.find(hash, key).ok_or(Miss { why: None })?;
        match shard.over(place, now, &self.flushes) {
            None => Ok(place),
            Some(why) => Err(take_out(shard, hash, place, why)),
        }
    }
}

/// There is no living record of a key.
struct Miss {
    /// Why not, if there was an item until now.
    why: Option<Missed>,
}

#[cold]
fn take_out(shard: &mut Shard, hash: u64, place: Place, why: Missed) -> Miss {
    let is_item = record::kind(shard.record(place)) != Kind::Absent;
    shard.reclaim(hash, place);
    Miss { why: is_item.then_some(why) }
}

/// The largest power of two that is not above `number`; 1 for 0.
fn power_of_two_up_to(number: u64) -> u64 {
    1 << number.max(1).ilog2()
}
