//! The bound on memory, shared by all shards.

use super::atomics::{AtomicU64, Ordering};

/// Bytes in use and how many there may be.
pub(crate) struct Budget {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Budget { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Takes `bytes` if they fit. The bound is exact: nobody sees more in use than the limit, unless that was lowered.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let limit = self.limit();
        bytes == 0
            || self
                .used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    used.checked_add(bytes).filter(|sum| *sum <= limit)
                })
                .is_ok()
    }

    pub(crate) fn release(&self, bytes: u64) {
        if bytes != 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that must go before `bytes` more fit.
    pub(crate) fn lacking(&self, bytes: u64) -> u64 {
        self.used().saturating_add(bytes).saturating_sub(self.limit())
    }
}
