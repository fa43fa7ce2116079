//! What is opened, what is refused, and that what is refused is left alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::fs;
use std::path::Path;

use larder_sqlite::{OpenError, SqliteEngine, SqliteOptions, backup, check};
use rusqlite::Connection;
use support::{Store, clock, options, services};

fn refusal(options: SqliteOptions) -> OpenError {
    match SqliteEngine::open(services(&clock()), options) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Names and bytes of everything in a folder but lock files.
fn picture(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn leaves_alone(folder: &Path) -> OpenError {
    let before = picture(folder);
    let error = refusal(options(folder));
    assert_eq!(picture(folder), before, "{error}");
    error
}

#[test]
fn folders_are_made_and_a_clean_stop_leaves_one_file() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b c%?#/d");
    let store = Store::open(&folder);
    store.set("k", b"v");
    store.close();
    let names: Vec<_> = picture(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["larder.db"]);
    assert_eq!(Store::open(&folder).value("k").unwrap(), b"v");
}

#[test]
fn a_second_opening_is_refused_but_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let error = refusal(options(folder.path()));
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("--data"), "{text}");
    let other = SqliteOptions { file_name: "other.db".into(), ..options(folder.path()) };
    let other = Store::open_with(other, clock());
    other.set("k", b"other");
    assert_eq!(store.value("k"), None);
}

#[test]
fn foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("larder.db");
    fs::write(&path, b"dear diary").unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "not even a lock file is made");
    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs(a); PRAGMA journal_mode=WAL")
        .unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("larder.db"), "{error}");
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).close();
    let path = folder.path().join("larder.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn broken_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("k", b"v");
    store.close();
    let path = folder.path().join("larder.db");
    let sound = fs::read(&path).unwrap();
    // The page of the schema, overwritten.
    let mut broken = sound.clone();
    broken[100..4096].fill(0xA5);
    fs::write(&path, &broken).unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    // Cut after the first page.
    fs::write(&path, &sound[..4096]).unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    // A table of ours is missing.
    fs::write(&path, &sound).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE journal").unwrap();
    connection.close().unwrap();
    let error = leaves_alone(folder.path());
    assert!(error.to_string().contains("journal"), "{error}");
}

#[test]
fn an_empty_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("larder.db"), b"").unwrap();
    let error = leaves_alone(folder.path());
    assert!(matches!(error, OpenError::Empty { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("larder.db") && text.contains("remove the file"), "{text}");
    let checked = check(&services(&clock()), &options(folder.path()), &mut |_| {});
    assert!(matches!(checked, Err(OpenError::Empty { .. })), "{checked:?}");
    fs::remove_file(folder.path().join("larder.db")).unwrap();
    Store::open(folder.path()).close();
}

/// What a kill leaves: the file, and a log with what was written last.
fn killed(folder: &Path) -> Vec<u8> {
    let store = Store::open(folder);
    for number in 0..20 {
        store.set(&format!("k{number}"), &[1; 3000]);
    }
    drop(store);
    fs::read(folder.join("larder.db-wal")).unwrap()
}

#[test]
fn a_log_that_was_removed_or_damaged_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = killed(folder.path());
    let log = folder.path().join("larder.db-wal");
    let refused = |what: &str| {
        let error = leaves_alone(folder.path());
        assert!(matches!(error, OpenError::Log { .. }), "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains("larder.db-wal") && text.contains(what) && text.contains("backup"), "{text}");
        let report = check(&services(&clock()), &options(folder.path()), &mut |_| {}).unwrap();
        assert!(report.findings.iter().any(|finding| finding.contains(what)), "{:?}", report.findings);
        let copies = tempfile::tempdir().unwrap();
        let copied =
            backup(&services(&clock()), &options(folder.path()), &copies.path().join("c.db"), &mut |_| {});
        assert!(matches!(copied, Err(OpenError::Log { .. })), "{copied:?}");
    };
    fs::remove_file(&log).unwrap();
    refused("is missing");
    fs::write(&log, b"").unwrap();
    refused("no readable head");
    fs::write(&log, vec![0xA5; whole.len()]).unwrap();
    refused("no readable head");
    let mut scratched = whole.clone();
    scratched[32 + 24 + 2000] ^= 1;
    fs::write(&log, &scratched).unwrap();
    refused("frame 0");
    fs::write(&log, &whole).unwrap();
    let store = Store::open(folder.path());
    assert_eq!(store.value("k19").unwrap(), [1; 3000]);
    store.close();
    // After a clean stop there is none, by right.
    assert!(!log.exists());
    Store::open(folder.path()).close();
}

#[test]
fn an_operator_may_go_on_without_a_lost_log() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path());
    fs::remove_file(folder.path().join("larder.db-wal")).unwrap();
    refusal(options(folder.path()));
    let connection = Connection::open(folder.path().join("larder.db")).unwrap();
    connection.execute_batch("UPDATE meta SET value = 2 WHERE name = 'clean'").unwrap();
    connection.close().unwrap();
    Store::open(folder.path()).close();
}

