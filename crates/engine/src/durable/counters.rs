//! Numbers for `stats larder`.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows, until it is reset.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// So many events.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// One event.
    pub fn one(&self) {
        self.add(1);
    }

    /// For a highest value.
    pub fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// Events so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins again.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Makes `Counters`, a struct of [`Counter`]s, each with its own documentation, that can be listed and reset.
#[macro_export]
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of events.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub $name: $crate::durable::Counter,)*
        }

        impl Counters {
            /// Name and value of each.
            pub fn each(&self, mut give: impl FnMut(&str, u64)) {
                $(give(stringify!($name), self.$name.get());)*
            }

            /// Begins all of them again.
            pub fn reset(&self) {
                $(self.$name.reset();)*
            }
        }
    };
}
