//! Commands as values, so that a check can keep, replay and print them.

use std::fmt;

use bytes::Bytes;

use crate::error::{EngineError, ErrorKind};
use crate::item::{Found, Token};
use crate::key::Key;
use crate::reply::{Deleted, Flushed, Number, Stored, Touched};
use crate::request::{Arithmetic, Delete, Direction, Get, Initial, Mode, Older, Payload, Store};
use crate::time::{Expiry, Timestamp};

use super::executor::PATIENCE;

/// A command to an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A look-up.
    Get {
        /// Of what.
        key: Vec<u8>,
        /// How.
        get: Get,
    },
    /// A store.
    Store(StoreCommand),
    /// A delete or one of its gentler forms.
    Delete {
        /// Of what.
        key: Vec<u8>,
        /// How.
        delete: Delete,
    },
    /// A counter.
    Arithmetic {
        /// Which.
        key: Vec<u8>,
        /// How.
        arithmetic: Arithmetic,
    },
    /// A new expiry.
    Touch {
        /// Of what.
        key: Vec<u8>,
        /// Which.
        expiry: Expiry,
    },
    /// A flush.
    Flush {
        /// Of the keys that start so; `None`: of all.
        prefix: Option<Vec<u8>>,
        /// When; `None`: now.
        when: Option<Timestamp>,
    },
}

/// A store command that owns its key and value. See [`crate::Store`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreCommand {
    /// Condition and effect.
    pub mode: Mode,
    /// Where.
    pub key: Vec<u8>,
    /// The client's 32 bits.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give.
    pub new_cas: Option<u64>,
    /// What an older `compare` means.
    pub older: Older,
    /// What append and prepend do on a miss.
    pub vivify: Option<Expiry>,
    /// Stored marked stale.
    pub stale: bool,
    /// Stored with its token out.
    pub token_taken: bool,
    /// The value.
    pub value: Bytes,
    /// How the value is handed over; says nothing about its meaning.
    pub hand_over: HandOver,
}

/// The ways a value reaches an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HandOver {
    /// Lent for the call.
    #[default]
    Borrowed,
    /// Given away.
    Owned,
    /// Written into memory from `reserve`.
    Reserved,
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A look-up's miss.
    Missing,
    /// A look-up's hit.
    Found(Found, Bytes),
    /// A store's success.
    Stored(Stored),
    /// A delete's success.
    Deleted(Deleted),
    /// A counter's success.
    Number(Number),
    /// A touch's success.
    Touched(Touched),
    /// A flush's success.
    Flushed(Flushed),
    /// An error, with its text.
    Refused(ErrorKind, String),
    /// The engine broke a rule of the interface itself.
    Breach(String),
    /// No answer came as long as the kit waits for one ([`super::executor::PATIENCE`]).
    Unanswered,
}

/// How sure an outcome is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// It took place as said.
    Done,
    /// Nothing changed.
    NothingHappened,
    /// It may or may not have taken place, or may still.
    Unknown,
}

impl Command {
    /// The key; `None` for a flush.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Command::Get { key, .. }
            | Command::Delete { key, .. }
            | Command::Arithmetic { key, .. }
            | Command::Touch { key, .. } => Some(key),
            Command::Store(store) => Some(&store.key),
            Command::Flush { .. } => None,
        }
    }

    /// The method of [`crate::Engine`] that carries it out.
    pub fn method(&self) -> &'static str {
        match self {
            Command::Get { .. } => "get",
            Command::Store(_) => "store",
            Command::Delete { .. } => "delete",
            Command::Arithmetic { .. } => "arithmetic",
            Command::Touch { .. } => "touch",
            Command::Flush { .. } => "flush",
        }
    }

    /// Whether the command concerns `key`.
    pub fn concerns(&self, key: &[u8]) -> bool {
        match self {
            Command::Flush { prefix, .. } => prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix)),
            other => other.key() == Some(key),
        }
    }

    /// The CAS the client chose for the item, if any.
    pub(crate) fn new_cas(&self) -> Option<u64> {
        match self {
            Command::Get { get, .. } => get.vivify.and_then(|vivify| vivify.new_cas),
            Command::Store(store) => store.new_cas,
            Command::Delete { delete, .. } => delete.new_cas,
            Command::Arithmetic { arithmetic, .. } => arithmetic.new_cas,
            Command::Touch { .. } | Command::Flush { .. } => None,
        }
    }

    /// The CAS the command compares with, if any.
    pub(crate) fn compare(&self) -> Option<u64> {
        match self {
            Command::Store(store) if store.mode != Mode::Add => store.compare,
            Command::Delete { delete, .. } => delete.compare,
            Command::Arithmetic { arithmetic, .. } => arithmetic.compare,
            _ => None,
        }
    }
}

