//! The engine kit on this store, on the machine's own disk.

use std::sync::Arc;

use larder_engine::kit::{Opened, World};
use larder_file::{FileEngine, FileOptions};

fn make(world: &World) -> Opened {
    let options = FileOptions::new(world.machine_folder());
    Ok(Arc::new(FileEngine::open(world.machine_services(), options)?))
}

larder_engine::kit_tests!(make, survives stop);
