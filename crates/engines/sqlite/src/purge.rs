//! The purge: removes rows of the table that are expired or flushed, a little at a time.
//!
//! It walks the table in key order with a connection of its own and hands what it found dead to the writer, which looks
//! again before it removes. A walk starts only when something must be dead: the earliest expiry has passed, or a flush
//! is in effect. After a walk that began when no older batch was left in the journal, the flush is forgotten.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_engine::Expiry;
use larder_engine::durable::{AnswerTo, Command, Write};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::kept::{KeyBytes, blob};
use crate::shared::Shared;

/// Rows looked at in one step.
const STEP_ROWS: usize = 1000;
/// Rows removed in one transaction.
const SLICE_ROWS: usize = 256;
/// Rest after a step, in times of what the step took: about a tenth of the time is spent purging.
const REST_FACTOR: u32 = 9;
/// The same while many of the rows are dead.
const REST_FACTOR_BUSY: u32 = 3;
/// Longest rest after a step.
const REST_MAX: Duration = Duration::from_millis(200);

/// Where the purge leaves what it found for the writer.
#[derive(Default)]
pub(crate) struct PurgeDesk {
    state: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Default)]
struct Desk {
    found: Option<Vec<(KeyBytes, u64)>>,
    /// How many the writer removed, or that it could not.
    done: Option<Option<usize>>,
    closed: bool,
    /// The first batch after the last flush.
    flushed_before: u64,
    /// Every batch before this one is folded.
    journal_first: u64,
}

impl PurgeDesk {
    /// Whether there is something for the writer.
    pub fn waits(&self) -> bool {
        self.state.lock().found.is_some()
    }

    /// For the writer: rows to remove if they still have this version.
    pub fn take(&self) -> Option<Vec<(KeyBytes, u64)>> {
        self.state.lock().found.take()
    }

    /// For the writer: so many are removed; `None`: it failed.
    pub fn done(&self, removed: Option<usize>) {
        self.state.lock().done = Some(removed);
        self.changed.notify_all();
    }

    /// For the writer: a flush took effect before batch `seq` is written.
    pub fn flushed(&self, seq: u64) {
        self.state.lock().flushed_before = seq;
    }

    /// For the writer: batches before `first` are folded.
    pub fn journal_begins(&self, first: u64) {
        self.state.lock().journal_first = first;
    }

    /// Ends the purge thread.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    fn rest(&self, time: Duration) -> ControlFlow<()> {
        let mut desk = self.state.lock();
        if !desk.closed {
            self.changed.wait_for(&mut desk, time);
        }
        if desk.closed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn flushes_are_folded(&self) -> bool {
        let desk = self.state.lock();
        desk.journal_first >= desk.flushed_before
    }
}

/// The thread.
pub(crate) struct Purge<'c> {
    shared: Arc<Shared>,
    connection: &'c Connection,
}

/// A row that is dead, or the earliest expiry of those that are not.
struct Step {
    dead: Vec<(KeyBytes, u64)>,
    rows: usize,
    last: Option<KeyBytes>,
    expires_first: u32,
}

impl<'c> Purge<'c> {
    pub fn new(shared: Arc<Shared>, connection: &'c Connection) -> Self {
        Purge { shared, connection }
    }

    /// Works until the desk is closed.
    pub fn run(self) {
        loop {
            self.shared.notice_removal();
            if self.is_due() && self.pass().is_break() {
                return;
            }
            if self.shared.purge.rest(self.shared.connector.options.purge_rest).is_break() {
                return;
            }
        }
    }

    fn is_due(&self) -> bool {
        let first = self.shared.expires_first.load(Ordering::Relaxed);
        first <= self.shared.now().0 || self.forgettable().is_some()
    }

    /// The highest id of a flush that a pass beginning now would make superfluous.
    fn forgettable(&self) -> Option<u64> {
        let flushes = self.shared.flushes.load()?;
        let highest = flushes.in_effect.iter().map(|flush| flush.version).max()?;
        self.shared.purge.flushes_are_folded().then_some(highest)
    }

