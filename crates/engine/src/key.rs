//! The key of an item.

/// Longest key in bytes, after decoding (the memcached protocol's limit).
pub const KEY_LENGTH_MAX: usize = 250;

/// A key as the router hands it to an engine: the full bytes, and how many of them the router matched.
///
/// Any byte may occur; 1 to [`KEY_LENGTH_MAX`] bytes. Engines keep the full key; an engine that maps prefixes to
/// containers uses [`Key::suffix`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key<'a> {
    bytes: &'a [u8],
    prefix_length: u8,
}

impl<'a> Key<'a> {
    /// A key whose first `prefix_length` bytes are the routed prefix.
    ///
    /// The protocol has checked the length of `bytes`; a prefix longer than the key is a fault of the router.
    pub fn routed(bytes: &'a [u8], prefix_length: usize) -> Self {
        debug_assert!(!bytes.is_empty() && bytes.len() <= KEY_LENGTH_MAX && prefix_length <= bytes.len());
        Key { bytes, prefix_length: prefix_length as u8 }
    }

    /// A key matched by the empty prefix.
    pub fn new(bytes: &'a [u8]) -> Self {
        Key::routed(bytes, 0)
    }

    /// All bytes of the key.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The routed prefix.
    pub fn prefix(&self) -> &'a [u8] {
        &self.bytes[..usize::from(self.prefix_length)]
    }

    /// What follows the routed prefix.
    pub fn suffix(&self) -> &'a [u8] {
        &self.bytes[usize::from(self.prefix_length)..]
    }
}
