//! What one source says: every setting optional, each with its place. Two drafts and the defaults make a plan.

use std::path::PathBuf;
use std::time::Duration;

use super::guard::GuardDraft;
use super::plan::{Listener, TcpAddress};
use super::report::Place;
use super::service::{Process, Service};
use super::sql::SqlDraft;
use super::stack::PlacedStack;

/// A value and where it is written.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// The settings that one source gives, each within its own limits.
#[derive(Debug, Default)]
pub struct Draft {
    /// Where to listen.
    pub listen: Option<Vec<Placed<Listener>>>,
    /// Where to listen for datagrams.
    pub udp: Option<Vec<Placed<TcpAddress>>>,
    /// Who may enter.
    pub guard: GuardDraft,
    /// Permission bits of unix sockets.
    pub unix_mask: Option<Placed<u32>>,
    /// The data folder.
    pub data: Option<Placed<PathBuf>>,
    /// Bytes of the shared RAM.
    pub memory_bytes: Option<Placed<u64>>,
    /// Worker threads.
    pub threads: Option<Placed<usize>>,
    /// Client connections at a time.
    pub connections_max: Option<Placed<usize>>,
    /// Largest value in bytes.
    pub item_size_bytes_max: Option<Placed<u64>>,
    /// Requests of one connection in one turn.
    pub requests_per_turn_max: Option<Placed<u32>>,
    /// When a silent connection is closed.
    pub idle_timeout: Option<Placed<Duration>>,
    /// Where metrics are served.
    pub metrics: Option<Placed<TcpAddress>>,
    /// How much is said.
    pub verbosity: Option<u8>,
    /// Whether `shutdown` is obeyed.
    pub allow_shutdown: Option<bool>,
    /// What only the command line says.
    pub service: Service,
    /// What only the command line says.
    pub process: Process,
    /// Where `--disable-evictions` stands.
    pub no_evictions: Option<Place>,
    /// What is said of tables in databases.
    pub sql: Option<SqlDraft>,
    /// The role among those of the tables.
    pub role: Option<Placed<String>>,
    /// The prefixes in the order written.
    pub prefixes: Vec<PlacedPrefix>,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// Whether the text was damaged, so that what seems missing may only be unreadable.
    pub is_broken: bool,
}

/// A prefix as one source gives it. What is `None` was refused already.
#[derive(Debug)]
pub struct PlacedPrefix {
    /// The whole of it.
    pub place: Place,
    /// The key.
    pub key: Option<Placed<String>>,
    /// The stack.
    pub stack: Option<PlacedStack>,
}
