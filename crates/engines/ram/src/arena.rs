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

use parking_lot::{Mutex, MutexGuard};

use crate::memory::Budget;
use crate::pages::{Free, Pages};

/// The unit of memory.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Address space mapped at once is between these bounds.
const REGION_BYTES_MIN: usize = 1 << 20;
const REGION_BYTES_MAX: usize = 1 << 30;

/// Runs up to this size are made resident by one call; larger ones page by page, as they are filled.
const POPULATED_BYTES_MAX: usize = 1 << 20;

/// Pages that are given back to the system while the lock is held: a part of a millisecond.
const COOLED_PAGES_MAX: usize = 1024;

/// Address space is mapped beyond need up to this many times the limit, rather than that all warm pages are given back.
const MAPPED_LIMITS_MAX: u64 = 2;

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

    /// Advises the system, which may refuse.
    fn advise(&self, offset: usize, bytes: usize, advice: libc::c_int) {
        assert!(offset + bytes <= self.bytes, "advice is for pages of the region");
        // SAFETY: the range lies in the mapping. The advices given here change contents only of pages that are free.
        unsafe { libc::madvise(self.base.as_ptr().add(offset).cast(), bytes, advice) };
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

    /// Where a page is.
    fn address(&self, page: usize) -> NonNull<u8> {
        let region = self.region_of(page);
        let offset = (page - region.first_page()) * PAGE_BYTES;
        assert!(offset < region.bytes, "the page is one of the region");
        // SAFETY: the address lies in the mapping.
        unsafe { region.base.add(offset) }
    }

    /// Gives warm free pages back until no more than `warm_max` are left, or as many as one call may. Whether too many
    /// are left.
    fn cool(&mut self, warm_max: usize) -> bool {
        let mut may = COOLED_PAGES_MAX;
        loop {
            let surplus = self.pages.warm().saturating_sub(warm_max);
            if surplus == 0 || may == 0 {
                return surplus > 0;
            }
            let (first, count) = self.pages.cool(surplus.min(may)).expect("there are warm pages");
            let region = self.region_of(first);
            let offset = (first - region.first_page()) * PAGE_BYTES;
            // Memory that is locked stays, as its owner wishes.
            region.advise(offset, count * PAGE_BYTES, libc::MADV_DONTNEED);
            may -= count;
        }
    }

    /// Maps address space that has `count` pages in one piece, and more for later.
    fn map(&mut self, count: usize, limit: u64) -> io::Result<()> {
        let bytes = count * PAGE_BYTES;
        let usual = usize::try_from(limit).unwrap_or(usize::MAX).clamp(REGION_BYTES_MIN, REGION_BYTES_MAX);
        let region =
            Region::map(bytes.max(usual).next_multiple_of(PAGE_BYTES)).or_else(|_| Region::map(bytes))?;
        let (first, region_count) = (region.first_page(), region.bytes / PAGE_BYTES);
        let index = self.regions.partition_point(|other| other.first_page() < first);
        self.regions.insert(index, region);
        self.pages.add_region(first, region_count);
        Ok(())
    }

    fn mapped_bytes(&self) -> u64 {
        self.regions.iter().map(|region| region.bytes as u64).sum()
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
        let Some((first, kind)) = self.find(&mut space, pages) else {
            drop(space);
            self.budget.release(charge);
            return None;
        };
        let base = space.address(first);
        self.keep_limit(&mut space);
        drop(space);
        let run = Run { arena: self.clone(), base, pages, charge };
        if kind == Free::Cold && pages > 1 && run.len() <= POPULATED_BYTES_MAX {
            run.populate();
        }
        Some(run)
    }

    /// Takes free pages, warm ones first; else maps more. `None`: the system gives no more.
    fn find(&self, space: &mut MutexGuard<'_, Space>, count: usize) -> Option<(usize, Free)> {
        let limit = self.budget.limit();
        let mut has_cooled = false;
        loop {
            if let Some(found) = space.pages.take(count) {
                return Some(found);
            }
            let may_map = has_cooled && space.mapped_bytes() < limit.saturating_mul(MAPPED_LIMITS_MAX);
            let is_cold = space.pages.warm() == 0;
            if may_map || is_cold {
                match space.map(count, limit) {
                    Ok(()) => continue,
                    Err(_) if is_cold => return None,
                    Err(_) => {}
                }
            }
            // Cold pages join with cold ones only.
            space.cool(0);
            has_cooled = true;
            MutexGuard::bump(space);
        }
    }

    /// Gives back warm pages that are over the limit, and lets others in between.
    fn keep_limit(&self, space: &mut MutexGuard<'_, Space>) {
        let warm_max = || {
            let free = self.budget.limit().saturating_sub(self.budget.used());
            usize::try_from(free / PAGE_BYTES as u64).unwrap_or(usize::MAX)
        };
        while space.cool(warm_max()) {
            MutexGuard::bump(space);
        }
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
        self.keep_limit(&mut self.space.lock());
    }

    /// Bytes of free pages that are resident.
    pub(crate) fn warm_bytes(&self) -> u64 {
        (self.space.lock().pages.warm() * PAGE_BYTES) as u64
    }

    /// Bytes of address space mapped.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.space.lock().mapped_bytes()
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

    /// Makes its pages resident by one call. A system that does not know this advice gives them one by one, when they are
    /// written to.
    fn populate(&self) {
        // SAFETY: the pages are mapped for as long as the run keeps the arena; the advice leaves what they hold.
        unsafe { libc::madvise(self.base.as_ptr().cast(), self.len(), libc::MADV_POPULATE_WRITE) };
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
        self.arena.keep_limit(&mut space);
    }
}

#[cfg(test)]
mod tests;
