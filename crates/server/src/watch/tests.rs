use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use larder_engine::{Clock, ClockChange, DebugClock, Eviction, Expiry, Observer, Timestamp};
use larder_protocol::LogEvent;

use super::{Counted, Streams, WATCHERS_MAX, Watcher, Watchers};

const BUFFER_BYTES: usize = 300;

fn watchers() -> (Arc<Watchers>, Arc<DebugClock>) {
    let clock = Arc::new(DebugClock::default());
    assert!(clock.change(ClockChange::Pause));
    (Arc::new(Watchers::new(clock.clone(), BUFFER_BYTES)), clock)
}

fn taken(watcher: &Watcher) -> String {
    match watcher.take(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Pending => String::new(),
        Poll::Ready(lines) => String::from_utf8(lines).expect("ASCII"),
    }
}

fn deleted(key: &[u8]) -> LogEvent<'_> {
    LogEvent::Deleted { key, command: "delete", value_bytes: 1 }
}

#[test]
fn a_watcher_hears_its_streams_alone() {
    let (watchers, clock) = watchers();
    assert_eq!(watchers.wanted(), Streams::default(), "nobody watches");
    let deletions = watchers.join(Streams::DELETIONS).expect("there is room");
    let both = watchers.join(Streams::DELETIONS.and(Streams::EVICTIONS)).expect("there is room");
    assert!(watchers.wants_evictions());
    watchers.tell(Streams::DELETIONS, &deleted(b"a"));
    let (time, now) = (clock.since_epoch(), clock.now());
    watchers.evicted(&Eviction {
        key: b"b",
        value_bytes: 3,
        expiry: Expiry::at(now.0 + 10),
        last_access: Some(Timestamp(now.0 - 4)),
        fetched: true,
    });
    let stamp = format!("ts={}.{:06}", time.as_secs(), time.subsec_micros());
    let first = format!("{stamp} gid=1 type=deleted key=a cmd=delete clsid=1 size=1\n");
    let second = format!("{stamp} gid=2 type=eviction key=b fetch=yes ttl=10 la=4 clsid=1 size=3\n");
    assert_eq!(taken(&deletions), first);
    assert_eq!(taken(&both), first + &second);
    assert_eq!(taken(&both), "");
    drop(both);
    assert!(!watchers.wants_evictions());
    drop(deletions);
    assert_eq!(watchers.wanted(), Streams::default());
}

#[test]
fn a_slow_watcher_loses_lines_and_is_told_how_many() {
    let (watchers, _clock) = watchers();
    let slow = watchers.join(Streams::DELETIONS).expect("there is room");
    for _ in 0..1000 {
        watchers.tell(Streams::DELETIONS, &deleted(b"k"));
    }
    let text = taken(&slow);
    assert!(text.len() <= BUFFER_BYTES, "{} bytes", text.len());
    let lines: Vec<&str> = text.lines().collect();
    let (last, told) = lines.split_last().expect("some lines");
    assert!(!told.is_empty());
    assert_eq!(*last, format!("[skipped: {}]", 1000 - told.len()));
    let sent = told.len() as u64;
    assert_eq!(watchers.counted(), Counted { events: 1000, sent, skipped: 1000 - sent });
    watchers.reset_counts();
    assert_eq!(watchers.counted(), Counted::default());
    watchers.tell(Streams::DELETIONS, &deleted(b"after"));
    assert!(taken(&slow).contains("gid=1001 type=deleted key=after "));
}

#[test]
fn watchers_are_limited_in_number() {
    let (watchers, _clock) = watchers();
    let mut all: Vec<Watcher> =
        (0..WATCHERS_MAX).map(|_| watchers.join(Streams::FETCHERS).expect("there is room")).collect();
    assert!(watchers.join(Streams::FETCHERS).is_none());
    all.pop();
    assert!(watchers.join(Streams::FETCHERS).is_some());
}

struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_watcher_is_woken_once_for_many_lines() {
    let (watchers, _clock) = watchers();
    let watcher = watchers.join(Streams::DELETIONS).expect("there is room");
    let bell = Arc::new(Bell(AtomicUsize::new(0)));
    let waker = Waker::from(bell.clone());
    assert!(watcher.take(&mut TaskContext::from_waker(&waker)).is_pending());
    watchers.tell(Streams::FETCHERS, &deleted(b"of another stream"));
    assert_eq!(bell.0.load(Ordering::Relaxed), 0);
    for _ in 0..3 {
        watchers.tell(Streams::DELETIONS, &deleted(b"k"));
    }
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
}
