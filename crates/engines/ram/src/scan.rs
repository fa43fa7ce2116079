//! Walking over everything that is kept.

use larder_engine::{EngineError, ErrorKind, ScanPage, Timestamp};

use crate::RamEngine;
use crate::index::{Place, ShortHash};
use crate::record::{self, Kind};
use crate::shard::Shard;

/// What an item counts besides key and value, so that a page of empty values ends too.
const ITEM_BYTES: usize = 64;
/// Entries of the index looked at together.
const ENTRIES_PER_STEP: usize = 256;

/// Where a scan goes on. It follows the order of hashes, which stays the same while records move.
struct Cursor {
    shard: u32,
    hash: u32,
}

impl Cursor {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 8] = bytes.try_into().ok()?;
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let cursor = Cursor { shard: number(0), hash: number(4) };
        (cursor.hash >> crate::index::HASH_BITS == 0).then_some(cursor)
    }

    fn write(&self) -> Vec<u8> {
        [self.shard, self.hash].iter().flat_map(|number| number.to_be_bytes()).collect()
    }
}

impl RamEngine {
    pub(crate) fn scan_page(
        &self,
        now: Timestamp,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<ScanPage, EngineError> {
        let mut cursor = match cursor {
            None => Cursor { shard: 0, hash: 0 },
            Some(bytes) => Cursor::read(bytes).ok_or(ErrorKind::BadArgument)?,
        };
        let mut page = ScanPage::default();
        let mut bytes = 0;
        while let Some(shard) = self.shards.get(cursor.shard as usize) {
            let mut from = Some(ShortHash(cursor.hash));
            while let Some(first) = from {
                if bytes >= bytes_max && !page.items.is_empty() {
                    page.next = Some(Cursor { shard: cursor.shard, hash: first.0 }.write());
                    return Ok(page);
                }
                let mut shard = shard.0.lock();
                let (entries, next) = step(&shard, first, bytes_max);
                for place in entries {
                    if shard.view(place).head.kind != Kind::Absent
                        && shard.over(place, now, &self.flushes).is_none()
                    {
                        let item = shard.view(place);
                        bytes += item.key.len() + item.value.len() + ITEM_BYTES;
                        page.items.push((item.key.into(), item.item()));
                    }
                }
                from = next;
            }
            cursor = Cursor { shard: cursor.shard + 1, hash: 0 };
        }
        Ok(page)
    }

    /// Keys by their last use, newest first.
    pub(crate) fn newest(&self, count_max: usize) -> Vec<Box<[u8]>> {
        type Candidate = (Timestamp, u32, ShortHash);
        if count_max == 0 {
            return Vec::new();
        }
        let now = self.services.clock.now();
        let newest_first = |a: &Candidate, b: &Candidate| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        let mut candidates: Vec<Candidate> = Vec::new();
        for (index, mut shard) in self.locked_shards().enumerate() {
            let numbers: Vec<u32> = shard.segment_numbers().collect();
            for number in numbers {
                let mut offset = 0;
                while let Some(place) = shard.next_record(number, offset) {
                    offset = place.offset + record::length(shard.record(place)) as u32;
                    if shard.over(place, now, &self.flushes).is_some() {
                        continue;
                    }
                    let item = shard.view(place);
                    if item.head.kind != Kind::Absent {
                        let hash = ShortHash::of(self.hash(item.key));
                        candidates.push((item.head.last_access, index as u32, hash));
                    }
                }
            }
            // However much is kept, no more than twice of what is asked for is held here.
            if candidates.len() > count_max.saturating_mul(2) {
                candidates.select_nth_unstable_by(count_max - 1, newest_first);
                candidates.truncate(count_max);
            }
        }
        candidates.sort_unstable_by(newest_first);
        candidates.truncate(count_max);
        // Another key may have the same hash, and is named instead if the right one has gone meanwhile.
        let key_of = |(_, index, hash): &Candidate| {
            let shard = self.shards[*index as usize].0.lock();
            let place = shard.index.find(*hash, |place| shard.view(place).head.kind != Kind::Absent)?;
            Some(shard.view(place).key.into())
        };
        candidates.iter().filter_map(key_of).collect()
    }
}

/// The next entries of the index, and where to go on; all entries of one hash come together.
fn step(shard: &Shard, first: ShortHash, bytes_max: usize) -> (Vec<Place>, Option<ShortHash>) {
    let entries_max = (bytes_max / ITEM_BYTES).clamp(1, ENTRIES_PER_STEP);
    let mut entries: Vec<Place> = Vec::new();
    let mut last = first;
    for (hash, place) in shard.index.from(first) {
        if entries.len() >= entries_max && hash != last {
            return (entries, Some(hash));
        }
        entries.push(place);
        last = hash;
    }
    (entries, None)
}
