//! The writer: the one thread that decides what changes and names files.
//!
//! It takes what has arrived, decides every command in order, brings the outcome to the disk, shows it to readers, and
//! answers; meanwhile the next batch collects. Files of a batch are written and synced side by side (`crate::hands`), and each folder
//! is synced once for all that was named in it.

mod apply;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_engine::batch::{Taken, queue_full};
use larder_engine::completion::Wakes;
use larder_engine::durable::{
    Answer, AnswerTo, Command, Decided, Decider, Flushes, Ids, Kept, KeyBytes, Latest, Newest, Plan, Write,
};
use larder_engine::{EngineError, ErrorKind};

use crate::error::{client_text, nothing_changed, unknown};
use crate::hands::Hands;
use crate::item::{self, Problem};
use crate::opening::sync_folder;
use crate::reader;
use crate::shared::{Order, REMOVED, Shared};
use crate::state::{self, State, Stopped};

use apply::{Changes, Fate};

/// Most commands in a batch.
const BATCH_COMMANDS_MAX: usize = 512;
/// Most bytes of commands in a batch (one longer command is taken alone).
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Answers given before the workers that wait for them are woken.
const ANSWERS_A_RING: usize = 256;
/// Ids reserved at a time.
const IDS_RESERVED: u64 = 1_000_000;

/// See the module.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    hands: Hands,
    ids: Ids,
    flushes: Flushes,
    doubts: Doubts,
}

/// What was named, while it is not known whether it is durable. Nothing is decided until it is.
#[derive(Default)]
struct Doubts {
    /// The file `state`.
    state: bool,
    /// Keys by their shard.
    keys: BTreeMap<u8, Vec<KeyBytes>>,
}

/// What is in the store before a batch.
struct Files<'s>(&'s Shared);

impl Newest for Files<'_> {
    fn newest(&mut self, key: &KeyBytes) -> Result<Option<Kept>, EngineError> {
        self.0.read(key)
    }
}

/// Why a batch was not begun.
enum Stuck {
    /// Nothing changed.
    Before(std::io::Error),
    /// The state may have changed, and with it the flushes; nothing else has.
    InDoubt(std::io::Error),
}

impl Writer {
    /// Takes possession of a store: reserves ids and takes the mark of a clean stop away, which shows that the folder can
    /// be written.
    pub fn start(shared: Arc<Shared>, hands: Hands, found: &State) -> std::io::Result<Writer> {
        let ids = Ids { next: found.ids_reserved, reserved: found.ids_reserved + IDS_RESERVED };
        let mut writer =
            Writer { shared, hands, ids, flushes: found.flushes.clone(), doubts: Doubts::default() };
        let flushes = writer.flushes.clone();
        match writer.write_state(writer.ids.reserved, &flushes, None) {
            Ok(()) => Ok(writer),
            Err(Stuck::Before(error) | Stuck::InDoubt(error)) => Err(error),
        }
    }

    /// Works until the queue is closed and empty, then marks the stop as clean, unless the store is abandoned.
    pub fn run(mut self) -> Result<(), EngineError> {
        let shared = self.shared.clone();
        // However this thread ends, no caller is left waiting.
        let _answers_the_rest = CloseOnDrop(&shared);
        let mut batch = Vec::new();
        loop {
            let waits = !self.flushes.waiting.is_empty() || self.doubts.any();
            let patience = waits.then_some(shared.options.idle_rest);
            match shared.writes.take(&mut batch, BATCH_COMMANDS_MAX, BATCH_BYTES_MAX, patience) {
                Taken::Batch => {
                    self.serve(&mut batch);
                    self.refuse_overdue();
                }
                Taken::TimedOut => self.idle(),
                Taken::Closed => break,
            }
        }
        if shared.abandoned.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.finish()
    }

    /// Tells those who have waited for room in the queue for too long.
    fn refuse_overdue(&self) {
        let mut wakes = Wakes::default();
        for order in self.shared.writes.overdue() {
            self.shared.counters.queue_refusals.one();
            match order {
                Order::Write(write) => write.answer_to.fail(queue_full(), &mut wakes),
                // See `serve`.
                Order::Purge { done, .. } => {
                    let _ = done.send(None);
                }
            }
        }
    }

    /// Nothing has arrived for a moment.
    fn idle(&mut self) {
        if self.doubts.any() && self.settle_doubts().is_err() {
            return;
        }
        if self.flushes.is_due(self.shared.now()) {
            // A batch without commands puts the flush into effect.
            self.serve_commands(Vec::new());
        }
    }

    fn serve(&mut self, batch: &mut Vec<Order>) {
        let mut commands = Vec::new();
        for order in batch.drain(..) {
            match order {
                Order::Write(Write { command: Command::KeepWarmList { keys }, answer_to }) => {
                    let kept = self.keep_warm_list(&keys).map(|()| Answer::WarmList);
                    answer_to.give(kept.map_err(|error| nothing_changed(&error)), &mut Wakes::default());
                }
                Order::Write(write) => commands.push(write),
                Order::Purge { found, done } => {
                    // What came before it comes before it.
                    self.serve_commands(std::mem::take(&mut commands));
                    // The purge waits for as long as it takes; if its thread is gone nobody misses the answer.
                    let _ = done.send(self.purge(found));
                }
            }
        }
        if !commands.is_empty() {
            self.serve_commands(commands);
        }
    }

