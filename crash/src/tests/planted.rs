//! One violation each, which must be found and named.

use super::*;
use crate::checker::CounterAudit;
use crate::identities::Identities;
use crate::operation::{Direction, MetaHit, Token};

const LEVEL: Level = Level::Local;
const END_US: u64 = 1_000;
const QUEUED: Level = Level::Queued { age_max_us: 10_000 };

fn incr() -> Action {
    Action::Arithmetic { direction: Direction::Increment, delta: 1, vivify: None }
}

fn number(value: u64) -> Outcome {
    Outcome::Number { value: Some(value), cas: None }
}

#[track_caller]
fn expect(fault_expected: Fault, words: &str, operations: &[Operation], look: Operation) {
    let result = judge(LEVEL, operations, END_US, &[look]);
    let Err(Failure::Violation(violation)) = result else { panic!("not found: {result:?}") };
    assert_eq!(violation.fault, fault_expected, "{violation}");
    assert!(violation.to_string().contains(words), "{violation}");
}

#[test]
fn what_was_acknowledged_may_be_read() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED), cut_off(1, 20, set(piece(1, 2)))];
    for survivor in [1, 2] {
        let result = judge(LEVEL, &operations, END_US, &[look(2_000, hit(piece(1, survivor), 5))]);
        assert_eq!(fault(result), None, "{survivor}");
    }
}

#[test]
fn a_lost_write_is_found() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED)];
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, Outcome::Miss));
}

#[test]
fn an_older_value_is_a_lost_write() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED), done(2, 20, 30, set(piece(2, 1)), STORED)];
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, hit(piece(1, 1), 9)));
}

#[test]
fn a_lost_delete_is_found() {
    let delete = Action::Delete { compare: None, mark_stale: false, drop_value: false };
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED), done(1, 20, 30, delete, Outcome::Deleted)];
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, hit(piece(1, 1), 9)));
}

#[test]
fn an_outcome_that_was_not_told_counts_as_done() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), Outcome::Silent)];
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, Outcome::Miss));
}

#[test]
fn a_lost_append_is_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, store(StoreMode::Append, piece(1, 2)), STORED),
        done(2, 20, 30, store(StoreMode::Append, piece(2, 1)), STORED),
    ];
    let shown = piece(1, 1).joined(&piece(2, 1));
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, hit(shown, 9)));
}

#[test]
fn an_invented_value_is_found() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED)];
    for value in [piece(1, 2), piece(3, 1), Value::new("x"), Value::new(&b"[key 1 1 7]bcdefgx"[..])] {
        expect(Fault::Invented, "a value that nobody wrote", &operations, look(2_000, hit(value, 9)));
    }
}

#[test]
fn a_value_of_another_key_is_invented() {
    let other = Piece { key: "other".into(), client: 1, sequence: 1, padding_bytes: 7 };
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED)];
    let shown = look(2_000, hit(Value::new(other.bytes()), 9));
    expect(Fault::Invented, "a value that nobody wrote", &operations, shown);
}

#[test]
fn swapped_appends_are_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, store(StoreMode::Append, piece(1, 2)), STORED),
        done(2, 40, 50, store(StoreMode::Append, piece(2, 1)), STORED),
    ];
    let shown = piece(1, 1).joined(&piece(2, 1)).joined(&piece(1, 2));
    expect(
        Fault::Swapped,
        "the order of the key's writes was not kept",
        &operations,
        look(2_000, hit(shown, 9)),
    );
}

#[test]
fn concurrent_appends_may_come_in_any_order() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, store(StoreMode::Append, piece(1, 2)), STORED),
        done(2, 25, 50, store(StoreMode::Append, piece(2, 1)), STORED),
    ];
    let shown = piece(1, 1).joined(&piece(2, 1)).joined(&piece(1, 2));
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[look(2_000, hit(shown, 9))])), None);
}

#[test]
fn a_connection_keeps_its_order_in_what_was_under_way() {
    // The append cannot have taken place without the set before it on the same connection.
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        cut_off(1, 20, set(piece(1, 2))),
        cut_off(1, 21, store(StoreMode::Append, piece(1, 3))),
    ];
    let shown = piece(1, 1).joined(&piece(1, 3));
    expect(
        Fault::Swapped,
        "the order of the key's writes was not kept",
        &operations,
        look(2_000, hit(shown, 9)),
    );
}

