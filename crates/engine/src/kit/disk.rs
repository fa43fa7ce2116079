//! A disk in memory whose power can be cut.
//!
//! It keeps what programs see (*live*) and what the platters hold (*durable*) apart. Writing changes the live bytes and
//! waits; a sync of the file makes them durable. A name that was created, changed or removed is durable only after a
//! sync of its folder. When the power is cut, of all that waits any part may have reached the platters: whole writes,
//! single sectors of them, in any order, or nothing.

mod file;
mod names;

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile};

use super::random::Random;
use file::SimulatedFile;
use names::{Names, Node};

/// The bytes a disk writes as one.
pub const SECTOR_BYTES: usize = 512;

/// A simulated disk. Cloning names the same disk. Thread-safe.
#[derive(Clone)]
pub struct SimDisk(Arc<Core>);

/// Names a disk without keeping it alive, for what the disk itself owns.
#[derive(Clone)]
pub struct WeakSimDisk(Weak<Core>);

struct Core {
    state: Mutex<State>,
    vfs: OnceLock<(String, Box<dyn Any + Send + Sync>)>,
}

#[derive(Clone, Default)]
struct State {
    names: Names,
    files: HashMap<u64, SimulatedFile>,
    next_file: u64,
    locked: BTreeSet<PathBuf>,
    power: Power,
    faults: Faults,
}

#[derive(Clone, Copy, Default)]
struct Power {
    is_cut: bool,
    /// Syncs asked for so far.
    syncs: u64,
    /// The sync at which the power goes.
    cut_at: Option<u64>,
}

/// Faults of the disk that are not a power cut.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Bytes of all files together; a write that needs more fails.
    capacity_bytes: Option<u64>,
    /// Writes that still succeed before one fails.
    writes_left: Option<u64>,
    /// Syncs that still succeed before one fails.
    syncs_left: Option<u64>,
}

fn count_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(count) => {
            *count -= 1;
            false
        }
        None => false,
    }
}

impl State {
    fn check_power(&self) -> io::Result<()> {
        if self.power.is_cut { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }

    /// Every sync passes here before it has any effect.
    fn sync_point(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.power.syncs += 1;
        if self.power.cut_at.is_some_and(|at| self.power.syncs >= at) {
            self.power.is_cut = true;
        }
        self.check_power()
    }

    fn file(&mut self, id: u64) -> &mut SimulatedFile {
        self.files.get_mut(&id).expect("files are kept for as long as the disk")
    }

    fn check_room(&mut self, id: u64, length: u64) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity_bytes else { return Ok(()) };
        let grows = length.saturating_sub(self.file(id).length());
        // A removed file gives its room back; one that is open without a name is small change here.
        let named: u64 = self.names.files().map(|id| self.files[&id].length()).sum();
        if grows > 0 && named + grows > capacity {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full"));
        }
        Ok(())
    }
}

fn at<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk with the folder `/`.
    pub fn new() -> Self {
        SimDisk::holding(State::default())
    }

    fn holding(state: State) -> Self {
        SimDisk(Arc::new(Core { state: Mutex::new(state), vfs: OnceLock::new() }))
    }

    /// A name for this disk that does not keep it alive.
    pub fn downgrade(&self) -> WeakSimDisk {
        WeakSimDisk(Arc::downgrade(&self.0))
    }

    /// Cuts the power at the `count`-th sync from now (1: the next one), before that sync has any effect.
    pub fn cut_at_sync(&self, count: u64) {
        let mut state = self.0.state.lock();
        state.power.cut_at = Some(state.power.syncs + count.max(1));
    }

    /// Takes a planned cut back.
    pub fn plan_no_cut(&self) {
        self.0.state.lock().power.cut_at = None;
    }

    /// Cuts the power now: every later call fails.
    pub fn cut(&self) {
        self.0.state.lock().power.is_cut = true;
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.0.state.lock().power.is_cut
    }

    /// Syncs of files and folders asked for so far.
    pub fn sync_count(&self) -> u64 {
        self.0.state.lock().power.syncs
    }

    /// Cuts the power, if it is not cut yet, and gives the disk as it comes up again: durable bytes and names, and of
    /// what waited for a sync a part that `seed` chooses: one time in four nothing at all.
    pub fn restart(&self, seed: u64) -> SimDisk {
        let mut state = self.0.state.lock();
        state.power.is_cut = true;
        let mut random = Random::new(seed);
        let loses_all = random.chance(1, 4);
        let names = if loses_all { state.names.synced() } else { state.names.survivors(&mut random) };
        let mut ids: Vec<u64> = names.files().collect();
        ids.sort_unstable();
        let mut survivor = |id| match loses_all {
            true => state.files[id].synced(),
            false => state.files[id].survivor(&mut random),
        };
        let files = ids.iter().map(|id| (*id, survivor(id))).collect();
        SimDisk::holding(State { names, files, next_file: state.next_file, ..State::default() })
    }

    /// The disk as the next process sees it after this one was killed now: nothing lost, nothing synced. Calls on this
    /// disk fail from now on.
    pub fn after_kill(&self) -> SimDisk {
        let mut state = self.0.state.lock();
        state.power.is_cut = true;
        let mut next = state.clone();
        next.locked.clear();
        next.power = Power::default();
        next.faults = Faults::default();
        SimDisk::holding(next)
    }

    /// Bounds the bytes of all files together; `None`: no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.state.lock().faults.capacity_bytes = bytes;
    }

    /// The write after the next `count` fails once with an input/output error.
    pub fn fail_write_after(&self, count: u64) {
        self.0.state.lock().faults.writes_left = Some(count);
    }

    /// The sync after the next `count` fails once with an input/output error. As on Linux, what it did not write counts as
    /// clean from then on: programs still read it, but no later sync writes it.
    pub fn fail_sync_after(&self, count: u64) {
        self.0.state.lock().faults.syncs_left = Some(count);
    }

    /// The name by which SQLite knows this disk. `keep` lives as long as the disk; it may hold only a
    /// [`WeakSimDisk`]. The first call wins; returns whether this was the first.
    pub fn attach_vfs(&self, name: String, keep: Box<dyn Any + Send + Sync>) -> bool {
        self.0.vfs.set((name, keep)).is_ok()
    }

    /// Opens as [`Disk::open`] does; says besides whether the file was made by this call.
    pub fn open_file(&self, path: &Path, create: bool) -> io::Result<(SimFile, bool)> {
        let mut state = self.0.state.lock();
        state.check_power()?;
        let (id, created) = match at(path, state.names.find(path))? {
            Some(Node::File(id)) => (id, false),
            Some(Node::Folder) => return at(path, Err(io::ErrorKind::IsADirectory.into())),
            None if !create => return at(path, Err(io::ErrorKind::NotFound.into())),
            None => {
                let id = state.next_file;
                at(path, state.names.create(path, Node::File(id)))?;
                state.next_file += 1;
                state.files.insert(id, SimulatedFile::default());
                (id, true)
            }
        };
        Ok((SimFile { disk: self.clone(), id }, created))
    }
}