#[test]
fn a_refused_start_leaves_the_log_of_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path());
    let connection = Connection::open(folder.path().join("larder.db")).unwrap();
    connection.execute_batch("DELETE FROM journal WHERE slot = 2").unwrap();
    // As if this process had been killed too.
    let other = tempfile::tempdir().unwrap();
    for name in ["larder.db", "larder.db-wal"] {
        fs::copy(folder.path().join(name), other.path().join(name)).unwrap();
    }
    let before = picture(other.path());
    let error = refusal(options(other.path()));
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let mut after = picture(other.path());
    // The log's index is made anew by whoever looks.
    after.retain(|(name, _)| name != "larder.db-shm");
    assert_eq!(after, before);
}

#[test]
fn a_half_made_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("larder.db.new"), b"half made").unwrap();
    fs::write(folder.path().join("larder.db.new-journal"), b"half made").unwrap();
    let store = Store::open(folder.path());
    store.set("k", b"v");
    store.close();
    assert_eq!(picture(folder.path()).len(), 1);
}

#[test]
fn a_log_without_its_file_is_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("larder.db-wal"), b"somebody's data").unwrap();
    let error = leaves_alone(folder.path());
    assert!(error.to_string().contains("larder.db-wal"), "{error}");
}

#[test]
fn a_folder_that_is_a_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    fs::write(&folder, b"").unwrap();
    let text = refusal(options(&folder)).to_string();
    assert_eq!(text.matches(folder.to_str().unwrap()).count(), 1, "named once: {text}");
}

#[test]
fn a_damaged_journal_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("k", b"v");
    drop(store);
    let connection = Connection::open(folder.path().join("larder.db")).unwrap();
    let flipped =
        "UPDATE journal SET part = unhex(substr(hex(part), 1, 60) || '5A' || substr(hex(part), 63))";
    connection.execute_batch(flipped).unwrap();
    // Closing takes the log away, as its last user does.
    connection.execute_batch("UPDATE meta SET value = 2 WHERE name = 'clean'").unwrap();
    connection.close().unwrap();
    let error = refusal(options(folder.path()));
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("larder check"), "{error}");
}

/// The tables and the journal as the first version wrote them.
#[test]
fn a_file_of_format_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("larder.db")).unwrap();
    connection.execute_batch(include_str!("fixtures/format-1.sql")).unwrap();
    connection.close().unwrap();
    let store = Store::open(folder.path());
    assert_eq!(store.value("in the table").unwrap(), b"folded");
    assert_eq!(store.value("in the journal").unwrap(), b"journalled");
    assert_eq!(store.value("removed"), None);
    assert_eq!(store.value("flushed:1"), None);
    let counter = store.increment("counter").unwrap();
    assert_eq!((counter.value, counter.created), (42, false));
    assert!(counter.cas > 1_000_000, "above all ids of the old process");
    store.close();
    let report = check(&services(&clock()), &options(folder.path()), &mut |_| {}).unwrap();
    assert_eq!(report.findings, [""; 0]);
}
