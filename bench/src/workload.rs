//! Which keys, which values, which operations.

use crate::arguments::{Args, Mix, SCAN_SEED_SHIFT, Sizes};
use crate::random::{Chooser, Random, mixed, normal};

/// What is asked of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Get,
    Set,
    Increment,
    Delete,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Get, Kind::Set, Kind::Increment, Kind::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Set => "set",
            Kind::Increment => "incr",
            Kind::Delete => "delete",
        }
    }
}

/// The names and contents of all keys: derived, so that any answer can be checked without remembering what was sent.
pub(crate) struct Keyspace {
    prefix: Vec<u8>,
    key_length: usize,
    sizes: Sizes,
    /// Letters that values are cut from.
    letters: Vec<u8>,
}

/// Where in `letters` a value may begin.
const OFFSETS: u64 = 4096;
/// Standard deviation of the natural logarithms of log-normal sizes.
const LOG_DEVIATION: f64 = 0.5;
/// What a value begins with: its key's number, mixed, in hexadecimal.
const MARK_BYTES: usize = 16;

impl Keyspace {
    pub(crate) fn new(arguments: &Args) -> Self {
        let mut random = Random::new(7);
        let length = arguments.value_size.max + OFFSETS as usize;
        let letters = (0..length).map(|_| b'a' + random.below(26) as u8).collect();
        Keyspace {
            prefix: arguments.key_prefix.clone().into_bytes(),
            key_length: arguments.key_length,
            sizes: arguments.value_size,
            letters,
        }
    }

    pub(crate) fn prefix_length(&self) -> usize {
        self.prefix.len()
    }

    /// Appends the key of this number: the prefix, zeros, the number.
    #[inline]
    pub(crate) fn put_key(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        let start = out.len();
        out.resize(start + self.key_length - self.prefix.len(), b'0');
        let mut rest = number;
        for digit in out[start..].iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// The number of a key that the server named; `None` if it is none of ours.
    #[inline]
    pub(crate) fn number_of(&self, key: &[u8]) -> Option<u64> {
        let digits = key.strip_prefix(&self.prefix[..])?;
        if key.len() != self.key_length {
            return None;
        }
        digits.iter().try_fold(0u64, |number, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
            number.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    fn value_length(&self, hash: u64) -> usize {
        if let Some(median) = self.sizes.median {
            let length = median as f64 * (LOG_DEVIATION * normal(hash)).exp();
            return (length.round() as usize).clamp(self.sizes.min, self.sizes.max);
        }
        let span = (self.sizes.max - self.sizes.min + 1) as u64;
        self.sizes.min + ((hash >> 32) % span) as usize
    }

    /// Appends the value of a key.
    #[inline]
    pub(crate) fn put_value(&self, number: u64, out: &mut Vec<u8>) {
        let hash = mixed(number);
        let length = self.value_length(hash);
        let mark = mark(hash);
        let mark_bytes = MARK_BYTES.min(length);
        out.extend_from_slice(&mark[..mark_bytes]);
        out.extend_from_slice(self.letters_at(hash, length - mark_bytes));
    }

    fn letters_at(&self, hash: u64, length: usize) -> &[u8] {
        let offset = (hash % OFFSETS) as usize;
        &self.letters[offset..offset + length]
    }

    /// Whether a value is this key's: its length and its mark, and every byte if `thorough`.
    #[inline]
    pub(crate) fn is_value_of(&self, number: u64, value: &[u8], thorough: bool) -> bool {
        let hash = mixed(number);
        let length = self.value_length(hash);
        let mark_bytes = MARK_BYTES.min(length);
        value.len() == length
            && value[..mark_bytes] == mark(hash)[..mark_bytes]
            && (!thorough || value[mark_bytes..] == *self.letters_at(hash, length - mark_bytes))
    }
}

fn mark(hash: u64) -> [u8; MARK_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(hash >> (60 - 4 * place)) as usize & 15])
}

/// The endless row of operations of one thread.
pub(crate) struct Workload {
    random: Random,
    chooser: Chooser,
    mix: Mix,
    only: Option<Kind>,
    /// Part of the operations that go to a key of their own.
    scan: f64,
    /// The next such key, and how far it is to the one after it.
    scan_next: u64,
    scan_step: u64,
}

impl Workload {
    pub(crate) fn new(arguments: &Args, thread: usize) -> Self {
        let mix = arguments.mix;
        let parts = [mix.get, mix.set, mix.incr, mix.delete];
        let only =
            Kind::ALL.into_iter().zip(parts).find(|(_, part)| *part == mix.parts()).map(|(kind, _)| kind);
        Workload {
            random: Random::new(mixed(arguments.seed) ^ thread as u64),
            chooser: Chooser::new(arguments.distribution, arguments.keys),
            mix,
            only,
            scan: arguments.scan,
            scan_next: ((arguments.seed + 1) << SCAN_SEED_SHIFT) + thread as u64,
            scan_step: arguments.threads as u64,
        }
    }

    #[inline]
    pub(crate) fn kind(&mut self) -> Kind {
        if let Some(kind) = self.only {
            return kind;
        }
        let drawn = self.random.below(u64::from(self.mix.parts())) as u32;
        let (get, set, incr) = (self.mix.get, self.mix.set, self.mix.incr);
        match drawn {
            drawn if drawn < get => Kind::Get,
            drawn if drawn < get + set => Kind::Set,
            drawn if drawn < get + set + incr => Kind::Increment,
            _ => Kind::Delete,
        }
    }

    #[inline]
    pub(crate) fn key(&mut self) -> u64 {
        if self.scan > 0.0 && self.random.unit() < self.scan {
            let number = self.scan_next;
            self.scan_next += self.scan_step;
            return number;
        }
        self.chooser.choose(&mut self.random)
    }
}
