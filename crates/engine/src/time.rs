//! Time as engines see it: whole seconds of Unix time, read from a clock that tests can own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::disk::{Disk, LocalDisk};

/// Seconds since 1970-01-01 UTC. Holds until the year 2106.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// Seconds from `earlier` to `self`, 0 if `earlier` is later.
    pub fn seconds_since(self, earlier: Timestamp) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// When an item expires: never, or at a second of Unix time.
///
/// An item is expired from the second named on: with `n` seconds left at second `s` it is gone at second `s + n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Expiry(u32);

impl Expiry {
    /// The item does not expire.
    pub const NEVER: Expiry = Expiry(0);
    /// The item is expired already.
    pub const PAST: Expiry = Expiry(1);

    /// Expires at `second` of Unix time; second 0 counts as past.
    pub fn at(second: u32) -> Expiry {
        Expiry(second.max(1))
    }

    /// From the stored form: 0 is never, anything else the second of Unix time.
    pub fn from_raw(raw: u32) -> Expiry {
        Expiry(raw)
    }

    /// The stored form: 0 is never, anything else the second of Unix time.
    pub fn raw(self) -> u32 {
        self.0
    }

    /// Whether an item with this expiry is gone at `now`.
    #[inline]
    pub fn is_past(self, now: Timestamp) -> bool {
        self.0 != 0 && self.0 <= now.0
    }

    /// Seconds left at `now`; `None` if it never expires.
    pub fn seconds_left(self, now: Timestamp) -> Option<u32> {
        (self.0 != 0).then(|| self.0.saturating_sub(now.0))
    }
}

/// The source of time. Read by the chassis once a turn, by engines' own threads as they need.
pub trait Clock: Send + Sync + 'static {
    /// The second it is.
    fn now(&self) -> Timestamp;

    /// Time that never goes back, from an arbitrary start; for ages and time-outs.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] starts now.
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as second 0: nothing expires, nothing crashes.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// What an engine is made with: the world, so that a test can own it.
#[derive(Clone)]
pub struct Services {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files and folders.
    pub disk: Arc<dyn Disk>,
}

impl Services {
    /// The machine's clock and disk.
    pub fn system() -> Self {
        Services { clock: Arc::new(SystemClock::new()), disk: Arc::new(LocalDisk) }
    }
}
