//! Waiting for what happens outside this process.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything a server that works takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL_PERIOD: Duration = Duration::from_millis(2);

/// Waits until `look` finds something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        thread::sleep(POLL_PERIOD);
    }
}

/// Waits for what happens within microseconds, as often as a byte is sent.
pub fn closely(what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while !look() {
        assert!(start.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        thread::yield_now();
    }
}
