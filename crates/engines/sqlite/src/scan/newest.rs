//! Roughly the newest first, without an index by age.
//!
//! After a clean stop the keys a cache held are in the table `warm`, newest first. Otherwise versions are sampled all
//! over the keys to estimate how new the newest twentieth is, the newest fifth, and half; the table is then walked once
//! for each of these bands, and once for the rest. A cache that is full after the first stops there.

use std::ops::{Bound, RangeInclusive};

use larder_engine::{EngineError, ScanPage};
use rusqlite::{Connection, OptionalExtension};

use super::{ITEM_BYTES, bad_cursor, piece};
use crate::kept::{self, COLUMNS, KeyBytes, Latest, blob};
use crate::shared::Shared;

/// Keys of the warm list looked up for one page.
const WARM_KEYS_MAX: usize = 4096;
/// Places in the table from which versions are sampled.
const SAMPLE_PLACES: usize = 256;
/// Rows sampled at each place.
const SAMPLE_ROWS: usize = 16;
/// Share of all items that is newer than the lower end of each band but the last.
const BANDS: [f64; 3] = [0.05, 0.2, 0.5];

/// Where a scan goes on.
enum Cursor {
    /// At this position of the warm list.
    Warm(u64),
    /// In this band of versions, after this key.
    Band { band: u8, floors: [u64; BANDS.len()], after: Vec<u8> },
}

impl Cursor {
    fn encode(&self) -> Vec<u8> {
        match self {
            Cursor::Warm(position) => [&[0][..], &position.to_le_bytes()].concat(),
            Cursor::Band { band, floors, after } => {
                let mut bytes = vec![1, *band];
                floors.iter().for_each(|floor| bytes.extend_from_slice(&floor.to_le_bytes()));
                bytes.extend_from_slice(after);
                bytes
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Cursor> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => Some(Cursor::Warm(u64::from_le_bytes(rest.try_into().ok()?))),
            1 => {
                let (band, mut rest) = rest.split_first()?;
                let mut floors = [0; BANDS.len()];
                for floor in &mut floors {
                    let (number, after) = rest.split_first_chunk::<8>()?;
                    *floor = u64::from_le_bytes(*number);
                    rest = after;
                }
                Some(Cursor::Band { band: *band, floors, after: rest.to_vec() })
            }
            _ => None,
        }
    }
}

pub(super) fn page(
    shared: &Shared,
    connection: &Connection,
    cursor: Option<Vec<u8>>,
    bytes_max: usize,
) -> Result<ScanPage, EngineError> {
    let cursor = cursor.map(|bytes| Cursor::decode(&bytes).ok_or_else(bad_cursor)).transpose()?;
    let failed = |error| shared.failed(&error);
    let page = match cursor {
        Some(Cursor::Warm(position)) => warm(shared, connection, position, bytes_max),
        Some(Cursor::Band { band, floors, after }) => {
            banded(shared, connection, band, floors, Bound::Excluded(&after), bytes_max)
        }
        None if shared.warm_list_is_good && has_warm_list(connection).map_err(failed)? => {
            warm(shared, connection, 0, bytes_max)
        }
        None => sample(connection)
            .and_then(|floors| banded(shared, connection, 0, floors, Bound::Unbounded, bytes_max)),
    };
    page.map_err(failed)
}

fn has_warm_list(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.query_row("SELECT 1 FROM warm LIMIT 1", [], |_| Ok(())).optional()?.is_some())
}

