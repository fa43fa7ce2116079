//! An item as this store keeps it.

use std::sync::Arc;

use bytes::Bytes;
use larder_engine::semantics::{Current, Next, NextValue};
use larder_engine::{Expiry, Found, Item};
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// The bytes of a key, shared by the maps that name it.
pub(crate) type KeyBytes = Arc<[u8]>;

/// Columns of `items` in the order [`Kept::from_row`] reads them.
pub(crate) const COLUMNS: &str = "version, cas, expiry, flags, state, value";

pub(crate) const STATE_STALE: i64 = 1;
pub(crate) const STATE_TOKEN_TAKEN: i64 = 2;

/// An item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    /// Id of the last change, whatever it changed. Later changes have higher ids.
    pub version: u64,
    pub cas: u64,
    pub expiry: Expiry,
    pub flags: u32,
    pub stale: bool,
    pub token_taken: bool,
    pub value: Bytes,
}

/// What was last done to a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Latest {
    /// It has this item.
    Item(Kept),
    /// It was removed by the change with this id.
    Gone(u64),
}

impl Kept {
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

    pub fn item(&self, found: Found) -> Item {
        Item { found, value: self.value.clone().into() }
    }

    pub fn state(&self) -> i64 {
        i64::from(self.stale) * STATE_STALE + i64::from(self.token_taken) * STATE_TOKEN_TAKEN
    }

    /// From [`COLUMNS`], of which the first is number `first`.
    pub fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Kept> {
        let state: i64 = row.get(first + 4)?;
        Ok(Kept {
            version: row.get::<_, i64>(first)? as u64,
            cas: row.get::<_, i64>(first + 1)? as u64,
            expiry: Expiry::from_raw(row.get(first + 2)?),
            flags: row.get(first + 3)?,
            stale: state & STATE_STALE != 0,
            token_taken: state & STATE_TOKEN_TAKEN != 0,
            value: Bytes::copy_from_slice(blob(row, first + 5)?),
        })
    }
}

/// A column that must be a blob.
pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        other => {
            Err(rusqlite::Error::InvalidColumnType(column, "a blob was expected".into(), other.data_type()))
        }
    }
}

impl Latest {
    pub fn version(&self) -> u64 {
        match self {
            Latest::Item(kept) => kept.version,
            Latest::Gone(version) => *version,
        }
    }

    pub fn value_length(&self) -> usize {
        match self {
            Latest::Item(kept) => kept.value.len(),
            Latest::Gone(_) => 0,
        }
    }
}
