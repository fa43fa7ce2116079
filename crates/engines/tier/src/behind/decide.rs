//! Commands whose effect depends on what is there, decided by the tier: the queued write, else the cached copy, else
//! what the store says.
//!
//! The decision is made and queued under the lock of the key's shard, so decisions on a key come one after the other.
//! A read of the store takes its time; the key is watched meanwhile, and if it was written and that write has already
//! gone down to the store, what was read is of no use and the command looks again.

use std::sync::Arc;

use bytes::Bytes;
use larder_engine::engine::check_size;
use larder_engine::reply::KeepItem;
use larder_engine::semantics::{self, Change};
use larder_engine::{
    Arithmetic, Cache, Context, Delete, Deleted, Durability, EngineError, ErrorKind, Expiry, Found, Get,
    GetReply, Item, Key, Lookup, Number, Operation, Payload, Reply, Sink, Store, Stored, Timestamp, Touched,
};

use super::Behind;
use super::dirty::entry_bytes;
use super::held::Held;
use super::write::change;
use crate::core::{Asker, Core, OwnedKey};

/// How often a command reads the store because the key was written meanwhile.
const ATTEMPTS_MAX: u32 = 32;

/// A command to decide.
pub(super) trait Decide: 'static {
    /// What it answers.
    type Answer: 'static;

    /// Length of the value it brings.
    fn value_length(&self) -> usize;

    /// Decides. `id` is new: the CAS for a changed value, and the change's version.
    fn decide(&self, there: Option<&Held>, id: u64, now: Timestamp) -> Decided<Self::Answer>;
}

/// What a command answers and leaves.
pub(super) struct Decided<T> {
    answer: Result<T, EngineError>,
    /// `Some(None)`: the item goes.
    change: Option<Option<Held>>,
}

impl<T> Decided<T> {
    fn refused(kind: ErrorKind) -> Self {
        Decided { answer: Err(kind.into()), change: None }
    }

    fn put(answer: T, item: Held) -> Self {
        Decided { answer: Ok(answer), change: Some(Some(item)) }
    }
}

/// What is known of the item besides the queue.
enum Known {
    /// Nothing yet: ask the cache.
    Nothing,
    /// The store said this at that second. The key has been watched since before, with this ticket.
    Read { item: Option<Held>, asked_at: Timestamp, ticket: u64 },
}

impl<C: Cache + ?Sized> Core<C> {
    /// Decides a command and queues what it leaves.
    pub(super) fn decide<D: Decide>(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        command: D,
    ) -> Reply<D::Answer> {
        let bytes = entry_bytes(key.bytes(), command.value_length());
        let open = behind.room.is_open(bytes);
        let owned = self.owned(key);
        if open {
            match self.decide_now(behind, context, &owned, &command, Known::Nothing) {
                Attempt::Decided(answer) => return Reply::Ready(answer),
                Attempt::Closed => {}
                Attempt::Unknown(ticket) => return self.decide_later(context, owned, command, Some(ticket)),
            }
        }
        let core = self.clone();
        let asker = Asker::of(context);
        let until = behind.wait_until(self.services.clock.elapsed());
        Reply::Pending(Operation::driven(context.worker, async move {
            core.behind().room_for(&asker.worker, bytes, until).await?;
            let context = asker.context(core.now());
            match core.decide_later(&context, owned, command, None) {
                Reply::Ready(answer) => answer,
                Reply::Pending(operation) => operation.await,
            }
        }))
    }

    /// Decides if nobody needs to be asked. Otherwise the key is watched from now on.
    fn decide_now<D: Decide>(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: &OwnedKey,
        command: &D,
        known: Known,
    ) -> Attempt<D::Answer> {
        let name = key.name();
        let tick = behind.now_tick(&*self.services.clock);
        let mut shard = behind.dirty.lock(name);
        let known = match known {
            Known::Nothing => None,
            Known::Read { item, asked_at, ticket } => {
                let written = shard.unwatch(name, ticket);
                // What a write that came meanwhile has left is in the queue, or down in the store already.
                (!written).then(|| self.live(item.as_ref(), asked_at, name, context.now).cloned())
            }
        };
        if shard.is_flushing(name) {
            return Attempt::Closed;
        }
        let Some(id) = behind.ids.next() else { return Attempt::Closed };
        let decided = match (shard.get(name), known) {
            (Some(entry), _) => command.decide(self.live_entry(entry, context.now), id, context.now),
            (None, Some(item)) => command.decide(item.as_ref(), id, context.now),
            // No write is queued, so what the cache has is what the store has.
            (None, None) => match self.cached_item(context, key) {
                Some(item) => command.decide(item.as_ref(), id, context.now),
                None => return Attempt::Unknown(shard.watch(name)),
            },
        };
        if let Some(item) = decided.change {
            shard.put(change(key.key(), key.cached(), item, id, context.now, tick), &behind.room);
        }
        drop(shard);
        behind.wake_if_idle();
        Attempt::Decided(decided.answer)
    }

