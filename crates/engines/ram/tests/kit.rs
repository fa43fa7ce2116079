//! The engine kit on the memory engine.

use std::sync::Arc;

use larder_engine::kit::{Opened, World};
use larder_ram::{RamEngine, RamOptions};

fn make(world: &World) -> Opened {
    Ok(Arc::new(RamEngine::new(world.services(), RamOptions::new(64 * 1024 * 1024))))
}

larder_engine::kit_tests!(make);

mod as_cache {
    use larder_engine::Cache;

    use super::*;

    /// Small, so that it evicts.
    fn make(world: &World) -> Opened<dyn Cache> {
        Ok(Arc::new(RamEngine::new(world.services(), RamOptions::new(4 * 1024 * 1024))))
    }

    larder_engine::cache_kit_tests!(make);
}
