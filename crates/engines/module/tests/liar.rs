//! A module that breaks its contract: the command fails with the slot and the rule, and the server lives on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use larder_engine::kit::command::{delete, flush_all, get, increment, set};
use larder_engine::kit::{Command, Outcome};
use larder_engine::{Engine, ErrorKind};
use support::{Visit, has_compiler, module};

fn liar(lie: &str) -> Visit {
    Visit::new(&module("liar.c", &["-DARITHMETIC"]), Some(&format!("lie={lie}")))
}

/// Stores under a key that is lied about, runs `command`, and looks whether other keys are as they should be.
fn outcome(lie: &str, command: impl Into<Command>) -> (ErrorKind, String) {
    let visit = liar(lie);
    visit.run(set(b"lie", b"value"));
    let outcome = visit.run(command);
    let Outcome::Refused(kind, text) = outcome else { panic!("{lie}: {outcome}") };
    assert!(matches!(visit.run(set(b"true", b"value")), Outcome::Stored(_)));
    assert!(matches!(visit.run(get(b"true")), Outcome::Found(_, value) if value == "value"));
    visit.end();
    (kind, text)
}

#[test]
fn answers_that_break_a_rule_name_the_slot_and_the_rule() {
    if !has_compiler() {
        return;
    }
    let lies = [
        ("get_nothing", "get: success, but no item"),
        ("info_many_pieces", "get_item_info: says it used more pieces than it was offered"),
        ("info_no_pieces", "get_item_info: the pieces of a value are shorter than nbytes"),
        ("info_short", "get_item_info: the pieces of a value are shorter than nbytes"),
        ("info_long", "get_item_info: the pieces of a value are longer than nbytes"),
        ("info_null", "get_item_info: a piece of a value has a length but no address"),
        ("info_huge", "get_item_info: the pieces of a value are longer than nbytes"),
        ("info_other_key", "get_item_info: it describes an item of another key"),
    ];
    for (lie, rule) in lies {
        let (kind, text) = outcome(lie, get(b"lie"));
        assert_eq!(
            (kind, text),
            (ErrorKind::Internal, format!("the storage module breaks a rule: {rule}")),
            "{lie}"
        );
    }
    let (_, text) = outcome("allocate_nothing", set(b"lie", b"value"));
    assert!(text.ends_with("allocate: success, but no item"), "{text}");
    let (_, text) = outcome("info_refused", set(b"lie", b"value"));
    assert!(
        text.ends_with("get_item_info: refused to describe a new item with room for one piece"),
        "{text}"
    );
}

#[test]
fn breaches_are_counted() {
    if !has_compiler() {
        return;
    }
    let visit = liar("info_long");
    visit.run(set(b"lie", b"value"));
    for _ in 0..3 {
        visit.run(get(b"lie"));
    }
    assert_eq!(visit.own_stats()["module_breaches"], "3");
    visit.end();
}

#[test]
fn codes_that_old_servers_aborted_on_are_errors() {
    if !has_compiler() {
        return;
    }
    assert_eq!(outcome("get_want_more", get(b"lie")).0, ErrorKind::Disconnect);
    assert_eq!(outcome("get_disconnect", get(b"lie")).0, ErrorKind::Disconnect);
    assert_eq!(outcome("get_number", get(b"lie")).0, ErrorKind::Foreign(0x77));
    assert_eq!(outcome("store_number", set(b"lie", b"x")).0, ErrorKind::Foreign(u32::MAX));
    assert_eq!(outcome("store_want_more", set(b"lie", b"x")).0, ErrorKind::Disconnect);
    assert_eq!(outcome("remove_number", delete(b"lie")).0, ErrorKind::Foreign(0x1234));
    assert_eq!(outcome("arithmetic_number", increment(b"lie", 1)).0, ErrorKind::NotPermitted);
    assert_eq!(outcome("flush_number", flush_all()).0, ErrorKind::Foreign(0x55));
}

#[test]
fn odd_lines_responses_and_texts_do_no_harm() {
    if !has_compiler() {
        return;
    }
    let visit = liar("stats_null");
    let stats = visit.stats("");
    assert_eq!(stats["null_value"], "");
    assert!(stats.contains_key("items_alive"));
    visit.end();
    let visit = liar("stats_after");
    for _ in 0..20 {
        assert!(!visit.stats("").contains_key("late"));
    }
    visit.end();
    let visit = liar("command_null");
    let mut request = [0; 24];
    (request[0], request[1]) = (0x80, 0xa0);
    let responses = visit.answer(visit.engine.raw_command(&visit.client().context(), &request)).unwrap();
    assert_eq!((responses.len(), responses[0].key.len()), (1, 0));
    visit.end();
    let visit = liar("errinfo_long");
    visit.run(set(b"word", b"x"));
    let error = visit.answer(visit.engine.raw_command(&visit.client().context(), &request)).unwrap_err();
    assert_eq!(error.text().len(), "not supported: ".len() + 256);
    visit.end();
}
