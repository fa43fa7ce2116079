//! The engine kit: one generic suite that every engine must pass, and what it needs to own the world.
//!
//! An engine's `tests/kit.rs` is a few lines. A *maker* opens the engine in a [`World`]; called again in the same
//! world it opens the same data.
//!
//! ```
//! use std::sync::Arc;
//! use larder_engine::kit::{ModelEngine, Opened, World};
//!
//! fn make(_world: &World) -> Opened {
//!     Ok(Arc::new(ModelEngine::default()))
//! }
//!
//! larder_engine::kit_tests!(make);
//! # fn main() {}
//! ```
//!
//! [`kit_tests!`](crate::kit_tests) writes one `#[test]` for each check: behaviour of every command, concurrency with a
//! linearizability check per key, the rules of the interface. An engine whose items outlive it adds a word:
//!
//! * `kit_tests!(make, survives stop)`: what was acknowledged is there after a clean stop;
//! * `kit_tests!(make, survives power_cut)`: also after a kill and after power cuts. Such an engine must do all its
//!   writing through [`World::services`].
//!
//! Caches add [`cache_kit_tests!`](crate::cache_kit_tests).
//!
//! Every answer is compared with rules that the kit states for itself, apart from [`crate::semantics`], so that
//! one mistake cannot hide the other.

pub mod audit;
pub mod cache;
pub mod calls;
pub mod catalogue;
pub mod checks;
pub mod client;
pub mod clients;
pub mod clock;
pub mod command;
pub mod diagnosis;
pub mod disk;
pub mod driver;
pub mod executor;
pub mod failure;
pub mod history;
pub mod mix;
mod model;
pub mod power_cut;
pub mod random;
pub mod rule;
pub mod truth;
pub mod world;

pub use catalogue::Entry;
pub use checks::{Check, Subject};
pub use client::Client;
pub use clock::ManualClock;
pub use command::{Command, Outcome};
pub use diagnosis::Diagnosis;
pub use disk::{SimDisk, SimFile, WeakSimDisk};
pub use driver::Driver;
pub use executor::LocalExecutor;
pub use failure::{Failure, Verdict};
pub use model::ModelEngine;
pub use random::Random;
pub use rule::Rule;
pub use world::{Opened, World};

/// What an engine's items outlive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Survives {
    /// Nothing: they are gone with the engine.
    Nothing,
    /// A clean stop.
    Stop,
    /// A kill and a power cut.
    PowerCut,
}

/// Runs every check on the engine that `make` makes; gives those that failed, with what they found.
pub fn check(make: &(dyn Fn(&World) -> Opened + Sync), survives: Survives) -> Vec<(&'static str, Failure)> {
    catalogue::entries(survives)
        .filter_map(|entry| entry.check(make).err().map(|failure| (entry.name, failure.within(entry.name))))
        .collect()
}

/// Runs the check of this name.
///
/// # Panics
/// With what it found, if anything.
pub fn must_pass(name: &str, make: &(dyn Fn(&World) -> Opened + Sync)) {
    let entry = catalogue::entry(name).expect("tests are written from the catalogue");
    match entry.check(make) {
        Ok(notes) => notes.iter().for_each(|note| println!("{note}")),
        Err(failure) => panic!("{name}: {failure}\n  proves: {}", entry.proves),
    }
}

#[cfg(test)]
mod tests;
