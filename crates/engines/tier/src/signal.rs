//! A bell from any thread to one task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Rung by many, heard by one. Rings before the hearer listens are not lost, and many count as one.
#[derive(Default)]
pub(crate) struct Signal {
    rung: AtomicBool,
    hearer: Mutex<Option<Waker>>,
}

impl Signal {
    /// Rings.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(hearer) = self.hearer.lock().take()
        {
            hearer.wake();
        }
    }

    /// Whether it was rung since the last call; if not, `waker` is woken at the next ring.
    pub fn heard(&self, waker: &Waker) -> bool {
        if self.rung.swap(false, Ordering::AcqRel) {
            return true;
        }
        *self.hearer.lock() = Some(waker.clone());
        // A ring between the two has found no hearer.
        self.rung.swap(false, Ordering::AcqRel)
    }
}
