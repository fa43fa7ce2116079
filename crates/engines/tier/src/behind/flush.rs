//! Flushes among queued writes.

use std::sync::Arc;

use larder_engine::completion::{Completer, completion};
use larder_engine::{Cache, Context, EngineError, Flushed, Operation, Reply, Scope, Timestamp};

use super::Behind;
use crate::core::{Asker, Core};

/// A flush that waits until nothing is on its way to the store.
pub(super) struct FlushRequest {
    pub prefix: Option<Box<[u8]>>,
    pub completer: Completer<Flushed>,
}

impl<C: Cache + ?Sized> Core<C> {
    /// A flush. One that is to be done now is carried out by the flusher, so that no queued write comes down after it.
    pub fn flush_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        scope: Scope<'_>,
        when: Option<Timestamp>,
    ) -> Reply<Flushed> {
        if when.is_some_and(|when| when > self.now()) {
            // Queued writes are looked at when the time has come.
            return self.flush_through(context, scope, when);
        }
        let prefix = match scope {
            Scope::All => None,
            Scope::Prefix(prefix) => Some(prefix.into()),
        };
        let (completer, completion) = completion(context.worker);
        behind.flushes.lock().push(FlushRequest { prefix, completer });
        behind.ring();
        Reply::Pending(Operation::waiting(completion))
    }

    /// The store, the cache, then the queue: a reader sees a queued write until it is gone everywhere. Writers wait
    /// meanwhile, so that a key is flushed at one moment: when its shard drops it. Nothing is on its way to the store,
    /// and nothing is sent until this has ended.
    pub(super) async fn flush_queued(
        &self,
        behind: &Behind,
        asker: &Asker,
        prefix: Option<&[u8]>,
    ) -> Result<Flushed, EngineError> {
        let scope = prefix.map_or(Scope::All, Scope::Prefix);
        behind.dirty.shards().iter().for_each(|shard| shard.lock().begin_flush(scope));
        let flushing = self.traffic.flush();
        let reply = self.store.flush(&asker.context(self.now()), scope, None);
        let flushed = self.flush_both(asker, scope, None, flushing, reply).await;
        for shard in behind.dirty.shards() {
            let mut shard = shard.lock();
            if flushed.is_ok() {
                shard.drop_scope(scope, &behind.room);
            }
            shard.end_flush();
        }
        flushed
    }
}
