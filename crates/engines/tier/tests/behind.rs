//! Write-behind, step by step.

mod support;

use std::sync::Arc;
use std::time::Duration;

use larder_engine::kit::command::{delete, flush_all, get, get_with, increment, set, store};
use larder_engine::kit::{Command, Outcome};
use larder_engine::{
    Durability, Engine, ErrorKind, Expiry, Get, Mode, Reply, ScanOrder, Services, Timestamp, Token, Vivify,
};
use larder_tier::{Behind, Tier, TierOptions, Write};
use support::{Bench, ScriptedStore};

/// No bound that a test meets by chance.
fn wide() -> Behind {
    Behind { dirty_bytes: 64 << 20, dirty_age: Duration::from_secs(3600), wait: Duration::from_secs(3600) }
}

fn options(behind: Behind) -> TierOptions {
    TierOptions { write: Write::Behind(behind), warm_up: false, ..TierOptions::default() }
}

fn bench() -> Bench {
    Bench::new(options(wide()))
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some(value.as_bytes().to_vec())
}

fn drained(bench: &Bench) {
    bench.until("nothing is queued", |bench| bench.stat("tier_dirty_items") == "0");
}

#[test]
fn a_set_is_acknowledged_as_queued_and_read_back_before_the_store_has_it() {
    let bench = bench();
    bench.store.hold();
    match bench.run(set(b"k", b"v")) {
        Outcome::Stored(stored) => assert_eq!(stored.level, Durability::Queued),
        other => panic!("not stored: {other}"),
    }
    assert_eq!(bench.value(b"k"), text("v"));
    assert_eq!(bench.store.value(&bench.context(), b"k"), None);
    bench.store.wait_for(1);
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("v"));
    // What went down is in the cache.
    assert_eq!(bench.value(b"k"), text("v"));
    assert_eq!(bench.store.count("get"), 0);
}

#[test]
fn repeated_writes_of_a_key_become_one() {
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"k", b"first"));
    bench.store.wait_for(1);
    for number in 0..100 {
        bench.run(set(b"k", format!("{number}").as_bytes()));
    }
    assert_eq!(bench.store.labels(), ["store k"]);
    bench.store.finish(0, &bench.context());
    bench.store.wait_for(1);
    assert_eq!(bench.value(b"k"), text("99"));
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("99"));
    assert_eq!(bench.store.count("store"), 2);
}

#[test]
fn a_key_is_never_on_its_way_twice() {
    let bench = bench();
    bench.store.hold();
    for key in [&b"a"[..], b"b", b"a", b"b", b"c"] {
        bench.run(set(key, b"v"));
    }
    bench.until("all keys are on their way", |bench| bench.store.waiting() == 3);
    for key in [&b"a"[..], b"b", b"c"] {
        bench.run(delete(key));
        bench.run(set(key, b"w"));
    }
    let mut labels = bench.store.labels();
    labels.sort();
    assert_eq!(labels, ["store a", "store b", "store c"]);
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"b"), text("w"));
}

#[test]
fn conditional_commands_look_at_the_queue_then_the_cache_then_the_store() {
    let bench = bench();
    bench.store.put(&bench.context(), b"stored", b"10");
    // The store.
    let add = |key: &[u8]| bench.run(store(Mode::Add, key, b"added"));
    assert!(matches!(add(b"stored"), Outcome::Refused(ErrorKind::NotStored, _)));
    assert!(matches!(bench.run(increment(b"stored", 5)), Outcome::Number(number) if number.value == 15));
    // The queue, while the store does nothing.
    bench.store.hold();
    assert!(matches!(bench.run(increment(b"stored", 5)), Outcome::Number(number) if number.value == 20));
    assert!(matches!(bench.run(delete(b"stored")), Outcome::Deleted(_)));
    assert!(matches!(bench.run(delete(b"stored")), Outcome::Refused(ErrorKind::NotFound, _)));
    assert!(matches!(add(b"stored"), Outcome::Stored(_)));
    bench.run(store(Mode::Append, b"stored", b"!"));
    assert_eq!(bench.value(b"stored"), text("added!"));
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"stored"), text("added!"));
    // The cache.
    let asked = bench.store.count("get");
    assert!(matches!(add(b"stored"), Outcome::Refused(ErrorKind::NotStored, _)));
    assert_eq!(bench.store.count("get"), asked);
}

