//! Verifying a store that no server has open.

use std::path::{Path, PathBuf};

use larder_engine::Services;
use larder_engine::disk::Disk;
use larder_engine::durable::{OnProgress, Progress};
use larder_engine::key::KEY_LENGTH_MAX;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use crate::database::{self, beside};
use crate::engine::ITEM_SIZE_MAX;
use crate::error::OpenError;
use crate::header::{self, Header};
use crate::journal;
use crate::kept::{Latest, STATE_STALE, STATE_TOKEN_TAKEN};
use crate::options::SqliteOptions;
use crate::record::{self, Record};
use crate::running;
use crate::schema;
use crate::wal;

/// Most findings kept; the rest is counted.
const FINDINGS_MAX: usize = 100;
/// Rows between two calls of progress.
const ROWS_A_CALL: u64 = 1000;

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// The file.
    pub path: PathBuf,
    /// Rows of the table of items, expired ones included.
    pub items: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Batches of the journal that are not yet folded into the table.
    pub journal_batches: u64,
    /// Changes in them.
    pub journal_records: u64,
    /// Whether the last stop was clean.
    pub stopped_cleanly: bool,
    /// What is wrong, each in a sentence. Empty: the store is sound.
    pub findings: Vec<String>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn found(&mut self, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what.into());
        } else {
            self.findings_left_out += 1;
        }
    }
}

/// The names of the stores in a folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn stores_in(services: &Services, folder: &Path) -> Result<Vec<String>, OpenError> {
    let disk = &*services.disk;
    let mut names = Vec::new();
    for path in disk.list(folder).map_err(|error| OpenError::disk(folder, error))? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.ends_with(".db")) else { continue };
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Verifies the store that `options` name: the file's structure, every journal record's checksum, every row. Changes
/// nothing. Takes the store's lock meanwhile.
///
/// # Errors
/// When there is nothing that could be checked: no store, one that is open elsewhere, foreign, or newer.
pub fn check(
    services: &Services,
    options: &SqliteOptions,
    on_progress: OnProgress<'_>,
) -> Result<CheckReport, OpenError> {
    let disk = &*services.disk;
    let path = options.path();
    let mut report = CheckReport { path: path.clone(), ..CheckReport::default() };
    match header::read(disk, &path) {
        Ok(Header::Store(_)) => {}
        Ok(Header::Nothing) => return Err(OpenError::Missing { path }),
        Err(OpenError::Damaged { what, .. }) => {
            report.found(what);
            return Ok(report);
        }
        Err(error) => return Err(error),
    }
    let _lock = running::lock(disk, options)?;
    // A file that makes no sense is reported by reading it.
    if let Err(OpenError::Log { log, what, .. }) = wal::check(disk, &path) {
        report.found(format!(
            "its log {} {what}, and the store was not stopped cleanly: what was acknowledged last is lost with it",
            log.display()
        ));
    }
    read_whole(look_only(disk, &path), &mut report, on_progress);
    Ok(report)
}

/// Reads everything by `connection`, and reports what is wrong.
pub(crate) fn read_whole(
    connection: rusqlite::Result<Connection>,
    report: &mut CheckReport,
    on_progress: OnProgress<'_>,
) {
    let looked = connection.and_then(|connection| {
        let mut check = Check { connection: &connection, report: &mut *report, ids_reserved: 0, on_progress };
        check.run()
    });
    if let Err(error) = looked {
        report.found(format!("the file cannot be read to its end: {error}"));
    }
}

/// A connection that writes nothing. The log stays, whoever else ends meanwhile.
pub(crate) fn watch(disk: &dyn Disk, path: &Path) -> rusqlite::Result<Connection> {
    let connection = database::connect(disk, path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database::keep_log(&connection, true)?;
    Ok(connection)
}

/// A connection that writes nothing to a store which nobody has open.
pub(crate) fn look_only(disk: &dyn Disk, path: &Path) -> rusqlite::Result<Connection> {
    let has_log = disk.exists(&beside(path, "-wal")).unwrap_or(true);
    if has_log {
        return watch(disk, path);
    }
    database::connect_untouched(disk, path)
}

struct Check<'c> {
    connection: &'c Connection,
    report: &'c mut CheckReport,
    ids_reserved: u64,
    on_progress: OnProgress<'c>,
}

