//! Which checks there are, and what each proves. The one list: tests and reports are made from it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::diagnosis::Diagnosis;
use super::rule::Rule;
use super::{Check, Failure, Opened, Subject, Survives, World};

/// A check with what an engine's author wants to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of the function and of the test.
    pub name: &'static str,
    /// What holds for an engine that passes, in a sentence without its full stop.
    pub proves: &'static str,
    /// Where the book says more.
    pub rule: Rule,
    /// The check.
    pub run: Check,
}

/// Writes the tests of an engine. See [`crate::kit`].
#[macro_export]
macro_rules! kit_tests {
    (@every $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [
            modes_look_at_what_is_there, Meaning, "set stores always, add only where nothing is, replace only where something is; other keys stay as they are";
            append_and_prepend_join, Meaning, "append and prepend join values, and keep flags and expiry";
            compare_guards_stores, CasIds, "a store or delete with a CAS is carried out only if the item has that CAS";
            cas_ids_grow_and_differ, CasIds, "every change gives a higher CAS, reads and touches leave it, no two items share one";
            chosen_cas_ids_are_kept, CasIds, "a CAS chosen by the client is the item's, and the engine's own go on growing";
            older_cas_may_mark_stale, Meaning, "a store with an older CAS that asks for it is taken and marks the item stale";
            values_may_be_handed_over_in_any_way, Answers, "a value is the same whether it is lent, given, or written into reserved memory";
            deletes_delete, Meaning, "a delete removes the item, once, and no other";
            gentle_deletes_keep_the_item, Meaning, "deletes that mark stale or drop the value keep the item and give it a new CAS";
            counters_count, Meaning, "incr and decr count, and keep flags and expiry";
            counters_have_edges, Meaning, "incr wraps at 2^64, decr stops at 0, and what is no number is refused";
            counters_take_options, Meaning, "counters take an initial value, a CAS to compare or to set, and an expiry";
            items_expire_at_their_second, Time, "with n seconds left an item is there until second n - 1 and gone at second n";
            expired_items_are_missing_for_every_command, Time, "an expired item counts as missing, whatever is asked";
            touch_moves_the_expiry, Time, "touch and get-and-touch set the expiry: forward, backward, to never";
            stale_items_give_one_token, Meaning, "of the readers of a stale item one is given the right to refill it";
            tokens_are_given_before_expiry, Meaning, "of the readers of an item about to expire one is given the right to refill it, if they ask";
            vivify_creates_on_a_miss, Meaning, "a read that asks for it creates an empty item on a miss and is given the right to fill it";
            values_may_be_any_bytes, Meaning, "values may be empty and of any bytes";
            keys_may_be_any_bytes, Meaning, "keys may be of 1 to 250 bytes, any bytes; keys that are alike stay apart";
            large_values_come_back, Meaning, "values of up to 1 MiB, or of what the engine keeps, come back whole";
            too_large_is_refused, Meaning, "what exceeds the engine's limit is refused, and other items stay";
            get_many_answers_by_index, Answers, "a get of many keys answers each under its own index";
            flush_removes_what_was_there, Meaning, "a flush removes what was there; what is stored after it, in the same second too, stays";
            flush_waits_for_its_second, Time, "a flush for a second to come is done at that second";
            scan_finds_everything, Meaning, "a scan shows every item with all it has, and none that is gone, whatever the size of a page";
            scan_finds_what_stays_while_others_change, Meaning, "a scan shows what stays while others are written and deleted around it";
            it_describes_itself, Telling, "the description is sane and does not change";
            abandoned_stores_are_carried_out, Answers, "a command is carried out though its client left before the answer";
            methods_do_not_block, Blocking, "no method puts its worker's thread to sleep";
            reads_are_remembered, Telling, "an engine that says it tracks access tells when an item was read, and whether";
            statistics_make_sense, Telling, "items and bytes are counted, statistics are plain lines, a reset spares what is held";
            random_commands_agree_with_the_rules, Meaning, "thousands of random commands are answered as the rules say, while time passes";
            concurrent_commands_have_an_order, Order, "for each key one order of all clients' commands explains every answer";
            concurrent_counters_add_up, Order, "of several clients' incr commands none is lost and none is carried out twice";
            concurrent_locks_exclude, Order, "of several clients that store with the same CAS exactly one succeeds";
        ]}
    };
    (@stop $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [
            a_clean_stop_keeps_everything, Levels, "after a clean stop everything is as it was, and CAS ids go on growing";
            a_delayed_flush_outlives_a_stop, Levels, "a flush for a second to come is done at that second, though nothing ran then";
        ]}
    };
    (@power_cut $($then:tt)*) => {
        $crate::kit_tests!{@$($then)* [
            a_kill_keeps_what_was_acknowledged, Levels, "what was acknowledged at level local is there after a kill at any moment";
            a_power_cut_keeps_what_was_acknowledged, Levels, "what was acknowledged at level local is there after a power cut at any sync";
            a_failing_disk_loses_nothing, Errors, "failed writes and syncs and a full disk cost nothing that was acknowledged, and are told as what they are";
        ]}
    };
    (@table [$($check:ident, $rule:ident, $proves:literal;)*]) => {
        &[$(Entry {
            name: stringify!($check),
            proves: $proves,
            rule: Rule::$rule,
            run: $crate::kit::checks::$check,
        }),*]
    };
    (@tests ($make:expr) [$($check:ident, $rule:ident, $proves:literal;)*]) => {
        $(
            #[test]
            fn $check() {
                $crate::kit::must_pass(stringify!($check), &$make);
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

/// Checks that ask nothing to outlive the engine.
pub const EVERY: &[Entry] = kit_tests!(@every table);
/// Checks of what outlives a clean stop.
pub const STOP: &[Entry] = kit_tests!(@stop table);
/// Checks of what outlives a kill and a power cut, on the simulated disk.
pub const POWER_CUT: &[Entry] = kit_tests!(@power_cut table);

/// The checks of an engine whose items outlive so much.
pub fn entries(survives: Survives) -> impl Iterator<Item = &'static Entry> {
    let tables = [(Survives::Nothing, EVERY), (Survives::Stop, STOP), (Survives::PowerCut, POWER_CUT)];
    tables.into_iter().filter(move |(least, _)| survives >= *least).flat_map(|(_, table)| table)
}

/// The check of this name.
pub fn entry(name: &str) -> Option<&'static Entry> {
    entries(Survives::PowerCut).find(|entry| entry.name == name)
}

impl Entry {
    /// Runs the check on the engine that `make` makes; what it says besides findings.
    ///
    /// # Errors
    /// What it found. A panic of the engine is a finding too.
    pub fn check(&self, make: &(dyn Fn(&World) -> Opened + Sync)) -> Result<Vec<String>, Failure> {
        let subject = Subject::new(make);
        catch_panic(|| (self.run)(&subject))?;
        Ok(subject.notes())
    }
}

/// Runs `check`; a panic is a finding.
///
/// # Errors
/// What it found.
pub fn catch_panic<T>(check: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What the panic leaves half done is the engine's, which nobody uses after it.
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| Err(of_panic(panic)))
}

fn of_panic(panic: Box<dyn Any + Send>) -> Failure {
    let panic = match panic.downcast::<Failure>() {
        Ok(failure) => return *failure,
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
    Failure::new(format!("a panic: {text}")).because(Diagnosis::Panicked)
}
