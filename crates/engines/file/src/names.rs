//! Keys as file names. Described in `docs/reference/file-format.md`.
//!
//! A name holds lower-case letters, digits, `-`, `_`, `.` and escapes only, so that it means the same on every file
//! system, also on one that takes `A` and `a` for the same.

use larder_engine::durable::crc32;
use larder_engine::key::KEY_LENGTH_MAX;
use ring::digest::{SHA256, digest};

/// Folders that items are spread over.
pub(crate) const SHARDS: usize = 256;
/// What Linux, macOS and Windows take.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of a long key's text that begin its name.
const LONG_TEXT_BYTES: usize = 180;
/// Stands between the two parts of a long key's name, and in no other name.
const LONG_MARK: &str = "%-";
/// Hexadecimal digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;

/// What a file's name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// The key.
    Key(Vec<u8>),
    /// A key too long for a name: it stands in the file.
    Long,
}

/// The bytes as text: what is neither a lower-case letter, a digit, `-`, `_` nor a dot inside is written `%xx`.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for (index, byte) in bytes.iter().enumerate() {
        let is_edge = index == 0 || index + 1 == bytes.len();
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(*byte)),
            b'.' if !is_edge => text.push('.'),
            other => text.push_str(&format!("%{other:02x}")),
        }
    }
    text
}

/// The bytes that [`to_text`] makes this text of; `None` if it makes it of none.
pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    (to_text(&bytes) == text).then_some(bytes)
}

/// The name of the file that holds the item of `key`.
pub(crate) fn name_of(key: &[u8]) -> String {
    let text = to_text(key);
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    // Not inside an escape.
    let inside = text[..LONG_TEXT_BYTES].rfind('%').filter(|start| start + 3 > LONG_TEXT_BYTES);
    let mut name = text[..inside.unwrap_or(LONG_TEXT_BYTES)].to_owned();
    name.push_str(LONG_MARK);
    for byte in digest(&SHA256, key).as_ref() {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// What a name says; `None` if it is not one that [`name_of`] makes.
pub(crate) fn read(name: &str) -> Option<Named> {
    if let Some((text, sum)) = name.split_once(LONG_MARK) {
        let is_sum =
            sum.len() == DIGEST_DIGITS && sum.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let fits = (LONG_TEXT_BYTES - 2..=LONG_TEXT_BYTES).contains(&text.len());
        return (is_sum && fits).then_some(Named::Long);
    }
    let key = from_text(name)?;
    let fits = !key.is_empty() && key.len() <= KEY_LENGTH_MAX && name.len() <= NAME_BYTES_MAX;
    fits.then_some(Named::Key(key))
}

/// The folder of a key's file: the last two hexadecimal digits of its CRC-32.
pub(crate) fn shard_of(key: &[u8]) -> u8 {
    crc32(key) as u8
}

/// The name of that folder.
pub(crate) fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// The shard whose folder has this name.
pub(crate) fn read_shard(name: &str) -> Option<u8> {
    let shard = u8::from_str_radix(name, 16).ok()?;
    (shard_name(shard) == name).then_some(shard)
}

#[cfg(test)]
mod tests;
