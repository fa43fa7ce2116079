//! The engine trait.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::Ordering as AtomicOrdering;

use larder_engine::semantics::{self, Change as Meaning};
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Flushed,
    Found, Get, GetReply, Key, MemoryUse, Mode, Number, Ordering, Payload, Reply, ScanOrder, ScanPage, Scope,
    Sink, StatsSink, Store, Stored, Timestamp,
};

use crate::RamEngine;
use crate::entry::Queue;
use crate::flush::prefix_of;
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
        {
            let mut locked = self.shard(hash).lock();
            let shard = &mut *locked;
            let slot = self
                .find_living(shard, hash, key.bytes(), context.now)
                .filter(|slot| !shard.entries[*slot as usize].is_absent_mark());
            match slot {
                None if get.vivify.is_none() => return Reply::done(None),
                None => {}
                Some(slot) => {
                    let entry = shard.entry(slot);
                    if !entry.would_change(get, context.now) {
                        let found = entry.found();
                        if get.bump {
                            entry.mark_access(context.now);
                        }
                        entry.show(&found, sink);
                        return Reply::done(Some(found));
                    }
                }
            }
        }
        Reply::Ready(self.get_and_change(context, key, get, sink).map(Some))
    }

    fn store(&self, context: &Context<'_>, mut store: Store<'_>) -> Reply<Stored> {
        self.settle(context.now);
        let item_size_max = self.item_size_max();
        if store.value.len() as u64 > item_size_max {
            return Reply::failed(ErrorKind::TooLarge);
        }
        let change = Change {
            given: std::mem::replace(&mut store.value, Payload::Borrowed(&[])),
            replaces: !matches!(store.mode, Mode::Append | Mode::Prepend),
            ..Change::direct(store.key.bytes(), context.now)
        };
        Reply::Ready(self.change(change, |entry, value, id| {
            let current = entry.map(|entry| entry.current());
            let next = semantics::store(current.as_ref(), &store, value, id, item_size_max)?;
            let kept = current.map_or(0, |current| current.value.len());
            let size = next.value.len(kept, value.len());
            let stored = Stored { cas: next.cas, size, level: LEVEL, version: id };
            Ok((Step::Put(Plan::new(&next, Cause::Write)), stored))
        }))
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        self.settle(context.now);
        let change = Change::direct(key.bytes(), context.now);
        Reply::Ready(self.change(change, |entry, _, id| {
            let current = entry.map(|entry| entry.current());
            let mut deleted = Deleted { cas: 0, level: LEVEL, version: id };
            Ok(match semantics::delete(current.as_ref(), delete, id)? {
                Meaning::None => (Step::Leave, deleted),
                Meaning::Remove => (Step::Remove, deleted),
                Meaning::Put(next) => {
                    deleted.cas = next.cas;
                    (Step::Put(Plan::new(&next, Cause::Write)), deleted)
                }
            })
        }))
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        self.settle(context.now);
        let change = Change::direct(key.bytes(), context.now);
        Reply::Ready(self.change(change, |entry, _, id| {
            let current = entry.map(|entry| entry.current());
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
            Ok((Step::Put(Plan::new(&next, Cause::Write)), number))
        }))
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        self.settle(context.now);
        match when.filter(|when| *when > context.now) {
            Some(when) => self.flushes.wait_for(scope, Some(when)),
            None => {
                self.flushes.wait_for(scope, None);
                self.leases.revoke_all();
                self.flushes.flush(prefix_of(scope), when);
                if self.flushes.has_too_many_records() {
                    self.sweep_flushed();
                }
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
            bytes: self.memory.used(),
            bytes_limit: self.memory.limit(),
            out_of_memory: self.out_of_memory.load(AtomicOrdering::Relaxed),
            ..MemoryUse::default()
        };
        for shard in self.locked_shards() {
            sum.items += shard.items();
            sum.evictions += shard.events.evictions;
            sum.evicted_unfetched += shard.events.evicted_unfetched;
            sum.reclaimed += shard.events.reclaimed;
            sum.expired_unfetched += shard.events.expired_unfetched;
        }
        sum
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        let held = self.memory_use();
        sink.stat("items", &held.items);
        sink.stat("bytes", &held.bytes);
        sink.stat("bytes_limit", &held.bytes_limit);
        sink.stat("evictions", &held.evictions);
        sink.stat("evicted_unfetched", &held.evicted_unfetched);
        sink.stat("reclaimed", &held.reclaimed);
        sink.stat("expired_unfetched", &held.expired_unfetched);
        sink.stat("out_of_memory", &held.out_of_memory);
        let absent: u64 = self.locked_shards().map(|shard| u64::from(shard.list(Queue::Absent).count)).sum();
        sink.stat("absent_marks", &absent);
        sink.stat("keys_in_flight", &self.leases.len());
        sink.stat("shards", &self.shards.len());
        sink.stat("item_size_max", &self.item_size_max());
    }

    fn reset_stats(&self) {
        self.out_of_memory.store(0, AtomicOrdering::Relaxed);
        for mut shard in self.locked_shards() {
            shard.events = Events::default();
        }
    }

    /// Evicts down to the new bound before it returns, shard by shard: milliseconds for each million items that go.
    fn set_memory_limit(&self, bytes: u64) -> Result<(), EngineError> {
        self.memory.set_limit(bytes);
        // What cannot be evicted stays, and nothing is added until it is gone.
        self.make_room(0, self.services.clock.now());
        Ok(())
    }

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl RamEngine {
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
        let mut shown = false;
        let answer = self.change(change, |entry, _, id| {
            let current = entry.map(|entry| entry.current());
            // The item may have gone since the look-up that led here.
            let seen = semantics::get(current.as_ref(), get, id, context.now).ok_or(ErrorKind::NotFound)?;
            let mut found = seen.found;
            if let Some(entry) = entry {
                found.last_access = Some(entry.last_access);
                found.fetched = entry.fetched;
            }
            let step = match seen.change {
                Meaning::Put(next) => {
                    found.version = id;
                    Step::Put(Plan::new(&next, Cause::Read { bump: get.bump }))
                }
                Meaning::None | Meaning::Remove => Step::Leave,
            };
            if let Some(entry) = entry {
                // A change to an item that is there needs no room, so this is the only time.
                entry.show(&found, sink);
                shown = true;
            }
            Ok((step, found))
        })?;
        if !shown {
            sink.hit(&answer, &[]);
        }
        Ok(answer)
    }

    /// Forgets the items under `prefix` and under none of `except`, for keys that come from another stack or leave for
    /// one: a copy kept of one store must not answer for another. Copies on their way in are refused too.
    pub fn forget(&self, prefix: &[u8], except: &[&[u8]]) {
        self.leases.revoke_all();
        self.flushes.flush_except(prefix, except);
        if self.flushes.has_too_many_records() {
            self.sweep_flushed();
        }
    }

    /// Checks every item against the flush records, so that these can be forgotten.
    fn sweep_flushed(&self) {
        let epoch = self.flushes.epoch();
        for mut shard in self.locked_shards() {
            let mut freed = 0;
            for slot in 0..shard.entries.len() as u32 {
                let entry = shard.entry(slot);
                if !entry.is_vacant() && self.flushes.has_taken(entry) {
                    freed += shard.reclaim(slot);
                }
            }
            self.memory.release(freed + shard.pack());
        }
        self.flushes.forget_records(epoch);
    }
}
