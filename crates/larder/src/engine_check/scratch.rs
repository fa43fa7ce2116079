//! Folders that the check owns.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The folder of one run. Removed at the end unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keeps: bool,
    folders: Cell<u32>,
    busy: Busy,
}

/// Held while folders are made and removed, and from an interruption on: whoever misses what is removed then waits here for the
/// end instead of calling it an error.
type Busy = Arc<Mutex<()>>;

impl Scratch {
    /// Makes a new folder in `parent`; nothing that is there is used.
    pub fn make(parent: Option<&Path>, keeps: bool) -> anyhow::Result<Scratch> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let parent = parent
            .canonicalize()
            .with_context(|| format!("{}: name a folder that exists with --scratch", parent.display()))?;
        for number in 0u32.. {
            let path = parent.join(format!("larder-engine-check-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch { path, keeps, folders: Cell::new(0), busy: Busy::default() }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let path = path.display();
                    return Err(error).with_context(|| {
                        format!("{path}: cannot be made; name another folder with --scratch")
                    });
                }
            }
        }
        unreachable!("some number below 2^32 is free")
    }

    /// Leaves nothing behind when the user has seen enough.
    pub fn remove_when_interrupted(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot handle signals")?;
        let (path, keeps, busy) = (self.path.clone(), self.keeps, self.busy.clone());
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    let _until_the_end = busy.lock();
                    if !keeps {
                        remove(&path);
                    }
                    // As a shell reports who was ended by a signal.
                    std::process::exit(128 + signal);
                }
            })
            .context("cannot start the signal thread")?;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder in it, for one process.
    pub fn next_folder(&self) -> anyhow::Result<Folder> {
        let _busy = self.busy.lock();
        let number = self.folders.get();
        self.folders.set(number + 1);
        let path = self.path.join(number.to_string());
        fs::create_dir(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(Folder { path, keeps: self.keeps, busy: self.busy.clone() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _busy = self.busy.lock();
        if !self.keeps {
            remove(&self.path);
        }
    }
}

/// A folder of one process. Removed when the process has ended.
pub struct Folder {
    path: PathBuf,
    keeps: bool,
    busy: Busy,
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _busy = self.busy.lock();
        if !self.keeps {
            remove(&self.path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("larder engine-check: {}: cannot be removed: {error}", path.display());
    }
}
