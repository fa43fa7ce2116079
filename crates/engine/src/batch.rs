//! Natural batching: while one batch is on its way, the next collects. No timers.
//!
//! A store whose round trip costs much (an fsync, a network) is fed from a [`BatchQueue`]: callers push, one
//! consumer takes everything that is there, works on it, and takes again. A lone caller waits for nobody; under load
//! batches grow by themselves. The queue is bounded in bytes; full, it refuses, at once or after a wait, so that a store
//! that hangs fills only its own queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::completion::Ring;
use crate::context::Worker;
use crate::error::{EngineError, ErrorKind};
use crate::time::Clock;

/// So many entries wake a waiting consumer before the end of a worker's turn.
const ENTRIES_A_TURN: usize = 32;

/// A bounded queue from many callers to one consumer.
pub struct BatchQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bytes_max: usize,
    patience: Option<Patience>,
}

/// How long entries wait for room, and how many bytes of them.
struct Patience {
    wait: Duration,
    bytes_max: usize,
    clock: Arc<dyn Clock>,
}

struct State<T> {
    entries: VecDeque<(T, usize)>,
    bytes: usize,
    /// Entries for which there is no room yet.
    waiting: VecDeque<Waiting<T>>,
    waiting_bytes: usize,
    consumer_waits: bool,
    nudged: bool,
    closed: bool,
}

struct Waiting<T> {
    entry: T,
    bytes: usize,
    /// On the clock's scale.
    until: Duration,
}

impl<T> State<T> {
    fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        self.entries.is_empty() || self.bytes.saturating_add(bytes) <= bytes_max
    }

    /// Until when another entry may wait, if it may.
    fn may_wait(&self, bytes: usize, patience: &Patience) -> Option<Duration> {
        let now = patience.clock.elapsed();
        let Some(first) = self.waiting.front() else { return Some(now + patience.wait) };
        let fits = self.waiting_bytes.saturating_add(bytes) <= patience.bytes_max;
        // Where the first has waited in vain, the store hangs.
        (fits && first.until > now).then_some(now + patience.wait)
    }

    /// Lets in those that wait, as far as there is room.
    fn admit(&mut self, bytes_max: usize) {
        while self.waiting.front().is_some_and(|first| self.has_room(first.bytes, bytes_max)) {
            let Waiting { entry, bytes, .. } = self.waiting.pop_front().expect("it was just seen");
            self.waiting_bytes -= bytes;
            self.bytes += bytes;
            self.entries.push_back((entry, bytes));
        }
    }
}

/// What an entry met in the queue.
struct Appended {
    consumer_waits: bool,
    /// With it.
    entries: usize,
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

impl<T: Send> BatchQueue<T> {
    /// A queue that holds at most about `bytes_max` bytes, by the weights given to [`BatchQueue::push`].
    pub fn new(bytes_max: usize) -> Self {
        let state = State {
            entries: VecDeque::new(),
            bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            consumer_waits: false,
            nudged: false,
            closed: false,
        };
        BatchQueue { state: Mutex::new(state), filled: Condvar::new(), bytes_max, patience: None }
    }

    /// The same queue, where entries of together `waiting_bytes_max` may wait for room, in their order, for as long as
    /// `wait`: see [`BatchQueue::overdue`].
    pub fn patient(
        bytes_max: usize,
        waiting_bytes_max: usize,
        wait: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let patience = (!wait.is_zero()).then_some(Patience { wait, bytes_max: waiting_bytes_max, clock });
        BatchQueue { patience, ..BatchQueue::new(bytes_max) }
    }

    /// Appends an entry that weighs `bytes`. One entry is taken however heavy it is.
    ///
    /// # Errors
    /// `TryAgain` when full (in a patient queue: when too much waits, or another has waited for its whole time already),
    /// `Unavailable` when closed; the entry comes back.
    pub fn push(&self, entry: T, bytes: usize) -> Result<(), (T, EngineError)> {
        if self.append(entry, bytes)?.consumer_waits {
            self.ring();
        }
        Ok(())
    }

    /// The same, for a caller on `worker`: a consumer that waits is woken when the worker has done what it has, or has
    /// pushed enough to be worth a batch. Woken by the first entry it would work on that one alone, while the
    /// others of the same turn arrive. Nobody waits for a clock.
    ///
    /// # Errors
    /// Those of [`BatchQueue::push`].
    pub fn push_in_turn(
        self: &Arc<Self>,
        worker: &Worker,
        entry: T,
        bytes: usize,
    ) -> Result<(), (T, EngineError)>
    where
        T: Send + 'static,
    {
        let appended = self.append(entry, bytes)?;
        if appended.consumer_waits {
            if appended.entries >= ENTRIES_A_TURN {
                self.ring();
            } else {
                worker.mailbox().ring_after_turn(self);
            }
        }
        Ok(())
    }

    fn append(&self, entry: T, bytes: usize) -> Result<Appended, (T, EngineError)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((entry, EngineError::new(ErrorKind::Unavailable, "the store is closing")));
        }
        if !state.waiting.is_empty() || !state.has_room(bytes, self.bytes_max) {
            let Some(until) = self.patience.as_ref().and_then(|patience| state.may_wait(bytes, patience))
            else {
                return Err((entry, queue_full()));
            };
            state.waiting.push_back(Waiting { entry, bytes, until });
            state.waiting_bytes += bytes;
            return Ok(Appended { consumer_waits: false, entries: state.entries.len() });
        }
        state.bytes += bytes;
        state.entries.push_back((entry, bytes));
        Ok(Appended { consumer_waits: state.consumer_waits, entries: state.entries.len() })
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
        state.admit(self.bytes_max);
        Taken::Batch
    }

    /// Takes out the entries that have waited for room in vain. For the consumer, which answers them [`queue_full`]
    /// whenever it has taken a batch.
    pub fn overdue(&self) -> Vec<T> {
        let mut overdue = Vec::new();
        let Some(patience) = &self.patience else { return overdue };
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            return overdue;
        }
        let now = patience.clock.elapsed();
        while let Some(first) = state.waiting.pop_front_if(|first| first.until <= now) {
            state.waiting_bytes -= first.bytes;
            overdue.push(first.entry);
        }
        overdue
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

    /// Entries and bytes not taken yet, those without room included.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.entries.len() + state.waiting.len(), state.bytes + state.waiting_bytes)
    }

    /// Entries that wait for room.
    pub fn without_room(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

/// What a caller is told for whom there was no room.
pub fn queue_full() -> EngineError {
    EngineError::new(ErrorKind::TryAgain, "the store's queue is full, try again")
}

impl<T: Send> Ring for BatchQueue<T> {
    /// Wakes the consumer if it waits.
    fn ring(&self) {
        if std::mem::take(&mut self.state.lock().consumer_waits) {
            self.filled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
