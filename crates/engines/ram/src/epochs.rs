//! The row of epochs: every flush begins one, and an item notes the low byte of the one it was last checked in.

use super::atomics::{AtomicU64, Ordering};

/// The present epoch, and from which on items live.
pub(crate) struct Epochs {
    now: AtomicU64,
    /// Items of earlier epochs are gone.
    floor: AtomicU64,
}

impl Epochs {
    pub(crate) fn new() -> Self {
        Epochs { now: AtomicU64::new(1), floor: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Begins `epoch`, the one after the present; one caller at a time. What else it takes has been noted before.
    pub(crate) fn begin(&self, epoch: u64, takes_all: bool) {
        if takes_all {
            self.floor.store(epoch, Ordering::Release);
        }
        self.now.store(epoch, Ordering::Release);
    }

    /// Asks whether a flush has taken an item whose byte is not that of the present epoch; `is_taken` says so of what was flushed in
    /// part. `None`: it is gone. Else the epoch up to which that was asked, to which the item is to be moved.
    pub(crate) fn spared_until(&self, byte: u8, is_taken: impl FnOnce(u64) -> bool) -> Option<u64> {
        // Read once, and first: what is flushed from here on is of a later epoch, and asks again.
        let now = self.now();
        let epoch = now - u64::from((now as u8).wrapping_sub(byte));
        let is_gone = epoch < self.floor.load(Ordering::Acquire) || is_taken(epoch);
        (!is_gone).then_some(now)
    }
}
