//! The seam through which durable engines reach files and folders.
//!
//! A kill of the process keeps the page cache, a power cut does not. Tests run an engine on a disk that keeps unsynced
//! bytes and unsynced folder entries apart and loses or tears them; so an engine never calls the file system itself.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files and folders. Errors carry the path.
pub trait Disk: Send + Sync + 'static {
    /// Creates a folder and the missing ones above it; a folder that exists is fine. Durable once the folder above
    /// is synced.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file for reading and writing; with `create` it is made if missing (its name is durable once the folder
    /// is synced).
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Whether there is a file or folder.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Files and folders in a folder, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Gives a file another name in one step, over a file that had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock file `path`, held until the guard is dropped or the process ends.
    /// `WouldBlock`: another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// The name of the SQLite VFS that stands for this disk; `None` is SQLite's own.
    fn sqlite_vfs(&self) -> Option<String> {
        None
    }
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Fills the buffer from `offset`; short only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or extends with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes bytes and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// The disk of the machine.
pub struct LocalDisk;

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Disk for LocalDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path).map_err(at(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path);
        Ok(Box::new(file.map_err(at(path))?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists().map_err(at(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path).map_err(at(path))?.map(|entry| Ok(entry?.path())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(at(from))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(at(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(at(path))?;
        file.try_lock().map_err(|error| at(path)(error.into()))?;
        Ok(Box::new(file))
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}
