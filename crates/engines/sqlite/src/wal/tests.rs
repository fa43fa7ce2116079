//! Logs that SQLite wrote, and what may become of them.

use std::fs;
use std::path::{Path, PathBuf};

use larder_engine::disk::LocalDisk;
use rusqlite::Connection;

use super::*;

const FRAME_BYTES: usize = FRAME_HEAD_BYTES + 4096;

struct Made {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Made {
    /// A file with a log of some commits.
    fn new() -> Made {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("t.db")).unwrap();
        connection.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a)").unwrap();
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(())).unwrap();
        let made = Made { folder, connection };
        (0..10).for_each(|number| made.commit(number));
        made
    }

    fn commit(&self, number: u8) {
        self.connection.execute("INSERT INTO t VALUES(zeroblob(5000 + ?1))", [number]).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("t.db-wal")).unwrap()
    }

    /// What is made of a log of these bytes.
    fn seen(&self, bytes: &[u8]) -> Log {
        let path: PathBuf = self.folder.path().join("looked-at");
        fs::write(&path, bytes).unwrap();
        look(&LocalDisk, &path).unwrap()
    }
}

#[test]
fn what_sqlite_wrote_is_whole_wherever_it_is_cut() {
    let made = Made::new();
    let bytes = made.bytes();
    assert_eq!(made.seen(&bytes), Log::Whole);
    assert_eq!(look(&LocalDisk, Path::new("/nonexistent/log")).unwrap(), Log::Missing);
    for length in 0..bytes.len() {
        if length < 100 || length % 509 == 0 {
            let expected = if length < HEAD_BYTES { Log::Headless } else { Log::Whole };
            assert_eq!(made.seen(&bytes[..length]), expected, "{length} bytes");
        }
    }
}

#[test]
fn a_head_that_is_none_is_seen() {
    let made = Made::new();
    for at in [0, 8, 17, 25, 31] {
        let mut bytes = made.bytes();
        bytes[at] ^= 0x40;
        assert_eq!(made.seen(&bytes), Log::Headless, "byte {at}");
    }
    assert_eq!(made.seen(&[0; 100_000]), Log::Headless);
}

#[test]
fn a_broken_frame_before_the_last_commit_is_seen() {
    let made = Made::new();
    let sound = made.bytes();
    let frames = (sound.len() - HEAD_BYTES) / FRAME_BYTES;
    // Each commit has a few frames; whatever is hit in the first half has commits behind it.
    for frame in 0..frames / 2 {
        for at in [0, 4, 8, 16, 23, 100, 4000] {
            let mut bytes = sound.clone();
            bytes[HEAD_BYTES + frame * FRAME_BYTES + at] ^= 0x10;
            assert_eq!(made.seen(&bytes), Log::Broken(frame as u64), "byte {at} of frame {frame}");
        }
    }
    // A whole stretch of it.
    let mut bytes = sound.clone();
    bytes[HEAD_BYTES..][..5 * FRAME_BYTES].fill(0);
    assert_eq!(made.seen(&bytes), Log::Broken(0));
}

#[test]
fn a_last_commit_that_was_torn_is_an_end() {
    let made = Made::new();
    let length = made.bytes().len();
    made.commit(10);
    let mut bytes = made.bytes();
    assert!(bytes.len() > length + FRAME_BYTES, "a commit of more than one frame");
    bytes[length + 1000] ^= 1;
    assert_eq!(made.seen(&bytes), Log::Whole);
}

#[test]
fn what_a_log_held_before_it_began_anew_does_not_count() {
    let made = Made::new();
    made.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    let before = made.bytes();
    made.commit(0);
    let bytes = made.bytes();
    assert_eq!(bytes.len(), before.len(), "old frames are behind the new ones");
    assert_eq!(made.seen(&bytes), Log::Whole);
    // The head of the new log and nothing of its frames.
    let mut torn = before;
    torn[..HEAD_BYTES].copy_from_slice(&bytes[..HEAD_BYTES]);
    assert_eq!(made.seen(&torn), Log::Whole);
}

/// A commit is torn, the next process takes the log up before it, and what it writes is shorter.
#[test]
fn what_a_torn_commit_left_behind_a_shorter_one_does_not_count() {
    let made = Made::new();
    let length = made.bytes().len();
    made.connection.execute("INSERT INTO t VALUES(zeroblob(100000))", []).unwrap();
    let mut torn = made.bytes();
    torn[length + 1000] ^= 1;
    let other = tempfile::tempdir().unwrap();
    fs::copy(made.folder.path().join("t.db"), other.path().join("t.db")).unwrap();
    fs::write(other.path().join("t.db-wal"), &torn).unwrap();
    let connection = Connection::open(other.path().join("t.db")).unwrap();
    connection.execute("INSERT INTO t VALUES(1)", []).unwrap();
    let bytes = fs::read(other.path().join("t.db-wal")).unwrap();
    assert_eq!(bytes.len(), torn.len(), "the rest of the torn commit is behind");
    assert_eq!(made.seen(&bytes), Log::Whole);
}
