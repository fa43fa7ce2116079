//! The CAS of a row that keeps none: a hash of its mapped content, the same in every process.

use super::Row;
use crate::plan::{FlagsIn, Plan};
use crate::types::Cell;

/// Marks a CAS that was computed; ids that were given have this bit clear.
const COMPUTED: u64 = 1 << 63;

/// The hash of flags, value columns and counter, with the topmost bit set.
pub(super) fn of(plan: &Plan, row: &Row) -> u64 {
    let mut hash = Hash::new(plan.container.name.as_bytes());
    if let FlagsIn::Column(at) = plan.flags {
        hash.cell(&row[at]);
    }
    for at in plan.values.iter().chain(&plan.counter) {
        hash.cell(&row[*at]);
    }
    hash.finish() | COMPUTED
}

/// SipHash-2-4, whose value never changes with a library's version.
struct Hash {
    state: [u64; 4],
    pending: Vec<u8>,
    length: u64,
}

impl Hash {
    fn new(name: &[u8]) -> Self {
        let mut first = Hash::keyed(0x6c61_7264_6572, 0x7371_6c2d_6361_7300);
        first.bytes(name);
        let key = first.finish();
        Hash::keyed(key, key.rotate_left(32))
    }

    fn keyed(first: u64, second: u64) -> Self {
        let state = [
            first ^ 0x736f_6d65_7073_6575,
            second ^ 0x646f_7261_6e64_6f6d,
            first ^ 0x6c79_6765_6e65_7261,
            second ^ 0x7465_6462_7974_6573,
        ];
        Hash { state, pending: Vec::with_capacity(8), length: 0 }
    }

    /// A cell with its kind and length before it, so that no two rows read the same.
    fn cell(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => self.bytes(&[0]),
            Cell::Integer(number) => {
                self.bytes(&[1]);
                self.bytes(&number.to_le_bytes());
            }
            Cell::Text(bytes) | Cell::Blob(bytes) => {
                self.bytes(&[2]);
                self.bytes(&(bytes.len() as u64).to_le_bytes());
                self.bytes(bytes);
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        for byte in bytes {
            self.pending.push(*byte);
            if let Ok(word) = <[u8; 8]>::try_from(&self.pending[..]) {
                self.pending.clear();
                self.word(u64::from_le_bytes(word));
            }
        }
    }

    fn word(&mut self, word: u64) {
        self.state[3] ^= word;
        self.round();
        self.round();
        self.state[0] ^= word;
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.state;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.state = [a, b, c, d];
    }

    fn finish(mut self) -> u64 {
        let mut last = [0; 8];
        last[..self.pending.len()].copy_from_slice(&self.pending);
        last[7] = self.length as u8;
        self.word(u64::from_le_bytes(last));
        self.state[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.state.into_iter().fold(0, |all, part| all ^ part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // The test vector of the function's authors: key 00..0f, input 00..0e.
        let mut hash = Hash::keyed(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        hash.bytes(&(0..15u8).collect::<Vec<_>>());
        assert_eq!(hash.finish(), 0xa129_ca61_49be_45e5);
    }
}
