//! Bytes that lie in place when they are few.

use std::ops::Deref;

use bytes::Bytes;

/// A string of bytes; one of up to `N` bytes, at most 255, is part of the value, so that nothing is allocated for it, and who fetches
/// the value into the processor's cache has the bytes too.
#[derive(Clone)]
pub(crate) enum Short<const N: usize> {
    /// The first so many of these bytes.
    Here(u8, [u8; N]),
    Elsewhere(Bytes),
}

impl<const N: usize> Short<N> {
    const fn fits(length: usize) -> bool {
        assert!(N <= u8::MAX as usize);
        length <= N
    }

    #[inline]
    fn here(bytes: &[u8]) -> Self {
        let mut place = [0; N];
        place[..bytes.len()].copy_from_slice(bytes);
        Short::Here(bytes.len() as u8, place)
    }

    /// The bytes, if they do not lie in place.
    #[inline]
    pub fn elsewhere(&self) -> Option<&Bytes> {
        match self {
            Short::Here(..) => None,
            Short::Elsewhere(bytes) => Some(bytes),
        }
    }

    /// The bytes, to share.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Short::Here(..) => Bytes::copy_from_slice(self),
            Short::Elsewhere(bytes) => bytes.clone(),
        }
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Short::Here(length, bytes) => &bytes[..usize::from(*length)],
            Short::Elsewhere(bytes) => bytes,
        }
    }
}

impl<const N: usize> From<&[u8]> for Short<N> {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        match Self::fits(bytes.len()) {
            true => Short::here(bytes),
            false => Short::Elsewhere(Bytes::copy_from_slice(bytes)),
        }
    }
}

impl<const N: usize> From<Bytes> for Short<N> {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        match Self::fits(bytes.len()) {
            true => Short::here(&bytes),
            false => Short::Elsewhere(bytes),
        }
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Short::Here(0, [0; N])
    }
}

impl<const N: usize> PartialEq for Short<N> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<const N: usize> Eq for Short<N> {}

impl<const N: usize> std::fmt::Debug for Short<N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_come_back() {
        for length in 0..20_u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let copied = Short::<8>::from(&bytes[..]);
            assert_eq!(&copied[..], bytes);
            assert_eq!(&copied.to_bytes()[..], bytes);
            assert_eq!(copied.elsewhere().is_some(), length > 8);
            assert_eq!(Short::from(Bytes::from(bytes)), copied);
        }
    }
}
