//! Watchers: connections to which events are told as they happen.
//!
//! While nobody watches this costs one relaxed load for each read from a socket ([`Watchers::wanted`], kept by the
//! worker); the places where something happens then test a byte of the worker's own memory. Only where somebody watches
//! is a line made, under one lock for all, so that every watcher sees events in the order of their numbers. A watcher
//! has a bounded buffer. What does not fit is counted, never waited for.

mod events;
#[cfg(test)]
mod tests;
mod visit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context as TaskContext, Poll, Waker};

use larder_engine::{Clock, Eviction, Observer};
use larder_protocol::{LogEvent, LogHead, WatchStreams, encode_log_line, encode_skipped_line};
use parking_lot::Mutex;

pub(crate) use events::{DeleteNote, StoreNote, deleted, fetched, refused, stored};
pub(crate) use visit::Visit;

/// Watchers at a time.
pub(crate) const WATCHERS_MAX: usize = 20;

/// Room kept for the line that says how many were lost.
const SKIPPED_LINE_BYTES_MAX: usize = "[skipped: 18446744073709551615]\n".len();

/// A set of streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Streams(u8);

impl Streams {
    pub(crate) const FETCHERS: Streams = Streams(1);
    pub(crate) const MUTATIONS: Streams = Streams(2);
    pub(crate) const EVICTIONS: Streams = Streams(4);
    pub(crate) const CONNECTIONS: Streams = Streams(8);
    pub(crate) const DELETIONS: Streams = Streams(16);

    pub(crate) fn of(wanted: &WatchStreams) -> Streams {
        let bit = |wanted: bool, streams: Streams| if wanted { streams.0 } else { 0 };
        Streams(
            bit(wanted.fetchers, Streams::FETCHERS)
                | bit(wanted.mutations, Streams::MUTATIONS)
                | bit(wanted.evictions, Streams::EVICTIONS)
                | bit(wanted.connevents, Streams::CONNECTIONS)
                | bit(wanted.deletions, Streams::DELETIONS),
        )
    }

    pub(crate) const fn and(self, other: Streams) -> Streams {
        Streams(self.0 | other.0)
    }

    #[inline]
    pub(crate) fn intersects(self, other: Streams) -> bool {
        self.0 & other.0 != 0
    }
}

/// All watchers of a server. Threads: any.
pub(crate) struct Watchers {
    wanted: Wanted,
    buffer_bytes_max: usize,
    clock: Arc<dyn Clock>,
    /// Taken while an engine may hold locks of its own; nothing is called under it.
    list: Mutex<List>,
    counts: Counts,
}

/// What became of events since the last reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counted {
    /// Events of which a line was made.
    pub(crate) events: u64,
    /// Lines put in a watcher's buffer.
    pub(crate) sent: u64,
    /// Lines that a watcher's buffer had no room for.
    pub(crate) skipped: u64,
}

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    sent: AtomicU64,
    skipped: AtomicU64,
}

/// What any watcher wants, on a cache line that is written only when one comes or goes.
#[repr(align(128))]
struct Wanted(AtomicU8);

#[derive(Default)]
struct List {
    watchers: Vec<Watching>,
    watcher_id_last: u64,
    event_id_last: u64,
    /// The line being told.
    line: Vec<u8>,
}

/// A watcher as the others see it.
struct Watching {
    id: u64,
    streams: Streams,
    buffer: Vec<u8>,
    /// Lines lost since the last one that fitted.
    skipped: u64,
    /// Whom to wake when there is something in the empty buffer.
    waker: Option<Waker>,
}

impl Watching {
    /// Takes a line, or counts it; whether it fitted.
    fn tell(&mut self, line: &[u8], bytes_max: usize) -> bool {
        let room = bytes_max.saturating_sub(self.buffer.len());
        if line.len() + SKIPPED_LINE_BYTES_MAX > room {
            self.skipped += 1;
            return false;
        }
        self.tell_skipped();
        self.buffer.extend_from_slice(line);
        true
    }

    fn tell_skipped(&mut self) {
        if self.skipped > 0 {
            encode_skipped_line(std::mem::take(&mut self.skipped), &mut self.buffer);
        }
    }
}

