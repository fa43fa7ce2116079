//! The parts that the search rests on.

use super::*;
use crate::plan::{self, Planner};
use crate::random::Random;
use crate::wire::{Dialect, Wording};

#[test]
fn pieces_are_found_again_and_every_wrong_byte_shows() {
    let both = piece(1, 2).joined(&piece(3, 40));
    let pieces = both.pieces().unwrap();
    assert_eq!(
        pieces.iter().map(|piece| (piece.client, piece.sequence)).collect::<Vec<_>>(),
        [(1, 2), (3, 40)]
    );
    for position in 0..both.bytes().len() {
        let mut bytes = both.bytes().to_vec();
        bytes[position] ^= 1;
        let wrong = Value::new(bytes);
        assert_ne!(wrong.pieces(), Some(pieces.clone()), "{position}");
        assert_ne!(wrong, both);
    }
}

#[test]
fn numbers_are_read_as_the_server_reads_them() {
    for (text, number) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("7 ", Some(7))] {
        assert_eq!(Value::new(text).as_number(), number, "{text}");
    }
    for text in ["", "-1", "18446744073709551616", "1a", "[key 1 1 0]"] {
        assert_eq!(Value::new(text).as_number(), None, "{text}");
    }
}

#[test]
fn planners_say_only_what_their_dialect_can_say() {
    let keys = plan::keys();
    for dialect in [Dialect::Classic, Dialect::Meta, Dialect::Binary] {
        let mut planner = Planner::new(Random::new(7, 1), dialect, 1, 0, true);
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let step = planner.step(&keys);
            let key = &keys[step.key].name;
            let wording = Wording { dialect, key, is_quiet: step.is_quiet, opaque: 5 };
            wording
                .encode(&step.action, &mut Vec::new())
                .unwrap_or_else(|_| panic!("{dialect:?}: {}", step.action));
            planner.learn_cas(step.key, 1000);
            names.insert(step.action.to_string().split(' ').next().unwrap().to_owned());
        }
        assert!(names.len() >= 9, "{dialect:?} says too little: {names:?}");
    }
}

#[test]
fn one_seed_plans_the_same_twice() {
    let keys = plan::keys();
    let steps = || {
        let mut planner = Planner::new(Random::new(3, 9), Dialect::Meta, 1, 0, false);
        (0..500).map(|_| planner.step(&keys).action.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(steps(), steps());
}

#[test]
fn a_tangle_is_judged_in_time() {
    // Eight connections with four appends each, all under way together: too many orders to try one by one.
    let mut operations = Vec::new();
    for client in 0..8 {
        for sequence in 0..4 {
            let action = Action::LOOK;
            operations.push(done(client, sequence, 500 + sequence, action, hit(piece(9, 1), 3)));
        }
        operations.push(cut_off(client, 600, store(StoreMode::Append, piece(client, 1))));
    }
    operations.push(done(9, 0, 5, set(piece(9, 1)), Outcome::Stored { cas: Some(3) }));
    let shown = piece(9, 1).joined(&piece(4, 1)).joined(&piece(0, 1));
    assert_eq!(fault(judge(Level::Local, &operations, 900, &[look(2_000, hit(shown, 9))])), None);
}
