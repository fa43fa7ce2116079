//! The checks of caches accept a cache that is right and reject caches with one known fault each.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;
use crate::context::Context;
use crate::engine::{Description, MemoryUse, StatsSink};
use crate::error::EngineError;
use crate::item::Token;
use crate::kit::truth::TrueItem;
use crate::lease::LeaseTable;
use crate::reply::{Deleted, Flushed, GetReply, Number, Sink, Stored};
use crate::request::{Arithmetic, Delete, ScanOrder, ScanPage, Scope, Store};
use crate::semantics::{Current, get_changes};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    TakesSlowReads,
    TakesLateWrites,
    ForgetsLeasesWhenEvicting,
    ServesOverdue,
    HandsOutTokens,
    RemembersAbsenceForEver,
    KeepsOlderCopy,
    LosesStaleMark,
    Unbounded,
}

const LIMIT_BYTES: u64 = 1 << 20;
const ITEM_SIZE_MAX: u64 = LIMIT_BYTES / 2;

/// A map under a lock, with a lease table. When it is full the first key goes.
struct ModelCache {
    copies: Mutex<Copies>,
    leases: LeaseTable,
    bug: Bug,
}

#[derive(Default)]
struct Copies {
    all: BTreeMap<Vec<u8>, Copy>,
    bytes: u64,
    evictions: u64,
}

struct Copy {
    /// `None`: the store has none.
    item: Option<TrueItem>,
    fresh_until: Option<Timestamp>,
}

impl Copies {
    fn remove(&mut self, key: &[u8]) {
        if let Some(copy) = self.all.remove(key) {
            self.bytes -= weight(key, &copy);
        }
    }

    fn put(&mut self, key: &[u8], copy: Copy, bounded: bool) {
        self.remove(key);
        self.bytes += weight(key, &copy);
        self.all.insert(key.into(), copy);
        while bounded && self.bytes > LIMIT_BYTES {
            let first = self.all.keys().find(|other| *other != key).cloned().expect("one item fits");
            self.remove(&first);
            self.evictions += 1;
        }
    }
}

fn weight(key: &[u8], copy: &Copy) -> u64 {
    (key.len() + copy.item.as_ref().map_or(0, |item| item.value.len())) as u64
}

impl ModelCache {
    fn found(item: &TrueItem) -> Found {
        Found {
            flags: item.flags,
            cas: item.cas.unwrap_or(0),
            expiry: item.expiry,
            expiry_before: item.expiry,
            stale: item.stale,
            token: if item.token_taken { Token::Taken } else { Token::Free },
            ..Found::default()
        }
    }
}

fn unused() -> ! {
    unreachable!("the checks of caches do not call this")
}

impl Engine for ModelCache {
    fn describe(&self) -> Description {
        let model = crate::kit::ModelEngine::default();
        Description { name: "model cache".into(), item_size_max: ITEM_SIZE_MAX, ..model.describe() }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, _get: &Get, sink: &mut dyn Sink) -> GetReply {
        let copies = self.copies.lock();
        let item = copies.all.get(key.bytes()).and_then(|copy| copy.item.as_ref());
        let Some(item) = item.filter(|item| !item.expiry.is_past(context.now)) else {
            return Reply::done(None);
        };
        let found = ModelCache::found(item);
        sink.hit(&found, &[&item.value]);
        Reply::done(Some(found))
    }

    fn store(&self, _: &Context<'_>, _: Store<'_>) -> Reply<Stored> {
        unused()
    }

    fn delete(&self, _: &Context<'_>, _: Key<'_>, _: &Delete) -> Reply<Deleted> {
        unused()
    }

    fn arithmetic(&self, _: &Context<'_>, _: Key<'_>, _: &Arithmetic) -> Reply<Number> {
        unused()
    }

    fn flush(&self, _: &Context<'_>, _: Scope<'_>, _: Option<Timestamp>) -> Reply<Flushed> {
        self.leases.revoke_all();
        *self.copies.lock() = Copies::default();
        Reply::done(Flushed { level: crate::Durability::Ram })
    }

    fn scan(&self, _: &Context<'_>, _: ScanOrder, _: Option<&[u8]>, _: usize) -> Reply<ScanPage> {
        unused()
    }

    fn memory_use(&self) -> MemoryUse {
        let copies = self.copies.lock();
        let (items, bytes, evictions) = (copies.all.len() as u64, copies.bytes, copies.evictions);
        MemoryUse { items, bytes, evictions, bytes_limit: LIMIT_BYTES, ..MemoryUse::default() }
    }

