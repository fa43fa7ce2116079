//! The checked configuration: plain data, complete, with every default filled in.
//!
//! Whatever builds the server reads a [`Plan`] and nothing else; neither TOML nor the command line reaches further in.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_module::Profile;

use super::guard::{Encryption, Guard};
use super::service::{Process, Service};
use super::sql::SqlTable;
use super::units::{format_duration, format_size};

/// The name under which the program was called; it decides the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Durable by default, listening on loopback.
    Larder,
    /// Called as `memcached`: items in RAM only, listening on all addresses.
    Memcached,
}

/// Everything the server needs to know to run. Made by [`super::check`] only, so every value obeys its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The name the program was called by.
    pub program: Program,
    /// The file part of the plan was read from, as named on the command line.
    pub config_file: Option<PathBuf>,
    /// Where to listen for clients; no two alike. With those for datagrams at least one.
    pub listeners: Vec<Listener>,
    /// Where to listen for datagrams.
    pub udp: Vec<TcpAddress>,
    /// Who may enter.
    pub guard: Guard,
    /// Permission bits of unix sockets, 0 to 0o777.
    pub unix_mask: u32,
    /// The folder of everything durable. Relative paths start at the working directory.
    pub data: PathBuf,
    /// Bytes of the one RAM engine shared by every bare `ram`.
    pub memory_bytes: u64,
    /// Worker threads, 1 to [`super::limits::THREADS_MAX`].
    pub threads: usize,
    /// Client connections at a time, at least 1.
    pub connections_max: usize,
    /// Largest value a client may store, in bytes; within what every stack's engines can hold.
    pub item_size_bytes_max: u64,
    /// Requests of one connection that a worker answers before it turns to the others; at least 1.
    pub requests_per_turn_max: u32,
    /// A connection silent for this long is closed. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Where Prometheus text and `/ready` are served.
    pub metrics: Option<TcpAddress>,
    /// 0: warnings and errors, 1: also what changes, 2: also connections, commands and answers, 3: everything.
    pub verbosity: u8,
    /// Whether a client's `shutdown` command is obeyed.
    pub allow_shutdown: bool,
    /// How clients are served besides.
    pub service: Service,
    /// How the process runs.
    pub process: Process,
    /// The stacks by prefix, sorted by key. Keys are unique, and the first is always the catch-all `""`.
    pub prefixes: Vec<Prefix>,
    /// What the operator should know although it is no mistake; one sentence each, for the log.
    pub notes: Vec<String>,
}

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listener {
    /// A TCP address.
    Tcp(TcpAddress),
    /// A TCP address that says whether it is encrypted. In a plan it is, and what is asked of clients is settled.
    Tls(TcpAddress, Encryption),
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// A host and a port to bind. Names are resolved by whoever binds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TcpAddress {
    /// Which of this machine's addresses.
    pub host: Host,
    /// Port; 0 takes any free one.
    pub port: u16,
}

/// The host part of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Every address of this machine, IPv4 and IPv6.
    All,
    /// One address; `0.0.0.0` and `::` stand for all of their family.
    Address(IpAddr),
    /// A host name.
    Name(String),
}

/// A key prefix and the stack that keeps its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// At most 250 bytes; `""` takes every key that no longer prefix takes.
    pub key: String,
    /// Where its items live.
    pub stack: Stack,
}

/// Engines on top of each other: caches above at most one store. Stacks that are equal are one and share their
/// engines, but for those with a `ram(SIZE)`: each prefix has that RAM for its own, and above a store its own queue of
/// writes. A store is one for all stacks that name its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Uppermost first, at least one: one cache, one store, or a cache over a store.
    pub layers: Vec<Layer>,
    /// How the cache and the store work together; present exactly when there are both.
    pub tier: Option<Tier>,
}

/// One engine of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The memory engine.
    Ram {
        /// Bytes of a RAM of its own; `None`: the RAM shared by every bare `ram`.
        size_bytes: Option<u64>,
    },
    /// The durable local store.
    Sqlite {
        /// The database file, a path inside [`Plan::data`] that ends in `.db`. Stacks that name the same file share the store.
        file: PathBuf,
    },
    /// The durable local store with one file a key.
    File {
        /// Its folder, a path inside [`Plan::data`] that does not end in `.db`. Stacks that name the same folder share the
        /// store.
        folder: PathBuf,
    },
    /// Rows of a table in a database.
    Sql(Box<SqlTable>),
    /// An engine from a shared library.
    Module(Module),
}

impl Layer {
    /// Whether it keeps items for good.
    pub fn is_store(&self) -> bool {
        !matches!(self, Layer::Ram { .. })
    }

    /// The file or folder of a store inside [`Plan::data`]; no two stores have the same. `None`: not a store, or one that
    /// is elsewhere.
    pub fn store(&self) -> Option<&Path> {
        match self {
            Layer::Ram { .. } | Layer::Sql(_) | Layer::Module(_) => None,
            Layer::Sqlite { file: path } | Layer::File { folder: path } => Some(path),
        }
    }
}

/// A shared library with an engine, and how it is used. A library is used once: all stacks that name it agree on the rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Module {
    /// With a slash a path, otherwise a name.
    pub library: PathBuf,
    /// The engine's own configuration.
    pub config: Option<String>,
    /// What it was compiled for.
    pub profile: Profile,
    /// Whether all its functions must be its own.
    pub checks_slots: bool,
}

impl Module {
    /// A library with the default settings.
    pub fn new(library: impl Into<PathBuf>) -> Self {
        Module { library: library.into(), config: None, profile: Profile::Auto, checks_slots: true }
    }
}

