//! Threads with event loops, on which the engine is called.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::thread::JoinHandle;

use larder_engine::Worker;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// What is left of a job once it has called the engine.
pub(crate) type Rest = Pin<Box<dyn Future<Output = ()>>>;
/// Calls the engine on a worker.
pub(crate) type Job = Box<dyn FnOnce(&Worker) -> Rest + Send>;

/// More would not serve more: their work is to wait.
const WORKERS_MAX: usize = 4;

/// The workers. A connection's jobs all go to the same one.
///
/// Jobs wait without a bound of their own: a connection of the server has one call under way at a time.
pub(crate) struct Workers {
    queues: Mutex<Vec<UnboundedSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    count: usize,
}

impl Workers {
    /// # Errors
    /// The system's, when it gives no thread.
    pub(crate) fn start() -> io::Result<Workers> {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(WORKERS_MAX));
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for id in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let (queue, jobs) = unbounded_channel();
            let name = format!("engine-{id}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || work(id, &runtime, jobs))?);
            queues.push(queue);
        }
        Ok(Workers { queues: Mutex::new(queues), threads: Mutex::new(threads), count })
    }

    /// Hands a job to the worker of connection number `connection`. After [`Workers::stop`] it is dropped.
    pub(crate) fn give(&self, connection: u64, job: Job) {
        let place = (connection % self.count as u64) as usize;
        if let Some(queue) = self.queues.lock().get(place) {
            // A queue without a worker drops the job, too.
            drop(queue.send(job));
        }
    }

    /// Waits until everything given is done, and ends the threads.
    pub(crate) fn stop(&self) {
        self.queues.lock().clear();
        for thread in self.threads.lock().drain(..) {
            thread.join().expect("a worker catches the panics of its jobs");
        }
    }
}

/// How many tasks of a worker go on.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    all_done: Notify,
}

/// Counts a task until it has ended, however it ends.
struct Counted(Rc<Open>);

impl Counted {
    fn new(open: &Rc<Open>) -> Counted {
        open.count.set(open.count.get() + 1);
        Counted(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.all_done.notify_one();
        }
    }
}

fn work(id: usize, runtime: &Runtime, mut jobs: UnboundedReceiver<Job>) {
    let open = Rc::new(Open::default());
    let counter = open.clone();
    let worker = Worker::new(id, move |future| {
        let counted = Counted::new(&counter);
        tokio::task::spawn_local(async move {
            future.await;
            drop(counted);
        });
    });
    LocalSet::new().block_on(runtime, async {
        tokio::task::spawn_local(worker.mailbox().clone().deliver());
        while let Some(job) = jobs.recv().await {
            // What panics has said so on standard error, and its connection is told by what it drops.
            if let Ok(rest) = catch_unwind(AssertUnwindSafe(|| job(&worker))) {
                worker.spawn(rest);
            }
        }
        while open.count.get() > 0 {
            open.all_done.notified().await;
        }
    });
}
