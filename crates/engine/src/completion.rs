//! An answer handed from an engine's thread to a worker.
//!
//! Waking an event loop from another thread costs a system call. An engine that finishes a batch wakes many
//! operations of the same worker, so wake-ups go through the worker's [`Mailbox`]: the first one rings, the others
//! are found when the worker looks. A worker that is quick looks after each; so an engine that has many answers
//! collects its wake-ups in [`Wakes`] and rings each worker once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use parking_lot::Mutex;

use crate::context::Worker;
use crate::error::{EngineError, ErrorKind};

/// Something that is rung at the end of a worker's turn: see [`Mailbox::ring_after_turn`].
pub trait Ring: Send + Sync {
    /// Called on the worker's thread. Must not block.
    fn ring(&self);
}

/// Wake-ups that other threads leave for a worker.
#[derive(Default)]
pub struct Mailbox(Mutex<Letters>);

#[derive(Default)]
struct Letters {
    /// Operations to wake.
    wakers: Vec<Waker>,
    /// What the worker itself wants to ring once it has done what it has.
    rings: Vec<Arc<dyn Ring>>,
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

    /// Wakes them all, with one ring.
    fn post_all(&self, wakers: &mut Vec<Waker>) {
        let bell = {
            let mut letters = self.0.lock();
            letters.wakers.append(wakers);
            letters.bell.take()
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }

    /// Rings once what the worker has begun is done: after the tasks that are ready now. Called on the mailbox's worker.
    pub fn ring_after_turn(&self, ring: &Arc<impl Ring + 'static>) {
        let bell = {
            let mut letters = self.0.lock();
            let is_known = |known: &Arc<dyn Ring>| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(ring));
            if letters.rings.iter().any(is_known) {
                return;
            }
            letters.rings.push(ring.clone());
            letters.bell.take()
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }

    /// Delivers for as long as it is polled; never ends.
    pub fn deliver(self: Arc<Self>) -> Deliver {
        Deliver { mailbox: self, wakers: Vec::new(), rings: Vec::new() }
    }
}

/// The future of [`Mailbox::deliver`].
pub struct Deliver {
    mailbox: Arc<Mailbox>,
    /// Empty but while it is polled, as is the next.
    wakers: Vec<Waker>,
    rings: Vec<Arc<dyn Ring>>,
}

impl Future for Deliver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let Deliver { mailbox, wakers, rings } = &mut *self;
        {
            let mut letters = mailbox.0.lock();
            std::mem::swap(&mut letters.wakers, wakers);
            std::mem::swap(&mut letters.rings, rings);
            letters.bell = Some(task.waker().clone());
        }
        for ring in rings.drain(..) {
            ring.ring();
        }
        for waker in wakers.drain(..) {
            waker.wake();
        }
        Poll::Pending
    }
}

/// Wake-ups collected while many answers are given. Sent by [`Wakes::send`], or when dropped.
#[derive(Default)]
pub struct Wakes(Vec<(Arc<Mailbox>, Vec<Waker>)>);

impl Wakes {
    fn add(&mut self, mailbox: &Arc<Mailbox>, waker: Waker) {
        match self.0.iter_mut().find(|(known, _)| Arc::ptr_eq(known, mailbox)) {
            Some((_, wakers)) => wakers.push(waker),
            None => self.0.push((mailbox.clone(), vec![waker])),
        }
    }

    /// Wakes whoever is waiting for the answers given so far.
    pub fn send(&mut self) {
        for (mailbox, wakers) in &mut self.0 {
            if !wakers.is_empty() {
                mailbox.post_all(wakers);
            }
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.send();
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
        if let Some(waker) = self.answer(answer) {
            self.mailbox.post(waker);
        }
    }

    /// Gives the answer; the worker is woken by `wakes`. Any thread.
    pub fn complete_with(mut self, answer: Result<T, EngineError>, wakes: &mut Wakes) {
        if let Some(waker) = self.answer(answer) {
            wakes.add(&self.mailbox, waker);
        }
    }

    /// Leaves the answer; returns whom to wake.
    fn answer(&mut self, answer: Result<T, EngineError>) -> Option<Waker> {
        let shared = self.shared.take()?;
        let mut state = shared.lock();
        match &mut *state {
            State::Waiting(waker) => {
                let waker = waker.take();
                *state = State::Answered(answer);
                waker
            }
            State::Answered(_) | State::Over => None,
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let stopped = || EngineError::new(ErrorKind::OutcomeUnknown, "the engine stopped before it answered");
        if self.shared.is_some()
            && let Some(waker) = self.answer(Err(stopped()))
        {
            self.mailbox.post(waker);
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

#[cfg(test)]
mod tests;
