//! Looking at a store from outside: check and backup.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder_engine::{Expiry, ScanOrder, Scope};
use larder_sqlite::{CheckReport, OpenError, SqliteOptions, backup, check, stores_in};
use rusqlite::Connection;
use support::{Store, clock, options, services};

fn checked(options: &SqliteOptions) -> Result<CheckReport, OpenError> {
    check(&services(&clock()), options, &mut |_| {})
}

#[test]
fn a_sound_store_has_no_findings_stopped_or_killed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    assert!(matches!(checked(&options), Err(OpenError::Missing { .. })));
    let store = Store::open(folder.path());
    for number in 0..500 {
        store.set(&format!("key{number}"), &vec![1; number * 10]);
    }
    store.set("long", &[2; 200_000]);
    store.flush(Scope::Prefix(b"key1"), None);
    assert!(matches!(checked(&options), Err(OpenError::Locked { .. })));
    drop(store);
    let report = checked(&options).unwrap();
    assert_eq!(report.findings, [""; 0]);
    assert!(!report.stopped_cleanly && report.journal_batches > 0);
    Store::open(folder.path()).close();
    let mut steps = Vec::new();
    let report = check(&services(&clock()), &options, &mut |progress| steps.push(progress.step)).unwrap();
    assert_eq!(report.findings, [""; 0]);
    assert!(report.stopped_cleanly && report.is_sound() && report.journal_batches == 0 && !steps.is_empty());
    assert_eq!(stores_in(&services(&clock()), folder.path()).unwrap(), ["larder.db"]);
}

/// Makes a store, plants a fault by SQL, and returns what the check finds.
fn planted(fault: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("folded", b"v");
    store.wait_until_folded();
    store.set("one", b"v");
    store.set("two", b"v");
    store.set("three", b"v");
    drop(store);
    let connection = Connection::open(folder.path().join("larder.db")).unwrap();
    connection.execute_batch(fault).unwrap();
    // Closing takes the log away, as its last user does.
    connection.execute_batch("UPDATE meta SET value = 2 WHERE name = 'clean'").unwrap();
    connection.close().unwrap();
    checked(&options(folder.path())).unwrap().findings
}

#[test]
fn planted_faults_are_found() {
    // Batch 1 was folded, and its slot used again: slots 1 to 3 hold batches 2 to 4.
    let flipped = "UPDATE journal SET part = unhex(substr(hex(part), 1, 60) || '5A' || substr(hex(part), 63)) \
                   WHERE slot = 2";
    for (fault, word) in [
        (flipped, "checksum"),
        ("DELETE FROM journal WHERE slot = 2", "missing"),
        ("UPDATE journal SET part = x'00' WHERE slot = 2", "slot 2 has 1 bytes"),
        ("UPDATE items SET version = 999999999999", "never given"),
        ("UPDATE items SET state = 64", "state"),
        ("UPDATE items SET expiry = -1", "expiry"),
        ("UPDATE items SET key = x''", "key"),
        ("UPDATE meta SET value = 17 WHERE name = 'items'", "counts 17 items"),
        ("INSERT INTO flushes VALUES(x'', 0, 999999999999)", "flush"),
        ("DROP TABLE warm", "warm"),
    ] {
        let findings = planted(fault);
        assert!(findings.iter().any(|finding| finding.contains(word)), "{fault}: {findings:?}");
    }
    assert_eq!(planted("SELECT 1"), [""; 0]);
}

/// A stopped store in whose table a page is overwritten; the bytes of the file.
fn make_damaged(folder: &Path) -> Vec<u8> {
    let store = Store::open(folder);
    for number in 0..2000 {
        store.set(&format!("key{number}"), &[1; 100]);
    }
    store.close();
    let path = folder.join("larder.db");
    let mut bytes = fs::read(&path).unwrap();
    // One of the pages that hold the key is in use; others may be free ones with what they held before.
    for page in bytes.chunks_mut(4096).skip(1) {
        if page.windows(7).any(|window| window == b"key1500") {
            page.fill(0x5A);
        }
    }
    fs::write(&path, &bytes).unwrap();
    bytes
}

#[test]
fn damaged_pages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = make_damaged(folder.path());
    let report = checked(&options(folder.path())).unwrap();
    assert!(!report.is_sound());
    assert_eq!(fs::read(folder.path().join("larder.db")).unwrap(), bytes, "a check changes nothing");
}

