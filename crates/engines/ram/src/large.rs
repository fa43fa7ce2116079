//! Large values: each has pages of its own, which readers share.
//!
//! A reader that is still sending a value holds its pages, also after the item was replaced or evicted; they count as used
//! until the last one lets go.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use larder_engine::request::Reserved;

use crate::arena::{Arena, PAGE_BYTES, Run, pages_for};

/// What a large value costs besides its pages: its slot, the counter its readers share, the books on its pages.
pub(crate) const OVERHEAD_BYTES: u64 = 256;

/// What a large value of `length` bytes costs.
pub(crate) fn charge(length: usize) -> u64 {
    (pages_for(length) * PAGE_BYTES) as u64 + OVERHEAD_BYTES
}

/// Pages for a large value, being filled or filled.
pub(crate) struct LargeValue {
    run: Run,
    length: usize,
}

impl LargeValue {
    /// Pages for `length` bytes, if there is room.
    pub(crate) fn new(arena: &Arc<Arena>, length: usize) -> Option<LargeValue> {
        let run = arena.try_take(pages_for(length), OVERHEAD_BYTES)?;
        Some(LargeValue { run, length })
    }

    /// The pieces, one after the other.
    pub(crate) fn write(&mut self, pieces: &[&[u8]]) {
        let mut rest = self.buffer();
        for piece in pieces {
            let (place, after) = rest.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            rest = after;
        }
    }

    /// As shared memory, which takes itself back when nobody uses it any more.
    pub(crate) fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for LargeValue {
    fn as_ref(&self) -> &[u8] {
        &self.run.bytes()[..self.length]
    }
}

impl Reserved for LargeValue {
    fn buffer(&mut self) -> &mut [u8] {
        &mut self.run.bytes_mut()[..self.length]
    }

    fn as_slice(&self) -> &[u8] {
        self.as_ref()
    }

    fn into_bytes(self: Box<Self>) -> Bytes {
        self.share()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The large values of a shard by number.
#[derive(Default)]
pub(crate) struct LargeSlots {
    slots: Vec<Option<Bytes>>,
    free: Vec<u32>,
}

impl LargeSlots {
    pub(crate) fn insert(&mut self, value: Bytes) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(value);
                slot
            }
            None => {
                self.slots.push(Some(value));
                (self.slots.len() - 1) as u32
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Bytes {
        self.slots[slot as usize].as_ref().expect("a living record's value is there")
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Bytes {
        self.free.push(slot);
        let value = self.slots[slot as usize].take().expect("a living record's value is there");
        if self.free.len() == self.slots.len() {
            *self = LargeSlots::default();
        }
        value
    }
}
