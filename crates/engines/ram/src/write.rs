//! How a change is made: decide under the shard's lock, find room, apply.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use larder_engine::lease::FillGuard;
use larder_engine::semantics::{Decimal, Next, NextValue};
use larder_engine::{EngineError, ErrorKind, Expiry, Payload, Timestamp};

use crate::RamEngine;
use crate::entry::{Body, Entry, NONE, Queue, SHARED_VALUE_BYTES_MIN, Source, body_bytes};
use crate::shard::Shard;

/// Times a change looks for room before it gives up; each time others may have taken what was freed.
const ATTEMPTS_MAX: usize = 16;
/// Entries evicted from the item's own shard before the other shards are asked.
const OWN_EVICTIONS_MAX: usize = 64;
/// A change that needs a larger part of an average shard than one in this many takes room from all shards in turn.
const OWN_SHARE_PARTS: u64 = 8;
/// Bytes and entries evicted from one shard under one lock.
const STEP_BYTES: u64 = 64 * 1024;
const STEP_ENTRIES: usize = 64;
/// Shards asked in vain before memory counts as full, where nothing living may be evicted.
const SHARDS_IN_VAIN_MAX: usize = 8;

/// What a command does to the entry under its key.
pub(crate) enum Step {
    Leave,
    Remove,
    Put(Plan),
}

/// The entry a command leaves.
pub(crate) struct Plan {
    pub(crate) flags: u32,
    pub(crate) cas: u64,
    pub(crate) expiry: Expiry,
    pub(crate) stale: bool,
    pub(crate) token_taken: bool,
    pub(crate) content: Content,
    pub(crate) cause: Cause,
}

/// Where its value comes from.
pub(crate) enum Content {
    Kept,
    Given,
    Composed(Bytes),
    Decimal(Decimal),
    Empty,
}

/// Why it is put.
#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// A write.
    Write,
    /// A read with side effects: the item counts as written when it was.
    Read { bump: bool },
    /// A copy of a store's item.
    Fill { fresh_until: u32, fetched: bool, last_access: Timestamp },
    /// A store's word that there is none.
    Absent { fresh_until: u32 },
}

impl Plan {
    pub(crate) fn new(next: &Next<'_>, cause: Cause) -> Self {
        let content = match &next.value {
            NextValue::Kept => Content::Kept,
            NextValue::Given => Content::Given,
            NextValue::Empty => Content::Empty,
            NextValue::Decimal(decimal) => Content::Decimal(*decimal),
            joined @ NextValue::Joined(..) => joined.composed().map_or(Content::Empty, Content::Composed),
        };
        Plan {
            flags: next.flags,
            cas: next.cas,
            expiry: next.expiry,
            stale: next.stale,
            token_taken: next.token_taken,
            content,
            cause,
        }
    }
}

/// Whose change it is.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) now: Timestamp,
    pub(crate) given: Payload<'a>,
    /// Held since the change was admitted; `None` for a direct write, which refuses fills on their way.
    pub(crate) guard: Option<FillGuard<'a>>,
    /// Whether an item that is there goes if the new one finds no room, so that no old value stays.
    pub(crate) replaces: bool,
}

impl<'a> Change<'a> {
    pub(crate) fn direct(key: &'a [u8], now: Timestamp) -> Self {
        Change { key, now, given: Payload::Borrowed(&[]), guard: None, replaces: false }
    }
}

/// Why a change could not be applied yet.
struct Short {
    bytes: u64,
}

