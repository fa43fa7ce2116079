//! Who goes when memory is full: S3-FIFO.
//!
//! A newcomer enters a small queue. If nobody reads it before it reaches the end, it goes, and its hash is remembered
//! for a while; a key that comes back while remembered enters the main queue. The main queue gives every entry that
//! was read another round. A scan therefore flows through the small queue and leaves the main queue alone.

use larder_engine::Timestamp;

use crate::entry::{NONE, Queue};
use crate::flush::Flushes;
use crate::memory::heap_bytes;
use crate::shard::Shard;

/// The small queue's share of a shard's bytes: one part in this many.
const SMALL_PARTS: u64 = 10;
/// The share of marks of absence.
const ABSENT_PARTS: u64 = 16;
/// Slots searched for expired entries before a living one is evicted.
const CRAWL_SLOTS: usize = 4;
/// The same where nothing living may be evicted.
const CRAWL_SLOTS_ONLY_EXPIRED: usize = 256;
/// Entries that get another round within one eviction; after that the next one goes however often it was read, so
/// that an eviction costs the same however full the engine is.
const ROUNDS_MAX: usize = 32;

impl Shard {
    /// Frees one entry other than `protected`; the bytes of its body, or `None` if there is none to free.
    pub(crate) fn evict(
        &mut self,
        now: Timestamp,
        flushes: &Flushes,
        protected: u32,
        may_evict_living: bool,
    ) -> Option<u64> {
        let crawl_slots = if may_evict_living { CRAWL_SLOTS } else { CRAWL_SLOTS_ONLY_EXPIRED };
        if let Some(bytes) = self.crawl(now, flushes, protected, crawl_slots) {
            return Some(bytes);
        }
        let absent = self.list(Queue::Absent);
        let living_bytes = self.list(Queue::Small).bytes + self.list(Queue::Main).bytes;
        if absent.oldest != NONE
            && absent.oldest != protected
            && (absent.bytes * ABSENT_PARTS > living_bytes || !may_evict_living)
        {
            return Some(self.remove(absent.oldest));
        }
        if may_evict_living { self.evict_living(now, flushes, protected) } else { None }
    }

    /// Looks at the next few slots for one that is over.
    fn crawl(&mut self, now: Timestamp, flushes: &Flushes, protected: u32, slots: usize) -> Option<u64> {
        for _ in 0..slots.min(self.entries.len()) {
            if self.crawl >= self.entries.len() {
                self.crawl = 0;
            }
            let slot = self.crawl as u32;
            self.crawl += 1;
            if slot != protected && !self.entry(slot).is_vacant() && self.is_over(slot, now, flushes) {
                return Some(self.reclaim(slot));
            }
        }
        None
    }

    fn evict_living(&mut self, now: Timestamp, flushes: &Flushes, protected: u32) -> Option<u64> {
        let mut rounds = 0;
        loop {
            let small = self.oldest_but(Queue::Small, protected);
            let main = self.oldest_but(Queue::Main, protected);
            if small == NONE && main == NONE {
                let absent = self.oldest_but(Queue::Absent, protected);
                return (absent != NONE).then(|| self.remove(absent));
            }
            let small_bytes = self.list(Queue::Small).bytes;
            let small_is_over_share = small_bytes * SMALL_PARTS >= small_bytes + self.list(Queue::Main).bytes;
            let from_small = main == NONE || (small != NONE && small_is_over_share);
            let slot = if from_small { small } else { main };
            if self.is_over(slot, now, flushes) {
                return Some(self.reclaim(slot));
            }
            let entry = self.entry(slot);
            if entry.frequency == 0 || rounds >= ROUNDS_MAX {
                let (hash, unfetched) = (entry.hash, !entry.fetched);
                self.events.evictions += 1;
                self.events.evicted_unfetched += u64::from(unfetched);
                if from_small {
                    self.ghosts.remember(hash);
                }
                return Some(self.remove(slot));
            }
            rounds += 1;
            entry.frequency = if from_small { 0 } else { entry.frequency - 1 };
            self.requeue(slot, Queue::Main);
        }
    }

    /// The oldest entry of a queue that is not `protected`, or none.
    fn oldest_but(&self, queue: Queue, protected: u32) -> u32 {
        let oldest = self.list(queue).oldest;
        if oldest == protected && oldest != NONE { self.entries[oldest as usize].previous } else { oldest }
    }

    /// Keeps marks of absence within their share; the bytes freed.
    pub(crate) fn trim_absent(&mut self, share_bytes: u64) -> u64 {
        let mut freed = 0;
        loop {
            let absent = self.list(Queue::Absent);
            if absent.count <= 1 || absent.bytes * ABSENT_PARTS <= share_bytes {
                return freed;
            }
            freed += self.remove(absent.oldest);
        }
    }
}

/// Hashes of entries that left the small queue unread, in a table where a newer one takes an older one's place.
#[derive(Default)]
pub(crate) struct Ghosts(Box<[u32]>);

impl Ghosts {
    fn length(capacity: usize) -> usize {
        capacity.next_power_of_two()
    }

    /// Memory for a shard of `capacity` slots.
    pub(crate) fn bytes(capacity: usize) -> u64 {
        heap_bytes(Self::length(capacity) * size_of::<u32>())
    }

    /// Fits the table to the shard. What was remembered is forgotten: that costs a few newcomers a round.
    pub(crate) fn resize(&mut self, capacity: usize) {
        if self.0.len() != Self::length(capacity) {
            self.0 = vec![0; Self::length(capacity)].into();
        }
    }

    pub(crate) fn remember(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            *place = fingerprint(hash);
        }
    }

    /// Whether the hash was remembered; it no longer is.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        match self.place(hash) {
            Some(place) if *place == fingerprint(hash) => {
                *place = 0;
                true
            }
            _ => false,
        }
    }

    fn place(&mut self, hash: u64) -> Option<&mut u32> {
        let index = (hash >> 20) as usize & self.0.len().wrapping_sub(1);
        self.0.get_mut(index)
    }
}

/// Never 0, which marks an empty place.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}
