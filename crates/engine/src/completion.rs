//! An answer handed from an engine's thread to a worker.
//!
//! Waking an event loop from another thread costs a system call. An engine that finishes a batch wakes many
//! operations of the same worker, so wake-ups go through the worker's [`Mailbox`]: the first one rings, the others
//! are found when the worker looks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use parking_lot::Mutex;

use crate::context::Worker;
use crate::error::{EngineError, ErrorKind};

/// Wake-ups that other threads leave for a worker.
#[derive(Default)]
pub struct Mailbox(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    /// Operations to wake.
    wakers: Vec<Waker>,
    /// The delivery task, while it waits. Taken by whoever rings, so that one ring is enough.
    bell: Option<Waker>,
}

impl Mailbox {
    /// Wakes `waker` on the mailbox's worker. Any thread; never blocks for long.
    pub fn post(&self, waker: Waker) {
        let bell = {
            let mut letters = self.0.lock();
            letters.wakers.push(waker);
            letters.bell.take()
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }

    /// Delivers for as long as it is polled; never ends.
    pub fn deliver(self: Arc<Self>) -> Deliver {
        Deliver { mailbox: self, spare: Vec::new() }
    }
}

/// The future of [`Mailbox::deliver`].
pub struct Deliver {
    mailbox: Arc<Mailbox>,
    spare: Vec<Waker>,
}

impl Future for Deliver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let mut spare = std::mem::take(&mut self.spare);
        {
            let mut letters = self.mailbox.0.lock();
            std::mem::swap(&mut letters.wakers, &mut spare);
            letters.bell = Some(task.waker().clone());
        }
        for waker in spare.drain(..) {
            waker.wake();
        }
        self.spare = spare;
        Poll::Pending
    }
}

/// Makes a pair: the engine's thread completes, the worker awaits.
pub fn completion<T: Send + 'static>(worker: &Worker) -> (Completer<T>, Completion<T>) {
    let shared = Arc::new(Mutex::new(State::Waiting(None)));
    (Completer { shared: Some(shared.clone()), mailbox: worker.mailbox().clone() }, Completion(shared))
}

type Shared<T> = Arc<Mutex<State<T>>>;

enum State<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, EngineError>),
    /// The answer was taken, or nobody waits for it any more.
    Over,
}

/// The engine's end. Dropping it without an answer answers `OutcomeUnknown`, so that no client waits for ever.
pub struct Completer<T> {
    shared: Option<Shared<T>>,
    mailbox: Arc<Mailbox>,
}

impl<T> Completer<T> {
    /// Gives the answer and wakes the worker. Any thread.
    pub fn complete(mut self, answer: Result<T, EngineError>) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: Result<T, EngineError>) {
        let Some(shared) = self.shared.take() else { return };
        let waker = {
            let mut state = shared.lock();
            match &mut *state {
                State::Waiting(waker) => {
                    let waker = waker.take();
                    *state = State::Answered(answer);
                    waker
                }
                State::Answered(_) | State::Over => None,
            }
        };
        if let Some(waker) = waker {
            self.mailbox.post(waker);
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if self.shared.is_some() {
            self.answer(Err(EngineError::new(
                ErrorKind::OutcomeUnknown,
                "the engine stopped before it answered",
            )));
        }
    }
}

/// The worker's end.
pub struct Completion<T>(Shared<T>);

impl<T> Future for Completion<T> {
    type Output = Result<T, EngineError>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(task.waker()),
                    None => *waker = Some(task.waker().clone()),
                }
                Poll::Pending
            }
            _ => match std::mem::replace(&mut *state, State::Over) {
                State::Answered(answer) => Poll::Ready(answer),
                _ => panic!("a completion is not polled after its answer"),
            },
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        *self.0.lock() = State::Over;
    }
}
