//! Bytes that nobody else is to see.

use std::fmt;

use zeroize::Zeroize;

/// Bytes that `Debug` does not show and that are wiped when they are no longer needed, also where they grew out of.
#[derive(Default)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends; what must move to a larger place is wiped in the old one.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        let wanted = self.0.len() + more.len();
        if wanted > self.0.capacity() {
            let mut larger = Vec::with_capacity(wanted.next_power_of_two());
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(more);
    }

    /// Drops the first bytes. What is left of them behind the others is wiped.
    pub(crate) fn consume(&mut self, count: usize) {
        let rest = self.0.len() - count;
        self.0.copy_within(count.., 0);
        self.0[rest..].zeroize();
        self.0.truncate(rest);
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_shrinks_and_hides() {
        let mut secret = Secret::default();
        let mut expected = Vec::new();
        for number in 0..100_u8 {
            secret.extend(&[number; 7]);
            expected.extend_from_slice(&[number; 7]);
            if number % 3 == 0 {
                secret.consume(5);
                expected.drain(..5);
            }
            assert_eq!(secret.bytes(), expected);
        }
        assert_eq!(format!("{secret:?}"), "(hidden)");
    }
}