    /// What the cache can say at once: an item, that there is none, or nothing.
    fn cached_item(&self, context: &Context<'_>, key: &OwnedKey) -> Option<Option<Held>> {
        if !self.keys.include(key.key().bytes()) {
            return None;
        }
        let get = Get { bump: false, ..Get::plain() };
        let mut keep = KeepItem::default();
        match self.cache.lookup(context, key.cached(), &get, &mut keep) {
            Reply::Ready(Ok(Lookup::Fresh(_))) => Some(keep.0.map(|item| Held::of(&item))),
            Reply::Ready(Ok(Lookup::Absent)) => Some(None),
            _ => None,
        }
    }

    /// Decides after the store was asked. `ticket` is the watch under way, if the need is known already.
    fn decide_later<D: Decide>(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: OwnedKey,
        command: D,
        mut ticket: Option<u64>,
    ) -> Reply<D::Answer> {
        let core = self.clone();
        let asker = Asker::of(context);
        Reply::Pending(Operation::driven(context.worker, async move {
            let behind = core.behind();
            for _ in 0..ATTEMPTS_MAX {
                let known = match ticket.take() {
                    None => Known::Nothing,
                    Some(ticket) => core.read_watched(behind, &asker, &key, ticket).await?,
                };
                let context = asker.context(core.now());
                match core.decide_now(behind, &context, &key, &command, known) {
                    Attempt::Decided(answer) => return answer,
                    Attempt::Unknown(again) => ticket = Some(again),
                    Attempt::Closed => {
                        let bytes = entry_bytes(key.name(), command.value_length());
                        let until = behind.wait_until(core.services.clock.elapsed());
                        behind.room_for(&asker.worker, bytes, until).await?;
                    }
                }
            }
            Err(EngineError::new(ErrorKind::TryAgain, "the key is written too often to decide, try again"))
        }))
    }

    /// Reads the store for a key that is watched. On an error the watch is ended.
    async fn read_watched(
        self: &Arc<Self>,
        behind: &Behind,
        asker: &Asker,
        key: &OwnedKey,
        ticket: u64,
    ) -> Result<Known, EngineError> {
        let get = Get { bump: false, ..Get::plain() };
        let asked_at = self.now();
        match self.read_unknown(&asker.context(asked_at), key.key(), &get).await {
            Ok(item) => Ok(Known::Read { item: item.map(|item| Held::of(&item)), asked_at, ticket }),
            Err(error) => {
                behind.dirty.lock(key.name()).unwatch(key.name(), ticket);
                Err(error)
            }
        }
    }

    /// A store command with a condition.
    pub fn store_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        store: Store<'_>,
    ) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, self.description.item_size_max) {
            return Reply::Ready(Err(error));
        }
        let key = store.key;
        let value = store.value.into_bytes();
        let store = Store { key: Key::new(b"-"), value: Payload::Owned(value.clone()), ..store };
        let item_size_max = self.description.item_size_max;
        self.decide(behind, context, key, StoreCommand { store, value, item_size_max })
    }

    /// A delete command.
    pub fn delete_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        delete: &Delete,
    ) -> Reply<Deleted> {
        self.decide(behind, context, key, *delete)
    }

    /// An incr or decr command.
    pub fn arithmetic_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        arithmetic: &Arithmetic,
    ) -> Reply<Number> {
        self.decide(behind, context, key, *arithmetic)
    }

    /// A touch command.
    pub fn touch_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        expiry: Expiry,
    ) -> Reply<Touched> {
        self.decide(behind, context, key, Touch(expiry))
    }

    /// A look-up that may change the item.
    pub fn get_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> GetReply {
        match self.decide(behind, context, key, *get) {
            Reply::Pending(operation) => Reply::Pending(operation),
            Reply::Ready(Err(error)) => Reply::Ready(Err(error)),
            Reply::Ready(Ok(None)) => Reply::done(None),
            Reply::Ready(Ok(Some(item))) => {
                sink.hit_shared(&item.found, &item.value.whole());
                Reply::done(Some(item.found))
            }
        }
    }

    /// The same, for those who wait anyhow.
    pub fn get_behind_item(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
    ) -> Reply<Option<Item>> {
        self.decide(behind, context, key, *get)
    }
}

