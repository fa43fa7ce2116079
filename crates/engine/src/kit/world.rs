//! The world an engine under test lives in.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::disk::{Disk, LocalDisk};
use crate::engine::Engine;
use crate::time::Services;

use super::clock::{ManualClock, START};
use super::disk::SimDisk;

/// An engine opened, or why not.
pub type Opened<E = dyn Engine> = Result<Arc<E>, Box<dyn Error + Send + Sync>>;

/// Clock, disk and folder of an engine under test. An engine made twice in the same world finds its data again.
pub struct World {
    clock: Arc<ManualClock>,
    disk: SimDisk,
    machine_folder: OnceLock<MachineFolder>,
}

impl World {
    /// The folder that is there before the engine is: durable, and empty.
    pub const HOME: &str = "/srv";

    /// A world at second [`START`] with an empty simulated disk.
    pub fn new() -> Self {
        let disk = SimDisk::new();
        disk.create_folder(Path::new(Self::HOME)).expect("an empty disk has room for a folder");
        disk.sync_folder(Path::new("/")).expect("an empty disk can be synced");
        World::with(Arc::new(ManualClock::new(START)), disk)
    }

    /// A world at `second` whose folder on the machine's disk is `folder`, which stays when the world goes: the
    /// data of an engine that another process opened before, or will open.
    pub fn on_machine(folder: PathBuf, second: u32) -> Self {
        let world = World::with(Arc::new(ManualClock::new(second)), SimDisk::new());
        World { machine_folder: OnceLock::from(MachineFolder::Lasting(folder)), ..world }
    }

    fn with(clock: Arc<ManualClock>, disk: SimDisk) -> Self {
        World { clock, disk, machine_folder: OnceLock::new() }
    }

    /// What an engine on the simulated disk is made with.
    pub fn services(&self) -> Services {
        Services { clock: self.clock.clone(), disk: Arc::new(self.disk.clone()) }
    }

    /// The clock, the test's to move.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// The simulated disk.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The engine's folder on the simulated disk. It is the engine's to create, and to make durable, in [`World::HOME`].
    pub fn folder(&self) -> PathBuf {
        Path::new(Self::HOME).join("data")
    }

    /// The same clock with the disk of the machine, for an engine that is to be tested there.
    pub fn machine_services(&self) -> Services {
        Services { clock: self.clock.clone(), disk: Arc::new(LocalDisk) }
    }

    /// The engine's folder on the machine's disk, removed with the world unless it was given to [`World::on_machine`].
    pub fn machine_folder(&self) -> PathBuf {
        let folder = self.machine_folder.get_or_init(|| MachineFolder::Temporary(TemporaryFolder::new()));
        match folder {
            MachineFolder::Temporary(folder) => folder.0.join("data"),
            MachineFolder::Lasting(folder) => folder.clone(),
        }
    }

    /// The world that the next process finds after this one was killed.
    pub fn after_kill(&self) -> World {
        World::with(self.clock.clone(), self.disk.after_kill())
    }

    /// The world after a power cut; `seed` decides what is left of unsynced bytes.
    pub fn after_power_cut(&self, seed: u64) -> World {
        World::with(self.clock.clone(), self.disk.restart(seed))
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

enum MachineFolder {
    Temporary(TemporaryFolder),
    Lasting(PathBuf),
}

struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("larder-kit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the machine's temporary folder can be written");
        TemporaryFolder(path)
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the machine's own cleaning.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
