//! The shared memory of a write-ahead log: an index that all connections to one file write to.
//!
//! In one process it is plain memory. SQLite orders access to it by slot locks and barriers.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::locks::{HandleId, SlotLocks};

/// Shared memory of one file and the connections that use it.
#[derive(Default)]
pub(super) struct SharedMemory {
    regions: Vec<Region>,
    users: Vec<HandleId>,
    pub(super) locks: SlotLocks,
}

struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a region is owned memory without ties to a thread; what is in it is touched by SQLite alone, under its own
// locks.
unsafe impl Send for Region {}

impl Region {
    fn new(bytes: usize) -> Region {
        let layout = Layout::from_size_align(bytes.max(1), 64).expect("SQLite asks for regions of 32 KiB");
        // SAFETY: the layout has a size above 0.
        let start = unsafe { alloc_zeroed(layout) };
        Region { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once. SQLite has let go of it: regions are dropped when the
        // last connection has unmapped them, or when no open file refers to the shared memory any more.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl SharedMemory {
    /// The region number `index`, each of `bytes` bytes; `None` if it is not there and not to be made.
    pub(super) fn map(
        &mut self,
        handle: HandleId,
        index: usize,
        bytes: usize,
        extend: bool,
    ) -> Option<NonNull<u8>> {
        if !self.users.contains(&handle) {
            self.users.push(handle);
        }
        while extend && self.regions.len() <= index {
            self.regions.push(Region::new(bytes));
        }
        self.regions.get(index).map(|region| region.start)
    }

    /// Lets go. What is in the memory is forgotten with its last user; the next one builds it anew from the log.
    pub(super) fn unmap(&mut self, handle: HandleId) {
        self.locks.unlock_all(handle);
        self.users.retain(|user| *user != handle);
        if self.users.is_empty() {
            self.regions.clear();
        }
    }
}