/// How an attempt to decide ended.
enum Attempt<T> {
    Decided(Result<T, EngineError>),
    /// The store must be asked; the ticket of the watch on the key.
    Unknown(u64),
    /// CAS ids have run out, or a flush is under way: to be tried again when writers are let in.
    Closed,
}

struct StoreCommand {
    /// Key and value aside.
    store: Store<'static>,
    value: Bytes,
    item_size_max: u64,
}

impl Decide for StoreCommand {
    type Answer = Stored;

    fn value_length(&self) -> usize {
        self.value.len()
    }

    fn decide(&self, there: Option<&Held>, id: u64, _now: Timestamp) -> Decided<Stored> {
        let current = there.map(Held::current);
        match semantics::store(current.as_ref(), &self.store, &self.value, id, self.item_size_max) {
            Err(kind) => Decided::refused(kind),
            Ok(next) => {
                let item = Held::next(&next, there, Some(&self.value));
                let size = item.value.len();
                let stored = Stored { cas: item.cas, size, level: Durability::Queued, version: id };
                Decided::put(stored, item)
            }
        }
    }
}

impl Decide for Delete {
    type Answer = Deleted;

    fn value_length(&self) -> usize {
        0
    }

    fn decide(&self, there: Option<&Held>, id: u64, _now: Timestamp) -> Decided<Deleted> {
        let deleted = |cas| Deleted { cas, level: Durability::Queued, version: id };
        let current = there.map(Held::current);
        match semantics::delete(current.as_ref(), self, id) {
            Err(kind) => Decided::refused(kind),
            Ok(Change::Put(next)) => {
                let item = Held::next(&next, there, None);
                Decided::put(deleted(item.cas), item)
            }
            Ok(Change::Remove) => Decided { answer: Ok(deleted(0)), change: Some(None) },
            Ok(Change::None) => Decided { answer: Ok(deleted(0)), change: None },
        }
    }
}

impl Decide for Arithmetic {
    type Answer = Number;

    fn value_length(&self) -> usize {
        semantics::Decimal::DIGITS_MAX
    }

    fn decide(&self, there: Option<&Held>, id: u64, _now: Timestamp) -> Decided<Number> {
        let current = there.map(Held::current);
        match semantics::arithmetic(current.as_ref(), self, id) {
            Err(kind) => Decided::refused(kind),
            Ok((next, value, created)) => {
                let number = Number {
                    value,
                    cas: next.cas,
                    flags: next.flags,
                    expiry: next.expiry,
                    expiry_before: current.as_ref().map_or(next.expiry, |current| current.expiry),
                    created,
                    stale: next.stale,
                    token_taken: next.token_taken,
                    level: Durability::Queued,
                    version: id,
                };
                Decided::put(number, Held::next(&next, there, None))
            }
        }
    }
}

struct Touch(Expiry);

impl Decide for Touch {
    type Answer = Touched;

    fn value_length(&self) -> usize {
        0
    }

    fn decide(&self, there: Option<&Held>, id: u64, _now: Timestamp) -> Decided<Touched> {
        let Some(there) = there else { return Decided::refused(ErrorKind::NotFound) };
        let touched = Touched { cas: there.cas, flags: there.flags, level: Durability::Queued, version: id };
        Decided::put(touched, Held { expiry: self.0, ..there.clone() })
    }
}

impl Decide for Get {
    type Answer = Option<Item>;

    fn value_length(&self) -> usize {
        0
    }

    fn decide(&self, there: Option<&Held>, id: u64, now: Timestamp) -> Decided<Option<Item>> {
        let current = there.map(Held::current);
        let Some(seen) = semantics::get(current.as_ref(), self, id, now) else {
            return Decided { answer: Ok(None), change: None };
        };
        let changed = match &seen.change {
            Change::Put(next) => Some(Held::next(next, there, None)),
            Change::None | Change::Remove => None,
        };
        let value = changed.as_ref().or(there).map(|item| item.value.to_bytes()).unwrap_or_default();
        let found = Found {
            last_access: there.and_then(|there| there.last_access),
            fetched: there.is_some_and(|there| there.fetched),
            version: if changed.is_some() { id } else { 0 },
            ..seen.found
        };
        let change = changed.map(|mut item| {
            if self.bump {
                item.fetched = true;
                item.last_access = Some(now);
            }
            Some(item)
        });
        Decided { answer: Ok(Some(Item { found, value: value.into() })), change }
    }
}
