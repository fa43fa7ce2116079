//! The entries of a shard by name.
//!
//! An entry lies in one piece and stays in its place, so that a look-up that is announced can fetch it ahead, and the queue of what
//! is to be sent names it by a number.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use larder_engine::prefetch::prefetch_whole;

use super::{Entry, Hasher};

/// Entries that are allocated at a time.
const CHUNK: usize = 64;

/// Chunks that are kept when the table has become empty.
const SPARE_CHUNKS_MAX: usize = 4;

/// The number of an entry for as long as it is in the table.
pub(super) type Place = u32;

#[derive(Default)]
pub(super) struct Table {
    hasher: Hasher,
    slots: HashTable<Slot>,
    /// `None` in places that are free.
    chunks: Vec<Box<[Option<Entry>]>>,
    free: Vec<Place>,
}

/// Eight bytes, so that the slots of many entries stay in the processor's cache.
struct Slot {
    hash: u32,
    place: Place,
}

/// What the slots are found by: position and tag come from different ends of it.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Table {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn hash(&self, name: &[u8]) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Place> {
        let hash = self.hash(name);
        let is_it = |slot: &Slot| slot.hash == hash && *self.at(slot.place).name == *name;
        self.slots.find(spread(hash), is_it).map(|slot| slot.place)
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.find(name).map(|place| self.at(place))
    }

    #[inline]
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Entry> {
        self.find(name).map(|place| self.at_mut(place))
    }

    /// Fetches the memory of what is most likely the entry of this name.
    #[inline]
    pub fn prefetch(&self, name: &[u8]) {
        let hash = self.hash(name);
        if let Some(slot) = self.slots.find(spread(hash), |slot| slot.hash == hash) {
            prefetch_whole(self.place(slot.place));
        }
    }

    /// The entry in a place that is taken.
    #[inline]
    pub fn at(&self, place: Place) -> &Entry {
        self.place(place).as_ref().expect("a place is free once nothing names it")
    }

    /// The entry in a place that is taken.
    #[inline]
    pub fn at_mut(&mut self, place: Place) -> &mut Entry {
        let (chunk, index) = (place as usize / CHUNK, place as usize % CHUNK);
        self.chunks[chunk][index].as_mut().expect("a place is free once nothing names it")
    }

    #[inline]
    fn place(&self, place: Place) -> &Option<Entry> {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().map(|slot| self.at(slot.place))
    }

    /// Puts an entry whose name is not in the table.
    pub fn insert(&mut self, entry: Entry) -> Place {
        let hash = self.hash(&entry.name);
        let place = self.free.pop().unwrap_or_else(|| self.grow());
        self.chunks[place as usize / CHUNK][place as usize % CHUNK] = Some(entry);
        self.slots.insert_unique(spread(hash), Slot { hash, place }, |slot| spread(slot.hash));
        place
    }

    /// Makes a chunk and returns its first place; the others are free.
    fn grow(&mut self) -> Place {
        let first = self.chunks.len() * CHUNK;
        self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
        let places = first..first + CHUNK;
        let places = places.map(|place| Place::try_from(place).expect("memory ends before the numbers do"));
        self.free.extend(places.rev());
        self.free.pop().expect("a chunk has places")
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let place = self.find(name)?;
        let hash = self.hash(name);
        let slot = self.slots.find_entry(spread(hash), |slot| slot.place == place);
        slot.ok().expect("the slot was just found").remove();
        let (chunk, index) = (place as usize / CHUNK, place as usize % CHUNK);
        let entry = self.chunks[chunk][index].take();
        self.free.push(place);
        self.give_back();
        entry
    }

    /// An empty table keeps little.
    fn give_back(&mut self) {
        if self.slots.is_empty() && self.chunks.len() > SPARE_CHUNKS_MAX {
            *self = Table { hasher: self.hasher.clone(), ..Table::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn entries_are_found_until_they_are_removed() {
        let mut table = Table::default();
        let names: Vec<Vec<u8>> = (0..1000).map(|number| format!("name {number}").into_bytes()).collect();
        let places: Vec<Place> = names.iter().map(|name| table.insert(entry(name))).collect();
        assert_eq!(table.len(), names.len());
        for (name, place) in names.iter().zip(&places) {
            assert_eq!(table.find(name), Some(*place));
            assert_eq!(table.at(*place).name[..], name[..]);
        }
        let (gone, kept) = names.split_at(500);
        for name in gone {
            assert_eq!(table.remove(name).expect("the entry is there").name[..], name[..]);
            assert!(table.remove(name).is_none() && table.get(name).is_none());
        }
        assert_eq!(table.iter().count(), kept.len());
        // A free place is taken before new memory is.
        let chunks = table.chunks.len();
        gone.iter().for_each(|name| _ = table.insert(entry(name)));
        assert_eq!(table.chunks.len(), chunks);
        assert!(names.iter().all(|name| table.get(name).is_some()));
    }

    #[test]
    fn an_empty_table_gives_its_memory_back() {
        let mut table = Table::default();
        let names: Vec<Vec<u8>> = (0..1000).map(|number| format!("name {number}").into_bytes()).collect();
        names.iter().for_each(|name| _ = table.insert(entry(name)));
        names.iter().for_each(|name| _ = table.remove(name));
        assert_eq!((table.len(), table.chunks.len(), table.free.capacity()), (0, 0, 0));
        table.insert(entry(b"again"));
        assert!(table.get(b"again").is_some());
    }
}
