//! The engine interface: what an engine is, what it promises, and what it may not do.
//!
//! An *engine* is anything that keeps items. The chassis decodes a request, picks an engine by the key's prefix
//! and calls one method of [`Engine`]; the answer is a [`Reply`]. A [`Cache`] is an engine that may forget, with
//! the few extra calls a tier needs to keep it above a store.
//!
//! # Contracts
//!
//! **Who owns a value.** A `Ready` hit lends the value to the [`Sink`] for the time of the call. A `Pending` answer
//! yields an owned [`Item`]; it is dropped exactly once, after the reply is written, and may hold its engine's
//! memory until then. A value given to [`Engine::store`] is borrowed for the time of the call, or handed over
//! ([`Payload`]).
//!
//! **What order is kept.** Calls on one key, from one connection, take effect in the order of the calls: the chassis
//! never sends the second before the first is answered. Calls on one key from several connections take effect in
//! some single order, each between its call and its answer (linearizability per key). Nothing is promised across keys.
//!
//! **What may block.** Nothing: methods run on a worker's event loop. Work that waits (disk, network, a lock held over
//! either) runs on the engine's own threads or as an asynchronous operation, and the reply is `Pending`.
//! [`Engine::close`] alone may block.
//!
//! **What a durability level means.** See [`Durability`]: an engine reports the level it *reached*, never the one it hopes for.
//!
//! **What a lease and a fill guarantee.** See [`Cache`]: a copy read from the store before a write never replaces it.
//!
//! **Dropped operations.** Dropping a `Pending` operation (the client left) detaches it; it runs to its end.
//!
//! # Map
//!
//! | module | subject |
//! |---|---|
//! | [`key`], [`item`], [`time`] | what is kept |
//! | [`request`], [`reply`], [`error`] | what is asked and answered |
//! | [`engine`], [`cache`] | the two traits |
//! | [`context`] | connection, worker, deadline |
//! | [`semantics`] | what each command means, as pure functions |
//! | [`observe`] | what an engine tells of by itself |
//! | [`lease`] | the bounded table of keys in flight |
//! | [`batch`] | natural batching |
//! | [`completion`] | an answer handed from an engine's thread to a worker |
//! | [`own_thread`] | state that one thread owns, for work that waits |
//! | [`prefetch`](mod@prefetch) | memory fetched ahead of its use |
//! | [`items`], [`kept`] | the short way: an engine of a place that loads, saves and removes |
//! | [`disk`] | the seam through which durable engines write |
//! | [`durable`] | what durable stores have in common |
//! | `kit` | the checks every engine must pass (feature `kit`) |

pub mod batch;
pub mod cache;
pub mod completion;
pub mod context;
pub mod disk;
pub mod durable;
pub mod engine;
pub mod error;
pub mod item;
pub mod items;
pub mod kept;
pub mod key;
#[cfg(feature = "kit")]
pub mod kit;
pub mod lease;
pub mod observe;
pub mod own_thread;
pub mod prefetch;
pub mod reply;
pub mod request;
pub mod semantics;
pub mod time;

pub use cache::{Cache, Fill, FillContent, Lookup, Otherwise};
pub use context::{Connection, Context, Worker};
pub use engine::{Coming, Description, Engine, MemoryUse, Ordering, PrefixedStats, StatLines, StatsSink};
pub use error::{EngineError, ErrorKind};
pub use item::{Found, Item, Token, Value};
pub use items::{Items, ItemsEngine};
pub use kept::Kept;
pub use key::Key;
pub use lease::{Lease, LeaseTable};
pub use observe::{Eviction, Observer};
pub use reply::{
    Deleted, Durability, Flushed, GetReply, ManySink, Missed, Number, Operation, Reply, Sink, Stored,
    Touched, Version,
};
pub use request::{
    Arithmetic, Delete, Direction, Get, Initial, Mode, Older, Payload, ScanOrder, ScanPage, Scope, Store,
    Vivify, Writer,
};
pub use time::{Clock, ClockChange, DebugClock, Expiry, Services, SystemClock, Timestamp};
