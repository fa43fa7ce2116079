//! Readers: threads that look items up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_engine::batch::{BatchQueue, Taken};
use larder_engine::completion::{Completer, Wakes};
use larder_engine::durable::{AnswerTo, Command, Flushes, Kept, KeyBytes, Write};
use larder_engine::semantics::{self, Change};
use larder_engine::{EngineError, ErrorKind, Get, Item, ScanOrder, ScanPage, Timestamp, Worker};

use crate::in_flight::Parked;
use crate::scan::Scanner;
use crate::shared::{Order, Shared};

/// Look-ups taken at a time.
const BATCH_MAX: usize = 64;
/// Answers given before the workers that wait for them are woken.
const ANSWERS_A_RING: usize = 16;
/// Bytes of look-ups that may wait for one reader.
const QUEUE_BYTES: usize = 16 << 20;
/// What a look-up weighs besides its key.
const READ_BYTES: usize = 128;

/// A look-up.
pub(crate) struct GetRead {
    pub key: KeyBytes,
    pub get: Get,
    pub now: Timestamp,
    pub done: Completer<Option<Item>>,
}

/// A piece of a scan that is asked for.
pub(crate) struct ScanRead {
    pub order: ScanOrder,
    pub cursor: Option<Vec<u8>>,
    pub bytes_max: usize,
    pub done: Completer<ScanPage>,
}

/// One reader's queue.
struct Desk {
    queue: Arc<BatchQueue<GetRead>>,
    /// Look-ups not answered yet.
    waiting: AtomicUsize,
}

/// The queues of all readers, and of the one thread that scans: a long scan holds up no look-up.
pub(crate) struct Readers {
    desks: Vec<Desk>,
    scans: Arc<BatchQueue<ScanRead>>,
}

impl Readers {
    pub fn new(count: usize) -> Readers {
        let desk = || Desk { queue: Arc::new(BatchQueue::new(QUEUE_BYTES)), waiting: AtomicUsize::new(0) };
        Readers {
            desks: (0..count.max(1)).map(|_| desk()).collect(),
            scans: Arc::new(BatchQueue::new(QUEUE_BYTES)),
        }
    }

    pub fn count(&self) -> usize {
        self.desks.len()
    }

    /// Asks the reader with the fewest look-ups to do, from a worker.
    pub fn get(&self, shared: &Shared, worker: &Worker, read: GetRead) {
        let desk = self.shortest();
        let weight = read.key.len() + READ_BYTES;
        desk.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err((read, error)) = desk.queue.push_in_turn(worker, read, weight) {
            desk.refuse(shared, read, error);
        }
    }

    /// The same from another thread.
    pub fn get_again(&self, shared: &Shared, read: GetRead) {
        let desk = self.shortest();
        let weight = read.key.len() + READ_BYTES;
        desk.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err((read, error)) = desk.queue.push(read, weight) {
            desk.refuse(shared, read, error);
        }
    }

    pub fn scan(&self, shared: &Shared, worker: &Worker, read: ScanRead) {
        if let Err((read, error)) = self.scans.push_in_turn(worker, read, READ_BYTES) {
            shared.counters.queue_refusals.one();
            read.done.complete(Err(error));
        }
    }

    fn shortest(&self) -> &Desk {
        let waiting = |desk: &&Desk| desk.waiting.load(Ordering::Relaxed);
        self.desks.iter().min_by_key(waiting).expect("there is a reader")
    }

    /// Look-ups not answered yet.
    pub fn waiting(&self) -> usize {
        self.desks.iter().map(|desk| desk.waiting.load(Ordering::Relaxed)).sum()
    }

    pub fn close(&self) {
        self.desks.iter().for_each(|desk| desk.queue.close());
        self.scans.close();
    }
}

impl Desk {
    fn refuse(&self, shared: &Shared, read: GetRead, error: EngineError) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        shared.counters.queue_refusals.one();
        read.done.complete(Err(error));
    }
}

