//! The tier as an engine.

use std::borrow::Cow;
use std::sync::Arc;

use larder_engine::engine::RawResponse;
use larder_engine::{
    Arithmetic, Cache, Context, Delete, Deleted, Description, Engine, EngineError, Expiry, Flushed, Get,
    GetReply, Key, ManySink, MemoryUse, Number, Reply, ScanOrder, ScanPage, Scope, Services, Sink, StatsSink,
    Store, Stored, Timestamp, Touched, Writer,
};

use crate::core::Core;
use crate::counters::Counters;
use crate::marks::Marks;
use crate::options::{TierOptions, Write};
use crate::traffic::Traffic;
use crate::waiting::WaitingFlushes;

/// How many keys a warm list names at most.
const WARM_LIST_KEYS_MAX: usize = 10_000_000;

/// A cache over a store, as one engine.
///
/// The cache is a type parameter so that a hit costs one virtual call more than the cache alone; `dyn Cache` works too.
pub struct Tier<C: Cache + ?Sized = dyn Cache> {
    core: Arc<Core<C>>,
}

impl<C: Cache + ?Sized> Tier<C> {
    /// Puts `cache` above `store`.
    ///
    /// # Errors
    /// Write-behind above a store that others write too, or that cannot reserve CAS ids.
    pub fn new(
        services: Services,
        cache: Arc<C>,
        store: Arc<dyn Engine>,
        options: TierOptions,
    ) -> Result<Self, EngineError> {
        let below = store.describe();
        let description = Description {
            name: "tier".into(),
            tracks_access: cache.describe().tracks_access,
            level: match options.write {
                Write::Through => below.level,
                Write::Behind(_) => larder_engine::Durability::Queued,
            },
            ..below
        };
        let core = Arc::new(Core {
            cache,
            store,
            services,
            options,
            description,
            traffic: Traffic::new(),
            marks: Marks::new(),
            waiting_flushes: WaitingFlushes::default(),
            counters: Counters::new(),
        });
        Ok(Tier { core })
    }
}

impl<C: Cache + ?Sized> Engine for Tier<C> {
    fn describe(&self) -> Description {
        self.core.description.clone()
    }

    #[inline]
    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        if get.touch.is_some() || get.vivify.is_some() {
            return self.core.get_through(context, key, get);
        }
        self.core.read(context, key, get, sink)
    }

    fn get_many(&self, context: &Context<'_>, keys: &[Key<'_>], get: &Get, sink: &mut dyn ManySink) {
        if get.touch.is_some() || get.vivify.is_some() {
            for (index, key) in keys.iter().enumerate() {
                sink.answer(index, self.core.get_through(context, *key, get));
            }
            return;
        }
        self.core.read_many(context, keys, get, sink, |_, _| None);
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        self.core.store_through(context, store)
    }

    fn reserve(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        length: usize,
        flags: u32,
        expiry: Expiry,
    ) -> Reply<Writer> {
        self.core.store.reserve(context, key, length, flags, expiry)
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        self.core.delete_through(context, key, delete)
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        self.core.arithmetic_through(context, key, arithmetic)
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        self.core.touch_through(context, key, expiry)
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        self.core.flush_through(context, scope, when)
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
        self.core.store.scan(context, order, cursor, bytes_max)
    }

    fn keep_warm_list(&self, keys: &mut dyn Iterator<Item = Box<[u8]>>) -> Result<(), EngineError> {
        self.core.store.keep_warm_list(keys)
    }

    fn cache_key<'k>(&self, key: &Key<'k>) -> Cow<'k, [u8]> {
        self.core.store.cache_key(key)
    }

    fn memory_use(&self) -> MemoryUse {
        self.core.store.memory_use()
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        self.core.stats(sink);
        self.core.cache.stats(sink);
        self.core.store.stats(sink);
    }

    fn stats_group(&self, context: &Context<'_>, group: &[u8], sink: &mut dyn StatsSink) -> Reply<()> {
        self.core.store.stats_group(context, group, sink)
    }

    fn reset_stats(&self) {
        self.core.counters.reset();
        self.core.cache.reset_stats();
        self.core.store.reset_stats();
    }

    fn set_memory_limit(&self, bytes: u64) -> Result<(), EngineError> {
        self.core.cache.set_memory_limit(bytes)
    }

    fn raw_command(&self, context: &Context<'_>, request: &[u8]) -> Reply<Vec<RawResponse>> {
        self.core.store.raw_command(context, request)
    }

    fn connection_opened(&self, context: &Context<'_>) {
        self.core.cache.connection_opened(context);
        self.core.store.connection_opened(context);
    }

    fn connection_closed(&self, context: &Context<'_>) {
        self.core.store.connection_closed(context);
        self.core.cache.connection_closed(context);
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.core.store.ready()
    }

    fn close(&self) -> Result<(), EngineError> {
        let keys = self.core.cache.newest_keys(WARM_LIST_KEYS_MAX);
        let listed = self.core.store.keep_warm_list(&mut keys.into_iter());
        let closed = self.core.store.close();
        self.core.cache.close()?;
        closed.and(listed)
    }
}
