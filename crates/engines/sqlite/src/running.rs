//! A store at work: its threads, from the start to the stop.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;

use larder_engine::batch::BatchQueue;
use larder_engine::disk::Disk;
use larder_engine::durable::{Board, Flush, Flushes, Health};
use larder_engine::{EngineError, ErrorKind, Services};
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::checkpoint;
use crate::counters::Counters;
use crate::database::{self, Connector};
use crate::error::{DAMAGED, OpenError};
use crate::header;
use crate::journal;
use crate::kept::blob;
use crate::options::{self, SqliteOptions};
use crate::overlay::{Overlay, Publish};
use crate::purge::Purge;
use crate::reader::{Reader, Readers};
use crate::record::{self, Record};
use crate::schema;
use crate::shared::{REMOVED, Shared};
use crate::writer::{self, Start};

/// A log of up to so many pages is copied into the file at the start.
const MARK_PAGES_MAX: u64 = 256;

type WriterThread = JoinHandle<Result<(), EngineError>>;

/// See the module.
pub(crate) struct Running {
    pub shared: Arc<Shared>,
    pub readers: Arc<Readers>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: WriterThread,
    readers: Vec<JoinHandle<()>>,
    checkpoint: JoinHandle<()>,
    purge: JoinHandle<()>,
    /// Held until the last thread has ended.
    _lock: Box<dyn Any + Send + Sync>,
}

/// Takes the lock of a store.
pub(crate) fn lock(
    disk: &dyn Disk,
    options: &SqliteOptions,
) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let lock = options.lock_path();
    disk.lock(&lock).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked { folder: options.folder.clone(), lock },
        _ => OpenError::disk(lock, error),
    })
}

/// What is read from the file before the threads start.
struct Loaded {
    start: Start,
    overlay: Overlay,
    rows: i64,
    warm_list_is_good: bool,
}

impl Running {
    pub fn start(services: Services, options: SqliteOptions) -> Result<Running, OpenError> {
        database::check_library()?;
        let disk = services.disk.clone();
        // A file of somebody else's is refused before so much as a lock file is made beside it.
        header::read(&*disk, &options.path())?;
        database::make_folder(&*disk, &options)?;
        let lock = lock(&*disk, &options)?;
        database::prepare(&services, &options)?;
        let path: Arc<Path> = options.path().into();
        let connector = Connector { disk: disk.clone(), options: Arc::new(options), path: path.clone() };
        let failed = |error| OpenError::sqlite(&*path, error);
        let mut connection = connector.writer().map_err(failed)?;
        database::check_tables(&connection, &path)?;
        schema::migrate(&connection).map_err(failed)?;
        let loaded = load(&connection, &path)?;
        let Loaded { start, overlay, rows, warm_list_is_good } = loaded;
        let shared = Arc::new(Shared {
            writes: Arc::new(BatchQueue::patient(
                connector.options.queue_bytes,
                connector.options.queue_bytes.saturating_mul(options::WAITING_FACTOR),
                connector.options.queue_wait,
                services.clock.clone(),
            )),
            services,
            overlay,
            flushes: Board::default(),
            published: Default::default(),
            counters: Counters::default(),
            gate: Mutex::default(),
            purge: Default::default(),
            checkpoint: Default::default(),
            health: Health::new(DAMAGED),
            warm_list_is_good,
            rows: AtomicI64::new(rows),
            log_pages: AtomicU64::new(0),
            journal_slots: AtomicU64::new(start.slots.in_use() as u64),
            file_bytes: AtomicU64::new(0),
            expires_first: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            connector,
        });
        shared.flushes.publish(start.flushes.clone());
        shared.published.set(start.id_first - 1);
        shared.purge.flushed(start.seq_next);
        shared.purge.journal_begins(start.journal_first);
        watch_log(&shared, &mut connection).map_err(failed)?;
        writer::take_possession(&connection, &start).map_err(failed)?;
        // The log exists from the first commit on; with this its name is durable, and that of the file.
        database::sync_folder(&*disk, &shared.connector.options)?;
        mark_file(&shared, &connection);
        Running::spawn(shared, connection, start, lock)
    }

    fn spawn(
        shared: Arc<Shared>,
        connection: Connection,
        start: Start,
        lock: Box<dyn Any + Send + Sync>,
    ) -> Result<Running, OpenError> {
        let path = shared.connector.path.clone();
        let failed = |error| OpenError::sqlite(&*path, error);
        let readers = Arc::new(Readers::new(shared.connector.options.readers));
        let mut reader_connections = Vec::new();
        for _ in &readers.desks {
            reader_connections.push(shared.connector.reader().map_err(failed)?);
        }
        let purge_connection = shared.connector.reader().map_err(failed)?;
        let checkpoint_connection = shared.connector.checkpointer().map_err(failed)?;
        let spawned = |name: &str, error| OpenError::disk(format!("thread {name}"), error);
        let mut reader_threads = Vec::new();
        for (desk, connection) in readers.desks.iter().zip(reader_connections) {
            let (shared, desk) = (shared.clone(), desk.clone());
            let name = "larder-read";
            let thread = spawn(name, move || match Reader::new(shared.clone(), desk, &connection) {
                Ok(reader) => reader.run(),
                Err(error) => stopped(&shared, "a reader", &error),
            });
            reader_threads.push(thread.map_err(|error| spawned(name, error))?);
        }
        let purge = spawn("larder-purge", {
            let shared = shared.clone();
            move || Purge::new(shared, &purge_connection).run()
        });
        let checkpoint = spawn("larder-checkpoint", {
            let shared = shared.clone();
            move || checkpoint::run(&shared, &checkpoint_connection)
        });
        let writer = spawn("larder-write", {
            let shared = shared.clone();
            move || writer::run(shared, &connection, start)
        });
        let threads = Threads {
            writer: writer.map_err(|error| spawned("larder-write", error))?,
            readers: reader_threads,
            checkpoint: checkpoint.map_err(|error| spawned("larder-checkpoint", error))?,
            purge: purge.map_err(|error| spawned("larder-purge", error))?,
            _lock: lock,
        };
        Ok(Running { shared, readers, threads: Mutex::new(Some(threads)) })
    }

