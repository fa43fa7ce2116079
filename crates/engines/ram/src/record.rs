//! How an item stands in its segment.
//!
//! ```text
//!  0      shape      kind (2 bits), which optional fields follow, whether it is a copy of a store's item
//!  1      state      uses (3 bits), fetched, stale, token taken
//!  2..4   length of what is stored behind the key: the value, or the number of a large one
//!  4      length of the key
//!  5      flush epoch it was written in, the low byte
//!  6..10  second of its last access
//! 10..15  CAS (18 bytes to here when it needs more than 40 bits)
//!         client flags      4 bytes, left out when 0
//!         expiry            4 bytes, left out when never
//!         fresh until       4 bytes, left out when always
//!         key, value
//! ```
//!
//! Numbers are little-endian and not aligned. A record that is gone keeps its length and becomes `Dead`; what a shorter
//! value leaves of the record before it becomes a gap of three bytes or more, which has only a shape and a length.

use bytes::Bytes;
use larder_engine::semantics::{self, Current};
use larder_engine::{Expiry, Found, Get, Item, Sink, Timestamp, Token};

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An item with its value.
    Small,
    /// An item whose value has pages of its own; the number of its slot is stored.
    Large,
    /// No item: the store below said that it has none.
    Absent,
    /// Nothing any more.
    Dead,
}

const KIND: u8 = 0b11;
const HAS_FLAGS: u8 = 1 << 2;
const HAS_EXPIRY: u8 = 1 << 3;
const HAS_FRESH_UNTIL: u8 = 1 << 4;
const WIDE_CAS: u8 = 1 << 5;
const COPY: u8 = 1 << 6;
const GAP: u8 = 1 << 7;

const USES: u8 = 0b111;
const FETCHED: u8 = 1 << 3;
const STALE: u8 = 1 << 4;
const TOKEN_TAKEN: u8 = 1 << 5;

const STATE_AT: usize = 1;
const LENGTH_AT: usize = 2;
const KEY_LENGTH_AT: usize = 4;
const EPOCH_AT: usize = 5;
const LAST_ACCESS_AT: usize = 6;
const CAS_AT: usize = 10;
const CAS_BYTES: usize = 5;
const CAS_WIDE_BYTES: usize = 8;

/// The shortest gap.
pub(crate) const GAP_BYTES_MIN: usize = 3;
/// How often an item was used lately counts up to here.
pub(crate) const USES_MAX: u8 = 7;

/// A record without key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) copy: bool,
    pub(crate) uses: u8,
    pub(crate) fetched: bool,
    pub(crate) stale: bool,
    pub(crate) token_taken: bool,
    pub(crate) key_length: u8,
    pub(crate) stored_length: u16,
    pub(crate) epoch: u8,
    pub(crate) last_access: Timestamp,
    pub(crate) cas: u64,
    pub(crate) flags: u32,
    pub(crate) expiry: Expiry,
    /// From this second on overdue; 0: never.
    pub(crate) fresh_until: u32,
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
fn head_length(shape: u8) -> usize {
    let options = (shape & (HAS_FLAGS | HAS_EXPIRY | HAS_FRESH_UNTIL)).count_ones() as usize;
    CAS_AT + if shape & WIDE_CAS != 0 { CAS_WIDE_BYTES } else { CAS_BYTES } + 4 * options
}

#[inline]
fn stored_length(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[LENGTH_AT], bytes[LENGTH_AT + 1]]))
}

#[inline]
fn kind_of(shape: u8) -> Kind {
    match shape & KIND {
        0 => Kind::Small,
        1 => Kind::Large,
        2 => Kind::Absent,
        _ => Kind::Dead,
    }
}

/// Length in bytes of the record that `bytes` begin with.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> usize {
    let shape = bytes[0];
    if shape & GAP != 0 {
        return usize::from(u16::from_le_bytes([bytes[1], bytes[2]]));
    }
    head_length(shape) + usize::from(bytes[KEY_LENGTH_AT]) + stored_length(bytes)
}

/// What the record is.
#[inline]
pub(crate) fn kind(bytes: &[u8]) -> Kind {
    kind_of(bytes[0])
}

#[inline]
pub(crate) fn is_dead(bytes: &[u8]) -> bool {
    bytes[0] & KIND == Kind::Dead as u8
}

/// The key of a record that is no gap.
#[inline]
pub(crate) fn key(bytes: &[u8]) -> &[u8] {
    let start = head_length(bytes[0]);
    &bytes[start..start + usize::from(bytes[KEY_LENGTH_AT])]
}

/// Whether the record is alive and has this key.
#[inline]
pub(crate) fn has_key(bytes: &[u8], other: &[u8]) -> bool {
    usize::from(bytes[KEY_LENGTH_AT]) == other.len() && key(bytes) == other
}

/// What is stored behind the key.
#[inline]
pub(crate) fn stored(bytes: &[u8]) -> &[u8] {
    let start = head_length(bytes[0]) + usize::from(bytes[KEY_LENGTH_AT]);
    &bytes[start..start + stored_length(bytes)]
}

