//! Who left the small queue not long ago.

use std::sync::Arc;

use crate::arena::{Arena, PAGE_BYTES, Run};

/// Shards with fewer items do without.
const ITEMS_MIN: u64 = 2048;

/// A byte of the hash of each evicted newcomer, in a table where a newer one takes an older one's place. One stranger in
/// 250 is taken for a ghost; that costs a round in the main queue.
#[derive(Default)]
pub(crate) struct Ghosts(Option<Run>);

impl Ghosts {
    /// Fits the table to a shard of so many items, if there is memory for it.
    pub(crate) fn fit(&mut self, items: u64, arena: &Arc<Arena>) {
        let length = self.0.as_ref().map_or(0, Run::len);
        if items * 4 < length as u64 {
            // What was remembered is forgotten: that costs a few newcomers a round.
            self.0 = None;
        } else if items >= ITEMS_MIN && items > length as u64 {
            let wanted = (length * 2).max(PAGE_BYTES);
            let Some(mut run) = arena.try_take(wanted / PAGE_BYTES, 0) else { return };
            match &self.0 {
                // Each place becomes two that remember the same.
                Some(old) => {
                    run.bytes_mut()[..length].copy_from_slice(old.bytes());
                    run.bytes_mut()[length..].copy_from_slice(old.bytes());
                }
                None => run.bytes_mut().fill(0),
            }
            self.0 = Some(run);
        }
    }

    pub(crate) fn remember(&mut self, hash: u64) {
        if let Some(place) = self.place(hash) {
            *place = fingerprint(hash);
        }
    }

    /// Whether the hash was remembered; it no longer is.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        match self.place(hash) {
            Some(place) if *place == fingerprint(hash) => {
                *place = 0;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, Run::charge)
    }

    fn place(&mut self, hash: u64) -> Option<&mut u8> {
        let run = self.0.as_mut()?;
        let index = (hash >> 28) as usize & (run.len() - 1);
        Some(&mut run.bytes_mut()[index])
    }
}

/// Never 0, which marks an empty place.
fn fingerprint(hash: u64) -> u8 {
    (hash as u8).max(1)
}
