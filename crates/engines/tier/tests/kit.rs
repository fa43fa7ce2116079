//! The engine kit on `ram > sqlite`, written through and behind, with much RAM and with little.

use std::sync::Arc;
use std::time::Duration;

use larder_engine::kit::{Opened, World};
use larder_engine::{Engine, Services};
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