impl From<Store<'_>> for StoreCommand {
    fn from(store: Store<'_>) -> Self {
        StoreCommand {
            mode: store.mode,
            key: store.key.bytes().into(),
            flags: store.flags,
            expiry: store.expiry,
            compare: store.compare,
            new_cas: store.new_cas,
            older: store.older,
            vivify: store.vivify,
            stale: store.stale,
            token_taken: store.token_taken,
            value: store.value.into_bytes(),
            hand_over: HandOver::Owned,
        }
    }
}

impl From<StoreCommand> for Command {
    fn from(store: StoreCommand) -> Self {
        Command::Store(store)
    }
}

/// A plain look-up.
pub fn get(key: &[u8]) -> Command {
    get_with(key, Get::plain())
}

/// A look-up with options.
pub fn get_with(key: &[u8], get: Get) -> Command {
    Command::Get { key: key.into(), get }
}

/// A store command without options.
pub fn store(mode: Mode, key: &[u8], value: &[u8]) -> StoreCommand {
    StoreCommand {
        mode,
        key: key.into(),
        flags: 0,
        expiry: Expiry::NEVER,
        compare: None,
        new_cas: None,
        older: Older::Refuse,
        vivify: None,
        stale: false,
        token_taken: false,
        value: Bytes::copy_from_slice(value),
        hand_over: HandOver::Borrowed,
    }
}

/// A set.
pub fn set(key: &[u8], value: &[u8]) -> StoreCommand {
    store(Mode::Set, key, value)
}

impl StoreCommand {
    /// As an engine takes it, with the value lent.
    pub fn lent(&self) -> Store<'_> {
        Store {
            mode: self.mode,
            key: Key::new(&self.key),
            flags: self.flags,
            expiry: self.expiry,
            compare: self.compare,
            new_cas: self.new_cas,
            older: self.older,
            vivify: self.vivify,
            stale: self.stale,
            token_taken: self.token_taken,
            value: Payload::Borrowed(&self.value),
        }
    }

    /// The same with these flags.
    pub fn flags(self, flags: u32) -> Self {
        StoreCommand { flags, ..self }
    }

    /// The same with this expiry.
    pub fn expiry(self, expiry: Expiry) -> Self {
        StoreCommand { expiry, ..self }
    }

    /// The same, only if the item has this CAS.
    pub fn compare(self, cas: u64) -> Self {
        StoreCommand { compare: Some(cas), ..self }
    }

    /// The same, giving the item this CAS.
    pub fn new_cas(self, cas: u64) -> Self {
        StoreCommand { new_cas: Some(cas), ..self }
    }

    /// The same, handing the value over so.
    pub fn handed(self, hand_over: HandOver) -> Self {
        StoreCommand { hand_over, ..self }
    }
}

/// A plain delete.
pub fn delete(key: &[u8]) -> Command {
    delete_with(key, Delete::default())
}

/// A delete with options.
pub fn delete_with(key: &[u8], delete: Delete) -> Command {
    Command::Delete { key: key.into(), delete }
}

