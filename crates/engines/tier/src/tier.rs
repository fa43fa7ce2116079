//! The tier as an engine.

use std::borrow::Cow;
use std::sync::Arc;

use larder_engine::PrefixedStats;
use larder_engine::engine::RawResponse;
use larder_engine::{
    Arithmetic, Cache, Coming, Context, Delete, Deleted, Description, Durability, Engine, EngineError,
    ErrorKind, Expiry, Flushed, Get, GetReply, Key, ManySink, MemoryUse, Mode, Number, Observer, Reply,
    ScanOrder, ScanPage, Scope, Services, Sink, StatLines, StatsSink, Store, Stored, Timestamp, Touched,
    Writer,
};

use crate::behind::{Behind, LeftOver};
use crate::core::{Asker, Core, answer};
use crate::counters::Counters;
use crate::event_loop::EventLoop;
use crate::keys::{Keys, OwnKeys};
use crate::marks::Marks;
use crate::options::{TierOptions, Write};
use crate::thread::TierThread;
use crate::traffic::Traffic;
use crate::waiting::WaitingFlushes;
use crate::warm::WarmUp;

/// How many keys a warm list names at most.
const WARM_LIST_KEYS_MAX: usize = 10_000_000;

/// A cache over a store, as one engine.
///
/// The cache is a type parameter so that a hit costs one virtual call more than the cache alone; `dyn Cache` works too.
pub struct Tier<C: Cache + ?Sized = dyn Cache> {
    core: Arc<Core<C>>,
    thread: TierThread,
}

impl<C: Cache + ?Sized> Tier<C> {
    /// Puts `cache` above `store`, for every key.
    ///
    /// # Errors
    /// Write-behind above a store that others write too, or that cannot reserve CAS ids.
    pub fn new(
        services: Services,
        cache: Arc<C>,
        store: Arc<dyn Engine>,
        options: TierOptions,
    ) -> Result<Self, EngineError> {
        Self::for_keys(services, cache, store, options, Keys::All)
    }

    /// Puts `cache` above `store`, for some of the keys until [`Tier::answer_for`] says otherwise.
    ///
    /// # Errors
    /// Those of [`Tier::new`].
    pub fn for_keys(
        services: Services,
        cache: Arc<C>,
        store: Arc<dyn Engine>,
        options: TierOptions,
        keys: Keys,
    ) -> Result<Self, EngineError> {
        let below = store.describe();
        let behind = match options.write {
            Write::Through => None,
            Write::Behind(_) if below.shared => return Err(refuse_shared(&below)),
            Write::Behind(options) => Some(Behind::new(options)),
        };
        let description = Description {
            name: "tier".into(),
            tracks_access: cache.describe().tracks_access,
            level: if behind.is_some() { Durability::Queued } else { below.level },
            versions: below.versions || behind.is_some(),
            // Queued writes come first.
            scan_in_key_order: below.scan_in_key_order && behind.is_none(),
            // They would overtake them.
            raw_commands: below.raw_commands && behind.is_none(),
            ..below
        };
        let core = Arc::new(Core {
            cache,
            store,
            services,
            options,
            description,
            keys: OwnKeys::new(keys),
            traffic: Traffic::new(),
            marks: Marks::new(),
            waiting_flushes: WaitingFlushes::default(),
            counters: Counters::new(),
            warm_up: WarmUp::default(),
            behind,
        });
        repeat_flushes(&core)?;
        let thread = TierThread::start(core.clone())?;
        Ok(Tier { core, thread })
    }
}

impl<C: Cache + ?Sized> Tier<C> {
    /// From now on the tier answers for these keys: only under them anything of the store gets into the cache, and
    /// readers share an answer. A tier that was made for [`Keys::None`] warms up when it gets some.
    ///
    /// What the cache holds of keys that are taken away stays: make it forget them afterwards. Until
    /// then a copy that is on its way may still get there.
    pub fn answer_for(&self, keys: Keys) {
        self.core.keys.replace(keys);
    }

    /// Carries everything acknowledged down to the store, and goes on trying however long the store refuses it; then the
    /// tier is closed. For one that is out of use while its server runs. Blocks.
    ///
    /// # Errors
    /// What is left after [`Tier::hurry`].
    pub fn drain(&self) -> Result<(), EngineError> {
        drained(self.thread.drain(&self.core))
    }

