//! The tables, their version, and the way from one version to the next. Described in
//! `docs/reference/sqlite-format.md`.

use rusqlite::Connection;

/// `lrdr`: marks a file as ours, in the header of the SQLite file.
pub(crate) const APPLICATION_ID: u32 = 0x6C72_6472;

/// The format this program writes.
pub(crate) const VERSION: u32 = 1;

/// In `meta`: every id below this one may have been given away.
pub(crate) const META_IDS: &str = "ids_reserved";
/// In `meta`: rows of `items`, as far as known.
pub(crate) const META_ITEMS: &str = "items";
/// In `meta`: the number of the first batch of the journal that is not folded.
pub(crate) const META_JOURNAL: &str = "journal_first";
/// In `meta`: how the file was left. One of [`CLEAN_STOP`], [`CLEAN_COPY`] and 0: a server has it, or was killed, and
/// the write-ahead log is part of the data.
pub(crate) const META_CLEAN: &str = "clean";
/// A clean stop: everything is in the file, and `warm` is the list made at that stop.
pub(crate) const CLEAN_STOP: i64 = 1;
/// A copy of a running store: everything is in the file, though no server was stopped.
pub(crate) const CLEAN_COPY: i64 = 2;

/// The value comes last, so that reading the columns before it never touches the pages of a long value.
const CREATE: &str = "
    CREATE TABLE items(
        key BLOB NOT NULL PRIMARY KEY,
        version INTEGER NOT NULL,
        cas INTEGER NOT NULL,
        expiry INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        state INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE journal(slot INTEGER PRIMARY KEY, part BLOB NOT NULL) STRICT;
    CREATE TABLE flushes(
        prefix BLOB NOT NULL,
        at INTEGER NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY(prefix, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE warm(position INTEGER PRIMARY KEY, key BLOB NOT NULL) STRICT;
    INSERT INTO meta VALUES('ids_reserved', 1), ('items', 0), ('journal_first', 1), ('clean', 1);
";

/// Step `n` brings a file from version `n + 1` to `n + 2`.
const STEPS: &[&str] = &[];

/// Makes the tables in an empty file.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN EXCLUSIVE; {CREATE} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; COMMIT;"
    ))
}

/// The version of an open file.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an older file up to date, in one transaction: wholly or not at all.
pub(crate) fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    migrate_by(connection, STEPS)
}

fn migrate_by(connection: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let from = version(connection)?;
    let due = steps.get(from.saturating_sub(1) as usize..).unwrap_or_default();
    if due.is_empty() {
        return Ok(());
    }
    let to = steps.len() + 1;
    tracing::info!("bringing the store from format {from} to {to}");
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    let outcome = connection.execute_batch(&format!("{}; PRAGMA user_version={to}; COMMIT", due.join(";")));
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

/// Whether the tables are those of [`VERSION`]; names what is missing.
pub(crate) fn missing(connection: &Connection) -> rusqlite::Result<Option<String>> {
    for (table, columns) in [
        ("items", "key, version, cas, expiry, flags, state, value"),
        ("journal", "slot, part"),
        ("flushes", "prefix, at, version"),
        ("meta", "name, value"),
        ("warm", "position, key"),
    ] {
        match connection.prepare(&format!("SELECT {columns} FROM {table}")) {
            Ok(_) => {}
            Err(error @ rusqlite::Error::SqlInputError { .. }) => {
                return Ok(Some(format!("table {table}: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Reads the way from the root to the first and to the last row of each table. An error if a page on it is damaged:
/// a look that costs a few pages however many items there are.
pub(crate) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cell_size_check", true)?;
    for (table, key) in
        [("items", "key"), ("journal", "slot"), ("flushes", "prefix"), ("meta", "name"), ("warm", "position")]
    {
        for order in ["ASC", "DESC"] {
            let text = format!("SELECT {key} FROM {table} ORDER BY {key} {order} LIMIT 1");
            connection.prepare(&text)?.query([])?.next()?;
        }
    }
    Ok(())
}

/// A number of `meta`.
pub(crate) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection).unwrap();
        connection
    }

    #[test]
    fn a_fresh_file_has_this_version_and_needs_no_step() {
        assert_eq!(STEPS.len() as u32 + 1, VERSION, "a step leads to each version");
        let connection = fresh();
        migrate(&connection).unwrap();
        assert_eq!(version(&connection).unwrap(), VERSION);
        assert_eq!(missing(&connection).unwrap(), None);
    }

    #[test]
    fn steps_run_in_order_and_once() {
        let connection = fresh();
        let steps = ["CREATE TABLE two(a)", "ALTER TABLE two RENAME TO three"];
        migrate_by(&connection, &steps).unwrap();
        migrate_by(&connection, &steps).unwrap();
        assert_eq!(version(&connection).unwrap(), 3);
        connection.execute_batch("SELECT a FROM three").unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let connection = fresh();
        migrate_by(&connection, &["CREATE TABLE two(a)", "CREATE TABLE items(a)"]).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 1);
        connection.execute_batch("SELECT a FROM two").unwrap_err();
    }

    #[test]
    fn a_missing_column_is_named() {
        let connection = fresh();
        connection.execute_batch("ALTER TABLE warm RENAME COLUMN key TO other").unwrap();
        let what = missing(&connection).unwrap().unwrap();
        assert!(what.contains("warm") && what.contains("key"), "{what}");
    }
}