#[test]
fn a_damaged_store_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let bytes = make_damaged(folder.path());
    let to = copies.path().join("larder.db");
    let error = backup(&services(&clock()), &options(folder.path()), &to, &mut |_| {}).unwrap_err();
    assert!(matches!(error, OpenError::UnsoundCopy { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("larder check"), "{text}");
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0, "nothing of the copy is left");
    assert_eq!(fs::read(folder.path().join("larder.db")).unwrap(), bytes, "the source is left alone");
}

/// While somebody reads, the log cannot start anew and grows; its room comes back once they are done.
#[test]
fn a_log_that_a_long_read_made_grow_shrinks_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { wal_bytes: 64 << 10, wal_bytes_max: 128 << 10, ..options(folder.path()) };
    let store = Store::open_with(options, clock());
    let log_bytes = || fs::metadata(folder.path().join("larder.db-wal")).unwrap().len();
    let reader = Connection::open(folder.path().join("larder.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
    while log_bytes() < 2 << 20 {
        store.set("k", &[1; 10_000]);
    }
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    let start = Instant::now();
    while log_bytes() > 512 << 10 {
        assert!(start.elapsed() < Duration::from_secs(20), "still {} bytes", log_bytes());
        store.set("k", &[1; 10_000]);
    }
    store.close();
}

#[test]
fn a_backup_under_traffic_is_one_moment_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for number in 0..2000 {
        store.set(&format!("filler{number:04}"), &[3; 1000]);
    }
    let to = copies.path().join("larder.db");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| {
            let report = backup(&services(&clock()), &options(folder.path()), &to, &mut |_| {});
            over.store(true, Ordering::SeqCst);
            report
        });
        // Two items written one after the other: a copy may have the first alone, never the second alone.
        let mut number = 0;
        while !over.load(Ordering::SeqCst) {
            store.set("first", number.to_string().as_bytes());
            store.set("second", number.to_string().as_bytes());
            number += 1;
        }
        let report = copying.join().unwrap().unwrap();
        assert_eq!(report.bytes, fs::metadata(&to).unwrap().len());
    });
    let report = checked(&options(copies.path())).unwrap();
    assert_eq!(report.findings, [""; 0]);
    let copy = Store::open(copies.path());
    assert_eq!(
        copy.scan(ScanOrder::Any, 100_000).iter().filter(|(key, _)| key.starts_with("filler")).count(),
        2000
    );
    let number =
        |key: &str| copy.value(key).map(|value| String::from_utf8(value).unwrap().parse::<u64>().unwrap());
    if let Some(second) = number("second") {
        let first = number("first").unwrap();
        assert!(first == second || first == second + 1, "{first} and {second}");
    }
    store.set("after", b"the source goes on");
    store.close();
}

#[test]
fn a_backup_of_a_stopped_store_leaves_it_alone_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let store = Store::open(folder.path());
    store.try_set("k", b"v", Expiry::NEVER).unwrap();
    store.close();
    let to = folder.path().join("copy.db");
    let mut last = None;
    backup(&services(&clock()), &options, &to, &mut |progress| last = Some(progress)).unwrap();
    let last = last.unwrap();
    assert_eq!(last.done, last.total);
    let again = backup(&services(&clock()), &options, &to, &mut |_| {});
    assert!(matches!(again, Err(OpenError::Exists { .. })));
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy.db", "larder.db", "larder.lock"]);
    let nothing = SqliteOptions { file_name: "none.db".into(), ..options.clone() };
    let missing = backup(&services(&clock()), &nothing, &folder.path().join("x.db"), &mut |_| {});
    assert!(matches!(missing, Err(OpenError::Missing { .. })));
    let copy = Store::open_with(SqliteOptions { file_name: "copy.db".into(), ..options }, clock());
    assert_eq!(copy.value("k").unwrap(), b"v");
}

#[test]
fn a_backup_of_a_killed_store_has_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("k", b"v");
    drop(store);
    backup(&services(&clock()), &options(folder.path()), &copies.path().join("larder.db"), &mut |_| {})
        .unwrap();
    assert_eq!(Store::open(copies.path()).value("k").unwrap(), b"v");
}