#[test]
fn a_decision_made_on_a_read_takes_note_of_writes_that_came_meanwhile() {
    let bench = bench();
    bench.store.put(&bench.context(), b"n", b"1");
    bench.store.hold();
    let counter = bench.start(increment(b"n", 1));
    bench.apply(0);
    bench.run(set(b"n", b"100"));
    bench.finish(0);
    assert!(matches!(counter.outcome(), Some(Outcome::Number(number)) if number.value == 101));
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"n"), text("101"));
}

#[test]
fn a_decision_made_on_a_read_looks_again_when_the_write_has_gone_down_already() {
    let bench = bench();
    bench.store.put(&bench.context(), b"n", b"1");
    bench.store.hold();
    let counter = bench.start(increment(b"n", 1));
    bench.apply(0);
    bench.run(set(b"n", b"100"));
    bench.store.wait_for(2);
    bench.store.finish(1, &bench.context());
    drained(&bench);
    bench.evict();
    // The old value arrives when the new one is no longer in the queue, nor in the cache.
    bench.finish(0);
    assert!(counter.outcome().is_none());
    bench.store.release(&bench.context());
    bench.until("the counter has looked again", |_| counter.outcome().is_some());
    assert!(matches!(counter.outcome(), Some(Outcome::Number(number)) if number.value == 101));
}

#[test]
fn many_decisions_on_a_cold_counter_add_up() {
    let bench = bench();
    bench.store.put(&bench.context(), b"n", b"0");
    bench.store.hold();
    let counters: Vec<_> = (0..50).map(|_| bench.start(increment(b"n", 1))).collect();
    assert_eq!(bench.store.labels(), ["get n"]);
    bench.store.release(&bench.context());
    bench.until("all have counted", |_| counters.iter().all(|counter| counter.outcome().is_some()));
    assert_eq!(bench.value(b"n"), text("50"));
}

#[test]
fn writers_wait_at_the_bound_of_bytes_and_are_let_in_when_there_is_room() {
    let bench = Bench::new(options(Behind { dirty_bytes: 2000, ..wide() }));
    bench.store.hold();
    bench.run(set(b"a", &[b'x'; 1500]));
    let waiting = bench.start(set(b"b", &[b'y'; 1500]));
    assert!(waiting.outcome().is_none());
    // Nobody overtakes those who wait, not even with little.
    let small = bench.start(set(b"c", b"z"));
    assert!(small.outcome().is_none());
    assert_eq!(bench.stat("tier_writers_waiting"), "2");
    bench.store.release(&bench.context());
    bench.until("both are let in", |_| waiting.outcome().is_some() && small.outcome().is_some());
    assert!(matches!(waiting.outcome(), Some(Outcome::Stored(_))));
    assert!(matches!(small.outcome(), Some(Outcome::Stored(_))));
    drained(&bench);
    assert_eq!(bench.stat("tier_dirty_bytes"), "0");
}

#[test]
fn writers_who_waited_in_vain_are_told_to_try_again() {
    let bench = Bench::new(options(Behind { dirty_bytes: 1800, wait: Duration::ZERO, ..wide() }));
    bench.store.hold();
    bench.run(set(b"a", &[b'x'; 1500]));
    for command in
        [Command::from(set(b"b", &[b'y'; 1500])), increment(b"a", 1), Command::from(set(b"a", b"1"))]
    {
        let refused = bench.start(command);
        bench.until("the writer is sent away", |_| refused.outcome().is_some());
        match refused.outcome() {
            Some(Outcome::Refused(ErrorKind::TryAgain, text)) => {
                assert!(text.contains("write-behind queue full"), "{text}");
            }
            other => panic!("not refused: {other:?}"),
        }
    }
    // Reads go on.
    assert_eq!(bench.value(b"a"), Some(vec![b'x'; 1500]));
    assert_eq!(bench.stat("tier_writers_refused"), "3");
    bench.store.release(&bench.context());
    drained(&bench);
    assert!(matches!(bench.run(set(b"b", b"v")), Outcome::Stored(_)));
}

