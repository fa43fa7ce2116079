//! What an engine tells the chassis of by itself.

use crate::time::{Expiry, Timestamp};

/// Hears of what an engine does without being asked. Threads: any.
pub trait Observer: Send + Sync {
    /// Whether anybody wants to hear of evictions: one relaxed load. An engine asks before it gathers what
    /// [`Observer::evicted`] takes, so that evictions cost nothing more while nobody listens.
    fn wants_evictions(&self) -> bool;

    /// A living item was removed to make room. Called with locks of the engine possibly held: returns at once and calls
    /// no engine.
    fn evicted(&self, eviction: &Eviction<'_>);
}

/// An item that had to go.
#[derive(Clone, Copy, Debug)]
pub struct Eviction<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// Length of its value in bytes.
    pub value_bytes: usize,
    /// When it would have expired.
    pub expiry: Expiry,
    /// When it was last read or stored; `None` if the engine does not keep it.
    pub last_access: Option<Timestamp>,
    /// Whether it was ever read.
    pub fetched: bool,
}