/// The number of a large value's slot.
pub(crate) fn large_slot(bytes: &[u8]) -> u32 {
    word(stored(bytes), 0)
}

/// Makes a record a dead one.
pub(crate) fn kill(bytes: &mut [u8]) {
    bytes[0] |= Kind::Dead as u8;
}

/// Makes `bytes` a gap.
pub(crate) fn write_gap(bytes: &mut [u8]) {
    bytes[0] = GAP | Kind::Dead as u8;
    let length = u16::try_from(bytes.len()).expect("a gap lies in a record, and those are shorter");
    bytes[1..3].copy_from_slice(&length.to_le_bytes());
}

impl Head {
    /// Reads a record that is alive.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Head {
        let (shape, state) = (bytes[0], bytes[STATE_AT]);
        let low = u64::from(word(bytes, CAS_AT)) | u64::from(bytes[CAS_AT + 4]) << 32;
        let mut at = CAS_AT + CAS_BYTES;
        let mut cas = low;
        if shape & WIDE_CAS != 0 {
            cas |=
                u64::from(bytes[at]) << 40 | u64::from(bytes[at + 1]) << 48 | u64::from(bytes[at + 2]) << 56;
            at = CAS_AT + CAS_WIDE_BYTES;
        }
        let mut optional = |bit: u8| {
            if shape & bit == 0 {
                return 0;
            }
            at += 4;
            word(bytes, at - 4)
        };
        Head {
            kind: kind_of(shape),
            copy: shape & COPY != 0,
            uses: state & USES,
            fetched: state & FETCHED != 0,
            stale: state & STALE != 0,
            token_taken: state & TOKEN_TAKEN != 0,
            key_length: bytes[KEY_LENGTH_AT],
            stored_length: u16::from_le_bytes([bytes[LENGTH_AT], bytes[LENGTH_AT + 1]]),
            epoch: bytes[EPOCH_AT],
            last_access: Timestamp(word(bytes, LAST_ACCESS_AT)),
            cas,
            flags: optional(HAS_FLAGS),
            expiry: Expiry::from_raw(optional(HAS_EXPIRY)),
            fresh_until: optional(HAS_FRESH_UNTIL),
        }
    }

    fn shape(&self) -> u8 {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        self.kind as u8
            | bit(HAS_FLAGS, self.flags != 0)
            | bit(HAS_EXPIRY, self.expiry != Expiry::NEVER)
            | bit(HAS_FRESH_UNTIL, self.fresh_until != 0)
            | bit(WIDE_CAS, self.cas >> (8 * CAS_BYTES) != 0)
            | bit(COPY, self.copy)
    }

    /// Whether the optional fields are the same.
    pub(crate) fn has_shape_of(&self, other: &Head) -> bool {
        self.shape() == other.shape()
    }

    /// Length of the whole record.
    pub(crate) fn record_length(&self) -> usize {
        head_length(self.shape()) + usize::from(self.key_length) + usize::from(self.stored_length)
    }

    /// Writes the head at the beginning of `bytes`; where the key belongs.
    pub(crate) fn write(&self, bytes: &mut [u8]) -> usize {
        let shape = self.shape();
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        bytes[0] = shape;
        bytes[STATE_AT] = self.uses.min(USES_MAX)
            | bit(FETCHED, self.fetched)
            | bit(STALE, self.stale)
            | bit(TOKEN_TAKEN, self.token_taken);
        bytes[LENGTH_AT..LENGTH_AT + 2].copy_from_slice(&self.stored_length.to_le_bytes());
        bytes[KEY_LENGTH_AT] = self.key_length;
        bytes[EPOCH_AT] = self.epoch;
        bytes[LAST_ACCESS_AT..LAST_ACCESS_AT + 4].copy_from_slice(&self.last_access.0.to_le_bytes());
        let cas_bytes = if shape & WIDE_CAS != 0 { CAS_WIDE_BYTES } else { CAS_BYTES };
        bytes[CAS_AT..CAS_AT + cas_bytes].copy_from_slice(&self.cas.to_le_bytes()[..cas_bytes]);
        let mut at = CAS_AT + cas_bytes;
        for number in [self.flags, self.expiry.raw(), self.fresh_until] {
            if number != 0 {
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
                at += 4;
            }
        }
        at
    }

    /// Whether it has expired, or says of a key that it is absent and may no longer.
    #[inline]
    pub(crate) fn has_ended(&self, now: Timestamp) -> bool {
        self.expiry.is_past(now) || (self.kind == Kind::Absent && self.is_overdue(now))
    }

    /// Whether the copy must not be served without asking the store.
    #[inline]
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.fresh_until != 0 && self.fresh_until <= now.0
    }
}

/// Notes that the record was checked against all flushes up to `epoch`.
pub(crate) fn set_epoch(bytes: &mut [u8], epoch: u8) {
    bytes[EPOCH_AT] = epoch;
}

