//! What the parts of a tier share.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::engine::{Description, StatsSink};
use larder_engine::{
    Cache, Connection, Context, Durability, Engine, EngineError, ErrorKind, Fill, FillContent, Item, Key,
    Lease, Reply, Services, Timestamp, Token, Worker,
};

use crate::behind::Behind;
use crate::counters::{Counters, count};
use crate::keys::OwnKeys;
use crate::marks::Marks;
use crate::options::TierOptions;
use crate::traffic::{Traffic, Writing};
use crate::waiting::WaitingFlushes;
use crate::warm::WarmUp;

/// The shared state of a tier.
pub(crate) struct Core<C: Cache + ?Sized> {
    pub cache: Arc<C>,
    pub store: Arc<dyn Engine>,
    pub services: Services,
    pub options: TierOptions,
    pub description: Description,
    pub keys: OwnKeys,
    pub traffic: Arc<Traffic>,
    pub marks: Marks,
    pub waiting_flushes: WaitingFlushes,
    pub counters: Counters,
    pub warm_up: WarmUp,
    /// Under write-behind.
    pub behind: Option<Behind>,
}

/// A key that outlives its call, and the name the store gives it in a cache.
pub(crate) struct OwnedKey {
    bytes: Box<[u8]>,
    prefix_length: usize,
    /// If it is not the key itself.
    name: Option<Box<[u8]>>,
}

impl OwnedKey {
    /// A key by its name in the queue of writes.
    pub fn sent(name: &[u8], key: Option<Box<[u8]>>, prefix_length: u8) -> Self {
        let prefix_length = usize::from(prefix_length);
        match key {
            None => OwnedKey { bytes: name.into(), prefix_length, name: None },
            Some(bytes) => OwnedKey { bytes, prefix_length, name: Some(name.into()) },
        }
    }

    /// For the store.
    pub fn key(&self) -> Key<'_> {
        Key::routed(&self.bytes, self.prefix_length)
    }

    /// For the cache.
    pub fn cached(&self) -> Key<'_> {
        match &self.name {
            None => self.key(),
            Some(name) => Key::new(name),
        }
    }

    /// For leases and flights.
    pub fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or(&self.bytes)
    }
}

/// A [`Context`] that outlives its call.
pub(crate) struct Asker {
    connection: Arc<Connection>,
    pub worker: Worker,
    pub now: Timestamp,
    deadline: Option<std::time::Duration>,
}

impl Asker {
    /// The tier itself.
    pub fn own(worker: Worker, now: Timestamp) -> Self {
        /// Connection ids of tiers count down from the top, those of clients up from the bottom.
        static CONNECTIONS: AtomicU64 = AtomicU64::new(u64::MAX);
        let id = CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        Asker { connection: Connection::new(id, "tier".into(), -1), worker, now, deadline: None }
    }

    /// The same, from another moment on.
    pub fn at(&self, now: Timestamp) -> Self {
        Asker {
            connection: self.connection.clone(),
            worker: self.worker.clone(),
            now,
            deadline: self.deadline,
        }
    }

    pub fn of(context: &Context<'_>) -> Self {
        Asker {
            connection: context.connection.clone(),
            worker: context.worker.clone(),
            now: context.now,
            deadline: context.deadline,
        }
    }

    /// A context for a call that is made now.
    pub fn context(&self, now: Timestamp) -> Context<'_> {
        Context { connection: &self.connection, worker: &self.worker, now, deadline: self.deadline }
    }
}

/// What a command's answer means for the cache.
pub(crate) enum Outcome {
    /// The item is now this, by a change with a place in the store's order.
    Wrote(FillContent, u64),
    /// The item is changed, but how is not known here.
    Changed,
    /// Nothing was changed, and the answer told what is in the store.
    Told,
    /// Nothing was changed; this was read on the way.
    Read(FillContent),
    /// Nothing was changed and nothing told.
    Nothing,
}

impl Outcome {
    /// What a failure means.
    pub fn of_error(error: &EngineError) -> Outcome {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::NotStored | ErrorKind::NotNumeric => {
                Outcome::Told
            }
            ErrorKind::TooLarge
            | ErrorKind::BadArgument
            | ErrorKind::OutOfMemory
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Unsupported
            | ErrorKind::Disabled
            | ErrorKind::TryAgain
            | ErrorKind::NotPermitted => Outcome::Nothing,
            // OutcomeUnknown, and whatever does not promise that nothing was changed.
            _ => Outcome::Changed,
        }
    }
}

/// The item as a cache keeps it: a token just won is out from now on, and the request that read it counts as access.
pub(crate) fn as_kept(item: &Item, read_at: Option<Timestamp>) -> FillContent {
    let mut item = item.clone();
    if item.found.token == Token::Won {
        item.found.token = Token::Taken;
    }
    if let Some(now) = read_at {
        item.found.fetched = true;
        item.found.last_access = Some(now);
    }
    item.found.version = 0;
    item.found.expiry_before = item.found.expiry;
    FillContent::Item(item)
}

/// Waits for an answer that may be there already.
pub(crate) async fn answer<T>(reply: Reply<T>) -> Result<T, EngineError> {
    match reply {
        Reply::Ready(answer) => answer,
        Reply::Pending(operation) => operation.await,
    }
}

impl<C: Cache + ?Sized> Core<C> {
    /// The name the store gives a key in a cache, if it is not the key itself.
    #[inline(always)]
    fn cache_name(&self, key: Key<'_>) -> Option<Vec<u8>> {
        if !self.description.renames_keys {
            return None;
        }
        match self.store.cache_key(&key) {
            Cow::Borrowed(_) => None,
            Cow::Owned(name) => Some(name),
        }
    }