impl Watchers {
    pub(crate) fn new(clock: Arc<dyn Clock>, buffer_bytes_max: usize) -> Watchers {
        Watchers {
            wanted: Wanted(AtomicU8::new(0)),
            buffer_bytes_max,
            clock,
            list: Mutex::default(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn counted(&self) -> Counted {
        let Counts { events, sent, skipped } = &self.counts;
        Counted { events: events.load(Relaxed), sent: sent.load(Relaxed), skipped: skipped.load(Relaxed) }
    }

    pub(crate) fn reset_counts(&self) {
        let Counts { events, sent, skipped } = &self.counts;
        for count in [events, sent, skipped] {
            count.store(0, Relaxed);
        }
    }

    /// What anybody wants to be told of.
    #[inline]
    pub(crate) fn wanted(&self) -> Streams {
        Streams(self.wanted.0.load(Relaxed))
    }

    pub(crate) fn count(&self) -> usize {
        self.list.lock().watchers.len()
    }

    /// A new watcher; `None` if there are too many.
    pub(crate) fn join(self: &Arc<Self>, streams: Streams) -> Option<Watcher> {
        let mut list = self.list.lock();
        if list.watchers.len() >= WATCHERS_MAX {
            return None;
        }
        list.watcher_id_last += 1;
        let id = list.watcher_id_last;
        list.watchers.push(Watching { id, streams, buffer: Vec::new(), skipped: 0, waker: None });
        self.set_wanted(&list);
        Some(Watcher { watchers: self.clone(), id })
    }

    fn set_wanted(&self, list: &List) {
        let wanted = list.watchers.iter().fold(Streams::default(), |all, watching| all.and(watching.streams));
        self.wanted.0.store(wanted.0, Relaxed);
    }

    /// Tells those who want it. Never waits for a watcher.
    pub(crate) fn tell(&self, streams: Streams, event: &LogEvent<'_>) {
        // Woken after the lock is given back. Empty in most cases: a watcher that is behind waits for its socket.
        let mut wakers = Vec::new();
        {
            let mut list = self.list.lock();
            let List { watchers, event_id_last, line, .. } = &mut *list;
            *event_id_last += 1;
            let time = self.clock.since_epoch();
            let head =
                LogHead { seconds: time.as_secs(), microseconds: time.subsec_micros(), id: *event_id_last };
            line.clear();
            encode_log_line(head, event, line);
            self.counts.events.fetch_add(1, Relaxed);
            for watching in watchers.iter_mut().filter(|watching| watching.streams.intersects(streams)) {
                if watching.tell(line, self.buffer_bytes_max) {
                    self.counts.sent.fetch_add(1, Relaxed);
                    wakers.extend(watching.waker.take());
                } else {
                    self.counts.skipped.fetch_add(1, Relaxed);
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Observer for Watchers {
    fn wants_evictions(&self) -> bool {
        self.wanted().intersects(Streams::EVICTIONS)
    }

    fn evicted(&self, eviction: &Eviction<'_>) {
        let now = self.clock.now();
        let event = LogEvent::Eviction {
            key: eviction.key,
            fetched: eviction.fetched,
            ttl_seconds: eviction.expiry.seconds_left(now).map_or(-1, i64::from),
            last_access_seconds: eviction.last_access.map_or(0, |last| now.seconds_since(last)),
            value_bytes: eviction.value_bytes as u64,
        };
        self.tell(Streams::EVICTIONS, &event);
    }
}

/// A watcher's own end. Dropping it ends the watch.
pub(crate) struct Watcher {
    watchers: Arc<Watchers>,
    id: u64,
}

impl Watcher {
    /// The lines there are, which then are no longer here; `Pending` if there is none. A watcher with nothing to say
    /// holds no memory.
    pub(crate) fn take(&self, task: &mut TaskContext<'_>) -> Poll<Vec<u8>> {
        let mut list = self.watchers.list.lock();
        let watching = list.watchers.iter_mut().find(|watching| watching.id == self.id);
        let watching = watching.expect("a watcher is listed for as long as it lives");
        watching.tell_skipped();
        if watching.buffer.is_empty() {
            match &mut watching.waker {
                Some(waker) => waker.clone_from(task.waker()),
                None => watching.waker = Some(task.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut watching.buffer))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut list = self.watchers.list.lock();
        list.watchers.retain(|watching| watching.id != self.id);
        self.watchers.set_wanted(&list);
    }
}
