//! Numbers for `stats larder`.

use std::time::Duration;

larder_engine::counters! {
    /// Batches that carried commands.
    commits,
    /// Commands in them.
    commit_commands,
    /// Most commands in one.
    commit_commands_max,
    /// Microseconds in them, from the first decision to the last sync.
    commit_microseconds,
    /// The slowest.
    commit_microseconds_max,
    /// Batches of which something failed.
    commit_errors,
    /// Commands refused because a queue was full.
    queue_refusals,
    /// Files written.
    files_written,
    /// Files removed.
    files_removed,
    /// Folders of items synced.
    folder_syncs,
    /// Look-ups answered by a reader thread.
    reads,
    /// Look-ups that waited for a change on its way to the disk.
    reads_behind_a_change,
    /// Look-ups and scans that failed.
    read_errors,
    /// Damaged files met; one file may be met often.
    damaged_files,
    /// Files met that are not ours.
    unknown_files,
    /// Files the purge has looked at.
    purge_files,
    /// Files the purge has removed.
    purge_removed,
    /// Passes of the purge that came to their end.
    purge_passes,
    /// Purge steps that failed.
    purge_errors,
}

impl Counters {
    pub fn commit(&self, commands: usize, took: Duration) {
        let microseconds = took.as_micros() as u64;
        self.commits.one();
        self.commit_commands.add(commands as u64);
        self.commit_commands_max.raise_to(commands as u64);
        self.commit_microseconds.add(microseconds);
        self.commit_microseconds_max.raise_to(microseconds);
    }
}
