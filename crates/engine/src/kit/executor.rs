//! A small event loop of one thread, for tests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::context::Worker;

use super::calls;
use super::diagnosis::Diagnosis;
use super::failure::Failure;

/// The task that `block_on` itself waits for.
const MAIN: usize = 0;
/// The task that delivers the worker's mailbox; it never ends.
const DELIVERY: usize = 1;

/// How long a loop that waits for an engine's answer waits for any wake-up. The kit's own tests wait in vain.
pub const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

thread_local! {
    /// Set while a loop that has waited in vain polls what it waits for once more.
    static STALLED: Cell<bool> = const { Cell::new(false) };
}

/// Ends with `future`; `None` when the loop it runs on has waited for [`PATIENCE`] and nothing was woken.
pub(crate) async fn patiently<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(move |task| match calls::inside("poll", || Pin::new(&mut future).poll(task)) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if STALLED.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Runs futures on the calling thread, with a [`Worker`] whose mailbox is delivered. Not `Send`: one a thread.
pub struct LocalExecutor {
    tasks: Rc<Tasks>,
    worker: Worker,
}

struct Tasks {
    futures: RefCell<BTreeMap<usize, LocalFuture>>,
    next_id: Cell<usize>,
    woken: Arc<Woken>,
}

/// Tasks to poll; filled from any thread.
#[derive(Default)]
struct Woken {
    ids: Mutex<VecDeque<usize>>,
    filled: Condvar,
}

struct TaskWaker {
    id: usize,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.woken.ids.lock().push_back(self.id);
        self.woken.filled.notify_one();
    }
}

impl Tasks {
    fn waker(&self, id: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { id, woken: self.woken.clone() }))
    }

    fn spawn(&self, future: LocalFuture) {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        self.futures.borrow_mut().insert(id, future);
        self.woken.ids.lock().push_back(id);
    }

    /// Polls a spawned task once; one that has ended meanwhile is not there any more.
    fn poll(&self, id: usize) {
        let Some(mut future) = self.futures.borrow_mut().remove(&id) else { return };
        let waker = self.waker(id);
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.futures.borrow_mut().insert(id, future);
        }
    }

    /// The next task to poll; `None` when none was woken for [`PATIENCE`].
    fn next_woken(&self) -> Option<usize> {
        let mut ids = self.woken.ids.lock();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(id) = ids.pop_front() {
                return Some(id);
            }
            if self.woken.filled.wait_until(&mut ids, until).timed_out() {
                return ids.pop_front();
            }
        }
    }
}

impl LocalExecutor {
    /// An event loop for worker number `worker_id`.
    pub fn new(worker_id: usize) -> Self {
        let tasks = Rc::new(Tasks {
            futures: RefCell::default(),
            next_id: Cell::new(DELIVERY),
            woken: Arc::default(),
        });
        // Weak: the worker may live on in a task, and the tasks must not keep themselves alive.
        let spawner: Weak<Tasks> = Rc::downgrade(&tasks);
        let worker = Worker::new(worker_id, move |future| {
            if let Some(tasks) = spawner.upgrade() {
                tasks.spawn(future);
            }
        });
        tasks.spawn(Box::pin(worker.mailbox().clone().deliver()));
        LocalExecutor { tasks, worker }
    }

    /// The worker that stands for this loop.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Runs `future` to its end, and spawned tasks beside it.
    ///
    /// # Panics
    /// With a [`Failure`] when it waits for something that does not come.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = self.tasks.waker(MAIN);
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
        self.tasks.woken.ids.lock().push_back(MAIN);
        let mut is_second_stall = false;
        loop {
            let polled = match self.tasks.next_woken() {
                Some(MAIN) => poll(),
                Some(id) => {
                    self.tasks.poll(id);
                    Poll::Pending
                }
                None if is_second_stall => give_up("an answer"),
                None => {
                    is_second_stall = true;
                    STALLED.set(true);
                    let polled = poll();
                    STALLED.set(false);
                    polled
                }
            };
            if let Poll::Ready(value) = polled {
                return value;
            }
        }
    }

    /// Runs until every spawned task has ended.
    ///
    /// # Panics
    /// With a [`Failure`] when one does not end.
    pub fn finish(&self) {
        while self.tasks.futures.borrow().keys().any(|id| *id != DELIVERY) {
            match self.tasks.next_woken() {
                Some(MAIN) => {}
                Some(id) => self.tasks.poll(id),
                None => give_up("the end of an operation whose client left"),
            }
        }
    }
}

fn give_up(what: &str) -> ! {
    let text = format!("waited {} seconds in vain for {what}", PATIENCE.as_secs());
    std::panic::panic_any(Failure::new(text).because(Diagnosis::NeverAnswered))
}
