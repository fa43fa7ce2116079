//! What a tier counts.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::Worker;

const STRIPES: usize = 64;

/// One worker's hits, on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Stripe {
    hits: AtomicU64,
}

/// Events since the last reset. Hits are counted without sharing between workers; all others are rare.
pub(crate) struct Counters {
    stripes: Box<[Stripe; STRIPES]>,
    /// Reads that the store had to answer.
    pub misses: AtomicU64,
    /// Misses answered from memory: the store was asked not long ago and had none.
    pub negative_hits: AtomicU64,
    /// Reads sent to the store.
    pub flights: AtomicU64,
    /// Reads that joined one on its way.
    pub coalesced: AtomicU64,
    /// Answers of the store that the cache did not keep.
    pub fills_refused: AtomicU64,
    /// Overdue copies served because the store failed.
    pub stale_served: AtomicU64,
    /// Failures of the cache.
    pub cache_errors: AtomicU64,
}

impl Counters {
    pub fn new() -> Self {
        Counters {
            stripes: Box::new(std::array::from_fn(|_| Stripe::default())),
            misses: AtomicU64::new(0),
            negative_hits: AtomicU64::new(0),
            flights: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            fills_refused: AtomicU64::new(0),
            stale_served: AtomicU64::new(0),
            cache_errors: AtomicU64::new(0),
        }
    }

    /// A worker is the only writer of its stripe, so load and store do; only beyond [`STRIPES`] workers may a count be lost.
    #[inline]
    pub fn hits_more(&self, worker: &Worker, count: usize) {
        let hits = &self.stripes[worker.id() % STRIPES].hits;
        hits.store(hits.load(Ordering::Relaxed).wrapping_add(count as u64), Ordering::Relaxed);
    }

    #[inline]
    pub fn hit(&self, worker: &Worker) {
        self.hits_more(worker, 1);
    }

    pub fn hits(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.hits.load(Ordering::Relaxed)).sum()
    }

    pub fn reset(&self) {
        for stripe in &*self.stripes {
            stripe.hits.store(0, Ordering::Relaxed);
        }
        for (_, counter) in self.named() {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Every counter but the hits, by the name it has in statistics.
    pub fn named(&self) -> [(&'static str, &AtomicU64); 7] {
        [
            ("tier_misses", &self.misses),
            ("tier_negative_hits", &self.negative_hits),
            ("tier_store_reads", &self.flights),
            ("tier_coalesced_reads", &self.coalesced),
            ("tier_fills_refused", &self.fills_refused),
            ("tier_stale_served", &self.stale_served),
            ("tier_cache_errors", &self.cache_errors),
        ]
    }
}

/// Adds one to a counter of a rare event.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
