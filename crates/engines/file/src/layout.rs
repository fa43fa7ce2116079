//! Where everything is in the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::disk::Disk;

use crate::names;

/// The paths of one store. Described in `docs/reference/file-format.md`.
pub(crate) struct Layout {
    pub folder: PathBuf,
    /// Says whose folder this is, and which format.
    pub format: PathBuf,
    /// What the store knows besides its items.
    pub state: PathBuf,
    /// The keys a cache held at a clean stop.
    pub warm: PathBuf,
    pub lock: PathBuf,
    /// The folder of the folders of items.
    pub items: PathBuf,
    /// The folder of files that have no name yet.
    pub temporary: PathBuf,
    next_temporary: AtomicU64,
}

/// Ends the name of a file that has no name yet.
const TEMPORARY_END: &str = ".new";

impl Layout {
    pub fn new(folder: &Path) -> Layout {
        Layout {
            folder: folder.into(),
            format: folder.join("FORMAT"),
            state: folder.join("state"),
            warm: folder.join("warm"),
            lock: folder.join("lock"),
            items: folder.join("items"),
            temporary: folder.join("temporary"),
            next_temporary: AtomicU64::new(0),
        }
    }

    /// Everything that may be in the folder itself.
    pub fn is_own(&self, path: &Path) -> bool {
        [&self.format, &self.state, &self.warm, &self.lock, &self.items, &self.temporary]
            .iter()
            .any(|own| *own == path)
    }

    pub fn shard(&self, shard: u8) -> PathBuf {
        self.items.join(names::shard_name(shard))
    }

    /// Where the item of a key is.
    pub fn item(&self, key: &[u8]) -> PathBuf {
        self.shard(names::shard_of(key)).join(names::name_of(key))
    }

    /// A path for a file to be named later.
    pub fn new_temporary(&self) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        self.temporary.join(format!("{number:x}{TEMPORARY_END}"))
    }

    /// Whether a file in the folder for them is one of [`Layout::new_temporary`].
    pub fn is_temporary(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(TEMPORARY_END));
        number.is_some_and(|number| u64::from_str_radix(number, 16).is_ok())
    }

    /// Gives `content` the name `path`, in the store's own folder, over a file that had it: in one step, durable in
    /// itself. The name is durable once the folder is synced. An error: the old file has the name.
    pub fn replace(&self, disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = self.new_temporary();
        let written = disk.open(&temporary, true).and_then(|file| {
            file.write_at(content, 0)?;
            file.sync()
        });
        let named = written.and_then(|()| disk.rename(&temporary, path));
        if named.is_err() {
            discard(disk, &temporary);
        }
        named
    }
}

/// Removes a file that will get no name. One that cannot be removed is removed at the next start.
pub(crate) fn discard(disk: &dyn Disk, temporary: &Path) {
    drop(disk.remove(temporary));
}

/// All of a small file; `None`: there is none.
pub(crate) fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = vec![0; file.length()? as usize];
    let read = file.read_at(&mut content, 0)?;
    content.truncate(read);
    Ok(Some(content))
}

/// The last part of a path, if it is text.
pub(crate) fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}