#[test]
fn writers_wait_at_the_bound_of_age() {
    let bench = Bench::new(options(Behind { dirty_age: Duration::from_secs(10), ..wide() }));
    bench.store.hold();
    bench.run(set(b"a", b"v"));
    bench.store.wait_for(1);
    bench.clock.advance(100);
    let mut writers = Vec::new();
    bench.until("the queue is too old", |bench| {
        writers.push(bench.start(set(b"b", b"v")));
        writers.last().is_some_and(|writer| writer.outcome().is_none())
    });
    assert!(bench.stat("tier_dirty_age_ms").parse::<u64>().unwrap() >= 90_000);
    bench.store.release(&bench.context());
    bench.until("all writers are let in", |_| writers.iter().all(|writer| writer.outcome().is_some()));
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"b"), text("v"));
}

#[test]
fn a_value_beyond_the_stores_limit_is_refused_before_it_is_queued() {
    let bench = bench();
    let large = vec![b'x'; bench.store.describe().item_size_max as usize + 1];
    assert!(matches!(bench.run(set(b"k", &large)), Outcome::Refused(ErrorKind::TooLarge, _)));
    assert!(matches!(bench.run(store(Mode::Add, b"k", &large)), Outcome::Refused(ErrorKind::TooLarge, _)));
    assert_eq!(bench.stat("tier_dirty_items"), "0");
}

#[test]
fn what_the_store_refuses_is_kept_tried_again_and_told() {
    let bench = bench();
    bench.store.refuse(Some(ErrorKind::Unavailable));
    bench.run(set(b"k", b"v"));
    bench.until("the store has refused twice", |bench| {
        bench.stat("tier_store_retries").parse::<u64>().unwrap() >= 2
    });
    assert_eq!(bench.value(b"k"), text("v"));
    assert_eq!(bench.stat("tier_last_store_error"), "store unavailable");
    bench.store.refuse(None);
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("v"));
}

#[test]
fn a_write_refused_for_its_own_sake_does_not_hold_up_others() {
    let bench = Bench::new(options(Behind { dirty_age: Duration::from_secs(10), ..wide() }));
    bench.store.hold();
    bench.run(set(b"bad", b"v"));
    bench.store.wait_for(1);
    bench.store.fail(0, ErrorKind::BadArgument);
    bench.until("the write is refused", |bench| bench.stat("tier_refused_items") == "1");
    assert_eq!(bench.stat("tier_store_refusals"), "1");
    bench.clock.advance(2);
    assert!(matches!(bench.run(set(b"good", b"v")), Outcome::Stored(_)));
    bench.until("the other is on its way", |bench| bench.store.labels() == ["store good"]);
    bench.store.finish(0, &bench.context());
    // Some time later it is tried again.
    bench.clock.advance(10);
    bench.store.wait_for(1);
    assert_eq!(bench.store.labels(), ["store bad"]);
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"bad"), text("v"));
}

#[test]
fn a_newer_write_takes_the_place_of_a_refused_one() {
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"k", b"bad"));
    bench.store.wait_for(1);
    bench.store.fail(0, ErrorKind::BadArgument);
    bench.until("the write is refused", |bench| bench.stat("tier_refused_items") == "1");
    bench.run(set(b"k", b"good"));
    bench.store.wait_for(1);
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("good"));
}

#[test]
fn a_stop_brings_everything_down() {
    let bench = bench();
    bench.store.hold();
    for number in 0..1000u32 {
        bench.run(set(format!("k{number}").as_bytes(), b"v"));
    }
    bench.store.release(&bench.context());
    bench.tier.close().unwrap();
    assert_eq!(bench.store.value(&bench.context(), b"k0"), text("v"));
    assert_eq!(bench.store.value(&bench.context(), b"k999"), text("v"));
    assert!(!bench.store.warm_list().is_empty());
}

#[test]
fn a_stop_says_what_could_not_be_brought_down() {
    let bench = bench();
    bench.store.refuse(Some(ErrorKind::OutOfMemory));
    bench.run(set(b"a", b"v"));
    bench.run(set(b"b", b"v"));
    let error = bench.tier.close().unwrap_err();
    assert!(error.text().contains("2 acknowledged writes"), "{error}");
    assert!(error.text().contains("out of memory"), "{error}");
}

