//! An item as a durable store keeps it.

use std::sync::Arc;

use bytes::Bytes;

use super::flushes::Flushes;
use crate::item::{Found, Item, Token};
use crate::semantics::{Current, Next, NextValue};
use crate::time::{Expiry, Timestamp};

/// The bytes of a key, shared by the maps that name it.
pub type KeyBytes = Arc<[u8]>;

/// An item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Id of the last change, whatever it changed. Later changes have higher ids.
    pub version: u64,
    /// Its CAS.
    pub cas: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// The client's 32 bits.
    pub flags: u32,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
    /// Its value.
    pub value: Bytes,
}

/// What was last done to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Latest {
    /// It has this item.
    Item(Kept),
    /// It was removed by the change with this id.
    Gone(u64),
}

impl Kept {
    /// As commands see it.
    pub fn current(&self) -> Current<'_> {
        Current {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            stale: self.stale,
            token_taken: self.token_taken,
            value: &self.value,
        }
    }

    /// What a command leaves, where `kept` is the value that was there and `given` the one it brought.
    pub fn after(next: &Next<'_>, version: u64, kept: Option<&Bytes>, given: &Bytes) -> Kept {
        let value = match next.value.composed() {
            Some(composed) => composed,
            None if next.value == NextValue::Given => given.clone(),
            None => kept.cloned().unwrap_or_default(),
        };
        Kept {
            version,
            cas: next.cas,
            expiry: next.expiry,
            flags: next.flags,
            stale: next.stale,
            token_taken: next.token_taken,
            value,
        }
    }

    /// As an answer: the value, with what a look-up found.
    pub fn item(&self, found: Found) -> Item {
        Item { found, value: self.value.clone().into() }
    }

    /// As a scan gives it.
    pub fn scanned(&self, key: &[u8]) -> (Box<[u8]>, Item) {
        let found = Found {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            stale: self.stale,
            token: if self.token_taken { Token::Taken } else { Token::Free },
            ..Found::default()
        };
        (key.into(), self.item(found))
    }

    /// Whether it is neither expired nor flushed.
    pub fn is_alive(&self, key: &[u8], flushes: Option<&Flushes>, now: Timestamp) -> bool {
        is_alive(self.version, self.expiry, key, flushes, now)
    }
}

/// Whether an item is neither expired nor flushed.
pub fn is_alive(version: u64, expiry: Expiry, key: &[u8], flushes: Option<&Flushes>, now: Timestamp) -> bool {
    !expiry.is_past(now) && !flushes.is_some_and(|flushes| flushes.is_dead(key, version, now))
}

impl Latest {
    /// Id of the change.
    pub fn version(&self) -> u64 {
        match self {
            Latest::Item(kept) => kept.version,
            Latest::Gone(version) => *version,
        }
    }

    /// Length of the value in bytes.
    pub fn value_length(&self) -> usize {
        match self {
            Latest::Item(kept) => kept.value.len(),
            Latest::Gone(_) => 0,
        }
    }
}
