//! What all workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use larder_engine::{Clock, Observer, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use crate::accepted::Accepted;
use crate::counters::{Counters, Totals};
use crate::detail::Detail;
use crate::door::Door;
use crate::guard::{Guard, Known};
use crate::options::{Options, Tunables};
use crate::router::Routes;
use crate::server::StopRequest;
use crate::watch::Watchers;

/// Unit of the budget for bytes in flight: a semaphore counts at most 2^61, but a request asks in `u32`.
pub(crate) const BUDGET_UNIT_BYTES: usize = 1024;

/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Serving.
    Open,
    /// No new connections; those that are there get their answers and are closed.
    Draining,
}

/// What a reload puts in force, as one.
pub struct Setup {
    /// Which stack a key belongs to.
    pub routes: Routes,
    /// Settings that may change under traffic.
    pub tunables: Tunables,
}

/// State of the server that outlives any one connection. Threads: any.
pub struct Shared {
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    pub(crate) clock: Arc<dyn Clock>,
    /// Swapped whole on a reload; workers look once a turn.
    setup: RwLock<Arc<Setup>>,
    setup_generation: AtomicU64,
    pub(crate) counters: Vec<Arc<Counters>>,
    counters_base: Mutex<Totals>,
    pub(crate) started: Timestamp,
    pub(crate) verbosity: Arc<AtomicU32>,
    /// Memory for RAM engines, which `cache_memlimit` changes.
    pub(crate) memory_bytes: AtomicU64,
    /// What was given at the start, and what clients have changed since.
    pub(crate) accepted: Mutex<Accepted>,
    pub(crate) detail: Detail,
    pub(crate) connections: AtomicUsize,
    /// Where connections too many wait instead of being refused.
    pub(crate) door: Door,
    pub(crate) connections_total: AtomicU64,
    /// Requests that came over UDP.
    pub(crate) datagrams: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    /// 1024-byte units of requests that are being received.
    pub(crate) budget: Arc<Semaphore>,
    /// Answers that clients have not taken, over all connections, in bytes.
    unsent_bytes: AtomicUsize,
    pub(crate) phase: watch::Sender<Phase>,
    /// The addresses listened on, in words.
    pub(crate) listening: Vec<String>,
    stop_requests: Sender<StopRequest>,
    pub(crate) watchers: Arc<Watchers>,
    /// Dumps of keys under way.
    pub(crate) dumps: Arc<AtomicUsize>,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        guard: Guard,
        listening: Vec<String>,
        clock: Arc<dyn Clock>,
        setup: Setup,
        stop_requests: Sender<StopRequest>,
    ) -> Self {
        let watchers = Arc::new(Watchers::new(clock.clone(), options.watcher_buffer_bytes));
        observe(&setup, &watchers);
        let budget_units = options.bytes_in_flight_max.div_ceil(BUDGET_UNIT_BYTES);
        guard.note_start(clock.now());
        Shared {
            guard,
            started: clock.now(),
            clock,
            setup: RwLock::new(Arc::new(setup)),
            setup_generation: AtomicU64::new(1),
            counters: (0..options.workers).map(|_| Arc::default()).collect(),
            counters_base: Mutex::default(),
            verbosity: Arc::new(AtomicU32::new(options.verbosity)),
            memory_bytes: AtomicU64::new(options.memory_bytes),
            accepted: Mutex::new(options.accepted.clone()),
            detail: Detail::new(options.detail, options.detail_delimiter),
            connections: AtomicUsize::new(0),
            door: Door::default(),
            connections_total: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            budget: Arc::new(Semaphore::new(budget_units)),
            unsent_bytes: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Open),
            listening,
            stop_requests,
            watchers,
            dumps: Arc::default(),
            options,
        }
    }

    /// What is in force.
    pub fn setup(&self) -> Arc<Setup> {
        self.setup.read().clone()
    }

    pub(crate) fn setup_generation(&self) -> u64 {
        self.setup_generation.load(Ordering::Acquire)
    }

    /// Puts another setup in force, whole; requests under way finish on the old one, which is returned: once nobody
    /// else holds it, no worker uses its engines any more, and no operation that was started on them is under way.
    pub fn swap_setup(&self, setup: Setup) -> Arc<Setup> {
        observe(&setup, &self.watchers);
        let old = std::mem::replace(&mut *self.setup.write(), Arc::new(setup));
        self.setup_generation.fetch_add(1, Ordering::Release);
        // It may let more connections in.
        self.door.look_again();
        old
    }

    /// Reads passwords and certificates again, without putting them in force; `None` where there are none. Blocks.
    ///
    /// # Errors
    /// What is wrong with which file; never what stands in it.
    pub fn read_guard_again(&self) -> Result<Option<Known>, String> {
        if self.guard.is_idle() { Ok(None) } else { self.guard.read_again().map(Some) }
    }

    /// Puts passwords and certificates in force for connections that come from now on.
    pub fn replace_guard(&self, known: Known) {
        self.guard.replace(known, self.clock.now());
    }

    /// Counters summed over the workers since the last reset.
    pub fn totals(&self) -> Totals {
        self.raw_totals().since(&self.counters_base.lock())
    }

    fn raw_totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.counters {
            totals.add(counters);
        }
        totals
    }

    /// Sets counters of events to 0, the engines' too.
    pub fn reset_counters(&self) {
        *self.counters_base.lock() = self.raw_totals();
        self.connections_rejected.store(0, Ordering::Relaxed);
        self.door.reset_counters();
        self.detail.reset();
        self.watchers.reset_counts();
        for stack in self.setup().routes.stacks() {
            stack.engine.reset_stats();
        }
    }

    /// The log's level, which `verbosity` changes.
    pub fn verbosity(&self) -> &Arc<AtomicU32> {
        &self.verbosity
    }

    pub(crate) fn request_stop(&self, request: StopRequest) {
        if self.stop_requests.send(request).is_err() {
            tracing::warn!("a client asked for a stop, but the server is stopping already");
        }
    }

    /// Room that large values on their way in hold, in bytes.
    pub(crate) fn bytes_in_flight(&self) -> usize {
        let units = self.options.bytes_in_flight_max.div_ceil(BUDGET_UNIT_BYTES);
        units.saturating_sub(self.budget.available_permits()) * BUDGET_UNIT_BYTES
    }

    /// Answers that clients have not taken, over all connections, in bytes.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes.load(Ordering::Relaxed)
    }

    /// A connection has so many bytes of answers unsent instead of so many.
    pub(crate) fn change_unsent(&self, before: usize, now: usize) {
        if now >= before {
            self.unsent_bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.unsent_bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Whether clients let so much pile up that each should have less.
    pub(crate) fn are_answers_scarce(&self) -> bool {
        self.unsent_bytes() > self.options.bytes_in_flight_max
    }

    /// Seconds served so far.
    pub fn uptime(&self) -> Duration {
        Duration::from_secs(u64::from(self.clock.now().seconds_since(self.started)))
    }

    /// Whether as many connections are open as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.connections_open() >= self.setup().tunables.connections_max
    }

    /// Client connections open now.
    pub fn connections_open(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Gives every engine somebody to tell of what it does by itself.
fn observe(setup: &Setup, watchers: &Arc<Watchers>) {
    let observer: Arc<dyn Observer> = watchers.clone();
    for stack in setup.routes.stacks() {
        stack.engine.observe(&observer);
    }
}
