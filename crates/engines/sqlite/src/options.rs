//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::ITEM_SIZE_MAX;

/// Commands of so many times the queue's bytes may wait for room in it.
pub(crate) const WAITING_FACTOR: usize = 8;

/// Settings of a store. [`SqliteOptions::new`] gives what suits most machines.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The data folder; made if missing.
    pub folder: PathBuf,
    /// The file in it.
    pub file_name: String,
    /// Largest value, in bytes; also bounds what append and prepend make. SQLite itself holds little under 10^9.
    pub item_size_max: u64,
    /// Threads that read what is not in memory; at least 1.
    pub readers: usize,
    /// Bound on the bytes of commands that wait for the writer; beyond it commands wait for room.
    pub queue_bytes: usize,
    /// How long a command waits for room before it is refused; zero: not at all. At most eight times the queue's bytes
    /// wait.
    pub queue_wait: Duration,
    /// Bytes of journal in memory, or half of those in the file, from which it is folded into the table although the store is busy.
    pub journal_bytes: usize,
    /// Bytes of journal at which writes wait for folding.
    pub journal_bytes_max: usize,
    /// Values longer than this go to the table at once, without the journal.
    pub large_value_bytes: usize,
    /// Bytes of write-ahead log from which it is copied into the file in the background.
    pub wal_bytes: u64,
    /// Bytes of write-ahead log at which writes wait for the copying.
    pub wal_bytes_max: u64,
    /// SQLite's page cache of the writer, in bytes. Each reader has half as much.
    pub page_cache_bytes: usize,
    /// Time between two looks whether there is something to purge.
    pub purge_rest: Duration,
    /// Bound on the pages of the file; 0: the disk is the bound. A page has 4096 bytes.
    pub pages_max: u32,
    /// A fault to plant, for the test of the tests.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<Planted>,
}

/// A fault that the power-cut campaign must find.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// SQLite syncs nothing.
    SynchronousOff,
    /// Commands are answered before their transaction is committed.
    AckBeforeCommit,
    /// The folder is never synced after a file was made.
    NoFolderSync,
}

impl SqliteOptions {
    /// The usual settings for a store in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        SqliteOptions {
            folder: folder.into(),
            file_name: "larder.db".into(),
            item_size_max: ITEM_SIZE_MAX,
            readers: 2,
            queue_bytes: 64 << 20,
            queue_wait: Duration::from_secs(5),
            journal_bytes: 32 << 20,
            journal_bytes_max: 96 << 20,
            large_value_bytes: 64 << 10,
            wal_bytes: 16 << 20,
            wal_bytes_max: 64 << 20,
            page_cache_bytes: 32 << 20,
            purge_rest: Duration::from_secs(5),
            pages_max: 0,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Largest value taken, in bytes.
    pub(crate) fn value_bytes_max(&self) -> u64 {
        self.item_size_max.min(ITEM_SIZE_MAX)
    }

    /// Where the data is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.file_name)
    }

    /// The lock that keeps a second process off: `larder.db` is guarded by `larder.lock`.
    pub(crate) fn lock_path(&self) -> PathBuf {
        let stem = self.file_name.strip_suffix(".db").unwrap_or(&self.file_name);
        self.folder.join(format!("{stem}.lock"))
    }

    pub(crate) fn synchronous_off(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.planted == Some(Planted::SynchronousOff);
        #[cfg(not(feature = "planted-bugs"))]
        false
    }

    pub(crate) fn answers_before_commit(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.planted == Some(Planted::AckBeforeCommit);
        #[cfg(not(feature = "planted-bugs"))]
        false
    }

    pub(crate) fn skips_folder_sync(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.planted == Some(Planted::NoFolderSync);
        #[cfg(not(feature = "planted-bugs"))]
        false
    }
}