pub(crate) fn set_uses(bytes: &mut [u8], uses: u8) {
    bytes[STATE_AT] = bytes[STATE_AT] & !USES | uses.min(USES_MAX);
}

pub(crate) fn set_large_slot(bytes: &mut [u8], slot: u32) {
    let start = head_length(bytes[0]) + usize::from(bytes[KEY_LENGTH_AT]);
    bytes[start..start + 4].copy_from_slice(&slot.to_le_bytes());
}

/// Counts a read. Writes only what changes, so that a hot item's cache line is mostly read.
#[inline]
pub(crate) fn mark_access(bytes: &mut [u8], now: Timestamp) {
    let state = bytes[STATE_AT];
    let uses = (state & USES) + u8::from(state & USES < USES_MAX);
    let marked = state & !USES | uses | FETCHED;
    if marked != state {
        bytes[STATE_AT] = marked;
    }
    let now = now.0.to_le_bytes();
    if bytes[LAST_ACCESS_AT..LAST_ACCESS_AT + 4] != now {
        bytes[LAST_ACCESS_AT..LAST_ACCESS_AT + 4].copy_from_slice(&now);
    }
}

/// A record that is alive, with its value.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) head: Head,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The value, where it may be kept instead of copied.
    pub(crate) shared: Option<&'a Bytes>,
}

impl View<'_> {
    /// The item as the semantics see it.
    pub(crate) fn current(&self) -> Current<'_> {
        Current {
            flags: self.head.flags,
            cas: self.head.cas,
            expiry: self.head.expiry,
            stale: self.head.stale,
            token_taken: self.head.token_taken,
            value: self.value,
        }
    }

    /// Whether a read would hand out a token or give another expiry.
    #[inline]
    pub(crate) fn would_change(&self, get: &Get, now: Timestamp) -> bool {
        let may_change = get.may_change() || (get.tokens && self.head.stale);
        may_change && semantics::get_changes(&self.current(), get, now)
    }

    /// What a read that changes nothing answers.
    #[inline]
    pub(crate) fn found(&self) -> Found {
        Found {
            flags: self.head.flags,
            cas: self.head.cas,
            expiry: self.head.expiry,
            expiry_before: self.head.expiry,
            last_access: Some(self.head.last_access),
            fetched: self.head.fetched,
            stale: self.head.stale,
            token: if self.head.token_taken { Token::Taken } else { Token::Free },
            version: 0,
        }
    }

    /// Hands the value to a reader: large ones to keep, small ones lent.
    #[inline]
    pub(crate) fn show(&self, found: &Found, sink: &mut dyn Sink) {
        match self.shared {
            Some(value) => sink.hit_shared(found, value),
            None => sink.hit(found, &[self.value]),
        }
    }

    /// An owned copy; large values are shared.
    pub(crate) fn item(&self) -> Item {
        let value = match self.shared {
            Some(value) => value.clone(),
            None => Bytes::copy_from_slice(self.value),
        };
        Item { found: self.found(), value: value.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (kind, bits, uses) in (0..3u8, any::<u8>(), 0..=USES_MAX),
            numbers in any::<[u32; 3]>(),
            zeros in 0..8u8,
            (cas, cas_bits) in (any::<u64>(), 0..64u32),
            key in prop::collection::vec(any::<u8>(), 1..=250),
            value in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let number = |n: usize| if zeros >> n & 1 == 1 { 0 } else { numbers[n] };
            let head = Head {
                kind: kind_of(kind),
                copy: bits & 1 != 0,
                uses,
                fetched: bits & 2 != 0,
                stale: bits & 4 != 0,
                token_taken: bits & 8 != 0,
                key_length: key.len() as u8,
                stored_length: value.len() as u16,
                epoch: bits,
                last_access: Timestamp(numbers[0]),
                cas: cas >> cas_bits,
                flags: number(0),
                expiry: Expiry::from_raw(number(1)),
                fresh_until: number(2),
            };
            let mut bytes = vec![0xaa; head.record_length()];
            let at = head.write(&mut bytes);
            bytes[at..at + key.len()].copy_from_slice(&key);
            bytes[at + key.len()..].copy_from_slice(&value);
            prop_assert_eq!(Head::read(&bytes), head);
            prop_assert_eq!(length(&bytes), bytes.len());
            prop_assert!(has_key(&bytes, &key) && stored(&bytes) == &value[..]);
            let mut marked = head;
            mark_access(&mut bytes, Timestamp(7));
            (marked.fetched, marked.uses, marked.last_access) = (true, (uses + 1).min(USES_MAX), Timestamp(7));
            prop_assert_eq!(Head::read(&bytes), marked);
            kill(&mut bytes);
            prop_assert!(is_dead(&bytes) && length(&bytes) == bytes.len());
            write_gap(&mut bytes);
            prop_assert!(is_dead(&bytes) && length(&bytes) == bytes.len());
        }
    }
}
