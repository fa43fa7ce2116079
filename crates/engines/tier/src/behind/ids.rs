//! CAS ids given out before the store has the item.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many ids are reserved durably at a time. At a million writes a second one reservation lasts four seconds.
pub(crate) const RESERVATION: u64 = 1 << 22;

/// Ids that are reserved in the store. They grow from one call to the next; taken under the lock of a key's shard,
/// they grow with the writes of the key.
pub(crate) struct Ids {
    /// The next id, if it is in the range. Every write moves it: on a cache line of its own.
    next: Line,
    start: AtomicU64,
    end: AtomicU64,
    /// The reservation after this one.
    spare: Mutex<Option<Range<u64>>>,
}

#[repr(align(128))]
struct Line(AtomicU64);

impl Ids {
    pub fn new() -> Self {
        Ids {
            next: Line(AtomicU64::new(0)),
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            spare: Mutex::default(),
        }
    }

    /// The next id; `None`: there is none left.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        // Whoever asks in vain leaves the counter alone: it runs on into the next reservation.
        if self.next.0.load(Ordering::Relaxed) < self.end.load(Ordering::Acquire) {
            let id = self.next.0.fetch_add(1, Ordering::Relaxed);
            // `end` first: a new end is written after the start that belongs to it.
            if id < self.end.load(Ordering::Acquire) && id >= self.start.load(Ordering::Relaxed) {
                return Some(id);
            }
        }
        self.next_of_spare()
    }

    #[cold]
    fn next_of_spare(&self) -> Option<u64> {
        let mut spare = self.spare.lock();
        if self.left_of_this() == 0 {
            let range = spare.take()?;
            self.start.store(range.start, Ordering::Relaxed);
            // Not below what was handed out in vain: each value of the counter is one caller's.
            self.next.0.fetch_max(range.start, Ordering::Relaxed);
            self.end.store(range.end, Ordering::Release);
        }
        let id = self.next.0.fetch_add(1, Ordering::Relaxed);
        (id < self.end.load(Ordering::Acquire)).then_some(id)
    }

    /// Adds a reservation; its ids must be above those of the one before.
    pub fn add(&self, reserved: Range<u64>) {
        *self.spare.lock() = Some(reserved);
    }

    /// Whether another reservation is wanted.
    pub fn wants_more(&self) -> bool {
        self.spare.lock().is_none()
    }

    /// Whether there is an id left.
    pub fn any(&self) -> bool {
        let spare = self.spare.lock();
        spare.is_some() || self.left_of_this() != 0
    }

    fn left_of_this(&self) -> u64 {
        let next = self.next.0.load(Ordering::Relaxed).max(self.start.load(Ordering::Relaxed));
        self.end.load(Ordering::Acquire).saturating_sub(next)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn ids_come_from_reservations_in_order() {
        let ids = Ids::new();
        assert_eq!(ids.next(), None);
        ids.add(1000..1003);
        assert_eq!([ids.next(), ids.next(), ids.next()], [Some(1000), Some(1001), Some(1002)]);
        assert!(!ids.any());
        assert_eq!(ids.next(), None);
        ids.add(2000..2002);
        assert!(ids.any() && !ids.wants_more());
        assert_eq!([ids.next(), ids.next(), ids.next()], [Some(2000), Some(2001), None]);
    }

    #[test]
    fn no_id_is_given_twice_or_from_outside() {
        let ids = Arc::new(Ids::new());
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let ids = ids.clone();
                std::thread::spawn(move || {
                    let mut taken = Vec::new();
                    while taken.len() < 5000 {
                        match ids.next() {
                            Some(id) => taken.push(id),
                            None => std::thread::yield_now(),
                        }
                    }
                    taken
                })
            })
            .collect();
        // Reservations that touch, and reservations with gaps.
        let mut reserved = HashSet::new();
        let mut start = 1;
        while takers.iter().any(|taker| !taker.is_finished()) {
            if ids.wants_more() {
                ids.add(start..start + 7);
                reserved.extend(start..start + 7);
                start += if start % 2 == 0 { 7 } else { 10 };
            }
        }
        let mut seen = HashSet::new();
        for taker in takers {
            let taken = taker.join().unwrap();
            assert!(taken.is_sorted());
            for id in taken {
                assert!(seen.insert(id), "{id} was given twice");
            }
        }
        assert!(seen.is_subset(&reserved));
    }
}
