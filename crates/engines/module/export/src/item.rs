//! Items as the server holds them.

use bytes::Bytes;
use larder_engine::{Expiry, Item, Value};

/// An item from `allocate` or `get` to `release`; nobody's but the connection's that asked for it.
pub(crate) struct Exported {
    pub(crate) key: Box<[u8]>,
    pub(crate) flags: u32,
    pub(crate) expiry: Expiry,
    /// The CAS to compare with, of an item to be stored; the item's own after that.
    pub(crate) cas: u64,
    content: Content,
}

enum Content {
    /// The server writes here.
    Fresh(Vec<u8>),
    /// Nobody writes any more.
    Whole(Value),
}

impl Exported {
    /// An item for the server to fill; `None` if there is no memory for it.
    pub(crate) fn fresh(key: &[u8], length: usize, flags: u32, expiry: Expiry) -> Option<Exported> {
        let mut value = Vec::new();
        value.try_reserve_exact(length).ok()?;
        value.resize(length, 0);
        Some(Exported { key: key.into(), flags, expiry, cas: 0, content: Content::Fresh(value) })
    }

    /// An item of the engine's.
    pub(crate) fn found(key: &[u8], item: Item) -> Exported {
        Exported {
            key: key.into(),
            flags: item.found.flags,
            expiry: item.found.expiry,
            cas: item.found.cas,
            content: Content::Whole(item.value),
        }
    }

    /// The value, which nobody may write from now on.
    pub(crate) fn seal(&mut self) -> Bytes {
        let value = match &mut self.content {
            Content::Fresh(value) => Bytes::from(std::mem::take(value)),
            Content::Whole(value) => value.whole(),
        };
        self.content = Content::Whole(value.clone().into());
        value
    }

    /// Calls `take` with address and length of each piece.
    pub(crate) fn pieces(&self, mut take: impl FnMut(*const u8, usize)) {
        match &self.content {
            Content::Fresh(value) => take(value.as_ptr(), value.len()),
            Content::Whole(value) => {
                value.pieces().iter().for_each(|piece| take(piece.as_ptr(), piece.len()))
            }
        }
    }

    /// Length of the value in bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Fresh(value) => value.len(),
            Content::Whole(value) => value.len(),
        }
    }
}
