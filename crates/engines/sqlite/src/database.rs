//! Connections to the file, and the making of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_engine::Services;
use larder_engine::disk::Disk;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::header::{self, Header};
use crate::options::SqliteOptions;
use crate::schema;
use crate::wal;

/// SQLite 3.51.3 mended a fault of the write-ahead log by which a reset could lose a commit.
const LIBRARY_MIN: i32 = 3_051_003;

/// How long a statement waits for a lock that another program holds, in milliseconds.
const LOCK_PATIENCE_MS: u64 = 5000;

/// How long a checkpoint waits for a reader that still needs the log, in milliseconds: the writer is held meanwhile.
const CHECKPOINT_PATIENCE_MS: u64 = 10;

/// How many times its bound the emptied log may stay long on the disk, ready to be used again.
const LOG_SPARE: u64 = 2;

/// Refuses libraries with the fault.
pub(crate) fn check_library() -> Result<(), OpenError> {
    if rusqlite::version_number() < LIBRARY_MIN {
        return Err(OpenError::OldLibrary { found: rusqlite::version().into() });
    }
    Ok(())
}

/// Opens the file as it is, with the flags given.
pub(crate) fn connect(disk: &dyn Disk, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match disk.sqlite_vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str()),
        None => Connection::open_with_flags(path, flags),
    }
}

/// A read-only view of the file alone: no log, no lock, nothing written beside it.
pub(crate) fn connect_untouched(disk: &dyn Disk, path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(disk, Path::new(&uri), flags)
}

/// `path` with `suffix` after its whole name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the data folder and those above it where they are missing, durably.
pub(crate) fn make_folder(disk: &dyn Disk, options: &SqliteOptions) -> Result<(), OpenError> {
    let folder = &options.folder;
    let mut made = Vec::new();
    for path in folder.ancestors().take_while(|path| !path.as_os_str().is_empty()) {
        if disk.exists(path).map_err(|error| OpenError::disk(path, error))? {
            break;
        }
        made.push(path);
    }
    if made.is_empty() {
        return Ok(());
    }
    disk.create_folder(folder).map_err(|error| OpenError::disk(folder, error))?;
    if options.skips_folder_sync() {
        return Ok(());
    }
    for path in made {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_folder(above).map_err(|error| OpenError::disk(above, error))?;
    }
    Ok(())
}

/// Makes the file where it is missing, and refuses files that are not ours or broken, touching nothing.
pub(crate) fn prepare(services: &Services, options: &SqliteOptions) -> Result<(), OpenError> {
    let disk = &*services.disk;
    let path = options.path();
    match header::read(disk, &path)? {
        Header::Nothing => make(disk, options, &path),
        Header::Store(_) => {
            wal::check(disk, &path)?;
            let log = beside(&path, "-wal");
            // With a log beside it the file alone may be half of the truth; SQLite then checks it as it opens it.
            if !disk.exists(&log).map_err(|error| OpenError::disk(&log, error))? {
                check_untouched(disk, &path)?;
            }
            Ok(())
        }
    }
}

/// Makes the file under another name and renames it, so that a half-made one never has the name.
fn make(disk: &dyn Disk, options: &SqliteOptions, path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-journal"] {
        let left = beside(path, suffix);
        if disk.exists(&left).map_err(|error| OpenError::disk(&left, error))? {
            let why = format!("it has no data, yet {} does", left.display());
            return Err(OpenError::Foreign { path: path.into(), why });
        }
    }
    let draft = beside(path, ".new");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let left = beside(&draft, suffix);
        if disk.exists(&left).map_err(|error| OpenError::disk(&left, error))? {
            disk.remove(&left).map_err(|error| OpenError::disk(&left, error))?;
        }
    }
    let failed = |error| OpenError::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(disk, &draft, flags).map_err(failed)?;
    set_synchronous(&connection, options).map_err(failed)?;
    schema::create(&connection).map_err(failed)?;
    set_log_mode(&connection).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    disk.rename(&draft, path).map_err(|error| OpenError::disk(path, error))?;
    sync_folder(disk, options)
}