impl RamEngine {
    /// Makes a change. `decide` is shown the living item (no mark of absence), the value given and a new id; it may be
    /// called again when room had to be found in between.
    pub(crate) fn change<'a, R>(
        &'a self,
        mut change: Change<'a>,
        mut decide: impl FnMut(Option<&Entry>, &[u8], u64) -> Result<(Step, R), ErrorKind>,
    ) -> Result<R, EngineError> {
        let hash = self.hash(change.key);
        for _ in 0..ATTEMPTS_MAX {
            if change.guard.is_none() && !self.leases.is_empty() {
                change.guard = Some(self.leases.revoke(change.key));
            }
            let mut locked = self.shard(hash).lock();
            if change.guard.is_none() && !self.leases.is_empty() {
                // A lease was taken in between; its holder must hear of this change.
                continue;
            }
            let shard = &mut *locked;
            let slot = self.find_living(shard, hash, change.key, change.now);
            let item = slot.map(|slot| &shard.entries[slot as usize]).filter(|entry| !entry.is_absent_mark());
            let (step, answer) = decide(item, change.given.as_slice(), self.next_id())?;
            let plan = match step {
                Step::Leave => return Ok(answer),
                Step::Remove => {
                    if let Some(slot) = slot {
                        self.memory.release(shard.remove(slot) + shard.pack());
                    }
                    return Ok(answer);
                }
                Step::Put(plan) => plan,
            };
            match self.put(shard, slot, hash, &mut change, plan) {
                Ok(()) => return Ok(answer),
                Err(Short { bytes }) => {
                    drop(locked);
                    if !self.make_room(bytes, change.now) {
                        break;
                    }
                }
            }
        }
        self.no_room(hash, &change)
    }

    #[cold]
    fn no_room<R>(&self, hash: u64, change: &Change<'_>) -> Result<R, EngineError> {
        self.out_of_memory.fetch_add(1, Ordering::Relaxed);
        if change.replaces {
            let mut shard = self.shard(hash).lock();
            if let Some(slot) = shard.find(hash, change.key) {
                self.memory.release(shard.remove(slot));
            }
        }
        Err(ErrorKind::OutOfMemory.into())
    }

    /// Applies a plan, if there is room.
    fn put(
        &self,
        shard: &mut Shard,
        slot: Option<u32>,
        hash: u64,
        change: &mut Change<'_>,
        plan: Plan,
    ) -> Result<(), Short> {
        if let (Some(slot), Content::Kept) = (slot, &plan.content) {
            self.set_header(shard.entry(slot), &plan, change.now);
            return Ok(());
        }
        let length = match &plan.content {
            Content::Given => change.given.len(),
            Content::Composed(bytes) => bytes.len(),
            Content::Decimal(decimal) => decimal.as_slice().len(),
            Content::Empty | Content::Kept => 0,
        };
        let bytes = body_bytes(change.key.len(), length);
        let bytes_before = slot.map_or(0, |slot| shard.entries[slot as usize].body_bytes());
        self.find_room(shard, slot, bytes.saturating_sub(bytes_before), change.now)?;

        let lent_decimal;
        let source = match plan.content {
            Content::Given if length >= SHARED_VALUE_BYTES_MIN => {
                let given = std::mem::replace(&mut change.given, Payload::Borrowed(&[]));
                Source::Shared(given.into_bytes())
            }
            Content::Given => Source::Lent(change.given.as_slice()),
            Content::Composed(ref bytes) => Source::Shared(bytes.clone()),
            Content::Decimal(decimal) => {
                lent_decimal = decimal;
                Source::Lent(lent_decimal.as_slice())
            }
            Content::Empty | Content::Kept => Source::Lent(&[]),
        };
        match slot {
            Some(slot) => {
                let queue = queue_of(plan.cause, shard.entry(slot).queue);
                let entry = shard.entry(slot);
                entry.set_value(source);
                self.set_header(entry, &plan, change.now);
                entry.mark_use();
                shard.resized(slot, bytes_before);
                if queue != shard.entry(slot).queue {
                    shard.requeue(slot, queue);
                }
            }
            None => self.insert(shard, hash, change, &plan, source),
        }
        self.memory.release(bytes_before.saturating_sub(bytes));
        if let Cause::Absent { .. } = plan.cause {
            let share_bytes = self.memory.limit() / self.shards.len() as u64;
            self.memory.release(shard.trim_absent(share_bytes));
        }
        Ok(())
    }

    fn insert(&self, shard: &mut Shard, hash: u64, change: &Change<'_>, plan: &Plan, source: Source<'_>) {
        let newcomer = if shard.ghosts.take(hash) { Queue::Main } else { Queue::Small };
        let mut entry = Entry {
            body: Body::new(change.key, source),
            hash,
            cas: plan.cas,
            epoch: 0,
            flags: plan.flags,
            expiry: plan.expiry,
            fresh_until: 0,
            last_access: change.now,
            written: change.now,
            next: NONE,
            previous: NONE,
            key_length: change.key.len() as u8,
            frequency: 0,
            queue: queue_of(plan.cause, newcomer),
            stale: plan.stale,
            token_taken: plan.token_taken,
            fetched: false,
        };
        self.set_header(&mut entry, plan, change.now);
        shard.insert(entry);
    }

    fn set_header(&self, entry: &mut Entry, plan: &Plan, now: Timestamp) {
        entry.flags = plan.flags;
        entry.cas = plan.cas;
        entry.expiry = plan.expiry;
        entry.stale = plan.stale;
        entry.token_taken = plan.token_taken;
        if let Cause::Read { bump } = plan.cause {
            if bump {
                entry.mark_access(now);
            }
            if !matches!(plan.content, Content::Empty) {
                return;
            }
        }
        entry.epoch = self.flushes.epoch();
        entry.written = now;
        (entry.fresh_until, entry.fetched, entry.last_access) = match plan.cause {
            Cause::Write => (0, false, now),
            Cause::Read { bump } => (0, bump, now),
            Cause::Fill { fresh_until, fetched, last_access } => (fresh_until, fetched, last_access),
            Cause::Absent { fresh_until } => (fresh_until, false, now),
        };
    }

    /// Reserves `bytes`, and a slot if there is none yet; evicts from this shard if that will do.
    fn find_room(
        &self,
        shard: &mut Shard,
        slot: Option<u32>,
        bytes: u64,
        now: Timestamp,
    ) -> Result<(), Short> {
        let share_bytes = self.memory.limit() / self.shards.len() as u64;
        for _ in 0..OWN_EVICTIONS_MAX {
            let grows = slot.is_none() && !shard.has_free_slot();
            let growth_bytes = if grows { shard.growth_bytes() } else { 0 };
            let needed = bytes + growth_bytes;
            if self.memory.reserve(needed) {
                if grows {
                    shard.grow();
                }
                return Ok(());
            }
            if bytes * OWN_SHARE_PARTS > share_bytes {
                return Err(Short { bytes: needed });
            }
            match shard.evict(now, &self.flushes, slot.unwrap_or(NONE), self.options.evict) {
                Some(freed) => self.memory.release(freed),
                None => return Err(Short { bytes: needed }),
            }
        }
        Err(Short { bytes })
    }

    /// Evicts from the shards in turn until `bytes` more fit. `false`: nothing more can be evicted.
    pub(crate) fn make_room(&self, bytes: u64, now: Timestamp) -> bool {
        if bytes > self.memory.limit() {
            return false;
        }
        let in_vain_max = if self.options.evict { self.shards.len() } else { SHARDS_IN_VAIN_MAX };
        let mut in_vain = 0;
        loop {
            let lacking = self.memory.lacking(bytes);
            if lacking == 0 {
                return true;
            }
            let index = self.hand.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1);
            let mut shard = self.shards[index].0.lock();
            let mut freed = 0;
            for _ in 0..STEP_ENTRIES {
                if freed >= lacking.min(STEP_BYTES) {
                    break;
                }
                match shard.evict(now, &self.flushes, NONE, self.options.evict) {
                    Some(bytes) => freed += bytes,
                    None => break,
                }
            }
            freed += shard.pack();
            drop(shard);
            self.memory.release(freed);
            in_vain = if freed == 0 { in_vain + 1 } else { 0 };
            if in_vain > in_vain_max {
                return false;
            }
        }
    }
}

/// The queue for an entry: marks of absence have their own, an item that takes the place of one begins anew.
fn queue_of(cause: Cause, otherwise: Queue) -> Queue {
    match (cause, otherwise) {
        (Cause::Absent { .. }, _) => Queue::Absent,
        (_, Queue::Absent) => Queue::Small,
        (_, queue) => queue,
    }
}
