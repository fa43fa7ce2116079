//! What each command means, as pure functions over the item that is there.
//!
//! Every engine that decides for itself decides here, so that a command means the same on all of them. The rules are
//! the memcached protocol's; see `docs/reference/protocol.md`.
//!
//! An engine looks its current, unexpired item up, asks the function of the command, and carries out the [`Change`].
//! CAS ids come from the engine: `new_id` is taken from a counter that never goes back.

use bytes::{Bytes, BytesMut};

use crate::error::ErrorKind;
use crate::item::{Found, Token};
use crate::request::{Arithmetic, Delete, Direction, Get, Mode, Older, Store, Vivify};
use crate::time::{Expiry, Timestamp};

/// The item that is there, as an engine sees it. Never an expired one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Current<'a> {
    /// The client's 32 bits.
    pub flags: u32,
    /// Its CAS.
    pub cas: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
    /// Its value.
    pub value: &'a [u8],
}

/// The item a command leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Next<'a> {
    /// The client's 32 bits.
    pub flags: u32,
    /// Its CAS.
    pub cas: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
    /// Its value.
    pub value: NextValue<'a>,
}

/// The value a command leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextValue<'a> {
    /// The one that is there; only the rest of the item changes.
    Kept,
    /// The one the command brought.
    Given,
    /// These two, one after the other.
    Joined(&'a [u8], &'a [u8]),
    /// None.
    Empty,
    /// Decimal text.
    Decimal(Decimal),
}

/// A number as decimal text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal {
    digits: [u8; Decimal::DIGITS_MAX],
    start: u8,
}

impl Decimal {
    /// Digits of 2^64 - 1.
    pub const DIGITS_MAX: usize = 20;

    /// The text of `number`.
    pub fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; Self::DIGITS_MAX];
        let mut start = Self::DIGITS_MAX;
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Decimal { digits, start: start as u8 };
            }
        }
    }

    /// The text.
    pub fn as_slice(&self) -> &[u8] {
        &self.digits[usize::from(self.start)..]
    }
}

impl NextValue<'_> {
    /// Length in bytes, given the lengths of what is there and what was given.
    pub fn len(&self, kept: usize, given: usize) -> usize {
        match self {
            NextValue::Kept => kept,
            NextValue::Given => given,
            NextValue::Joined(first, second) => first.len() + second.len(),
            NextValue::Empty => 0,
            NextValue::Decimal(decimal) => decimal.as_slice().len(),
        }
    }

    /// The bytes, where they are not simply those that are there or those that were given.
    pub fn composed(&self) -> Option<Bytes> {
        match self {
            NextValue::Kept | NextValue::Given => None,
            NextValue::Joined(first, second) => {
                let mut joined = BytesMut::with_capacity(first.len() + second.len());
                joined.extend_from_slice(first);
                joined.extend_from_slice(second);
                Some(joined.freeze())
            }
            NextValue::Empty => Some(Bytes::new()),
            NextValue::Decimal(decimal) => Some(Bytes::copy_from_slice(decimal.as_slice())),
        }
    }
}

/// What an engine is to do, and with what to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// Leave everything.
    None,
    /// Put this item under the key.
    Put(Next<'a>),
    /// Remove the item.
    Remove,
}

/// The meaning of a store command. `value` is what the command brought.
///
/// * A `compare` makes it a cas: no item is `NotFound` (`NotStored` for append and prepend), another CAS is `Exists`
///   (or, with [`Older::MarkStale`] and a lower one, a store that keeps the expiry and marks the item stale);
///   with `Add` it is ignored.
/// * append and prepend keep flags and expiry. `item_size_max` bounds what they make: beyond it `NotStored`.
pub fn store<'a>(
    current: Option<&Current<'a>>,
    store: &Store<'_>,
    value: &'a [u8],
    new_id: u64,
    item_size_max: u64,
) -> Result<Next<'a>, ErrorKind> {
    let cas = store.new_cas.unwrap_or(new_id);
    let fresh = Next {
        flags: store.flags,
        cas,
        expiry: store.expiry,
        stale: store.stale,
        token_taken: store.token_taken,
        value: NextValue::Given,
    };
    let joins = matches!(store.mode, Mode::Append | Mode::Prepend);
    let Some(current) = current else {
        return match store.mode {
            Mode::Add => Ok(fresh),
            Mode::Append | Mode::Prepend => match store.vivify {
                Some(expiry) if store.compare.is_none() => Ok(Next { expiry, ..fresh }),
                _ => Err(ErrorKind::NotStored),
            },
            _ if store.compare.is_some() => Err(ErrorKind::NotFound),
            Mode::Replace => Err(ErrorKind::NotStored),
            Mode::Set => Ok(fresh),
        };
    };
    if store.mode == Mode::Add {
        return Err(ErrorKind::NotStored);
    }
    let mut next = fresh;
    match store.compare {
        Some(compare) if compare != current.cas => {
            if store.older != Older::MarkStale || compare > current.cas {
                return Err(ErrorKind::Exists);
            }
            next.expiry = current.expiry;
            next.stale = true;
            next.token_taken = current.token_taken;
        }
        _ => {}
    }
    if joins {
        if current.value.len() as u64 + value.len() as u64 > item_size_max {
            return Err(ErrorKind::NotStored);
        }
        next.flags = current.flags;
        next.expiry = current.expiry;
        next.value = match store.mode {
            Mode::Append => NextValue::Joined(current.value, value),
            _ => NextValue::Joined(value, current.value),
        };
    }
    Ok(next)
}

