//! What the engine's threads and its callers share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use larder_engine::batch::BatchQueue;
use larder_engine::durable::{Board, Health, Write};
use larder_engine::{EngineError, Services, Timestamp};
use parking_lot::{Condvar, Mutex};

use crate::counters::Counters;
use crate::database::{Connector, beside};
use crate::error::{Certainty, command_error, is_damage};
use crate::overlay::Overlay;
use crate::purge::PurgeDesk;

/// What clients are told when the file is gone.
pub(crate) const REMOVED: &str = "the data file was removed";

/// See the module.
pub(crate) struct Shared {
    pub services: Services,
    pub connector: Connector,
    /// Commands for the writer.
    pub writes: Arc<BatchQueue<Write>>,
    /// Newest states that are not in the table yet.
    pub overlay: Overlay,
    pub flushes: Board,
    pub published: Published,
    pub counters: Counters,
    /// Held by the writer during a transaction, and by the checkpoint owner while it empties the log.
    pub gate: Mutex<()>,
    pub purge: PurgeDesk,
    pub checkpoint: Bell,
    pub health: Health,
    /// Whether the list of keys in `warm` is from the stop before this start.
    pub warm_list_is_good: bool,
    /// Rows of `items`.
    pub rows: AtomicI64,
    /// Frames in the write-ahead log, as of the last commit.
    pub log_pages: AtomicU64,
    /// Slots of the journal that hold a batch which is not folded.
    pub journal_slots: AtomicU64,
    /// Bytes of the file in use, as of the last time it was asked.
    pub file_bytes: AtomicU64,
    /// The second at which the earliest item of the table expires, as far as known; 0: unknown, look.
    pub expires_first: AtomicU32,
    /// The file or its log has lost its name: what is written now will not be found again.
    pub removed: AtomicBool,
    /// Every thread ends soon; the writer does not fold what is left.
    pub abandoned: AtomicBool,
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    /// Looks whether the file and its log still have their names.
    pub fn notice_removal(&self) {
        let disk = &self.services.disk;
        let is_there = |path: &Path| disk.exists(path).unwrap_or(true);
        let log = beside(&self.connector.path, "-wal");
        let gone = [&*self.connector.path, &*log].into_iter().find(|path| !is_there(path));
        if let Some(gone) = gone
            && !self.removed.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                "{}: was removed while the store was open. Writes are refused: they would be lost. Stop the server, \
                 put the file back or restore a backup, and start again",
                gone.display()
            );
            self.health.bad(REMOVED);
        }
    }

    /// Marks the store as damaged if this error says so, which it then stays; whether it does. The log has it once.
    pub fn notice_damage(&self, error: &rusqlite::Error) -> bool {
        if !is_damage(error) {
            return false;
        }
        if self.health.damaged() {
            tracing::error!(
                "{}: damaged ({error}). What cannot be read is answered with an error, never as a miss. Stop the \
                 server, run `larder check` on the folder, and restore a backup",
                self.connector.path.display()
            );
        }
        true
    }

    /// A failed statement as the answer to a command that changed nothing.
    pub fn failed(&self, error: &rusqlite::Error) -> EngineError {
        self.notice_damage(error);
        command_error(error, Certainty::NothingHappened)
    }

    /// Notes that the table got an item with this expiry.
    pub fn note_expiry(&self, expiry: larder_engine::Expiry) {
        if expiry.raw() != 0 && self.expires_first.load(Ordering::Relaxed) > expiry.raw() {
            self.expires_first.fetch_min(expiry.raw(), Ordering::Relaxed);
        }
    }
}

/// The highest id whose change readers may answer with.
///
/// A long value reaches the table with its commit, a moment before the overlay forgets the older one. A reader that
/// sees it in that moment waits; otherwise the next reader could still be given the older.
#[derive(Default)]
pub(crate) struct Published {
    highest: AtomicU64,
    waiting: Mutex<()>,
    changed: Condvar,
}

impl Published {
    pub fn set(&self, highest: u64) {
        self.highest.store(highest, Ordering::Release);
        // Taken so that no reader falls asleep between its look and this ring.
        drop(self.waiting.lock());
        self.changed.notify_all();
    }

    /// Returns once `version` is published.
    pub fn wait_for(&self, version: u64) {
        if self.highest.load(Ordering::Acquire) >= version {
            return;
        }
        let mut waiting = self.waiting.lock();
        while self.highest.load(Ordering::Acquire) < version {
            self.changed.wait(&mut waiting);
        }
    }
}

/// Rings for a thread that has nothing else to do; a ring is kept until it is heard.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    closed: bool,
}

/// What a bell said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Ring,
    TimedOut,
    Closed,
}

impl Bell {
    pub fn ring(&self) {
        self.state.lock().rung = true;
        self.rung.notify_all();
    }

    pub fn close(&self) {
        self.state.lock().closed = true;
        self.rung.notify_all();
    }

    pub fn wait(&self, patience: Option<std::time::Duration>) -> Heard {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Heard::Closed;
            }
            if std::mem::take(&mut state.rung) {
                return Heard::Ring;
            }
            match patience {
                None => self.rung.wait(&mut state),
                Some(patience) => {
                    if self.rung.wait_for(&mut state, patience).timed_out() && !state.rung && !state.closed {
                        return Heard::TimedOut;
                    }
                }
            }
        }
    }
}
