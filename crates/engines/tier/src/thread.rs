//! The tier's own thread: warming up, and under write-behind the flusher.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use larder_engine::{Cache, EngineError, ErrorKind};
use parking_lot::Mutex;

use crate::behind::{Flusher, LeftOver};
use crate::core::{Asker, Core};
use crate::event_loop::EventLoop;
use crate::signal::Signal;

/// The number of the thread's worker; no worker of the server has it.
const WORKER_ID: usize = usize::MAX;

/// What the thread is to do.
#[derive(Default)]
pub(crate) struct Orders {
    order: AtomicU8,
    bell: Signal,
}

// A higher order takes the place of a lower one.
const DRAIN: u8 = 1;
const CLOSE: u8 = 2;
const ABANDON: u8 = 3;

impl Orders {
    /// Whether to finish what is acknowledged, however long it takes, and end.
    pub fn drain(&self) -> bool {
        self.order.load(Ordering::Acquire) == DRAIN
    }

    /// Whether to finish what is acknowledged, or end when the store takes none of it.
    pub fn close(&self) -> bool {
        self.order.load(Ordering::Acquire) == CLOSE
    }

    /// Whether to end at once.
    pub fn abandon(&self) -> bool {
        self.order.load(Ordering::Acquire) == ABANDON
    }

    /// Whether to end in one way or another.
    pub fn stop(&self) -> bool {
        self.order.load(Ordering::Acquire) != 0
    }

    fn give(&self, order: u8) {
        self.order.fetch_max(order, Ordering::AcqRel);
        self.bell.ring();
    }
}

/// The running thread.
pub(crate) struct TierThread {
    orders: Arc<Orders>,
    handle: Mutex<Option<JoinHandle<LeftOver>>>,
}

impl TierThread {
    /// Starts the thread and, under write-behind, waits until the store has reserved CAS ids.
    pub fn start<C: Cache + ?Sized>(core: Arc<Core<C>>) -> Result<Self, EngineError> {
        let orders = Arc::<Orders>::default();
        let (begun, begins) = mpsc::channel();
        let given = orders.clone();
        let spawned =
            std::thread::Builder::new().name("larder-tier".into()).spawn(move || work(core, given, begun));
        let handle = spawned.map_err(|error| {
            EngineError::caused(ErrorKind::Unavailable, "no thread could be started for the tier", error)
        })?;
        let begun = begins.recv().unwrap_or_else(|_| Err(ErrorKind::Internal.into()));
        let thread = TierThread { orders, handle: Mutex::new(Some(handle)) };
        begun.map(|()| thread)
    }

    /// Ends the thread when everything acknowledged has been carried down. What is left, if it was [hurried](Self::hurry).
    pub fn drain<C: Cache + ?Sized>(&self, core: &Core<C>) -> LeftOver {
        self.end(core, DRAIN)
    }

    /// Makes a [drain](Self::drain) under way or to come a [close](Self::close). Does not wait.
    pub fn hurry<C: Cache + ?Sized>(&self, core: &Core<C>) {
        self.order(core, CLOSE);
    }

    /// Ends the thread when everything acknowledged has been carried down or refused. What is left.
    pub fn close<C: Cache + ?Sized>(&self, core: &Core<C>) -> LeftOver {
        self.end(core, CLOSE)
    }

    /// Ends the thread at once.
    pub fn abandon<C: Cache + ?Sized>(&self, core: &Core<C>) {
        self.end(core, ABANDON);
    }

    fn order<C: Cache + ?Sized>(&self, core: &Core<C>, order: u8) {
        self.orders.give(order);
        if let Some(behind) = &core.behind {
            behind.ring();
        }
    }

    fn end<C: Cache + ?Sized>(&self, core: &Core<C>, order: u8) -> LeftOver {
        let nothing = LeftOver { items: 0, last_error: None };
        let Some(handle) = self.handle.lock().take() else { return nothing };
        self.order(core, order);
        handle.join().unwrap_or_else(|_| LeftOver {
            items: core.behind.as_ref().map_or(0, |behind| behind.len()),
            last_error: Some("the tier's thread has panicked".into()),
        })
    }
}

/// The thread.
fn work<C: Cache + ?Sized>(
    core: Arc<Core<C>>,
    orders: Arc<Orders>,
    begun: mpsc::Sender<Result<(), EngineError>>,
) -> LeftOver {
    let events = EventLoop::new(WORKER_ID, core.services.clock.clone());
    let asker = Asker::own(events.worker().clone(), core.now());
    let timer = events.timer();
    let behind = core.behind.is_some();
    core.cache.connection_opened(&asker.context(asker.now));
    core.store.connection_opened(&asker.context(asker.now));
    let main = {
        let (core, asker) = (core.clone(), asker.at(asker.now));
        async move {
            let flusher = Flusher::new(core.clone(), asker.at(asker.now), timer.clone(), orders.clone());
            let ready = if behind { flusher.reserve_first().await } else { Ok(()) };
            let failed = ready.is_err();
            // The receiver waits for exactly this.
            let told = begun.send(ready);
            if failed || told.is_err() {
                return LeftOver { items: 0, last_error: None };
            }
            if core.options.warm_up {
                let worker = asker.worker.clone();
                worker.spawn(core.warm_up(asker, timer, orders.clone()));
            }
            if behind {
                return flusher.run().await;
            }
            std::future::poll_fn(|task| match orders.bell.heard(task.waker()) || orders.stop() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            })
            .await;
            LeftOver { items: 0, last_error: None }
        }
    };
    let left = events.run(main);
    core.store.connection_closed(&asker.context(core.now()));
    core.cache.connection_closed(&asker.context(core.now()));
    left
}