    /// Decides commands, brings what they change to the disk, and answers.
    fn serve_commands(&mut self, mut commands: Vec<Write>) {
        let shared = self.shared.clone();
        let began = shared.services.clock.elapsed();
        if let Err(error) = self.may_write() {
            return refuse(commands, || error.repeat());
        }
        let plan = Plan::new(shared.now(), self.flushes.clone(), self.ids);
        let value_bytes_max = shared.options.value_bytes_max();
        let mut decider = Decider { source: Files(&shared), plan, value_bytes_max };
        decider.flush_what_is_due();
        let mut answers: Vec<Decided> = commands.iter().map(|write| decider.decide(&write.command)).collect();
        let plan = decider.plan;
        // Also if nothing comes of it: no id is given twice.
        self.ids.next = plan.ids.next;
        if shared.options.answers_before_sync() {
            let mut wakes = Wakes::default();
            for (write, answer) in commands.iter_mut().zip(answers.drain(..)) {
                std::mem::replace(&mut write.answer_to, AnswerTo::Nobody).give(answer, &mut wakes);
            }
            answers.extend(commands.iter().map(|_| Ok(Answer::Nothing)));
        }
        if let Err(stuck) = self.keep_up_state(&plan) {
            return self.fail(commands, stuck);
        }
        let changes = living(plan);
        let fates = if changes.is_empty() { Changes::default() } else { self.apply(changes) };
        if !commands.is_empty() {
            shared.counters.commit(commands.len(), shared.services.clock.elapsed() - began);
        }
        give(commands, answers, &fates);
    }

    /// Whether commands can be taken; the error is the answer to them.
    fn may_write(&mut self) -> Result<(), EngineError> {
        if self.shared.removed.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Unavailable, REMOVED));
        }
        if self.doubts.any() {
            self.settle_doubts().map_err(|error| nothing_changed(&error))?;
        }
        Ok(())
    }

    /// Brings ids and flushes of a batch to the disk, where they need it: before its items, so that what is decided upon a
    /// flush never outlives it.
    fn keep_up_state(&mut self, plan: &Plan) -> Result<(), Stuck> {
        if !plan.flushes_changed && self.ids.next <= self.ids.reserved {
            return Ok(());
        }
        let reserved = match self.ids.next > self.ids.reserved {
            true => self.ids.next + IDS_RESERVED,
            false => self.ids.reserved,
        };
        self.write_state(reserved, &plan.flushes, None)?;
        self.ids.reserved = reserved;
        self.flushes = plan.flushes.clone();
        self.shared.flushes.publish(self.flushes.clone());
        Ok(())
    }

    fn write_state(
        &mut self,
        ids_reserved: u64,
        flushes: &Flushes,
        stopped: Option<Stopped>,
    ) -> Result<(), Stuck> {
        let Shared { layout, options, .. } = &*self.shared;
        let state = State { ids_reserved, flushes: flushes.clone(), stopped };
        layout.replace(self.shared.disk(), &layout.state, &state.encode()).map_err(Stuck::Before)?;
        let synced = sync_folder(self.shared.disk(), options, &layout.folder);
        self.doubts.state = synced.is_err();
        synced.map_err(Stuck::InDoubt)
    }

    /// Answers a batch of which no item was touched.
    fn fail(&mut self, commands: Vec<Write>, stuck: Stuck) {
        self.shared.counters.commit_errors.one();
        let mut wakes = Wakes::default();
        let (error, is_in_doubt) = match stuck {
            Stuck::Before(error) => (error, false),
            Stuck::InDoubt(error) => (error, true),
        };
        self.report_health(Some(&error));
        for write in commands {
            let is_flush = matches!(write.command, Command::Flush { .. });
            let answer = if is_flush && is_in_doubt { unknown(&error) } else { nothing_changed(&error) };
            write.answer_to.fail(answer, &mut wakes);
        }
    }

    /// Tries again to make durable what was named. The error says why it cannot.
    fn settle_doubts(&mut self) -> std::io::Result<()> {
        let shared = self.shared.clone();
        if self.doubts.state {
            // Not simply a sync: the file may hold what callers were told is not known to be.
            let flushes = self.flushes.clone();
            match self.write_state(self.ids.reserved, &flushes, None) {
                Ok(()) => {}
                Err(Stuck::Before(error) | Stuck::InDoubt(error)) => return Err(error),
            }
        }
        while let Some(entry) = self.doubts.keys.first_entry() {
            sync_folder(shared.disk(), &shared.options, &shared.layout.shard(*entry.key()))?;
            for key in entry.remove() {
                shared.in_flight.settle(&key);
            }
        }
        self.report_health(None);
        Ok(())
    }

    /// Removes items that are still as the purge found them; how many, or `None` if it failed.
    fn purge(&mut self, found: Vec<(KeyBytes, u64)>) -> Option<usize> {
        let shared = self.shared.clone();
        self.may_write().ok()?;
        let now = shared.now();
        let mut dead = Vec::new();
        for (key, version) in found {
            let path = shared.layout.item(&key);
            match item::read_line(shared.disk(), &path) {
                Ok(Some((line, _))) if line.version == version => {
                    if line.expiry.is_past(now) || self.flushes.is_dead(&key, version, now) {
                        dead.push((key, Latest::Gone(version)));
                    }
                }
                Ok(_) => {}
                Err(problem @ Problem::Damaged(_)) => drop(shared.failed(&path, problem)),
                Err(Problem::Disk(_)) => return None,
            }
        }
        let count = dead.len();
        let fates = self.apply(dead);
        fates.values().all(|fate| matches!(fate, Fate::Done)).then_some(count)
    }

    fn keep_warm_list(&self, keys: &[Box<[u8]>]) -> std::io::Result<()> {
        let layout = &self.shared.layout;
        layout.replace(self.shared.disk(), &layout.warm, &state::encode_warm(keys))
    }

    /// Says so, once, when the disk stops or begins to take writes.
    fn report_health(&self, error: Option<&std::io::Error>) {
        let folder = self.shared.layout.folder.display();
        match error {
            Some(error) => {
                if self.shared.health.bad(client_text(error)) {
                    tracing::error!("{folder}: cannot write: {error}; commands are refused until it can");
                }
            }
            None if self.shared.removed.load(Ordering::Relaxed) => {}
            None => {
                if self.shared.health.good() {
                    tracing::info!("{folder}: takes writes again");
                }
            }
        }
    }

    /// Marks the stop as clean.
    fn finish(&mut self) -> Result<(), EngineError> {
        let shared = self.shared.clone();
        let number = |number: &std::sync::atomic::AtomicI64| number.load(Ordering::Relaxed).max(0) as u64;
        let shards = (0u8..=u8::MAX).zip(shared.shards.iter());
        let stopped = Stopped {
            expires_first: shared.expires_first.load(Ordering::Relaxed),
            shards: shards
                .map(|(shard, at)| (shard, number(&at.items), number(&at.bytes)))
                .filter(|(_, items, bytes)| *items > 0 || *bytes > 0)
                .collect(),
        };
        let outcome = match self.settle_doubts() {
            Ok(()) => self.write_state(self.ids.next, &self.flushes.clone(), Some(stopped)),
            Err(error) => Err(Stuck::Before(error)),
        };
        outcome.map_err(|(Stuck::Before(error) | Stuck::InDoubt(error))| {
            let folder = shared.layout.folder.display();
            tracing::error!("{folder}: cannot mark the stop as clean: {error}");
            nothing_changed(&error)
        })
    }
}

