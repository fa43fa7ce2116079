//! Scans: everything in key order, or roughly the newest first.
//!
//! A page in key order merges the overlay with the table. The overlay is read first: what is folded in between is
//! then seen twice, never missed.

use std::ops::{Bound, RangeInclusive};

use larder_engine::durable::is_alive;
use larder_engine::{EngineError, ErrorKind, Expiry, Item, ScanOrder, ScanPage};
use rusqlite::Connection;

use crate::kept::{self, COLUMNS, Kept, KeyBytes, Latest, blob};
use crate::shared::Shared;

mod newest;

/// Most rows looked at for one page, so that a page of a table full of dead rows ends too.
const PAGE_ROWS_MAX: usize = 10_000;
/// Most entries of the overlay copied for one page.
const OVERLAY_ENTRIES_MAX: usize = 2_000;
/// What an item weighs besides its key and value.
const ITEM_BYTES: usize = 64;

pub(crate) fn page(
    shared: &Shared,
    connection: &Connection,
    order: ScanOrder,
    cursor: Option<Vec<u8>>,
    bytes_max: usize,
) -> Result<ScanPage, EngineError> {
    match order {
        ScanOrder::Any => {
            let start = cursor.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let piece = piece(shared, connection, start, bytes_max, 0..=u64::MAX);
            piece
                .map(|piece| ScanPage { items: piece.items, next: piece.next.map(|key| key.to_vec()) })
                .map_err(|error| shared.failed(&error))
        }
        ScanOrder::Newest => newest::page(shared, connection, cursor, bytes_max),
    }
}

pub(crate) fn bad_cursor() -> EngineError {
    EngineError::new(ErrorKind::BadArgument, "the cursor is not one of this scan")
}

/// A piece of the store in key order.
#[derive(Default)]
struct Piece {
    items: Vec<(Box<[u8]>, Item)>,
    /// The last key looked at, if there may be more.
    next: Option<KeyBytes>,
}

/// Items from `start` on whose version lies in `versions`, up to about `bytes_max` bytes.
fn piece(
    shared: &Shared,
    connection: &Connection,
    start: Bound<&[u8]>,
    bytes_max: usize,
    versions: RangeInclusive<u64>,
) -> rusqlite::Result<Piece> {
    let now = shared.now();
    let flushes = shared.flushes.load();
    let overlay = shared.overlay.range(start, OVERLAY_ENTRIES_MAX);
    // Beyond what was read of the overlay the table alone may be old.
    let overlay_end =
        overlay.last().filter(|_| overlay.len() == OVERLAY_ENTRIES_MAX).map(|(key, _)| key.clone());
    let wanted = |key: &[u8], version: u64, expiry: Expiry| {
        versions.contains(&version) && is_alive(version, expiry, key, flushes.as_deref(), now)
    };
    let (after, with_first) = match start {
        Bound::Excluded(key) => (key, false),
        Bound::Included(key) => (key, true),
        Bound::Unbounded => (&[][..], false),
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT key, {COLUMNS} FROM items WHERE key >= ?1 AND (?2 OR key > ?1) ORDER BY key"
    ))?;
    let mut rows = select.query((after, with_first))?;
    let mut page = Filling { piece: Piece::default(), bytes: 0, looked: 0, bytes_max };
    let mut overlay = overlay.into_iter().peekable();
    let mut row = rows.next()?;
    loop {
        let row_key = row.map(|row| blob(row, 0)).transpose()?;
        let overlay_is_next = match (overlay.peek(), row_key) {
            (None, None) => break,
            (None, Some(_)) if overlay_end.is_some() => break,
            (None, Some(_)) => false,
            (Some(_), None) => true,
            (Some((key, _)), Some(row_key)) => key[..] <= *row_key,
        };
        let more = if overlay_is_next {
            let (key, entry) = overlay.next().expect("it was just seen");
            let kept = match &entry.latest {
                Latest::Item(kept) if wanted(&key, kept.version, kept.expiry) => Some(kept),
                _ => None,
            };
            if row_key == Some(&key[..]) {
                row = rows.next()?;
            }
            page.take(&key, kept)
        } else {
            let (at, key) = row.zip(row_key).expect("there is a row when the overlay is not next");
            let kept = if wanted(key, at.get::<_, i64>(1)? as u64, Expiry::from_raw(at.get(3)?)) {
                let kept = kept::from_row(at, 1)?;
                shared.published.wait_for(kept.version);
                Some(kept)
            } else {
                None
            };
            let more = page.take(key, kept.as_ref());
            row = rows.next()?;
            more
        };
        if !more {
            return Ok(page.piece);
        }
    }
    page.piece.next = overlay_end;
    Ok(page.piece)
}

/// A piece as it fills.
struct Filling {
    piece: Piece,
    bytes: usize,
    looked: usize,
    bytes_max: usize,
}

impl Filling {
    /// Takes the next key, with its item if it is wanted; whether there is room for more.
    fn take(&mut self, key: &[u8], kept: Option<&Kept>) -> bool {
        self.looked += 1;
        if let Some(kept) = kept {
            self.bytes += key.len() + kept.value.len() + ITEM_BYTES;
            self.piece.items.push(kept.scanned(key));
        }
        let full = self.bytes >= self.bytes_max || self.looked >= PAGE_ROWS_MAX;
        if full {
            self.piece.next = Some(key.into());
        }
        !full
    }
}
