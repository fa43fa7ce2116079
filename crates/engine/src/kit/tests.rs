//! The kit itself: it accepts engines that are right and rejects engines with one known fault each, for that fault.

mod broken;
mod executor;
mod log_engine;

use std::sync::Arc;

use super::power_cut::{Fault, Plan, campaign};
use super::{Check, Failure, ModelEngine, Opened, Subject, Survives, World, check, checks};
use broken::{Broken, Bug};
use log_engine::{LogBug, LogEngine};

fn model(_world: &World) -> Opened {
    Ok(Arc::new(ModelEngine::default()))
}

crate::kit_tests!(model);

mod durable {
    use super::*;

    fn log(world: &World) -> Opened {
        Ok(Arc::new(LogEngine::open(world, LogBug::None)?))
    }

    crate::kit_tests!(log, survives power_cut);
}

/// This check rejects the bug and says so in these words.
fn must_find(bug: Bug, check: Check, words: &[&str]) {
    let make = move |_: &World| -> Opened { Ok(Arc::new(Broken::new(bug))) };
    let Err(failure) = check(&Subject::new(&make)) else { panic!("{bug:?} was not found") };
    for word in words {
        assert!(failure.text().contains(word), "{bug:?}: the finding does not say {word:?}: {failure}");
    }
}

#[test]
fn a_whole_run_names_the_checks_that_failed() {
    let make = |_: &World| -> Opened { Ok(Arc::new(Broken::new(Bug::SwapsManyAnswers))) };
    let findings = check(&make, Survives::Nothing);
    let names: Vec<_> = findings.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["get_many_answers_by_index"]);
    assert_eq!(check(&model, Survives::Nothing), []);
}

#[test]
fn a_lost_write_is_found() {
    must_find(Bug::LosesAWrite, checks::scan_finds_everything, &["expected: a hit", "got:      a miss"]);
    must_find(
        Bug::LosesAWrite,
        checks::keys_may_be_any_bytes,
        &["get \"", "expected: a hit", "got:      a miss"],
    );
}

#[test]
fn an_ignored_expiry_is_found() {
    must_find(
        Bug::IgnoresExpiry,
        checks::items_expire_at_their_second,
        &["get \"past\"", "expected: a miss", "expires never"],
    );
}

#[test]
fn an_item_that_lives_a_second_too_long_is_found() {
    must_find(
        Bug::ExpiresASecondLate,
        checks::items_expire_at_their_second,
        &["get \"now\"", "expected: a miss", "there was expired"],
    );
}

#[test]
fn a_cas_that_stays_is_found() {
    must_find(Bug::KeepsCas, checks::cas_ids_grow_and_differ, &["set \"k\"", "a CAS above 2"]);
}

#[test]
fn a_cas_that_is_ignored_is_found() {
    must_find(
        Bug::IgnoresCompare,
        checks::compare_guards_stores,
        &["compare=1", "expected: error NotFound", "got:      stored"],
    );
    must_find(
        Bug::IgnoresCompare,
        checks::concurrent_locks_exclude,
        &["one must succeed", "set with that CAS -> stored"],
    );
}

#[test]
fn swapped_keys_are_found() {
    must_find(
        Bug::SwapsKeys,
        checks::modes_look_at_what_is_there,
        &["get \"a\"", "expected: a hit", "got:      a miss"],
    );
    must_find(
        Bug::SwapsManyAnswers,
        checks::get_many_answers_by_index,
        &["get_many: get \"key", "expected: ", "got: "],
    );
}

#[test]
fn commands_without_one_order_are_found() {
    must_find(
        Bug::CountsInTwoSteps,
        checks::concurrent_counters_add_up,
        &["must answer every number", "missing"],
    );
    must_find(
        Bug::CountsInTwoSteps,
        checks::concurrent_commands_have_an_order,
        &["no order of the commands"],
    );
}

#[test]
fn a_sink_called_for_a_miss_is_found() {
    must_find(
        Bug::SinkOnMiss,
        checks::modes_look_at_what_is_there,
        &["breach of the interface", "a miss called the sink"],
    );
}

#[test]
fn an_abandoned_operation_is_found() {
    must_find(
        Bug::ForgetsAbandoned,
        checks::abandoned_stores_are_carried_out,
        &["waited", "was carried out"],
    );
}

#[test]
fn a_level_that_is_hoped_for_is_found() {
    must_find(
        Bug::BoastsOfItsLevel,
        checks::modes_look_at_what_is_there,
        &["acknowledged at level local", "highest is ram"],
    );
}

#[test]
fn a_delayed_flush_that_comes_at_once_is_found() {
    must_find(Bug::FlushesAtOnce, checks::flush_waits_for_its_second, &["expected: a hit", "before it:"]);
}

/// What a campaign finds of a log with `bug`. It stops at the first finding; the usual 200 cuts find it nearly always,
/// but how threads are scheduled no seed decides.
fn campaign_finding(bug: LogBug, fault: Fault) -> Failure {
    let make = move |world: &World| -> Opened { Ok(Arc::new(LogEngine::open(world, bug)?)) };
    let plan = Plan { fault, cuts: 5000, seed: 3 };
    match campaign(&Subject::new(&make), &plan) {
        Err(failure) => failure,
        Ok(report) => panic!("{bug:?} was not found: {report}"),
    }
}

#[test]
fn an_answer_before_the_sync_is_found() {
    let failure = campaign_finding(LogBug::NoSync, Fault::PowerCut);
    assert!(
        failure.text().contains("no order of the commands") || failure.text().contains("gave CAS"),
        "{failure}"
    );
    assert!(failure.text().contains("seed 3"), "{failure}");
}

#[test]
fn a_missing_folder_sync_is_found() {
    let failure = campaign_finding(LogBug::NoFolderSync, Fault::PowerCut);
    assert!(
        failure.text().contains("no order of the commands") || failure.text().contains("gave CAS"),
        "{failure}"
    );
}

#[test]
fn a_cas_that_goes_back_is_found() {
    let failure = campaign_finding(LogBug::CasStartsAnew, Fault::Kill);
    assert!(failure.text().contains("the engine gave CAS"), "{failure}");
}

#[test]
fn torn_records_taken_for_whole_are_found() {
    let failure = campaign_finding(LogBug::NoChecksum, Fault::PowerCut);
    assert!(failure.text().contains("after the crash"), "{failure}");
}

#[test]
fn a_failure_that_did_change_something_is_found() {
    let failure = campaign_finding(LogBug::SaysNothingChanged, Fault::PowerCut);
    assert!(failure.text().contains("say nothing changed; did it?"), "{failure}");
}
