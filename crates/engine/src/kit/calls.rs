//! Calls into the engine, watched from outside: which are under way, and which made their thread sleep.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The method a thread is in, if any.
type Slot = Arc<Mutex<Option<&'static str>>>;

/// One slot for each thread that ever called.
static SLOTS: Mutex<Vec<Slot>> = Mutex::new(Vec::new());

/// Calls that have returned.
static RETURNED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SLOT: Slot = {
        let slot = Slot::default();
        SLOTS.lock().push(slot.clone());
        slot
    };
    /// Counts, while this thread watches its sleeps.
    static TALLY: RefCell<Option<Tally>> = const { RefCell::new(None) };
}

/// Calls of each method.
pub(crate) type Tally = BTreeMap<&'static str, Count>;

/// How often a method was called, and how often the thread slept in it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    pub(crate) calls: u32,
    pub(crate) slept: u32,
}

/// The methods that threads are inside of at this moment, and how many calls have returned so far: a call that is under
/// way while none returns does not come back.
pub fn under_way() -> (Vec<&'static str>, u64) {
    let methods = SLOTS.lock().iter().filter_map(|slot| *slot.lock()).collect();
    (methods, RETURNED.load(Ordering::Relaxed))
}

/// Calls a method of the engine.
pub(crate) fn inside<T>(method: &'static str, call: impl FnOnce() -> T) -> T {
    let slot = SLOT.with(Slot::clone);
    *slot.lock() = Some(method);
    let is_watched = TALLY.with_borrow(Option::is_some);
    let before = if is_watched { sleeps() } else { None };
    let answer = call();
    if let (Some(before), Some(after)) = (before, is_watched.then(sleeps).flatten()) {
        TALLY.with_borrow_mut(|tally| {
            let count = tally.get_or_insert_default().entry(method).or_default();
            count.calls += 1;
            count.slept += u32::from(after > before);
        });
    }
    *slot.lock() = None;
    RETURNED.fetch_add(1, Ordering::Relaxed);
    answer
}

/// Counts the calls that this thread makes in `work`; `None` where the system does not tell how often a thread slept.
pub(crate) fn watched<T>(work: impl FnOnce() -> T) -> (T, Option<Tally>) {
    if sleeps().is_none() {
        return (work(), None);
    }
    TALLY.set(Some(Tally::new()));
    let done = work();
    (done, TALLY.take())
}

/// How often this thread has given up its processor to wait for something: for a lock, a disk, a time. Being
/// interrupted for another thread does not count.
fn sleeps() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