    /// Stops in order; the log is copied into the file and removed.
    pub fn close(&self) -> Result<(), EngineError> {
        let shared = &self.shared;
        shared.notice_removal();
        self.stop()?;
        if shared.removed.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Unavailable, REMOVED));
        }
        let path = shared.connector.path.display();
        let emptied = shared.connector.last().and_then(|connection| checkpoint::copy_beside(&connection));
        emptied.map_err(|error| {
            tracing::error!("{path}: cannot copy the write-ahead log into the file: {error}");
            EngineError::caused(
                ErrorKind::Unavailable,
                "the data file could not be brought up to date; the next start does it",
                error.to_string(),
            )
        })
    }

    fn stop(&self) -> Result<(), EngineError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        let shared = &self.shared;
        shared.purge.close();
        let mut sound = threads.purge.join().is_ok();
        shared.writes.close();
        let written = threads.writer.join();
        self.readers.close();
        for reader in threads.readers {
            sound &= reader.join().is_ok();
        }
        shared.checkpoint.close();
        sound &= threads.checkpoint.join().is_ok();
        match written {
            Ok(outcome) => outcome?,
            Err(_) => sound = false,
        }
        if sound {
            Ok(())
        } else {
            Err(EngineError::new(ErrorKind::Internal, "a thread of the store has failed"))
        }
    }
}

impl Drop for Running {
    /// Dropped without [`Running::close`]: nothing is folded, and the next start finds what a crash leaves.
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
        if let Err(error) = self.stop() {
            tracing::error!("{}: {error}", self.shared.connector.path.display());
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

fn stopped(shared: &Shared, what: &str, error: &rusqlite::Error) {
    tracing::error!("{}: {what} could not start: {error}", shared.connector.path.display());
    shared.health.bad("a part of the store could not start");
}

/// Copies the mark of a running store from the log into the file, so that the file alone says that it needs its log.
///
/// A long log is from a server that was killed while it served, whose start has done this: it is left for later.
fn mark_file(shared: &Shared, connection: &Connection) {
    if shared.log_pages.load(Ordering::Relaxed) > MARK_PAGES_MAX {
        return;
    }
    if let Err(error) = checkpoint::copy_beside(connection) {
        let path = shared.connector.path.display();
        tracing::warn!(
            "{path}: cannot note in the file that it is in use: {error}. Should its log be lost before this is done, \
             nobody would notice"
        );
    }
}

/// Keeps the length of the log, and wakes the checkpoint owner when it is due.
fn watch_log(shared: &Arc<Shared>, connection: &mut Connection) -> rusqlite::Result<()> {
    let watcher = Arc::downgrade(shared);
    let wal_bytes = shared.connector.options.wal_bytes;
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
        if let Some(shared) = watcher.upgrade() {
            let pages = pages as u64;
            shared.log_pages.store(pages, Ordering::Relaxed);
            if pages * checkpoint::FRAME_BYTES >= wal_bytes {
                shared.checkpoint.ring();
            }
        }
        Ok(())
    }))
}

/// Reads what is small, and replays the journal.
fn load(connection: &Connection, path: &Path) -> Result<Loaded, OpenError> {
    let failed = |error| OpenError::sqlite(path, error);
    let number = |name| schema::meta(connection, name).map_err(failed);
    let mut overlay = Overlay::default();
    let mut version_highest = 0;
    let journal_first = number(schema::META_JOURNAL)? as u64;
    let damaged = |what| OpenError::Damaged { path: path.into(), what };
    let mut complaint = None;
    let read =
        journal::read(connection, journal_first, &mut |what| complaint = complaint.take().or(Some(what)));
    let (batches, slots) = read.map_err(failed)?;
    if let Some(what) = complaint {
        return Err(damaged(what));
    }
    let mut seq_next = journal_first;
    for batch in batches {
        let replayed = record::decode(&batch.bytes, |key, record| {
            let change = match record {
                Record::Latest(latest) => {
                    version_highest = version_highest.max(latest.version());
                    Publish::Latest(latest)
                }
                Record::InTable(_) => Publish::InTable,
            };
            overlay.replay(batch.seq, key, change);
            Ok(())
        });
        replayed.map_err(|what| damaged(format!("journal batch {}: {what}", batch.seq)))?;
        seq_next = batch.seq + 1;
    }
    overlay.replayed();
    let id_first = (number(schema::META_IDS)? as u64).max(version_highest + 1);
    let flushes = load_flushes(connection).map_err(failed)?;
    let start = Start { id_first, seq_next, journal_first, slots, flushes };
    Ok(Loaded {
        start,
        overlay,
        rows: number(schema::META_ITEMS)?,
        warm_list_is_good: number(schema::META_CLEAN)? == schema::CLEAN_STOP,
    })
}

fn load_flushes(connection: &Connection) -> rusqlite::Result<Flushes> {
    let mut flushes = Flushes::default();
    let mut select = connection.prepare("SELECT prefix, at, version FROM flushes")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let prefix = blob(row, 0)?;
        match row.get(1)? {
            0 => {
                flushes.in_effect.push(Flush { prefix: prefix.into(), version: row.get::<_, i64>(2)? as u64 })
            }
            at => flushes.wait(prefix, larder_engine::Timestamp(at)),
        }
    }
    Ok(flushes)
}