impl WeakSimDisk {
    /// The disk, if it still is.
    pub fn upgrade(&self) -> Option<SimDisk> {
        self.0.upgrade().map(SimDisk)
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.check_power()?;
        let mut missing: Vec<&Path> = Vec::new();
        for folder in path.ancestors() {
            match at(folder, state.names.find(folder))? {
                Some(Node::Folder) => break,
                Some(Node::File(_)) => return at(folder, Err(io::ErrorKind::NotADirectory.into())),
                None => missing.push(folder),
            }
        }
        missing.iter().rev().try_for_each(|folder| at(folder, state.names.create(folder, Node::Folder)))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        at(path, state.sync_point())?;
        match at(path, state.names.find(path))? {
            Some(Node::Folder) => {}
            Some(Node::File(_)) => return at(path, Err(io::ErrorKind::NotADirectory.into())),
            None => return at(path, Err(io::ErrorKind::NotFound.into())),
        }
        if count_down(&mut state.faults.syncs_left) {
            return at(path, Err(io::Error::other("simulated input/output error")));
        }
        state.names.sync_folder(path);
        Ok(())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_file(path, create)?.0))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.0.state.lock();
        state.check_power()?;
        Ok(state.names.find(path)?.is_some())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.0.state.lock();
        state.check_power()?;
        match at(path, state.names.find(path))? {
            Some(Node::Folder) => Ok(state.names.children(path)),
            Some(Node::File(_)) => at(path, Err(io::ErrorKind::NotADirectory.into())),
            None => at(path, Err(io::ErrorKind::NotFound.into())),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.check_power()?;
        at(from, state.names.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.check_power()?;
        at(path, state.names.remove(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.open_file(path, true)?;
        if !self.0.state.lock().locked.insert(path.into()) {
            return at(path, Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok(Box::new(LockGuard { disk: self.clone(), path: path.into() }))
    }

    fn sqlite_vfs(&self) -> Option<String> {
        self.0.vfs.get().map(|(name, _)| name.clone())
    }
}

struct LockGuard {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.disk.0.state.lock().locked.remove(&self.path);
    }
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    /// A number that no other file of this disk has or had.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.0.state.lock();
        state.check_power()?;
        Ok(state.file(self.id).read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        state.check_power()?;
        if count_down(&mut state.faults.writes_left) {
            return Err(io::Error::other("simulated input/output error"));
        }
        state.check_room(self.id, offset + bytes.len() as u64)?;
        state.file(self.id).write(bytes, offset);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.0.state.lock();
        state.check_power()?;
        Ok(state.file(self.id).length())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        state.check_power()?;
        state.check_room(self.id, length)?;
        state.file(self.id).set_length(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        state.sync_point()?;
        if count_down(&mut state.faults.syncs_left) {
            let mut random = Random::new(state.power.syncs);
            state.file(self.id).fail_sync(&mut random);
            return Err(io::Error::other("simulated input/output error"));
        }
        state.file(self.id).sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