impl Check<'_> {
    fn run(&mut self) -> rusqlite::Result<()> {
        (self.on_progress)(Progress { step: "checking the file's structure", done: 0, total: 0 });
        self.structure()?;
        if let Some(what) = schema::missing(self.connection)? {
            self.report.found(format!("a table is not as it should be: {what}"));
            return Ok(());
        }
        let meta = |name| schema::meta(self.connection, name);
        self.ids_reserved = meta(schema::META_IDS)? as u64;
        self.report.stopped_cleanly = meta(schema::META_CLEAN)? == schema::CLEAN_STOP;
        let items = meta(schema::META_ITEMS)?;
        self.flushes()?;
        self.journal()?;
        self.items(items.max(0) as u64)?;
        if items != self.report.items as i64 {
            let there = self.report.items;
            self.report.found(format!("the store counts {items} items, and has {there}"));
        }
        Ok(())
    }

    fn structure(&mut self) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                self.report.found(format!("structure: {}", line.replace('\n', " ")));
            }
        }
        Ok(())
    }

    fn is_given_id(&self, id: u64) -> bool {
        id != 0 && id < self.ids_reserved
    }

    fn flushes(&mut self) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare("SELECT prefix, at, version FROM flushes")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (at, version) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)? as u64);
            if at == 0 && !self.is_given_id(version) {
                self.report.found(format!("a flush has the id {version}, which was never given"));
            }
        }
        Ok(())
    }

    fn journal(&mut self) -> rusqlite::Result<()> {
        (self.on_progress)(Progress { step: "reading the journal", done: 0, total: 0 });
        let first = schema::meta(self.connection, schema::META_JOURNAL)? as u64;
        let report = &mut *self.report;
        let (batches, _) = journal::read(self.connection, first, &mut |what| report.found(what))?;
        self.report.journal_batches = batches.len() as u64;
        for batch in batches {
            let mut ids = Vec::new();
            let decoded = record::decode(&batch.bytes, |_, record| {
                ids.push(match record {
                    Record::Latest(Latest::Item(kept)) => kept.version,
                    Record::Latest(Latest::Gone(version)) | Record::InTable(version) => version,
                });
                Ok(())
            });
            self.report.journal_records += ids.len() as u64;
            if let Err(what) = decoded {
                self.report.found(format!("journal batch {}: {what}", batch.seq));
            }
            if let Some(id) = ids.iter().find(|id| !self.is_given_id(**id)) {
                self.report.found(format!("journal batch {}: the id {id} was never given", batch.seq));
            }
        }
        Ok(())
    }

    fn items(&mut self, total: u64) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare(
            "SELECT key, version, cas, expiry, flags, state, length(value), value FROM items ORDER BY key",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            self.report.items += 1;
            if let Some(what) = self.row(row)? {
                let key = match row.get_ref(0)? {
                    ValueRef::Blob(key) => key.escape_ascii().to_string(),
                    other => format!("of type {}", other.data_type()),
                };
                self.report.found(format!("item {key}: {what}"));
            }
            if self.report.items.is_multiple_of(ROWS_A_CALL) {
                let done = self.report.items;
                (self.on_progress)(Progress { step: "reading items", done, total: total.max(done) });
            }
        }
        Ok(())
    }

    /// What is wrong with a row, if anything. The value is read too: its pages may be the damaged ones.
    fn row(&mut self, row: &Row<'_>) -> rusqlite::Result<Option<String>> {
        let length = row.get::<_, i64>(6)? as u64;
        self.report.value_bytes += length;
        let key_length = match row.get_ref(0)? {
            ValueRef::Blob(key) => key.len(),
            _ => return Ok(Some("its key is no blob".into())),
        };
        if key_length == 0 || key_length > KEY_LENGTH_MAX {
            return Ok(Some(format!("its key has {key_length} bytes")));
        }
        let version = row.get::<_, i64>(1)? as u64;
        if !self.is_given_id(version) {
            return Ok(Some(format!("the id {version} was never given")));
        }
        for (column, name) in [(3, "expiry"), (4, "flags")] {
            let number: i64 = row.get(column)?;
            if u32::try_from(number).is_err() {
                return Ok(Some(format!("{name} {number} is out of range")));
            }
        }
        let state: i64 = row.get(5)?;
        if state & !(STATE_STALE | STATE_TOKEN_TAKEN) != 0 {
            return Ok(Some(format!("state {state} is unknown")));
        }
        if length > ITEM_SIZE_MAX {
            return Ok(Some(format!("its value has {length} bytes")));
        }
        match row.get_ref(7)? {
            ValueRef::Blob(value) if value.len() as u64 == length => Ok(None),
            _ => Ok(Some("its value is no blob of its length".into())),
        }
    }
}
