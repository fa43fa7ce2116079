//! A lane: a thread with a connection of its own, fed by natural batching.
//!
//! While a lane works on a batch the next collects in its queue. Commands of one key always take the same lane. A lane
//! that waits for a database that hangs holds up its own queue and nothing else; the queue is bounded.

mod decide;
mod pushed;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use larder_engine::batch::{BatchQueue, Taken, queue_full};
use larder_engine::completion::Wakes;
use larder_engine::{EngineError, ErrorKind, Services, Timestamp};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::command::{AnswerTo, Read, Write};
use crate::driver::{Connection, DbError, Late, Target, within};
use crate::failure::Failure;
use crate::statement::{self, Query};
use crate::table::Table;

/// Most commands in a batch.
const BATCH_MAX: usize = 512;
/// About so many bytes in a batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// After so long without commands a lane looks whether the database still answers.
const QUIET: Duration = Duration::from_secs(30);
/// So often it tries again while the database cannot be reached.
const TROUBLED: Duration = Duration::from_secs(1);
/// So often an idle lane looks for flushes that are due.
const IDLE: Duration = Duration::from_millis(200);
/// After so many failures to connect, commands fail at once.
const FAILURES_MAX: u32 = 5;
/// For so long; then the next command tries again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What all lanes of a cluster share.
pub(crate) struct Shared {
    pub services: Services,
    pub target: Target,
    pub retry: u32,
    pub ids: Ids,
    pub reads: Vec<Arc<BatchQueue<Read>>>,
    pub writes: Vec<Arc<BatchQueue<Write>>>,
    pub tables: Mutex<Vec<Arc<Table>>>,
    pub health: Health,
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }
}

/// Whether the database can be reached, as of the last try.
#[derive(Default)]
pub(crate) struct Health {
    trouble: Mutex<Option<String>>,
    /// Failures to connect in a row, of all lanes.
    failures: AtomicU32,
}

impl Health {
    fn good(&self, name: &str) {
        self.failures.store(0, Ordering::Relaxed);
        if self.trouble.lock().take().is_some() {
            tracing::info!("cluster `{name}`: connected again");
        }
    }

    /// Notes a failure; a new one is logged, the same again is not.
    fn bad(&self, name: &str, error: &DbError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        let mut trouble = self.trouble.lock();
        if trouble.as_deref() != Some(text.as_str()) {
            tracing::error!("cluster `{name}`: cannot connect: {text}");
            *trouble = Some(text);
        }
    }

    pub fn check(&self) -> Result<(), EngineError> {
        match self.trouble.lock().clone() {
            None => Ok(()),
            Some(cause) => Err(EngineError::caused(ErrorKind::Unavailable, "database unavailable", cause)),
        }
    }
}

/// Gives CAS ids: 41 bits of milliseconds, 10 of the server's number, 12 that count. Never 0, always growing.
pub(crate) struct Ids {
    node: u64,
}

/// The last id given by this process, whatever the cluster: one that is opened again goes on behind it.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// 2020-01-01 in milliseconds of Unix time.
const EPOCH_MS: u64 = 1_577_836_800_000;
const COUNT_BITS: u32 = 12;
const NODE_BITS: u32 = 10;

impl Ids {
    pub fn new(node: u16) -> Self {
        Ids { node: u64::from(node) << COUNT_BITS }
    }

    /// An id larger than all given so far.
    pub fn next(&self, since_epoch: Duration) -> u64 {
        let ms = (since_epoch.as_millis() as u64).saturating_sub(EPOCH_MS);
        let first_of = |ms: u64| (ms << (COUNT_BITS + NODE_BITS)) | self.node;
        let mut last = LAST_ID.load(Ordering::Relaxed);
        loop {
            let counted_out = last & ((1 << COUNT_BITS) - 1) == (1 << COUNT_BITS) - 1;
            let after = match counted_out {
                true => first_of((last >> (COUNT_BITS + NODE_BITS)) + 1),
                false => last + 1,
            };
            let id = after.max(first_of(ms)).max(1);
            match LAST_ID.compare_exchange_weak(last, id, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return id,
                Err(newer) => last = newer,
            }
        }
    }
}

/// See the module.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    /// Until then commands fail at once, on the clock's scale.
    retry_at: Duration,
}

