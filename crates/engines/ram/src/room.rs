//! Finding room: in the item's own shard first, then in all shards in turn.

use std::sync::atomic::Ordering;

use larder_engine::Timestamp;

use crate::RamEngine;
use crate::clean::Effort;
use crate::index::{Crowded, ShortHash};
use crate::large::LargeValue;
use crate::shard::{Around, QueueName, Shard};

/// Times a change looks for room before it gives up; each time others may have taken what was freed.
pub(crate) const ATTEMPTS_MAX: usize = 16;
/// Times a shard makes room in itself before the others are asked.
const OWN_GAINS_MAX: usize = 64;
/// Shards asked in vain before memory counts as full, where nothing living may be evicted.
const SHARDS_IN_VAIN_MAX: usize = 8;
/// The part of the memory that marks of absence may take.
const ABSENT_PARTS: u64 = 16;

impl RamEngine {
    pub(crate) fn around(&self, now: Timestamp) -> Around<'_> {
        Around {
            arena: &self.arena,
            hasher: &self.hasher,
            flushes: &self.flushes,
            observer: self.observer.get().map(|observer| &**observer),
            now,
            segment_bytes: self.segment_bytes,
            evict: self.options.evict,
            absent_bytes_max: self.arena.budget.limit() / self.shards.len() as u64 / ABSENT_PARTS,
        }
    }

    /// Makes room for a record at the end of a queue and, for a new key, in the index. `Ok(true)`: records may have moved or gone
    /// meanwhile. The error is how many bytes this shard lacks; 0: no memory would help.
    #[inline]
    pub(crate) fn find_room(
        &self,
        shard: &mut Shard,
        queue: QueueName,
        length: usize,
        is_new: bool,
        hash: u64,
        now: Timestamp,
    ) -> Result<bool, u64> {
        if shard.has_room(queue, length) && (!is_new || shard.index.has_room(ShortHash::of(hash))) {
            return Ok(false);
        }
        self.find_more_room(shard, queue, length, hash, now).map(|()| true)
    }

    #[cold]
    fn find_more_room(
        &self,
        shard: &mut Shard,
        queue: QueueName,
        length: usize,
        hash: u64,
        now: Timestamp,
    ) -> Result<(), u64> {
        let around = self.around(now);
        let mut effort = Effort::new();
        let mut start = None;
        let mut outcome = Err(0);
        for _ in 0..OWN_GAINS_MAX {
            outcome = self.prepare(shard, queue, length, hash, &around);
            let Err(lacking @ 1..) = outcome else { break };
            start.get_or_insert_with(|| self.services.clock.elapsed());
            if shard.gain(&around, lacking, &mut effort).is_none() {
                break;
            }
        }
        if let Some(start) = start {
            self.timing.record(self.services.clock.elapsed().saturating_sub(start));
        }
        outcome
    }

    /// Takes what memory is needed, as far as the budget goes; the error is what it lacks. In the index there is room
    /// afterwards whether or not the key is there now: its own item may go for another's sake.
    fn prepare(
        &self,
        shard: &mut Shard,
        queue: QueueName,
        length: usize,
        hash: u64,
        around: &Around<'_>,
    ) -> Result<(), u64> {
        // First, for it takes entries out of the index: a table without any has no place for one.
        if queue == QueueName::Absent && !shard.has_room(queue, length) {
            shard.make_way_for_absent(around);
        }
        if let Some(growth) = shard.index.growth(ShortHash::of(hash)).map_err(|Crowded| 0u64)? {
            let bytes = growth.bytes;
            if !self.arena.budget.reserve(bytes) || !shard.index.grow(&growth, &self.arena) {
                return Err(bytes);
            }
        }
        if shard.has_room(queue, length) {
            return Ok(());
        }
        shard.ghosts.fit(shard.items, &self.arena);
        if shard.has_room(queue, length) || shard.open_segment(queue, around) {
            return Ok(());
        }
        Err(self.segment_bytes as u64)
    }

    /// Pages for a large value, for which others are evicted if need be.
    pub(crate) fn find_pages(&self, length: usize, now: Timestamp) -> Option<LargeValue> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(pages) = LargeValue::new(&self.arena, length) {
                return Some(pages);
            }
            if !self.make_room(crate::large::charge(length), now) {
                return None;
            }
        }
        None
    }

    /// Evicts from the shards in turn until `bytes` more fit. `false`: nothing more can be evicted.
    pub(crate) fn make_room(&self, bytes: u64, now: Timestamp) -> bool {
        if bytes > self.arena.budget.limit() {
            return false;
        }
        let in_vain_max = if self.options.evict { self.shards.len() } else { SHARDS_IN_VAIN_MAX };
        let around = self.around(now);
        let mut in_vain = 0;
        loop {
            let lacking = self.arena.budget.lacking(bytes);
            if lacking == 0 {
                return true;
            }
            let index = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
            let mut shard = self.shards[index].0.lock();
            let start = self.services.clock.elapsed();
            let gained = shard.gain(&around, lacking, &mut Effort::new());
            let freed = gained.unwrap_or_else(|| shard.give_back_empty(&around));
            drop(shard);
            self.timing.record(self.services.clock.elapsed().saturating_sub(start));
            in_vain = if freed == 0 { in_vain + 1 } else { 0 };
            if in_vain > in_vain_max {
                return false;
            }
        }
    }
}
