//! What a client asked for: one model for the three protocols.

use std::fmt;

use crate::{ExpTime, Form, ProtocolError};

/// One request: what to do, and how to spell the answer.
///
/// It borrows from the read buffer (and, for a base64 key, from the [`Scratch`](crate::Scratch)). To keep it
/// longer, make an [`OwnedRequest`](crate::OwnedRequest) with [`Request::to_owned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub command: Command<'a>,
    /// How to spell the answer.
    pub form: Form<'a>,
}

/// What to do. Keys are checked: 1 to 250 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Classic `get`, `gets`, `gat`, `gats`. Answer [`Hit`](crate::Response::Hit) or
    /// [`Miss`](crate::Response::Miss) for each key in the order asked, then [`End`](crate::Response::End).
    Get(Get<'a>),
    /// `mg` and the binary get, touch and get-and-touch. Answer `Hit` or `Miss`.
    Lookup(Lookup<'a>),
    /// All the storage commands. Answer `Stored`, `NotStored`, `Exists` or `NotFound`.
    Store(Store<'a>),
    /// A storage command whose value is over [`Limits::item_bytes_max`](crate::Limits); the decoder throws
    /// the value away. Remove the old item if [`TooLarge::removes_old`] says so, then answer
    /// [`ProtocolError::ValueTooLarge`].
    TooLarge(TooLarge<'a>),
    /// `delete`, `md`. Answer `Deleted`, `NotFound` or `Exists`.
    Delete(Delete<'a>),
    /// `incr`, `decr`, `ma`. Answer `Number`, `NotFound`, `Exists`, `NotStored` or a non-numeric failure.
    Arithmetic(Arithmetic<'a>),
    /// Classic `touch` (the binary one is a [`Lookup`]). Answer `Touched` or `NotFound`.
    Touch(Touch<'a>),
    /// `flush_all`. Answer `Ok`. See [`ExpTime::flush_at`] for when.
    Flush {
        /// When: 0 is at once.
        delay: ExpTime,
    },
    /// `stats`. Answer `Stat` for each, then `StatEnd`; or `Reset`; or `ProtocolError::UnknownCommand`.
    Stats {
        /// What follows `stats`, without spaces around it; tokens may be separated by several spaces.
        argument: &'a [u8],
    },
    /// `version`. Answer `Version`.
    Version,
    /// `verbosity`. Answer `Ok`.
    Verbosity {
        /// How talkative the log is to be: 0 quiet, 1 warnings, 2 commands, 3 states.
        level: u32,
    },
    /// `mn`, binary noop: a barrier. Answer `Noop` after all that came before.
    Noop,
    /// `quit`. Answer `Quit`, send what is pending, close; what follows is not run.
    Quit,
    /// `shutdown`. No answer where it is allowed, [`ProtocolError::ShutdownNotEnabled`] where not.
    Shutdown(ShutdownMode),
    /// `me`. Answer `Debug` or `Miss`.
    MetaDebug {
        /// The item's key.
        key: &'a [u8],
    },
    /// `cache_memlimit`. Answer `Ok`; the memory follows in the background.
    CacheMemlimit {
        /// The new limit in MiB: 8 to 10^9.
        megabytes: u64,
    },
    /// The rarer administrative commands.
    Admin(Admin<'a>),
    /// SASL authentication, binary protocol only. Where it is off: `ProtocolError::UnknownCommand`.
    Sasl(Sasl<'a>),
    /// A packet of an opcode that is not the protocol's; an engine may know it. Answer with any number of `Raw`, otherwise
    /// `ProtocolError::UnknownCommand`.
    Raw {
        /// Its key, maybe empty.
        key: &'a [u8],
        /// All of it: header, extras, key and value.
        packet: &'a [u8],
    },
    /// The request was wrong: answer `Error` with this. The decoder has dealt with any data that followed.
    Invalid(ProtocolError),
}

/// Classic retrieval of one or many keys. `with_cas` is a matter of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Get<'a> {
    /// The keys, at least one, each already checked.
    pub keys: Keys<'a>,
    /// `gat`, `gats`: the expiry to give to each hit. Counts as a touch, not as a get.
    pub touch: Option<ExpTime>,
}

/// The keys of a retrieval line in their order, duplicates included. Costs nothing to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys<'a> {
    /// Keys with spaces between them, none before the first and none after the last.
    pub(crate) line: &'a [u8],
}

/// One key to look up, with all that `mg` can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// The key.
    pub key: &'a [u8],
    /// `T`, binary touch and gat: the expiry to give to a hit. Counts as a touch, not as a get.
    pub touch: Option<ExpTime>,
    /// `N`: on a miss create an empty item with this expiry; the answer is a hit that won.
    pub vivify: Option<ExpTime>,
    /// `R`: a hit that expires in fewer seconds than this is won by one client, for refreshing. The number is
    /// written like an [`ExpTime`]: above 30 days a Unix time; nothing expires before 0 or a time past.
    pub recache_seconds: Option<i64>,
    /// `E`: the CAS to give to a vivified item.
    pub new_cas: Option<u64>,
    /// `C`: the value is not sent if the item has this CAS. See [`Lookup::sends_value`].
    pub unless_cas: Option<u64>,
    /// Whether the read counts as a use: recency, last access and the fetched mark. `u` says no.
    pub bump: bool,
    /// Whether the client wants the value (`v`; every binary get, but not the binary touch).
    pub value: bool,
}

impl Lookup<'_> {
    /// Whether the value of a hit with this CAS is to be sent; if not, answer the hit with
    /// [`Value::Unsent`](crate::Value::Unsent).
    #[inline]
    pub fn sends_value(&self, cas: u64) -> bool {
        self.value && self.unless_cas != Some(cas)
    }
}

/// How a storage command treats an item that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreMode {
    /// Store in any case.
    Set,
    /// Only if there is none.
    Add,
    /// Only if there is one.
    Replace,
    /// Behind the value that is there; keeps its flags and expiry.
    Append,
    /// Before the value that is there; keeps its flags and expiry.
    Prepend,
}

/// A storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What is done with an item that is there or not.
    pub mode: StoreMode,
    /// The client's 32 bits.
    pub flags: u32,
    /// The item's expiry.
    pub exptime: ExpTime,
    /// Only if the item has this CAS (`Exists` otherwise, `NotFound` without item). Never with `Add`.
    pub compare: Option<u64>,
    /// The CAS to give to the stored item, instead of a fresh one.
    pub new_cas: Option<u64>,
    /// `I` with `compare`: a CAS lower than the item's is taken too; the value is replaced, the expiry
    /// kept, the item marked stale.
    pub older_marks_stale: bool,
    /// Append and prepend: create a missing item with this expiry.
    pub vivify: Option<ExpTime>,
    /// The value. Empty in [`Decoded::Value`](crate::Decoded::Value), where the caller reads it.
    pub value: &'a [u8],
}

/// A storage command refused for the size of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The mode of the refused command.
    pub mode: StoreMode,
    /// Whether the item under this key must go, so that no stale value stays.
    pub removes_old: bool,
    /// How many bytes the value has.
    pub value_bytes: u64,
}

/// A deletion, or `md`'s gentler forms of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give to an item that stays (`mark_stale` or `drop_value`).
    pub new_cas: Option<u64>,
    /// `I`: keep the item, mark it stale, give it a new CAS, clear the win token.
    pub mark_stale: bool,
    /// `x`: keep the item with an empty value and the client flags `flags`.
    pub drop_value: bool,
    /// The client flags of an item whose value is dropped.
    pub flags: u32,
    /// `T`: the expiry of an item that stays.
    pub touch: Option<ExpTime>,
}

