//! State that one thread owns: the short way for an engine whose work waits.
//!
//! A method of an engine must not wait, a disk makes everybody wait. So the methods hand their work to a thread that
//! owns what it works on, and answer `Pending`. The thread takes everything that has arrived, does it in the order it
//! was asked, and takes again.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::batch::{BatchQueue, Taken};
use crate::completion::completion;
use crate::context::Context;
use crate::error::EngineError;
use crate::reply::{Operation, Reply};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with the state it owns.
pub struct OwnThread<S> {
    jobs: Arc<BatchQueue<Job<S>>>,
    thread: Mutex<Option<JoinHandle<S>>>,
}

impl<S: Send + 'static> OwnThread<S> {
    /// Starts the thread. Work that waits for it holds at most about `queue_bytes_max` bytes; more is refused with
    /// `TryAgain`.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(name: &str, queue_bytes_max: usize, state: S) -> io::Result<Self> {
        let jobs = Arc::new(BatchQueue::new(queue_bytes_max));
        let queue = Consumer(jobs.clone());
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&queue, state))?;
        Ok(OwnThread { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Has `work` done on the thread after all that was asked before; `bytes` is what it holds while it waits. It is done
    /// also when the client leaves. After [`OwnThread::stop`] it is refused.
    pub fn ask<R, T: Send + 'static>(
        &self,
        context: &Context<'_>,
        bytes: usize,
        work: impl FnOnce(&mut S) -> Result<T, EngineError> + Send + 'static,
    ) -> Reply<R, T> {
        let (completer, answer) = completion(context.worker);
        let job: Job<S> = Box::new(move |state| completer.complete(work(state)));
        match self.jobs.push_in_turn(context.worker, job, bytes) {
            Ok(()) => Reply::Pending(Operation::waiting(answer)),
            Err((_, error)) => Reply::failed(error),
        }
    }

    /// Ends the thread once everything asked is done, and gives its state back. Blocks. `None`: it was stopped before, or
    /// its work panicked.
    pub fn stop(&self) -> Option<S> {
        self.jobs.close();
        let thread = self.thread.lock().take();
        thread.and_then(|thread| thread.join().ok())
    }
}

impl<S> Drop for OwnThread<S> {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

/// The thread's end of the queue. However the thread ends, nobody waits for it any more after that.
struct Consumer<S>(Arc<BatchQueue<Job<S>>>);

impl<S> Drop for Consumer<S> {
    fn drop(&mut self) {
        self.0.close();
        // Work that nobody will do answers for itself when it is dropped: outcome unknown.
        let mut left = Vec::new();
        self.0.take(&mut left, usize::MAX, usize::MAX, None);
    }
}

fn work<S>(queue: &Consumer<S>, mut state: S) -> S {
    let mut batch = Vec::new();
    while queue.0.take(&mut batch, usize::MAX, usize::MAX, None) == Taken::Batch {
        for job in batch.drain(..) {
            job(&mut state);
        }
    }
    state
}

#[cfg(all(test, feature = "kit"))]
mod tests;
