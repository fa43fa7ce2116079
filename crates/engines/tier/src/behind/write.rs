//! Plain sets under write-behind, and waiting for room.

use std::sync::Arc;
use std::time::Duration;

use larder_engine::engine::check_size;
use larder_engine::{
    Cache, Context, Durability, EngineError, Expiry, Key, Operation, Payload, Reply, Store, Stored,
    Timestamp, Worker,
};

use super::Behind;
use super::dirty::{Change, entry_bytes};
use super::held::Held;
use crate::core::{Asker, Core};

/// A set that does not depend on what is there.
struct PlainSet<'a> {
    value: Payload<'a>,
    flags: u32,
    expiry: Expiry,
    new_cas: Option<u64>,
    stale: bool,
    token_taken: bool,
}

impl<C: Cache + ?Sized> Core<C> {
    /// Queues a set. The hot path: one lock, one entry.
    pub fn set_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        store: Store<'_>,
    ) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, self.description.item_size_max) {
            return Reply::Ready(Err(error));
        }
        let key = store.key;
        let mut set = PlainSet {
            value: store.value,
            flags: store.flags,
            expiry: store.expiry,
            new_cas: store.new_cas,
            stale: store.stale,
            token_taken: store.token_taken,
        };
        if !behind.room.is_open(entry_bytes(key.bytes(), set.value.len())) {
            return self.set_later(behind, context, key, set);
        }
        match self.try_set(behind, context.now, key, &mut set) {
            Some(stored) => Reply::done(stored),
            None => self.set_later(behind, context, key, set),
        }
    }

    /// Puts the entry, unless CAS ids have run out or a flush is under way. Takes the value only if it does.
    #[inline]
    fn try_set(
        &self,
        behind: &Behind,
        now: Timestamp,
        key: Key<'_>,
        set: &mut PlainSet<'_>,
    ) -> Option<Stored> {
        let tick = behind.now_tick(&*self.services.clock);
        let stored = self.with_cached(key, |name| {
            let mut shard = behind.dirty.lock(name.bytes());
            if shard.is_flushing(name.bytes()) {
                return None;
            }
            let version = behind.ids.next()?;
            let cas = set.new_cas.unwrap_or(version);
            let size = set.value.len();
            let item = Held {
                value: match std::mem::replace(&mut set.value, Payload::Borrowed(b"")) {
                    Payload::Borrowed(value) => value.into(),
                    value => value.into_bytes().into(),
                },
                cas,
                flags: set.flags,
                expiry: set.expiry,
                stale: set.stale,
                token_taken: set.token_taken,
                fetched: false,
                last_access: None,
            };
            shard.put(change(key, name, Some(item), version, now, tick), &behind.room);
            Some(Stored { cas, size, level: Durability::Queued, version })
        })?;
        behind.wake_if_idle();
        Some(stored)
    }

    /// Waits at a bound, then sets.
    #[cold]
    fn set_later(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        set: PlainSet<'_>,
    ) -> Reply<Stored> {
        let core = self.clone();
        let asker = Asker::of(context);
        let bytes = entry_bytes(key.bytes(), set.value.len());
        let until = behind.wait_until(self.services.clock.elapsed());
        let key = self.owned(key);
        let mut set = PlainSet { value: Payload::Owned(set.value.into_bytes()), ..set };
        Reply::Pending(Operation::driven(context.worker, async move {
            let behind = core.behind();
            loop {
                behind.room_for(&asker.worker, bytes, until).await?;
                if let Some(stored) = core.try_set(behind, core.now(), key.key(), &mut set) {
                    return Ok(stored);
                }
            }
        }))
    }
}

/// A change of `key`, whose name in the map is `name`.
pub(super) fn change<'a>(
    key: Key<'a>,
    name: Key<'a>,
    item: Option<Held>,
    version: u64,
    written: Timestamp,
    tick: u64,
) -> Change<'a> {
    Change {
        name: name.bytes(),
        key: (name.bytes() != key.bytes()).then_some(key.bytes()),
        prefix_length: key.prefix().len() as u8,
        item,
        version,
        written,
        tick,
    }
}

impl Behind {
    /// When a writer that begins to wait now gives up.
    pub(super) fn wait_until(&self, elapsed: Duration) -> Duration {
        elapsed + self.options.wait
    }

    /// Waits until the flusher lets a write of so many bytes in.
    pub(super) async fn room_for(
        &self,
        worker: &Worker,
        bytes: u64,
        until: Duration,
    ) -> Result<(), EngineError> {
        let waiting = self.room.wait(worker, bytes, until);
        self.ring();
        waiting.await
    }
}
