//! The file of one item: the value, then a line that says all else. Described in `docs/reference/file-format.md`.

use std::io;
use std::path::Path;
use std::str::SplitAsciiWhitespace;

use bytes::Bytes;
use larder_engine::Expiry;
use larder_engine::disk::Disk;
use larder_engine::durable::{Kept, crc32};

use crate::names;
use crate::options::ITEM_SIZE_MAX;

/// What the line begins with: its name and the format.
const MARK: &str = "larder-item 1";
/// No line is longer, the line ends around it included.
const TAIL_BYTES_MAX: usize = 1200;
/// A shorter value is written together with its line.
const JOINED_BYTES_MAX: usize = 64 << 10;

/// What the line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub key: Vec<u8>,
    /// Length of the value.
    pub value_bytes: u64,
    /// CRC-32 of the value.
    pub value_sum: u32,
    pub flags: u32,
    pub expiry: Expiry,
    pub cas: u64,
    pub version: u64,
    pub stale: bool,
    pub token_taken: bool,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The disk failed.
    Disk(io::Error),
    /// It is not what was written.
    Damaged(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Disk(error)
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Damaged(what.into()))
}

impl Line {
    fn of(key: &[u8], kept: &Kept) -> Line {
        Line {
            key: key.to_vec(),
            value_bytes: kept.value.len() as u64,
            value_sum: crc32(&kept.value),
            flags: kept.flags,
            expiry: kept.expiry,
            cas: kept.cas,
            version: kept.version,
            stale: kept.stale,
            token_taken: kept.token_taken,
        }
    }

    /// The end of the file: a line end, the line, a line end.
    fn tail(&self) -> String {
        let Line { value_bytes, value_sum, flags, cas, version, .. } = self;
        let expires = self.expiry.raw();
        let state = match (self.stale, self.token_taken) {
            (false, false) => "-",
            (true, false) => "stale",
            (false, true) => "taken",
            (true, true) => "stale,taken",
        };
        let key = names::to_text(&self.key);
        let line = format!(
            "{MARK} bytes={value_bytes} crc={value_sum:08x} flags={flags} expires={expires} cas={cas} \
             version={version} state={state} key={key}"
        );
        format!("\n{line} sum={:08x}\n", crc32(line.as_bytes()))
    }

    /// Reads the line at the end of `tail`, which is the end of a file of `file_bytes`.
    fn read(tail: &[u8], file_bytes: u64) -> Result<Line, Problem> {
        let Some(line) = tail.strip_suffix(b"\n") else {
            return damaged("it does not end in a line of ours");
        };
        let Some(start) = line.iter().rposition(|byte| *byte == b'\n') else {
            return damaged("it does not end in a line of ours");
        };
        let line = &line[start + 1..];
        let Some(parsed) = std::str::from_utf8(line).ok().and_then(Line::parse) else {
            return damaged("its last line is not one of ours, or was changed");
        };
        if parsed.value_bytes + line.len() as u64 + 2 != file_bytes {
            return damaged(format!(
                "it has {file_bytes} bytes, which does not fit a value of {}",
                parsed.value_bytes
            ));
        }
        Ok(parsed)
    }

    fn parse(line: &str) -> Option<Line> {
        let (said, sum) = line.rsplit_once(" sum=")?;
        if hexadecimal(sum)? != crc32(said.as_bytes()) {
            return None;
        }
        let mut words = said.strip_prefix(MARK)?.split_ascii_whitespace();
        let value_bytes = word(&mut words, "bytes")?.parse().ok()?;
        let value_sum = hexadecimal(word(&mut words, "crc")?)?;
        let flags = word(&mut words, "flags")?.parse().ok()?;
        let expiry = Expiry::from_raw(word(&mut words, "expires")?.parse().ok()?);
        let cas = word(&mut words, "cas")?.parse().ok()?;
        let version = word(&mut words, "version")?.parse().ok()?;
        let (stale, token_taken) = match word(&mut words, "state")? {
            "-" => (false, false),
            "stale" => (true, false),
            "taken" => (false, true),
            "stale,taken" => (true, true),
            _ => return None,
        };
        let key = names::from_text(word(&mut words, "key")?)?;
        let line = Line { key, value_bytes, value_sum, flags, expiry, cas, version, stale, token_taken };
        words.next().is_none().then_some(line)
    }
}

fn word<'l>(words: &mut SplitAsciiWhitespace<'l>, name: &str) -> Option<&'l str> {
    words.next()?.strip_prefix(name)?.strip_prefix('=')
}

/// A checksum as it stands in text.
pub(crate) fn hexadecimal(digits: &str) -> Option<u32> {
    if digits.len() == 8 { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// Writes the file at `path`, which is made, and syncs it (not its name); its length.
pub(crate) fn write(disk: &dyn Disk, path: &Path, key: &[u8], kept: &Kept) -> io::Result<u64> {
    let file = disk.open(path, true)?;
    let tail = Line::of(key, kept).tail();
    let value_bytes = kept.value.len() as u64;
    if kept.value.len() <= JOINED_BYTES_MAX {
        file.write_at(&[&kept.value[..], tail.as_bytes()].concat(), 0)?;
    } else {
        file.write_at(&kept.value, 0)?;
        file.write_at(tail.as_bytes(), value_bytes)?;
    }
    file.sync()?;
    Ok(value_bytes + tail.len() as u64)
}

/// The item in the file at `path`, with its key; `None`: there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<(Vec<u8>, Kept)>, Problem> {
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let file_bytes = file.length()?;
    if file_bytes > ITEM_SIZE_MAX + TAIL_BYTES_MAX as u64 {
        return damaged(format!("it has {file_bytes} bytes, more than any item"));
    }
    let mut content = vec![0; file_bytes as usize];
    if file.read_at(&mut content, 0)? < content.len() {
        return damaged("it ends early");
    }
    let line = Line::read(&content[content.len().saturating_sub(TAIL_BYTES_MAX)..], file_bytes)?;
    let mut value = Bytes::from(content);
    value.truncate(line.value_bytes as usize);
    if crc32(&value) != line.value_sum {
        return damaged("its value was changed: the checksum does not fit");
    }
    let Line { key, flags, expiry, cas, version, stale, token_taken, .. } = line;
    Ok(Some((key, Kept { version, cas, expiry, flags, stale, token_taken, value })))
}

/// The item of `key` in the file at `path`.
pub(crate) fn read_of(disk: &dyn Disk, path: &Path, key: &[u8]) -> Result<Option<Kept>, Problem> {
    match read(disk, path)? {
        Some((of, _)) if of != key => {
            damaged(format!("it holds the item of another key, {}", of.escape_ascii()))
        }
        found => Ok(found.map(|(_, kept)| kept)),
    }
}

/// What the line of the file at `path` says; the value is not read. Besides the length of the file.
pub(crate) fn read_line(disk: &dyn Disk, path: &Path) -> Result<Option<(Line, u64)>, Problem> {
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let file_bytes = file.length()?;
    let start = file_bytes.saturating_sub(TAIL_BYTES_MAX as u64);
    let mut tail = vec![0; (file_bytes - start) as usize];
    if file.read_at(&mut tail, start)? < tail.len() {
        return damaged("it ends early");
    }
    Ok(Some((Line::read(&tail, file_bytes)?, file_bytes)))
}

#[cfg(test)]
mod tests;
