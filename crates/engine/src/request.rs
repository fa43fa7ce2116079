//! What an engine is asked. Times are absolute: the chassis has converted what the client wrote.

use std::any::Any;

use bytes::Bytes;

use crate::item::Item;
use crate::key::Key;
use crate::time::Expiry;

/// Options of a look-up. [`Get::plain`] is the ordinary read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Get {
    /// Give a hit this expiry. A change: the answer waits until it has the engine's level.
    pub touch: Option<Expiry>,
    /// Create an empty item on a miss; the request wins its token.
    pub vivify: Option<Vivify>,
    /// Give the token to this request if fewer seconds than this remain and it is free.
    pub recache_below: Option<u32>,
    /// Whether the reader takes part in the hand-out of tokens of stale items (the meta protocol does).
    pub tokens: bool,
    /// Whether the read counts for recency, `fetched` and `last_access`.
    pub bump: bool,
}

impl Get {
    /// Read, count the access, change nothing else.
    pub const fn plain() -> Self {
        Get { touch: None, vivify: None, recache_below: None, tokens: false, bump: true }
    }

    /// Whether a hit or a miss may change the item in the store by the options alone.
    /// (A stale item changes when `tokens` is set and its token is free.)
    pub fn may_change(&self) -> bool {
        self.touch.is_some() || self.vivify.is_some() || self.recache_below.is_some()
    }
}

/// How to create an item on a miss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vivify {
    /// Its expiry.
    pub expiry: Expiry,
    /// Its CAS, if the client chose one.
    pub new_cas: Option<u64>,
}

/// The condition and the effect of a store command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Whatever is there.
    Set,
    /// Only if nothing is there.
    Add,
    /// Only if something is there.
    Replace,
    /// Behind the value that is there; flags and expiry stay.
    Append,
    /// Before the value that is there; flags and expiry stay.
    Prepend,
}

/// What to do when `compare` names a CAS older than the item's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Older {
    /// Refuse with `Exists`, as for any other CAS.
    #[default]
    Refuse,
    /// Take the value, keep the expiry, mark the item stale.
    MarkStale,
}

/// A value given to an engine.
pub enum Payload<'a> {
    /// Valid during the call.
    Borrowed(&'a [u8]),
    /// Handed over.
    Owned(Bytes),
    /// Written into memory that the engine reserved for this item.
    Reserved(Writer),
}

impl Payload<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Borrowed(bytes) => bytes.len(),
            Payload::Owned(bytes) => bytes.len(),
            Payload::Reserved(writer) => writer.len(),
        }
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
            Payload::Reserved(writer) => writer.as_slice(),
        }
    }

    /// The bytes as shared memory; copies only what was borrowed.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Owned(bytes) => bytes,
            Payload::Reserved(writer) => writer.into_bytes(),
        }
    }
}

/// A place for a value that the socket fills, in memory of the engine's choice.
///
/// Dropping it unfinished gives the place back.
pub struct Writer(Box<dyn Reserved>);

/// Memory behind a [`Writer`]. An engine that recognises its own takes it by [`Reserved::into_any`].
pub trait Reserved: Send {
    /// The place, as long as was asked for.
    fn buffer(&mut self) -> &mut [u8];
    /// What has been written.
    fn as_slice(&self) -> &[u8];
    /// Finished: as shared memory.
    fn into_bytes(self: Box<Self>) -> Bytes;
    /// Finished: as the engine's own type.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl Writer {
    /// Wraps an engine's reservation.
    pub fn new(reserved: impl Reserved + 'static) -> Self {
        Writer(Box::new(reserved))
    }

    /// A reservation on the heap.
    pub fn heap(length: usize) -> Self {
        Writer::new(vec![0u8; length])
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.as_slice().len()
    }

    /// Whether the place has no room.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place to write to.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.0.buffer()
    }

    /// What has been written.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Finished: as shared memory.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// Finished: as the type of the engine that reserved it.
    pub fn into_any(self) -> Box<dyn Any> {
        self.0.into_any()
    }
}

