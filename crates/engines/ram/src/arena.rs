//! Memory of our own: pages of mapped address space, handed out as runs that give themselves back.
//!
//! What is mapped costs nothing until it is written to. A page that was once written stays resident when its run is
//! given back, so that the next one finds it warm; [`Arena`] keeps runs in use and warm free pages together within the
//! budget and returns the rest to the system. Resident memory is therefore what is counted, whatever sizes come and go: a
//! hole that fits nothing is given up, and its address space is used again when there is need.
//!
//! This is the only file of the engine that touches raw memory. A [`Run`] owns its pages as a `Box` owns its contents:
//! whoever has it may read, whoever may change it may write, and the borrow checker does the rest.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::memory::Budget;
use crate::pages::{Free, Pages};

/// The unit of memory.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Address space mapped at once is between these bounds.
const REGION_BYTES_MIN: usize = 1 << 20;
const REGION_BYTES_MAX: usize = 1 << 30;

/// Runs up to this size are made resident by one call; larger ones page by page, as they are filled.
const POPULATED_BYTES_MAX: usize = 1 << 20;

/// Pages for `bytes`.
pub(crate) fn pages_for(bytes: usize) -> usize {
    bytes.div_ceil(PAGE_BYTES)
}

/// The pages of an engine, and the budget they come out of.
pub(crate) struct Arena {
    pub(crate) budget: Budget,
    space: Mutex<Space>,
}

struct Space {
    regions: Vec<Region>,
    pages: Pages,
}

/// A piece of mapped address space; unmapped when dropped.
struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region is a range of addresses that belongs to nobody else; no thread is special to it.
unsafe impl Send for Region {}

impl Region {
    fn map(bytes: usize) -> io::Result<Region> {
        // SAFETY: a new private mapping at an address of the system's choice touches no memory in use.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(address.cast::<u8>()).expect("a mapping is not at address 0");
        let region = Region { base, bytes };
        // Huge pages would be resident as a whole for one byte used. A system without them refuses this, and needs it not.
        region.advise(0, bytes, libc::MADV_NOHUGEPAGE);
        Ok(region)
    }

    fn first_page(&self) -> usize {
        self.base.as_ptr().addr() / PAGE_BYTES
    }

    /// Whether the system took the advice.
    fn advise(&self, offset: usize, bytes: usize, advice: libc::c_int) -> bool {
        assert!(offset + bytes <= self.bytes, "advice is for pages of the region");
        // SAFETY: the range lies in the mapping. The advices given here change contents only of pages that are free.
        unsafe { libc::madvise(self.base.as_ptr().add(offset).cast(), bytes, advice) == 0 }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and runs in it keep the arena, so none is left.
        let unmapped = unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(unmapped, 0, "a whole mapping can be unmapped");
    }
}

impl Space {
    fn region_of(&self, page: usize) -> &Region {
        let index = self.regions.partition_point(|region| region.first_page() <= page);
        &self.regions[index - 1]
    }

    /// Tells the system about free pages; `true` if it listened.
    fn advise(&self, first: usize, count: usize, advice: libc::c_int) -> bool {
        let region = self.region_of(first);
        region.advise((first - region.first_page()) * PAGE_BYTES, count * PAGE_BYTES, advice)
    }

    /// Gives warm free pages back until no more than `warm_max` are left.
    fn cool(&mut self, warm_max: usize) {
        while self.pages.warm() > warm_max {
            let Some((first, count)) = self.pages.cool_largest() else { return };
            self.advise(first, count, libc::MADV_DONTNEED);
        }
    }

    /// Takes a run from free pages, warm ones first; else maps more. Whether it is warm.
    fn take(&mut self, count: usize, limit: u64) -> io::Result<(usize, Free)> {
        if let Some(found) = self.pages.take(count) {
            return Ok(found);
        }
        // Cold pages join with cold ones only.
        self.cool(0);
        if let Some(found) = self.pages.take(count) {
            return Ok(found);
        }
        let bytes = count * PAGE_BYTES;
        let usual = usize::try_from(limit).unwrap_or(usize::MAX).clamp(REGION_BYTES_MIN, REGION_BYTES_MAX);
        let region =
            Region::map(bytes.max(usual).next_multiple_of(PAGE_BYTES)).or_else(|_| Region::map(bytes))?;
        let (first, region_count) = (region.first_page(), region.bytes / PAGE_BYTES);
        let index = self.regions.partition_point(|other| other.first_page() < first);
        self.regions.insert(index, region);
        self.pages.add_region(first, region_count);
        Ok(self.pages.take(count).expect("a region of that size was just added"))
    }
}

