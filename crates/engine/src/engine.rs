//! The trait every engine implements.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{EngineError, ErrorKind};
use crate::item::Found;
use crate::key::{KEY_LENGTH_MAX, Key};
use crate::observe::Observer;
use crate::reply::{
    Deleted, Durability, Flushed, GetReply, ManySink, NoValue, Number, Reply, Sink, Stored, Touched,
};
use crate::request::{Arithmetic, Delete, Get, Payload, ScanOrder, ScanPage, Scope, Store, Writer};
use crate::time::{Expiry, Timestamp};

/// How an engine wants its calls ordered by the chassis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ordering {
    /// One call at a time for a key of a connection; calls on other keys overlap.
    PerKey,
    /// One call at a time for a connection.
    PerConnection,
}

/// What an engine says of itself. Does not change while it is open.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name in store expressions.
    pub name: Cow<'static, str>,
    /// The highest level an acknowledgement of it reaches.
    pub level: Durability,
    /// Longest value in bytes.
    pub item_size_max: u64,
    /// Whether others write the same data.
    pub shared: bool,
    /// How calls must be ordered.
    pub ordering: Ordering,
    /// Whether successes carry a [`Version`](crate::Version).
    pub versions: bool,
    /// Whether `fetched` and `last_access` are kept.
    pub tracks_access: bool,
    /// Whether [`ScanOrder::Any`] comes in key order.
    pub scan_in_key_order: bool,
    /// Whether [`Engine::raw_command`] is worth calling.
    pub raw_commands: bool,
    /// Whether [`Engine::cache_key`] ever names another key than the one asked for.
    pub renames_keys: bool,
}

/// What an engine holds at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUse {
    /// Items, expired ones not yet reclaimed included.
    pub items: u64,
    /// Bytes they take, in the engine's own terms (memory, or bytes of the store).
    pub bytes: u64,
    /// Bound on `bytes`; 0 if there is none.
    pub bytes_limit: u64,
    /// Items removed to make room, since the last reset.
    pub evictions: u64,
    /// Items evicted that were never read.
    pub evicted_unfetched: u64,
    /// Expired items whose room was used again or given back.
    pub reclaimed: u64,
    /// Expired items reclaimed that were never read.
    pub expired_unfetched: u64,
    /// Stores refused for want of room.
    pub out_of_memory: u64,
}

impl MemoryUse {
    /// Sums two engines.
    pub fn plus(self, other: MemoryUse) -> MemoryUse {
        MemoryUse {
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
            bytes_limit: self.bytes_limit + other.bytes_limit,
            evictions: self.evictions + other.evictions,
            evicted_unfetched: self.evicted_unfetched + other.evicted_unfetched,
            reclaimed: self.reclaimed + other.reclaimed,
            expired_unfetched: self.expired_unfetched + other.expired_unfetched,
            out_of_memory: self.out_of_memory + other.out_of_memory,
        }
    }
}

/// Takes name and value of a statistic.
pub trait StatsSink {
    /// One line.
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display);

    /// A line that counts events: it only grows, but for [`Engine::reset_stats`].
    fn count(&mut self, name: &str, events: u64) {
        self.stat(name, &events);
    }
}

/// Names and values of statistics that may come later, each of one line.
pub type StatLines = Vec<(String, String)>;

/// Puts a word before each name, so that the engines of a stack can be told apart.
pub struct PrefixedStats<'a> {
    /// Where the lines go.
    pub sink: &'a mut dyn StatsSink,
    /// The word, with the colon behind it.
    pub prefix: &'a str,
}

impl StatsSink for PrefixedStats<'_> {
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
        self.sink.stat(&format!("{}{name}", self.prefix), value);
    }

    fn count(&mut self, name: &str, events: u64) {
        self.sink.count(&format!("{}{name}", self.prefix), events);
    }
}

/// A response of an engine to a command only it knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RawResponse {
    /// Status of the binary protocol.
    pub status: u16,
    /// CAS field.
    pub cas: u64,
    /// Data type field.
    pub data_type: u8,
    /// Key bytes.
    pub key: Vec<u8>,
    /// Extras bytes.
    pub extras: Vec<u8>,
    /// Value bytes.
    pub body: Vec<u8>,
}

/// What keys are announced for by [`Engine::prefetch`], as far as can be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coming {
    /// Sets without a condition only: what is there need not be read.
    Sets,
    /// Something else or a mixture.
    Anything,
}

/// The key that a whole binary-protocol request names; `None` if it names none that an item can have.
pub fn raw_key(request: &[u8]) -> Option<Key<'_>> {
    let &[_, _, high, low, extras_length, ..] = request else { return None };
    let start = RAW_HEADER_BYTES + usize::from(extras_length);
    let length = usize::from(u16::from_be_bytes([high, low]));
    let key = request.get(start..start + length)?;
    (1..=KEY_LENGTH_MAX).contains(&length).then(|| Key::new(key))
}

/// Size of the header of a binary-protocol request.
const RAW_HEADER_BYTES: usize = 24;

