//! Values in several pieces, and a module that refuses room for one.

mod support;

use larder_engine::kit::Outcome;
use larder_engine::kit::command::{get, set};
use support::{Visit, has_compiler, module};

#[test]
fn values_in_many_pieces_come_back() {
    if !has_compiler() {
        return;
    }
    let value: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
    // Up to 1024 pieces, of which the engine's last is an empty one.
    for pieces in [1, 2, 7, 8, 9, 500, 1023] {
        let visit = Visit::new(&module("pieces.c", &[]), Some(&format!("pieces={pieces}")));
        visit.run(set(b"k", &value));
        assert!(matches!(visit.run(get(b"k")), Outcome::Found(_, got) if got == value), "{pieces} pieces");
        visit.run(set(b"empty", b""));
        assert!(
            matches!(visit.run(get(b"empty")), Outcome::Found(_, got) if got.is_empty()),
            "{pieces} pieces"
        );
        visit.end();
    }
}

#[test]
fn too_many_pieces_are_an_error() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("pieces.c", &[]), Some("pieces=1024"));
    visit.run(set(b"k", b"value"));
    let Outcome::Refused(_, text) = visit.run(get(b"k")) else { panic!("it has no room for its pieces") };
    assert!(text.contains("get_item_info: refused to describe an item with room for 1024 pieces"), "{text}");
    visit.end();
}

#[test]
fn a_new_item_that_is_not_in_one_piece_is_an_error() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("pieces.c", &[]), Some("refuse_one=true"));
    let Outcome::Refused(_, text) = visit.run(set(b"k", b"value")) else {
        panic!("there is nowhere to write to")
    };
    assert!(text.contains("get_item_info: refused to describe a new item with room for one piece"), "{text}");
    assert_eq!(visit.run(get(b"k")), Outcome::Missing);
    assert_eq!(visit.stats("")["items_alive"], "0", "the item was given back");
    visit.end();
}
