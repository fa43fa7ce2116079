//! Numbers for `stats larder`.

use std::time::Duration;

larder_engine::counters! {
    /// Transactions that carried commands.
    commits,
    /// Commands in them.
    commit_commands,
    /// Most commands in one.
    commit_commands_max,
    /// Microseconds in them, from the first decision to the sync.
    commit_microseconds,
    /// The slowest.
    commit_microseconds_max,
    /// Transactions that failed.
    commit_errors,
    /// Commands refused because the queue was full.
    queue_refusals,
    /// Look-ups answered from the overlay.
    overlay_hits,
    /// Look-ups answered by a reader thread.
    table_reads,
    /// Batches the reader threads made of them.
    table_read_batches,
    /// Rows looked up in the table, by readers and writer.
    selects,
    /// Look-ups and scans that failed.
    read_errors,
    /// Keys folded into the table.
    folded_keys,
    /// Sweeps of folding that came to their end.
    fold_sweeps,
    /// Folding that failed.
    fold_errors,
    /// Values that went to the table without the journal.
    large_values,
    /// Checkpoints.
    checkpoints,
    /// Those for which writes had to wait.
    checkpoint_waits,
    /// Checkpoints that failed.
    checkpoint_errors,
    /// Rows the purge has looked at.
    purge_rows,
    /// Rows the purge has removed.
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
