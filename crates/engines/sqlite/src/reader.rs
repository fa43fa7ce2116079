//! Readers: threads that look up in the table what is not in memory, many keys to a read transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use larder_engine::batch::{BatchQueue, Taken};
use larder_engine::completion::{Completer, Wakes};
use larder_engine::durable::{AnswerTo, Command, Flushes, Write};
use larder_engine::semantics::{self, Change};
use larder_engine::{EngineError, ErrorKind, Get, Item, ScanOrder, ScanPage, Timestamp, Worker};
use rusqlite::{Connection, OptionalExtension, Statement};

use crate::kept::{self, COLUMNS, Kept, KeyBytes};
use crate::scan;
use crate::shared::Shared;

/// Look-ups in one read transaction.
const BATCH_MAX: usize = 256;
/// Answers given before the workers that wait for them are woken.
const ANSWERS_A_RING: usize = 16;
/// Bytes of look-ups that may wait for one reader.
const QUEUE_BYTES: usize = 32 << 20;
/// What a look-up weighs besides its key.
const READ_BYTES: usize = 128;
/// Look-ups that may wait for a reader before the next one is woken.
const CROWD: usize = 64;
/// A reader that has been busy with one batch for so long is waiting for the disk: others are preferred.
const STUCK_MICROSECONDS: u64 = 300;

/// What a reader is asked.
pub(crate) enum Read {
    Get(Box<GetRead>),
    Scan { order: ScanOrder, cursor: Option<Vec<u8>>, bytes_max: usize, done: Completer<ScanPage> },
}

/// A look-up that the overlay did not answer.
pub(crate) struct GetRead {
    pub key: KeyBytes,
    pub get: Get,
    pub now: Timestamp,
    pub done: Completer<Option<Item>>,
}

/// One reader's queue, and how it is doing.
pub(crate) struct Desk {
    pub queue: Arc<BatchQueue<Read>>,
    waiting: AtomicUsize,
    /// When the batch in work was begun, in microseconds of the clock; 0: none.
    busy_since: AtomicU64,
    failed: AtomicBool,
}

/// All readers.
pub(crate) struct Readers {
    pub desks: Vec<Arc<Desk>>,
}

impl Readers {
    pub fn new(count: usize) -> Self {
        let desk = || Desk {
            queue: Arc::new(BatchQueue::new(QUEUE_BYTES)),
            waiting: AtomicUsize::new(0),
            busy_since: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        };
        Readers { desks: (0..count.max(1)).map(|_| Arc::new(desk())).collect() }
    }

    /// Asks the first reader that is not crowded: few awake readers make large batches and few wake-ups.
    pub fn get(&self, shared: &Shared, worker: &Worker, read: GetRead) {
        let desk = if self.desks.len() == 1 { &self.desks[0] } else { self.pick(shared) };
        let weight = read.key.len() + READ_BYTES;
        desk.push(shared, worker, Read::Get(Box::new(read)), weight);
    }

    fn pick(&self, shared: &Shared) -> &Arc<Desk> {
        let now = shared.services.clock.elapsed().as_micros() as u64;
        let is_free = |desk: &&Arc<Desk>| {
            let since = desk.busy_since.load(Ordering::Relaxed);
            let stuck = since != 0 && now.saturating_sub(since) > STUCK_MICROSECONDS;
            !stuck && desk.waiting.load(Ordering::Relaxed) < CROWD
        };
        let shortest = || self.desks.iter().min_by_key(|desk| desk.waiting.load(Ordering::Relaxed));
        self.desks.iter().find(is_free).or_else(shortest).expect("there is a reader")
    }

    /// Asks the last reader, which look-ups prefer least.
    pub fn scan(
        &self,
        shared: &Shared,
        worker: &Worker,
        order: ScanOrder,
        cursor: Option<Vec<u8>>,
        bytes_max: usize,
        done: Completer<ScanPage>,
    ) {
        let desk = self.desks.last().expect("there is a reader");
        desk.push(shared, worker, Read::Scan { order, cursor, bytes_max, done }, READ_BYTES);
    }

    pub fn close(&self) {
        for desk in &self.desks {
            desk.queue.close();
        }
    }
}

impl Desk {
    fn push(&self, shared: &Shared, worker: &Worker, read: Read, weight: usize) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err((read, error)) = self.queue.push_in_turn(worker, read, weight) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.counters.queue_refusals.one();
            read.fail(error);
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Read {
    fn fail(self, error: EngineError) {
        match self {
            Read::Get(read) => read.done.complete(Err(error)),
            Read::Scan { done, .. } => done.complete(Err(error)),
        }
    }
}

/// A reader's thread.
pub(crate) struct Reader<'c> {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    connection: &'c Connection,
    begin: Statement<'c>,
    end: Statement<'c>,
    select: Statement<'c>,
}

