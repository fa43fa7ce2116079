//! Time as engines see it: whole seconds of Unix time, read from a clock that tests can own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

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

    /// Unix time as finely as the clock has it, for lines that a human reads.
    fn since_epoch(&self) -> Duration {
        Duration::from_secs(u64::from(self.now().0))
    }

    /// Moves the clock. Whether it is one that can be moved.
    fn change(&self, _change: ClockChange) -> bool {
        false
    }
}

/// What a test may do to a clock that can be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockChange {
    /// Moves it forward, also while it is paused.
    Forward {
        /// By how much.
        seconds: u32,
    },
    /// Stops it.
    Pause,
    /// Lets it run on from where it stopped.
    Resume,
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

    fn since_epoch(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that a test can move: the machine's, shifted or stopped. [`Clock::elapsed`] runs on, so that time-outs and
/// background work do not stop with it.
#[derive(Default)]
pub struct DebugClock {
    machine: SystemClock,
    shift: Mutex<Shift>,
}

#[derive(Clone, Copy, Default)]
struct Shift {
    /// How far it is from the machine's; negative after a pause.
    seconds: i64,
    /// Where it stands, while it is paused.
    paused: Option<Duration>,
}

impl DebugClock {
    fn shifted(&self, shift: Shift) -> Duration {
        let time = self.machine.since_epoch();
        let moved = Duration::from_secs(shift.seconds.unsigned_abs());
        if shift.seconds < 0 { time.saturating_sub(moved) } else { time.saturating_add(moved) }
    }
}

impl Clock for DebugClock {
    fn now(&self) -> Timestamp {
        Timestamp(u32::try_from(self.since_epoch().as_secs()).unwrap_or(u32::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed()
    }

    fn since_epoch(&self) -> Duration {
        let shift = *self.shift.lock();
        shift.paused.unwrap_or_else(|| self.shifted(shift))
    }

    fn change(&self, change: ClockChange) -> bool {
        let mut shift = self.shift.lock();
        match (change, shift.paused) {
            (ClockChange::Forward { seconds }, Some(paused)) => {
                shift.paused = Some(paused + Duration::from_secs(u64::from(seconds)));
            }
            (ClockChange::Forward { seconds }, None) => shift.seconds += i64::from(seconds),
            (ClockChange::Pause, None) => shift.paused = Some(self.shifted(*shift)),
            (ClockChange::Resume, Some(paused)) => {
                let machine = self.machine.since_epoch();
                // Whole seconds, rounded so that the clock does not go back.
                let behind = machine.as_secs() as i64 - paused.as_secs() as i64;
                let is_later = machine.subsec_nanos() < paused.subsec_nanos();
                *shift = Shift { seconds: i64::from(is_later) - behind, paused: None };
            }
            (ClockChange::Pause, Some(_)) | (ClockChange::Resume, None) => {}
        }
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_clock_stands_moves_and_runs_on_without_going_back() {
        let clock = DebugClock::default();
        let machine = SystemClock::new();
        assert!(clock.change(ClockChange::Pause));
        let stopped = clock.since_epoch();
        assert!(clock.change(ClockChange::Forward { seconds: 1000 }));
        assert_eq!(clock.since_epoch(), stopped + Duration::from_secs(1000));
        assert!(clock.change(ClockChange::Pause), "a second time it changes nothing");
        assert_eq!(clock.since_epoch(), stopped + Duration::from_secs(1000));
        assert!(clock.change(ClockChange::Resume));
        let resumed = clock.since_epoch();
        assert!(resumed >= stopped + Duration::from_secs(1000), "{resumed:?} after {stopped:?}");
        assert!(clock.change(ClockChange::Forward { seconds: 50 }));
        assert!(clock.since_epoch() >= resumed + Duration::from_secs(50));
        assert!(!machine.change(ClockChange::Pause), "the machine's clock is not to be moved");
    }
}
