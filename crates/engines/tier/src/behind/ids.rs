//! CAS ids given out before the store has the item.

use std::ops::Range;

use parking_lot::Mutex;

/// How many ids are reserved durably at a time. At a million writes a second one reservation lasts four seconds.
pub(crate) const RESERVATION: u64 = 1 << 22;
/// How many a shard of the dirty map takes at a time. A key belongs to one shard, so its ids never go back.
const SHARE: u64 = 4096;

/// Ids that are reserved in the store and not yet given to a shard.
#[derive(Default)]
pub(crate) struct Ids(Mutex<Range<u64>>);

impl Ids {
    /// A share for one shard; empty when there is none left.
    pub fn take(&self) -> Range<u64> {
        let mut left = self.0.lock();
        let end = left.start.saturating_add(SHARE).min(left.end);
        let share = left.start..end;
        left.start = end;
        share
    }

    /// Adds a reservation. Ids grow: what is left of the one before is given up.
    pub fn add(&self, reserved: Range<u64>) {
        *self.0.lock() = reserved;
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        let left = self.0.lock();
        left.end - left.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_do_not_overlap_and_end() {
        let ids = Ids::default();
        assert!(ids.take().is_empty());
        ids.add(1000..1000 + SHARE + 5);
        assert_eq!(ids.take(), 1000..1000 + SHARE);
        assert_eq!(ids.left(), 5);
        assert_eq!(ids.take(), 1000 + SHARE..1000 + SHARE + 5);
        assert!(ids.take().is_empty());
    }
}
