//! One kept item.

use bytes::Bytes;
use larder_engine::semantics::{self, Current};
use larder_engine::{Expiry, Found, Get, Item, Sink, Timestamp, Token};

use crate::memory::heap_bytes;

/// From this length on a value is kept as shared memory, so that a reader keeps it instead of copying it.
pub(crate) const SHARED_VALUE_BYTES_MIN: usize = 8 * 1024;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// How often an entry was used lately counts up to here.
const FREQUENCY_MAX: u8 = 3;

/// Which queue of its shard an entry stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Queue {
    /// Newcomers, on probation.
    Small,
    /// Those that were used again.
    Main,
    /// Not items: keys of which the store said that it has none.
    Absent,
}

/// Key and value.
pub(crate) enum Body {
    /// The slot is free.
    Vacant,
    /// Key and value in one block.
    Joint(Box<[u8]>),
    /// A large value on its own.
    Split(Box<Split>),
}

pub(crate) struct Split {
    key: Box<[u8]>,
    value: Bytes,
}

/// A value on its way into an entry.
pub(crate) enum Source<'a> {
    Lent(&'a [u8]),
    Shared(Bytes),
}

impl Source<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Source::Lent(bytes) => bytes,
            Source::Shared(bytes) => bytes,
        }
    }
}

pub(crate) struct Entry {
    pub(crate) body: Body,
    pub(crate) hash: u64,
    pub(crate) cas: u64,
    /// The flush epoch it was written in, see [`crate::flush`].
    pub(crate) epoch: u64,
    pub(crate) flags: u32,
    pub(crate) expiry: Expiry,
    /// From this second on overdue; 0: never.
    pub(crate) fresh_until: u32,
    pub(crate) last_access: Timestamp,
    pub(crate) written: Timestamp,
    pub(crate) next: u32,
    pub(crate) previous: u32,
    pub(crate) key_length: u8,
    pub(crate) frequency: u8,
    pub(crate) queue: Queue,
    pub(crate) stale: bool,
    pub(crate) token_taken: bool,
    pub(crate) fetched: bool,
}

/// Memory of a key and a value of these lengths, besides the slot.
pub(crate) fn body_bytes(key_length: usize, value_length: usize) -> u64 {
    if value_length < SHARED_VALUE_BYTES_MIN {
        heap_bytes(key_length + value_length)
    } else {
        // `Bytes` allocates a counter of its own when it is first shared.
        const SHARED_COUNTER_BYTES: usize = 24;
        heap_bytes(size_of::<Split>())
            + heap_bytes(key_length)
            + heap_bytes(value_length)
            + heap_bytes(SHARED_COUNTER_BYTES)
    }
}

impl Body {
    pub(crate) fn new(key: &[u8], value: Source<'_>) -> Self {
        let slice = value.as_slice();
        if slice.len() < SHARED_VALUE_BYTES_MIN {
            let mut block = Vec::with_capacity(key.len() + slice.len());
            block.extend_from_slice(key);
            block.extend_from_slice(slice);
            return Body::Joint(block.into_boxed_slice());
        }
        let value = match value {
            Source::Lent(slice) => Bytes::copy_from_slice(slice),
            Source::Shared(bytes) => bytes,
        };
        Body::Split(Box::new(Split { key: key.into(), value }))
    }
}

impl Entry {
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match &self.body {
            Body::Vacant => &[],
            Body::Joint(block) => &block[..usize::from(self.key_length)],
            Body::Split(split) => &split.key,
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        match &self.body {
            Body::Vacant => &[],
            Body::Joint(block) => &block[usize::from(self.key_length)..],
            Body::Split(split) => &split.value,
        }
    }

    pub(crate) fn is_vacant(&self) -> bool {
        matches!(self.body, Body::Vacant)
    }

    /// Memory of key and value.
    pub(crate) fn body_bytes(&self) -> u64 {
        match &self.body {
            Body::Vacant => 0,
            _ => body_bytes(usize::from(self.key_length), self.value().len()),
        }
    }

    /// Replaces the value; in place when it is as long as the one that is there.
    pub(crate) fn set_value(&mut self, value: Source<'_>) {
        let slice = value.as_slice();
        if let Body::Joint(block) = &mut self.body {
            let place = &mut block[usize::from(self.key_length)..];
            if place.len() == slice.len() {
                place.copy_from_slice(slice);
                return;
            }
        }
        self.body = Body::new(self.key(), value);
    }

    /// Whether the copy must not be served without asking the store.
    #[inline]
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.fresh_until != 0 && self.fresh_until <= now.0
    }

    pub(crate) fn is_absent_mark(&self) -> bool {
        self.queue == Queue::Absent
    }

    /// The item as the semantics see it.
    pub(crate) fn current(&self) -> Current<'_> {
        Current {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            stale: self.stale,
            token_taken: self.token_taken,
            value: self.value(),
        }
    }

    /// Whether a read would hand out a token or give another expiry.
    #[inline]
    pub(crate) fn would_change(&self, get: &Get, now: Timestamp) -> bool {
        let may_change = get.may_change() || (get.tokens && self.stale);
        may_change && semantics::get_changes(&self.current(), get, now)
    }

    /// What a read that changes nothing answers.
    #[inline]
    pub(crate) fn found(&self) -> Found {
        Found {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            expiry_before: self.expiry,
            last_access: Some(self.last_access),
            fetched: self.fetched,
            stale: self.stale,
            token: if self.token_taken { Token::Taken } else { Token::Free },
            version: 0,
        }
    }

    /// Hands the value to a reader: large ones to keep, small ones lent.
    #[inline]
    pub(crate) fn show(&self, found: &Found, sink: &mut dyn Sink) {
        match &self.body {
            Body::Split(split) => sink.hit_shared(found, &split.value),
            _ => sink.hit(found, &[self.value()]),
        }
    }

    /// An owned copy; large values are shared.
    pub(crate) fn item(&self) -> Item {
        let value = match &self.body {
            Body::Split(split) => split.value.clone(),
            _ => Bytes::copy_from_slice(self.value()),
        };
        Item { found: self.found(), value: value.into() }
    }

    /// Counts a read. Writes only what changes, so that a hot item's cache line is mostly read.
    #[inline]
    pub(crate) fn mark_access(&mut self, now: Timestamp) {
        if self.last_access != now {
            self.last_access = now;
        }
        if !self.fetched {
            self.fetched = true;
        }
        self.mark_use();
    }

    #[inline]
    pub(crate) fn mark_use(&mut self) {
        if self.frequency < FREQUENCY_MAX {
            self.frequency += 1;
        }
    }
}