/// Makes names in the folder durable.
pub(crate) fn sync_folder(disk: &dyn Disk, options: &SqliteOptions) -> Result<(), OpenError> {
    if options.skips_folder_sync() {
        return Ok(());
    }
    disk.sync_folder(&options.folder).map_err(|error| OpenError::disk(&options.folder, error))
}

fn check_untouched(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::sqlite(path, error);
    let connection = connect_untouched(disk, path).map_err(failed)?;
    check_tables(&connection, path)?;
    schema::meta(&connection, schema::META_IDS).map_err(failed)?;
    Ok(())
}

/// Whether the tables are there, and their outer pages sound.
pub(crate) fn check_tables(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::sqlite(path, error);
    let found = schema::version(connection).map_err(failed)?;
    if found > schema::VERSION {
        return Err(OpenError::Newer { path: path.into(), found, known: schema::VERSION });
    }
    // An older format may lack tables that the migration will make.
    if found == schema::VERSION
        && let Some(what) = schema::missing(connection).map_err(failed)?
    {
        return Err(OpenError::Damaged { path: path.into(), what });
    }
    if found == schema::VERSION {
        schema::probe(connection).map_err(failed)?;
    }
    Ok(())
}

fn set_synchronous(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let level = if options.synchronous_off() { "OFF" } else { "FULL" };
    connection.pragma_update(None, "synchronous", level)
}

/// Whether the log stays as it is when the last connection is closed: it is the clean stop's to take it away, and a
/// start that is refused changes nothing.
pub(crate) fn keep_log(connection: &Connection, keeps: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps).map(drop)
}

fn set_log_mode(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
        Some(format!("the file system has no shared memory for a write-ahead log (mode {mode})")),
    ))
}

/// Opens connections of one store.
#[derive(Clone)]
pub(crate) struct Connector {
    pub disk: Arc<dyn Disk>,
    pub options: Arc<SqliteOptions>,
    pub path: Arc<Path>,
}

impl Connector {
    /// The writer's.
    pub fn writer(&self) -> rusqlite::Result<Connection> {
        let connection = self.open(self.options.page_cache_bytes)?;
        set_log_mode(&connection)?;
        set_synchronous(&connection, &self.options)?;
        // A log that somebody's long read has made grow gives its room back at its next beginning.
        let log_bytes =
            i64::try_from(self.options.wal_bytes_max.saturating_mul(LOG_SPARE)).unwrap_or(i64::MAX);
        connection.pragma_update_and_check(None, "journal_size_limit", log_bytes, |_| Ok(()))?;
        if self.options.pages_max > 0 {
            connection.pragma_update_and_check(None, "max_page_count", self.options.pages_max, |_| Ok(()))?;
        }
        Ok(connection)
    }

    /// One that only reads.
    pub fn reader(&self) -> rusqlite::Result<Connection> {
        let connection = self.open(self.options.page_cache_bytes / 2)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// The last one of a clean stop. Closing it takes the log away as a whole, once all of it is in the file; an emptied
    /// log might come back in parts after a power cut.
    pub fn last(&self) -> rusqlite::Result<Connection> {
        let connection = self.checkpointer()?;
        keep_log(&connection, false)?;
        Ok(connection)
    }

    /// The checkpoint owner's.
    pub fn checkpointer(&self) -> rusqlite::Result<Connection> {
        let connection = self.open(0)?;
        connection.busy_timeout(Duration::from_millis(CHECKPOINT_PATIENCE_MS))?;
        set_synchronous(&connection, &self.options)?;
        Ok(connection)
    }

    fn open(&self, page_cache_bytes: usize) -> rusqlite::Result<Connection> {
        let connection = connect(&*self.disk, &self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        keep_log(&connection, true)?;
        connection.busy_timeout(Duration::from_millis(LOCK_PATIENCE_MS))?;
        let cache_kib = (page_cache_bytes / 1024).max(64);
        connection.pragma_update(None, "cache_size", -(cache_kib as i64))?;
        connection.pragma_update(None, "mmap_size", 0)?;
        // A page whose cells do not fit into it is damage, and must not be searched as if it were sound.
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        Ok(connection)
    }
}
