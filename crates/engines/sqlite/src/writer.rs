//! The writer: the one thread that changes the file.
//!
//! It takes what has arrived, decides every command in order, writes the outcome into the journal, commits, makes it
//! visible, and answers; meanwhile the next batch collects. Between batches, or along with them when there is much,
//! it folds the journal into the table and carries out what the purge has found.

mod fold;
mod sorter;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use larder_engine::batch::{Taken, queue_full};
use larder_engine::completion::Wakes;
use larder_engine::durable::{Answer, AnswerTo, Command, Decider, Flushes, Ids, Newest, Plan, Write};
use larder_engine::{EngineError, ErrorKind};
use rusqlite::{Connection, ErrorCode};

use crate::checkpoint;
use crate::error::{Certainty, DAMAGED, client_text, command_error};
use crate::journal::Slots;
use crate::kept::{Kept, KeyBytes, Latest};
use crate::overlay::Publish;
use crate::record::Encoder;
use crate::schema;
use crate::shared::{REMOVED, Shared};

use fold::{Slice, Sweep};
use sorter::Sorter;
use statements::{Statements, Upserted};

/// Most commands in a transaction.
const BATCH_COMMANDS_MAX: usize = 4096;
/// Most bytes of commands in a transaction (one longer command is taken alone).
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Answers given before the workers that wait for them are woken.
const ANSWERS_A_RING: usize = 256;
/// Ids reserved in the file at a time.
const IDS_RESERVED: u64 = 1_000_000;
/// How long the writer is without work before it folds what is left.
const IDLE: Duration = Duration::from_millis(50);
/// How long it waits for work between two slices of that.
const IDLE_BREATH: Duration = Duration::from_millis(2);
/// How often an idle writer looks whether a delayed flush is due. (Readers obey it at its second, done or not.)
const FLUSH_LOOK: Duration = Duration::from_millis(500);
/// How long folding rests after it failed.
const FOLD_REST: Duration = Duration::from_secs(1);

/// What the writer found in the file when it was opened.
pub(crate) struct Start {
    /// The first id that may be used.
    pub id_first: u64,
    /// The number of the next batch.
    pub seq_next: u64,
    /// The first batch that is not folded.
    pub journal_first: u64,
    pub slots: Slots,
    pub flushes: Flushes,
}

pub(crate) struct Writer<'c> {
    shared: Arc<Shared>,
    connection: &'c Connection,
    statements: Statements<'c>,
    ids: Ids,
    /// Number of the next batch.
    seq: u64,
    flushes: Flushes,
    slots: Slots,
    /// Keys that should have been folded along with batches and were not yet.
    fold_debt: f64,
    /// Journal rows may exist from this number on.
    journal_first: u64,
    sorter: Sorter,
    sweep: Option<Sweep>,
    /// When folding may be tried again after it failed, on the clock's scale.
    fold_after: Option<Duration>,
    /// Rows of the purge's are part of the open transaction.
    purges: bool,
    /// Memory of the last journal blob, for the next.
    spare: Vec<u8>,
}

/// What is in the store before a batch: the overlay, and the table below it.
struct Rows<'w, 'c> {
    shared: &'w Shared,
    statements: &'w mut Statements<'c>,
}

impl Newest for Rows<'_, '_> {
    fn newest(&mut self, key: &KeyBytes) -> Result<Option<Kept>, EngineError> {
        match self.shared.overlay.look(key, |latest| latest.cloned()) {
            Some(Latest::Item(kept)) => Ok(Some(kept)),
            Some(Latest::Gone(_)) => Ok(None),
            None => {
                self.shared.counters.selects.one();
                let found = self.statements.select(key);
                found.map_err(|error| self.shared.failed(&error))
            }
        }
    }
}

/// A transaction that was rolled back.
struct Failure {
    error: rusqlite::Error,
    certainty: Certainty,
}

impl Failure {
    fn before_commit(error: rusqlite::Error) -> Self {
        Failure { error, certainty: Certainty::NothingHappened }
    }
}

/// Commits once, which shows that the file can be written: ids are reserved and the mark of a clean stop is taken away.
pub(crate) fn take_possession(connection: &Connection, start: &Start) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         UPDATE meta SET value = {} WHERE name = '{}';
         UPDATE meta SET value = 0 WHERE name = '{}';
         COMMIT",
        start.id_first + IDS_RESERVED,
        schema::META_IDS,
        schema::META_CLEAN
    ))
}

