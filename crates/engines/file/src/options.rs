//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

/// Longest value.
pub(crate) const ITEM_SIZE_MAX: u64 = 1 << 30;

/// Commands of so many times the queue's bytes may wait for room in it.
pub(crate) const WAITING_FACTOR: usize = 8;

/// Settings of a store. [`FileOptions::new`] gives what suits most machines.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The folder; made if missing.
    pub folder: PathBuf,
    /// Largest value, in bytes; also bounds what append and prepend make. At most 1 GiB.
    pub item_size_max: u64,
    /// Threads that look items up; at least 1.
    pub readers: usize,
    /// Threads that write and sync files beside the writer.
    pub hands: usize,
    /// Bound on the bytes of commands that wait for the writer; beyond it commands wait for room.
    pub queue_bytes: usize,
    /// How long a command waits for room before it is refused; zero: not at all. At most eight times the queue's bytes
    /// wait.
    pub queue_wait: Duration,
    /// Time between two looks whether there is something to purge.
    pub purge_rest: Duration,
    /// Time between two looks of an idle writer whether a delayed flush is due, or a disk that failed works again.
    /// (Readers obey a flush at its second, done or not.)
    pub idle_rest: Duration,
    /// A fault to plant, for the test of the tests.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<Planted>,
}

/// A fault that the power-cut campaign must find.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// No folder is synced after a file in it was named or removed.
    NoFolderSync,
    /// Commands are answered before anything is synced.
    AckBeforeSync,
}

impl FileOptions {
    /// The usual settings for a store in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        FileOptions {
            folder: folder.into(),
            item_size_max: ITEM_SIZE_MAX,
            readers: 3,
            hands: 4,
            queue_bytes: 64 << 20,
            queue_wait: Duration::from_secs(5),
            purge_rest: Duration::from_secs(5),
            idle_rest: Duration::from_millis(500),
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Largest value taken, in bytes.
    pub(crate) fn value_bytes_max(&self) -> u64 {
        self.item_size_max.min(ITEM_SIZE_MAX)
    }

    pub(crate) fn skips_folder_sync(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.planted == Some(Planted::NoFolderSync);
        #[cfg(not(feature = "planted-bugs"))]
        false
    }

    pub(crate) fn answers_before_sync(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.planted == Some(Planted::AckBeforeSync);
        #[cfg(not(feature = "planted-bugs"))]
        false
    }
}
