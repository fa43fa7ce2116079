//! Where the items of a shard are: eight bytes an item.
//!
//! ```text
//! slot   [ 28 bits of the key's hash | 20 bits: segment | 16 bits: offset ]      0: empty
//! ```
//!
//! Slots stand in *tables* of one to eight pages, each for a range of hashes, and within a table in the order of their hashes, each
//! at the place its hash suggests or a little after it. A look-up starts at that place and ends at the first slot with a larger hash, so that a
//! table may be seven eighths full. A table that is full grows by a page, one of eight pages becomes two: what is moved at a time is
//! never more than eight pages, no key is read for it, and the index is as large as its items need. How slots come to stand follows from
//! their hashes alone, so that it is known beforehand whether they fit.

use std::sync::Arc;

use crate::arena::{Arena, PAGE_BYTES, Run};

/// Bits of a key's hash that the index keeps.
pub(crate) const HASH_BITS: u32 = 28;
const PLACE_BITS: u32 = 64 - HASH_BITS;
const OFFSET_BITS: u32 = 16;

/// Segments of a shard; number 0 is never one.
pub(crate) const SEGMENTS_MAX: usize = 1 << (PLACE_BITS - OFFSET_BITS);

const PAGE_SLOTS: usize = PAGE_BYTES / 8;
const TABLE_PAGES_MAX: usize = 8;
/// Slots at the end of a table that no hash suggests, for what is pushed there.
const SPILL_SLOTS: usize = 32;
/// Depth of the directory at which tables grow instead of being split.
const DEPTH_MAX: u32 = 18;
/// Sizes that are tried for a table beyond the one it should do with.
const SIZES_TRIED: usize = 8;

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Place {
    fn bits(self) -> u64 {
        u64::from(self.segment) << OFFSET_BITS | u64::from(self.offset)
    }

    #[inline]
    fn of_slot(slot: u64) -> Place {
        let place = slot & ((1 << PLACE_BITS) - 1);
        Place { segment: (place >> OFFSET_BITS) as u32, offset: place as u32 & 0xffff }
    }
}

/// The part of a key's hash that the index knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ShortHash(pub(crate) u32);

impl ShortHash {
    #[inline]
    pub(crate) fn of(hash: u64) -> Self {
        ShortHash(hash as u32 & ((1 << HASH_BITS) - 1))
    }

    #[inline]
    fn of_slot(slot: u64) -> Self {
        ShortHash((slot >> PLACE_BITS) as u32)
    }

    fn slot(self, place: Place) -> u64 {
        u64::from(self.0) << PLACE_BITS | place.bits()
    }
}

/// What the index needs before it can take another item.
pub(crate) struct Growth {
    table: usize,
    /// Pages of the table that takes the place of this one, or of the lower one of two.
    pages: usize,
    /// Pages of the upper one, if the table is split.
    upper_pages: Option<usize>,
    /// Bytes to reserve from the budget before calling [`Index::grow`].
    pub(crate) bytes: u64,
}

/// So many keys have nearly the same hash that no table holds them.
#[derive(Debug)]
pub(crate) struct Crowded;

pub(crate) struct Index {
    /// Which table holds a range of hashes; 2^depth of them.
    directory: Vec<u32>,
    depth: u32,
    tables: Vec<Table>,
}

/// The slots of the hashes that begin with certain bits.
struct Table {
    run: Option<Run>,
    count: usize,
    /// How many bits its hashes have in common.
    depth: u32,
}

/// Most entries in a table of so many pages.
fn capacity(pages: usize) -> usize {
    (pages * PAGE_SLOTS).saturating_sub(SPILL_SLOTS) / 8 * 7
}

impl Table {
    fn empty(depth: u32) -> Self {
        Table { run: None, count: 0, depth }
    }

    fn slots(&self) -> &[u64] {
        self.run.as_ref().map_or(&[], Run::words)
    }

    fn slots_mut(&mut self) -> &mut [u64] {
        self.run.as_mut().map_or(&mut [], Run::words_mut)
    }

