//! A store at work: its threads, from the start to the stop.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use larder_engine::batch::BatchQueue;
use larder_engine::disk::Disk;
use larder_engine::durable::{Board, Health};
use larder_engine::{EngineError, ErrorKind, Services};
use parking_lot::Mutex;

use crate::counters::Counters;
use crate::error::{DAMAGED_STORE, OpenError};
use crate::hands::Hands;
use crate::in_flight::InFlight;
use crate::layout::Layout;
use crate::opening::{self, Around, Look};
use crate::options::{self, FileOptions};
use crate::purge::Purge;
use crate::reader::{self, Readers};
use crate::shared::{REMOVED, Shard, Shared};
use crate::state::State;
use crate::writer::Writer;

/// See the module.
pub(crate) struct Running {
    pub shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<Result<(), EngineError>>,
    readers: Vec<JoinHandle<()>>,
    purge: JoinHandle<()>,
    /// Dropping it ends the purge.
    purge_goes_on: Sender<()>,
    /// Held until the last thread has ended.
    _lock: Box<dyn Any + Send + Sync>,
}

/// Takes the lock of a store.
pub(crate) fn lock(disk: &dyn Disk, layout: &Layout) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    disk.lock(&layout.lock).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            OpenError::Locked { folder: layout.folder.clone(), lock: layout.lock.clone() }
        }
        _ => OpenError::disk(&layout.lock, &error),
    })
}

impl Running {
    pub fn start(services: Services, options: FileOptions) -> Result<Running, OpenError> {
        let disk = services.disk.clone();
        let layout = Layout::new(&options.folder);
        // A folder of somebody else's is refused before so much as a lock file is made in it.
        opening::look(&*disk, &layout)?;
        opening::make_folder(&*disk, &options)?;
        let lock = lock(&*disk, &layout)?;
        if opening::look(&*disk, &layout)? == Look::Nothing {
            opening::make_store(&*disk, &layout, &options)?;
        }
        let state = opening::read_state(&*disk, &layout)?;
        let around = opening::prepare(&*disk, &layout, &options, state.stopped.is_some())?;
        let shared = Arc::new(share(services, options, layout, &state, &around));
        shared.flushes.publish(state.flushes.clone());
        let failed = |error| OpenError::disk(&shared.layout.folder, &error);
        let hands = Hands::new(shared.options.hands).map_err(failed)?;
        let writer = Writer::start(shared.clone(), hands, &state).map_err(failed)?;
        Running::spawn(shared.clone(), writer, lock).map_err(failed)
    }

    fn spawn(
        shared: Arc<Shared>,
        writer: Writer,
        lock: Box<dyn Any + Send + Sync>,
    ) -> std::io::Result<Running> {
        let mut readers = Vec::new();
        for number in 0..shared.readers.count() {
            let shared = shared.clone();
            readers.push(spawn("larder-read", move || reader::run(&shared, number))?);
        }
        let scans = shared.clone();
        readers.push(spawn("larder-scan", move || reader::run_scans(&scans))?);
        let (purge_goes_on, goes_on) = channel();
        let purged = shared.clone();
        let purge = spawn("larder-purge", move || Purge::new(purged, goes_on).run())?;
        let writer = spawn("larder-write", move || writer.run())?;
        let threads = Threads { writer, readers, purge, purge_goes_on, _lock: lock };
        Ok(Running { shared, threads: Mutex::new(Some(threads)) })
    }

    /// Stops in order and marks the stop as clean.
    pub fn close(&self) -> Result<(), EngineError> {
        self.shared.notice_removal();
        self.stop()?;
        if self.shared.removed.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Unavailable, REMOVED));
        }
        Ok(())
    }

    fn stop(&self) -> Result<(), EngineError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        drop(threads.purge_goes_on);
        let mut sound = threads.purge.join().is_ok();
        self.shared.writes.close();
        let written = threads.writer.join();
        self.shared.readers.close();
        for reader in threads.readers {
            sound &= reader.join().is_ok();
        }
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
    /// Dropped without [`Running::close`]: the stop is not marked as clean, as after a crash.
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
        if let Err(error) = self.stop() {
            tracing::error!("{}: {error}", self.shared.layout.folder.display());
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}

fn share(services: Services, options: FileOptions, layout: Layout, state: &State, around: &Around) -> Shared {
    let shards: Box<[Shard; crate::names::SHARDS]> = Box::new(std::array::from_fn(|_| Shard::default()));
    for shard in &around.shards {
        shards[usize::from(*shard)].exists.store(true, Ordering::Release);
    }
    for (shard, items, bytes) in state.stopped.iter().flat_map(|stopped| &stopped.shards) {
        shards[usize::from(*shard)].items.store(*items as i64, Ordering::Relaxed);
        shards[usize::from(*shard)].bytes.store(*bytes as i64, Ordering::Relaxed);
    }
    Shared {
        writes: Arc::new(BatchQueue::patient(
            options.queue_bytes,
            options.queue_bytes.saturating_mul(options::WAITING_FACTOR),
            options.queue_wait,
            services.clock.clone(),
        )),
        readers: Readers::new(options.readers),
        flushes: Board::default(),
        in_flight: InFlight::default(),
        shards,
        counters: Counters::default(),
        health: Health::new(DAMAGED_STORE),
        expires_first: AtomicU32::new(state.stopped.as_ref().map_or(0, |stopped| stopped.expires_first)),
        warm_list_is_good: state.stopped.is_some(),
        removed: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        services,
        options,
        layout,
    }
}
