//! A cluster at work: its lanes, and the containers they serve.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::thread::JoinHandle;

use larder_engine::batch::BatchQueue;
use larder_engine::{Durability, EngineError, ErrorKind, Services};
use parking_lot::Mutex;

use crate::describe;
use crate::dialect::Product;
use crate::driver::{DbError, Target, TargetError};
use crate::engine::SqlEngine;
use crate::lane::{Health, Ids, Lane, Shared, runtime};
use crate::model::{self, Container, Finding};
use crate::plan;
use crate::table::Table;
use crate::types::Cell;

/// Bytes of commands that wait for one lane.
const QUEUE_BYTES: usize = 32 << 20;
/// As many times that may wait for room.
const WAITING_FACTOR: usize = 2;

/// Why a cluster or a container cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is wrong.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The database cannot be reached, or does not answer.
    #[error("cluster `{name}`: {source}")]
    Database {
        /// The cluster.
        name: String,
        /// What the database says.
        source: DbError,
    },
    /// The container does not fit its table.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Findings(Vec<Finding>),
    /// A thread cannot be started.
    #[error("cluster `{name}`: cannot start a thread: {source}")]
    Thread {
        /// The cluster.
        name: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A database service with its lanes. Closed by the last of its engines.
pub struct Cluster {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    running: Vec<JoinHandle<()>>,
    /// Engines that are not closed yet.
    engines: usize,
}

/// What a container is served with.
#[derive(Clone, Debug)]
pub struct ContainerSettings {
    /// The container.
    pub container: Container,
    /// The routed prefix of its keys.
    pub prefix: Vec<u8>,
    /// Whether a flush empties the table.
    pub flush_from_db: bool,
    /// Longest value in bytes.
    pub item_size_max: u64,
}

impl Cluster {
    /// Starts the lanes of a cluster; they connect when they are needed.
    ///
    /// # Errors
    /// What is wrong with the address, or that no thread can be had.
    pub fn start(
        services: Services,
        cluster: &model::Cluster,
        node_id: u16,
    ) -> Result<Arc<Cluster>, OpenError> {
        let target = Target::of(cluster)?;
        // SQLite has one writer at a time; a second would only wait for it.
        let write_lanes = if target.product == Product::Sqlite { 1 } else { cluster.write_lanes.max(1) };
        let wait = target.statement_timeout;
        let shared = Arc::new(Shared {
            reads: (0..cluster.read_lanes.max(1)).map(|_| queue(&services, wait)).collect(),
            writes: (0..write_lanes).map(|_| queue(&services, wait)).collect(),
            services,
            target,
            retry: cluster.retry,
            ids: Ids::new(node_id),
            tables: Mutex::default(),
            health: Health::default(),
        });
        let name = shared.target.name.clone();
        let failed = |source| OpenError::Thread { name: name.clone(), source };
        let cluster = Arc::new(Cluster { shared: shared.clone(), threads: Mutex::default() });
        for (at, queue) in shared.reads.iter().enumerate() {
            let (lane, queue) = (Lane::new(shared.clone()), queue.clone());
            let runtime = runtime().map_err(failed)?;
            let run = move || lane.run_reads(&runtime, &queue, at == 0);
            cluster.spawn("larder-sql-read", run).map_err(failed)?;
        }
        for (at, queue) in shared.writes.iter().enumerate() {
            let (lane, queue) = (Lane::new(shared.clone()), queue.clone());
            let runtime = runtime().map_err(failed)?;
            let run = move || lane.run_writes(&runtime, &queue, at == 0);
            cluster.spawn("larder-sql-write", run).map_err(failed)?;
        }
        Ok(cluster)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run)?;
        self.threads.lock().running.push(thread);
        Ok(())
    }

    /// Opens a container after checking it against its table. Blocks for the database. Warnings are logged.
    ///
    /// # Errors
    /// That the database cannot be reached, or everything in which container and table do not fit.
    pub fn open(self: &Arc<Self>, settings: ContainerSettings) -> Result<SqlEngine, OpenError> {
        let target = &self.shared.target;
        let definition = describe::definition(target, &settings.container)?;
        let (plan, warnings) =
            plan::make(&settings.container, target.product, &definition).map_err(OpenError::Findings)?;
        for warning in warnings {
            tracing::warn!("{}", warning.text);
        }
        let level = if target.product == Product::Sqlite { Durability::Local } else { Durability::Committed };
        let table = Arc::new(Table::new(plan, level, settings.item_size_max, settings.flush_from_db));
        self.shared.tables.lock().push(table.clone());
        self.threads.lock().engines += 1;
        Ok(SqlEngine::new(self.clone(), table, settings.prefix))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// An engine is closed; with the last one the lanes bring what they have to its end and stop.
    pub(crate) fn release(&self, table: &Arc<Table>) -> Result<(), EngineError> {
        self.shared.tables.lock().retain(|known| !Arc::ptr_eq(known, table));
        let running = {
            let mut threads = self.threads.lock();
            threads.engines -= 1;
            if threads.engines > 0 {
                return Ok(());
            }
            std::mem::take(&mut threads.running)
        };
        self.stop(running)
    }

    fn stop(&self, running: Vec<JoinHandle<()>>) -> Result<(), EngineError> {
        self.shared.reads.iter().for_each(|queue| queue.close());
        self.shared.writes.iter().for_each(|queue| queue.close());
        let mut sound = true;
        for thread in running {
            sound &= thread.join().is_ok();
        }
        let failed = || EngineError::new(ErrorKind::Internal, "a thread of the cluster has failed");
        if sound { Ok(()) } else { Err(failed()) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let running = std::mem::take(&mut self.threads.lock().running);
        if let Err(error) = self.stop(running) {
            tracing::error!("cluster `{}`: {error}", self.shared.target.name);
        }
    }
}

fn queue<T: Send>(services: &Services, wait: std::time::Duration) -> Arc<BatchQueue<T>> {
    let clock = services.clock.clone();
    Arc::new(BatchQueue::patient(QUEUE_BYTES, QUEUE_BYTES * WAITING_FACTOR, wait, clock))
}

/// The lane of a key: always the same.
pub(crate) fn lane_of(key: &[Cell], lanes: usize) -> usize {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    std::hash::Hash::hash(key, &mut hasher);
    (hasher.finish() % lanes as u64) as usize
}