/// Which way a number goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Up; wraps at 2^64.
    Increment,
    /// Down; stops at 0.
    Decrement,
}

/// A change of a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Up or down.
    pub direction: Direction,
    /// By how much.
    pub delta: u64,
    /// Create a missing item with this number and this expiry.
    pub vivify: Option<(u64, ExpTime)>,
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give to the changed item.
    pub new_cas: Option<u64>,
    /// `T`: the expiry to give to the changed item.
    pub touch: Option<ExpTime>,
}

/// Classic `touch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The expiry to give to the item.
    pub exptime: ExpTime,
}

/// How `shutdown` ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShutdownMode {
    /// At once, like SIGINT.
    Now,
    /// After the connections are served, like SIGUSR1.
    Graceful,
    /// A word that is no mode: answer [`ProtocolError::InvalidShutdownMode`] where shutdown is allowed.
    Unknown,
}

/// Administrative commands of the classic text protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin<'a> {
    /// `lru_crawler …`
    Crawler(CrawlerCommand<'a>),
    /// `lru …`
    Lru(LruCommand),
    /// `slabs …`
    Slabs(SlabsCommand),
    /// `watch …`
    Watch(WatchStreams),
    /// `refresh_certs`
    RefreshCerts,
    /// `debugtime …`: only where debug commands are allowed, else `ProtocolError::UnknownCommand`.
    DebugTime(ClockChange),
}

/// `lru_crawler …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrawlerCommand<'a> {
    /// `enable`
    Enable,
    /// `disable`
    Disable,
    /// `sleep`: microseconds between steps, at most 1,000,000.
    Sleep {
        /// Microseconds.
        microseconds: u32,
    },
    /// `tocrawl`: how many items a run looks at; 0 is all.
    ToCrawl {
        /// Items.
        items: u32,
    },
    /// `crawl`: a run over these classes (`all` or numbers with commas), as written.
    Crawl {
        /// The classes as written.
        classes: &'a [u8],
    },
    /// `metadump`, `mgdump`: a line for each live item.
    Dump {
        /// Which line.
        dump: Dump,
        /// The classes, `all` or `hash`, as written.
        classes: &'a [u8],
    },
}