    fn pass(&self) -> ControlFlow<()> {
        let clock = self.shared.services.clock.clone();
        let forgettable = self.forgettable();
        // Whatever is folded from now on lowers it again; what the walk sees is added at its end.
        self.shared.expires_first.store(u32::MAX, Ordering::Relaxed);
        let mut expires_first = u32::MAX;
        let mut cursor: Option<KeyBytes> = None;
        let mut complete = true;
        loop {
            let began = clock.elapsed();
            self.shared.notice_removal();
            let step = match self.step(cursor.as_deref()) {
                Ok(step) => step,
                Err(error) => {
                    if !self.shared.notice_damage(&error) {
                        let path = self.shared.connector.path.display();
                        tracing::warn!("{path}: the purge cannot read: {error}; will try again");
                    }
                    self.shared.counters.purge_errors.one();
                    self.shared.expires_first.store(0, Ordering::Relaxed);
                    return ControlFlow::Continue(());
                }
            };
            expires_first = expires_first.min(step.expires_first);
            let busy = step.dead.len() * 4 > step.rows;
            for slice in step.dead.chunks(SLICE_ROWS) {
                match self.remove(slice)? {
                    Some(removed) => self.shared.counters.purge_removed.add(removed as u64),
                    None => {
                        self.shared.counters.purge_errors.one();
                        complete = false;
                        // They are still there, and due.
                        expires_first = 0;
                    }
                }
            }
            self.shared.counters.purge_rows.add(step.rows as u64);
            cursor = step.last;
            if cursor.is_none() {
                break;
            }
            let factor = if busy { REST_FACTOR_BUSY } else { REST_FACTOR };
            let took = clock.elapsed() - began;
            self.shared.purge.rest((took * factor).min(REST_MAX))?;
        }
        self.shared.expires_first.fetch_min(expires_first, Ordering::Relaxed);
        self.shared.counters.purge_passes.one();
        if let Some(version) = forgettable.filter(|_| complete) {
            let write = Write { command: Command::ForgetFlushes { version }, answer_to: AnswerTo::Nobody };
            let weight = write.command.weight();
            // Refused when the queue is full: the next pass asks again.
            drop(self.shared.writes.push(write, weight));
        }
        ControlFlow::Continue(())
    }

    fn step(&self, cursor: Option<&[u8]>) -> rusqlite::Result<Step> {
        let now = self.shared.now();
        let flushes = self.shared.flushes.load();
        let mut select = self
            .connection
            .prepare_cached("SELECT key, version, expiry FROM items WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let mut rows = select.query((cursor.unwrap_or_default(), STEP_ROWS as i64))?;
        let mut step = Step { dead: Vec::new(), rows: 0, last: None, expires_first: u32::MAX };
        let mut last = KeyBytes::default();
        while let Some(row) = rows.next()? {
            let key = blob(row, 0)?;
            let version = row.get::<_, i64>(1)? as u64;
            let expiry = Expiry::from_raw(row.get(2)?);
            step.rows += 1;
            let flushed = flushes.as_ref().is_some_and(|flushes| flushes.is_dead(key, version, now));
            if flushed || expiry.is_past(now) {
                step.dead.push((key.into(), version));
            } else if expiry != Expiry::NEVER {
                step.expires_first = step.expires_first.min(expiry.raw());
            }
            if step.rows == STEP_ROWS {
                last = key.into();
            }
        }
        step.last = (step.rows == STEP_ROWS).then_some(last);
        Ok(step)
    }

    /// Hands rows to the writer and waits until it has removed them.
    fn remove(&self, slice: &[(KeyBytes, u64)]) -> ControlFlow<(), Option<usize>> {
        let desk = &self.shared.purge;
        {
            let mut state = desk.state.lock();
            state.done = None;
            state.found = Some(slice.to_vec());
        }
        self.shared.writes.nudge();
        let mut state = desk.state.lock();
        loop {
            if let Some(done) = state.done.take() {
                return ControlFlow::Continue(done);
            }
            if state.closed {
                return ControlFlow::Break(());
            }
            desk.changed.wait(&mut state);
        }
    }
}
