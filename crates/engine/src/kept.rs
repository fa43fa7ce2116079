//! An item as a simple engine keeps it: owned, and as bytes for a file.

use bytes::Bytes;

use crate::item::{Found, Token};
use crate::semantics::{Current, Next, NextValue};
use crate::time::Expiry;

/// An item, owned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The client's 32 bits.
    pub flags: u32,
    /// Its CAS.
    pub cas: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
    /// Its value.
    pub value: Bytes,
}

/// Bytes of a record before the key: checksum, flags, CAS, expiry, marks, length of the key.
const HEAD: usize = 8 + 4 + 8 + 4 + 1 + 1;

impl Kept {
    /// What a command made of `before` and of the value it brought.
    pub fn new(next: &Next<'_>, before: Option<&Kept>, given: &Bytes) -> Kept {
        let value = match (next.value, next.value.composed()) {
            (_, Some(composed)) => composed,
            (NextValue::Kept, None) => before.map(|kept| kept.value.clone()).unwrap_or_default(),
            (_, None) => given.clone(),
        };
        let Next { flags, cas, expiry, stale, token_taken, .. } = *next;
        Kept { flags, cas, expiry, stale, token_taken, value }
    }

    /// As [`crate::semantics`] sees it.
    pub fn current(&self) -> Current<'_> {
        let Kept { flags, cas, expiry, stale, token_taken, .. } = *self;
        Current { flags, cas, expiry, stale, token_taken, value: &self.value }
    }

    /// As a look-up that changes nothing shows it.
    pub fn found(&self) -> Found {
        let token = if self.token_taken { Token::Taken } else { Token::Free };
        Found {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            expiry_before: self.expiry,
            stale: self.stale,
            token,
            ..Found::default()
        }
    }

    /// As bytes, together with its key of at most 255 bytes.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let key_length = u8::try_from(key.len()).expect("a key has at most 250 bytes");
        let mut bytes = Vec::with_capacity(HEAD + key.len() + self.value.len());
        bytes.extend([0; 8]);
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.cas.to_le_bytes());
        bytes.extend(self.expiry.raw().to_le_bytes());
        bytes.extend([u8::from(self.stale) | u8::from(self.token_taken) << 1, key_length]);
        bytes.extend(key);
        bytes.extend(&self.value);
        let sum = checksum(&bytes[8..]);
        bytes[..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Key and item of such bytes; `None` if they are not whole.
    pub fn decode(bytes: Vec<u8>) -> Option<(Vec<u8>, Kept)> {
        let bytes = Bytes::from(bytes);
        let (sum, rest) = bytes.split_first_chunk()?;
        if checksum(rest) != u64::from_le_bytes(*sum) {
            return None;
        }
        let (flags, rest) = rest.split_first_chunk()?;
        let (cas, rest) = rest.split_first_chunk()?;
        let (expiry, rest) = rest.split_first_chunk()?;
        let ([marks, key_length], rest) = rest.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(usize::from(*key_length))?;
        let kept = Kept {
            flags: u32::from_le_bytes(*flags),
            cas: u64::from_le_bytes(*cas),
            expiry: Expiry::from_raw(u32::from_le_bytes(*expiry)),
            stale: marks & 1 != 0,
            token_taken: marks & 2 != 0,
            value: bytes.slice_ref(value),
        };
        Some((key.to_vec(), kept))
    }
}

/// FNV-1a: enough to see that a record is torn or damaged.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_give_the_item_back_and_damage_is_seen() {
        let value = Bytes::from_static(b"value\0");
        let expiry = Expiry::at(77);
        let kept = Kept { flags: u32::MAX, cas: 1 << 40, expiry, stale: true, token_taken: false, value };
        for key in [&b"k"[..], b"", &[255; 250]] {
            let bytes = kept.encode(key);
            assert_eq!(Kept::decode(bytes.clone()), Some((key.to_vec(), kept.clone())));
            for place in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[place] ^= 16;
                assert_eq!(Kept::decode(damaged), None, "byte {place}");
                assert_eq!(Kept::decode(bytes[..place].to_vec()), None, "cut at {place}");
            }
        }
    }
}
