//! SQLite on a simulated disk: a VFS (SQLite's way of reaching files) over [`SimDisk`], for power-cut tests.
//!
//! It behaves as SQLite's own Unix VFS does where that matters to durability:
//!
//! * a sync of a write-ahead log or journal that was just made also syncs the folder; that of a main file does not;
//! * locks and the shared memory of the write-ahead log belong to the process and are gone after a restart;
//! * it claims one thing of the disk, that writing part of a sector leaves the rest of it unharmed, which is true of a
//!   [`SimDisk`]; [`attach_without_claims`] claims nothing, and SQLite takes its careful ways.

mod file;
mod locks;
mod shared_memory;
mod vfs;

use larder_engine::kit::SimDisk;

/// Makes SQLite know `disk` under the name that [`Disk::sqlite_vfs`](larder_engine::disk::Disk::sqlite_vfs) of the disk
/// gives from now on. A disk that SQLite knows already is fine.
pub fn attach(disk: &SimDisk) {
    vfs::attach(disk, true);
}

/// The same, but SQLite is told to expect nothing of the disk.
///
/// SQLite then fills its log up to sector boundaries after a commit. What it fills with is synced with the next commit; so
/// after a failed sync or on a full disk this mode can lose a commit, which the usual one cannot.
pub fn attach_without_claims(disk: &SimDisk) {
    vfs::attach(disk, false);
}

#[cfg(test)]
mod tests;
