//! Rows of `items` and the items they hold.

use bytes::Bytes;
use larder_engine::Expiry;
pub(crate) use larder_engine::durable::{Kept, KeyBytes, Latest};
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Columns of `items` in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "version, cas, expiry, flags, state, value";

pub(crate) const STATE_STALE: i64 = 1;
pub(crate) const STATE_TOKEN_TAKEN: i64 = 2;

/// The column `state`.
pub(crate) fn state(kept: &Kept) -> i64 {
    i64::from(kept.stale) * STATE_STALE + i64::from(kept.token_taken) * STATE_TOKEN_TAKEN
}

/// From [`COLUMNS`], of which the first is number `first`.
pub(crate) fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Kept> {
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

/// A column that must be a blob.
pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        other => {
            Err(rusqlite::Error::InvalidColumnType(column, "a blob was expected".into(), other.data_type()))
        }
    }
}