    fn stats(&self, _: &mut dyn StatsSink) {}

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Cache for ModelCache {
    fn lookup(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Reply<Lookup<Found>, Lookup<Item>> {
        let copies = self.copies.lock();
        let Some(copy) = copies.all.get(key.bytes()) else { return Reply::done(Lookup::Unknown) };
        let overdue = copy.fresh_until.is_some_and(|until| until <= context.now);
        let Some(item) = &copy.item else {
            let forever = self.bug == Bug::RemembersAbsenceForEver;
            return Reply::done(if overdue && !forever { Lookup::Unknown } else { Lookup::Absent });
        };
        if item.expiry.is_past(context.now) {
            return Reply::done(Lookup::Unknown);
        }
        let found = ModelCache::found(item);
        let current = Current {
            flags: item.flags,
            cas: found.cas,
            expiry: item.expiry,
            stale: item.stale,
            token_taken: item.token_taken,
            value: &item.value,
        };
        if get_changes(&current, get, context.now) && self.bug != Bug::HandsOutTokens {
            return Reply::done(Lookup::Refer);
        }
        if overdue && self.bug != Bug::ServesOverdue {
            return Reply::done(Lookup::Overdue(found));
        }
        sink.hit(&found, &[&item.value]);
        Reply::done(Lookup::Fresh(found))
    }

    fn lease(&self, key: Key<'_>) -> Option<Lease> {
        self.leases.lease(key.bytes())
    }

    fn fill(&self, context: &Context<'_>, key: Key<'_>, lease: &Lease, fill: Fill) -> Reply<bool> {
        let guard = self.leases.admit(lease, fill.version);
        let evicted = !self.copies.lock().all.contains_key(key.bytes());
        let taken = match self.bug {
            Bug::TakesSlowReads => fill.version == 0 || guard.is_some(),
            Bug::TakesLateWrites => fill.version != 0 || guard.is_some(),
            Bug::ForgetsLeasesWhenEvicting => evicted || guard.is_some(),
            _ => guard.is_some(),
        };
        if !taken {
            return Reply::done(false);
        }
        let mut copies = self.copies.lock();
        let item = match fill.content {
            FillContent::Absent => None,
            FillContent::Item(item)
                if item.value.len() as u64 > ITEM_SIZE_MAX || item.found.expiry.is_past(context.now) =>
            {
                if self.bug != Bug::KeepsOlderCopy {
                    copies.remove(key.bytes());
                }
                return Reply::done(false);
            }
            FillContent::Item(item) => Some(TrueItem {
                value: item.value.whole(),
                flags: item.found.flags,
                cas: Some(item.found.cas),
                expiry: item.found.expiry,
                stale: item.found.stale && self.bug != Bug::LosesStaleMark,
                token_taken: item.found.token != Token::Free,
            }),
        };
        let copy = Copy { item, fresh_until: fill.fresh_until };
        copies.put(key.bytes(), copy, self.bug != Bug::Unbounded);
        Reply::done(true)
    }

    fn invalidate(&self, _: &Context<'_>, key: Key<'_>) -> Reply<()> {
        let _guard = self.leases.revoke(key.bytes());
        self.copies.lock().remove(key.bytes());
        Reply::done(())
    }

    fn has_room(&self) -> bool {
        self.copies.lock().bytes < LIMIT_BYTES - LIMIT_BYTES / 10
    }

    fn newest_keys(&self, count_max: usize) -> Vec<Box<[u8]>> {
        let copies = self.copies.lock();
        let held = copies.all.iter().filter(|(_, copy)| copy.item.is_some());
        held.take(count_max).map(|(key, _)| key.as_slice().into()).collect()
    }
}

fn with(bug: Bug) -> impl Fn(&World) -> Opened<dyn Cache> + Sync {
    move |_| Ok(Arc::new(ModelCache { copies: Mutex::default(), leases: LeaseTable::new(10_000), bug }))
}

mod right {
    use super::{Bug, with};

    crate::cache_kit_tests!(with(Bug::None));
}

fn must_find(bug: Bug, check: CacheCheck, words: &str) {
    let Err(failure) = check(&with(bug)) else { panic!("{bug:?} was not found") };
    assert!(failure.text().contains(words), "{bug:?}: the finding does not say {words:?}: {failure}");
}

#[test]
fn slow_reads_that_are_taken_are_found() {
    must_find(Bug::TakesSlowReads, slow_reads_are_refused, "a read that began before a write was taken");
    must_find(
        Bug::TakesSlowReads,
        an_invalidation_refuses_what_is_under_way,
        "began before an invalidation was taken",
    );
    must_find(Bug::TakesSlowReads, flushes_refuse_what_is_under_way, "began before a flush was taken");
}

#[test]
fn slow_reads_that_are_taken_are_found_under_load() {
    must_find(Bug::TakesSlowReads, no_look_up_returns_what_was_overwritten, "was acknowledged before");
}

#[test]
fn late_writes_that_are_taken_are_found() {
    must_find(
        Bug::TakesLateWrites,
        late_writes_are_refused,
        "a write older than one that was filled was taken",
    );
}

#[test]
fn versions_that_eviction_forgets_are_found() {
    must_find(Bug::ForgetsLeasesWhenEvicting, eviction_forgets_no_newer_write, "since evicted, was taken");
}

#[test]
fn overdue_copies_that_are_served_are_found() {
    must_find(Bug::ServesOverdue, copies_become_overdue, "expected: Overdue");
}

#[test]
fn tokens_handed_out_by_a_cache_are_found() {
    must_find(Bug::HandsOutTokens, token_hand_outs_are_referred, "must be referred to the store");
}

#[test]
fn absence_without_end_is_found() {
    must_find(Bug::RemembersAbsenceForEver, absence_is_remembered_for_a_while, "absence is still said");
}

#[test]
fn an_older_copy_left_behind_is_found() {
    must_find(Bug::KeepsOlderCopy, what_does_not_fit_leaves_nothing_older, "the older one is still served");
}

#[test]
fn a_lost_mark_is_found() {
    must_find(Bug::LosesStaleMark, fills_are_served_as_they_are, "served: ");
}

#[test]
fn memory_without_bound_is_found() {
    must_find(Bug::Unbounded, memory_stays_bounded, "above the limit");
}
