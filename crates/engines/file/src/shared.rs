//! What the engine's threads and its callers share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;

use larder_engine::batch::BatchQueue;
use larder_engine::disk::Disk;
use larder_engine::durable::{Board, Health, Kept, KeyBytes, Write};
use larder_engine::{EngineError, ErrorKind, Expiry, Services, Timestamp};
use parking_lot::RwLock;

use crate::counters::Counters;
use crate::error::{DAMAGED, nothing_changed};
use crate::in_flight::InFlight;
use crate::item::{self, Problem};
use crate::layout::Layout;
use crate::names::{self, SHARDS};
use crate::options::FileOptions;
use crate::reader::Readers;

/// What clients are told when the folder is gone.
pub(crate) const REMOVED: &str = "the data folder was removed";

/// Something for the writer to do.
pub(crate) enum Order {
    /// A caller's command.
    Write(Write),
    /// Remove these items if they are still those with these versions, and dead. Answered with how many were removed;
    /// `None`: it failed.
    Purge { found: Vec<(KeyBytes, u64)>, done: SyncSender<Option<usize>> },
}

/// See the module.
pub(crate) struct Shared {
    pub services: Services,
    pub options: FileOptions,
    pub layout: Layout,
    /// Orders for the writer.
    pub writes: Arc<BatchQueue<Order>>,
    pub readers: Readers,
    pub flushes: Board,
    pub in_flight: InFlight,
    pub shards: Box<[Shard; SHARDS]>,
    pub counters: Counters,
    pub health: Health,
    /// The second at which the first item expires, as far as known; 0: unknown, look.
    pub expires_first: AtomicU32,
    /// Whether the list of warm keys is from the stop before this start.
    pub warm_list_is_good: bool,
    /// The folder has lost its name: what is written now will not be found again.
    pub removed: AtomicBool,
    /// Every thread ends soon; the stop is not marked as clean.
    pub abandoned: AtomicBool,
}

/// One folder of items.
#[derive(Default)]
pub(crate) struct Shard {
    /// Held for writing while files are named or removed, for reading while the folder is listed: so a list has every
    /// file that was there all the time, whatever the file system does about renames under way.
    pub names: RwLock<()>,
    /// Whether the folder is there.
    pub exists: AtomicBool,
    pub items: AtomicI64,
    /// Bytes of their files.
    pub bytes: AtomicI64,
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        self.services.clock.now()
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.services.disk
    }

    /// The item in the file of `key`, dead or alive, durable or not.
    pub fn read(&self, key: &[u8]) -> Result<Option<Kept>, EngineError> {
        let path = self.layout.item(key);
        item::read_of(self.disk(), &path, key).map_err(|problem| self.failed(&path, problem))
    }

    /// A file that could not be read, as the answer to a command that changed nothing. Damage is logged.
    pub fn failed(&self, path: &Path, problem: Problem) -> EngineError {
        self.counters.read_errors.one();
        match problem {
            Problem::Disk(error) => nothing_changed(&error),
            Problem::Damaged(what) => {
                self.notice_damage(path, &what);
                EngineError::caused(ErrorKind::Damaged, DAMAGED, format!("{}: {what}", path.display()))
            }
        }
    }

    /// Says so once; from then on the store is known to be damaged.
    pub fn notice_damage(&self, path: &Path, what: &str) {
        self.counters.damaged_files.one();
        if self.health.damaged() {
            tracing::error!(
                "{}: damaged: {what}. It is answered with an error, never as data or as a miss. `larder check` finds \
                 all such files: restore them from a copy, or remove or overwrite them. (Others are not told of)",
                path.display()
            );
        }
    }

    /// Notes a file that is not ours; the log has the first one.
    pub fn notice_unknown(&self, path: &Path) {
        if self.counters.unknown_files.get() == 0 {
            tracing::warn!("{}: is not part of the file store; it is left alone", path.display());
        }
        self.counters.unknown_files.one();
    }

    /// Looks whether the folder still has its name.
    pub fn notice_removal(&self) {
        let format = &self.layout.format;
        if self.disk().exists(format).unwrap_or(true) || self.removed.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(
            "{}: was removed while the store was open. Writes are refused: they would be lost. Stop the server, put \
             the folder back, and start again",
            format.display()
        );
        self.health.bad(REMOVED);
    }

    /// Notes that there is an item with this expiry.
    pub fn note_expiry(&self, expiry: Expiry) {
        if expiry != Expiry::NEVER && self.expires_first.load(Ordering::Relaxed) > expiry.raw() {
            self.expires_first.fetch_min(expiry.raw(), Ordering::Relaxed);
        }
    }

    /// The names in a shard's folder, in order. Those of files that were there all the time are among them.
    pub fn list(&self, shard: u8) -> std::io::Result<Vec<String>> {
        let at = &self.shards[usize::from(shard)];
        if !at.exists.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let folder = self.layout.shard(shard);
        let mut list = Vec::new();
        let mut unknown = Vec::new();
        {
            let _names = at.names.read();
            for path in self.disk().list(&folder)? {
                match crate::layout::file_name(&path).filter(|name| names::read(name).is_some()) {
                    Some(name) => list.push(name.to_owned()),
                    None => unknown.push(path),
                }
            }
            at.items.store(list.len() as i64, Ordering::Relaxed);
        }
        unknown.iter().for_each(|path| self.notice_unknown(path));
        list.sort_unstable();
        Ok(list)
    }

    /// Items and bytes of their files.
    pub fn tally(&self) -> (u64, u64) {
        let sum = |number: fn(&Shard) -> &AtomicI64| {
            let all: i64 = self.shards.iter().map(|shard| number(shard).load(Ordering::Relaxed)).sum();
            all.max(0) as u64
        };
        (sum(|shard| &shard.items), sum(|shard| &shard.bytes))
    }
}