/// An engine: keeps items. See the crate's front page for what is promised and what is forbidden.
///
/// Called by several workers at once. Methods return at once; what takes time is `Pending`. Expired items are never
/// returned and count as missing for every command.
pub trait Engine: Send + Sync + 'static {
    /// What this engine is.
    fn describe(&self) -> Description;

    /// Looks a key up. A miss is `None`. A `Ready` hit has called the sink; a `Pending` one never touches it.
    ///
    /// With options that change the item ([`Get::may_change`]) the answer is an acknowledgement like a store's.
    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply;

    /// Looks several keys up, each on its own; one round trip where the engine can. Answers come in ascending order.
    fn get_many(&self, context: &Context<'_>, keys: &[Key<'_>], get: &Get, sink: &mut dyn ManySink) {
        for (index, key) in keys.iter().enumerate() {
            let reply = self.get(context, *key, get, sink.sink(index));
            sink.answer(index, reply);
        }
    }

    /// Keys that will be asked for next: an engine may fetch their memory ahead. Changes nothing that could be seen.
    fn prefetch(&self, _keys: &[Key<'_>], _coming: Coming) {}

    /// Stores. Conditions not met are the errors `NotStored`, `Exists`, `NotFound`, by the protocol's rules
    /// (see [`crate::semantics::store`]).
    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored>;

    /// A place for a value of `length` bytes that is about to be stored under `key`.
    fn reserve(
        &self,
        _context: &Context<'_>,
        _key: Key<'_>,
        length: usize,
        _flags: u32,
        _expiry: Expiry,
    ) -> Reply<Writer> {
        if length as u64 > self.describe().item_size_max {
            return Reply::failed(ErrorKind::TooLarge);
        }
        Reply::done(Writer::heap(length))
    }

    /// Deletes, or does one of the gentler things [`Delete`] names.
    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted>;

    /// Adds to or takes from a decimal value.
    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number>;

    /// Gives an item another expiry. Its CAS stays.
    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        let get = Get { touch: Some(expiry), ..Get::plain() };
        let level = self.describe().level;
        let touched = move |found: Option<Found>| match found {
            Some(found) => Ok(Touched { cas: found.cas, flags: found.flags, level, version: found.version }),
            None => Err(EngineError::from(ErrorKind::NotFound)),
        };
        match self.get(context, key, &get, &mut NoValue) {
            Reply::Ready(answer) => Reply::Ready(answer.and_then(touched)),
            Reply::Pending(operation) => {
                Reply::Pending(crate::Operation::driven(context.worker, async move {
                    touched(operation.await?.map(|item| item.found))
                }))
            }
        }
    }

    /// Removes what was last written before `when` (`None`: before now), at once and for good.
    ///
    /// With a time to come: acknowledged now, done then, also if the process is started anew in between (for durable
    /// engines). A later flush of the same scope replaces one that waits.
    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed>;

    /// Flushes that still wait, as key prefix and time; a tier repeats those that outlived a restart to its cache.
    fn pending_flushes(&self) -> Vec<(Vec<u8>, Timestamp)> {
        Vec::new()
    }

    /// A piece of all items, at most about `bytes_max` bytes of values; goes on at `cursor`.
    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage>;

    /// Takes `count` ids that this engine has given to no item and will give to none, also after a crash: a tier that
    /// answers before the engine has the item chooses the item's CAS from them. The reservation has the engine's
    /// level when the answer comes. `Unsupported` for an engine that keeps no such counter.
    fn reserve_ids(&self, _context: &Context<'_>, _count: u64) -> Reply<Range<u64>> {
        Reply::failed(ErrorKind::Unsupported)
    }

    /// Takes the keys a cache above held at a clean stop, newest first, for [`ScanOrder::Newest`] after the next start.
    /// Called before [`Engine::close`], may block. Ignored unless the engine keeps such a list.
    fn keep_warm_list(&self, _keys: &mut dyn Iterator<Item = Box<[u8]>>) -> Result<(), EngineError> {
        Ok(())
    }

    /// The name under which a tier should cache, lease and coalesce this key, if it is not the key itself. Asked only
    /// where [`Description::renames_keys`] says so.
    fn cache_key<'k>(&self, key: &Key<'k>) -> Cow<'k, [u8]> {
        Cow::Borrowed(key.bytes())
    }

    /// What it holds.
    fn memory_use(&self) -> MemoryUse;

    /// Its own statistics, for `stats larder`; `name value` lines.
    fn stats(&self, sink: &mut dyn StatsSink);

    /// Statistics of a group only this engine knows (`stats GROUP`). `Unsupported`: it knows none of that name.
    fn stats_group(&self, _context: &Context<'_>, _group: &[u8]) -> Reply<StatLines> {
        Reply::failed(ErrorKind::Unsupported)
    }

    /// Sets counters of events to 0; not gauges, not limits.
    fn reset_stats(&self);

    /// Changes the bound on memory. `Unsupported` for an engine without one.
    fn set_memory_limit(&self, _bytes: u64) -> Result<(), EngineError> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Answers a whole binary-protocol request that the chassis does not know. No response: say nothing.
    fn raw_command(&self, _context: &Context<'_>, _request: &[u8]) -> Reply<Vec<RawResponse>> {
        Reply::failed(ErrorKind::Unsupported)
    }

    /// A connection came into being that this engine may serve. On its worker, before any other call for it.
    fn connection_opened(&self, _context: &Context<'_>) {}

    /// The connection is gone and its last item released. On its worker, once.
    fn connection_closed(&self, _context: &Context<'_>) {}

    /// Gives the engine someone to tell of what it does by itself. Called before the engine serves, and again whenever a
    /// setup with it is put in force, always with the same observer. An engine that evicts keeps the first; one that
    /// stands on others hands it on.
    fn observe(&self, _observer: &Arc<dyn Observer>) {}

    /// Whether the engine can serve at this moment, for `/ready`; the error says why not.
    fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Brings everything accepted to the engine's level and stops. Called once, from a thread that may block, after
    /// every worker has stopped; no call follows. An error names what could not be brought down: the exit is not clean.
    fn close(&self) -> Result<(), EngineError>;
}

/// Checks a value's length against an engine's limit.
pub fn check_size(value: &Payload<'_>, item_size_max: u64) -> Result<(), EngineError> {
    if value.len() as u64 > item_size_max { Err(ErrorKind::TooLarge.into()) } else { Ok(()) }
}