/// The meaning of a delete command.
pub fn delete<'a>(
    current: Option<&Current<'a>>,
    delete: &Delete,
    new_id: u64,
) -> Result<Change<'a>, ErrorKind> {
    let current = current.ok_or(ErrorKind::NotFound)?;
    if delete.compare.is_some_and(|compare| compare != current.cas) {
        return Err(ErrorKind::Exists);
    }
    if !delete.keeps_item() {
        return Ok(Change::Remove);
    }
    Ok(Change::Put(Next {
        flags: delete.drop_value.unwrap_or(current.flags),
        cas: delete.new_cas.unwrap_or(new_id),
        expiry: delete.expiry.unwrap_or(current.expiry),
        stale: delete.mark_stale || current.stale,
        token_taken: !delete.mark_stale && current.token_taken,
        value: if delete.drop_value.is_some() { NextValue::Empty } else { NextValue::Kept },
    }))
}

/// The meaning of incr and decr: the item to put, the number to answer, and whether it is a new item.
pub fn arithmetic<'a>(
    current: Option<&Current<'a>>,
    arithmetic: &Arithmetic,
    new_id: u64,
) -> Result<(Next<'a>, u64, bool), ErrorKind> {
    let cas = arithmetic.new_cas.unwrap_or(new_id);
    let Some(current) = current else {
        let initial = arithmetic.initial.ok_or(ErrorKind::NotFound)?;
        let next = Next {
            flags: 0,
            cas,
            expiry: initial.expiry,
            stale: false,
            token_taken: false,
            value: NextValue::Decimal(Decimal::new(initial.value)),
        };
        return Ok((next, initial.value, true));
    };
    if arithmetic.compare.is_some_and(|compare| compare != current.cas) {
        return Err(ErrorKind::Exists);
    }
    let number = parse_decimal(current.value).ok_or(ErrorKind::NotNumeric)?;
    let number = match arithmetic.direction {
        Direction::Increment => number.wrapping_add(arithmetic.delta),
        Direction::Decrement => number.saturating_sub(arithmetic.delta),
    };
    let next = Next {
        flags: current.flags,
        cas,
        expiry: arithmetic.expiry.unwrap_or(current.expiry),
        stale: current.stale,
        token_taken: current.token_taken,
        value: NextValue::Decimal(Decimal::new(number)),
    };
    Ok((next, number, false))
}

/// A stored counter: decimal text below 2^64 of at most 20 digits, spaces around it tolerated.
pub fn parse_decimal(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > Decimal::DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What a look-up answers and leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen<'a> {
    /// The answer without `last_access`, `fetched` and `version`, which are the engine's.
    pub found: Found,
    /// What it changes: expiry, token, or a vivified item.
    pub change: Change<'a>,
}

/// The meaning of a look-up with all its options; `None` is a miss.
pub fn get<'a>(current: Option<&Current<'a>>, get: &Get, new_id: u64, now: Timestamp) -> Option<Seen<'a>> {
    let Some(current) = current else {
        let Vivify { expiry, new_cas } = get.vivify?;
        let cas = new_cas.unwrap_or(new_id);
        let next = Next { flags: 0, cas, expiry, stale: false, token_taken: true, value: NextValue::Empty };
        let found = Found { cas, expiry, expiry_before: expiry, token: Token::Won, ..Found::default() };
        return Some(Seen { found, change: Change::Put(next) });
    };
    let wants_token = (get.tokens && current.stale) || must_recache(current.expiry, get, now);
    let token = match (current.token_taken, wants_token) {
        // Told to every reader, so that a cache learns it from any read.
        (true, _) => Token::Taken,
        (false, true) => Token::Won,
        _ => Token::Free,
    };
    let expiry = get.touch.unwrap_or(current.expiry);
    let found = Found {
        flags: current.flags,
        cas: current.cas,
        expiry,
        expiry_before: current.expiry,
        stale: current.stale,
        token,
        ..Found::default()
    };
    let changes = token == Token::Won || expiry != current.expiry;
    let next = Next {
        flags: current.flags,
        cas: current.cas,
        expiry,
        stale: current.stale,
        token_taken: current.token_taken || token == Token::Won,
        value: NextValue::Kept,
    };
    Some(Seen { found, change: if changes { Change::Put(next) } else { Change::None } })
}

/// Whether a hit would hand out a token or otherwise change the item: a cache must refer such a read to its store.
pub fn get_changes(current: &Current<'_>, get: &Get, now: Timestamp) -> bool {
    get.touch.is_some_and(|expiry| expiry != current.expiry)
        || (!current.token_taken && ((get.tokens && current.stale) || must_recache(current.expiry, get, now)))
}

fn must_recache(expiry: Expiry, get: &Get, now: Timestamp) -> bool {
    match (get.recache_below, expiry.seconds_left(now)) {
        (Some(below), Some(left)) => left < below,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
