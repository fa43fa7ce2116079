//! Where listeners wait while as many connections are open as may be, unless those too many are refused.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::shared::Shared;

/// Threads: any.
#[derive(Default)]
pub(crate) struct Door {
    changed: Notify,
    waiting: AtomicUsize,
    /// How often a listener had to wait.
    closed: AtomicU64,
    /// For how long, over all listeners, in microseconds.
    closed_us: AtomicU64,
}

impl Door {
    /// A connection has gone, or more may come.
    pub(crate) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Whether no listener waits.
    pub(crate) fn is_open(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// How often a listener had to wait, and how long in microseconds.
    pub(crate) fn closed(&self) -> (u64, u64) {
        (self.closed.load(Ordering::Relaxed), self.closed_us.load(Ordering::Relaxed))
    }

    pub(crate) fn reset_counters(&self) {
        self.closed.store(0, Ordering::Relaxed);
        self.closed_us.store(0, Ordering::Relaxed);
    }
}

/// Waits until one more connection may come. Those that come meanwhile wait in the kernel.
pub(crate) async fn wait_for_room(shared: &Shared) {
    if shared.options.refuse_connections_fast || !shared.is_full() {
        return;
    }
    let door = &shared.door;
    let start = shared.clock.elapsed();
    door.closed.fetch_add(1, Ordering::Relaxed);
    let waiting = Waiting::new(door);
    loop {
        // Hears of a change from here on, so that none is missed between the look and the wait.
        let changed = door.changed.notified();
        if !shared.is_full() {
            break;
        }
        changed.await;
    }
    drop(waiting);
    let waited = shared.clock.elapsed().saturating_sub(start);
    door.closed_us.fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// A listener that waits, until it is dropped.
struct Waiting<'a>(&'a Door);

impl Waiting<'_> {
    fn new(door: &Door) -> Waiting<'_> {
        door.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(door)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
