//! What an engine keeps under a key.

use bytes::Bytes;

use crate::time::{Expiry, Timestamp};

/// Whether somebody holds the right to refill an item (the meta protocol's win token).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Token {
    /// Nobody has been given the right.
    #[default]
    Free,
    /// This very request was given it (`W`).
    Won,
    /// Somebody else was given it earlier (`Z`).
    Taken,
}

/// What a look-up says of an item besides its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The client's 32 bits, untouched.
    pub flags: u32,
    /// Changes with every change of the value; never 0 for a kept item unless the client chose 0.
    pub cas: u64,
    /// When it expires, after a touch by the same request.
    pub expiry: Expiry,
    /// When it would have expired without that touch.
    pub expiry_before: Expiry,
    /// When it was last read before this request; `None` if the engine does not keep it.
    pub last_access: Option<Timestamp>,
    /// Whether it was read before this request since it was stored.
    pub fetched: bool,
    /// Marked stale: the value may be served while somebody refills it.
    pub stale: bool,
    /// The right to refill it.
    pub token: Token,
    /// If this look-up changed the item (touch, token, vivify): the change's place in the engine's order, else 0.
    pub version: u64,
}

/// An item that outlives the call that produced it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Item {
    /// All but the value.
    pub found: Found,
    /// The value.
    pub value: Value,
}

/// The bytes of a value, in one piece or, from engines that keep it so, in several.
///
/// Cloning shares the memory. Foreign memory is wrapped by [`Bytes::from_owner`]; its owner is dropped once, when
/// the last clone is.
#[derive(Clone, Debug)]
pub enum Value {
    /// One piece.
    Whole(Bytes),
    /// Several pieces, in order.
    Pieces(Vec<Bytes>),
}

impl Value {
    /// Length in bytes over all pieces.
    pub fn len(&self) -> usize {
        match self {
            Value::Whole(bytes) => bytes.len(),
            Value::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Value::Whole(bytes) => std::slice::from_ref(bytes),
            Value::Pieces(pieces) => pieces,
        }
    }

    /// The value in one piece; copies only when there are several.
    pub fn whole(&self) -> Bytes {
        match self {
            Value::Whole(bytes) => bytes.clone(),
            Value::Pieces(pieces) => pieces.concat().into(),
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Value::Whole(Bytes::new())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.whole() == other.whole()
    }
}

impl Eq for Value {}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Whole(bytes)
    }
}
