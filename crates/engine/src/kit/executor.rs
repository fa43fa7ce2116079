//! A small event loop of one thread, for tests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Condvar, Mutex};

use crate::context::Worker;

/// The task that `block_on` itself waits for.
const MAIN: usize = 0;
/// The task that delivers the worker's mailbox; it never ends.
const DELIVERY: usize = 1;

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

    fn next_woken(&self) -> usize {
        let mut ids = self.woken.ids.lock();
        loop {
            if let Some(id) = ids.pop_front() {
                return id;
            }
            self.woken.filled.wait(&mut ids);
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
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = self.tasks.waker(MAIN);
        self.tasks.woken.ids.lock().push_back(MAIN);
        loop {
            match self.tasks.next_woken() {
                MAIN => {
                    if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return value;
                    }
                }
                id => self.tasks.poll(id),
            }
        }
    }

    /// Runs until every spawned task has ended.
    pub fn finish(&self) {
        while self.tasks.futures.borrow().keys().any(|id| *id != DELIVERY) {
            match self.tasks.next_woken() {
                MAIN => {}
                id => self.tasks.poll(id),
            }
        }
    }
}
