//! Copying a store, also while a server writes to it.

use std::path::{Path, PathBuf};

use larder_engine::Services;
use larder_engine::disk::Disk;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::check::look_only;
use crate::database::{self, beside};
use crate::error::OpenError;
use crate::header::{self, Header};
use crate::journal;
use crate::options::SqliteOptions;
use crate::progress::{OnProgress, Progress};
use crate::record;
use crate::running;
use crate::schema;

/// Pages copied in one step.
const STEP_PAGES: i32 = 1024;

/// A finished copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupReport {
    /// The new file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// Copies the store that `options` name to the new file `to`, as it is at one moment. Works beside a server that has
/// the store open and keeps writing; writes nothing to the source. The copy is synced, and was read once, before this
/// returns; until then it has another name.
///
/// While it runs the server's write-ahead log cannot be emptied: it grows by what is written meanwhile.
///
/// # Errors
/// Each names the file and says what to do. A copy that failed half way is removed.
pub fn backup(
    services: &Services,
    options: &SqliteOptions,
    to: &Path,
    on_progress: OnProgress<'_>,
) -> Result<BackupReport, OpenError> {
    let disk = &*services.disk;
    let from = options.path();
    if header::read(disk, &from)? == Header::Nothing {
        return Err(OpenError::Missing { path: from });
    }
    let draft = beside(to, ".partial");
    for path in [to, &draft] {
        if disk.exists(path).map_err(|error| OpenError::disk(path, error))? {
            return Err(OpenError::Exists { path: path.into() });
        }
    }
    let copied = copy(disk, options, &from, &draft, on_progress).and_then(|()| finish(disk, &draft, to));
    if copied.is_err()
        && disk.exists(&draft).unwrap_or(false)
        && let Err(error) = disk.remove(&draft)
    {
        tracing::warn!("{}: cannot remove the unfinished copy: {error}", draft.display());
    }
    copied
}

fn copy(
    disk: &dyn Disk,
    options: &SqliteOptions,
    from: &Path,
    draft: &Path,
    on_progress: OnProgress<'_>,
) -> Result<(), OpenError> {
    let of_source = |error| OpenError::sqlite(from, error);
    // With the lock in hand nobody writes, and the source can be read without so much as a lock file beside it.
    let lock = match running::lock(disk, options) {
        Ok(lock) => Some(lock),
        Err(OpenError::Locked { .. }) => None,
        Err(error) => return Err(error),
    };
    let source = match lock {
        Some(_) => look_only(disk, from),
        None => database::connect(disk, from, OpenFlags::SQLITE_OPEN_READ_ONLY),
    }
    .map_err(of_source)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut target =
        database::connect(disk, draft, flags).map_err(|error| OpenError::sqlite(draft, error))?;
    // The whole file is synced at the end; a copy that was cut short is worth nothing anyway.
    target.pragma_update(None, "synchronous", "OFF").map_err(|error| OpenError::sqlite(draft, error))?;
    // One read transaction throughout: every page is of the same moment, and writers cannot make it start anew.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta;").map_err(of_source)?;
    copy_pages(&source, &mut target, on_progress).map_err(|error| OpenError::sqlite(draft, error))?;
    source.execute_batch("COMMIT").map_err(of_source)?;
    target.close().map_err(|(_, error)| OpenError::sqlite(draft, error))
}

fn copy_pages(
    source: &Connection,
    target: &mut Connection,
    on_progress: OnProgress<'_>,
) -> rusqlite::Result<()> {
    let backup = Backup::new(source, target)?;
    loop {
        let result = backup.step(STEP_PAGES)?;
        let pages = backup.progress();
        let total = pages.pagecount.max(0) as u64;
        let done = total - (pages.remaining.max(0) as u64).min(total);
        on_progress(Progress { step: "copying pages", done, total });
        match result {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            StepResult::Busy | StepResult::Locked => std::thread::yield_now(),
            other => unreachable!("SQLite's backup said {other:?}"),
        }
    }
}

/// Syncs the copy, reads it once, and gives it its name.
fn finish(disk: &dyn Disk, draft: &Path, to: &Path) -> Result<BackupReport, OpenError> {
    let failed = |error| OpenError::disk(draft, error);
    let file = disk.open(draft, false).map_err(failed)?;
    file.sync().map_err(failed)?;
    let bytes = file.length().map_err(failed)?;
    drop(file);
    verify(disk, draft)?;
    disk.rename(draft, to).map_err(|error| OpenError::disk(to, error))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_folder(folder).map_err(|error| OpenError::disk(folder, error))?;
    Ok(BackupReport { path: to.into(), bytes })
}

fn verify(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    header::read(disk, path)?;
    let failed = |error| OpenError::sqlite(path, error);
    let connection = database::connect_untouched(disk, path).map_err(failed)?;
    database::check_tables(&connection, path)?;
    let damaged = |what| OpenError::Damaged { path: path.into(), what };
    let first = schema::meta(&connection, schema::META_JOURNAL).map_err(failed)? as u64;
    let mut complaint = None;
    let read = journal::read(&connection, first, &mut |what| complaint = complaint.take().or(Some(what)));
    let (batches, _) = read.map_err(failed)?;
    if let Some(what) = complaint {
        return Err(damaged(what));
    }
    for batch in batches {
        let decoded = record::decode(&batch.bytes, |_, _| Ok(()));
        decoded.map_err(|what| damaged(format!("journal batch {}: {what}", batch.seq)))?;
    }
    Ok(())
}