impl Arena {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let space = Space { regions: Vec::new(), pages: Pages::default() };
        Arc::new(Arena { budget: Budget::new(limit), space: Mutex::new(space) })
    }

    /// A run of `pages`, of unknown contents. `charge` has been reserved from the budget and is released with the run.
    /// `None`: the system gives no more memory; the charge is released.
    pub(crate) fn take(self: &Arc<Self>, pages: usize, charge: u64) -> Option<Run> {
        let mut space = self.space.lock();
        let limit = self.budget.limit();
        let Ok((first, kind)) = space.take(pages, limit) else {
            drop(space);
            self.budget.release(charge);
            return None;
        };
        let warm_max = limit.saturating_sub(self.budget.used()) / PAGE_BYTES as u64;
        space.cool(usize::try_from(warm_max).unwrap_or(usize::MAX));
        let region = space.region_of(first);
        // SAFETY: the pages lie in the region.
        let base = unsafe { region.base.add((first - region.first_page()) * PAGE_BYTES) };
        if kind == Free::Cold && pages > 1 && pages * PAGE_BYTES <= POPULATED_BYTES_MAX {
            // An old system does not know this advice; the pages then come one by one.
            space.advise(first, pages, libc::MADV_POPULATE_WRITE);
        }
        drop(space);
        Some(Run { arena: self.clone(), base, pages, charge })
    }

    /// Whether `bytes` stand in this arena.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let address = bytes.as_ptr().addr();
        let is_in = |region: &Region| {
            address.checked_sub(region.base.as_ptr().addr()).is_some_and(|offset| offset < region.bytes)
        };
        self.space.lock().regions.iter().any(is_in)
    }

    /// Reserves what a run of `pages` costs, and takes it.
    pub(crate) fn try_take(self: &Arc<Self>, pages: usize, overhead: u64) -> Option<Run> {
        let charge = (pages * PAGE_BYTES) as u64 + overhead;
        if self.budget.reserve(charge) { self.take(pages, charge) } else { None }
    }

    /// Gives back free pages that are over a lowered limit.
    pub(crate) fn trim(&self) {
        let mut space = self.space.lock();
        let warm_max = self.budget.limit().saturating_sub(self.budget.used()) / PAGE_BYTES as u64;
        space.cool(usize::try_from(warm_max).unwrap_or(usize::MAX));
    }

    /// Bytes of free pages that are resident.
    pub(crate) fn warm_bytes(&self) -> u64 {
        (self.space.lock().pages.warm() * PAGE_BYTES) as u64
    }

    /// Bytes of address space mapped.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.space.lock().regions.iter().map(|region| region.bytes as u64).sum()
    }
}

/// Pages in use. Gives itself and its charge back when dropped, on any thread.
pub(crate) struct Run {
    arena: Arc<Arena>,
    base: NonNull<u8>,
    pages: usize,
    charge: u64,
}

// SAFETY: a run owns its pages like a box; nothing about them belongs to a thread.
unsafe impl Send for Run {}
// SAFETY: shared access only reads.
unsafe impl Sync for Run {}

impl Run {
    /// Length in bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pages * PAGE_BYTES
    }

    /// What it was charged to the budget.
    pub(crate) fn charge(&self) -> u64 {
        self.charge
    }

    /// Hands its charge to `other`, all but `kept`.
    pub(crate) fn pass_charge(&mut self, other: &mut Run, kept: u64) {
        other.charge += self.charge - kept;
        self.charge = kept;
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are mapped for as long as the run keeps the arena, always initialised (the system gives zeros),
        // and no other run covers them.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.pages * PAGE_BYTES) }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.pages * PAGE_BYTES) }
    }

    #[inline]
    pub(crate) fn words(&self) -> &[u64] {
        // SAFETY: as for `bytes`; pages are aligned for words, and every pattern of bits is one.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), self.pages * PAGE_BYTES / 8) }
    }

    #[inline]
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as for `words`, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().cast(), self.pages * PAGE_BYTES / 8) }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let first = self.base.as_ptr().addr() / PAGE_BYTES;
        // The budget first: pages in use and warm ones together never exceed it for longer than this takes.
        let mut space = self.arena.space.lock();
        self.arena.budget.release(self.charge);
        space.pages.give_back(first, self.pages);
        let warm_max = self.arena.budget.limit().saturating_sub(self.arena.budget.used()) / PAGE_BYTES as u64;
        space.cool(usize::try_from(warm_max).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests;
