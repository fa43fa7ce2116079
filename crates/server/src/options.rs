//! What the chassis is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use larder_protocol::Choice;

use crate::accepted::Accepted;
use crate::guard::Authentication;
use crate::tls::{ClientCertificates, TlsOptions};

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenAddress {
    /// A TCP address; port 0 is any free one.
    Tcp(SocketAddr),
    /// The same, encrypted, and what is asked of its clients. Needs [`Options::tls`].
    Tls(SocketAddr, ClientCertificates),
    /// A unix socket, with the permissions of its file. A stale socket file is replaced.
    Unix {
        /// The socket file.
        path: PathBuf,
        /// Permission bits, such as 0o700.
        mode: u32,
    },
}

/// Settings that a reload may change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunables {
    /// Client connections at a time.
    pub connections_max: usize,
    /// Longest value in bytes.
    pub item_size_max: u32,
    /// Requests answered for one connection before others get their turn.
    pub requests_per_turn: u32,
    /// A silent connection is closed after this.
    pub idle_timeout: Option<Duration>,
    /// Whether `shutdown` is allowed.
    pub shutdown_allowed: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables {
            connections_max: 1024,
            item_size_max: 1 << 20,
            requests_per_turn: 20,
            idle_timeout: None,
            shutdown_allowed: false,
        }
    }
}

/// Settings of the chassis that stay until it stops.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; at least one.
    pub listen: Vec<ListenAddress>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Pending connections the kernel keeps for us.
    pub backlog: i32,
    /// Bound on values and long lines being received, over all connections, in bytes; beyond it reading of values
    /// pauses, and lines are refused. When as much is unsent, each connection may have little of it.
    pub bytes_in_flight_max: usize,
    /// How long a stop waits for clients to take their answers.
    pub drain_patience: Duration,
    /// The version the server says it is. Clients and test programs read the digits in front as memcached's and
    /// expect of a server what that version could do, so they name the version whose behaviour larder follows.
    pub version: &'static str,
    /// Configured memory for RAM engines in bytes, for `stats`.
    pub memory_bytes: u64,
    /// First level of the log.
    pub verbosity: u32,
    /// Which protocol clients may speak.
    pub protocol: Choice,
    /// How clients say who they are: by SASL in the binary protocol alone, so then `protocol` must be that, and by
    /// text in the others.
    pub authentication: Authentication,
    /// What TLS listeners need.
    pub tls: Option<TlsOptions>,
    /// How long a TLS handshake may take.
    pub handshake_patience: Duration,
    /// UDP addresses; port 0 is any free one. Empty: no UDP.
    pub udp: Vec<SocketAddr>,
    /// Whether items have a CAS that clients see; otherwise it is 0 everywhere.
    pub cas: bool,
    /// Whether `flush_all` is obeyed.
    pub flush_allowed: bool,
    /// Whether clients may list keys (`lru_crawler metadump`, `stats cachedump`, `stats detail`).
    pub dump_allowed: bool,
    /// Whether `watch` is obeyed.
    pub watch_allowed: bool,
    /// Whether full RAM makes room for new items, for `stats`.
    pub evictions: bool,
    /// What ends the prefix by which `stats detail` counts.
    pub detail_delimiter: u8,
    /// Whether `stats detail` counts from the start.
    pub detail: bool,
    /// Whether `stats sizes` counts items by size.
    pub track_sizes: bool,
    /// Whether a client too many is told so and closed; otherwise it waits until another leaves.
    pub refuse_connections_fast: bool,
    /// Bytes a watcher may be behind before it loses lines.
    pub watcher_buffer_bytes: usize,
    /// Bytes of lines for watchers that a worker may be ahead of them.
    pub worker_log_buffer_bytes: usize,
    /// Whether `debugtime` is obeyed.
    pub debug_commands: bool,
    /// memcached's settings without a counterpart here, for `stats settings`.
    pub accepted: Accepted,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: Vec::new(),
            workers: 4,
            backlog: 1024,
            bytes_in_flight_max: 256 << 20,
            drain_patience: Duration::from_secs(10),
            version: concat!("1.6.45-larder-", env!("CARGO_PKG_VERSION")),
            memory_bytes: 64 << 20,
            verbosity: 0,
            protocol: Choice::Auto,
            authentication: Authentication::None,
            tls: None,
            handshake_patience: Duration::from_secs(10),
            udp: Vec::new(),
            cas: true,
            flush_allowed: true,
            dump_allowed: true,
            watch_allowed: true,
            evictions: true,
            detail_delimiter: b':',
            detail: false,
            track_sizes: false,
            refuse_connections_fast: true,
            watcher_buffer_bytes: 256 << 10,
            worker_log_buffer_bytes: 64 << 10,
            debug_commands: false,
            accepted: Accepted::default(),
        }
    }
}
