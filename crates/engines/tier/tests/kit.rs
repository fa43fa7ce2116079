//! The engine kit on `ram > sqlite` and `ram > file`, written through and behind, with much RAM and with little.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use larder_engine::kit::{Opened, World};
use larder_engine::{Engine, Services};
use larder_file::{FileEngine, FileOptions};
use larder_ram::{RamEngine, RamOptions};
use larder_sqlite::{SqliteEngine, SqliteOptions};
use larder_tier::{Behind, Tier, TierOptions, Write};

/// Room for everything a check keeps.
const MUCH: u64 = 64 << 20;
/// So little that most reads reach the store.
const LITTLE: u64 = 64 << 10;

fn ram(services: &Services, memory_bytes: u64) -> Arc<RamEngine> {
    Arc::new(RamEngine::new(services.clone(), RamOptions::new(memory_bytes)))
}

fn sqlite(world: &World) -> Result<Arc<dyn Engine>, Box<dyn std::error::Error + Send + Sync>> {
    let options = SqliteOptions::new(world.machine_folder());
    Ok(Arc::new(SqliteEngine::open(world.machine_services(), options)?))
}

fn tier(world: &World, memory_bytes: u64, write: Write) -> Opened {
    let services = world.machine_services();
    let options = TierOptions { write, ..TierOptions::default() };
    Ok(Arc::new(Tier::new(services.clone(), ram(&services, memory_bytes), sqlite(world)?, options)?))
}

mod through {
    use super::*;

    fn make(world: &World) -> Opened {
        tier(world, MUCH, Write::Through)
    }

    larder_engine::kit_tests!(make, survives stop);
}

mod through_little_ram {
    use super::*;

    fn make(world: &World) -> Opened {
        tier(world, LITTLE, Write::Through)
    }

    larder_engine::kit_tests!(make, survives stop);
}

mod behind {
    use super::*;

    fn make(world: &World) -> Opened {
        // The clock of a check may jump by days: a queued write then looks old, though it is on its way.
        let behind = Behind { wait: Duration::from_secs(3600), ..Behind::default() };
        tier(world, MUCH, Write::Behind(behind))
    }

    larder_engine::kit_tests!(make, survives stop);
}

mod behind_little_room {
    use super::*;

    fn make(world: &World) -> Opened {
        let behind = Behind {
            dirty_bytes: 4 << 10,
            dirty_age: Duration::from_secs(1),
            wait: Duration::from_secs(3600),
        };
        tier(world, LITTLE, Write::Behind(behind))
    }

    larder_engine::kit_tests!(make, survives stop);
}

fn over_files(services: Services, folder: PathBuf, write: Write) -> Opened {
    let store = Arc::new(FileEngine::open(services.clone(), FileOptions::new(folder))?);
    let options = TierOptions { write, ..TierOptions::default() };
    Ok(Arc::new(Tier::new(services.clone(), ram(&services, LITTLE), store, options)?))
}

/// On the simulated disk.
mod through_over_files {
    use super::*;

    fn make(world: &World) -> Opened {
        over_files(world.services(), world.folder(), Write::Through)
    }

    larder_engine::kit_tests!(make, survives power_cut);
}

/// On the machine's disk: the simulated one remembers every name that was ever given, and here come many.
mod behind_over_files {
    use super::*;

    fn make(world: &World) -> Opened {
        let behind = Behind { wait: Duration::from_secs(3600), ..Behind::default() };
        over_files(world.machine_services(), world.machine_folder(), Write::Behind(behind))
    }

    larder_engine::kit_tests!(make, survives stop);
}
