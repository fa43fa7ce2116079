//! What only the command line says: how clients are served besides the stacks, and how the process runs.

use std::path::PathBuf;

use larder_server::{Accepted, Choice};

/// How clients are served. Stays as it is until the server stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Connections the kernel holds until they are accepted.
    pub backlog: i32,
    /// Which protocol clients may speak.
    pub protocol: Choice,
    /// Whether items have a CAS that clients see.
    pub cas: bool,
    /// Whether `flush_all` is obeyed.
    pub flush_allowed: bool,
    /// Whether clients may list keys.
    pub dump_allowed: bool,
    /// Whether `watch` is obeyed.
    pub watch_allowed: bool,
    /// Whether RAM that keeps items for good makes room for new ones when it is full.
    pub evictions: bool,
    /// What ends the prefix by which `stats detail` counts.
    pub detail_delimiter: u8,
    /// Whether `stats detail` counts from the start.
    pub detail: bool,
    /// Whether `stats sizes` counts items by size.
    pub track_sizes: bool,
    /// Whether a client too many is told so and closed; otherwise it waits until another leaves.
    pub refuse_connections_fast: bool,
    /// Bytes of requests being received, over all connections; `None`: larder's own bound.
    pub bytes_in_flight_max: Option<u64>,
    /// Bytes a watcher may be behind.
    pub watcher_buffer_bytes: u64,
    /// Bytes of lines for watchers that a worker may be ahead of them.
    pub worker_log_buffer_bytes: u64,
    /// Whether `debugtime` is obeyed.
    pub debug_commands: bool,
    /// memcached's settings that have no counterpart here.
    pub accepted: Accepted,
    /// The options that were given and have no effect, for the log.
    pub without_effect: Vec<String>,
}

impl Default for Service {
    fn default() -> Self {
        let chassis = larder_server::Options::default();
        Service {
            backlog: chassis.backlog,
            protocol: chassis.protocol,
            cas: chassis.cas,
            flush_allowed: chassis.flush_allowed,
            dump_allowed: chassis.dump_allowed,
            watch_allowed: chassis.watch_allowed,
            evictions: chassis.evictions,
            detail_delimiter: chassis.detail_delimiter,
            detail: chassis.detail,
            track_sizes: chassis.track_sizes,
            refuse_connections_fast: chassis.refuse_connections_fast,
            bytes_in_flight_max: None,
            watcher_buffer_bytes: chassis.watcher_buffer_bytes as u64,
            worker_log_buffer_bytes: chassis.worker_log_buffer_bytes as u64,
            debug_commands: chassis.debug_commands,
            accepted: chassis.accepted,
            without_effect: Vec::new(),
        }
    }
}

/// How the process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Whether to leave the terminal and run in the background.
    pub daemon: bool,
    /// The file that holds the number of the process while it runs.
    pub pid_file: Option<PathBuf>,
    /// The user to become once the addresses are bound, if started as root.
    pub user: Option<String>,
    /// Whether memory must not be swapped out.
    pub lock_memory: bool,
    /// Whether to give up, once started, ever gaining a privilege again.
    pub drop_privileges: bool,
    /// Whether a crash leaves a core file as large as the system allows.
    pub core_dumps: bool,
}
