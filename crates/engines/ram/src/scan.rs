//! Walking over everything that is kept.

use larder_engine::{EngineError, ErrorKind, ScanPage, Timestamp};

use crate::RamEngine;
use crate::entry::{Entry, Queue};

/// What an item counts besides key and value, so that a page of empty values ends too.
const ITEM_BYTES: usize = 64;

/// Where a scan goes on. Slots keep their numbers within a generation of a shard; if that changed, the shard is
/// begun anew and some items come twice.
struct Cursor {
    shard: u32,
    generation: u32,
    slot: u32,
}

impl Cursor {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 12] = bytes.try_into().ok()?;
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(Cursor { shard: number(0), generation: number(4), slot: number(8) })
    }

    fn write(&self) -> Vec<u8> {
        [self.shard, self.generation, self.slot].iter().flat_map(|number| number.to_be_bytes()).collect()
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
            None => Cursor { shard: 0, generation: 0, slot: 0 },
            Some(bytes) => Cursor::read(bytes).ok_or(ErrorKind::BadArgument)?,
        };
        let mut page = ScanPage::default();
        let mut bytes = 0;
        while let Some(shard) = self.shards.get(cursor.shard as usize) {
            let mut shard = shard.0.lock();
            let first = if cursor.generation == shard.generation { cursor.slot } else { 0 };
            for slot in first..shard.entries.len() as u32 {
                if bytes >= bytes_max && !page.items.is_empty() {
                    page.next =
                        Some(Cursor { shard: cursor.shard, generation: shard.generation, slot }.write());
                    return Ok(page);
                }
                if is_item(shard.entry(slot)) && !shard.is_over(slot, now, &self.flushes) {
                    let entry = shard.entry(slot);
                    bytes += entry.key().len() + entry.value().len() + ITEM_BYTES;
                    page.items.push((entry.key().into(), entry.item()));
                }
            }
            drop(shard);
            let generation =
                self.shards.get(cursor.shard as usize + 1).map_or(0, |next| next.0.lock().generation);
            cursor = Cursor { shard: cursor.shard + 1, generation, slot: 0 };
        }
        Ok(page)
    }

    /// Keys by their last use, newest first.
    pub(crate) fn newest(&self, count_max: usize) -> Vec<Box<[u8]>> {
        let now = self.services.clock.now();
        let mut places: Vec<(Timestamp, u32, u32)> = Vec::new();
        for (index, mut shard) in self.locked_shards().enumerate() {
            for slot in 0..shard.entries.len() as u32 {
                if is_item(shard.entry(slot)) && !shard.is_over(slot, now, &self.flushes) {
                    places.push((shard.entry(slot).last_access, index as u32, slot));
                }
            }
        }
        let newest_first =
            |a: &(Timestamp, u32, u32), b: &(Timestamp, u32, u32)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        if places.len() > count_max && count_max > 0 {
            places.select_nth_unstable_by(count_max - 1, newest_first);
        }
        places.truncate(count_max);
        places.sort_unstable_by(newest_first);
        // A slot may hold another key by now; that one is as good.
        let key_at = |(_, index, slot): &(Timestamp, u32, u32)| {
            let mut shard = self.shards[*index as usize].0.lock();
            let in_use = (*slot as usize) < shard.entries.len() && is_item(shard.entry(*slot));
            in_use.then(|| shard.entry(*slot).key().into())
        };
        places.iter().filter_map(key_at).collect()
    }
}

fn is_item(entry: &Entry) -> bool {
    !entry.is_vacant() && entry.queue != Queue::Absent
}