/// With a store that takes its time to refuse, the next attempt is on its way before the last one has ended.
#[test]
fn a_stop_ends_though_attempts_overlap() {
    /// Pauses in a row after which a stop gives up.
    const PAUSES: usize = 8;
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"refused", b"v"));
    bench.store.wait_for(1);
    bench.store.fail(0, ErrorKind::BadArgument);
    bench.until("the write is refused", |bench| bench.stat("tier_refused_items") == "1");
    bench.run(set(b"a", b"v"));
    bench.run(set(b"b", b"v"));
    bench.store.wait_for(2);
    let tier = bench.tier.clone();
    let stop = std::thread::spawn(move || tier.close());
    // The stop has begun when what was refused is tried again.
    bench.store.wait_for(3);
    bench.store.finish(2, &bench.context());
    bench.until("it is done", |bench| bench.stat("tier_dirty_items") == "2");
    for _ in 0..PAUSES {
        bench.store.wait_for(2);
        bench.store.fail(0, ErrorKind::Unavailable);
    }
    bench.store.fail(0, ErrorKind::Unavailable);
    bench.until("the stop has ended", |_| stop.is_finished());
    let error = stop.join().unwrap().unwrap_err();
    assert!(error.text().contains("2 acknowledged writes"), "{error}");
}

#[test]
fn a_stop_goes_on_when_the_store_takes_something_at_last() {
    let bench = bench();
    bench.store.refuse(Some(ErrorKind::Unavailable));
    bench.run(set(b"a", b"v"));
    let tier = bench.tier.clone();
    let stop = std::thread::spawn(move || tier.close());
    let refused = bench.store.count("store");
    bench.until("the store has refused it again", |bench| bench.store.count("store") > refused + 2);
    bench.store.refuse(None);
    bench.until("the stop has ended", |_| stop.is_finished());
    stop.join().unwrap().unwrap();
    assert_eq!(bench.store.value(&bench.context(), b"a"), text("v"));
}

#[test]
fn a_tier_out_of_use_keeps_its_queue_until_the_store_takes_it() {
    /// More than a stop would try.
    const ATTEMPTS: usize = 12;
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"bad", b"v"));
    bench.store.wait_for(1);
    bench.store.fail(0, ErrorKind::BadArgument);
    bench.until("the write is refused", |bench| bench.stat("tier_refused_items") == "1");
    bench.store.release(&bench.context());
    bench.store.refuse(Some(ErrorKind::Unavailable));
    bench.run(set(b"k", b"v"));
    let tier = bench.tier.clone();
    let end = std::thread::spawn(move || tier.drain());
    for _ in 0..ATTEMPTS {
        let before = bench.store.count("store");
        bench.clock.advance(5);
        bench.until("another attempt", |bench| bench.store.count("store") > before);
    }
    assert!(!end.is_finished());
    bench.store.refuse(None);
    bench.until("the end", |bench| {
        bench.clock.advance(5);
        end.is_finished()
    });
    end.join().unwrap().unwrap();
    for key in [&b"k"[..], b"bad"] {
        assert_eq!(bench.store.value(&bench.context(), key), text("v"));
    }
}

#[test]
fn a_tier_out_of_use_gives_up_at_a_stop() {
    let bench = bench();
    bench.store.refuse(Some(ErrorKind::Unavailable));
    bench.run(set(b"k", b"v"));
    let tier = bench.tier.clone();
    let end = std::thread::spawn(move || tier.drain());
    bench.tier.hurry();
    bench.until("the end", |bench| {
        bench.clock.advance(1);
        end.is_finished()
    });
    let error = end.join().unwrap().unwrap_err();
    assert!(error.text().contains("1 acknowledged writes"), "{error}");
}

#[test]
fn a_stop_tries_refused_writes_once_more() {
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"k", b"v"));
    bench.store.wait_for(1);
    bench.store.fail(0, ErrorKind::BadArgument);
    bench.until("the write is refused", |bench| bench.stat("tier_refused_items") == "1");
    bench.store.release(&bench.context());
    bench.tier.close().unwrap();
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("v"));
}

#[test]
fn a_shared_store_is_refused() {
    let store: Arc<dyn Engine> = ScriptedStore::shared();
    let ram = bench().ram;
    let error = Tier::new(Services::system(), ram, store, options(wide())).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BadArgument);
    assert!(error.text().contains("write=through"), "{error}");
}

#[test]
fn a_store_that_reserves_no_ids_is_refused() {
    let store: Arc<dyn Engine> = Arc::new(larder_engine::kit::ModelEngine::default());
    let error = Tier::new(Services::system(), bench().ram, store, options(wide())).err().unwrap();
    assert!(error.text().contains("write=through"), "{error}");
}

