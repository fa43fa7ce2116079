//! Scans: folder by folder in the order of names, or roughly the newest first.
//!
//! A folder is listed once for a scan, where it can be: the lists made last are kept for the pages to come.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use larder_engine::durable::{Flushes, Kept, is_alive};
use larder_engine::{EngineError, ErrorKind, Item, ScanOrder, ScanPage};

use crate::error::nothing_changed;
use crate::item::{self, Problem};
use crate::layout::read_small;
use crate::names::{self, SHARDS};
use crate::reader::in_doubt;
use crate::shared::Shared;
use crate::state;

/// Most files looked at for one page, so that a page of a store full of dead items ends too.
const PAGE_FILES_MAX: usize = 2000;
/// What an item weighs besides its key and value.
const ITEM_BYTES: usize = 64;
/// Lists kept for the pages to come.
const LISTINGS_MAX: usize = 4;
/// Files whose age is looked at, to know what is new. Folders are a fair sample: keys are spread over them by a checksum.
const SAMPLE_FILES: usize = 1000;
/// With fewer it does not matter what comes first.
const SAMPLE_FILES_MIN: usize = 100;
/// The share of items that comes in the first of two walks.
const NEW_SHARE: f64 = 0.2;

/// The thread that scans, and what it keeps between pages.
pub(crate) struct Scanner<'s> {
    shared: &'s Shared,
    listings: VecDeque<Listing>,
    next_listing: u64,
    warm: Option<Arc<Vec<Vec<u8>>>>,
}

/// The names in one shard's folder at some moment of one scan.
struct Listing {
    id: u64,
    shard: usize,
    names: Arc<Vec<String>>,
}

/// Where a walk goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    /// The list it has used for this shard; 0: none yet. Lists of other scans will not do: they may be older than items
    /// this one must find.
    listing: u64,
    shard: usize,
    /// The last name it has passed.
    after: String,
}

/// Where a scan goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Cursor {
    /// Everything, in the order of folders and names.
    All(Place),
    /// At this position of the warm list.
    Warm(u64),
    /// What has this version or a higher one; then, unless it is 0, the rest.
    New(u64, Place),
    /// What has a lower version than this.
    Rest(u64, Place),
}

impl Place {
    fn start() -> Place {
        Place { listing: 0, shard: 0, after: String::new() }
    }