impl<'c> Reader<'c> {
    pub fn new(shared: Arc<Shared>, desk: Arc<Desk>, connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Reader {
            shared,
            desk,
            connection,
            begin: connection.prepare("BEGIN")?,
            end: connection.prepare("COMMIT")?,
            select: connection.prepare(&format!("SELECT {COLUMNS} FROM items WHERE key = ?1"))?,
        })
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        let desk = self.desk.clone();
        let _answers_the_rest = CloseOnDrop(&desk);
        let mut batch = Vec::new();
        let mut gets = Vec::new();
        while desk.queue.take(&mut batch, BATCH_MAX, usize::MAX, None) != Taken::Closed {
            desk.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            let now = self.shared.services.clock.elapsed().as_micros() as u64;
            desk.busy_since.store(now.max(1), Ordering::Relaxed);
            for read in batch.drain(..) {
                match read {
                    Read::Get(get) => gets.push(*get),
                    Read::Scan { order, cursor, bytes_max, done } => {
                        let page = scan::page(&self.shared, self.connection, order, cursor, bytes_max);
                        if page.is_err() {
                            self.shared.counters.read_errors.one();
                        }
                        done.complete(page);
                    }
                }
            }
            self.look_up(&mut gets);
            desk.busy_since.store(0, Ordering::Relaxed);
        }
    }

    /// Answers look-ups. Equal keys are neighbours after sorting and cost one SELECT.
    fn look_up(&mut self, gets: &mut Vec<GetRead>) {
        if gets.is_empty() {
            return;
        }
        self.shared.counters.table_read_batches.one();
        self.shared.counters.table_reads.add(gets.len() as u64);
        if gets.len() == 1 {
            let flushes = self.shared.flushes.load();
            let get = gets.pop().expect("there is one");
            let kept = self.select(&get.key);
            self.answer(get, &kept, flushes.as_deref(), &mut Wakes::default());
            return;
        }
        gets.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let flushes = self.shared.flushes.load();
        let begun = self.begin.execute([]);
        let mut last: Option<(KeyBytes, rusqlite::Result<Option<Kept>>)> = None;
        let mut wakes = Wakes::default();
        for (number, get) in gets.drain(..).enumerate() {
            let known = last.take().filter(|(key, _)| *key == get.key);
            let (key, kept) = known.unwrap_or_else(|| (get.key.clone(), self.select(&get.key)));
            self.answer(get, &kept, flushes.as_deref(), &mut wakes);
            last = Some((key, kept));
            if number % ANSWERS_A_RING == ANSWERS_A_RING - 1 {
                wakes.send();
            }
        }
        if begun.is_ok()
            && let Err(error) = self.end.execute([])
        {
            tracing::warn!("{}: cannot end a read: {error}", self.shared.connector.path.display());
        }
    }

    fn select(&mut self, key: &[u8]) -> rusqlite::Result<Option<Kept>> {
        self.shared.counters.selects.one();
        let found = self.select.query_row([key], |row| kept::from_row(row, 0)).optional();
        match &found {
            Ok(Some(kept)) => self.shared.published.wait_for(kept.version),
            Ok(None) => {}
            Err(error) => {
                self.shared.counters.read_errors.one();
                if !self.shared.notice_damage(error) && !self.desk.failed.swap(true, Ordering::Relaxed) {
                    tracing::error!("{}: cannot read: {error}", self.shared.connector.path.display());
                }
                return found;
            }
        }
        self.desk.failed.store(false, Ordering::Relaxed);
        found
    }

    fn answer(
        &self,
        read: GetRead,
        kept: &rusqlite::Result<Option<Kept>>,
        flushes: Option<&Flushes>,
        wakes: &mut Wakes,
    ) {
        let GetRead { key, get, now, done } = read;
        let kept = match kept {
            Ok(kept) => kept.as_ref().filter(|kept| kept.is_alive(&key, flushes, now)),
            Err(error) => {
                return done.complete_with(Err(self.shared.failed(error)), wakes);
            }
        };
        let current = kept.map(Kept::current);
        match semantics::get(current.as_ref(), &get, 0, now) {
            None => done.complete_with(Ok(None), wakes),
            Some(seen) if seen.change == Change::None => {
                let kept = kept.expect("a hit that changes nothing found an item");
                done.complete_with(Ok(Some(kept.item(seen.found))), wakes);
            }
            // A token is to be handed out: that is the writer's to decide.
            Some(_) => {
                let write = Write { command: Command::Get { key, get }, answer_to: AnswerTo::Item(done) };
                let weight = write.command.weight();
                if let Err((write, error)) = self.shared.writes.push(write, weight) {
                    self.shared.counters.queue_refusals.one();
                    write.answer_to.fail(error, wakes);
                }
            }
        }
    }
}

struct CloseOnDrop<'d>(&'d Desk);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.queue.close();
        let mut rest = Vec::new();
        while self.0.queue.take(&mut rest, usize::MAX, usize::MAX, None) == Taken::Batch {
            for read in rest.drain(..) {
                read.fail(EngineError::new(ErrorKind::Unavailable, "a reader of the store has stopped"));
            }
        }
    }
}
