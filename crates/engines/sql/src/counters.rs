//! Numbers for `stats larder`.

use std::sync::atomic::{AtomicU64, Ordering};

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
                $(give(stringify!($name), self.$name.0.load(Ordering::Relaxed));)*
            }

            pub fn reset(&self) {
                $(self.$name.0.store(0, Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    /// Keys looked up.
    reads,
    /// Statements that looked them up.
    read_statements,
    /// Commands that may change a row.
    writes,
    /// Transactions they were committed in.
    transactions,
    /// Increments and decrements done by the database itself.
    steps,
    /// Statements that did them.
    step_statements,
    /// Repetitions after deadlocks and the like.
    retries,
    /// Batches taken apart because one of their commands failed.
    taken_apart,
    /// Commands that failed.
    errors,
    /// Expired rows removed.
    expired_removed,
    /// Expiries for which there is no column.
    expiries_ignored,
}
