//! The engine trait.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering as AtomicOrdering;

use larder_engine::semantics::{self, Change as Meaning};
use larder_engine::{
    Arithmetic, Coming, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind,
    Expiry, Flushed, Found, Get, GetReply, Key, ManySink, MemoryUse, Mode, Number, Observer, Ordering,
    Payload, Reply, ScanOrder, ScanPage, Scope, Sink, StatsSink, Store, Stored, Timestamp, Writer,
};

use crate::RamEngine;
use crate::flush::prefix_of;
use crate::record::{self, Kind};
use crate::shard::Events;
use crate::write::{Cause, Change, Plan, Step};

const LEVEL: Durability = Durability::Ram;

impl Engine for RamEngine {
    fn describe(&self) -> Description {
        Description {
            name: Cow::Borrowed("ram"),
            level: LEVEL,
            item_size_max: self.item_size_max(),
            shared: false,
            ordering: Ordering::PerKey,
            versions: true,
            tracks_access: true,
            scan_in_key_order: false,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        self.settle(context.now);
        let hash = self.hash(key.bytes());
        self.get_hashed(context, key, hash, get, sink)
    }

    fn get_many(&self, context: &Context<'_>, keys: &[Key<'_>], get: &Get, sink: &mut dyn ManySink) {
        self.settle(context.now);
        self.look_up_many(keys, |index, key, hash| {
            let reply = self.get_hashed(context, key, hash, get, sink.sink(index));
            sink.answer(index, reply);
        });
    }

