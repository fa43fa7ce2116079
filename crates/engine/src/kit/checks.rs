//! The checks. Each takes a [`Subject`], makes its engines and says what it found.

mod blocking;
mod concurrent;
mod counter;
mod delete;
mod expiry;
mod flush;
mod many;
mod random;
mod reopen;
mod rules;
mod scan;
mod store;
mod token;
mod value;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::Engine;

use super::calls::inside;
use super::diagnosis::Diagnosis;
use super::driver::Driver;
use super::executor::PATIENCE;
use super::failure::{Failure, Verdict, require};
use super::mix::Words;
use super::world::{Opened, World};

pub use blocking::methods_do_not_block;
pub use concurrent::{
    concurrent_commands_have_an_order, concurrent_counters_add_up, concurrent_locks_exclude,
};
pub use counter::{counters_count, counters_have_edges, counters_take_options};
pub use delete::{deletes_delete, gentle_deletes_keep_the_item};
pub use expiry::{
    expired_items_are_missing_for_every_command, items_expire_at_their_second, touch_moves_the_expiry,
};
pub use flush::{flush_removes_what_was_there, flush_waits_for_its_second};
pub use many::get_many_answers_by_index;
pub use random::random_commands_agree_with_the_rules;
pub use reopen::{
    a_clean_stop_keeps_everything, a_delayed_flush_outlives_a_stop, a_failing_disk_loses_nothing,
    a_kill_keeps_what_was_acknowledged, a_power_cut_keeps_what_was_acknowledged,
};
pub use rules::{
    abandoned_stores_are_carried_out, it_describes_itself, reads_are_remembered, statistics_make_sense,
};
pub use scan::{scan_finds_everything, scan_finds_what_stays_while_others_change};
pub use store::{
    append_and_prepend_join, cas_ids_grow_and_differ, chosen_cas_ids_are_kept, compare_guards_stores,
    modes_look_at_what_is_there, older_cas_may_mark_stale, values_may_be_handed_over_in_any_way,
};
pub use token::{stale_items_give_one_token, tokens_are_given_before_expiry, vivify_creates_on_a_miss};
pub use value::{
    keys_may_be_any_bytes, large_values_come_back, too_large_is_refused, values_may_be_any_bytes,
};

/// A check.
pub type Check = fn(&Subject<'_>) -> Verdict;

/// An engine under test, by the way it is made.
pub struct Subject<'a> {
    make: &'a (dyn Fn(&World) -> Opened + Sync),
    notes: Mutex<Vec<String>>,
}

impl<'a> Subject<'a> {
    /// The engine that `make` makes. Called again in the same world, `make` opens the same data.
    pub fn new(make: &'a (dyn Fn(&World) -> Opened + Sync)) -> Self {
        Subject { make, notes: Mutex::default() }
    }

    /// Opens the engine in `world`.
    pub fn open(&self, world: &World) -> Result<Arc<dyn Engine>, Failure> {
        self.try_open(world).map_err(|error| {
            Failure::new(format!("the engine could not be opened: {error}")).because(Diagnosis::DoesNotOpen)
        })
    }

    /// Says something that is no finding: what was done, or what could not be judged.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.notes.lock().push(text.into());
    }

    /// Which commands the engine has, and a note if they are not all.
    pub(crate) fn words(&self, driver: &Driver) -> Words {
        let words = Words::of(driver.client(), driver.executor());
        let mut missing = Vec::new();
        missing.extend((!words.marks).then_some("stale marks, tokens and CAS ids that the client chooses"));
        missing.extend((!words.prefix_flushes).then_some("flushes of one prefix"));
        if !missing.is_empty() {
            let text = format!("not judged: {}, which this engine does not support", missing.join("; "));
            let mut notes = self.notes.lock();
            if !notes.contains(&text) {
                notes.push(text);
            }
        }
        words
    }

    /// What the checks said besides findings.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().clone()
    }

    /// Opens the engine in `world` where that may fail.
    pub(crate) fn try_open(&self, world: &World) -> Opened {
        inside("open", || (self.make)(world))
    }

    /// Opens a fresh engine, runs `check`, looks at every key again, and closes the engine.
    pub(crate) fn drive(&self, check: impl FnOnce(&mut Driver) -> Verdict) -> Verdict {
        let world = World::new();
        let engine = self.open(&world)?;
        let mut driver = Driver::new(engine.clone(), world.clock().clone());
        if let Err(failure) = check(&mut driver).and_then(|()| driver.holds_all()) {
            abandon(engine);
            return Err(failure);
        }
        driver.executor().finish();
        drop(driver);
        close(&*engine)
    }
}

/// Closes an engine.
pub(crate) fn close(engine: &dyn Engine) -> Verdict {
    inside("close", || engine.close())
        .map_err(|error| Failure::new(format!("close failed: {error:?}")).because(Diagnosis::DoesNotOpen))
}

/// Closes an engine that has failed. Nobody waits for it, since it may not end that either, and what it says of its end
/// is no news.
fn abandon(engine: Arc<dyn Engine>) {
    std::thread::spawn(move || drop(engine.close()));
}

/// Waits until `done`, which other threads bring about.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool, Failure>) -> Verdict {
    let start = std::time::Instant::now();
    while !done()? {
        require(start.elapsed() < PATIENCE, || {
            format!("waited {} seconds in vain until {what}", PATIENCE.as_secs())
        })?;
        std::thread::yield_now();
    }
    Ok(())
}