/// The arguments of `module` that state this.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_if_needed(&self.library.to_string_lossy()))?;
        if let Some(config) = &self.config {
            write!(f, ", config={}", quote_if_needed(config))?;
        }
        if self.profile != Profile::Auto {
            write!(f, ", profile={}", self.profile)?;
        }
        if !self.checks_slots {
            f.write_str(", slots=unchecked")?;
        }
        Ok(())
    }
}

/// The settings of a cache over a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// When a write is acknowledged.
    pub write: Write,
    /// How long the cache remembers that the store has no such key, in whole seconds; `None`: not at all.
    pub negative_ttl: Option<Duration>,
    /// How long a copy counts as what the store has, in whole seconds; zero: until it is evicted. Present exactly when
    /// others write the store too.
    pub fresh: Option<Duration>,
}

/// When a write to a cache over a store is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// When the store has it.
    Through,
    /// When it is queued in RAM; the store gets it later.
    Behind {
        /// Bytes that may wait for the store; beyond them writers wait.
        dirty_bytes_max: u64,
        /// How long a write may wait for the store; when the oldest waits longer, writers wait.
        dirty_age_max: Duration,
    },
}

impl Plan {
    /// The stack that a key prefix names, if it is one of the plan's.
    pub fn stack(&self, key: &str) -> Option<&Stack> {
        let index = self.prefixes.binary_search_by(|prefix| prefix.key.as_str().cmp(key)).ok()?;
        Some(&self.prefixes[index].stack)
    }
}

impl Stack {
    /// The undermost engine: where the items live.
    pub fn lowest(&self) -> &Layer {
        self.layers.last().expect("a stack has at least one layer")
    }

    /// Whether it is each prefix's own, so that equal stacks of two prefixes are two: its RAM is, or the rows of its keys,
    /// which are found by what follows the prefix.
    pub fn is_prefixs_own(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, Layer::Ram { size_bytes: Some(_) } | Layer::Sql(_)))
    }

    /// Whether writes wait in RAM for the store.
    pub fn is_written_behind(&self) -> bool {
        self.tier.as_ref().is_some_and(|tier| matches!(tier.write, Write::Behind { .. }))
    }

    /// What the acknowledgement of a write promises, in words.
    pub fn promise(&self) -> String {
        match self.lowest() {
            Layer::Ram { .. } => {
                return "a write is acknowledged in RAM: items are lost when the server stops".to_owned();
            }
            Layer::Sql(_) => {
                return "a write is acknowledged when the database has committed it".to_owned();
            }
            Layer::Module(_) => {
                return "a write is acknowledged when the module says so; what that survives is the module's affair"
                    .to_owned();
            }
            Layer::Sqlite { .. } | Layer::File { .. } => {}
        }
        match self.tier.as_ref().map(|tier| &tier.write) {
            None => "a write is acknowledged after fsync: it survives kill -9 and a power cut".to_owned(),
            Some(Write::Through) => {
                "write=through: a write is acknowledged after fsync: it survives kill -9 and a power cut"
                    .to_owned()
            }
            Some(Write::Behind { dirty_bytes_max, dirty_age_max }) => format!(
                "write=behind: a write is acknowledged while queued in RAM: a crash loses what has not reached the \
                 disk, at most {} and normally no older than {}",
                format_size(*dirty_bytes_max),
                format_duration(*dirty_age_max)
            ),
        }
    }
}

/// The stack as an expression with every setting spelled out; it parses back to the same stack.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                f.write_str(" > ")?;
            }
            match layer {
                Layer::Ram { size_bytes: None } => f.write_str("ram")?,
                Layer::Ram { size_bytes: Some(bytes) } => write!(f, "ram({})", format_size(*bytes))?,
                Layer::Sqlite { file: path } | Layer::File { folder: path } => {
                    let engine = if matches!(layer, Layer::Sqlite { .. }) { "sqlite" } else { "file" };
                    write!(f, "{engine}({}", quote_if_needed(&path.to_string_lossy()))?;
                    if let Some(tier) = &self.tier {
                        write!(f, "{tier}")?;
                    }
                    f.write_str(")")?;
                }
                Layer::Sql(table) => {
                    write!(f, "sql({table}")?;
                    if let Some(tier) = &self.tier {
                        write!(f, "{tier}")?;
                    }
                    f.write_str(")")?;
                }
                Layer::Module(module) => {
                    write!(f, "module({module}")?;
                    if let Some(tier) = &self.tier {
                        write!(f, "{tier}")?;
                    }
                    f.write_str(")")?;
                }
            }
        }
        Ok(())
    }
}

/// The arguments of the store that state these settings, each after a comma.
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            ", {}, negative_ttl={}",
            self.write,
            format_duration(self.negative_ttl.unwrap_or_default())
        )?;
        match self.fresh {
            Some(fresh) => write!(f, ", fresh={}", format_duration(fresh)),
            None => Ok(()),
        }
    }
}

/// The arguments of the store that state this.
impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Write::Through => f.write_str("write=through"),
            Write::Behind { dirty_bytes_max, dirty_age_max } => write!(
                f,
                "write=behind, dirty_bytes={}, dirty_age={}",
                format_size(*dirty_bytes_max),
                format_duration(*dirty_age_max)
            ),
        }
    }
}

/// A name in a stack expression, in quotes where it would otherwise mean something else.
pub(super) fn quote_if_needed(word: &str) -> String {
    if super::expression::is_plain_word(word) {
        word.to_owned()
    } else if word.contains('\'') {
        format!("\"{word}\"")
    } else {
        format!("'{word}'")
    }
}

impl Listener {
    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<&TcpAddress> {
        match self {
            Listener::Tcp(address) | Listener::Tls(address, _) => Some(address),
            Listener::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(address) => write!(f, "{address}"),
            Listener::Tls(address, encryption) => write!(f, "{encryption}{address}"),
            Listener::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::All => write!(f, "*:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}