    /// Makes a [`Tier::drain`] that is under way on another thread, or is to come, end as [`Engine::close`] does: also when
    /// the store takes none of what is left. Does not wait.
    pub fn hurry(&self) {
        self.thread.hurry(&self.core);
    }

    /// The tier's own keys that the cache holds, newest first as far as known: what [`Engine::keep_warm_list`] of the store
    /// is to be given for the next start. [`Engine::close`] does it unless [`TierOptions::closes_below`] is off.
    pub fn cached_keys(&self) -> Vec<Box<[u8]>> {
        let mut keys = self.core.cache.newest_keys(WARM_LIST_KEYS_MAX);
        keys.retain(|key| self.core.keys.include(key));
        keys
    }
}

fn refuse_shared(below: &Description) -> EngineError {
    let text = format!(
        "write=behind is not possible above {}: others write the same data, so a command with a condition could not \
         be decided before the store has it; use write=through",
        below.name
    );
    EngineError::new(ErrorKind::BadArgument, text)
}

/// Tells the cache of flushes that wait in the store since before it was opened.
fn repeat_flushes<C: Cache + ?Sized>(core: &Arc<Core<C>>) -> Result<(), EngineError> {
    let waiting = core.store.pending_flushes();
    if waiting.is_empty() {
        return Ok(());
    }
    let events = EventLoop::new(usize::MAX, core.services.clock.clone());
    let asker = Asker::own(events.worker().clone(), core.now());
    let core = core.clone();
    events.run(async move {
        for (prefix, when) in waiting {
            let scope = if prefix.is_empty() { Scope::All } else { Scope::Prefix(&prefix) };
            core.waiting_flushes.replace(scope, Some(when), core.now());
            answer(core.cache.flush(&asker.context(core.now()), scope, Some(when))).await?;
        }
        Ok(())
    })
}

impl<C: Cache + ?Sized> Drop for Tier<C> {
    fn drop(&mut self) {
        self.thread.abandon(&self.core);
    }
}

impl<C: Cache + ?Sized> Engine for Tier<C> {
    fn describe(&self) -> Description {
        self.core.description.clone()
    }