    fn pages(&self) -> usize {
        self.slots().len() / PAGE_SLOTS
    }

    /// The place a hash suggests.
    #[inline]
    fn home(slots: usize, depth: u32, hash: ShortHash) -> usize {
        let aligned = hash.0 << (32 - HASH_BITS) << depth;
        ((u64::from(aligned) * (slots - SPILL_SLOTS) as u64) >> 32) as usize
    }

    /// The first slot at or behind home that is empty or not below `hash`.
    #[inline]
    fn lower_bound(&self, hash: ShortHash) -> usize {
        let slots = self.slots();
        let mut at = Table::home(slots.len(), self.depth, hash);
        while at < slots.len() && slots[at] != 0 && ShortHash::of_slot(slots[at]) < hash {
            at += 1;
        }
        at
    }

    #[inline]
    fn find(&self, hash: ShortHash, mut is_it: impl FnMut(Place) -> bool) -> Option<usize> {
        let slots = self.slots();
        if slots.is_empty() {
            return None;
        }
        let mut at = self.lower_bound(hash);
        while at < slots.len() && slots[at] != 0 && ShortHash::of_slot(slots[at]) == hash {
            if is_it(Place::of_slot(slots[at])) {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Whether an entry could be put in.
    #[inline]
    fn has_room(&self, hash: ShortHash) -> bool {
        let slots = self.slots();
        if self.count >= capacity(self.pages()) {
            return false;
        }
        slots[self.lower_bound(hash)..].contains(&0)
    }

    /// Puts a slot in; `false` if the end of the table is full.
    fn insert(&mut self, slot: u64) -> bool {
        let at = self.lower_bound(ShortHash::of_slot(slot));
        let slots = self.slots_mut();
        let Some(gap) = slots[at..].iter().position(|slot| *slot == 0) else { return false };
        slots.copy_within(at..at + gap, at + 1);
        slots[at] = slot;
        self.count += 1;
        true
    }

    /// Takes a slot out; those behind it move up as far as their hashes suggest.
    fn remove(&mut self, at: usize) {
        let depth = self.depth;
        let slots = self.slots_mut();
        let mut end = at + 1;
        while end < slots.len()
            && slots[end] != 0
            && Table::home(slots.len(), depth, ShortHash::of_slot(slots[end])) < end
        {
            end += 1;
        }
        slots.copy_within(at + 1..end, at);
        slots[end - 1] = 0;
        self.count -= 1;
        if self.count == 0 {
            self.run = None;
        }
    }

    /// Calls `put` with each slot and where it comes to stand in a table of so many slots; `false` if one finds no place.
    fn place_all(entries: &[u64], slots: usize, depth: u32, mut put: impl FnMut(usize, u64)) -> bool {
        let mut next = 0;
        for slot in entries {
            let at = Table::home(slots, depth, ShortHash::of_slot(*slot)).max(next);
            if at >= slots {
                return false;
            }
            put(at, *slot);
            next = at + 1;
        }
        true
    }

    /// The least pages, `pages_min` or more, in which the entries find places.
    fn fitting_pages(entries: &[u64], depth: u32, pages_min: usize) -> Result<usize, Crowded> {
        let fits = |pages: &usize| {
            entries.len() <= capacity(*pages)
                && Table::place_all(entries, *pages * PAGE_SLOTS, depth, |_, _| ())
        };
        (pages_min..=pages_min + SIZES_TRIED).find(fits).ok_or(Crowded)
    }

    /// A table of these entries, in pages that they fit.
    fn filled(mut run: Run, depth: u32, entries: &[u64]) -> Table {
        let slots = run.words_mut();
        slots.fill(0);
        let fits = Table::place_all(entries, slots.len(), depth, |at, slot| slots[at] = slot);
        assert!(fits, "that they fit was found out before");
        Table { run: Some(run), count: entries.len(), depth }
    }

    fn is_splittable(&self) -> bool {
        self.pages() >= TABLE_PAGES_MAX && self.depth < DEPTH_MAX
    }

    /// How many of these entries go to the lower half when it is split.
    fn middle(&self, entries: &[u64]) -> usize {
        let bit = 1u64 << (63 - self.depth);
        entries.partition_point(|slot| slot & bit == 0)
    }

    fn entries(&self) -> Vec<u64> {
        self.slots().iter().copied().filter(|slot| *slot != 0).collect()
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { directory: vec![0], depth: 0, tables: vec![Table::empty(0)] }
    }

    #[inline]
    fn table_of(&self, hash: ShortHash) -> usize {
        let index = (u64::from(hash.0) >> (HASH_BITS - self.depth)) as usize;
        self.directory[index] as usize
    }

    /// Looks for the place that `is_it`, among those of keys with this hash.
    #[inline]
    pub(crate) fn find(&self, hash: ShortHash, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        let mut found = None;
        self.tables[self.table_of(hash)].find(hash, |place| {
            let matches = is_it(place);
            if matches {
                found = Some(place);
            }
            matches
        });
        found
    }

    /// Fetches the cache line where a look-up will begin.
    #[inline]
    pub(crate) fn prefetch(&self, hash: ShortHash) {
        let table = &self.tables[self.table_of(hash)];
        let slots = table.slots();
        if !slots.is_empty() {
            larder_engine::prefetch::prefetch(&slots[Table::home(slots.len(), table.depth, hash)]);
        }
    }

    /// The place of the first entry with this hash, whoever's it is.
    #[inline]
    pub(crate) fn first(&self, hash: ShortHash) -> Option<Place> {
        self.find(hash, |_| true)
    }

    /// Whether [`Index::insert`] may be called.
    #[inline]
    pub(crate) fn has_room(&self, hash: ShortHash) -> bool {
        self.tables[self.table_of(hash)].has_room(hash)
    }

    /// What must be done before [`Index::insert`]; `None`: nothing. Once it is done there is room.
    pub(crate) fn growth(&self, hash: ShortHash) -> Result<Option<Growth>, Crowded> {
        let number = self.table_of(hash);
        let table = &self.tables[number];
        if table.has_room(hash) {
            return Ok(None);
        }
        // As it will be, with the new one in it.
        let mut entries = table.entries();
        let at = entries.partition_point(|slot| ShortHash::of_slot(*slot) < hash);
        entries.insert(at, u64::from(hash.0) << PLACE_BITS);
        let (pages, upper_pages) = if table.is_splittable() {
            let (lower, upper) = entries.split_at(table.middle(&entries));
            let depth = table.depth + 1;
            let pages = Table::fitting_pages(lower, depth, roomy_pages(lower.len()))?;
            let upper_pages = Table::fitting_pages(upper, depth, roomy_pages(upper.len()))?;
            (pages, Some(upper_pages.max(table.pages().saturating_sub(pages))))
        } else {
            (Table::fitting_pages(&entries, table.depth, table.pages() + 1)?, None)
        };
        let more = pages + upper_pages.unwrap_or(0) - table.pages();
        Ok(Some(Growth { table: number, pages, upper_pages, bytes: (more * PAGE_BYTES) as u64 }))
    }

    /// Makes room. `growth.bytes` have been reserved. `false`: the system gives no more memory, they are released.
    pub(crate) fn grow(&mut self, growth: &Growth, arena: &Arc<Arena>) -> bool {
        let Some(mut run) = arena.take(growth.pages, growth.bytes) else { return false };
        let upper_run = match growth.upper_pages.map(|pages| arena.take(pages, 0)) {
            Some(None) => return false,
            Some(Some(run)) => Some(run),
            None => None,
        };
        let table = &mut self.tables[growth.table];
        let entries = table.entries();
        // The charge for the old pages goes over to the new ones; for a moment both are there.
        if let Some(old) = &mut table.run {
            old.pass_charge(&mut run, 0);
        }
        match upper_run {
            None => *table = Table::filled(run, table.depth, &entries),
            Some(mut upper_run) => {
                run.pass_charge(&mut upper_run, (growth.pages * PAGE_BYTES) as u64);
                self.split(growth.table, run, upper_run, &entries);
            }
        }
        true
    }

    fn split(&mut self, number: usize, lower_run: Run, upper_run: Run, entries: &[u64]) {
        let table = &mut self.tables[number];
        let (lower, upper) = entries.split_at(table.middle(entries));
        let depth = table.depth + 1;
        *table = Table::filled(lower_run, depth, lower);
        self.tables.push(Table::filled(upper_run, depth, upper));
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|table| [*table, *table]).collect();
            self.depth = depth;
        }
        let numbers = 0..self.directory.len();
        let own: Vec<usize> = numbers.filter(|at| self.directory[*at] as usize == number).collect();
        for at in &own[own.len() / 2..] {
            self.directory[*at] = (self.tables.len() - 1) as u32;
        }
    }

    /// Puts an entry in; [`Index::has_room`] has just said that it may.
    pub(crate) fn insert(&mut self, hash: ShortHash, place: Place) {
        let table = self.table_of(hash);
        assert!(self.tables[table].insert(hash.slot(place)), "room was made");
    }

    fn find_slot(&self, hash: ShortHash, place: Place) -> Option<(usize, usize)> {
        let table = self.table_of(hash);
        let at = self.tables[table].find(hash, |other| other == place)?;
        Some((table, at))
    }

    /// Notes that a record has moved.
    pub(crate) fn update(&mut self, hash: ShortHash, from: Place, to: Place) {
        let (table, at) = self.find_slot(hash, from).expect("a living record is in the index");
        self.tables[table].slots_mut()[at] = hash.slot(to);
    }

    pub(crate) fn remove(&mut self, hash: ShortHash, place: Place) {
        let (table, at) = self.find_slot(hash, place).expect("a living record is in the index");
        self.tables[table].remove(at);
    }

    /// Gives pages back that few entries are left in, of the table after the one given; the next to look at.
    pub(crate) fn shrink_next(&mut self, after: usize, arena: &Arc<Arena>) -> usize {
        let number = (after + 1) % self.tables.len();
        let table = &mut self.tables[number];
        let enough = roomy_pages(table.count);
        if table.count == 0 || enough * 2 > table.pages() {
            return number;
        }
        let entries = table.entries();
        let Ok(pages) = Table::fitting_pages(&entries, table.depth, enough) else { return number };
        if pages >= table.pages() {
            return number;
        }
        let Some(mut run) = arena.take(pages, 0) else { return number };
        if let Some(old) = &mut table.run {
            let surplus = old.charge() - (pages * PAGE_BYTES) as u64;
            old.pass_charge(&mut run, surplus);
        }
        *table = Table::filled(run, table.depth, &entries);
        number
    }

    /// The entries from `first` on, in the order of their hashes.
    pub(crate) fn from(&self, first: ShortHash) -> impl Iterator<Item = (ShortHash, Place)> {
        let start = (u64::from(first.0) >> (HASH_BITS - self.depth)) as usize;
        let mut previous = u32::MAX;
        let tables = self.directory[start..].iter().filter(move |table| {
            let is_new = **table != previous;
            previous = **table;
            is_new
        });
        let slots = tables.flat_map(|table| self.tables[*table as usize].slots());
        let entries = slots.filter(|slot| **slot != 0);
        entries
            .map(|slot| (ShortHash::of_slot(*slot), Place::of_slot(*slot)))
            .skip_while(move |(hash, _)| *hash < first)
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.run.as_ref()).map(Run::charge).sum()
    }
}

/// Pages for `count` entries, with room for some more.
fn roomy_pages(count: usize) -> usize {
    let wanted = count + count / 7;
    let mut pages = 1;
    while capacity(pages) < wanted {
        pages += 1;
    }
    pages
}

#[cfg(test)]
mod tests;
