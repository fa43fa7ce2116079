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
    ([$($check:ident)*]) => {
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

larder_module::every_check!(checks!());
