//! Numbers for `stats larder`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One number that only grows, until it is reset.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of events.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Name and value of each.
            pub fn each(&self, mut give: impl FnMut(&str, u64)) {
                $(give(stringify!($name), self.$name.get());)*
            }

            pub fn reset(&self) {
                $(self.$name.reset();)*
            }
        }
    };
}

counters! {
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
