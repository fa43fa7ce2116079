//! The bounds of what is acknowledged and not yet in the store, and the writers that wait at them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use larder_engine::completion::{Completer, Completion, completion};
use larder_engine::{EngineError, ErrorKind, Worker};
use parking_lot::Mutex;

use crate::counters::count;

/// Bytes in use and writers that wait for room.
pub(crate) struct Room {
    bytes_max: u64,
    /// Bytes of all entries. On a cache line with nothing else: every write moves it.
    bytes: Line<AtomicU64>,
    /// Whether every writer must wait: others wait already, or there is a [`Barrier`].
    closed: AtomicBool,
    /// Those who wait, in their order. No other lock but a completion's is taken under it.
    queue: Mutex<VecDeque<Waiting>>,
    /// Writers that had to wait.
    pub waits: AtomicU64,
    /// Writers that waited in vain.
    pub refusals: AtomicU64,
}

#[repr(align(128))]
struct Line<T>(T);

/// What keeps every writer out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Barrier {
    /// The oldest entry is too old.
    Age,
    /// CAS ids have run out.
    Ids,
    /// A flush is under way.
    Flush,
}

struct Waiting {
    bytes: u64,
    until: Duration,
    completer: Completer<()>,
}

impl Room {
    pub fn new(bytes_max: u64) -> Self {
        Room {
            bytes_max,
            bytes: Line(AtomicU64::new(0)),
            closed: AtomicBool::new(false),
            queue: Mutex::default(),
            waits: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// Bytes of all entries; 0 when there is none.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes.0.load(Ordering::Relaxed)
    }

    /// Whether a write of so many bytes may go on at once. One write is let in however heavy it is.
    #[inline]
    pub fn is_open(&self, bytes: u64) -> bool {
        !self.closed.load(Ordering::Relaxed) && self.has_room(self.bytes(), bytes)
    }

    fn has_room(&self, used: u64, bytes: u64) -> bool {
        used == 0 || used.saturating_add(bytes) <= self.bytes_max
    }

    /// An entry took so many bytes more, and gave so many back.
    #[inline]
    pub fn changed(&self, more: u64, less: u64) {
        if more > less {
            self.bytes.0.fetch_add(more - less, Ordering::Relaxed);
        } else if less > more {
            self.bytes.0.fetch_sub(less - more, Ordering::Relaxed);
        }
    }

    /// Waits for room until a time on the clock's scale.
    pub fn wait(&self, worker: &Worker, bytes: u64, until: Duration) -> Completion<()> {
        count(&self.waits);
        let (completer, completion) = completion(worker);
        let mut queue = self.queue.lock();
        queue.push_back(Waiting { bytes, until, completer });
        self.closed.store(true, Ordering::Relaxed);
        completion
    }

    /// Lets writers in as far as there is room, and sends away those whose time is over. The next deadline, if any.
    pub fn admit(&self, barrier: Option<Barrier>, now: Duration) -> Option<Duration> {
        let mut queue = self.queue.lock();
        let mut used = self.bytes();
        while let Some(first) =
            queue.pop_front_if(|first| barrier.is_none() && self.has_room(used, first.bytes))
        {
            used = used.saturating_add(first.bytes);
            first.completer.complete(Ok(()));
        }
        while let Some(first) = queue.pop_front_if(|first| first.until <= now) {
            count(&self.refusals);
            first.completer.complete(Err(refusal(barrier)));
        }
        // A flush of some keys holds back their writers at the shard; the others go on.
        let closed = barrier == Some(Barrier::Age) || !queue.is_empty();
        self.closed.store(closed, Ordering::Relaxed);
        queue.front().map(|first| first.until)
    }

    /// How many writers wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().len()
    }
}

fn refusal(barrier: Option<Barrier>) -> EngineError {
    let text = match barrier {
        None => "write-behind queue full: dirty_bytes are in use, try again",
        Some(Barrier::Age) => {
            "write-behind queue full: the store is behind by more than dirty_age, try again"
        }
        Some(Barrier::Ids) => "write-behind waits for the store to reserve CAS ids, try again",
        Some(Barrier::Flush) => "write-behind waits for a flush of the store, try again",
    };
    EngineError::new(ErrorKind::TryAgain, text)
}
