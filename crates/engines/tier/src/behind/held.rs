//! An item as the tier itself holds it, between the acknowledgement and the store.

use bytes::Bytes;
use larder_engine::semantics::{Current, Next, NextValue};
use larder_engine::{Expiry, Found, Item, Timestamp, Token};

use super::short::Short;

/// Up to this length a value lies in its item.
pub(crate) const VALUE_HERE_MAX: usize = 126;

/// An item acknowledged and not yet in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub value: Short<VALUE_HERE_MAX>,
    pub cas: u64,
    pub flags: u32,
    pub expiry: Expiry,
    pub stale: bool,
    pub token_taken: bool,
    pub fetched: bool,
    pub last_access: Option<Timestamp>,
}

impl Held {
    /// An item of the store or the cache.
    pub fn of(item: &Item) -> Self {
        let found = &item.found;
        Held {
            value: item.value.whole().into(),
            cas: found.cas,
            flags: found.flags,
            expiry: found.expiry,
            stale: found.stale,
            token_taken: found.token != Token::Free,
            fetched: found.fetched,
            last_access: found.last_access,
        }
    }

    /// What a command makes of what is there.
    pub fn next(next: &Next<'_>, there: Option<&Held>, given: Option<&Bytes>) -> Self {
        let value = match (&next.value, there, given) {
            (NextValue::Kept, Some(there), _) => there.value.clone(),
            (NextValue::Given, _, Some(given)) => given.clone().into(),
            (other, _, _) => other.composed().expect("what is neither kept nor given is composed").into(),
        };
        // A new value has not been read yet; a touch or a token leaves the history as it is.
        let kept = there.filter(|_| next.value == NextValue::Kept);
        Held {
            value,
            cas: next.cas,
            flags: next.flags,
            expiry: next.expiry,
            stale: next.stale,
            token_taken: next.token_taken,
            fetched: kept.is_some_and(|there| there.fetched),
            last_access: kept.and_then(|there| there.last_access),
        }
    }

    /// For [`larder_engine::semantics`].
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

    /// What a look-up that changes nothing says of it.
    pub fn found(&self) -> Found {
        Found {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            expiry_before: self.expiry,
            last_access: self.last_access,
            fetched: self.fetched,
            stale: self.stale,
            token: if self.token_taken { Token::Taken } else { Token::Free },
            version: 0,
        }
    }

    /// As an item for the cache.
    pub fn item(&self) -> Item {
        Item { found: self.found(), value: self.value.to_bytes().into() }
    }
}
