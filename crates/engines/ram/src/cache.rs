//! The cache trait.

use larder_engine::cache::Otherwise;
use larder_engine::{
    Cache, Context, ErrorKind, Expiry, Fill, FillContent, Found, Get, Item, Key, Lease, Lookup, ManySink,
    Payload, Reply, Sink, Timestamp, Token,
};

use crate::RamEngine;
use crate::record::{self, Kind};
use crate::write::{Cause, Change, Content, Plan, Step};

/// Warming stops when less than one part in this many is free.
const ROOM_PARTS: u64 = 50;

impl Cache for RamEngine {
    fn lookup(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Reply<Lookup<Found>, Lookup<Item>> {
        self.settle(context.now);
        Reply::done(self.lookup_hashed(context, key, self.hash(key.bytes()), get, sink))
    }

    fn lookup_many(
        &self,
        context: &Context<'_>,
        keys: &[Key<'_>],
        get: &Get,
        sink: &mut dyn ManySink,
        otherwise: &mut Otherwise<'_>,
    ) -> usize {
        self.settle(context.now);
        let mut fresh = 0;
        self.look_up_many(keys, |index, key, hash| {
            let reply = match self.lookup_hashed(context, key, hash, get, sink.sink(index)) {
                Lookup::Fresh(found) => {
                    fresh += 1;
                    Reply::done(Some(found))
                }
                other => otherwise(index, Reply::done(other)),
            };
            sink.answer(index, reply);
        });
        fresh
    }

    fn lease(&self, key: Key<'_>) -> Option<Lease> {
        self.leases.lease(key.bytes())
    }

    fn fill(&self, context: &Context<'_>, key: Key<'_>, lease: &Lease, fill: Fill) -> Reply<bool> {
        self.settle(context.now);
        let Some(guard) = self.leases.admit(lease, fill.version) else { return Reply::done(false) };
        // 0 says that a copy never becomes overdue; second 0 itself is past.
        let fresh_until = fill.fresh_until.map_or(0, |until| until.0.max(1));
        let mut change =
            Change { guard: Some(guard), replaces: true, ..Change::direct(key.bytes(), context.now) };
        let copy_of = match fill.content {
            FillContent::Absent => None,
            FillContent::Item(item) => {
                change.given = Payload::Owned(item.value.whole());
                Some(item.found)
            }
        };
        let filled = self.change(change, |_, value, _| {
            Ok(match &copy_of {
                None => (Step::Put(absent(fresh_until)), true),
                Some(found)
                    if value.len() as u64 > self.item_size_max() || found.expiry.is_past(context.now) =>
                {
                    (Step::Remove, false)
                }
                Some(found) => (Step::Put(copy(found, fresh_until, context.now)), true),
            })
        });
        match filled {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => Reply::done(false),
            other => Reply::Ready(other),
        }
    }

    fn invalidate(&self, context: &Context<'_>, key: Key<'_>) -> Reply<()> {
        self.settle(context.now);
        let guard = self.leases.revoke(key.bytes());
        let change = Change { guard: Some(guard), ..Change::direct(key.bytes(), context.now) };
        Reply::Ready(self.change(change, |_, _, _| Ok((Step::Remove, ()))))
    }

    fn has_room(&self) -> bool {
        let budget = &self.arena.budget;
        let margin = (budget.limit() / ROOM_PARTS).max(4 * self.segment_bytes as u64);
        budget.used().saturating_add(margin) < budget.limit()
    }

    fn newest_keys(&self, count_max: usize) -> Vec<Box<[u8]>> {
        self.newest(count_max)
    }
}

impl RamEngine {
    #[inline]
    fn lookup_hashed(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        hash: u64,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Lookup<Found> {
        let mut locked = self.shard(hash).lock();
        let shard = &mut *locked;
        let place = match self.find_living(shard, hash, key.bytes(), context.now) {
            Ok(place) => place,
            Err(miss) => {
                miss.why.into_iter().for_each(|why| sink.missed(why));
                return Lookup::Unknown;
            }
        };
        let item = shard.view(place);
        if item.head.kind == Kind::Absent {
            return Lookup::Absent;
        }
        if item.would_change(get, context.now) {
            return Lookup::Refer;
        }
        let found = item.found();
        if item.head.is_overdue(context.now) {
            return Lookup::Overdue(found);
        }
        item.show(&found, sink);
        if get.bump {
            record::mark_access(shard.record_mut(place), context.now);
        }
        Lookup::Fresh(found)
    }
}

fn absent(fresh_until: u32) -> Plan {
    Plan {
        flags: 0,
        cas: 0,
        expiry: Expiry::NEVER,
        stale: false,
        token_taken: false,
        content: Content::Empty,
        cause: Cause::Absent { fresh_until },
    }
}

fn copy(found: &Found, fresh_until: u32, now: Timestamp) -> Plan {
    Plan {
        flags: found.flags,
        cas: found.cas,
        expiry: found.expiry,
        stale: found.stale,
        token_taken: found.token != Token::Free,
        content: Content::Given,
        cause: Cause::Fill {
            fresh_until,
            fetched: found.fetched,
            last_access: found.last_access.unwrap_or(now),
        },
    }
}
