//! What was written while a page of the store was read for warming up.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

const MARKS: usize = 4096;

/// Counts writes by the hash of their key. A page of a scan may be older than a write that came during the scan, and
/// its keys are not known before it is read, so no lease can be taken in time. Instead the counts are copied before
/// the page is asked for; a key whose count has moved since is not filled. A count shared with another key costs a
/// fill, never a stale copy.
pub(crate) struct Marks {
    hasher: foldhash::fast::RandomState,
    counts: Box<[AtomicU32]>,
}

impl Marks {
    pub fn new() -> Self {
        Marks {
            hasher: foldhash::fast::RandomState::default(),
            counts: (0..MARKS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn place(&self, name: &[u8]) -> usize {
        self.hasher.hash_one(name) as usize % MARKS
    }

    /// The key was written. Called when the store has done it and before the cache is told.
    pub fn mark(&self, name: &[u8]) {
        self.counts[self.place(name)].fetch_add(1, Ordering::SeqCst);
    }

    /// Any key may have been written.
    pub fn mark_all(&self) {
        for count in &self.counts {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The counts now.
    pub fn copy(&self) -> Box<[u32]> {
        self.counts.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }

    /// Whether the key may have been written since `copy` was taken.
    pub fn moved(&self, copy: &[u32], name: &[u8]) -> bool {
        let place = self.place(name);
        self.counts[place].load(Ordering::SeqCst) != copy[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_shows_in_copies_taken_before() {
        let marks = Marks::new();
        let before = marks.copy();
        assert!(!marks.moved(&before, b"k"));
        marks.mark(b"k");
        assert!(marks.moved(&before, b"k"));
        assert!(!marks.moved(&marks.copy(), b"k"));
        let before = marks.copy();
        marks.mark_all();
        assert!(marks.moved(&before, b"another"));
    }
}
