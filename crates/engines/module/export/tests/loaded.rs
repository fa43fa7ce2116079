//! An engine in Rust, exported, loaded again as if it were foreign, and run through the engine kit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/support/build.rs"]
mod build;

use std::path::PathBuf;
use std::sync::Arc;

use larder_engine::kit::command::{delete, get, set};
use larder_engine::kit::{Client, Command, LocalExecutor, Opened, Outcome, World, must_pass};
use larder_engine::{Engine, ErrorKind};
use larder_module::{ModuleEngine, ModuleOptions, OpenError};
use larder_ram::{RamEngine, RamOptions};
use larder_tier::{Tier, TierOptions};

const RAM: &str = "exported_ram";

/// The library that an example makes; cargo builds examples with the tests.
fn library(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let library = folder.join(format!("lib{example}.so"));
    assert!(library.is_file(), "{} is missing: build the examples, too", library.display());
    library
}

fn open(world: &World, example: &str, config: Option<&str>) -> Result<ModuleEngine, OpenError> {
    let copy = build::Copy::of(&library(example));
    let options = ModuleOptions { config: config.map(Into::into), ..ModuleOptions::new(&copy.0) };
    ModuleEngine::open(&world.services(), &options)
}

fn make(world: &World) -> Opened {
    Ok(Arc::new(open(world, RAM, None)?))
}

/// A cache over it that is too small for most of what a check keeps.
fn make_cached(world: &World) -> Opened {
    let services = world.services();
    let cache = Arc::new(RamEngine::new(services.clone(), RamOptions::new(64 << 10)));
    Ok(Arc::new(Tier::new(services, cache, make(world)?, TierOptions::default())?))
}

macro_rules! tests {
    ($name:ident, $make:ident, [$($check:ident)*]) => {
        mod $name {
            use super::*;

            $(
                #[test]
                fn $check() {
                    must_pass(stringify!($check), &$make);
                }
            )*
        }
    };
}

larder_module::every_check!(tests!(alone, make,));
larder_module::every_check!(tests!(below_a_cache, make_cached,));

#[test]
fn its_configuration_reaches_it() {
    let world = World::new();
    let refused = open(&world, RAM, Some("much")).err().unwrap().to_string();
    assert!(refused.contains("initialize failed"), "{refused}");
    open(&world, RAM, Some("8388608")).unwrap();
}

#[test]
fn a_panic_of_the_engine_is_an_error_and_no_more() {
    let world = World::new();
    let engine = Arc::new(open(&world, "exported_panics", None).unwrap());
    let executor = LocalExecutor::new(0);
    let client = Client::new(engine.clone(), executor.worker().clone(), world.clock().clone());
    let run = |command: Command| executor.block_on(client.run(&command));
    for _ in 0..3 {
        for command in [get(b"k"), set(b"k", b"v").into()] {
            let outcome = run(command);
            let Outcome::Refused(ErrorKind::Internal, text) = &outcome else { panic!("{outcome}") };
            assert!(text.contains("the engine broke off"), "{text}");
        }
        let outcome = run(delete(b"k"));
        assert!(matches!(outcome, Outcome::Refused(ErrorKind::NotFound, _)), "{outcome}");
    }
    drop(client);
    executor.finish();
    engine.close().unwrap();
}
