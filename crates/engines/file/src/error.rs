//! What can go wrong, said to operators and said to clients.

use std::io;
use std::path::{Path, PathBuf};

use larder_engine::{EngineError, ErrorKind};

/// Why a store cannot be opened or checked. The text names the offender and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{folder}: another larder has this folder open (lock file {lock}); stop it, or take another folder \
         (a server with --data)"
    )]
    Locked {
        /// The store's folder.
        folder: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// Not a folder of ours.
    #[error("{path}: {why}; it was left as it is. Name another folder, or move what is there away")]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// Written by a later version.
    #[error(
        "{path}: written by a newer larder (format {found}, this one knows up to {known}); it was left as it is. \
         Start the newer version"
    )]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// Broken.
    #[error("{path}: {what}. It was left as it is. Restore it from a copy of the folder")]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The disk, the folder or the rights on them.
    #[error("{path}: {said}. {advice}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        said: String,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing to work on.
    #[error("{path}: there is no file store. Name the folder that holds it")]
    Missing {
        /// The folder.
        path: PathBuf,
    },
}

impl OpenError {
    pub(crate) fn disk(path: &Path, source: &io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "Give the user that runs larder the right to read and write there, or name another folder"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "Name a folder on a file system that is not mounted read-only"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Make room on the disk",
            _ => "Look at the disk, or name another folder",
        };
        // A disk's errors begin with their path, which need not be said twice.
        let said = source.to_string();
        let said = said.strip_prefix(&format!("{}: ", path.display())).map(str::to_owned).unwrap_or(said);
        OpenError::Disk { path: path.into(), said, advice }
    }
}

/// What clients are told of a damaged file.
pub(crate) const DAMAGED: &str = "the item's file is damaged";
/// What clients are told, and `/ready` says, once damage was met.
pub(crate) const DAMAGED_STORE: &str = "a file of the store is damaged";

/// What a client is told of a failing disk: no path, one line.
pub(crate) fn client_text(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the data disk is full",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "the data folder is read-only",
        _ => "the data disk failed",
    }
}

/// The answer to a command of which nothing will ever be seen.
pub(crate) fn nothing_changed(error: &io::Error) -> EngineError {
    EngineError::caused(ErrorKind::Unavailable, client_text(error), error.to_string())
}

/// The answer to a command that a crash may undo, or bring back.
pub(crate) fn unknown(error: &io::Error) -> EngineError {
    EngineError::caused(ErrorKind::OutcomeUnknown, client_text(error), error.to_string())
}
