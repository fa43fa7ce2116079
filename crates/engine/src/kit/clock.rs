//! A clock that the test moves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::time::{Clock, Timestamp};

/// The second a world begins at.
pub const START: u32 = 1_900_000_000;

/// Seconds stand still until the test advances them. [`Clock::elapsed`] runs on by itself, so that time-outs inside an
/// engine end, and jumps along when the seconds are advanced.
pub struct ManualClock {
    second: AtomicU32,
    start: Instant,
}

impl ManualClock {
    /// A clock that shows `second`.
    pub fn new(second: u32) -> Self {
        ManualClock { second: AtomicU32::new(second), start: Instant::now() }
    }

    /// Moves on by `seconds`.
    pub fn advance(&self, seconds: u32) {
        self.second.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The second it shows.
    pub fn second(&self) -> u32 {
        self.second.load(Ordering::SeqCst)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.second())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed() + Duration::from_secs(u64::from(self.second().saturating_sub(START)))
    }
}
