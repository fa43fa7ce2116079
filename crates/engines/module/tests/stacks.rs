//! The engine kit on caches over modules, with much RAM and with little.

mod support;

use std::path::Path;
use std::sync::Arc;

use larder_engine::kit::{Opened, World, must_pass};
use larder_ram::{RamEngine, RamOptions};
use larder_tier::{Tier, TierOptions};

/// Room for everything a check keeps.
const MUCH: u64 = 64 << 20;
/// So little that most reads reach the module.
const LITTLE: u64 = 64 << 10;

fn over(world: &World, memory_bytes: u64, library: &Path, config: Option<&str>) -> Opened {
    let store = support::make(world, library, config)?;
    let services = world.services();
    let cache = Arc::new(RamEngine::new(services.clone(), RamOptions::new(memory_bytes)));
    Ok(Arc::new(Tier::new(services, cache, store, TierOptions::default())?))
}

macro_rules! checks {
    ($name:ident, |$world:ident| $make:expr, [$($check:ident)*]) => {
        mod $name {
            use super::*;

            fn make($world: &World) -> Opened {
                $make
            }

            $(
                #[test]
                fn $check() {
                    if support::has_compiler() {
                        must_pass(stringify!($check), &make);
                    }
                }
            )*
        }
    };
}

macro_rules! all_checks {
    ($name:ident, |$world:ident| $make:expr) => {
        larder_module::every_check!(checks!($name, |$world| $make,));
    };
}

all_checks!(over_hash, |world| over(world, MUCH, &support::module("hash.c", &[]), None));
all_checks!(over_hash_little_ram, |world| over(world, LITTLE, &support::module("hash.c", &[]), None));
all_checks!(over_blocking, |world| {
    over(world, LITTLE, &support::module("blocking.c", &[]), Some("rate=50;strays=10;ghosts=true"))
});
all_checks!(over_the_book_s, |world| {
    let config = format!("path={}", world.machine_folder().display());
    over(world, LITTLE, &support::module_of_the_book(), Some(&config))
});