#[test]
fn a_flush_takes_what_is_queued_and_spares_what_comes_after() {
    let bench = bench();
    bench.store.put(&bench.context(), b"stored", b"v");
    bench.store.hold();
    bench.run(set(b"sent", b"v"));
    bench.store.wait_for(1);
    bench.run(set(b"sent", b"queued"));
    let flush = bench.start(flush_all());
    // It waits for the write that is on its way, so that it does not come down afterwards.
    assert_eq!(bench.store.labels(), ["store sent"]);
    assert_eq!(bench.value(b"sent"), text("queued"));
    bench.store.finish(0, &bench.context());
    bench.store.wait_for(1);
    assert_eq!(bench.store.labels(), ["flush"]);
    bench.store.finish(0, &bench.context());
    bench.until("the flush is done", |_| flush.outcome().is_some());
    assert!(matches!(flush.outcome(), Some(Outcome::Flushed(_))));
    bench.run(set(b"after", b"v"));
    bench.store.release(&bench.context());
    drained(&bench);
    for gone in [&b"stored"[..], b"sent"] {
        assert_eq!(bench.value(gone), None);
        assert_eq!(bench.store.value(&bench.context(), gone), None);
    }
    assert_eq!(bench.value(b"after"), text("v"));
    assert_eq!(bench.store.value(&bench.context(), b"after"), text("v"));
}

#[test]
fn what_is_written_on_a_flushed_key_is_not_flushed_with_it() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    bench.store.hold();
    let flush = bench.start(flush_all());
    bench.store.wait_for(1);
    // The store is empty now, but the flush is not over: an add that the store lets pass must not go with it.
    bench.apply(0);
    let add = bench.start(store(Mode::Add, b"k", b"new"));
    let set_meanwhile = bench.start(set(b"other", b"v"));
    assert!(flush.outcome().is_none() && add.outcome().is_none() && set_meanwhile.outcome().is_none());
    bench.store.release(&bench.context());
    bench.until("the add is done", |_| add.outcome().is_some());
    assert!(matches!(add.outcome(), Some(Outcome::Stored(_))));
    assert_eq!(bench.value(b"k"), text("new"));
    bench.until("the set is done", |_| set_meanwhile.outcome().is_some());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("new"));
    assert_eq!(bench.value(b"other"), text("v"));
}

#[test]
fn a_flush_the_store_refuses_loses_nothing() {
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"k", b"v"));
    bench.store.wait_for(1);
    let flush = bench.start(flush_all());
    bench.store.finish(0, &bench.context());
    bench.store.wait_for(1);
    let held_back = bench.start(set(b"k", b"w"));
    bench.store.fail(0, ErrorKind::Unavailable);
    bench.until("the flush has failed", |_| flush.outcome().is_some());
    assert!(matches!(flush.outcome(), Some(Outcome::Refused(ErrorKind::Unavailable, _))));
    bench.until("the set is done", |_| held_back.outcome().is_some());
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), text("w"));
}

#[test]
fn a_flush_that_falls_due_takes_what_was_queued_before_it() {
    let bench = bench();
    let due = Timestamp(bench.clock.second() + 10);
    bench.run(Command::Flush { prefix: None, when: Some(due) });
    bench.store.hold();
    bench.run(set(b"sent", b"v"));
    bench.store.wait_for(1);
    bench.run(set(b"sent", b"w"));
    bench.run(set(b"kept", b"old"));
    bench.clock.advance(10);
    assert_eq!(bench.value(b"sent"), None);
    assert_eq!(bench.value(b"kept"), None);
    bench.run(set(b"kept", b"new"));
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"sent"), None);
    assert_eq!(bench.value(b"sent"), None);
    assert_eq!(bench.value(b"kept"), text("new"));
    assert_eq!(bench.store.value(&bench.context(), b"kept"), text("new"));
}

#[test]
fn a_write_that_the_store_did_after_a_flush_fell_due_is_taken_back() {
    let bench = bench();
    let due = Timestamp(bench.clock.second() + 10);
    bench.run(Command::Flush { prefix: None, when: Some(due) });
    bench.store.hold();
    bench.run(set(b"k", b"v"));
    bench.store.wait_for(1);
    bench.clock.advance(10);
    // The model does the flush first, then takes the item for a new one.
    bench.store.finish(0, &bench.context());
    bench.store.wait_for(1);
    assert_eq!(bench.store.labels(), ["delete k"]);
    assert_eq!(bench.value(b"k"), None);
    bench.store.release(&bench.context());
    drained(&bench);
    assert_eq!(bench.store.value(&bench.context(), b"k"), None);
}