/// What a dump writes for each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dump {
    /// Attributes (`metadump`).
    Attributes,
    /// An `mg` command (`mgdump`).
    MetaGet,
    /// Its size and expiry (`stats cachedump`).
    Size,
}

/// `lru …`: numbers kept for `stats settings`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LruCommand {
    /// `tune`
    Tune {
        /// Share of the hot part, percent.
        hot_percent: u32,
        /// Share of the warm part, percent.
        warm_percent: u32,
        /// Age factor of the hot part, above 0.
        hot_factor: f64,
        /// Age factor of the warm part, above 0.
        warm_factor: f64,
    },
    /// `mode flat` or `mode segmented`
    Mode {
        /// Whether segmented.
        segmented: bool,
    },
    /// `temp_ttl`: negative switches the temporary part off.
    TempTtl {
        /// Seconds.
        seconds: i64,
    },
}

// The factors are parsed as finite numbers, so equality is total.
impl Eq for LruCommand {}

/// `slabs …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlabsCommand {
    /// `reassign`: larder answers [`ProtocolError::SlabReassignmentDisabled`].
    Reassign,
    /// `automove`: 0, 1 or 2.
    Automove {
        /// The level.
        level: u8,
    },
}

/// The log streams a watcher asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WatchStreams {
    /// Reads.
    pub fetchers: bool,
    /// Writes.
    pub mutations: bool,
    /// Evicted items.
    pub evictions: bool,
    /// Connections opened and closed.
    pub connevents: bool,
    /// Deleted items.
    pub deletions: bool,
}

/// `debugtime …`: moves the server's clock, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// Moves it forward.
    Forward {
        /// By how much.
        seconds: u32,
    },
    /// `p`: stops it.
    Pause,
    /// `r`: lets it run again.
    Resume,
}

/// SASL authentication. What a mechanism sends is a secret, so `Debug` leaves it out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sasl<'a> {
    /// The names of the mechanisms. Answer `SaslMechanisms`.
    List,
    /// Authentication. Answer `Authenticated` or [`ProtocolError::AuthFailure`].
    Auth {
        /// The mechanism's name.
        mechanism: &'a [u8],
        /// What the mechanism sends.
        data: &'a [u8],
    },
    /// The next step of an authentication.
    Step {
        /// The mechanism's name.
        mechanism: &'a [u8],
        /// What the mechanism sends.
        data: &'a [u8],
    },
}

impl fmt::Debug for Sasl<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, mechanism) = match self {
            Sasl::List => return formatter.write_str("List"),
            Sasl::Auth { mechanism, .. } => ("Auth", mechanism),
            Sasl::Step { mechanism, .. } => ("Step", mechanism),
        };
        let mechanism = format_args!("{}", mechanism.escape_ascii());
        formatter.debug_struct(name).field("mechanism", &mechanism).finish_non_exhaustive()
    }
}

impl<'a> Keys<'a> {
    /// The keys of this line, which has spaces between them; `None` if there is none or one is too long.
    pub fn from_line(line: &'a [u8]) -> Option<Keys<'a>> {
        crate::decode::parse_keys(line)
    }

    /// The first key.
    #[inline]
    pub fn first(&self) -> &'a [u8] {
        (*self).into_iter().next().unwrap_or_default()
    }

    /// Whether there is exactly one key.
    #[inline]
    pub fn is_single(&self) -> bool {
        memchr::memchr(b' ', self.line).is_none()
    }

    /// How long the line of them is, in bytes.
    pub fn line_bytes(&self) -> usize {
        self.line.len()
    }

    /// Those that stand in the last `bytes` bytes of the line: as many as [`KeysIter::rest`] had.
    pub fn last(&self, bytes: usize) -> Keys<'a> {
        Keys { line: &self.line[self.line.len() - bytes..] }
    }
}

impl<'a> IntoIterator for Keys<'a> {
    type Item = &'a [u8];
    type IntoIter = KeysIter<'a>;

    #[inline]
    fn into_iter(self) -> KeysIter<'a> {
        KeysIter { rest: self.line }
    }
}

/// Iterates over [`Keys`].
#[derive(Clone, Debug)]
pub struct KeysIter<'a> {
    rest: &'a [u8],
}

impl<'a> KeysIter<'a> {
    /// The keys still to come, if there are any.
    pub fn rest(&self) -> Option<Keys<'a>> {
        let start = self.rest.iter().position(|&byte| byte != b' ')?;
        Some(Keys { line: &self.rest[start..] })
    }
}

impl<'a> Iterator for KeysIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (key, rest) = crate::decode::split_token(self.rest)?;
        self.rest = rest;
        Some(key)
    }
}
