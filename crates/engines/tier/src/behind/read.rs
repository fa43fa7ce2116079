//! Reads of queued writes.

use std::sync::Arc;

use larder_engine::{Cache, Context, Get, GetReply, Key, Reply, Sink, Timestamp, semantics};

use super::Behind;
use super::dirty::Entry;
use super::held::Held;
use crate::core::Core;

/// From this length on a value is shared with the reader instead of copied.
const SHARED_BYTES_MIN: usize = 16 << 10;

impl<C: Cache + ?Sized> Core<C> {
    /// A look-up of a queued write; `None`: nothing of this key is queued.
    #[inline(never)]
    pub fn read_queued(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Option<GetReply> {
        let decided = self.with_cached(key, |name| {
            let mut shard = behind.dirty.lock(name.bytes());
            let entry = shard.get_mut(name.bytes())?;
            let written = entry.written;
            let Some(item) = self.live(entry.item.as_mut(), written, name.bytes(), context.now) else {
                return Some(Some(Reply::done(None)));
            };
            if semantics::get_changes(&item.current(), get, context.now) {
                return Some(None);
            }
            let found = item.found();
            if get.bump {
                item.fetched = true;
                item.last_access = Some(context.now);
            }
            match item.value.elsewhere().filter(|value| value.len() >= SHARED_BYTES_MIN) {
                None => sink.hit(&found, &[&item.value]),
                Some(value) => sink.hit_shared(&found, value),
            }
            Some(Some(Reply::Ready(Ok(Some(found)))))
        })?;
        self.counters.hit(context.worker);
        Some(decided.unwrap_or_else(|| self.get_behind(behind, context, key, get, sink)))
    }

    /// The item, unless it has expired or a flush that took it fell due since it was written.
    pub(super) fn live<H: std::ops::Deref<Target = Held>>(
        &self,
        item: Option<H>,
        written: Timestamp,
        name: &[u8],
        now: Timestamp,
    ) -> Option<H> {
        item.filter(|item| !item.expiry.is_past(now) && !self.waiting_flushes.crossed(name, written, now))
    }

    /// The item of an entry, if it is one that may be shown.
    pub(super) fn live_entry<'e>(&self, entry: &'e Entry, now: Timestamp) -> Option<&'e Held> {
        self.live(entry.item.as_ref(), entry.written, &entry.name, now)
    }
}
