//! Write-behind: acknowledged when queued, decided here, carried to the store by the tier's own thread.
//!
//! | module | subject |
//! |---|---|
//! | `held` | an item between acknowledgement and store |
//! | `dirty` | the queue: the latest write of each key |
//! | `short` | its names and values, in place when they are short |
//! | `room` | its bounds, and who waits at them |
//! | `ids` | CAS ids reserved in the store beforehand |
//! | `write`, `decide` | plain sets; commands that depend on what is there |
//! | `read` | reads of queued writes |
//! | `flusher` | carrying writes to the store |
//! | `pace` | how eagerly |
//! | `flush` | flushes among queued writes |
//! | `scan` | scans of store and queue |

mod decide;
mod dirty;
mod flush;
mod flusher;
mod held;
mod ids;
mod pace;
mod read;
mod room;
mod scan;
mod short;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use larder_engine::engine::StatsSink;
use larder_engine::{Clock, EngineError, Key, MemoryUse};
use parking_lot::Mutex;

use crate::options;
use crate::signal::Signal;

pub(crate) use flusher::{Flusher, LeftOver};

use dirty::Dirty;
use flush::FlushRequest;
use ids::Ids;
use room::Room;

/// The state of write-behind, shared by the workers and the tier's thread.
pub(crate) struct Behind {
    options: options::Behind,
    dirty: Dirty,
    room: Room,
    ids: Ids,
    /// The time in ticks, as the flusher last saw it: writers do not read the clock.
    tick: AtomicU64,
    tick_length: Duration,
    /// Whether the flusher sleeps with nothing to do, and the next writer must ring.
    idle: AtomicBool,
    /// Rings for the flusher.
    bell: Signal,
    flushes: Mutex<Vec<FlushRequest>>,
    trouble: Trouble,
}

/// What the store did not take.
#[derive(Default)]
struct Trouble {
    /// Times a write was sent again.
    retries: AtomicU64,
    /// Times the store refused a write for its own sake.
    refused: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Behind {
    pub fn new(options: options::Behind) -> Self {
        const TICK_MIN: Duration = Duration::from_millis(1);
        const TICK_MAX: Duration = Duration::from_millis(100);
        Behind {
            options,
            dirty: Dirty::new(),
            room: Room::new(options.dirty_bytes),
            ids: Ids::new(),
            tick: AtomicU64::new(0),
            tick_length: (options.dirty_age / 8).clamp(TICK_MIN, TICK_MAX),
            idle: AtomicBool::new(false),
            bell: Signal::default(),
            flushes: Mutex::default(),
            trouble: Trouble::default(),
        }
    }

    fn tick_of(&self, elapsed: Duration) -> u64 {
        (elapsed.as_nanos() / self.tick_length.as_nanos()) as u64
    }

    /// The time for a new entry: the flusher's, unless it sleeps.
    #[inline]
    fn now_tick(&self, clock: &dyn Clock) -> u64 {
        if self.idle.load(Ordering::Relaxed) {
            return self.tick_of(clock.elapsed());
        }
        self.tick.load(Ordering::Relaxed)
    }

    /// Tells the flusher that there is something to send, if it sleeps.
    ///
    /// The flusher says that it sleeps, then looks at every shard under its lock once more. A writer puts its entry
    /// under that lock, then looks here; so one of the two sees the other.
    #[inline]
    fn wake_if_idle(&self) {
        if self.idle.load(Ordering::Acquire) {
            self.idle.store(false, Ordering::Release);
            self.bell.ring();
        }
    }

    /// Makes the flusher look up.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// How long the oldest write has waited.
    fn oldest_age(&self, elapsed: Duration) -> Duration {
        let now = self.tick_of(elapsed);
        let ticks = self.dirty.oldest_tick().map_or(0, |oldest| now.saturating_sub(oldest));
        self.tick_length * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// How much of its bounds the queue uses while its oldest write has this age, the fuller one: 1 is the bound.
    fn urgency(&self, oldest_age: Duration) -> f64 {
        let age = oldest_age.as_secs_f64() / self.options.dirty_age.as_secs_f64();
        let bytes = self.room.bytes() as f64 / self.options.dirty_bytes.max(1) as f64;
        age.max(bytes)
    }

    /// Whether a read must look at the queue.
    #[inline]
    pub fn any_queued(&self) -> bool {
        self.room.bytes() != 0
    }

    /// Fetches the memory of a key's queued write ahead.
    #[inline]
    pub fn prefetch(&self, name: Key<'_>) {
        self.dirty.prefetch(name.bytes(), &self.room);
    }

    /// Writes that are not in the store yet.
    pub fn len(&self) -> usize {
        self.dirty.len()
    }

    /// What is queued; items that the store has in an older form are in both counts.
    pub fn memory_use(&self) -> MemoryUse {
        MemoryUse { items: self.len() as u64, bytes: self.room.bytes(), ..MemoryUse::default() }
    }

    fn note_error(&self, error: &EngineError) {
        *self.trouble.last_error.lock() = Some(error.to_string());
    }

    /// Lines for the tier's statistics.
    pub fn stats(&self, clock: &dyn Clock, sink: &mut dyn StatsSink) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sink.stat("tier_dirty_items", &self.dirty.len());
        sink.stat("tier_dirty_bytes", &self.room.bytes());
        sink.stat("tier_dirty_bytes_max", &self.options.dirty_bytes);
        sink.stat("tier_dirty_age_ms", &self.oldest_age(clock.elapsed()).as_millis());
        sink.stat("tier_dirty_age_ms_max", &self.options.dirty_age.as_millis());
        sink.stat("tier_writers_waiting", &self.room.waiting());
        sink.count("tier_writer_waits", load(&self.room.waits));
        sink.count("tier_writers_refused", load(&self.room.refusals));
        sink.count("tier_store_retries", load(&self.trouble.retries));
        sink.count("tier_store_refusals", load(&self.trouble.refused));
        sink.stat("tier_refused_items", &self.dirty.refused());
        let last_error = self.trouble.last_error.lock();
        sink.stat("tier_last_store_error", &last_error.as_deref().unwrap_or("none"));
    }

    /// Sets counters of events to 0.
    pub fn reset_stats(&self) {
        for counter in [&self.room.waits, &self.room.refusals, &self.trouble.retries, &self.trouble.refused] {
            counter.store(0, Ordering::Relaxed);
        }
        *self.trouble.last_error.lock() = None;
    }
}
