//! What one thread counts while it measures.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::workload::Kind;

/// Longest latency told apart, in nanoseconds: ten minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Different texts of errors kept apart.
const ERROR_TEXTS_MAX: usize = 50;

pub(crate) struct Tally {
    /// Latency in nanoseconds, for each kind of operation.
    pub(crate) latency_ns: [Histogram<u64>; 4],
    /// Keys that gets found.
    pub(crate) hits: u64,
    /// Keys that gets did not find.
    pub(crate) misses: u64,
    /// incr and delete of keys that were not there.
    pub(crate) not_found: u64,
    /// Values that were not what was stored.
    pub(crate) wrong_values: u64,
    /// Errors by their text.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Operations whose time to start had come but that found no free place until the end.
    pub(crate) not_started: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are constants in order");
        Tally {
            latency_ns: std::array::from_fn(|_| histogram()),
            hits: 0,
            misses: 0,
            not_found: 0,
            wrong_values: 0,
            errors: BTreeMap::new(),
            not_started: 0,
        }
    }

    #[inline]
    pub(crate) fn record(&mut self, kind: Kind, latency_ns: u64) {
        self.latency_ns[kind as usize].saturating_record(latency_ns);
    }

    #[cold]
    pub(crate) fn error(&mut self, text: &str) {
        if let Some(count) = self.errors.get_mut(text) {
            *count += 1;
        } else {
            let text = if self.errors.len() < ERROR_TEXTS_MAX { text } else { "other errors" };
            *self.errors.entry(text.into()).or_default() += 1;
        }
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.latency_ns.iter().map(Histogram::len).sum()
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.latency_ns.iter_mut().zip(&other.latency_ns) {
            mine.add(theirs).expect("all histograms have the same bounds");
        }
        self.hits += other.hits;
        self.misses += other.misses;
        self.not_found += other.not_found;
        self.wrong_values += other.wrong_values;
        self.not_started += other.not_started;
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
    }
}
