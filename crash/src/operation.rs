//! What a client asked of a key, when, and what came of it.

use std::fmt;

use crate::value::Value;

pub use larder_protocol::{Direction, StoreMode};

/// Seconds to live as a client writes them: 0 never, negative at once.
pub type Ttl = i64;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// get, gets, gat, mg, and the binary ones.
    Get {
        /// The expiry to give to a hit.
        touch: Option<Ttl>,
        /// Create a missing item, empty, with this expiry.
        vivify: Option<Ttl>,
        /// Win a hit with fewer seconds left.
        recache_seconds: Option<u32>,
        /// Whether the tokens of stale items are played for (meta only).
        tokens: bool,
    },
    /// set, add, replace, append, prepend, cas, ms.
    Store {
        /// What is done with an item that is there or not.
        mode: StoreMode,
        /// The value.
        value: Value,
        /// The client's 32 bits.
        flags: u32,
        /// Seconds to live.
        ttl: Ttl,
        /// Only if the item has this CAS.
        compare: Option<u64>,
        /// An older `compare` is taken too and marks the item stale.
        older_marks_stale: bool,
        /// append and prepend: create a missing item with this expiry.
        vivify: Option<Ttl>,
    },
    /// delete, md.
    Delete {
        /// Only if the item has this CAS.
        compare: Option<u64>,
        /// Keep the item and mark it stale.
        mark_stale: bool,
        /// Keep the item without its value.
        drop_value: bool,
    },
    /// incr, decr, ma.
    Arithmetic {
        /// Up or down.
        direction: Direction,
        /// By how much.
        delta: u64,
        /// Create a missing item with this number and this expiry.
        vivify: Option<(u64, Ttl)>,
    },
    /// touch.
    Touch {
        /// The new seconds to live.
        ttl: Ttl,
    },
    /// flush_all.
    Flush,
}

impl Action {
    /// A look-up that changes nothing.
    pub const LOOK: Action = Action::Get { touch: None, vivify: None, recache_seconds: None, tokens: false };

    /// Whether the server may change the item for it. Two that do not may overtake each other on a connection.
    pub fn may_change(&self) -> bool {
        match self {
            Action::Get { touch, vivify, recache_seconds, tokens } => {
                touch.is_some() || vivify.is_some() || recache_seconds.is_some() || *tokens
            }
            _ => true,
        }
    }

    /// A look-up that asks for no change. Once its answer agrees with a state and leaves it alone, it does so
    /// wherever else it agrees.
    pub fn is_look(&self) -> bool {
        matches!(self, Action::Get { touch: None, vivify: None, recache_seconds: None, .. })
    }

    /// The value it brings.
    pub fn value(&self) -> Option<&Value> {
        if let Action::Store { value, .. } = self { Some(value) } else { None }
    }
}

/// What a client learnt of a stale item's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Nothing was said: no token is out.
    Free,
    /// `W`: this client has it.
    Won,
    /// `Z`: another one has it.
    Taken,
}

/// What a meta answer says of a hit beyond the classic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaHit {
    /// `t`: seconds left, -1 for never.
    pub ttl: i64,
    /// `X`.
    pub stale: bool,
    /// `W` or `Z`.
    pub token: Token,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No item.
    Miss,
    /// The item.
    Hit {
        /// Its value.
        value: Value,
        /// The client's 32 bits.
        flags: u32,
        /// Its CAS.
        cas: u64,
        /// What only meta tells.
        meta: Option<MetaHit>,
    },
    /// Stored; the CAS where the protocol tells it.
    Stored {
        /// The new CAS.
        cas: Option<u64>,
    },
    /// A condition was not met: add on an item, replace, append, prepend on none.
    NotStored,
    /// Another CAS.
    Exists,
    /// No item to act on.
    NotFound,
    /// Deleted, or what md did instead.
    Deleted,
    /// Touched.
    Touched,
    /// Counted.
    Number {
        /// The number now; `None` where a quiet command hid it.
        value: Option<u64>,
        /// The new CAS, where the protocol tells it.
        cas: Option<u64>,
    },
    /// The value is no number.
    NotNumeric,
    /// flush_all is done.
    Flushed,
    /// Carried out, as a later answer of the connection proves; what came of it was not to be told.
    Silent,
    /// The server said that it failed. Whether anything changed is not known.
    Failed(String),
}