impl Reserved for Vec<u8> {
    fn buffer(&mut self) -> &mut [u8] {
        self
    }

    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self: Box<Self>) -> Bytes {
        Bytes::from(*self)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A store command.
pub struct Store<'a> {
    /// Condition and effect.
    pub mode: Mode,
    /// Where.
    pub key: Key<'a>,
    /// The client's 32 bits.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give the item, if the client (or a tier) chose one.
    pub new_cas: Option<u64>,
    /// What an older `compare` means.
    pub older: Older,
    /// `Append` and `Prepend` on a missing key: create the item with this expiry.
    pub vivify: Option<Expiry>,
    /// Store the item marked stale (a tier that carries an item down keeps the mark).
    pub stale: bool,
    /// Store the item with its token out (a tier that carries an item down keeps that too).
    pub token_taken: bool,
    /// The value.
    pub value: Payload<'a>,
}

impl<'a> Store<'a> {
    /// An unconditional set.
    pub fn set(key: Key<'a>, flags: u32, expiry: Expiry, value: Payload<'a>) -> Self {
        Store {
            mode: Mode::Set,
            key,
            flags,
            expiry,
            compare: None,
            new_cas: None,
            older: Older::Refuse,
            vivify: None,
            stale: false,
            token_taken: false,
            value,
        }
    }
}

impl Store<'_> {
    /// The options of the command, apart from its key and its value: what an engine carries to a thread of its own
    /// beside owned copies of those. [`crate::semantics::store`] asks for no more.
    pub fn options(&self) -> Store<'static> {
        let Store { mode, flags, expiry, compare, new_cas, older, vivify, stale, token_taken, .. } = *self;
        let nothing = Store::set(Key::new(b"-"), flags, expiry, Payload::Borrowed(&[]));
        Store { mode, compare, new_cas, older, vivify, stale, token_taken, ..nothing }
    }
}

/// A delete command, or one of the meta protocol's gentler forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delete {
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give an item that stays.
    pub new_cas: Option<u64>,
    /// Keep the item, mark it stale, free its token.
    pub mark_stale: bool,
    /// Keep the item, drop its value, give it these flags.
    pub drop_value: Option<u32>,
    /// The expiry to give an item that stays.
    pub expiry: Option<Expiry>,
}

impl Delete {
    /// Whether the item stays under its key.
    pub fn keeps_item(&self) -> bool {
        self.mark_stale || self.drop_value.is_some()
    }
}

/// Which way a counter goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Up; wraps at 2^64.
    Increment,
    /// Down; stops at 0.
    Decrement,
}

/// A counter to create on a miss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Initial {
    /// Its first value, which is also the answer.
    pub value: u64,
    /// Its expiry.
    pub expiry: Expiry,
}

/// An incr or decr command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arithmetic {
    /// Up or down.
    pub direction: Direction,
    /// By how much.
    pub delta: u64,
    /// What to create on a miss; `None`: a miss is `NotFound`.
    pub initial: Option<Initial>,
    /// Only if the item has this CAS.
    pub compare: Option<u64>,
    /// The CAS to give the item.
    pub new_cas: Option<u64>,
    /// The expiry to give the item; `None`: it keeps its own.
    pub expiry: Option<Expiry>,
}

/// Which items a flush takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    /// All of the engine.
    All,
    /// Those whose key starts so.
    Prefix(&'a [u8]),
}

/// In which order a scan is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScanOrder {
    /// Any order; every item present throughout the scan comes at least once.
    Any,
    /// Roughly newest first, for warming a cache; may leave items out.
    Newest,
}

/// A piece of a scan.
#[derive(Default)]
pub struct ScanPage {
    /// Key and item, expired ones left out.
    pub items: Vec<(Box<[u8]>, Item)>,
    /// Where to go on; `None` at the end. Opaque to the caller.
    pub next: Option<Vec<u8>>,
}
