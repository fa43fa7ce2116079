//! Values that say who wrote them.
//!
//! A value is a row of *pieces*. Each names its key, its writer and the writer's sequence number, so no two writes
//! bring the same piece, and what comes back can be traced to the writes it was made of. Counters hold plain decimal
//! text instead.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

/// A value with its hash, cheap to copy and to compare.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    hash: u64,
    bytes: Bytes,
}

impl Value {
    /// The value of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        // FNV-1a: the same in every run, so a seed repeats the search too.
        let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        Value { hash, bytes }
    }

    /// The decimal text of a number.
    pub fn number(number: u64) -> Self {
        Value::new(number.to_string())
    }

    /// This value with `tail` behind it.
    pub fn joined(&self, tail: &Value) -> Self {
        Value::new([&self.bytes[..], &tail.bytes[..]].concat())
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number that incr and decr would find in it.
    pub fn as_number(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.bytes).ok()?.trim_matches(' ');
        let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok() } else { None }
    }

    /// The pieces it is made of; `None` if any byte is not as its writer wrote it.
    pub fn pieces(&self) -> Option<Vec<Piece>> {
        let mut rest = &self.bytes[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b']')?;
            let piece = Piece::parse(std::str::from_utf8(&rest[..end]).ok()?)?;
            let whole = piece.bytes();
            rest = rest.strip_prefix(&whole[..])?;
            pieces.push(piece);
        }
        Some(pieces)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value for a report: pieces by writer and sequence number, numbers as they are.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.as_number() {
            return write!(f, "{number}");
        }
        match self.pieces() {
            Some(pieces) if pieces.is_empty() => f.write_str("an empty value"),
            Some(pieces) => {
                for (index, piece) in pieces.iter().enumerate() {
                    write!(f, "{}{piece}", if index == 0 { "" } else { "+" })?;
                }
                Ok(())
            }
            None => {
                let shown = self.bytes.len().min(60);
                write!(f, "{} bytes \"{}\"", self.bytes.len(), self.bytes[..shown].escape_ascii())
            }
        }
    }
}

/// What one write brought.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Piece {
    /// The key it was written to.
    pub key: String,
    /// The writer.
    pub client: u32,
    /// The writer's sequence number.
    pub sequence: u64,
    /// Bytes of padding behind the header.
    pub padding_bytes: usize,
}

impl Piece {
    fn parse(header: &str) -> Option<Piece> {
        let mut fields = header.strip_prefix('[')?.split(' ');
        let piece = Piece {
            key: fields.next()?.to_owned(),
            client: fields.next()?.parse().ok()?,
            sequence: fields.next()?.parse().ok()?,
            padding_bytes: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(piece)
    }

    /// The bytes as written.
    pub fn bytes(&self) -> Vec<u8> {
        let Piece { key, client, sequence, padding_bytes } = self;
        let mut bytes = format!("[{key} {client} {sequence} {padding_bytes}]").into_bytes();
        let first = sequence.wrapping_add(u64::from(*client));
        bytes.extend((0..*padding_bytes).map(|index| b'a' + ((first + index as u64) % 26) as u8));
        bytes
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.client, self.sequence)
    }
}
