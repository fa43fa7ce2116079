//! From a store expression to an engine in a world of the kit.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use larder_engine::Engine;
use larder_engine::kit::{Opened, World};

use crate::build::Engines;
use crate::config::{self, Layer, Options, Plan, Program};

/// What stands in an expression for a folder made for the check.
pub const SCRATCH: &str = "{scratch}";

/// RAM for a bare `ram`, in MiB: room for everything a check keeps.
const MEMORY_MIB: &str = "64";

/// The plan of a server whose only stack is `store`, with its data in `folder`.
pub fn plan(store: &str, folder: &Path) -> anyhow::Result<Plan> {
    let folder = folder.to_str().context("the path of the scratch folder is not UTF-8")?;
    let options = Options {
        store: Some(store.replace(SCRATCH, folder)),
        data: Some(folder.to_owned()),
        memory_limit: Some(MEMORY_MIB.to_owned()),
        ..Options::default()
    };
    let input = config::Input { program: Program::Larder, cores: 1, options: &options, file: None };
    Ok(config::check(&input)?)
}

/// Whether what is at the bottom comes from a shared library.
pub fn has_module(store: &str) -> anyhow::Result<bool> {
    let plan = plan(store, Path::new("/nonexistent"))?;
    Ok(plan.prefixes.iter().any(|prefix| matches!(prefix.stack.lowest(), Layer::Module(_))))
}

/// Opens the store in a world, on the disk of the machine.
pub fn open(store: &str, world: &World) -> Opened {
    // The kit shows an error alone; what caused it belongs to it.
    open_in(store, world).map_err(|error| format!("{error:#}").into())
}

fn open_in(store: &str, world: &World) -> anyhow::Result<Arc<dyn Engine>> {
    let folder = world.machine_folder();
    if store.contains(SCRATCH) {
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    Engines::alone(world.machine_services()).only_stack(&plan(store, &folder)?)
}