    /// The same key as the cache knows it, without a copy where the two are one.
    #[inline(always)]
    pub fn with_cached<R>(&self, key: Key<'_>, use_key: impl FnOnce(Key<'_>) -> R) -> R {
        match self.cache_name(key) {
            None => use_key(key),
            Some(name) => use_key(Key::new(&name)),
        }
    }

    /// The key, to outlive its call.
    pub fn owned(&self, key: Key<'_>) -> OwnedKey {
        let name = self.cache_name(key).map(Vec::into_boxed_slice);
        OwnedKey { bytes: key.bytes().into(), prefix_length: key.prefix().len(), name }
    }

    /// Announces to the cache that the store is about to be asked for a key. `None` also for a key that is not the tier's:
    /// what the store says of it is not kept.
    pub fn lease(&self, key: &OwnedKey) -> Option<Lease> {
        let lease = self.cache.lease(key.cached());
        // In this order: who takes the key away makes the cache forget it afterwards, which revokes the lease.
        lease.filter(|_| self.keys.include(key.key().bytes()))
    }

    /// Whether others may write the key past this tier, so that readers must not share an answer. Writes that are
    /// queued are all in this tier's queue.
    pub fn is_written_by_others(&self, key: Key<'_>) -> bool {
        self.behind.is_none() && !self.keys.include(key.bytes())
    }

    /// The state of write-behind, for code that runs only under it.
    pub fn behind(&self) -> &Behind {
        self.behind.as_ref().expect("called under write-behind only")
    }

    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    /// From when on a copy is overdue.
    fn fresh_until(&self, content: &FillContent, now: Timestamp) -> Option<Timestamp> {
        let seconds = match content {
            FillContent::Absent => Some(self.options.negative_ttl_seconds),
            FillContent::Item(_) => self.options.fresh_seconds,
        };
        seconds.map(|seconds| Timestamp(now.0.saturating_add(seconds)))
    }

    /// Puts an answer of the store into the cache. `begun` is when the store was asked.
    pub async fn fill(
        &self,
        asker: &Asker,
        key: &OwnedKey,
        lease: Option<&Lease>,
        content: FillContent,
        version: u64,
    ) -> Result<(), EngineError> {
        let now = self.now();
        let wrote = version != 0;
        let useless = matches!(content, FillContent::Absent) && self.options.negative_ttl_seconds == 0;
        let crossed = self.waiting_flushes.crossed(key.name(), asker.now, now);
        let (Some(lease), false, false) = (lease, crossed, useless) else {
            return if wrote || crossed { self.forget(asker, key).await } else { Ok(()) };
        };
        let fresh_until = self.fresh_until(&content, now);
        let fill = Fill { content, version, fresh_until };
        let filled = answer(self.cache.fill(&asker.context(now), key.cached(), lease, fill)).await;
        match filled {
            Ok(true) => Ok(()),
            // A lease may have been revoked by a flush that did not take this key, and an older copy be there still.
            Ok(false) => {
                count(&self.counters.fills_refused);
                if wrote { self.forget(asker, key).await } else { Ok(()) }
            }
            Err(error) => {
                count(&self.counters.cache_errors);
                tracing::warn!(stack = %self.options.name, %error, "the cache failed to take a copy");
                if wrote { self.forget(asker, key).await } else { Ok(()) }
            }
        }
    }

    /// Makes the cache forget a key. The error is for a write that the store has and the cache could not be told of.
    pub async fn forget(&self, asker: &Asker, key: &OwnedKey) -> Result<(), EngineError> {
        let forgotten = answer(self.cache.invalidate(&asker.context(self.now()), key.cached())).await;
        forgotten.map_err(|error| {
            count(&self.counters.cache_errors);
            tracing::error!(stack = %self.options.name, %error, "the cache could not be told that a key has changed");
            EngineError::caused(
                ErrorKind::OutcomeUnknown,
                "the store has answered, but the cache above it could not be told",
                error,
            )
        })
    }

    /// Carries into the cache what a registered command brought, before anybody hears of it.
    pub async fn conclude(
        &self,
        asker: &Asker,
        key: &OwnedKey,
        writing: Writing,
        lease: Option<Lease>,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        if matches!(outcome, Outcome::Wrote(..) | Outcome::Changed) {
            self.marks.mark(key.name());
            writing.detach();
        }
        match outcome {
            Outcome::Wrote(_, 0) | Outcome::Changed => self.forget(asker, key).await,
            Outcome::Wrote(content, version) => self.fill(asker, key, lease.as_ref(), content, version).await,
            Outcome::Nothing => Ok(()),
            // What was told may be the doing of a write that is still on its way, and that the cache does not show yet.
            Outcome::Told | Outcome::Read(_) if !writing.alone() => {
                writing.detach();
                self.forget(asker, key).await
            }
            Outcome::Told => Ok(()),
            Outcome::Read(content) => self.fill(asker, key, lease.as_ref(), content, 0).await,
        }
    }

    /// The highest level an acknowledgement reaches.
    pub fn level(&self) -> Durability {
        self.description.level
    }

    /// The tier's own lines of statistics.
    pub fn stats(&self, sink: &mut dyn StatsSink) {
        sink.stat("tier_write", &self.options.write.word());
        sink.stat("tier_level", &self.level().word());
        sink.count("tier_hits", self.counters.hits());
        for (name, counter) in self.counters.named() {
            sink.count(name, counter.load(Ordering::Relaxed));
        }
        sink.stat("tier_keys_in_flight", &self.traffic.len());
        sink.stat("tier_negative_ttl_seconds", &self.options.negative_ttl_seconds);
        self.warm_up.stats(sink);
        if let Some(behind) = &self.behind {
            behind.stats(&*self.services.clock, sink);
        }
    }
}
