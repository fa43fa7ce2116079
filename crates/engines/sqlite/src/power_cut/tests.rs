//! SQLite on the simulated disk, without an engine.

use std::path::Path;

use larder_engine::disk::Disk;
use larder_engine::kit::SimDisk;
use rusqlite::{Connection, OpenFlags};

use super::attach;
use super::locks::{Busy, FileLocks, Level, SlotLocks};

fn open(disk: &SimDisk) -> Connection {
    attach(disk);
    let name = disk.sqlite_vfs().unwrap();
    let connection =
        Connection::open_with_flags_and_vfs("/test.db", OpenFlags::default(), name.as_str()).unwrap();
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
}

fn count(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn connections_of_one_process_see_one_store() {
    let disk = SimDisk::new();
    let (writer, reader) = (open(&disk), open(&disk));
    writer.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES(1)").unwrap();
    assert_eq!(count(&reader), 1);
    writer.execute_batch("BEGIN; INSERT INTO t VALUES(2)").unwrap();
    assert_eq!(count(&reader), 1);
    reader.busy_timeout(std::time::Duration::ZERO).unwrap();
    reader.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 2);
}

#[test]
fn what_was_committed_is_there_after_a_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new();
        let connection = open(&disk);
        disk.sync_folder(Path::new("/")).unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        for number in 0..50 {
            connection.execute("INSERT INTO t VALUES(?1)", [number]).unwrap();
            if number == 25 {
                connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            }
        }
        let after = open(&disk.restart(seed));
        assert_eq!(count(&after), 50);
        let verdict: String = after.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

#[test]
fn without_synchronous_a_cut_loses_or_breaks_something() {
    let lost = (0..20).filter(|seed| {
        let disk = SimDisk::new();
        let connection = open(&disk);
        disk.sync_folder(Path::new("/")).unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        for number in 0..50 {
            connection.execute("INSERT INTO t VALUES(?1)", [number]).unwrap();
        }
        count(&open(&disk.restart(*seed))) < 50
    });
    assert!(lost.count() > 5);
}

#[test]
fn after_a_cut_every_statement_fails() {
    let disk = SimDisk::new();
    let connection = open(&disk);
    connection.execute_batch("CREATE TABLE t(a)").unwrap();
    disk.cut_at_sync(1);
    connection.execute_batch("INSERT INTO t VALUES(1)").unwrap_err();
    connection.execute_batch("INSERT INTO t VALUES(1)").unwrap_err();
}

#[test]
fn a_full_disk_is_told_as_such() {
    let disk = SimDisk::new();
    let connection = open(&disk);
    connection.execute_batch("CREATE TABLE t(a)").unwrap();
    disk.set_capacity(Some(100_000));
    let failed = (0..1000)
        .find_map(|_| connection.execute_batch("INSERT INTO t VALUES(zeroblob(5000))").err())
        .expect("100,000 bytes hold no 1,000 values of 5,000");
    assert_eq!(failed.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    disk.set_capacity(None);
    connection.execute_batch("INSERT INTO t VALUES(1)").unwrap();
}

#[test]
fn levels_exclude_as_sqlite_wants() {
    let mut locks = FileLocks::default();
    locks.lock(1, Level::Shared).unwrap();
    locks.lock(2, Level::Shared).unwrap();
    locks.lock(1, Level::Reserved).unwrap();
    assert!(locks.is_reserved());
    assert_eq!(locks.lock(2, Level::Reserved), Err(Busy));
    locks.lock(3, Level::Shared).unwrap();
    assert_eq!(locks.lock(1, Level::Exclusive), Err(Busy));
    // Pending now: no new readers.
    assert_eq!(locks.lock(4, Level::Shared), Err(Busy));
    locks.unlock(2, Level::None);
    locks.unlock(3, Level::None);
    locks.lock(1, Level::Exclusive).unwrap();
    assert_eq!(locks.lock(2, Level::Shared), Err(Busy));
    locks.unlock(1, Level::Shared);
    locks.lock(2, Level::Shared).unwrap();
}

#[test]
fn slots_are_shared_or_exclusive() {
    let mut slots = SlotLocks::default();
    slots.lock_shared(1, 3, 1).unwrap();
    slots.lock_shared(2, 3, 1).unwrap();
    assert_eq!(slots.lock_exclusive(3, 2, 3), Err(Busy));
    slots.lock_exclusive(3, 4, 2).unwrap();
    assert_eq!(slots.lock_shared(1, 5, 1), Err(Busy));
    slots.unlock(1, 3, 1);
    assert_eq!(slots.lock_exclusive(3, 3, 1), Err(Busy));
    slots.unlock_all(2);
    slots.lock_exclusive(3, 3, 1).unwrap();
}