impl Outcome {
    /// Whether the server said that a change was made.
    pub fn is_acknowledged_write(&self) -> bool {
        matches!(
            self,
            Outcome::Stored { .. }
                | Outcome::Deleted
                | Outcome::Touched
                | Outcome::Number { .. }
                | Outcome::Flushed
        )
    }

    /// The CAS it tells, if any.
    pub fn cas(&self) -> Option<u64> {
        match self {
            Outcome::Hit { cas, .. } => Some(*cas),
            Outcome::Stored { cas } | Outcome::Number { cas, .. } => *cas,
            _ => None,
        }
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds on a clock that never goes back: decides what came before what.
    pub order_us: u64,
    /// Unix time in milliseconds: decides what has expired.
    pub unix_ms: u64,
}

/// One request for one key and its fate.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked. A client is one connection for the length of a round.
    pub client: u32,
    /// Its place in what the client sent.
    pub index: u64,
    /// What was asked.
    pub action: Action,
    /// Before the request was sent.
    pub invoked: Moment,
    /// After the answer was read, and the answer. `None`: the server was killed first.
    pub answered: Option<(Moment, Outcome)>,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Get { touch, vivify, recache_seconds, tokens } => {
                f.write_str(if *tokens { "mg" } else { "get" })?;
                option(f, "touch", touch)?;
                option(f, "vivify", vivify)?;
                option(f, "recache", recache_seconds)
            }
            Action::Store { mode, value, flags, ttl, compare, older_marks_stale, vivify } => {
                write!(f, "{} {value} flags={flags} ttl={ttl}", format!("{mode:?}").to_lowercase())?;
                option(f, "compare", compare)?;
                option(f, "vivify", vivify)?;
                f.write_str(if *older_marks_stale { " older marks stale" } else { "" })
            }
            Action::Delete { compare, mark_stale, drop_value } => {
                f.write_str("delete")?;
                option(f, "compare", compare)?;
                f.write_str(if *mark_stale { " mark stale" } else { "" })?;
                f.write_str(if *drop_value { " drop value" } else { "" })
            }
            Action::Arithmetic { direction, delta, vivify } => {
                let name = if *direction == Direction::Increment { "incr" } else { "decr" };
                write!(f, "{name} {delta}")?;
                option(f, "initial", &vivify.map(|(initial, _)| initial))
            }
            Action::Touch { ttl } => write!(f, "touch {ttl}"),
            Action::Flush => f.write_str("flush_all"),
        }
    }
}

fn option(f: &mut fmt::Formatter<'_>, name: &str, value: &Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}={value}"),
        None => Ok(()),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Outcome::Hit { value, flags, cas, meta } => {
                write!(f, "hit {value} flags={flags} cas={cas}")?;
                if let Some(meta) = meta {
                    write!(f, " ttl={} stale={} token={:?}", meta.ttl, meta.stale, meta.token)?;
                }
                return Ok(());
            }
            Outcome::Number { value, cas } => {
                f.write_str("number")?;
                if let Some(value) = value {
                    write!(f, " {value}")?;
                }
                return option(f, "cas", cas);
            }
            Outcome::Stored { cas } => {
                f.write_str("stored")?;
                return option(f, "cas", cas);
            }
            Outcome::Failed(line) => return write!(f, "failed: {line}"),
            Outcome::Miss => "miss",
            Outcome::NotStored => "not stored",
            Outcome::Exists => "exists",
            Outcome::NotFound => "not found",
            Outcome::Deleted => "deleted",
            Outcome::Touched => "touched",
            Outcome::NotNumeric => "not numeric",
            Outcome::Flushed => "flushed",
            Outcome::Silent => "done, outcome not told",
        };
        f.write_str(name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { client, index, action, invoked, .. } = self;
        write!(f, "client {client} #{index} {}: {action} -> ", invoked.order_us)?;
        match &self.answered {
            Some((moment, outcome)) => write!(f, "{}: {outcome}", moment.order_us),
            None => f.write_str("no answer"),
        }
    }
}
