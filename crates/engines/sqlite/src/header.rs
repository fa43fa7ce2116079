//! A look at the first bytes of a file, before SQLite may touch it.

use std::io;
use std::path::Path;

use larder_engine::disk::Disk;

use crate::error::OpenError;
use crate::schema::{APPLICATION_ID, VERSION};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const LENGTH: usize = 100;

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Header {
    /// There is none.
    Nothing,
    /// A store of this format version.
    Store(u32),
}

/// Reads the head of `path` without changing anything.
///
/// # Errors
/// A file that is empty, not a store of ours, or one of a later version.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Header, OpenError> {
    if !disk.exists(path).map_err(|error| OpenError::disk(path, error))? {
        return Ok(Header::Nothing);
    }
    let file = disk.open(path, false).map_err(|error| OpenError::disk(path, error))?;
    let mut head = [0; LENGTH];
    let read = file.read_at(&mut head, 0).map_err(|error| OpenError::disk(path, error))?;
    let length = file.length().map_err(|error: io::Error| OpenError::disk(path, error))?;
    judge(path, &head[..read], length)
}

pub(crate) fn judge(path: &Path, head: &[u8], length: u64) -> Result<Header, OpenError> {
    let foreign = |why: &str| OpenError::Foreign { path: path.into(), why: why.into() };
    if length == 0 {
        return Err(OpenError::Empty { path: path.into() });
    }
    if head.len() < LENGTH || head[..16] != *MAGIC {
        return Err(foreign("this is not a larder store, nor any SQLite file"));
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if number(68) != APPLICATION_ID {
        return Err(foreign("this SQLite file belongs to another program"));
    }
    let version = number(60);
    if version > VERSION {
        return Err(OpenError::Newer { path: path.into(), found: version, known: VERSION });
    }
    if version == 0 {
        return Err(OpenError::Damaged { path: path.into(), what: "its format version is 0".into() });
    }
    Ok(Header::Store(version))
}
