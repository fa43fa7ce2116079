//! Copying a store, also while a server writes to it.

use std::path::{Path, PathBuf};

use larder_engine::Services;
use larder_engine::disk::Disk;
use larder_engine::durable::{OnProgress, Progress};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::check::{self, CheckReport, look_only, watch};
use crate::database::{self, beside};
use crate::error::OpenError;
use crate::header::{self, Header};
use crate::options::SqliteOptions;
use crate::running;
use crate::schema;
use crate::wal;

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
/// the store open and keeps writing; writes nothing to the source. The copy is synced, and was checked as
/// [`check()`](crate::check()) checks a store, before this returns; until then it has another name.
///
/// While pages are copied the server's write-ahead log cannot be emptied: it grows by what is written meanwhile. It is
/// free again while the copy is checked.
///
/// # Errors
/// Each names the file and says what to do. A copy that failed half way, or is not sound, is removed.
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
    let copied = copy(disk, options, &from, &draft, on_progress)
        .and_then(|()| verify(disk, &from, &draft, on_progress))
        .and_then(|()| finish(disk, &draft, to));
    if copied.is_err() {
        remove_draft(disk, &draft);
    }
    copied
}

fn remove_draft(disk: &dyn Disk, draft: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let left = beside(draft, suffix);
        if disk.exists(&left).unwrap_or(false)
            && let Err(error) = disk.remove(&left)
        {
            tracing::warn!("{}: cannot remove the unfinished copy: {error}", left.display());
        }
    }
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
        Some(_) => {
            wal::check(disk, from)?;
            look_only(disk, from)
        }
        None => watch(disk, from),
    }
    .map_err(of_source)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut target =
        database::connect(disk, draft, flags).map_err(|error| OpenError::sqlite(draft, error))?;
    // The whole file is synced at the end; a copy that was cut short is worth nothing anyway.
    target.pragma_update(None, "synchronous", "OFF").map_err(|error| OpenError::sqlite(draft, error))?;
    // One read transaction throughout: every page is of the same moment, and writers cannot make it start anew.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta;").map_err(of_source)?;
    copy_pages(&source, &mut target, on_progress).map_err(|error| of_either(from, draft, error))?;
    source.execute_batch("COMMIT").map_err(of_source)?;
    let mark = "UPDATE meta SET value = ?2 WHERE name = ?1 AND value <> ?3";
    let marked = target.execute(mark, (schema::META_CLEAN, schema::CLEAN_COPY, schema::CLEAN_STOP));
    marked.map_err(|error| of_either(from, draft, error))?;
    target.close().map_err(|(_, error)| OpenError::sqlite(draft, error))
}

/// A draft that was just made is not damaged, the disk below it is full or broken; damage is the source's.
fn of_either(from: &Path, draft: &Path, error: rusqlite::Error) -> OpenError {
    match OpenError::sqlite(from, error) {
        OpenError::Sqlite { cause, .. } => OpenError::sqlite(draft, cause),
        damaged => damaged,
    }
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

/// Reads the whole copy as a check does: copying takes pages as they are, damaged ones too.
fn verify(disk: &dyn Disk, from: &Path, draft: &Path, on_progress: OnProgress<'_>) -> Result<(), OpenError> {
    header::read(disk, draft)?;
    let mut report = CheckReport::default();
    check::read_whole(database::connect_untouched(disk, draft), &mut report, on_progress);
    let more = report.findings.len().saturating_sub(1) as u64 + report.findings_left_out;
    match report.findings.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(OpenError::UnsoundCopy { path: from.into(), what, more }),
    }
}

/// Syncs the copy and gives it its name.
fn finish(disk: &dyn Disk, draft: &Path, to: &Path) -> Result<BackupReport, OpenError> {
    let failed = |error| OpenError::disk(draft, error);
    let file = disk.open(draft, false).map_err(failed)?;
    file.sync().map_err(failed)?;
    let bytes = file.length().map_err(failed)?;
    drop(file);
    disk.rename(draft, to).map_err(|error| OpenError::disk(to, error))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_folder(folder).map_err(|error| OpenError::disk(folder, error))?;
    Ok(BackupReport { path: to.into(), bytes })
}
