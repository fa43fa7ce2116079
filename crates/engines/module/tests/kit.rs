//! The engine kit on modules: every check of what C's interface has words for.
//!
//! Left out are stale marks, tokens, a CAS of the client's choice, flushes of one prefix, lists of items and counts of
//! items, which a module cannot have; `unsupported.rs` sees that they are refused.

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
        checks!($name, $source, $defines, $config, [
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
        ]);
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
