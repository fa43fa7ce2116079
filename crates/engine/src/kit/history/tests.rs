use super::*;
use crate::kit::command::{get, increment, set};
use crate::reply::{Durability, Number, Stored};
use crate::time::Expiry;

fn recorded(client: usize, span: (u64, u64), command: impl Into<Command>, outcome: Outcome) -> Recorded {
    let (invoked, returned) = span;
    Recorded { client, command: command.into(), outcome, invoked, returned, now: Timestamp(10) }
}

fn stored(cas: u64, size: usize) -> Outcome {
    Outcome::Stored(Stored { cas, size, level: Durability::Ram, version: 0 })
}

fn hit(value: &[u8], cas: u64) -> Outcome {
    let found = crate::Found { cas, ..Default::default() };
    Outcome::Found(found, bytes::Bytes::copy_from_slice(value))
}

fn number(value: u64, cas: u64) -> Outcome {
    Outcome::Number(Number {
        value,
        cas,
        flags: 0,
        expiry: Expiry::NEVER,
        expiry_before: Expiry::NEVER,
        created: false,
        stale: false,
        token_taken: false,
        level: Durability::Ram,
        version: 0,
    })
}

fn unknown() -> Outcome {
    Outcome::Refused(ErrorKind::OutcomeUnknown, "?".into())
}

fn holds(history: &[Recorded]) -> bool {
    explain(b"k", &Truth::default(), history, 1000).is_ok()
}

#[test]
fn overlapping_commands_may_take_any_order() {
    for value in [b"a", b"b"] {
        let (first, second) = if value == b"b" { (1, 2) } else { (2, 1) };
        assert!(holds(&[
            recorded(0, (0, 5), set(b"k", b"a"), stored(first, 1)),
            recorded(1, (1, 4), set(b"k", b"b"), stored(second, 1)),
            recorded(2, (6, 7), get(b"k"), hit(value, 2)),
        ]));
    }
}

#[test]
fn a_read_may_not_see_what_was_overwritten_before_it_began() {
    assert!(!holds(&[
        recorded(0, (0, 1), set(b"k", b"a"), stored(1, 1)),
        recorded(0, (2, 3), set(b"k", b"b"), stored(2, 1)),
        recorded(1, (4, 5), get(b"k"), hit(b"a", 1)),
    ]));
}

#[test]
fn reads_may_not_go_back_in_time() {
    let write = recorded(0, (1, 10), set(b"k", b"a"), stored(1, 1));
    let new = |span| recorded(1, span, get(b"k"), hit(b"a", 1));
    let old = |span| recorded(2, span, get(b"k"), Outcome::Missing);
    assert!(holds(&[write.clone(), old((2, 3)), new((4, 5))]));
    assert!(!holds(&[write, new((2, 3)), old((4, 5))]));
}

#[test]
fn two_counts_with_one_result_have_no_order() {
    let history = [
        recorded(0, (0, 1), set(b"k", b"1"), stored(1, 1)),
        recorded(1, (2, 5), increment(b"k", 1), number(2, 2)),
        recorded(2, (3, 4), increment(b"k", 1), number(2, 3)),
    ];
    let failure = explain(b"k", &Truth::default(), &history, 1000).unwrap_err();
    assert!(failure.text().contains("expected: number 3"), "{failure}");
}

#[test]
fn a_cas_may_not_go_back() {
    assert!(!holds(&[
        recorded(0, (0, 1), set(b"k", b"a"), stored(5, 1)),
        recorded(0, (2, 3), set(b"k", b"b"), stored(4, 1)),
    ]));
}

#[test]
fn an_unknown_outcome_may_be_a_write_or_none_and_comes_at_any_time_after() {
    let lost = recorded(0, (0, 1), set(b"k", b"a"), unknown());
    let miss = |span| recorded(1, span, get(b"k"), Outcome::Missing);
    let seen = |span| recorded(1, span, get(b"k"), hit(b"a", 3));
    assert!(holds(&[lost.clone(), miss((2, 3))]));
    assert!(holds(&[lost.clone(), seen((2, 3))]));
    assert!(holds(&[lost.clone(), miss((2, 3)), seen((4, 5))]));
    assert!(!holds(&[lost.clone(), seen((2, 3)), miss((4, 5))]));
    assert!(!holds(&[lost, seen((2, 3)), recorded(1, (4, 5), get(b"k"), hit(b"a", 4))]));
}

#[test]
fn what_is_said_to_have_changed_nothing_must_not_be_seen() {
    let refused = Outcome::Refused(ErrorKind::TryAgain, "full".into());
    assert!(!holds(&[
        recorded(0, (0, 1), set(b"k", b"a"), refused),
        recorded(1, (2, 3), get(b"k"), hit(b"a", 1)),
    ]));
}

#[test]
fn the_end_is_told() {
    let history = [recorded(0, (0, 1), set(b"k", b"a"), stored(5, 1))];
    let after = explain(b"k", &Truth::default(), &history, 1000).unwrap();
    assert_eq!((after.item.unwrap().cas, after.cas_highest), (Some(5), 5));
}
