//! Counters of events: plain numbers of one worker each, summed when asked.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that one thread counts and any thread reads.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the counting thread may call this: it is a load and a store, not one step.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of one worker. Only that worker counts.
        #[derive(Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        /// Sums over all workers, less what they were at the last reset.
        #[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
        pub struct Totals {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Totals {
            /// Adds a worker's counters.
            pub fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.value();)+
            }

            /// What was counted since `base`.
            pub fn since(&self, base: &Totals) -> Totals {
                Totals { $($name: self.$name.wrapping_sub(base.$name),)+ }
            }

            /// Name, meaning and value of each.
            pub fn each(&self, mut visit: impl FnMut(&'static str, &'static str, u64)) {
                $(visit(stringify!($name), concat!($($doc),+), self.$name);)+
            }
        }
    };
}

counters! {
    /// Keys looked up.
    cmd_get,
    /// Storage commands that reached a store.
    cmd_set,
    /// Flush commands.
    cmd_flush,
    /// Touch and get-and-touch commands.
    cmd_touch,
    /// Meta debug commands.
    cmd_meta,
    /// Keys found.
    get_hits,
    /// Keys not found.
    get_misses,
    /// Keys not found because their items had expired, where the engine tells.
    get_expired,
    /// Keys not found because their items were flushed, where the engine tells.
    get_flushed,
    /// Deletions that found nothing.
    delete_misses,
    /// Items deleted.
    delete_hits,
    /// Increments that found nothing.
    incr_misses,
    /// Increments done.
    incr_hits,
    /// Decrements that found nothing.
    decr_misses,
    /// Decrements done.
    decr_hits,
    /// Compare-and-swaps that found nothing.
    cas_misses,
    /// Compare-and-swaps done.
    cas_hits,
    /// Compare-and-swaps that found another CAS.
    cas_badval,
    /// Touches that found an item.
    touch_hits,
    /// Touches that found nothing.
    touch_misses,
    /// Values refused for their size.
    store_too_large,
    /// Values refused for want of memory.
    store_no_memory,
    /// Successful stores.
    total_items,
    /// Attempts to authenticate.
    auth_cmds,
    /// Attempts to authenticate that failed.
    auth_errors,
    /// TLS handshakes that failed.
    ssl_handshake_errors,
    /// Encrypted streams that were damaged after the handshake.
    ssl_proto_errors,
    /// TLS sessions that began anew.
    ssl_new_sessions,
    /// Bytes read from clients.
    bytes_read,
    /// Bytes sent to clients.
    bytes_written,
    /// Times a connection gave way to others.
    conn_yields,
    /// Requests answered with an error of a store.
    store_errors,
    /// Connections closed for being silent too long.
    idle_kicks,
    /// Silent connections whose tasks were given up until they say something.
    rested,
    /// Connections closed for sending a large value too slowly while others waited for room.
    slow_uploads,
    /// Connections closed for a retrieval line there was no room for.
    read_buf_oom,
}
