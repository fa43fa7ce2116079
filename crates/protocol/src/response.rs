//! What came of a request: one model for the three protocols.

use crate::{Failure, ProtocolError};

/// Seconds an item has left; `None` if it never expires.
pub type Ttl = Option<u32>;

/// What came of a request. [`encode`](crate::encode) writes it in the request's form, or leaves it out where
/// the request asked for silence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Response<'a> {
    /// The item is there.
    Hit(Hit<'a>),
    /// The item is not there: nothing in a classic multi-get, `EN`, or `Not found`.
    Miss {
        /// The key asked (some binary answers repeat it).
        key: &'a [u8],
    },
    /// The end of a classic retrieval, after its hits: `END`. Writes nothing in the other protocols.
    End,
    /// The value was stored.
    Stored(Stored),
    /// A condition on being there or not did not hold.
    NotStored,
    /// The item has another CAS.
    Exists,
    /// There is no such item to change.
    NotFound,
    /// The item was deleted, or marked stale, or emptied.
    Deleted,
    /// The item has a new expiry (classic `touch`).
    Touched,
    /// The new number.
    Number(Number),
    /// Done (`OK`).
    Ok,
    /// The barrier is passed (`MN`).
    Noop,
    /// Goodbye: an answer in the binary protocol alone.
    Quit,
    /// One statistic.
    Stat {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The end of the statistics.
    StatEnd,
    /// Counters were reset (`RESET`).
    Reset,
    /// The server's version, digits and dots first.
    Version(&'a str),
    /// An item's attributes.
    Debug(Debug),
    /// A line of its own, without line end (administration). It must not contain CR or LF.
    Line(&'a [u8]),
    /// An engine's own answer to a packet that only it knows.
    Raw(Raw<'a>),
    /// The names of the SASL mechanisms, with spaces between.
    SaslMechanisms(&'a str),
    /// SASL authentication succeeded.
    Authenticated,
    /// SASL authentication goes on.
    AuthContinue(&'a [u8]),
    /// An error of the protocol's own, spelled exactly.
    Error(ProtocolError),
    /// An error of an engine or of the chassis, with a text of its own.
    Failure(Failure<'a>),
}

/// An item found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The item's key.
    pub key: &'a [u8],
    /// The client's 32 bits.
    pub flags: u32,
    /// The item's CAS; 0 where CAS is switched off.
    pub cas: u64,
    /// The value, or only its length.
    pub value: Value<'a>,
    /// Seconds left after the command.
    pub ttl: Ttl,
    /// Seconds left before the command's touch; the same as `ttl` where there was none.
    pub ttl_before: Ttl,
    /// Seconds since the last access before this one.
    pub last_access_seconds: u32,
    /// Whether it had been fetched before this command.
    pub fetched: bool,
    /// This client won the right to refill it (`W`).
    pub won: bool,
    /// Another client has that right already (`Z`).
    pub won_by_other: bool,
    /// The value is stale (`X`).
    pub stale: bool,
}

impl<'a> Hit<'a> {
    /// A hit with this value, and nothing special about it.
    #[inline]
    pub fn new(key: &'a [u8], flags: u32, cas: u64, value: Value<'a>) -> Hit<'a> {
        Hit {
            key,
            flags,
            cas,
            value,
            ttl: None,
            ttl_before: None,
            last_access_seconds: 0,
            fetched: false,
            won: false,
            won_by_other: false,
            stale: false,
        }
    }
}

/// The value of a hit as the chassis has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// In one piece; it is copied into the output.
    Bytes(&'a [u8]),
    /// In several pieces; they are copied into the output one after the other.
    Pieces(&'a [&'a [u8]]),
    /// Only what stands before the value is written. The caller then sends that many bytes itself and
    /// calls [`encode_after_value`](crate::encode_after_value). If the form does not ask for the value
    /// (see [`encode`](crate::encode)'s result), it sends nothing.
    Detached {
        /// The value's length in bytes.
        len: usize,
    },
    /// The value is not sent (the client did not ask for it, or has it already), only counted.
    Unsent {
        /// The value's length in bytes.
        len: usize,
    },
}

impl Value<'_> {
    /// The value's length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Value::Bytes(bytes) => bytes.len(),
            Value::Pieces(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
            Value::Detached { len } | Value::Unsent { len } => len,
        }
    }

    /// Whether the value has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A stored item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stored {
    /// Its CAS after the change; 0 where CAS is switched off.
    pub cas: u64,
    /// The length of the value now stored, in bytes (append: of the whole).
    pub value_bytes: usize,
}

/// A number after incr or decr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub value: u64,
    /// The item's CAS after the change; 0 where CAS is switched off.
    pub cas: u64,
    /// Seconds left after the command.
    pub ttl: Ttl,
    /// Seconds left before the command's touch; the same as `ttl` where there was none.
    pub ttl_before: Ttl,
}

/// An engine's own answer to a packet. Opcode and opaque are those of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The status of the binary protocol.
    pub status: u16,
    /// The field for the data type.
    pub data_type: u8,
    /// The field for the CAS.
    pub cas: u64,
    /// At most 255 bytes.
    pub extras: &'a [u8],
    /// At most 65535 bytes.
    pub key: &'a [u8],
    /// The value.
    pub body: &'a [u8],
}

/// An item's attributes (`me`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debug {
    /// Seconds left.
    pub ttl: Ttl,
    /// Seconds since the last access.
    pub last_access_seconds: u32,
    /// The item's CAS.
    pub cas: u64,
    /// Whether it was ever fetched.
    pub fetched: bool,
    /// The memory class, a small number.
    pub class: u32,
    /// The item's size in bytes.
    pub item_bytes: usize,
}
