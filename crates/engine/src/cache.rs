//! The trait of engines that may stand above a store.

use crate::context::Context;
use crate::engine::Engine;
use crate::item::{Found, Item};
use crate::key::Key;
use crate::lease::Lease;
use crate::reply::{GetReply, ManySink, Reply, Sink, Version};
use crate::request::Get;
use crate::time::Timestamp;

/// What a cache knows of a key. In a `Ready` answer only `Fresh` has called the sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup<T> {
    /// A copy that may be served.
    Fresh(T),
    /// A copy past its `fresh_until`: ask the store. If the store fails, [`Engine::get`] of the cache yields the copy.
    Overdue(T),
    /// The store was asked not long ago and had none.
    Absent,
    /// The answer would change the item (a token to hand out): only the store may give it.
    Refer,
    /// Nothing known.
    Unknown,
}

/// What to keep of an answer of the store.
#[derive(Clone, Debug)]
pub enum FillContent {
    /// This item. Flags, CAS, expiry, stale mark and token as they are.
    Item(Item),
    /// That there is none.
    Absent,
}

/// An answer of the store on its way into the cache.
#[derive(Clone, Debug)]
pub struct Fill {
    /// What the store said.
    pub content: FillContent,
    /// For the outcome of a write: its place in the store's order. For a read: 0.
    pub version: Version,
    /// From this second on the copy is overdue; `None`: as long as the item lives.
    pub fresh_until: Option<Timestamp>,
}

/// Says what to answer for the key of a multi-get that a cache has no fresh copy of, from what it knows.
pub type Otherwise<'a> = dyn FnMut(usize, Reply<Lookup<Found>, Lookup<Item>>) -> GetReply + 'a;

/// An engine that can cache a store.
///
/// As an engine by itself it knows nothing of `fresh_until`: [`Engine::get`] returns an overdue copy like any other.
///
/// # Leases
///
/// Whoever is about to ask the store takes a [`Lease`] on the key *before* asking, and fills with it after the answer.
///
/// * A **read**'s fill (version 0) is refused if any write of the key was filled or [`Cache::invalidate`]d since the
///   lease was taken: a slow read never puts an old value back.
/// * A **write**'s fill is refused if a write with a higher version was filled while anyone held a lease on the key:
///   writes that come back out of order leave the newest. A write of version 0 cannot be ordered: call `invalidate`.
/// * After a write is acknowledged no look-up returns what was there before it.
///
/// Leases live in a bounded table of keys in flight, not in items, so that eviction cannot forget a newer write.
/// The table full means `lease` gives `None`: answer without filling; a write then calls `invalidate`.
pub trait Cache: Engine {
    /// Looks up without asking anyone. `get.touch` and `get.vivify` are the store's affair and must be `None`.
    fn lookup(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Reply<Lookup<Found>, Lookup<Item>>;

    /// Looks several keys up. What is `Fresh` goes to `sink`, as in [`Engine::get_many`]; for all else `otherwise` is asked
    /// what to answer, with the key's index. How many were fresh.
    fn lookup_many(
        &self,
        context: &Context<'_>,
        keys: &[Key<'_>],
        get: &Get,
        sink: &mut dyn ManySink,
        otherwise: &mut Otherwise<'_>,
    ) -> usize {
        let mut fresh = 0;
        for (index, key) in keys.iter().enumerate() {
            let reply = match self.lookup(context, *key, get, sink.sink(index)) {
                Reply::Ready(Ok(Lookup::Fresh(found))) => {
                    fresh += 1;
                    Reply::Ready(Ok(Some(found)))
                }
                other => otherwise(index, other),
            };
            sink.answer(index, reply);
        }
        fresh
    }

    /// Announces that the store is about to be asked for `key`.
    fn lease(&self, key: Key<'_>) -> Option<Lease>;

    /// Keeps an answer of the store. `false`: there was no room, and nothing older was left behind; or it was refused.
    ///
    /// A write whose fill was refused calls [`Cache::invalidate`] before it is acknowledged: if it was refused because of
    /// an invalidation, a read from before the write may have been filled since.
    fn fill(&self, context: &Context<'_>, key: Key<'_>, lease: &Lease, fill: Fill) -> Reply<bool>;

    /// Forgets the key and refuses fills under leases taken before.
    fn invalidate(&self, context: &Context<'_>, key: Key<'_>) -> Reply<()>;

    /// Whether there is room for more without evicting, for warming up.
    fn has_room(&self) -> bool;

    /// The keys held, newest first as far as known, at most `count_max`.
    fn newest_keys(&self, count_max: usize) -> Vec<Box<[u8]>>;
}
