//! Blocks of counters that an engine keeps for its tenants, one each. It gets them from the server and says which of them
//! counts for a connection; what is in them is the server's affair.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// What is counted for a tenant.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    CmdGet,
    CmdSet,
    CmdTouch,
    CmdFlush,
    GetHits,
    GetMisses,
    DeleteHits,
    DeleteMisses,
    IncrHits,
    IncrMisses,
    DecrHits,
    DecrMisses,
    CasHits,
    CasMisses,
    CasBadval,
    TouchHits,
    TouchMisses,
}

/// Their names in statistics, in that order.
pub(crate) const NAMES: [&str; COUNT] = [
    "cmd_get",
    "cmd_set",
    "cmd_touch",
    "cmd_flush",
    "get_hits",
    "get_misses",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
    "cas_hits",
    "cas_misses",
    "cas_badval",
    "touch_hits",
    "touch_misses",
];

const COUNT: usize = Counter::TouchMisses as usize + 1;

type Block = [AtomicU64; COUNT];

/// The values of a block, or sums over several.
pub(crate) type Values = [u64; COUNT];

/// The blocks that are given out, by address. A block is read and counted in under this lock, and freed under it.
static BLOCKS: RwLock<BTreeSet<usize>> = RwLock::new(BTreeSet::new());

/// `new_stats`
pub(crate) extern "C" fn new_stats() -> *mut c_void {
    // SAFETY: any size may be asked for; null is an answer that engines know.
    let block = unsafe { libc::calloc(1, size_of::<Block>()) };
    if !block.is_null() {
        BLOCKS.write().insert(block as usize);
    }
    block
}

/// `release_stats`
pub(crate) extern "C" fn release_stats(block: *mut c_void) {
    if BLOCKS.write().remove(&(block as usize)) {
        // SAFETY: it came from `new_stats` and was not given back before; nobody uses it without the lock.
        unsafe { libc::free(block) };
    }
}

/// Looks at a block; `None` if it is none of those that are given out.
fn with<T>(block: *mut c_void, look: impl FnOnce(&Block) -> T) -> Option<T> {
    let blocks = BLOCKS.read();
    if !blocks.contains(&(block as usize)) {
        return None;
    }
    // SAFETY: it came from `new_stats` with the size of a block, zeroed, which is a valid one, and lives while the lock is
    // held.
    Some(look(unsafe { &*block.cast::<Block>() }))
}

/// Counts in a block. `false`: it is none.
pub(crate) fn count(block: *mut c_void, counters: &[Counter]) -> bool {
    let add = |block: &Block| {
        for counter in counters {
            block[*counter as usize].fetch_add(1, Ordering::Relaxed);
        }
    };
    with(block, add).is_some()
}

/// What a block holds; `None` if it is none.
pub(crate) fn values(block: *mut c_void) -> Option<Values> {
    with(block, |block| std::array::from_fn(|at| block[at].load(Ordering::Relaxed)))
}

/// Sets all counters of all blocks to 0.
pub(crate) fn reset_all() {
    let blocks: Vec<usize> = BLOCKS.read().iter().copied().collect();
    for block in blocks {
        // One that was given back meanwhile needs no reset.
        with(block as *mut c_void, |block| {
            block.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
        });
    }
}

/// What `aggregate_stats` calls with each block: adds it to the [`Values`] at `sums`.
pub(crate) extern "C" fn add_up(block: *mut c_void, sums: *mut c_void) {
    // SAFETY: the engine hands on the place it was given with the call, which is still under way.
    let sums = unsafe { sums.cast::<Values>().as_mut() };
    if let (Some(sums), Some(values)) = (sums, values(block)) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
    }
}
