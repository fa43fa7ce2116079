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

pub mod cache;
pub mod checks;
pub mod client;
pub mod clients;
pub mod clock;
pub mod command;
pub mod disk;
pub mod driver;
pub mod executor;
pub mod failure;
pub mod history;
pub mod mix;
mod model;
pub mod power_cut;
pub mod random;
pub mod truth;
pub mod world;

pub use checks::{Check, Subject};
pub use client::Client;
pub use clock::ManualClock;
pub use command::{Command, Outcome};
pub use disk::{SimDisk, SimFile, WeakSimDisk};
pub use driver::Driver;
pub use executor::LocalExecutor;
pub use failure::{Failure, Verdict};
pub use model::ModelEngine;
pub use random::Random;
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

/// Writes the tests of an engine. See [`crate::kit`].
#[macro_export]
macro_rules! kit_tests {
    (@every $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [
            modes_look_at_what_is_there
            append_and_prepend_join
            compare_guards_stores
            cas_ids_grow_and_differ
            chosen_cas_ids_are_kept
            older_cas_may_mark_stale
            values_may_be_handed_over_in_any_way
            deletes_delete
            gentle_deletes_keep_the_item
            counters_count
            counters_have_edges
            counters_take_options
            items_expire_at_their_second
            expired_items_are_missing_for_every_command
            touch_moves_the_expiry
            stale_items_give_one_token
            tokens_are_given_before_expiry
            vivify_creates_on_a_miss
            values_may_be_any_bytes
            keys_may_be_any_bytes
            large_values_come_back
            too_large_is_refused
            get_many_answers_by_index
            flush_removes_what_was_there
            flush_waits_for_its_second
            scan_finds_everything
            scan_finds_what_stays_while_others_change
            it_describes_itself
            abandoned_stores_are_carried_out
            reads_are_remembered
            statistics_make_sense
            random_commands_agree_with_the_rules
            concurrent_commands_have_an_order
            concurrent_counters_add_up
            concurrent_locks_exclude
        ]}
    };
    (@stop $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [a_clean_stop_keeps_everything a_delayed_flush_outlives_a_stop]}
    };
    (@power_cut $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [a_kill_keeps_what_was_acknowledged a_power_cut_keeps_what_was_acknowledged
            a_failing_disk_loses_nothing
        ]}
    };
    (@table [$($check:ident)*]) => {
        &[$((stringify!($check), $crate::kit::checks::$check as $crate::kit::Check)),*]
    };
    (@tests ($make:expr) [$($check:ident)*]) => {
        $(
            #[test]
            fn $check() {
                $crate::kit::must_pass(stringify!($check), $crate::kit::checks::$check, &$make);
            }
        )*
    };
    ($make:expr) => {
        $crate::kit_tests!(@every tests ($make));
    };
    ($make:expr, survives stop) => {
        $crate::kit_tests!(@every tests ($make));
        $crate::kit_tests!(@stop tests ($make));
    };
    ($make:expr, survives power_cut) => {
        $crate::kit_tests!(@every tests ($make));
        $crate::kit_tests!(@stop tests ($make));
        $crate::kit_tests!(@power_cut tests ($make));
    };
}

type Table = &'static [(&'static str, Check)];

/// Runs every check on the engine that `make` makes; gives those that failed, with what they found.
pub fn check(make: &(dyn Fn(&World) -> Opened + Sync), survives: Survives) -> Vec<(&'static str, Failure)> {
    let every: Table = kit_tests!(@every table);
    let stop: Table = kit_tests!(@stop table);
    let power_cut: Table = kit_tests!(@power_cut table);
    let tables = [(Survives::Nothing, every), (Survives::Stop, stop), (Survives::PowerCut, power_cut)];
    let asked = tables.into_iter().filter(|(least, _)| survives >= *least).flat_map(|(_, table)| table);
    asked
        .filter_map(|(name, check)| {
            check(&Subject::new(make)).err().map(|failure| (*name, failure.within(name)))
        })
        .collect()
}

/// Runs one check.
///
/// # Panics
/// With what it found, if anything.
pub fn must_pass(name: &str, check: Check, make: &(dyn Fn(&World) -> Opened + Sync)) {
    if let Err(failure) = check(&Subject::new(make)) {
        panic!("{name}: {failure}");
    }
}

#[cfg(test)]
mod tests;