    fn prefetch(&self, keys: &[Key<'_>], _coming: Coming) {
        self.fetch_keys_ahead(keys);
    }

    fn store(&self, context: &Context<'_>, mut store: Store<'_>) -> Reply<Stored> {
        self.settle(context.now);
        let item_size_max = self.item_size_max();
        if store.value.len() as u64 > item_size_max {
            return Reply::failed(ErrorKind::TooLarge);
        }
        let change = Change {
            given: std::mem::replace(&mut store.value, Payload::Borrowed(&[])),
            replaces: store.mode == Mode::Set && store.compare.is_none(),
            ..Change::direct(store.key.bytes(), context.now)
        };
        Reply::Ready(self.change(change, |item, value, id| {
            let current = item.map(|item| item.current());
            let next = semantics::store(current.as_ref(), &store, value, id, item_size_max)?;
            let kept = current.map_or(0, |current| current.value.len());
            let size = next.value.len(kept, value.len());
            let stored = Stored { cas: next.cas, size, level: LEVEL, version: id };
            Ok((Step::Put(Plan::new(&next, value, Cause::Write)), stored))
        }))
    }

    fn reserve(
        &self,
        context: &Context<'_>,
        _key: Key<'_>,
        length: usize,
        _flags: u32,
        _expiry: Expiry,
    ) -> Reply<Writer> {
        if length as u64 > self.item_size_max() {
            return Reply::failed(ErrorKind::TooLarge);
        }
        if length <= self.small_value_bytes_max {
            return Reply::done(Writer::heap(length));
        }
        match self.find_pages(length, context.now) {
            Some(pages) => Reply::done(Writer::new(pages)),
            None => {
                self.out_of_memory.fetch_add(1, AtomicOrdering::Relaxed);
                Reply::failed(ErrorKind::OutOfMemory)
            }
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        self.settle(context.now);
        let change = Change::direct(key.bytes(), context.now);
        Reply::Ready(self.change(change, |item, _, id| {
            let current = item.map(|item| item.current());
            let mut deleted = Deleted { cas: 0, level: LEVEL, version: id };
            Ok(match semantics::delete(current.as_ref(), delete, id)? {
                Meaning::None => (Step::Leave, deleted),
                Meaning::Remove => (Step::Remove, deleted),
                Meaning::Put(next) => {
                    deleted.cas = next.cas;
                    (Step::Put(Plan::new(&next, &[], Cause::Write)), deleted)
                }
            })
        }))
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        self.settle(context.now);
        let change = Change::direct(key.bytes(), context.now);
        Reply::Ready(self.change(change, |item, _, id| {
            let current = item.map(|item| item.current());
            let (next, value, created) = semantics::arithmetic(current.as_ref(), arithmetic, id)?;
            let number = Number {
                value,
                cas: next.cas,
                flags: next.flags,
                expiry: next.expiry,
                expiry_before: current.as_ref().map_or(next.expiry, |current| current.expiry),
                created,
                stale: next.stale,
                token_taken: next.token_taken,
                level: LEVEL,
                version: id,
            };
            Ok((Step::Put(Plan::new(&next, &[], Cause::Write)), number))
        }))
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        self.settle(context.now);
        match when.filter(|when| *when > context.now) {
            Some(when) => self.flushes.wait_for(scope, Some(when)),
            None => {
                let turn = self.flushes.turn();
                self.flushes.wait_for(scope, None);
                self.leases.revoke_all();
                self.flushes.flush(prefix_of(scope), when);
                self.sweep_if_due(context.now);
                drop(turn);
            }
        }
        Reply::done(Flushed { level: LEVEL })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        self.settle(context.now);
        Reply::Ready(self.scan_page(context.now, cursor, bytes_max))
    }

    fn reserve_ids(&self, _context: &Context<'_>, count: u64) -> Reply<Range<u64>> {
        let first = self.ids.fetch_add(count, AtomicOrdering::Relaxed) + 1;
        Reply::done(first..first + count)
    }

    fn memory_use(&self) -> MemoryUse {
        let mut sum = MemoryUse {
            bytes_limit: self.arena.budget.limit(),
            out_of_memory: self.out_of_memory.load(AtomicOrdering::Relaxed),
            ..MemoryUse::default()
        };
        for shard in self.locked_shards() {
            sum.items += shard.items;
            sum.bytes += shard.live_bytes();
            sum.evictions += shard.events.evictions;
            sum.evicted_unfetched += shard.events.evicted_unfetched;
            sum.reclaimed += shard.events.reclaimed;
            sum.expired_unfetched += shard.events.expired_unfetched;
        }
        sum
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        let held = self.memory_use();
        let (mut absent, mut index, mut ghosts, mut evicted_age) = (0, 0, 0, 0);
        for shard in self.locked_shards() {
            absent += shard.absent_marks;
            index += shard.index.bytes();
            ghosts += shard.ghosts.bytes();
            evicted_age = evicted_age.max(shard.events.evicted_age);
        }
        sink.stat("items", &held.items);
        sink.stat("bytes", &held.bytes);
        sink.stat("bytes_limit", &held.bytes_limit);
        sink.stat("bytes_taken", &self.arena.budget.used());
        sink.stat("bytes_free_resident", &self.arena.warm_bytes());
        sink.stat("bytes_index", &index);
        sink.stat("bytes_ghosts", &ghosts);
        sink.stat("bytes_mapped", &self.arena.mapped_bytes());
        sink.count("evictions", held.evictions);
        sink.count("evicted_unfetched", held.evicted_unfetched);
        sink.stat("evicted_age_seconds", &evicted_age);
        sink.count("eviction_calls", self.timing.count());
        sink.stat("eviction_us_p99", &self.timing.percentile_us(990));
        sink.stat("eviction_us_max", &self.timing.max_us());
        sink.count("reclaimed", held.reclaimed);
        sink.count("expired_unfetched", held.expired_unfetched);
        sink.count("out_of_memory", held.out_of_memory);
        sink.stat("absent_marks", &absent);
        sink.stat("keys_in_flight", &self.leases.len());
        sink.stat("shards", &self.shards.len());
        sink.stat("segment_bytes", &self.segment_bytes);
        sink.stat("item_size_max", &self.item_size_max());
    }

    fn reset_stats(&self) {
        self.out_of_memory.store(0, AtomicOrdering::Relaxed);
        self.timing.reset();
        for mut shard in self.locked_shards() {
            shard.events = Events::default();
        }
    }

    /// Evicts down to the new bound before it returns, a segment at a time, and gives the memory back to the system.
    fn set_memory_limit(&self, bytes: u64) -> Result<(), EngineError> {
        self.arena.budget.set_limit(bytes);
        // What cannot be evicted stays, and nothing is added until it is gone.
        self.make_room(0, self.services.clock.now());
        self.arena.trim();
        Ok(())
    }

    fn observe(&self, observer: &Arc<dyn Observer>) {
        self.observer.get_or_init(|| observer.clone());
    }

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl RamEngine {
    #[inline]
    fn get_hashed(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        hash: u64,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> GetReply {
        match self.read(context, key, hash, get, sink) {
            Some(answer) => Reply::done(answer),
            None => Reply::Ready(match self.get_and_change(context, key, get, sink) {
                // It went since the look-up that led there.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                answer => answer.map(Some),
            }),
        }
    }

    /// A look-up that changes nothing but what it notes of the access. `None`: it has to change the item or create it;
    /// nothing was shown.
    #[inline]
    fn read(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        hash: u64,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Option<Option<Found>> {
        let missing = if get.vivify.is_none() { Some(None) } else { None };
        let mut locked = self.shard(hash).lock();
        let shard = &mut *locked;
        let place = match self.find_living(shard, hash, key.bytes(), context.now) {
            Ok(place) => place,
            Err(miss) => {
                miss.why.into_iter().for_each(|why| sink.missed(why));
                return missing;
            }
        };
        let item = shard.view(place);
        if item.head.kind == Kind::Absent {
            return missing;
        }
        if item.would_change(get, context.now) {
            return None;
        }
        let found = item.found();
        item.show(&found, sink);
        if get.bump {
            record::mark_access(shard.record_mut(place), context.now);
        }
        Some(Some(found))
    }

    /// A look-up that changes the item or creates it.
    #[cold]
    fn get_and_change(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Result<Found, EngineError> {
        let change = Change::direct(key.bytes(), context.now);
        let decide = |item: Option<&record::View<'_>>, _: &[u8], id| {
            let current = item.map(|item| item.current());
            // The item may have gone since the look-up that led here.
            let seen = semantics::get(current.as_ref(), get, id, context.now).ok_or(ErrorKind::NotFound)?;
            let mut found = seen.found;
            if let Some(item) = item {
                found.last_access = Some(item.head.last_access);
                found.fetched = item.head.fetched;
            }
            let step = match seen.change {
                Meaning::Put(next) => {
                    found.version = id;
                    Step::Put(Plan::new(&next, &[], Cause::Read { bump: get.bump }))
                }
                Meaning::None | Meaning::Remove => Step::Leave,
            };
            Ok((step, found))
        };
        let show = |item: &record::View<'_>, found: &Found| item.show(found, sink);
        self.change_and(change, decide, Some(show))
    }

    /// Forgets the items under `prefix` and under none of `except`, for keys that come from another stack or leave for
    /// one: a copy kept of one store must not answer for another. Copies on their way in are refused too.
    pub fn forget(&self, prefix: &[u8], except: &[&[u8]]) {
        let turn = self.flushes.turn();
        self.leases.revoke_all();
        self.flushes.flush_except(prefix, except);
        self.sweep_if_due(self.services.clock.now());
        drop(turn);
    }

    #[cold]
    pub(crate) fn run_due_flushes(&self, now: Timestamp) {
        let turn = self.flushes.turn();
        if !self.flushes.is_due(now) {
            // Somebody else's turn was first.
            return;
        }
        // First the leases: a copy read before the flush must not be filled after it.
        self.leases.revoke_all();
        self.flushes.run_due(now);
        self.sweep_if_due(now);
        drop(turn);
    }

    /// Checks every item against the flush records when there are many, so that these can be forgotten. It is the
    /// caller's turn to flush.
    fn sweep_if_due(&self, now: Timestamp) {
        if !self.flushes.wants_sweep() {
            return;
        }
        let around = self.around(now);
        for shard in &self.shards {
            // A segment at a time, so that nobody waits long. What is moved meanwhile to one that has been seen is checked when
            // it is moved, and what is written is of this epoch.
            let mut number = 1;
            loop {
                let mut shard = shard.0.lock();
                let Some(segment) = shard.segments.get(number as usize) else { break };
                if segment.run.is_some() {
                    shard.drop_ended(number, &around);
                }
                number += 1;
            }
        }
        self.flushes.swept();
    }
}