/// The event loop of one lane.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Lane {
    pub fn new(shared: Arc<Shared>) -> Self {
        Lane { shared, connection: None, retry_at: Duration::ZERO }
    }

    /// Where its database is.
    pub(crate) fn target(&self) -> &Target {
        &self.shared.target
    }

    /// Reads until the queue is closed. The first lane also looks after the database while nobody asks, so that it is known
    /// to be back, or gone, without a command that needs it.
    pub fn run_reads(mut self, runtime: &Runtime, queue: &BatchQueue<Read>, is_first: bool) {
        let mut batch = Vec::new();
        loop {
            let rest = if self.shared.health.check().is_ok() { QUIET } else { TROUBLED };
            match queue.take(&mut batch, BATCH_MAX, BATCH_BYTES_MAX, is_first.then_some(rest)) {
                Taken::Closed => break,
                Taken::TimedOut => runtime.block_on(self.look_after()),
                Taken::Batch => runtime.block_on(self.read_batch(std::mem::take(&mut batch))),
            }
            let mut wakes = Wakes::default();
            queue.overdue().into_iter().for_each(|read| read.fail(queue_full(), &mut wakes));
        }
        runtime.block_on(async { drop(self.connection.take()) });
    }

    /// Writes until the queue is closed. The first lane also carries out flushes whose time has come while nobody asks.
    pub fn run_writes(mut self, runtime: &Runtime, queue: &BatchQueue<Write>, is_first: bool) {
        let mut batch = Vec::new();
        loop {
            let waits =
                is_first && self.shared.tables.lock().iter().any(|table| !table.flushes.all().is_empty());
            match queue.take(&mut batch, BATCH_MAX, BATCH_BYTES_MAX, waits.then_some(IDLE)) {
                Taken::Closed => break,
                Taken::TimedOut => runtime.block_on(self.flush_idle()),
                Taken::Batch => runtime.block_on(self.write_batch(std::mem::take(&mut batch))),
            }
            let mut wakes = Wakes::default();
            queue.overdue().into_iter().for_each(|write| write.answer_to.give(Err(queue_full()), &mut wakes));
        }
        runtime.block_on(async { drop(self.connection.take()) });
    }

    /// The lane's connection, made anew if need be. Whoever takes it gives it back by [`Lane::give_back`].
    pub(crate) async fn take_connection(&mut self) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let shared = &self.shared;
        let unavailable =
            || Failure::NotConnected(EngineError::new(ErrorKind::Unavailable, "database unavailable"));
        if shared.services.clock.elapsed() < self.retry_at {
            return Err(unavailable());
        }
        match Connection::open(&shared.target).await {
            Ok(connection) => {
                shared.health.good(&shared.target.name);
                Ok(connection)
            }
            Err(error) => {
                shared.health.bad(&shared.target.name, &error);
                if shared.health.failures.load(Ordering::Relaxed) >= FAILURES_MAX {
                    self.retry_at = shared.services.clock.elapsed() + RETRY_AFTER;
                }
                Err(unavailable())
            }
        }
    }

    /// Keeps the connection for the next batch, unless it is broken or in the middle of something.
    pub(crate) async fn give_back<T>(
        &mut self,
        mut connection: Connection,
        outcome: &Result<T, Failure>,
        in_transaction: bool,
    ) {
        let keep = match outcome {
            Ok(_) => true,
            Err(Failure::Database(error)) if error.class != crate::dialect::Class::Lost => {
                let patience = self.shared.target.statement_timeout;
                !in_transaction || within(patience, connection.command("ROLLBACK")).await.is_ok()
            }
            Err(_) => false,
        };
        if keep {
            self.connection = Some(connection);
        }
    }

    /// Asks the database for a sign of life. One lost connection may have been its fault; without a second it is down.
    async fn look_after(&mut self) {
        let alive = Query { text: "SELECT 1".into(), parameters: Vec::new(), answers_rows: true };
        for _attempt in 0..2 {
            if self.run_all(std::slice::from_ref(&alive)).await.is_ok() {
                return;
            }
        }
    }

    /// Runs statements outside a transaction.
    async fn run_all(&mut self, queries: &[Query]) -> Result<Vec<crate::driver::Answered>, Failure> {
        let mut connection = self.take_connection().await?;
        let patience = self.shared.target.statement_timeout;
        let outcome = within(patience, connection.run_all(queries)).await.map_err(|late| match late {
            Late::Failed(error) => Failure::Database(error),
            Late::TimedOut => Failure::TimedOut,
        });
        self.give_back(connection, &outcome, false).await;
        outcome
    }

    /// Carries out the flushes of a table that are due. What comes after sees their effect.
    async fn flush_due(&mut self, table: &Arc<Table>) -> Result<(), Failure> {
        let now = self.shared.now();
        if !table.flushes.is_due(now) {
            return Ok(());
        }
        let gate = table.clone();
        let _gate = gate.flush_gate.lock().await;
        for flush in table.flushes.due(now) {
            self.flush_now(table, &flush.0).await?;
            table.flushes.done(&flush);
        }
        Ok(())
    }

    async fn flush_now(&mut self, table: &Table, prefix: &[u8]) -> Result<(), Failure> {
        if !table.flush_from_db {
            return Ok(());
        }
        let removed = self.run_all(&[statement::flush(&table.plan(), prefix)]).await?;
        let removed = removed.first().map_or(0, |answered| answered.affected);
        table.rows.fetch_sub(removed as i64, Ordering::Relaxed);
        Ok(())
    }

    async fn flush_idle(&mut self) {
        let tables = self.shared.tables.lock().clone();
        for table in tables {
            if let Err(failure) = self.flush_due(&table).await {
                let name = &table.plan().container.name;
                tracing::error!("container `{name}`: a flush whose time has come failed: {failure:?}");
            }
        }
    }
}

/// Answers the same error to all.
fn fail_all(answers: impl Iterator<Item = AnswerTo>, error: &EngineError) {
    let mut wakes = Wakes::default();
    answers.for_each(|answer_to| answer_to.give(Err(error.repeat()), &mut wakes));
}