fn warm(
    shared: &Shared,
    connection: &Connection,
    position: u64,
    bytes_max: usize,
) -> rusqlite::Result<ScanPage> {
    let now = shared.now();
    let mut list = connection
        .prepare_cached("SELECT position, key FROM warm WHERE position >= ?1 ORDER BY position LIMIT ?2")?;
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM items WHERE key = ?1"))?;
    let mut rows = list.query((position as i64, WARM_KEYS_MAX as i64))?;
    let mut page = ScanPage::default();
    let mut bytes = 0;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let key = blob(row, 1)?;
        seen += 1;
        let flushes = shared.flushes.load();
        let kept = match shared.overlay.look(key, |latest| latest.cloned()) {
            Some(Latest::Item(kept)) => Some(kept),
            Some(Latest::Gone(_)) => None,
            None => select.query_row([key], |row| kept::from_row(row, 0)).optional()?,
        };
        if let Some(kept) = kept.filter(|kept| kept.is_alive(key, flushes.as_deref(), now)) {
            shared.published.wait_for(kept.version);
            bytes += key.len() + kept.value.len() + ITEM_BYTES;
            page.items.push(kept.scanned(key));
        }
        if bytes >= bytes_max || seen == WARM_KEYS_MAX {
            page.next = Some(Cursor::Warm(at as u64 + 1).encode());
            break;
        }
    }
    Ok(page)
}

fn banded(
    shared: &Shared,
    connection: &Connection,
    band: u8,
    floors: [u64; BANDS.len()],
    start: Bound<&[u8]>,
    bytes_max: usize,
) -> rusqlite::Result<ScanPage> {
    let piece = piece(shared, connection, start, bytes_max, versions(band, &floors))?;
    let next = match piece.next {
        Some(key) => Some(Cursor::Band { band, floors, after: key.to_vec() }),
        // An empty key lies before all keys.
        None if usize::from(band) < BANDS.len() => {
            Some(Cursor::Band { band: band + 1, floors, after: Vec::new() })
        }
        None => None,
    };
    Ok(ScanPage { items: piece.items, next: next.map(|cursor| cursor.encode()) })
}

/// The versions of a band: from its floor up to the floor of the band before it.
fn versions(band: u8, floors: &[u64; BANDS.len()]) -> RangeInclusive<u64> {
    let band = usize::from(band);
    let lowest = floors.get(band).copied().unwrap_or(0);
    match band.checked_sub(1).and_then(|before| floors.get(before)) {
        None => lowest..=u64::MAX,
        // An empty range where the bands coincide.
        Some(0) => RangeInclusive::new(1, 0),
        Some(above) => lowest..=above - 1,
    }
}

/// Estimates the floors of the bands from rows at places spread evenly between the first and the last key.
fn sample(connection: &Connection) -> rusqlite::Result<[u64; BANDS.len()]> {
    let mut versions = Vec::new();
    let edge = |order: &str| {
        let query = format!("SELECT key FROM items ORDER BY key {order} LIMIT 1");
        connection.query_row(&query, [], |row| Ok(KeyBytes::from(blob(row, 0)?))).optional()
    };
    if let Some((first, last)) = edge("ASC")?.zip(edge("DESC")?) {
        let mut select =
            connection.prepare("SELECT version FROM items WHERE key >= ?1 ORDER BY key LIMIT ?2")?;
        for place in places(&first, &last) {
            let mut rows = select.query((&place[..], SAMPLE_ROWS as i64))?;
            while let Some(row) = rows.next()? {
                versions.push(row.get::<_, i64>(0)? as u64);
            }
        }
    }
    versions.sort_unstable_by(|one, other| other.cmp(one));
    Ok(BANDS.map(|share| {
        let rank = (versions.len() as f64 * share) as usize;
        versions.get(rank).copied().unwrap_or(0)
    }))
}

/// Keys spread evenly between two: the bytes after their common beginning are read as a number.
fn places(first: &[u8], last: &[u8]) -> Vec<Vec<u8>> {
    let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        let rest = &key[common..];
        let length = rest.len().min(8);
        bytes[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(bytes)
    };
    let (low, high) = (number(first), number(last));
    let step = ((high - low) / SAMPLE_PLACES as u64).max(1);
    let numbers = (0..SAMPLE_PLACES as u64).map(|index| low.saturating_add(index * step));
    numbers
        .take_while(|number| *number <= high)
        .map(|number| [&first[..common], &number.to_be_bytes()].concat())
        .collect()
}
