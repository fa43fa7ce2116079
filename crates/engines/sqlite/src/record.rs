//! The journal's records: what one batch changed, as one blob. Described in `docs/reference/sqlite-format.md`.

use larder_engine::Expiry;
use larder_engine::durable::crc32;
use larder_engine::key::KEY_LENGTH_MAX;

use crate::kept::{Kept, Latest};

/// First byte of a blob.
const FORMAT_VERSION: u8 = 1;
/// Format version and checksum.
const HEAD_LENGTH: usize = 5;

const KIND_MASK: u8 = 0b11;
const KIND_PUT: u8 = 1;
const KIND_GONE: u8 = 2;
const KIND_IN_TABLE: u8 = 3;
const STALE: u8 = 1 << 2;
const TOKEN_TAKEN: u8 = 1 << 3;
const HAS_FLAGS: u8 = 1 << 4;
const HAS_EXPIRY: u8 = 1 << 5;
const HAS_CAS: u8 = 1 << 6;
const UNKNOWN_BITS: u8 = 1 << 7;

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    /// The key has this item, or none.
    Latest(Latest),
    /// The same transaction put the key's row with this version into the table.
    InTable(u64),
}

/// Writes a blob.
pub(crate) struct Encoder {
    blob: Vec<u8>,
}

impl Encoder {
    /// Writes into `spare`, whose content is thrown away.
    pub fn new(mut spare: Vec<u8>) -> Self {
        spare.clear();
        spare.extend_from_slice(&[FORMAT_VERSION, 0, 0, 0, 0]);
        Encoder { blob: spare }
    }

    pub fn is_empty(&self) -> bool {
        self.blob.len() == HEAD_LENGTH
    }

    pub fn latest(&mut self, key: &[u8], latest: &Latest) {
        match latest {
            Latest::Item(kept) => self.put(key, kept),
            Latest::Gone(version) => self.head(KIND_GONE, key, *version),
        }
        if let Latest::Gone(_) = latest {
            self.blob.extend_from_slice(key);
        }
    }

    pub fn in_table(&mut self, key: &[u8], version: u64) {
        self.head(KIND_IN_TABLE, key, version);
        self.blob.extend_from_slice(key);
    }

    fn head(&mut self, bits: u8, key: &[u8], version: u64) {
        debug_assert!(!key.is_empty() && key.len() <= KEY_LENGTH_MAX);
        self.blob.extend_from_slice(&[bits, key.len() as u8]);
        self.blob.extend_from_slice(&version.to_le_bytes());
    }

    fn put(&mut self, key: &[u8], kept: &Kept) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let bits = KIND_PUT
            | bit(kept.stale, STALE)
            | bit(kept.token_taken, TOKEN_TAKEN)
            | bit(kept.flags != 0, HAS_FLAGS)
            | bit(kept.expiry != Expiry::NEVER, HAS_EXPIRY)
            | bit(kept.cas != kept.version, HAS_CAS);
        self.head(bits, key, kept.version);
        if bits & HAS_FLAGS != 0 {
            self.blob.extend_from_slice(&kept.flags.to_le_bytes());
        }
        if bits & HAS_EXPIRY != 0 {
            self.blob.extend_from_slice(&kept.expiry.raw().to_le_bytes());
        }
        if bits & HAS_CAS != 0 {
            self.blob.extend_from_slice(&kept.cas.to_le_bytes());
        }
        self.blob.extend_from_slice(&(kept.value.len() as u32).to_le_bytes());
        self.blob.extend_from_slice(key);
        self.blob.extend_from_slice(&kept.value);
    }

    /// The finished blob.
    pub fn finish(mut self) -> Vec<u8> {
        let sum = crc32(&self.blob[HEAD_LENGTH..]);
        self.blob[1..HEAD_LENGTH].copy_from_slice(&sum.to_le_bytes());
        self.blob
    }
}

/// Reads a blob; nothing is given to `each` unless the checksum is right.
///
/// # Errors
/// What is wrong with the blob, in words.
pub(crate) fn decode(
    blob: &[u8],
    mut each: impl FnMut(&[u8], Record) -> Result<(), String>,
) -> Result<(), String> {
    let Some((head, mut rest)) = blob.split_at_checked(HEAD_LENGTH) else {
        return Err(format!("only {} bytes long", blob.len()));
    };
    if head[0] != FORMAT_VERSION {
        return Err(format!("record format {} is unknown", head[0]));
    }
    if head[1..] != crc32(rest).to_le_bytes() {
        return Err("its checksum is wrong".into());
    }
    while !rest.is_empty() {
        let (key, record) = decode_one(&mut rest)?;
        each(key, record)?;
    }
    Ok(())
}

fn decode_one<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], Record), String> {
    let [bits, key_length] = take_array(rest)?;
    let key_length = usize::from(key_length);
    if key_length == 0 || key_length > KEY_LENGTH_MAX {
        return Err(format!("a key of {key_length} bytes"));
    }
    let version = u64::from_le_bytes(take_array(rest)?);
    match bits & KIND_MASK {
        KIND_PUT if bits & UNKNOWN_BITS == 0 => {}
        KIND_GONE | KIND_IN_TABLE if bits & !KIND_MASK == 0 => {
            let key = take(rest, key_length)?;
            let record = match bits {
                KIND_GONE => Record::Latest(Latest::Gone(version)),
                _ => Record::InTable(version),
            };
            return Ok((key, record));
        }
        _ => return Err(format!("a record of unknown kind {bits:#04x}")),
    }
    let has = |bit: u8| bits & bit != 0;
    let flags = if has(HAS_FLAGS) { u32::from_le_bytes(take_array(rest)?) } else { 0 };
    let expiry = if has(HAS_EXPIRY) { u32::from_le_bytes(take_array(rest)?) } else { 0 };
    let cas = if has(HAS_CAS) { u64::from_le_bytes(take_array(rest)?) } else { version };
    let value_length = u32::from_le_bytes(take_array(rest)?);
    let key = take(rest, key_length)?;
    let value = take(rest, value_length as usize)?.to_vec().into();
    let kept = Kept {
        version,
        cas,
        expiry: Expiry::from_raw(expiry),
        flags,
        stale: has(STALE),
        token_taken: has(TOKEN_TAKEN),
        value,
    };
    Ok((key, Record::Latest(Latest::Item(kept))))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (piece, after) = rest.split_at_checked(length).ok_or("a record that ends too early")?;
    *rest = after;
    Ok(piece)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (piece, after) = rest.split_first_chunk::<N>().ok_or("a record that ends too early")?;
    *rest = after;
    Ok(*piece)
}

#[cfg(test)]
mod tests;
