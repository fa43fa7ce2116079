//! The checks of the engine kit that a module can pass: of all that C's interface has words for.
//!
//! Left out are stale marks, tokens, a CAS of the client's choice, lists of items and counts of items; checks of all kinds of
//! commands leave out those by themselves, and flushes of one prefix, where the engine says that it does not support them.
//! Left out is also one order for all commands of several clients: where a module does not count by itself, incr is a read
//! and a store, and a touch that comes between them is lost.

/// Hands the names of the engine kit's checks that a module can pass to a macro, in brackets, behind its other arguments.
#[macro_export]
macro_rules! every_check {
    ($then:ident!($($arguments:tt)*)) => {
        $then! {
            $($arguments)*
            [
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
                flush_removes_what_was_there
                flush_waits_for_its_second
                it_describes_itself
                abandoned_stores_are_carried_out
                methods_do_not_block
                reads_are_remembered
                random_commands_agree_with_the_rules
                concurrent_counters_add_up
                concurrent_locks_exclude
            ]
        }
    };
}

macro_rules! names {
    ([$($check:ident)*]) => {
        &[$(stringify!($check)),*]
    };
}

/// Their names.
pub const CHECKS: &[&str] = every_check!(names!());