#[test]
fn a_counter_that_goes_back_is_found() {
    let operations = [
        done(1, 0, 10, set(Value::number(5)), STORED),
        done(1, 20, 30, incr(), number(6)),
        done(1, 40, 50, incr(), number(7)),
        cut_off(1, 60, incr()),
    ];
    let shown = |value| look(2_000, hit(Value::number(value), 9));
    expect(Fault::CounterBack, "a counter went back", &operations, shown(6));
    expect(Fault::Invented, "a value that nobody wrote", &operations, shown(9));
    for value in [7, 8] {
        assert_eq!(fault(judge(LEVEL, &operations, END_US, &[shown(value)])), None, "{value}");
    }
}

#[test]
fn a_counter_that_goes_back_in_its_own_answers_is_found() {
    let operations = [
        done(1, 0, 10, set(Value::number(5)), STORED),
        done(1, 20, 30, incr(), number(6)),
        done(2, 40, 50, incr(), number(6)),
    ];
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[])), Some(Fault::CounterBack));
}

#[test]
fn the_account_of_a_counter_finds_what_is_missing_or_too_much() {
    let operations =
        [done(1, 0, 10, incr(), number(1)), done(2, 0, 10, incr(), Outcome::Silent), cut_off(1, 20, incr())];
    let settle = |shown, level| {
        let mut audit = CounterAudit::default();
        audit.count(operations.iter());
        audit.settle(10, shown, level)
    };
    assert_eq!(settle(12, Level::Local), Ok(()));
    assert_eq!(settle(13, Level::Local), Ok(()));
    assert!(settle(11, Level::Local).is_err_and(|words| words.contains("went back")));
    assert!(settle(14, Level::Local).is_err_and(|words| words.contains("nobody asked for")));
    assert_eq!(settle(11, QUEUED), Ok(()));
    assert!(settle(9, QUEUED).is_err_and(|words| words.contains("went back")));
}

#[test]
fn a_cas_that_goes_back_is_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), Outcome::Stored { cas: Some(7) }),
        done(1, 20, 30, set(piece(1, 2)), Outcome::Stored { cas: Some(8) }),
    ];
    for cas in [7, 6, 9] {
        expect(Fault::CasBack, "a CAS went back or changed", &operations, look(2_000, hit(piece(1, 2), cas)));
    }
}

#[test]
fn a_new_cas_below_an_old_one_is_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), Outcome::Stored { cas: Some(7) }),
        done(1, 20, 30, set(piece(1, 2)), Outcome::Stored { cas: Some(7) }),
    ];
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[])), Some(Fault::CasBack));
}

#[test]
fn cas_values_over_all_keys_neither_repeat_nor_go_back() {
    let stored = |cas| done(1, 0, 10, set(piece(1, 1)), Outcome::Stored { cas: Some(cas) });
    let mut identities = Identities::default();
    assert_eq!(identities.note(0, &stored(10)), Ok(()));
    assert!(identities.note(1, &stored(10)).is_err_and(|words| words.contains("two keys")));
    assert_eq!(identities.note(1, &stored(9)), Ok(()));
    identities.restart();
    assert!(identities.note(1, &stored(10)).is_err_and(|words| words.contains("went back over a restart")));
    assert_eq!(identities.note(1, &stored(11)), Ok(()));
    assert_eq!(identities.note(0, &look(0, hit(piece(1, 1), 10))), Ok(()));
}

#[test]
fn a_condition_that_should_have_failed_is_found() {
    let guarded = Action::Store {
        mode: StoreMode::Set,
        value: piece(2, 1),
        flags: 0,
        ttl: 0,
        compare: Some(7),
        older_marks_stale: false,
        vivify: None,
    };
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), Outcome::Stored { cas: Some(7) }),
        done(1, 20, 30, set(piece(1, 2)), Outcome::Stored { cas: Some(8) }),
        done(2, 40, 50, guarded, Outcome::Stored { cas: Some(9) }),
    ];
    assert!(fault(judge(LEVEL, &operations, END_US, &[])).is_some());
}

#[test]
fn an_expired_item_that_is_back_is_found() {
    let short = |ttl| Action::Store {
        mode: StoreMode::Set,
        value: piece(1, 1),
        flags: 0,
        ttl,
        compare: None,
        older_marks_stale: false,
        vivify: None,
    };
    let second_us = 1_000_000;
    // Stored at second 1000 for two seconds: there at 1001, gone at 1003 plus what the server's clock may lag.
    let operations = [done(1, 0, 10, short(2), STORED)];
    let shown = |at_us| look(at_us, hit(piece(1, 1), 9));
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[shown(second_us)])), None);
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[look(2 * second_us, Outcome::Miss)])), None);
    expect(Fault::ExpiredBack, "an expired item is back", &operations, shown(3 * second_us + 10));
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(5_000, Outcome::Miss));
    // Expired from the start.
    let operations = [done(1, 0, 10, short(-1), STORED)];
    expect(Fault::ExpiredBack, "an expired item is back", &operations, shown(2_000));
    // Seen to be gone, then there again.
    let operations = [
        done(1, 0, 10, short(1), STORED),
        done(1, 2 * second_us, 2 * second_us + 10, Action::LOOK, Outcome::Miss),
    ];
    let result = judge(LEVEL, &operations, 2 * second_us + 20, &[shown(4 * second_us)]);
    assert_eq!(fault(result), Some(Fault::ExpiredBack));
}