#[test]
fn items_expire_in_the_queue() {
    let bench = bench();
    bench.store.hold();
    bench.run(set(b"k", b"v").expiry(Expiry::at(bench.clock.second() + 5)));
    assert_eq!(bench.value(b"k"), text("v"));
    bench.clock.advance(5);
    assert_eq!(bench.value(b"k"), None);
    assert!(matches!(bench.run(store(Mode::Add, b"k", b"w")), Outcome::Stored(_)));
}

#[test]
fn tokens_survive_the_way_down() {
    let bench = bench();
    let vivify =
        Get { vivify: Some(Vivify { expiry: Expiry::NEVER, new_cas: None }), tokens: true, ..Get::plain() };
    let token = |outcome: Outcome| match outcome {
        Outcome::Found(found, _) => found.token,
        other => panic!("not a hit: {other}"),
    };
    assert_eq!(token(bench.run(get_with(b"k", vivify))), Token::Won);
    drained(&bench);
    bench.evict();
    assert_eq!(token(bench.run(get_with(b"k", vivify))), Token::Taken);
}

/// The store has read its page, then the delete reaches it, then the page comes.
#[test]
fn a_scan_does_not_show_what_was_deleted_before_it() {
    let bench = bench();
    for key in [&b"deleted"[..], b"changed"] {
        bench.store.put(&bench.context(), key, b"old");
    }
    bench.run(get(b"deleted"));
    bench.store.hold();
    bench.run(delete(b"deleted"));
    bench.run(set(b"changed", b"new"));
    bench.until("both are on their way", |bench| bench.store.waiting() == 2);
    let Reply::Ready(Ok(queue)) = bench.tier.scan(&bench.context(), ScanOrder::Any, None, 1 << 20) else {
        panic!("the queue is there at once")
    };
    let page = match bench.tier.scan(&bench.context(), ScanOrder::Any, queue.next.as_deref(), 1 << 20) {
        Reply::Pending(operation) => operation,
        Reply::Ready(_) => panic!("the store has not answered"),
    };
    let scan = bench.store.labels().iter().position(|label| label == "scan").unwrap();
    bench.store.apply(scan, &bench.context());
    while let Some(write) = bench.store.labels().iter().position(|label| label != "scan") {
        bench.store.finish(write, &bench.context());
    }
    drained(&bench);
    bench.store.finish(0, &bench.context());
    let page = bench.executor.block_on(page).unwrap();
    let seen: Vec<_> = page.items.iter().map(|(key, item)| (&key[..], support::bytes(item))).collect();
    assert_eq!(seen, [(&b"changed"[..], b"new".to_vec())]);
    bench.store.release(&bench.context());
}

#[test]
fn a_scan_shows_the_queue_over_the_store() {
    let bench = bench();
    for key in [&b"deleted"[..], b"changed", b"kept"] {
        bench.store.put(&bench.context(), key, b"old");
    }
    bench.run(get(b"deleted"));
    bench.store.hold();
    bench.run(delete(b"deleted"));
    bench.run(set(b"changed", b"new"));
    bench.run(set(b"fresh", b"new"));
    bench.until("all is on its way", |bench| bench.store.waiting() == 3);
    let mut seen = std::collections::BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = match bench.tier.scan(&bench.context(), ScanOrder::Any, cursor.as_deref(), 1 << 20) {
            Reply::Ready(page) => page.unwrap(),
            Reply::Pending(operation) => {
                let scan = bench.store.labels().iter().position(|label| label == "scan").unwrap();
                bench.store.finish(scan, &bench.context());
                bench.executor.block_on(operation).unwrap()
            }
        };
        seen.extend(page.items.iter().map(|(key, item)| (key.to_vec(), support::bytes(item))));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let expected = [(&b"changed"[..], "new"), (b"fresh", "new"), (b"kept", "old")];
    let expected = expected.map(|(key, value)| (key.to_vec(), value.as_bytes().to_vec()));
    assert_eq!(seen, std::collections::BTreeMap::from(expected));
    bench.store.release(&bench.context());
}