/// Thread number `number` of the readers; works until its queue is closed and empty.
pub(crate) fn run(shared: &Shared, number: usize) {
    let desk = &shared.readers.desks[number];
    let _answers_the_rest = CloseOnDrop(&desk.queue, |read: GetRead, error| read.done.complete(Err(error)));
    let mut batch = Vec::new();
    while desk.queue.take(&mut batch, BATCH_MAX, usize::MAX, None) != Taken::Closed {
        // Equal keys are neighbours and cost one file.
        batch.sort_by(|one, other| one.key.cmp(&other.key));
        let mut wakes = Wakes::default();
        let mut last: Option<(KeyBytes, FoundFile)> = None;
        for (index, read) in batch.drain(..).enumerate() {
            let known = last.take().filter(|(key, _)| *key == read.key);
            let (key, found) = known.unwrap_or_else(|| (read.key.clone(), look_up(shared, &read.key)));
            conclude(shared, read, &found, &mut wakes);
            last = Some((key, found));
            desk.waiting.fetch_sub(1, Ordering::Relaxed);
            if index % ANSWERS_A_RING == ANSWERS_A_RING - 1 {
                wakes.send();
            }
        }
    }
}

/// The thread that scans; works until its queue is closed and empty.
pub(crate) fn run_scans(shared: &Shared) {
    let queue = &shared.readers.scans;
    let _answers_the_rest = CloseOnDrop(queue, |read: ScanRead, error| read.done.complete(Err(error)));
    let mut scanner = Scanner::new(shared);
    let mut batch = Vec::new();
    while queue.take(&mut batch, 1, usize::MAX, None) != Taken::Closed {
        for ScanRead { order, cursor, bytes_max, done } in batch.drain(..) {
            done.complete(scanner.page(order, cursor.as_deref(), bytes_max));
        }
    }
}

/// What a file holds, and the flushes from before it was read.
struct FoundFile {
    kept: Result<Option<Kept>, EngineError>,
    flushes: Option<Arc<Flushes>>,
}

fn look_up(shared: &Shared, key: &[u8]) -> FoundFile {
    let flushes = shared.flushes.load();
    FoundFile { kept: shared.read(key), flushes }
}

fn conclude(shared: &Shared, read: GetRead, found: &FoundFile, wakes: &mut Wakes) {
    shared.counters.reads.one();
    let kept = match &found.kept {
        Ok(kept) => kept.as_ref(),
        Err(error) => return read.done.complete_with(Err(error.repeat()), wakes),
    };
    // After the reading: see `in_flight`.
    match shared.in_flight.park(read) {
        Parked::Waits => shared.counters.reads_behind_a_change.one(),
        Parked::Doubtful(read) => read.done.complete_with(Err(in_doubt()), wakes),
        Parked::Free(read) => answer(shared, read, kept, found.flushes.as_deref(), wakes),
    }
}

/// The answer where it is not known what a crash would leave.
pub(crate) fn in_doubt() -> EngineError {
    EngineError::new(ErrorKind::Unavailable, "the data disk failed")
}

/// Answers with the item there is, dead or alive.
pub(crate) fn answer(
    shared: &Shared,
    read: GetRead,
    kept: Option<&Kept>,
    flushes: Option<&Flushes>,
    wakes: &mut Wakes,
) {
    let GetRead { key, get, now, done } = read;
    let kept = kept.filter(|kept| kept.is_alive(&key, flushes, now));
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
            if let Err((Order::Write(write), error)) = shared.writes.push(Order::Write(write), weight) {
                shared.counters.queue_refusals.one();
                write.answer_to.fail(error, wakes);
            }
        }
    }
}

/// However a reader's thread ends, no caller is left waiting.
struct CloseOnDrop<'q, T: Send>(&'q BatchQueue<T>, fn(T, EngineError));

impl<T: Send> Drop for CloseOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        let mut rest = Vec::new();
        while self.0.take(&mut rest, usize::MAX, usize::MAX, None) == Taken::Batch {
            for read in rest.drain(..) {
                (self.1)(read, EngineError::new(ErrorKind::Unavailable, "a reader of the store has stopped"));
            }
        }
    }
}
