//! The purge: removes the files of items that are expired or flushed, a little at a time.
//!
//! It walks the folders, reads the last line of each file, and hands what it found dead to the writer, which looks again
//! before it removes. A walk starts only when something must be dead: the first expiry has passed, or a flush is in
//! effect. After a walk without a fault the flushes from before it are forgotten. The first walk after a crash counts.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use larder_engine::Expiry;
use larder_engine::durable::{AnswerTo, Command, KeyBytes, Write};

use crate::item::{self, Problem};
use crate::names::SHARDS;
use crate::shared::{Order, Shared};

/// Files looked at in one step, and removed at most.
const STEP_FILES: usize = 256;
/// Rest after a step, in times of what the step took: about a tenth of the time is spent purging.
const REST_FACTOR: u32 = 9;
/// The same while many of the items are dead.
const REST_FACTOR_BUSY: u32 = 3;
/// Longest rest after a step.
const REST_MAX: Duration = Duration::from_millis(200);

/// The thread.
pub(crate) struct Purge {
    shared: Arc<Shared>,
    /// Cut off when the purge is to end.
    goes_on: Receiver<()>,
}

/// A walk through all folders.
struct Walk {
    /// The first expiry of what lives.
    expires_first: u32,
    /// Whether everything dead was removed.
    is_complete: bool,
}

/// What a step found in a piece of a folder.
#[derive(Default)]
struct Step {
    dead: Vec<(KeyBytes, u64)>,
    bytes: u64,
}

impl Purge {
    pub fn new(shared: Arc<Shared>, goes_on: Receiver<()>) -> Purge {
        Purge { shared, goes_on }
    }

    /// Works until it is cut off.
    pub fn run(self) {
        loop {
            self.shared.notice_removal();
            if self.is_due() && self.pass().is_break() {
                return;
            }
            if self.rest(self.shared.options.purge_rest).is_break() {
                return;
            }
        }
    }

    fn rest(&self, time: Duration) -> ControlFlow<()> {
        match self.goes_on.recv_timeout(time) {
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
            Ok(()) | Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
        }
    }

    fn is_due(&self) -> bool {
        let first = self.shared.expires_first.load(Ordering::Relaxed);
        first <= self.shared.now().0 || self.forgettable().is_some()
    }

    /// The highest id of a flush that a pass beginning now would make superfluous.
    fn forgettable(&self) -> Option<u64> {
        self.shared.flushes.load()?.in_effect.iter().map(|flush| flush.version).max()
    }

    fn pass(&self) -> ControlFlow<()> {
        let forgettable = self.forgettable();
        // Whatever is written from now on lowers it again; what the walk sees is added at its end.
        self.shared.expires_first.store(u32::MAX, Ordering::Relaxed);
        let mut walk = Walk { expires_first: u32::MAX, is_complete: true };
        for shard in 0..SHARDS {
            self.walk_shard(shard as u8, &mut walk)?;
        }
        // What is still there is due.
        let expires_first = if walk.is_complete { walk.expires_first } else { 0 };
        self.shared.expires_first.fetch_min(expires_first, Ordering::Relaxed);
        self.shared.counters.purge_passes.one();
        if let Some(version) = forgettable.filter(|_| walk.is_complete) {
            let write = Write { command: Command::ForgetFlushes { version }, answer_to: AnswerTo::Nobody };
            let weight = write.command.weight();
            // Refused when the queue is full: the next pass asks again.
            drop(self.shared.writes.push(Order::Write(write), weight));
        }
        ControlFlow::Continue(())
    }

    fn walk_shard(&self, shard: u8, walk: &mut Walk) -> ControlFlow<()> {
        let clock = &self.shared.services.clock;
        let mut began = clock.elapsed();
        let names = match self.shared.list(shard) {
            Ok(names) => names,
            Err(error) => {
                self.fail(&error, walk);
                return ControlFlow::Continue(());
            }
        };
        let mut bytes = 0;
        for piece in names.chunks(STEP_FILES) {
            let step = self.step(shard, piece, walk);
            bytes += step.bytes;
            let is_busy = step.dead.len() * 4 > piece.len();
            if !step.dead.is_empty() {
                self.remove(step.dead, walk)?;
            }
            let took = clock.elapsed() - began;
            let factor = if is_busy { REST_FACTOR_BUSY } else { REST_FACTOR };
            self.rest((took * factor).min(REST_MAX))?;
            began = clock.elapsed();
        }
        // Of what changed meanwhile it knows nothing: a number for the eye.
        self.shared.shards[usize::from(shard)].bytes.store(bytes as i64, Ordering::Relaxed);
        ControlFlow::Continue(())
    }

    fn step(&self, shard: u8, names: &[String], walk: &mut Walk) -> Step {
        let shared = &self.shared;
        let folder = shared.layout.shard(shard);
        let flushes = shared.flushes.load();
        let mut step = Step::default();
        for name in names {
            let path = folder.join(name);
            shared.counters.purge_files.one();
            let (line, bytes) = match item::read_line(shared.disk(), &path) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(Problem::Damaged(what)) => {
                    shared.notice_damage(&path, &what);
                    continue;
                }
                Err(Problem::Disk(error)) => {
                    self.fail(&error, walk);
                    continue;
                }
            };
            let now = shared.now();
            let is_flushed =
                flushes.as_ref().is_some_and(|flushes| flushes.is_dead(&line.key, line.version, now));
            if is_flushed || line.expiry.is_past(now) {
                step.dead.push((line.key.into(), line.version));
                continue;
            }
            step.bytes += bytes;
            if line.expiry != Expiry::NEVER {
                walk.expires_first = walk.expires_first.min(line.expiry.raw());
            }
        }
        step
    }

    /// Hands items to the writer and waits until it has removed them.
    fn remove(&self, dead: Vec<(KeyBytes, u64)>, walk: &mut Walk) -> ControlFlow<()> {
        let (done, answer) = sync_channel(1);
        let weight = dead.iter().map(|(key, _)| key.len()).sum();
        let is_taken = self.shared.writes.push(Order::Purge { found: dead, done }, weight).is_ok();
        match answer.recv() {
            Ok(Some(removed)) => self.shared.counters.purge_removed.add(removed as u64),
            Ok(None) => {
                self.shared.counters.purge_errors.one();
                walk.is_complete = false;
            }
            // The queue is full: the next pass finds them again.
            Err(_) if !is_taken => walk.is_complete = false,
            // The writer has stopped.
            Err(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn fail(&self, error: &std::io::Error, walk: &mut Walk) {
        if self.shared.counters.purge_errors.get() == 0 {
            let folder = self.shared.layout.folder.display();
            tracing::warn!("{folder}: the purge cannot read: {error}; will try again");
        }
        self.shared.counters.purge_errors.one();
        walk.is_complete = false;
    }
}
