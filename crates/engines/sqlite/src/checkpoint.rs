//! The checkpoint owner: the one thread that copies the write-ahead log into the file.
//!
//! SQLite's own checkpoints run inside a commit and make some unlucky command wait; here they run beside the writer.
//! A log that is written all the time is never wholly copied, so when it has grown to its bound the writer is held
//! at the gate while the last bit is copied, and the log starts anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use crate::shared::{Heard, Shared};

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Bytes of a page and of its frame's head in the log.
pub(crate) const FRAME_BYTES: u64 = PAGE_BYTES + 24;
/// Rest after a checkpoint that failed.
const REST: Duration = Duration::from_secs(1);

/// What a checkpoint left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Copied {
    in_log: i64,
    copied: i64,
}

/// Runs until the bell is closed.
pub(crate) fn run(shared: &Arc<Shared>, connection: &Connection) {
    let options = &shared.connector.options;
    // After a copy the log may go on growing: the next is made when as much again has come. So a reader that holds the log
    // for long (a backup) costs few attempts.
    let mut copied_at = 0;
    loop {
        match shared.checkpoint.wait(None) {
            Heard::Closed => return,
            Heard::Ring | Heard::TimedOut => {}
        }
        let bytes = shared.log_pages.load(Ordering::Relaxed) * FRAME_BYTES;
        if bytes < copied_at {
            copied_at = 0;
        }
        if bytes < copied_at + options.wal_bytes {
            continue;
        }
        let outcome = if bytes >= options.wal_bytes_max {
            restart(shared, connection)
        } else {
            checkpoint(connection, "PASSIVE")
        };
        match outcome {
            Ok(copied) => {
                copied_at =
                    if copied.copied >= copied.in_log && bytes >= options.wal_bytes_max { 0 } else { bytes };
                shared.counters.checkpoints.one();
            }
            Err(error) => {
                if !shared.notice_damage(&error) {
                    let path = shared.connector.path.display();
                    tracing::warn!("{path}: cannot copy the write-ahead log: {error}; will try again");
                }
                shared.counters.checkpoint_errors.one();
                if shared.checkpoint.wait(Some(REST)) == Heard::Closed {
                    return;
                }
                shared.checkpoint.ring();
            }
        }
    }
}

/// Copies as much as possible beside the writer, then the rest while it waits.
fn restart(shared: &Shared, connection: &Connection) -> rusqlite::Result<Copied> {
    checkpoint(connection, "PASSIVE")?;
    checkpoint(connection, "PASSIVE")?;
    shared.counters.checkpoint_waits.one();
    let _gate = shared.gate.lock();
    let copied = checkpoint(connection, "RESTART")?;
    if copied.copied >= copied.in_log {
        shared.log_pages.store(0, Ordering::Relaxed);
    }
    Ok(copied)
}

/// Copies what can be copied while others read and write.
pub(crate) fn copy_beside(connection: &Connection) -> rusqlite::Result<()> {
    checkpoint(connection, "PASSIVE").map(drop)
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Copied> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| Ok(Copied { in_log: row.get(1)?, copied: row.get(2)? }))
}