impl Doubts {
    fn any(&self) -> bool {
        self.state || !self.keys.is_empty()
    }
}

/// What a batch leaves of each key. An item that a later flush of the same batch takes is never written: a purge that is
/// under way would not see it, and the flush be forgotten before it is there.
fn living(plan: Plan) -> Vec<(KeyBytes, Latest)> {
    let Plan { now, changes, flushes, .. } = plan;
    let lives = |(key, latest): (KeyBytes, Latest)| match latest {
        Latest::Item(kept) if flushes.is_dead(&key, kept.version, now) => (key, Latest::Gone(kept.version)),
        latest => (key, latest),
    };
    changes.into_iter().map(lives).collect()
}

fn refuse(commands: Vec<Write>, error: impl Fn() -> EngineError) {
    let mut wakes = Wakes::default();
    for write in commands {
        write.answer_to.fail(error(), &mut wakes);
    }
}

/// Answers the commands of a batch. What was decided upon a change that did not happen did not happen either.
fn give(commands: Vec<Write>, answers: Vec<Decided>, fates: &Changes) {
    let mut wakes = Wakes::default();
    for (number, (write, answer)) in commands.into_iter().zip(answers).enumerate() {
        let answer = match write.command.key().and_then(|key| fates.get(key)) {
            None | Some(Fate::Done) => answer,
            Some(Fate::Nothing(error)) => Err(nothing_changed(error)),
            Some(Fate::Unknown(error)) => Err(unknown(error)),
        };
        write.answer_to.give(answer, &mut wakes);
        if number % ANSWERS_A_RING == ANSWERS_A_RING - 1 {
            wakes.send();
        }
    }
}

struct CloseOnDrop<'s>(&'s Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let stopped = || EngineError::new(ErrorKind::Unavailable, "the store's writer has stopped");
        self.0.writes.close();
        let mut rest = Vec::new();
        while self.0.writes.take(&mut rest, usize::MAX, usize::MAX, None) == Taken::Batch {
            for order in rest.drain(..) {
                if let Order::Write(write) = order {
                    write.answer_to.fail(stopped(), &mut Wakes::default());
                }
            }
        }
        for read in self.0.in_flight.abandon() {
            read.done.complete(Err(reader::in_doubt()));
        }
        if std::thread::panicking() {
            self.0.health.bad("the store's writer has stopped");
        }
    }
}