/// The options of a plain counter command.
pub fn step(direction: Direction, delta: u64) -> Arithmetic {
    Arithmetic { direction, delta, initial: None, compare: None, new_cas: None, expiry: None }
}

/// incr without options.
pub fn increment(key: &[u8], delta: u64) -> Command {
    arithmetic(key, step(Direction::Increment, delta))
}

/// decr without options.
pub fn decrement(key: &[u8], delta: u64) -> Command {
    arithmetic(key, step(Direction::Decrement, delta))
}

/// A counter command with options.
pub fn arithmetic(key: &[u8], arithmetic: Arithmetic) -> Command {
    Command::Arithmetic { key: key.into(), arithmetic }
}

/// A touch.
pub fn touch(key: &[u8], expiry: Expiry) -> Command {
    Command::Touch { key: key.into(), expiry }
}

/// A flush of everything, now.
pub fn flush_all() -> Command {
    Command::Flush { prefix: None, when: None }
}

impl Outcome {
    pub(crate) fn error(error: &EngineError) -> Self {
        Outcome::Refused(error.kind(), error.text().into())
    }

    /// How sure it is that the command took place.
    pub fn certainty(&self) -> Certainty {
        let kind = match self {
            Outcome::Refused(kind, _) => kind,
            Outcome::Unanswered => return Certainty::Unknown,
            _ => return Certainty::Done,
        };
        match kind {
            ErrorKind::NotFound
            | ErrorKind::Exists
            | ErrorKind::NotStored
            | ErrorKind::TooLarge
            | ErrorKind::NotNumeric => Certainty::Done,
            ErrorKind::OutcomeUnknown | ErrorKind::Internal | ErrorKind::Damaged | ErrorKind::Foreign(_) => {
                Certainty::Unknown
            }
            _ => Certainty::NothingHappened,
        }
    }

    /// Whether the command succeeded (a miss of a look-up counts).
    pub fn is_success(&self) -> bool {
        !matches!(self, Outcome::Refused(..) | Outcome::Breach(_) | Outcome::Unanswered)
    }

    /// The CAS of the item after a success; 0 where there is none.
    pub fn cas(&self) -> u64 {
        match self {
            Outcome::Found(found, _) => found.cas,
            Outcome::Stored(stored) => stored.cas,
            Outcome::Deleted(deleted) => deleted.cas,
            Outcome::Number(number) => number.cas,
            Outcome::Touched(touched) => touched.cas,
            _ => 0,
        }
    }
}

/// Bytes as a reader likes them: escaped, and cut when long.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 24;
    if bytes.len() <= SHOWN_MAX {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    format!("\"{}…\" ({} bytes)", bytes[..SHOWN_MAX].escape_ascii(), bytes.len())
}

/// An expiry as a reader likes it.
pub fn shown_expiry(expiry: Expiry) -> String {
    match expiry {
        Expiry::NEVER => "never".into(),
        expiry => format!("at {}", expiry.raw()),
    }
}

/// Collects ` name=value` for the options that are set.
struct Options(String);

