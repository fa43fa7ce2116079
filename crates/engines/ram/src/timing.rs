//! How long evictions take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations of up to 2^n microseconds are in bucket n.
const BUCKETS: usize = 24;

/// A histogram of durations.
#[derive(Default)]
pub(crate) struct Timing {
    buckets: [AtomicU64; BUCKETS],
    max_ns: AtomicU64,
}

impl Timing {
    pub(crate) fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (64 - (ns.saturating_sub(1) / 1000).leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_ns.load(Ordering::Relaxed).div_ceil(1000)
    }

    /// A bound in microseconds that `parts` in 1000 of all durations keep.
    pub(crate) fn percentile_us(&self, parts: u64) -> u64 {
        let wanted = (self.count() * parts).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            if seen >= wanted {
                return if wanted == 0 { 0 } else { 1 << bucket };
            }
        }
        self.max_us()
    }

    pub(crate) fn reset(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.max_ns.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_apart_by_their_size() {
        let timing = Timing::default();
        assert_eq!((timing.count(), timing.max_us(), timing.percentile_us(990)), (0, 0, 0));
        for us in 1..=100 {
            timing.record(Duration::from_micros(us));
        }
        assert_eq!((timing.count(), timing.max_us()), (100, 100));
        assert_eq!((timing.percentile_us(500), timing.percentile_us(1000)), (64, 128));
        timing.reset();
        assert_eq!((timing.count(), timing.max_us()), (0, 0));
    }
}
