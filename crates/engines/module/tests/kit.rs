//! The engine kit on modules: every check of what C's interface has words for.
//!
//! What is left out, `unsupported.rs` sees refused.

mod support;

use larder_engine::kit::{Opened, World, must_pass};

macro_rules! checks {
    ($name:ident, $source:literal, $defines:expr, $config:expr, [$($check:ident)*]) => {
        mod $name {
            use super::*;

            fn make(world: &World) -> Opened {
                support::make(world, &support::module($source, $defines), $config)
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
    ($name:ident, $source:literal, $defines:expr, $config:expr) => {
        larder_module::every_check!(checks!($name, $source, $defines, $config,));
    };
}

all_checks!(hash, "hash.c", &[], None);
all_checks!(pieces, "pieces.c", &[], None);
// Half of all calls wait, woken by any thread at any time.
all_checks!(blocking, "blocking.c", &[], Some("rate=50;strays=10;ghosts=true"));

// An incr of its own, which takes no blanks around a number.
checks!(counting, "hash.c", &["-DARITHMETIC"], None, [
    cas_ids_grow_and_differ
    items_expire_at_their_second
    concurrent_counters_add_up
]);
checks!(counting_later, "blocking.c", &["-DARITHMETIC"], Some("rate=60"), [
    cas_ids_grow_and_differ
    concurrent_counters_add_up
]);
