//! The engine that the book builds in its chapter on C: compiled from the chapter's own text, and judged by the kit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use larder_engine::kit::command::{get, set};
use larder_engine::kit::{Opened, Outcome, World, must_pass};
use support::{Visit, has_compiler, module_of_the_book};

fn config(world: &World) -> String {
    format!("path={}", world.machine_folder().display())
}

fn make(world: &World) -> Opened {
    support::make(world, &module_of_the_book(), Some(&config(world)))
}

#[test]
fn its_items_outlive_it() {
    if !has_compiler() {
        return;
    }
    let world = World::new();
    let open = || support::open(&world, &module_of_the_book(), Some(&config(&world))).unwrap();
    let visit = Visit::of(World::new(), open());
    visit.run(set(b"k", b"kept").flags(7));
    visit.end();
    let visit = Visit::of(World::new(), open());
    assert!(
        matches!(visit.run(get(b"k")), Outcome::Found(found, value) if value == "kept" && found.flags == 7)
    );
    visit.end();
}

macro_rules! checks {
    ($($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                if has_compiler() {
                    must_pass(stringify!($check), &make);
                }
            }
        )*
    };
}

checks! {
    modes_look_at_what_is_there
    append_and_prepend_join
    compare_guards_stores
    cas_ids_grow_and_differ
    values_may_be_handed_over_in_any_way
    deletes_delete
    counters_count
    counters_have_edges
    items_expire_at_their_second
    expired_items_are_missing_for_every_command
    touch_moves_the_expiry
    values_may_be_any_bytes
    keys_may_be_any_bytes
    large_values_come_back
    too_large_is_refused
    get_many_answers_by_index
    it_describes_itself
    abandoned_stores_are_carried_out
    reads_are_remembered
    concurrent_counters_add_up
    concurrent_locks_exclude
}