/// The writer's thread, after [`take_possession`].
pub(crate) fn run(shared: Arc<Shared>, connection: &Connection, start: Start) -> Result<(), EngineError> {
    // However this thread ends, no caller is left waiting.
    let _answers_the_rest = CloseOnDrop(&shared);
    let path = shared.connector.path.display();
    let statements = Statements::new(connection).map_err(|error| {
        tracing::error!("{path}: the writer could not start: {error}");
        shared.health.bad(client_text(&error));
        shared.failed(&error)
    })?;
    let sorter = Sorter::start().map_err(|error| {
        let text = "the store's writer could not start a thread";
        tracing::error!("{path}: {text}: {error}");
        shared.health.bad(text);
        EngineError::caused(ErrorKind::Unavailable, text, error)
    })?;
    let writer = Writer {
        shared: shared.clone(),
        connection,
        statements,
        ids: Ids { next: start.id_first, reserved: start.id_first + IDS_RESERVED },
        seq: start.seq_next,
        flushes: start.flushes,
        slots: start.slots,
        fold_debt: 0.0,
        journal_first: start.journal_first,
        sorter,
        sweep: None,
        fold_after: None,
        purges: false,
        spare: Vec::new(),
    };
    writer.run()
}

impl Writer<'_> {
    /// Works until the queue is closed and empty, then folds what is left, unless the store is abandoned.
    fn run(mut self) -> Result<(), EngineError> {
        let shared = self.shared.clone();
        self.measure();
        let mut batch = Vec::new();
        let mut is_idle = false;
        loop {
            let patience = self.patience(is_idle);
            match shared.writes.take(&mut batch, BATCH_COMMANDS_MAX, BATCH_BYTES_MAX, patience) {
                Taken::Batch => {
                    is_idle = false;
                    self.serve(&mut batch);
                    self.refuse_overdue();
                }
                Taken::TimedOut => is_idle = self.idle(),
                Taken::Closed => break,
            }
            self.keep_up();
        }
        if shared.abandoned.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        self.finish()
    }

    /// Tells those who have waited for room in the queue for too long.
    fn refuse_overdue(&self) {
        let mut wakes = Wakes::default();
        for write in self.shared.writes.overdue() {
            self.shared.counters.queue_refusals.one();
            write.answer_to.fail(queue_full(), &mut wakes);
        }
    }

    fn serve(&mut self, batch: &mut Vec<Write>) {
        let is_warm_list = |write: &mut Write| matches!(write.command, Command::KeepWarmList { .. });
        let warm: Vec<Write> = batch.extract_if(.., is_warm_list).collect();
        let commands = std::mem::take(batch);
        let mut wakes = Wakes::default();
        if let Some(why) = self.refusal() {
            for write in commands {
                write.answer_to.fail(EngineError::new(ErrorKind::Unavailable, why), &mut wakes);
            }
        } else if !commands.is_empty() {
            self.serve_commands(commands);
        }
        for write in warm {
            let Command::KeepWarmList { keys } = &write.command else { continue };
            let outcome = self.transact(|writer| writer.keep_warm_list(keys));
            let answer = match outcome {
                Ok(()) => Ok(Answer::WarmList),
                Err(failure) => Err(command_error(&failure.error, failure.certainty)),
            };
            write.answer_to.give(answer, &mut wakes);
        }
    }

    /// Why nothing can be taken at the moment, if so.
    fn refusal(&self) -> Option<&'static str> {
        if self.shared.removed.load(std::sync::atomic::Ordering::Relaxed) {
            return Some(REMOVED);
        }
        self.is_stuck().then_some(match self.shared.health.is_damaged() {
            true => DAMAGED,
            false => "the data disk does not take what was written before",
        })
    }

    fn serve_commands(&mut self, mut commands: Vec<Write>) {
        let slice = self.slice_size(commands.len());
        let mut outcome = self.commit(&mut commands, slice);
        let nothing_happened = |failure: &Failure| failure.certainty == Certainty::NothingHappened;
        if outcome.as_ref().is_err_and(nothing_happened) && slice > 0 {
            // The commands may fit where the folding does not. (A commit whose outcome nobody knows stays unknown, however
            // a second one ends.)
            self.rest_from_folding();
            outcome = self.commit(&mut commands, 0);
        }
        match outcome {
            Ok(answers) => {
                self.report_health(None);
                let mut wakes = Wakes::default();
                for (number, (write, answer)) in commands.into_iter().zip(answers).enumerate() {
                    write.answer_to.give(answer, &mut wakes);
                    if number % ANSWERS_A_RING == ANSWERS_A_RING - 1 {
                        wakes.send();
                    }
                }
            }
            Err(failure) => self.fail(commands, &failure),
        }
    }

    /// A long value that does not fit must not take the others with it: they are tried without it, then each alone.
    fn fail(&mut self, commands: Vec<Write>, failure: &Failure) {
        let long = self.shared.connector.options.large_value_bytes;
        let has_long = commands.iter().any(|write| write.command.value_length() > long);
        if failure.certainty == Certainty::NothingHappened && has_long && commands.len() > 1 {
            let (long, short): (Vec<Write>, Vec<Write>) =
                commands.into_iter().partition(|write| write.command.value_length() > long);
            if !short.is_empty() {
                self.serve_commands(short);
            }
            for write in long {
                self.serve_commands(vec![write]);
            }
            return;
        }
        self.shared.counters.commit_errors.one();
        self.report_health(Some(&failure.error));
        let mut wakes = Wakes::default();
        for write in commands {
            write.answer_to.fail(command_error(&failure.error, failure.certainty), &mut wakes);
        }
    }

    /// Decides, writes, commits, publishes. With the answers nothing is left to do but to give them.
    fn commit(
        &mut self,
        commands: &mut [Write],
        slice_size: usize,
    ) -> Result<Vec<Result<Answer, EngineError>>, Failure> {
        let shared = self.shared.clone();
        let began = shared.services.clock.elapsed();
        let _gate = shared.gate.lock();
        self.statements.begin().map_err(Failure::before_commit)?;
        let source = Rows { shared: &shared, statements: &mut self.statements };
        let value_bytes_max = shared.connector.options.value_bytes_max();
        let plan = Plan::new(shared.now(), self.flushes.clone(), self.ids);
        let mut decider = Decider { source, plan, value_bytes_max };
        decider.flush_what_is_due();
        let mut answers: Vec<_> = commands.iter().map(|write| decider.decide(&write.command)).collect();
        let plan = decider.plan;
        self.ids.next = plan.ids.next;
        if plan.changes.is_empty() && !plan.flushes_changed && self.ids.next <= self.ids.reserved {
            self.roll_back();
            return Ok(answers);
        }
        let written = self.write(&shared, &plan, slice_size);
        if shared.connector.options.answers_before_commit() {
            let mut wakes = Wakes::default();
            for (write, answer) in commands.iter_mut().zip(answers.drain(..)) {
                std::mem::replace(&mut write.answer_to, AnswerTo::Nobody).give(answer, &mut wakes);
            }
        }
        let (slice, slots_taken) = self.end(written)?;
        self.publish(&shared, plan, slice, slots_taken);
        shared.counters.commit(commands.len(), shared.services.clock.elapsed() - began);
        Ok(answers)
    }

    /// Everything a batch writes, before the commit. The slice of folding comes first: what the batch puts into the
    /// table is newer.
    fn write(&mut self, shared: &Shared, plan: &Plan, slice_size: usize) -> rusqlite::Result<(Slice, usize)> {
        let mut slice = Slice::default();
        if slice_size > 0 {
            self.fold_slice(&plan.flushes, slice_size, &mut slice)?;
        }
        self.purge_slice(&mut slice)?;
        let long = shared.connector.options.large_value_bytes;
        let mut encoder = Encoder::new(std::mem::take(&mut self.spare));
        for (key, latest) in &plan.changes {
            match latest {
                Latest::Item(kept) if kept.value.len() > long => {
                    if self.statements.upsert(key, kept)? == Upserted::Inserted {
                        slice.rows_added += 1;
                    }
                    encoder.in_table(key, kept.version);
                }
                latest => encoder.latest(key, latest),
            }
        }
        let mut slots_taken = 0;
        if !encoder.is_empty() {
            let batch = encoder.finish();
            slots_taken = self.statements.journal(&self.slots, self.seq, &batch)?;
            self.spare = batch;
        }
        if plan.flushes_changed {
            self.statements.set_flushes(&plan.flushes)?;
        }
        if self.ids.next > self.ids.reserved {
            self.statements.reserve_ids(self.ids.next + IDS_RESERVED)?;
        }
        self.write_row_count(&slice)?;
        Ok((slice, slots_taken))
    }

    fn write_row_count(&mut self, slice: &Slice) -> rusqlite::Result<()> {
        if slice.rows_added != 0 {
            let rows = self.shared.rows.load(std::sync::atomic::Ordering::Relaxed);
            self.statements.set_items(rows + slice.rows_added)?;
        }
        Ok(())
    }

    /// Commits what was written, or rolls it back.
    fn end<T>(&mut self, written: rusqlite::Result<T>) -> Result<T, Failure> {
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                self.roll_back();
                return Err(Failure::before_commit(error));
            }
        };
        if let Err(error) = self.statements.commit() {
            // A full disk is noticed while pages are written, before the frame that makes them a commit.
            let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            let certainty = if full { Certainty::NothingHappened } else { Certainty::Unknown };
            self.roll_back();
            return Err(Failure { error, certainty });
        }
        Ok(written)
    }

    fn roll_back(&mut self) {
        if std::mem::take(&mut self.purges) {
            self.shared.purge.done(None);
        }
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.statements.rollback() {
            tracing::error!("{}: cannot roll back: {error}", self.shared.connector.path.display());
        }
    }

    fn publish(&mut self, shared: &Shared, plan: Plan, slice: Slice, slots_taken: usize) {
        if self.ids.next > self.ids.reserved {
            self.ids.reserved = self.ids.next + IDS_RESERVED;
        }
        if plan.flushes_changed {
            self.flushes = plan.flushes;
            // Before the items: see `flushes::Board`.
            shared.flushes.publish(self.flushes.clone());
        }
        let long = shared.connector.options.large_value_bytes;
        let seq = self.seq;
        let wrote_row = !plan.changes.is_empty();
        let mut large = 0;
        let changes = plan.changes.into_iter().map(|(key, latest)| match latest {
            Latest::Item(kept) if kept.value.len() > long => {
                large += 1;
                shared.note_expiry(kept.expiry);
                (key, Publish::InTable)
            }
            latest => (key, Publish::Latest(latest)),
        });
        shared.overlay.publish(seq, changes);
        shared.counters.large_values.add(large);
        shared.published.set(self.ids.next - 1);
        if wrote_row {
            self.slots.take(seq, slots_taken);
            self.seq += 1;
            self.note_slots();
        }
        if plan.flushed {
            shared.purge.flushed(self.seq);
        }
        self.settle(slice);
    }

    fn note_slots(&self) {
        let count = self.slots.in_use() as u64;
        self.shared.journal_slots.store(count, std::sync::atomic::Ordering::Relaxed);
    }

    /// Notes how much is in the file, for statistics.
    fn measure(&self) {
        let shared = &self.shared;
        self.note_slots();
        let pages =
            |pragma: &str| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        // A number for the eye: if it cannot be had now, the last one stays.
        if let (Ok(all), Ok(free)) = (pages("page_count"), pages("freelist_count")) {
            let bytes = (all - free).max(0) as u64 * checkpoint::PAGE_BYTES;
            shared.file_bytes.store(bytes, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Runs `work` in a transaction of its own.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, Failure> {
        let shared = self.shared.clone();
        let _gate = shared.gate.lock();
        self.statements.begin().map_err(Failure::before_commit)?;
        let written = work(self);
        self.end(written)
    }

    fn keep_warm_list(&mut self, keys: &[Box<[u8]>]) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM warm", [])?;
        let mut insert = self.connection.prepare("INSERT INTO warm(position, key) VALUES(?1, ?2)")?;
        for (position, key) in keys.iter().enumerate() {
            insert.execute((position as i64, &key[..]))?;
        }
        Ok(())
    }

    /// Says so, once, when the file stops or begins to take writes.
    fn report_health(&self, error: Option<&rusqlite::Error>) {
        let path = self.shared.connector.path.display();
        match error {
            Some(error) => {
                let is_damage = self.shared.notice_damage(error);
                if self.shared.health.bad(client_text(error)) && !is_damage {
                    tracing::error!(
                        "{path}: cannot write: {error}; commands that write are refused until it can"
                    );
                }
            }
            None => {
                if self.shared.health.good() {
                    tracing::info!("{path}: takes writes again");
                }
            }
        }
    }

    /// Folds everything and marks the stop as clean.
    fn finish(&mut self) -> Result<(), EngineError> {
        let outcome = self.fold_all().and_then(|()| {
            self.transact(|writer| {
                let reserved = writer.ids.next as i64;
                let update = "UPDATE meta SET value = ?2 WHERE name = ?1";
                writer.connection.execute(update, (schema::META_IDS, reserved))?;
                // So that the next start has nothing to read, and the pages can be used for items.
                writer.connection.execute("DELETE FROM journal", [])?;
                writer.connection.execute(update, (schema::META_CLEAN, schema::CLEAN_STOP)).map(drop)
            })
        });
        outcome.map_err(|failure| {
            let path = self.shared.connector.path.display();
            tracing::error!("{path}: cannot bring the journal into the table: {}", failure.error);
            EngineError::caused(
                ErrorKind::Unavailable,
                client_text(&failure.error),
                format!("{path}: {}", failure.error),
            )
        })
    }
}

struct CloseOnDrop<'s>(&'s Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.writes.close();
        self.0.published.set(u64::MAX);
        let mut rest: Vec<Write> = Vec::new();
        while self.0.writes.take(&mut rest, usize::MAX, usize::MAX, None) == Taken::Batch {
            for write in rest.drain(..) {
                let text = "the store's writer has stopped";
                let error = EngineError::new(ErrorKind::Unavailable, text);
                write.answer_to.fail(error, &mut Wakes::default());
            }
        }
        if std::thread::panicking() {
            self.0.health.bad("the store's writer has stopped");
        }
    }
}