    #[inline]
    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        if get.touch.is_some() || get.vivify.is_some() {
            return self.core.get_and_change(context, key, get, sink);
        }
        if let Some(behind) = &self.core.behind
            && behind.any_queued()
            && let Some(reply) = self.core.read_queued(behind, context, key, get, sink)
        {
            return reply;
        }
        self.core.read(context, key, get, sink)
    }

    fn get_many(&self, context: &Context<'_>, keys: &[Key<'_>], get: &Get, sink: &mut dyn ManySink) {
        if get.touch.is_some() || get.vivify.is_some() {
            for (index, key) in keys.iter().enumerate() {
                let reply = self.get(context, *key, get, sink.sink(index));
                sink.answer(index, reply);
            }
            return;
        }
        let core = &self.core;
        // What is queued while this multi-get is answered is not acknowledged before it: one look is enough.
        let queued = core.behind.as_ref().filter(|behind| behind.any_queued());
        let first = queued.map(|behind| {
            |key: Key<'_>, sink: &mut dyn Sink| core.read_queued(behind, context, key, get, sink)
        });
        core.read_many(context, keys, get, sink, first);
    }

    fn prefetch(&self, keys: &[Key<'_>], coming: Coming) {
        let queued = self.core.behind.as_ref().filter(|behind| behind.any_queued());
        if let Some(behind) = queued {
            keys.iter().for_each(|key| self.core.with_cached(*key, |name| behind.prefetch(name)));
        }
        // A plain set leaves the cache to the flusher.
        if self.core.behind.is_none() || coming != Coming::Sets {
            self.core.cache.prefetch(keys, coming);
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let plain = store.mode == Mode::Set && store.compare.is_none();
        match &self.core.behind {
            None => self.core.store_through(context, store),
            Some(behind) if plain => self.core.set_behind(behind, context, store),
            Some(behind) => self.core.store_behind(behind, context, store),
        }
    }

    fn reserve(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        length: usize,
        flags: u32,
        expiry: Expiry,
    ) -> Reply<Writer> {
        match &self.core.behind {
            None => self.core.store.reserve(context, key, length, flags, expiry),
            Some(_) if length as u64 > self.core.description.item_size_max => {
                Reply::failed(ErrorKind::TooLarge)
            }
            Some(_) => Reply::done(Writer::heap(length)),
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        match &self.core.behind {
            None => self.core.delete_through(context, key, delete),
            Some(behind) => self.core.delete_behind(behind, context, key, delete),
        }
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        match &self.core.behind {
            None => self.core.arithmetic_through(context, key, arithmetic),
            Some(behind) => self.core.arithmetic_behind(behind, context, key, arithmetic),
        }
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        match &self.core.behind {
            None => self.core.touch_through(context, key, expiry),
            Some(behind) => self.core.touch_behind(behind, context, key, expiry),
        }
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        match &self.core.behind {
            None => self.core.flush_through(context, scope, when),
            Some(behind) => self.core.flush_behind(behind, context, scope, when),
        }
    }

    fn pending_flushes(&self) -> Vec<(Vec<u8>, Timestamp)> {
        self.core.store.pending_flushes()
    }

    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        match &self.core.behind {
            None => self.core.store.scan(context, order, cursor, bytes_max),
            Some(behind) => self.core.scan_behind(behind, context, order, cursor, bytes_max),
        }
    }

    fn keep_warm_list(&self, keys: &mut dyn Iterator<Item = Box<[u8]>>) -> Result<(), EngineError> {
        self.core.store.keep_warm_list(keys)
    }

    fn cache_key<'k>(&self, key: &Key<'k>) -> Cow<'k, [u8]> {
        self.core.store.cache_key(key)
    }

    fn memory_use(&self) -> MemoryUse {
        // The queue first: what goes down meanwhile is counted twice rather than not at all.
        let queued = self.core.behind.as_ref().map_or(MemoryUse::default(), Behind::memory_use);
        queued.plus(self.core.store.memory_use())
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        self.core.stats(sink);
        self.core.cache.stats(&mut PrefixedStats { sink, prefix: "cache:" });
        self.core.store.stats(&mut PrefixedStats { sink, prefix: "store:" });
    }

    fn stats_group(&self, context: &Context<'_>, group: &[u8]) -> Reply<StatLines> {
        self.core.store.stats_group(context, group)
    }

    fn reset_stats(&self) {
        self.core.counters.reset();
        if let Some(behind) = &self.core.behind {
            behind.reset_stats();
        }
        self.core.cache.reset_stats();
        self.core.store.reset_stats();
    }

    fn set_memory_limit(&self, bytes: u64) -> Result<(), EngineError> {
        self.core.cache.set_memory_limit(bytes)
    }

    fn raw_command(&self, context: &Context<'_>, request: &[u8]) -> Reply<Vec<RawResponse>> {
        self.core.raw_through(context, request)
    }

    fn connection_opened(&self, context: &Context<'_>) {
        self.core.cache.connection_opened(context);
        self.core.store.connection_opened(context);
    }

    fn connection_closed(&self, context: &Context<'_>) {
        self.core.store.connection_closed(context);
        self.core.cache.connection_closed(context);
    }

    fn observe(&self, observer: &Arc<dyn Observer>) {
        self.core.cache.observe(observer);
        self.core.store.observe(observer);
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.core.store.ready()
    }

    fn close(&self) -> Result<(), EngineError> {
        let core = &self.core;
        let drained = drained(self.thread.close(core));
        if !core.options.closes_below {
            return drained;
        }
        let listed = core.store.keep_warm_list(&mut self.cached_keys().into_iter());
        let store = core.store.close();
        drained.and(store).and(listed).and(core.cache.close())
    }
}

fn drained(left: LeftOver) -> Result<(), EngineError> {
    if left.items == 0 {
        return Ok(());
    }
    let why = left.last_error.unwrap_or_else(|| "the store did not say why".into());
    let text = format!("{} acknowledged writes could not be brought down to the store: {why}", left.items);
    Err(EngineError::new(ErrorKind::Unavailable, text))
}
