//! How a tier is to work.

use std::time::Duration;

/// What an acknowledgement of a write waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// The store has it.
    Through,
    /// It is queued for the store.
    Behind(Behind),
}

/// Bounds of what is acknowledged and not yet in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Behind {
    /// Keys, values and overhead in bytes; beyond it writers wait.
    pub dirty_bytes: u64,
    /// When the oldest queued write is older than this, writers wait.
    pub dirty_age: Duration,
    /// How long a writer waits at a bound before it is refused.
    pub wait: Duration,
}

impl Default for Behind {
    fn default() -> Self {
        Behind { dirty_bytes: 64 << 20, dirty_age: Duration::from_secs(1), wait: Duration::from_secs(1) }
    }
}

impl Write {
    /// The word used in store expressions and statistics.
    pub fn word(self) -> &'static str {
        match self {
            Write::Through => "through",
            Write::Behind(_) => "behind",
        }
    }
}

/// Options of a tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierOptions {
    /// What the log calls it: the expression of its stack.
    pub name: Box<str>,
    /// Through or behind.
    pub write: Write,
    /// How long the cache remembers that the store has no such item, in seconds; 0: it does not.
    pub negative_ttl_seconds: u32,
    /// After how many seconds the store is asked again though the cache has a copy; `None`: never, for a store
    /// that nobody else writes.
    pub fresh_seconds: Option<u32>,
    /// Whether the cache is filled from the store at start.
    pub warm_up: bool,
    /// Whether closing the tier closes cache and store, after the store was told the cached keys. Not where others use
    /// them too: then their owner does both.
    pub closes_below: bool,
}

impl Default for TierOptions {
    fn default() -> Self {
        TierOptions {
            name: "tier".into(),
            write: Write::Through,
            negative_ttl_seconds: 1,
            fresh_seconds: None,
            warm_up: true,
            closes_below: true,
        }
    }
}
