//! Natural batching: while one batch is on its way, the next collects. No timers.
//!
//! A store whose round trip costs much (an fsync, a network) is fed from a [`BatchQueue`]: callers push, one
//! consumer takes everything that is there, works on it, and takes again. A lone caller waits for nobody; under load
//! batches grow by themselves. The queue is bounded in bytes; full, it refuses, so that a store that hangs fills only
//! its own queue.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{EngineError, ErrorKind};

/// A bounded queue from many callers to one consumer.
pub struct BatchQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bytes_max: usize,
}

struct State<T> {
    entries: VecDeque<(T, usize)>,
    bytes: usize,
    consumer_waits: bool,
    nudged: bool,
    closed: bool,
}

/// How a wait for a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// There is something in the batch.
    Batch,
    /// Nothing came in time.
    TimedOut,
    /// The queue was closed and is empty.
    Closed,
}

impl<T> BatchQueue<T> {
    /// A queue that holds at most about `bytes_max` bytes, by the weights given to [`BatchQueue::push`].
    pub fn new(bytes_max: usize) -> Self {
        let state =
            State { entries: VecDeque::new(), bytes: 0, consumer_waits: false, nudged: false, closed: false };
        BatchQueue { state: Mutex::new(state), filled: Condvar::new(), bytes_max }
    }

    /// Appends an entry that weighs `bytes`. One entry is taken however heavy it is.
    ///
    /// # Errors
    /// `TryAgain` when full, `Unavailable` when closed; the entry comes back.
    pub fn push(&self, entry: T, bytes: usize) -> Result<(), (T, EngineError)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((entry, EngineError::new(ErrorKind::Unavailable, "the store is closing")));
        }
        if state.bytes.saturating_add(bytes) > self.bytes_max && !state.entries.is_empty() {
            return Err((
                entry,
                EngineError::new(ErrorKind::TryAgain, "the store's queue is full, try again"),
            ));
        }
        state.bytes += bytes;
        state.entries.push_back((entry, bytes));
        if std::mem::take(&mut state.consumer_waits) {
            drop(state);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves what is there into `batch`, in order, up to `count_max` entries and about `bytes_max` bytes; waits for
    /// the first entry at most `patience` (`None`: as long as it takes).
    pub fn take(
        &self,
        batch: &mut Vec<T>,
        count_max: usize,
        bytes_max: usize,
        patience: Option<Duration>,
    ) -> Taken {
        let mut state = self.state.lock();
        while state.entries.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            if std::mem::take(&mut state.nudged) {
                return Taken::TimedOut;
            }
            state.consumer_waits = true;
            let timed_out = match patience {
                None => {
                    self.filled.wait(&mut state);
                    false
                }
                Some(patience) => self.filled.wait_for(&mut state, patience).timed_out(),
            };
            if timed_out && state.entries.is_empty() && !state.closed {
                state.consumer_waits = false;
                return Taken::TimedOut;
            }
        }
        state.consumer_waits = false;
        let mut taken_bytes = 0usize;
        while batch.len() < count_max {
            match state.entries.front() {
                Some((_, bytes)) if batch.is_empty() || taken_bytes.saturating_add(*bytes) <= bytes_max => {
                    taken_bytes += bytes;
                }
                _ => break,
            }
            let (entry, bytes) = state.entries.pop_front().expect("the front was just seen");
            state.bytes -= bytes;
            batch.push(entry);
        }
        Taken::Batch
    }

    /// Wakes the consumer without an entry: its wait ends as if the patience had run out.
    pub fn nudge(&self) {
        self.state.lock().nudged = true;
        self.filled.notify_one();
    }

    /// Refuses further entries; the consumer gets what is left, then [`Taken::Closed`].
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }

    /// Entries and bytes waiting.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.entries.len(), state.bytes)
    }
}

#[cfg(test)]
mod tests;