impl Options {
    fn add(&mut self, name: &str, value: Option<impl fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.0 += &format!(" {name}={value}");
        }
        self
    }

    fn mark(&mut self, name: &str, set: bool) -> &mut Self {
        if set {
            self.0 += &format!(" {name}");
        }
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Options(String::new());
        match self {
            Command::Get { key, get } => {
                options.add("touch", get.touch.map(shown_expiry));
                options.add("vivify", get.vivify.map(|vivify| shown_expiry(vivify.expiry)));
                options.add("new_cas", get.vivify.and_then(|vivify| vivify.new_cas));
                options.add("recache_below", get.recache_below);
                options.mark("tokens", get.tokens).mark("no_bump", !get.bump);
                write!(f, "get {}{}", shown(key), options.0)
            }
            Command::Store(store) => store.fmt(f),
            Command::Delete { key, delete } => {
                options.add("compare", delete.compare).add("new_cas", delete.new_cas);
                options.mark("mark_stale", delete.mark_stale).add("drop_value,flags", delete.drop_value);
                options.add("expiry", delete.expiry.map(shown_expiry));
                write!(f, "delete {}{}", shown(key), options.0)
            }
            Command::Arithmetic { key, arithmetic } => {
                let name = match arithmetic.direction {
                    Direction::Increment => "incr",
                    Direction::Decrement => "decr",
                };
                let initial = arithmetic
                    .initial
                    .map(|Initial { value, expiry }| format!("{value} (expires {})", shown_expiry(expiry)));
                options.add("initial", initial).add("compare", arithmetic.compare);
                options.add("new_cas", arithmetic.new_cas);
                options.add("expiry", arithmetic.expiry.map(shown_expiry));
                write!(f, "{name} {} by {}{}", shown(key), arithmetic.delta, options.0)
            }
            Command::Touch { key, expiry } => {
                write!(f, "touch {} expiry={}", shown(key), shown_expiry(*expiry))
            }
            Command::Flush { prefix, when } => {
                options.add("prefix", prefix.as_ref().map(|prefix| shown(prefix)));
                options.add("at", when.map(|when| when.0));
                write!(f, "flush{}", options.0)
            }
        }
    }
}

impl fmt::Display for StoreCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.mode {
            Mode::Set => "set",
            Mode::Add => "add",
            Mode::Replace => "replace",
            Mode::Append => "append",
            Mode::Prepend => "prepend",
        };
        let mut options = Options(String::new());
        options.add("flags", (self.flags != 0).then_some(self.flags));
        options.add("expiry", (self.expiry != Expiry::NEVER).then(|| shown_expiry(self.expiry)));
        options.add("compare", self.compare).add("new_cas", self.new_cas);
        options.mark("older=mark_stale", self.older == Older::MarkStale);
        options.add("vivify", self.vivify.map(shown_expiry)).mark("stale", self.stale);
        options.mark("token_taken", self.token_taken);
        options.mark("(reserved)", self.hand_over == HandOver::Reserved);
        write!(f, "{name} {} = {}{}", shown(&self.key), shown(&self.value), options.0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Missing => f.write_str("a miss"),
            Outcome::Found(found, value) => {
                let token = match found.token {
                    Token::Free => "",
                    Token::Won => " token=won",
                    Token::Taken => " token=taken",
                };
                let stale = if found.stale { " stale" } else { "" };
                write!(f, "a hit {} flags={} cas={}", shown(value), found.flags, found.cas)?;
                write!(f, " expires {}", shown_expiry(found.expiry))?;
                if found.expiry != found.expiry_before {
                    write!(f, " (before: {})", shown_expiry(found.expiry_before))?;
                }
                write!(f, "{stale}{token}")
            }
            Outcome::Stored(stored) => {
                write!(f, "stored cas={} size={} level={}", stored.cas, stored.size, stored.level.word())
            }
            Outcome::Deleted(deleted) => {
                write!(f, "deleted cas={} level={}", deleted.cas, deleted.level.word())
            }
            Outcome::Number(number) => {
                let created = if number.created { " created" } else { "" };
                write!(f, "number {} cas={} flags={}", number.value, number.cas, number.flags)?;
                let stale = if number.stale { " stale" } else { "" };
                let taken = if number.token_taken { " token out" } else { "" };
                write!(f, " expires {}{created}{stale}{taken}", shown_expiry(number.expiry))?;
                write!(f, " level={}", number.level.word())
            }
            Outcome::Touched(touched) => write!(f, "touched cas={} flags={}", touched.cas, touched.flags),
            Outcome::Flushed(flushed) => write!(f, "flushed level={}", flushed.level.word()),
            Outcome::Refused(kind, text) => write!(f, "error {kind:?} ({text})"),
            Outcome::Breach(text) => write!(f, "a breach of the interface: {text}"),
            Outcome::Unanswered => write!(f, "no answer within {} seconds", PATIENCE.as_secs()),
        }
    }
}