    fn encode(&self) -> Vec<u8> {
        [&self.listing.to_le_bytes()[..], &[self.shard as u8], self.after.as_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Place> {
        let (listing, rest) = bytes.split_first_chunk::<8>()?;
        let (shard, after) = rest.split_first()?;
        let after = std::str::from_utf8(after).ok()?.to_owned();
        Some(Place { listing: u64::from_le_bytes(*listing), shard: usize::from(*shard), after })
    }
}

impl Cursor {
    fn encode(&self) -> Vec<u8> {
        let numbered = |kind: u8, number: u64| [&[kind][..], &number.to_le_bytes()].concat();
        match self {
            Cursor::All(place) => [&[0][..], &place.encode()].concat(),
            Cursor::Warm(position) => numbered(1, *position),
            Cursor::New(floor, place) => [numbered(2, *floor), place.encode()].concat(),
            Cursor::Rest(floor, place) => [numbered(3, *floor), place.encode()].concat(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Cursor> {
        let (kind, rest) = bytes.split_first()?;
        if *kind == 0 {
            return Place::decode(rest).map(Cursor::All);
        }
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        match kind {
            1 => rest.is_empty().then_some(Cursor::Warm(number)),
            2 => Place::decode(rest).map(|place| Cursor::New(number, place)),
            3 => Place::decode(rest).map(|place| Cursor::Rest(number, place)),
            _ => None,
        }
    }
}

/// A page as it fills.
struct Filling {
    items: Vec<(Box<[u8]>, Item)>,
    bytes: usize,
    bytes_max: usize,
    looked: usize,
}

impl Filling {
    fn take(&mut self, key: &[u8], kept: &Kept) {
        self.bytes += key.len() + kept.value.len() + ITEM_BYTES;
        self.items.push(kept.scanned(key));
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max || self.looked >= PAGE_FILES_MAX
    }

    fn page(self, next: Option<Cursor>) -> ScanPage {
        ScanPage { items: self.items, next: next.map(|cursor| cursor.encode()) }
    }
}

impl<'s> Scanner<'s> {
    pub fn new(shared: &'s Shared) -> Self {
        Scanner { shared, listings: VecDeque::new(), next_listing: 1, warm: None }
    }

    /// A piece of a scan.
    pub fn page(
        &mut self,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<ScanPage, EngineError> {
        let bad = || EngineError::new(ErrorKind::BadArgument, "the cursor is not one of this scan");
        let cursor = match cursor {
            Some(cursor) => Cursor::decode(cursor).ok_or_else(bad)?,
            None if order == ScanOrder::Any => Cursor::All(Place::start()),
            None => self.newest()?,
        };
        let mut page = Filling { items: Vec::new(), bytes: 0, bytes_max, looked: 0 };
        let next = match cursor {
            Cursor::All(place) => self.walk(place, 0..=u64::MAX, &mut page)?.map(Cursor::All),
            Cursor::Warm(position) => self.warm(position, &mut page)?,
            Cursor::New(floor, place) => match self.walk(place, floor..=u64::MAX, &mut page)? {
                Some(place) => Some(Cursor::New(floor, place)),
                None => (floor > 0).then(|| Cursor::Rest(floor, Place::start())),
            },
            Cursor::Rest(floor, place) => {
                let older = 0..=floor.saturating_sub(1);
                self.walk(place, older, &mut page)?.map(|place| Cursor::Rest(floor, place))
            }
        };
        Ok(page.page(next))
    }

    /// Takes items from `place` on whose version lies in `versions`. Where to go on, if the page was full before the end.
    fn walk(
        &mut self,
        mut place: Place,
        versions: RangeInclusive<u64>,
        page: &mut Filling,
    ) -> Result<Option<Place>, EngineError> {
        while place.shard < SHARDS {
            let (listing, names) = self.listing(&place)?;
            let passed = names.partition_point(|name| *name <= place.after);
            for name in &names[passed..] {
                let flushes = self.shared.flushes.load();
                page.looked += 1;
                if let Some((key, kept)) = self.item(place.shard, name, &versions, flushes.as_deref())? {
                    page.take(&key, &kept);
                }
                if page.is_full() {
                    return Ok(Some(Place { listing, after: name.clone(), ..place }));
                }
            }
            place = Place { shard: place.shard + 1, ..Place::start() };
        }
        Ok(None)
    }

    /// The names of a shard, and the number by which to ask for the same again.
    fn listing(&mut self, place: &Place) -> Result<(u64, Arc<Vec<String>>), EngineError> {
        let is_this = |listing: &&Listing| listing.id == place.listing && listing.shard == place.shard;
        if let Some(listing) = self.listings.iter().find(is_this) {
            return Ok((listing.id, listing.names.clone()));
        }
        let names = self.shared.list(place.shard as u8).map_err(|error| self.failed(&error))?;
        let names = Arc::new(names);
        let id = self.next_listing;
        self.next_listing += 1;
        if self.listings.len() == LISTINGS_MAX {
            self.listings.pop_front();
        }
        self.listings.push_back(Listing { id, shard: place.shard, names: names.clone() });
        Ok((id, names))
    }

    /// The living item in a file; `None`: there is none, or it cannot be read, or its version is not wanted.
    fn item(
        &self,
        shard: usize,
        name: &str,
        versions: &RangeInclusive<u64>,
        flushes: Option<&Flushes>,
    ) -> Result<Option<(Vec<u8>, Kept)>, EngineError> {
        let path = self.shared.layout.shard(shard as u8).join(name);
        let now = self.shared.now();
        let is_wanted = |version: u64, expiry, key: &[u8]| {
            versions.contains(&version) && is_alive(version, expiry, key, flushes, now)
        };
        loop {
            // Long values that are not wanted are not read.
            let line = item::read_line(self.shared.disk(), &path).map(|found| found.map(|(line, _)| line));
            let Some(line) = self.readable(&path, line)? else { return Ok(None) };
            if !is_wanted(line.version, line.expiry, &line.key) {
                return Ok(None);
            }
            let found = item::read(self.shared.disk(), &path);
            let Some((key, kept)) = self.readable(&path, found)? else { return Ok(None) };
            if names::name_of(&key) != name || usize::from(names::shard_of(&key)) != shard {
                self.shared.notice_damage(&path, "it holds the item of another key");
                return Ok(None);
            }
            if self.is_durable(&key)? {
                return Ok(is_wanted(kept.version, kept.expiry, &key).then_some((key, kept)));
            }
        }
    }

    /// What was read; `None`: there is no file, or it is damaged, which was noted.
    fn readable<T>(&self, path: &Path, found: Result<Option<T>, Problem>) -> Result<Option<T>, EngineError> {
        match found {
            Ok(found) => Ok(found),
            Err(Problem::Damaged(what)) => {
                self.shared.notice_damage(path, &what);
                Ok(None)
            }
            Err(Problem::Disk(error)) => Err(self.failed(&error)),
        }
    }

    /// Whether what was read of a key was durable; waits for a change that is on its way.
    fn is_durable(&self, key: &[u8]) -> Result<bool, EngineError> {
        self.shared.in_flight.wait_for(key).map_err(|_| in_doubt())
    }

    fn failed(&self, error: &std::io::Error) -> EngineError {
        self.shared.counters.read_errors.one();
        nothing_changed(error)
    }

    /// Where a scan of the newest begins: with the warm list, if it is of the stop before this start.
    fn newest(&mut self) -> Result<Cursor, EngineError> {
        if self.shared.warm_list_is_good && self.load_warm()?.is_some() {
            return Ok(Cursor::Warm(0));
        }
        Ok(Cursor::New(self.sample()?, Place::start()))
    }

    /// The warm list, read from its file at most once a scan.
    fn load_warm(&mut self) -> Result<Option<Arc<Vec<Vec<u8>>>>, EngineError> {
        if self.warm.is_none() {
            let path = &self.shared.layout.warm;
            let content = read_small(self.shared.disk(), path).map_err(|error| self.failed(&error))?;
            match content.map(|content| state::decode_warm(&content)) {
                Some(Ok(keys)) => self.warm = Some(Arc::new(keys)),
                Some(Err(what)) => {
                    tracing::warn!("{}: {what}; the cache is warmed without it", path.display())
                }
                None => {}
            }
        }
        Ok(self.warm.clone().filter(|keys| !keys.is_empty()))
    }

    fn warm(&mut self, position: u64, page: &mut Filling) -> Result<Option<Cursor>, EngineError> {
        let Some(keys) = self.load_warm()? else { return Ok(None) };
        let now = self.shared.now();
        for (position, key) in keys.iter().enumerate().skip(position as usize) {
            let flushes = self.shared.flushes.load();
            page.looked += 1;
            let kept = loop {
                let path = self.shared.layout.item(key);
                let found = self.readable(&path, item::read_of(self.shared.disk(), &path, key))?;
                if self.is_durable(key)? {
                    break found;
                }
            };
            if let Some(kept) = kept.filter(|kept| kept.is_alive(key, flushes.as_deref(), now)) {
                page.take(key, &kept);
            }
            if page.is_full() && position + 1 < keys.len() {
                return Ok(Some(Cursor::Warm(position as u64 + 1)));
            }
        }
        // It is not needed again, and may be long.
        self.warm = None;
        Ok(None)
    }

    /// The version from which on items are new; 0: all are.
    fn sample(&mut self) -> Result<u64, EngineError> {
        let mut versions = Vec::new();
        for shard in 0..SHARDS {
            let names = self.shared.list(shard as u8).map_err(|error| self.failed(&error))?;
            let folder = self.shared.layout.shard(shard as u8);
            for name in names.iter().take(SAMPLE_FILES - versions.len()) {
                let path = folder.join(name);
                let line = item::read_line(self.shared.disk(), &path);
                versions.extend(self.readable(&path, line)?.map(|(line, _)| line.version));
            }
            if versions.len() >= SAMPLE_FILES {
                break;
            }
        }
        if versions.len() < SAMPLE_FILES_MIN {
            return Ok(0);
        }
        versions.sort_unstable_by(|one, other| other.cmp(one));
        Ok(versions[(versions.len() as f64 * NEW_SHARE) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let place = Place { listing: 7, shard: 255, after: "a%3ab".into() };
        let cursors = [
            Cursor::All(Place::start()),
            Cursor::All(place.clone()),
            Cursor::Warm(12),
            Cursor::New(99, place.clone()),
            Cursor::Rest(99, place),
        ];
        for cursor in cursors {
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
        for strange in [&b""[..], b"\x00", b"\x05aaaaaaaaaaaaaaaaaaaaa", b"\x01abc"] {
            assert_eq!(Cursor::decode(strange), None);
        }
    }
}
