//! A tier among others: only its own keys get from its store into the cache they share.

mod support;

use std::sync::Arc;

use larder_engine::kit::Outcome;
use larder_engine::kit::command::{get, increment, set};
use larder_engine::{Cache, Engine};
use larder_tier::{Behind, Keys, TierOptions, Write};
use support::{Bench, ScriptedStore};

/// Keys that begin with `prefix`.
fn only(prefix: &'static str) -> Keys {
    Keys::Of(Box::new(move |key| key.starts_with(prefix.as_bytes())))
}

fn cold() -> TierOptions {
    TierOptions { warm_up: false, ..TierOptions::default() }
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some(value.as_bytes().to_vec())
}

/// A store with items of two prefixes.
fn store_of_two() -> Arc<ScriptedStore> {
    let store = ScriptedStore::new();
    let seed = Bench::new(cold());
    for key in [&b"own:1"[..], b"own:2", b"other:1"] {
        store.put(&seed.context(), key, b"5");
    }
    store
}

fn cached(bench: &Bench) -> Vec<String> {
    let mut keys: Vec<_> =
        bench.ram.newest_keys(10).iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    keys.sort();
    keys
}

fn warmed(bench: &Bench, how: &str) {
    bench.until("warming up has ended", |bench| bench.stat("tier_warm_up") == how);
}

#[test]
fn warming_up_takes_a_tiers_own_keys_only() {
    let bench = Bench::for_keys(store_of_two(), TierOptions::default(), only("own:"));
    warmed(&bench, "whole");
    assert_eq!(cached(&bench), ["own:1", "own:2"]);
    assert_eq!(bench.stat("tier_warm_up_items"), "2");
}

#[test]
fn warming_up_waits_for_keys_and_ends_when_they_are_taken_away() {
    let store = store_of_two();
    store.hold();
    let bench = Bench::for_keys(store, TierOptions::default(), Keys::None);
    assert_eq!(bench.stat("tier_warm_up"), "off");
    bench.tier.answer_for(Keys::All);
    bench.store.wait_for(1);
    bench.tier.answer_for(Keys::None);
    bench.store.release(&bench.context());
    warmed(&bench, "stopped");
    assert!(cached(&bench).is_empty());
    assert_eq!(bench.store.count("scan"), 1);
}

#[test]
fn a_stop_before_there_are_keys_does_not_wait_for_them() {
    let bench = Bench::for_keys(store_of_two(), TierOptions::default(), Keys::None);
    bench.tier.close().unwrap();
    assert_eq!(bench.store.count("scan"), 0);
}

#[test]
fn the_list_for_the_next_start_names_a_tiers_own_keys_only() {
    let bench = Bench::for_keys(ScriptedStore::new(), cold(), only("own:"));
    for key in [&b"own:1"[..], b"other:1", b"own:2"] {
        bench.run(set(key, b"v"));
    }
    bench.put_into_ram(b"other:2", b"v");
    bench.tier.close().unwrap();
    let mut listed = bench.store.warm_list();
    listed.sort();
    assert_eq!(listed, [Box::from(&b"own:1"[..]), Box::from(&b"own:2"[..])]);
}

#[test]
fn nothing_is_kept_of_a_key_that_passes_to_another() {
    let bench = Bench::for_keys(store_of_two(), cold(), Keys::All);
    bench.store.hold();
    let reader = bench.start(get(b"own:1"));
    bench.apply(0);
    let writer = bench.start(set(b"own:2", b"w"));
    // While both are under way the keys are taken away, the cache forgets them, and somebody else writes.
    bench.tier.answer_for(Keys::None);
    bench.ram.forget(b"", &[]);
    bench.finish(0);
    bench.finish(0);
    assert_eq!(reader.value(), text("5"));
    assert!(matches!(writer.outcome(), Some(Outcome::Stored(_))));
    bench.store.release(&bench.context());
    bench.run(set(b"own:1", b"own"));
    assert_eq!(bench.value(b"own:1"), text("own"));
    bench.run(get(b"own:2"));
    assert!(cached(&bench).is_empty());
    for key in [&b"own:1"[..], b"own:2"] {
        bench.store.put(&bench.context(), key, b"others");
    }
    assert_eq!(bench.value(b"own:1"), text("others"));
    assert_eq!(bench.value(b"own:2"), text("others"));
    // Nor is what was asked before they came back.
    bench.store.hold();
    let reader = bench.start(get(b"own:1"));
    bench.tier.answer_for(Keys::All);
    bench.finish(0);
    assert_eq!(reader.value(), text("others"));
    assert!(cached(&bench).is_empty());
    bench.store.release(&bench.context());
    bench.run(get(b"own:1"));
    assert_eq!(cached(&bench), ["own:1"]);
}

#[test]
fn readers_of_a_key_that_others_write_do_not_share_an_answer() {
    let bench = Bench::for_keys(store_of_two(), cold(), Keys::None);
    bench.store.hold();
    let early = bench.start(get(b"own:1"));
    bench.apply(0);
    // Past the tier, and acknowledged.
    bench.store.put(&bench.context(), b"own:1", b"6");
    let late = bench.start(get(b"own:1"));
    assert_eq!(bench.store.labels(), ["get own:1", "get own:1"]);
    bench.store.release(&bench.context());
    bench.until("both have ended", |_| early.outcome().is_some() && late.outcome().is_some());
    assert_eq!((early.value(), late.value()), (text("5"), text("6")));
}

#[test]
fn a_decision_is_not_made_on_what_others_left_in_the_cache() {
    let write = Write::Behind(Behind::default());
    let bench = Bench::for_keys(store_of_two(), TierOptions { write, ..cold() }, Keys::None);
    bench.put_into_ram(b"own:1", b"100");
    assert!(matches!(bench.run(increment(b"own:1", 1)), Outcome::Number(number) if number.value == 6));
}