#[test]
fn a_lost_touch_is_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), Outcome::Stored { cas: Some(7) }),
        done(1, 20, 30, Action::Touch { ttl: 100 }, Outcome::Touched),
    ];
    let shown = |ttl| {
        let meta = Some(MetaHit { ttl, stale: false, token: Token::Free });
        look(2_000, Outcome::Hit { value: piece(1, 1), flags: 0, cas: 7, meta })
    };
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[shown(99)])), None);
    assert!(fault(judge(LEVEL, &operations, END_US, &[shown(-1)])).is_some());
    assert!(fault(judge(LEVEL, &operations, END_US, &[shown(3)])).is_some());
}

#[test]
fn wrong_flags_are_found() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED)];
    let shown = Outcome::Hit { value: piece(1, 1), flags: 3, cas: 9, meta: None };
    expect(Fault::WrongAnswer, "no order of the operations", &operations, look(2_000, shown));
}

#[test]
fn a_stale_read_before_the_kill_is_found() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, set(piece(1, 2)), STORED),
        done(2, 40, 50, Action::LOOK, hit(piece(1, 1), 9)),
    ];
    assert_eq!(fault(judge(LEVEL, &operations, END_US, &[])), Some(Fault::Lost));
}

#[test]
fn what_somebody_read_survives() {
    // The set was under way, but its value was shown: it must not be taken back.
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        cut_off(1, 20, set(piece(1, 2))),
        done(2, 40, 50, Action::LOOK, hit(piece(1, 2), 9)),
    ];
    expect(Fault::Lost, "an acknowledged write is lost", &operations, look(2_000, hit(piece(1, 1), 8)));
}

#[test]
fn a_kill_decides_what_was_under_way() {
    let operations = [done(1, 0, 10, set(piece(1, 1)), STORED), cut_off(1, 20, set(piece(1, 2)))];
    let looks = [look(2_000, hit(piece(1, 1), 8)), look(3_000, hit(piece(1, 2), 9))];
    assert!(fault(judge(LEVEL, &operations, END_US, &looks)).is_some());
}

#[test]
fn queued_writes_may_be_taken_back_from_the_end_only() {
    let append = |sequence| store(StoreMode::Append, piece(1, sequence));
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, append(2), STORED),
        done(1, 40, 50, append(3), STORED),
    ];
    let one = piece(1, 1);
    let two = one.joined(&piece(1, 2));
    let three = two.joined(&piece(1, 3));
    let judged = |outcome| fault(judge(QUEUED, &operations, END_US, &[look(2_000, outcome)]));
    assert_eq!(judged(Outcome::Miss), None);
    for value in [one.clone(), two, three] {
        assert_eq!(judged(hit(value, 9)), None);
    }
    assert_eq!(judged(hit(one.joined(&piece(1, 3)), 9)), Some(Fault::Swapped));
    assert_eq!(judged(hit(piece(1, 4), 9)), Some(Fault::Invented));
}

#[test]
fn queued_writes_must_not_be_taken_back_for_ever() {
    let operations = [
        done(1, 0, 10, set(piece(1, 1)), STORED),
        done(1, 20, 30, set(piece(1, 2)), STORED),
        done(1, 40_000, 40_010, set(piece(1, 3)), STORED),
    ];
    let judged = |sequence| {
        let shown = look(60_000, hit(piece(1, sequence), 9));
        fault(judge(QUEUED, &operations, 45_000, &[shown]))
    };
    assert_eq!(judged(3), None);
    assert_eq!(judged(2), None);
    assert_eq!(judged(1), Some(Fault::Lost));
}

#[test]
fn a_clean_stop_keeps_what_is_queued() {
    let operation = done(1, 0, 10, set(piece(1, 1)), STORED);
    let mut audit = KeyAudit::new(KEY);
    audit.round(&[&operation], QUEUED, End::CleanStop, at(END_US)).unwrap();
    assert_eq!(fault(audit.look(&look(2_000, Outcome::Miss))), Some(Fault::Lost));
}
