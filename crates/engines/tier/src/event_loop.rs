//! The event loop of a tier's own thread: tasks, wake-ups from other threads, timers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use larder_engine::{Clock, Worker};
use parking_lot::{Condvar, Mutex};

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Runs tasks on the thread it was made on.
pub(crate) struct EventLoop {
    tasks: Rc<Tasks>,
    worker: Worker,
    clock: Arc<dyn Clock>,
}

struct Tasks {
    slots: RefCell<Vec<Option<Task>>>,
    free: RefCell<Vec<usize>>,
    woken: Arc<Woken>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    timers_made: Cell<u64>,
    /// Set when the loop is dropped: tasks then end without being polled again.
    closed: Cell<bool>,
}

/// `None` while it is polled.
struct Task(Option<LocalFuture>);

/// Tasks to poll; filled from any thread.
#[derive(Default)]
struct Woken {
    tasks: Mutex<VecDeque<Arc<TaskWaker>>>,
    filled: Condvar,
}

struct TaskWaker {
    slot: usize,
    /// Whether the task is in the queue already.
    queued: AtomicBool,
    /// Set when the task has ended and its slot may be another's.
    ended: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.tasks.lock().push_back(self.clone());
            self.woken.filled.notify_one();
        }
    }
}

impl Tasks {
    fn spawn(&self, future: LocalFuture) {
        if self.closed.get() {
            return;
        }
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        let waker = Arc::new(TaskWaker {
            slot,
            queued: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            woken: self.woken.clone(),
        });
        waker.wake_by_ref();
        slots[slot] = Some(Task(Some(future)));
    }

    fn poll(&self, task: &Arc<TaskWaker>) {
        if task.ended.load(Ordering::Acquire) {
            return;
        }
        // Before the poll: a wake-up during it must queue the task again.
        task.queued.store(false, Ordering::Release);
        let future = self.slots.borrow_mut()[task.slot].as_mut().and_then(|slot| slot.0.take());
        let Some(mut future) = future else { return };
        let waker = Waker::from(task.clone());
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if let Some(slot) = &mut self.slots.borrow_mut()[task.slot] {
                slot.0 = Some(future);
            }
            return;
        }
        task.ended.store(true, Ordering::Release);
        let ended = self.slots.borrow_mut()[task.slot].take();
        self.free.borrow_mut().push(task.slot);
        drop(ended);
    }

    fn wake_due(&self, now: Duration) {
        loop {
            let mut timers = self.timers.borrow_mut();
            match timers.first_entry() {
                Some(first) if first.key().0 <= now => first.remove().wake(),
                _ => return,
            }
        }
    }

    fn next_due(&self) -> Option<Duration> {
        self.timers.borrow().first_key_value().map(|((at, _), _)| *at)
    }
}

impl EventLoop {
    /// A loop for a worker of this number.
    pub fn new(worker_id: usize, clock: Arc<dyn Clock>) -> Self {
        let tasks = Rc::new(Tasks {
            slots: RefCell::default(),
            free: RefCell::default(),
            woken: Arc::default(),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
            closed: Cell::new(false),
        });
        // Weak: the worker lives in the tasks, and they must not keep themselves alive.
        let spawner: Weak<Tasks> = Rc::downgrade(&tasks);
        let worker = Worker::new(worker_id, move |future| {
            if let Some(tasks) = spawner.upgrade() {
                tasks.spawn(future);
            }
        });
        tasks.spawn(Box::pin(worker.mailbox().clone().deliver()));
        EventLoop { tasks, worker, clock }
    }

    /// The worker that stands for this loop.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// For tasks that wait for a time.
    pub fn timer(&self) -> Timer {
        Timer { tasks: Rc::downgrade(&self.tasks), clock: self.clock.clone() }
    }

    /// Runs tasks until `future` has ended. What has not ended by then is dropped with the loop.
    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(Cell::new(None));
        let main = {
            let result = result.clone();
            async move { result.set(Some(future.await)) }
        };
        self.tasks.spawn(Box::pin(main));
        loop {
            self.tasks.wake_due(self.clock.elapsed());
            self.turn();
            if let Some(result) = result.take() {
                return result;
            }
        }
    }

    /// Polls what was woken, or waits for a wake-up or the next timer.
    fn turn(&self) {
        let due = self.tasks.next_due();
        let woken = &self.tasks.woken;
        let batch = {
            let mut tasks = woken.tasks.lock();
            if tasks.is_empty() {
                match due {
                    None => woken.filled.wait(&mut tasks),
                    Some(due) => {
                        let patience = due.saturating_sub(self.clock.elapsed());
                        woken.filled.wait_for(&mut tasks, patience);
                    }
                }
            }
            std::mem::take(&mut *tasks)
        };
        for task in batch {
            self.tasks.poll(&task);
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.tasks.closed.set(true);
        // Outside the borrow: what a task drops may spawn.
        loop {
            let task = self.tasks.slots.borrow_mut().pop();
            match task {
                None => return,
                Some(task) => drop(task),
            }
        }
    }
}

/// Lets a task wait for a time on the clock's scale.
#[derive(Clone)]
pub(crate) struct Timer {
    tasks: Weak<Tasks>,
    clock: Arc<dyn Clock>,
}

impl Timer {
    /// Time on the scale of [`Clock::elapsed`].
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Wakes `waker` at `at`. May be early if asked again for another time.
    pub fn wake_at(&self, at: Duration, waker: &Waker) -> Alarm {
        let Some(tasks) = self.tasks.upgrade() else { return Alarm(None) };
        let number = tasks.timers_made.get();
        tasks.timers_made.set(number + 1);
        tasks.timers.borrow_mut().insert((at, number), waker.clone());
        Alarm(Some((self.tasks.clone(), (at, number))))
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        let mut alarm = None;
        std::future::poll_fn(|task| {
            if self.elapsed() >= until {
                return Poll::Ready(());
            }
            alarm = Some(self.wake_at(until, task.waker()));
            Poll::Pending
        })
        .await;
        drop(alarm);
    }
}

/// A set timer; dropping it unsets it.
pub(crate) struct Alarm(Option<(Weak<Tasks>, (Duration, u64))>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((tasks, key)) = self.0.take()
            && let Some(tasks) = tasks.upgrade()
        {
            tasks.timers.borrow_mut().remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
