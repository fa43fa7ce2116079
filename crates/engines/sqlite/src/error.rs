//! What can go wrong, said to operators and said to clients.

use std::io;
use std::path::PathBuf;

use larder_engine::{EngineError, ErrorKind};
use rusqlite::ErrorCode;

/// Why a store cannot be opened, checked or copied. The text names the offender and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{folder}: another larder has this data folder open (lock file {lock}); stop it, or take another folder \
         (a server with --data, a check with a copy made by `larder backup`)"
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// Not a file of ours.
    #[error("{path}: {why}; it was left as it is. Move it away, or name another file or folder")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// Written by a later version.
    #[error(
        "{path}: written by a newer larder (format {found}, this one knows up to {known}); it was left as it \
         is. Start the newer version"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// Broken.
    #[error(
        "{path}: damaged ({what}). Run `larder check` on its folder; restore a backup if it finds errors"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The write-ahead log of a store that was not stopped cleanly is not there, or not what was written.
    #[error(
        "{log}: {what}, though it is part of {path}, which was not stopped cleanly: what was acknowledged last is in \
         the log only. Both were left as they are. Put the log back beside the file, or restore a backup; how to go \
         on without what is lost is told in docs/stores/sqlite.md"
    )]
    Log {
        /// The file.
        path: PathBuf,
        /// Its log.
        log: PathBuf,
        /// What is wrong with the log.
        what: String,
    },
    /// A file without a byte in it, which no store ever has.
    #[error(
        "{path}: is empty, which no store ever is: it was cut off, or is a copy that failed. It was left as it is. \
         Restore a backup, or remove the file to begin with an empty store"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A copy was made, and what it holds is not sound.
    #[error(
        "{path}: damaged ({what}{}); no copy of it was kept. Stop the server and run `larder check` on its folder: \
         if it finds errors, restore an older backup; if it finds none, look at the disk the copy was written to",
        and_more(*more)
    )]
    UnsoundCopy {
        /// The file that was copied.
        path: PathBuf,
        /// The first finding.
        what: String,
        /// How many there are besides.
        more: u64,
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
    /// SQLite refused for another reason.
    #[error("{path}: {cause}. {advice}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said; a part of the text, so it is not told as the source again.
        cause: rusqlite::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The library this program was built with has known faults.
    #[error(
        "this program was built with SQLite {found}, which has a known fault in its write-ahead log; build it \
         with SQLite 3.51.3 or later"
    )]
    OldLibrary {
        /// Its version.
        found: String,
    },
    /// Nothing to work on.
    #[error("{path}: there is no such store. Name the folder that holds it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is in the way.
    #[error("{path}: exists already and will not be overwritten. Name a new file")]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

fn and_more(count: u64) -> String {
    if count == 0 { String::new() } else { format!("; {count} findings more") }
}

impl OpenError {
    pub(crate) fn disk(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "Give the user that runs larder the right to read and write there, or name another folder with \
                 --data"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "The file system is mounted read-only; name a folder on another one with --data"
            }
            io::ErrorKind::StorageFull => "The disk is full; make room",
            _ => "Check the disk, or name another folder with --data",
        };
        let path = path.into();
        // A disk's errors begin with their path, which need not be said twice.
        let said = source.to_string();
        let said = said.strip_prefix(&format!("{}: ", path.display())).map(str::to_owned).unwrap_or(said);
        OpenError::Disk { path, said, advice }
    }

    /// An error of SQLite while opening or reading `path`.
    pub(crate) fn sqlite(path: impl Into<PathBuf>, source: rusqlite::Error) -> Self {
        let path = path.into();
        let advice = match source.sqlite_error_code() {
            _ if is_damage(&source) => return OpenError::Damaged { path, what: source.to_string() },
            Some(ErrorCode::DiskFull) => "The disk is full; make room",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                "Give the user that runs larder the right to read and write this file, its folder and the files \
                 beside it"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "Another program has the file open; close it"
            }
            _ => "Check the disk",
        };
        OpenError::Sqlite { path, cause: source, advice }
    }
}

/// What clients and `/ready` are told of a damaged file.
pub(crate) const DAMAGED: &str = "the data file is damaged";

/// Whether an error can only come from a file that is not what was written to it.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        // A number, a blob or a row that is not of the kind, in the range or in the place every row of ours is.
        Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::FromSqlConversionFailure(..)
        | Error::QueryReturnedNoRows
        | Error::StatementChangedRows(_) => true,
        // Every table and column was there when the store was opened.
        Error::SqliteFailure(_, Some(text)) | Error::SqlInputError { msg: text, .. }
            if text.starts_with("no such table") || text.starts_with("no such column") =>
        {
            true
        }
        other => {
            matches!(other.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        }
    }
}

/// Whether a failed transaction may nevertheless be found done after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certainty {
    /// Nothing of it will ever be seen.
    NothingHappened,
    /// The commit failed half way.
    Unknown,
}

/// What a client is told: no path, one line.
pub(crate) fn client_text(error: &rusqlite::Error) -> &'static str {
    if is_damage(error) {
        return DAMAGED;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the data disk is full",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "the data file is read-only",
        Some(ErrorCode::OutOfMemory) => "out of memory in the data store",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "the data file is locked by another program"
        }
        Some(ErrorCode::TooBig) => "too large for the data file",
        _ => "the data disk failed",
    }
}

/// An error of the database as a command's answer.
pub(crate) fn command_error(error: &rusqlite::Error, certainty: Certainty) -> EngineError {
    let kind = match (certainty, error.sqlite_error_code()) {
        (Certainty::Unknown, _) => ErrorKind::OutcomeUnknown,
        _ if is_damage(error) => ErrorKind::Damaged,
        (_, Some(ErrorCode::TooBig)) => ErrorKind::TooLarge,
        _ => ErrorKind::Unavailable,
    };
    EngineError::caused(kind, client_text(error), error.to_string())
}
