//! Read-through and write-through, step by step.

mod support;

use std::sync::{Arc, Barrier};

use larder_engine::kit::command::{delete, get, get_with, increment, set, store};
use larder_engine::kit::{Client, Command, LocalExecutor, Outcome};
use larder_engine::{Engine, ErrorKind, Expiry, Get, GetReply, Key, ManySink, Mode, Reply, Sink};
use larder_tier::TierOptions;
use support::{Bench, ScriptedStore, value_of};

fn bench() -> Bench {
    Bench::new(TierOptions { warm_up: false, ..TierOptions::default() })
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some(value.as_bytes().to_vec())
}

#[test]
fn a_thousand_readers_of_a_cold_key_make_one_read() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"v");
    bench.store.hold();
    let (asked, answered) = (Arc::new(Barrier::new(5)), Arc::new(Barrier::new(5)));
    let readers: Vec<_> = (1..5)
        .map(|number| {
            let (tier, clock) = (bench.tier.clone(), bench.clock.clone());
            let (asked, answered) = (asked.clone(), answered.clone());
            std::thread::spawn(move || {
                let executor = LocalExecutor::new(number);
                let client = Client::new(tier.clone(), executor.worker().clone(), clock);
                let ask = |_| match tier.get(&client.context(), Key::new(b"k"), &Get::plain(), &mut Nowhere) {
                    Reply::Pending(operation) => operation,
                    Reply::Ready(_) => panic!("nothing is known yet"),
                };
                let operations: Vec<_> = (0..250).map(ask).collect();
                asked.wait();
                answered.wait();
                for operation in operations {
                    let item = executor.block_on(operation).unwrap().expect("the store has it");
                    assert_eq!(support::bytes(&item), b"v");
                }
            })
        })
        .collect();
    asked.wait();
    assert_eq!(bench.store.labels(), ["get k"]);
    bench.finish(0);
    answered.wait();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(bench.store.count("get"), 1);
    assert_eq!(bench.stat("tier_coalesced_reads"), "999");
}

/// A sink that nobody may call.
struct Nowhere;

impl Sink for Nowhere {
    fn hit(&mut self, _found: &larder_engine::Found, _pieces: &[&[u8]]) {
        panic!("a pending answer never calls the sink");
    }
}

#[test]
fn a_slow_read_does_not_put_an_old_value_back() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    bench.store.hold();
    let reader = bench.start(get(b"k"));
    bench.apply(0);
    let writer = bench.start(set(b"k", b"new"));
    bench.finish(1);
    assert!(matches!(writer.outcome(), Some(Outcome::Stored(_))));
    bench.finish(0);
    assert_eq!(reader.value(), text("old"));
    assert_eq!(bench.value(b"k"), text("new"));
    assert_eq!(bench.store.count("get"), 1);
}

#[test]
fn a_reader_after_an_acknowledgement_does_not_join_an_older_read() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    bench.store.hold();
    let before = bench.start(get(b"k"));
    bench.apply(0);
    bench.start(set(b"k", b"new"));
    bench.finish(1);
    bench.evict();
    let after = bench.start(get(b"k"));
    assert_eq!(bench.store.labels(), ["get k", "get k"]);
    bench.finish(1);
    assert_eq!(after.value(), text("new"));
    bench.finish(0);
    assert_eq!(before.value(), text("old"));
    assert_eq!(bench.value(b"k"), text("new"));
}

#[test]
fn a_reader_after_a_flush_does_not_join_an_older_read() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    bench.store.hold();
    let before = bench.start(get(b"k"));
    bench.apply(0);
    bench.start(larder_engine::kit::command::flush_all());
    bench.finish(1);
    let after = bench.start(get(b"k"));
    bench.finish(1);
    assert_eq!(after.value(), None);
    bench.finish(0);
    assert_eq!(before.value(), text("old"));
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), None);
}

#[test]
fn writes_that_come_back_out_of_order_leave_the_newest() {
    let bench = bench();
    bench.store.hold();
    bench.start(set(b"k", b"first"));
    bench.start(set(b"k", b"second"));
    bench.apply(0);
    bench.apply(1);
    bench.finish(1);
    assert_eq!(bench.value(b"k"), text("second"));
    bench.finish(0);
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), text("second"));
}

#[test]
fn what_a_refusal_tells_is_not_contradicted_by_the_cache() {
    let bench = bench();
    assert_eq!(bench.value(b"k"), None);
    bench.store.hold();
    // The set is done, but nobody has heard; the add meets it.
    let setter = bench.start(set(b"k", b"set"));
    bench.apply(0);
    let adder = bench.start(store(Mode::Add, b"k", b"added"));
    bench.finish(1);
    assert!(matches!(adder.outcome(), Some(Outcome::Refused(ErrorKind::NotStored, _))));
    let reader = bench.start(get(b"k"));
    bench.finish(1);
    assert_eq!(reader.value(), text("set"));
    assert!(setter.outcome().is_none());
    bench.finish(0);
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), text("set"));
}

#[test]
fn what_a_read_has_shown_is_not_taken_back_by_a_write_that_reports_late() {
    let bench = bench();
    bench.store.hold();
    bench.start(set(b"k", b"first"));
    bench.start(set(b"k", b"second"));
    bench.apply(0);
    bench.apply(1);
    let reader = bench.start(get(b"k"));
    bench.finish(2);
    assert_eq!(reader.value(), text("second"));
    // The first write is heard of before the second.
    bench.finish(0);
    let later = bench.start(get(b"k"));
    if later.outcome().is_none() {
        bench.finish(1);
    }
    assert_eq!(later.value(), text("second"));
}

#[test]
fn a_read_whose_client_left_still_fills() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"v");
    bench.store.hold();
    match bench.tier.get(&bench.context(), Key::new(b"k"), &Get::plain(), &mut Nowhere) {
        Reply::Pending(operation) => drop(operation),
        Reply::Ready(_) => panic!("nothing is known yet"),
    }
    let other = bench.start(get(b"k"));
    bench.finish(0);
    assert_eq!(other.value(), text("v"));
    assert_eq!(bench.value(b"k"), text("v"));
    assert_eq!(bench.store.count("get"), 1);
}

#[test]
fn a_write_whose_client_left_still_reaches_the_cache() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    assert_eq!(bench.value(b"k"), text("old"));
    bench.store.hold();
    let store =
        larder_engine::Store::set(Key::new(b"k"), 0, Expiry::NEVER, larder_engine::Payload::Borrowed(b"new"));
    match bench.tier.store(&bench.context(), store) {
        Reply::Pending(operation) => drop(operation),
        Reply::Ready(_) => panic!("the store has not answered"),
    }
    support::turn(&bench.executor);
    bench.finish(0);
    assert_eq!(bench.value(b"k"), text("new"));
}

#[test]
fn absence_is_remembered_for_a_while_and_hides_no_write() {
    let bench = bench();
    assert_eq!(bench.value(b"k"), None);
    assert_eq!(bench.value(b"k"), None);
    assert_eq!(bench.store.count("get"), 1);
    bench.run(set(b"k", b"v"));
    assert_eq!(bench.value(b"k"), text("v"));
    bench.run(delete(b"k"));
    assert_eq!(bench.value(b"k"), None);
    assert_eq!(bench.store.count("get"), 1);
    bench.clock.advance(2);
    assert_eq!(bench.value(b"k"), None);
    assert_eq!(bench.store.count("get"), 2);
    bench.run(increment(b"k", 1));
    bench.run(store(Mode::Add, b"k", b"5"));
    assert_eq!(bench.value(b"k"), text("5"));
}

#[test]
fn an_absence_read_before_a_write_does_not_hide_it() {
    let bench = bench();
    bench.store.hold();
    let reader = bench.start(get(b"k"));
    bench.apply(0);
    bench.start(set(b"k", b"v"));
    bench.finish(1);
    bench.finish(0);
    assert_eq!(reader.value(), None);
    assert_eq!(bench.value(b"k"), text("v"));
}

#[test]
fn an_unknown_outcome_makes_the_cache_forget() {
    let bench = bench();
    bench.run(set(b"k", b"old"));
    bench.store.hold();
    let writer = bench.start(set(b"k", b"new"));
    bench.store.finish_with(0, &bench.context(), Some(ErrorKind::OutcomeUnknown));
    support::turn(&bench.executor);
    assert!(matches!(writer.outcome(), Some(Outcome::Refused(ErrorKind::OutcomeUnknown, _))));
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), text("new"));
    assert_eq!(bench.store.count("get"), 1);
}

#[test]
fn a_refused_write_leaves_the_copy() {
    let bench = bench();
    bench.run(set(b"k", b"old"));
    bench.store.refuse(Some(ErrorKind::Unavailable));
    let refused = bench.run(set(b"k", b"new"));
    assert!(matches!(refused, Outcome::Refused(ErrorKind::Unavailable, _)));
    assert_eq!(bench.value(b"k"), text("old"));
    assert_eq!(bench.store.count("get"), 0);
}

#[test]
fn a_failure_is_told_to_all_who_waited_and_not_remembered() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"v");
    bench.store.hold();
    let readers = [bench.start(get(b"k")), bench.start(get(b"k"))];
    bench.store.fail(0, ErrorKind::TimedOut);
    support::turn(&bench.executor);
    for reader in readers {
        assert!(matches!(reader.outcome(), Some(Outcome::Refused(ErrorKind::TimedOut, _))));
    }
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), text("v"));
}

#[test]
fn an_overdue_copy_is_served_only_if_the_store_fails() {
    let options = TierOptions { warm_up: false, fresh_seconds: Some(5), ..TierOptions::default() };
    let bench = Bench::new(options);
    bench.run(set(b"k", b"one"));
    bench.store.put(&bench.context(), b"k", b"two");
    assert_eq!(bench.value(b"k"), text("one"));
    bench.clock.advance(5);
    bench.store.refuse(Some(ErrorKind::Unavailable));
    assert_eq!(bench.value(b"k"), text("one"));
    assert_eq!(bench.stat("tier_stale_served"), "1");
    bench.store.refuse(None);
    assert_eq!(bench.value(b"k"), text("two"));
}

#[test]
fn a_multi_get_asks_the_store_once_for_each_missing_key() {
    let bench = bench();
    bench.run(set(b"here", b"1"));
    bench.store.put(&bench.context(), b"there", b"2");
    bench.store.hold();
    let mut sink = Indexed::default();
    let keys: Vec<Key<'_>> =
        [&b"there"[..], b"here", b"nowhere", b"there"].into_iter().map(Key::new).collect();
    bench.tier.get_many(&bench.context(), &keys, &Get::plain(), &mut sink);
    assert_eq!(sink.order, [0, 1, 2, 3]);
    assert_eq!(bench.store.labels(), ["get there", "get nowhere"]);
    bench.store.release(&bench.context());
    let values: Vec<_> = sink
        .pending
        .into_iter()
        .map(|(index, operation)| {
            let item = bench.executor.block_on(operation).unwrap();
            (index, item.map(|item| support::bytes(&item)))
        })
        .collect();
    assert_eq!(values, [(0, text("2")), (2, None), (3, text("2"))]);
}

/// Takes the answers of a multi-get.
#[derive(Default)]
struct Indexed {
    keep: larder_engine::reply::KeepItem,
    order: Vec<usize>,
    pending: Vec<(usize, larder_engine::Operation<Option<larder_engine::Item>>)>,
}

impl ManySink for Indexed {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        &mut self.keep
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        self.order.push(index);
        if let Reply::Pending(operation) = reply {
            self.pending.push((index, operation));
        }
    }
}

#[test]
fn one_of_many_readers_wins_the_token_of_a_stale_item() {
    let bench = bench();
    let stale = larder_engine::kit::command::StoreCommand { stale: true, ..set(b"k", b"old") };
    bench.run(stale);
    bench.evict();
    bench.store.hold();
    let meta = Get { tokens: true, ..Get::plain() };
    let readers =
        [bench.start(get_with(b"k", meta)), bench.start(get_with(b"k", meta)), bench.start(get(b"k"))];
    bench.store.release(&bench.context());
    support::turn(&bench.executor);
    let tokens: Vec<_> = readers
        .iter()
        .map(|reader| match reader.outcome() {
            Some(Outcome::Found(found, _)) => found.token,
            other => panic!("not a hit: {other:?}"),
        })
        .collect();
    use larder_engine::Token::{Taken, Won};
    assert_eq!(tokens.iter().filter(|token| **token == Won).count(), 1);
    assert!(tokens[..2].iter().all(|token| matches!(token, Won | Taken)));
    // The cache knows that the token is out: no more questions to the store.
    let asked = bench.store.count("get");
    assert!(matches!(bench.run(get_with(b"k", meta)), Outcome::Found(found, _) if found.token == Taken));
    assert_eq!(bench.store.count("get"), asked);
}

#[test]
fn counters_stay_in_the_cache_and_joins_leave_it() {
    let bench = bench();
    bench.run(set(b"n", b"41"));
    bench.run(increment(b"n", 1));
    assert_eq!(bench.value(b"n"), text("42"));
    assert_eq!(bench.store.count("get"), 0);
    bench.run(store(Mode::Append, b"n", b"!"));
    assert_eq!(bench.value(b"n"), text("42!"));
    assert_eq!(bench.store.count("get"), 1);
}

#[test]
fn a_value_larger_than_all_of_the_cache_leaves_nothing_old_behind() {
    let bench = bench();
    bench.run(set(b"k", b"small"));
    bench.ram.set_memory_limit(256 << 10).unwrap();
    let large = vec![b'x'; 1 << 20];
    bench.run(set(b"k", &large));
    assert_eq!(bench.value(b"k"), Some(large));
    assert!(bench.store.count("get") >= 1);
}

#[test]
fn a_delayed_flush_is_not_undone_by_an_answer_from_before_it() {
    let bench = bench();
    bench.store.put(&bench.context(), b"k", b"old");
    let due = larder_engine::Timestamp(bench.clock.second() + 10);
    bench.run(Command::Flush { prefix: None, when: Some(due) });
    bench.clock.advance(9);
    bench.store.hold();
    let reader = bench.start(get(b"k"));
    bench.apply(0);
    bench.clock.advance(1);
    bench.finish(0);
    assert_eq!(reader.value(), text("old"));
    bench.store.release(&bench.context());
    assert_eq!(bench.value(b"k"), None);
}

#[test]
fn a_clean_stop_tells_the_store_what_was_in_the_cache() {
    let bench = bench();
    bench.run(set(b"a", b"1"));
    bench.run(set(b"b", b"2"));
    bench.tier.close().unwrap();
    let mut keys = bench.store.warm_list();
    keys.sort();
    assert_eq!(keys, [Box::from(&b"a"[..]), Box::from(&b"b"[..])]);
}

#[test]
fn a_store_that_is_warmed_from_answers_without_another_read() {
    let store = ScriptedStore::new();
    let seed = bench();
    for number in 0..100u32 {
        store.put(&seed.context(), format!("k{number}").as_bytes(), b"v");
    }
    let bench = Bench::above(store, TierOptions::default());
    bench.until("warming up has ended", |bench| bench.stat("tier_warm_up") == "whole");
    assert_eq!(bench.stat("tier_warm_up_items"), "100");
    assert_eq!(bench.value(b"k42"), text("v"));
    assert_eq!(bench.store.count("get"), 0);
}

#[test]
fn warming_up_never_puts_an_old_value_over_a_new_one() {
    let store = ScriptedStore::new();
    let seed = bench();
    for key in [&b"kept"[..], b"changed", b"deleted", b"changing"] {
        store.put(&seed.context(), key, b"old");
    }
    store.hold();
    let bench = Bench::above(store, TierOptions::default());
    bench.store.wait_for(1);
    bench.apply(0);
    // All this happens after the page was read and before it arrives.
    for (index, command) in
        [Command::from(set(b"changed", b"new")), delete(b"deleted"), Command::from(set(b"changing", b"new"))]
            .into_iter()
            .enumerate()
    {
        bench.start(command);
        match index {
            2 => bench.apply(1),
            _ => bench.finish(1),
        }
    }
    bench.evict();
    assert_eq!(bench.store.labels(), ["scan", "store changing"]);
    bench.store.finish(0, &bench.context());
    bench.until("warming up has ended", |bench| bench.stat("tier_warm_up") == "whole");
    bench.finish(0);
    bench.store.release(&bench.context());
    assert_eq!(bench.stat("tier_warm_up_items"), "1");
    assert_eq!(bench.value(b"kept"), text("old"));
    assert_eq!(bench.store.count("get"), 0);
    assert_eq!(bench.value(b"changed"), text("new"));
    assert_eq!(bench.value(b"deleted"), None);
    assert_eq!(bench.value(b"changing"), text("new"));
}

#[test]
fn warming_up_is_broken_off_by_a_stop() {
    let store = ScriptedStore::new();
    store.hold();
    let bench = Bench::above(store, TierOptions::default());
    bench.store.wait_for(1);
    // The scan is never answered; the stop does not wait for it.
    bench.tier.close().unwrap();
}

#[test]
fn values_are_shown_as_they_are() {
    let bench = bench();
    bench.run(set(b"k", b"v").flags(7).expiry(Expiry::at(bench.clock.second() + 100)));
    let cached = bench.run(get(b"k"));
    bench.evict();
    let stored = bench.run(get(b"k"));
    let shown = |outcome: &Outcome| match outcome {
        Outcome::Found(found, _) => (found.flags, found.cas, found.expiry, found.expiry_before),
        other => panic!("not a hit: {other}"),
    };
    assert_eq!(shown(&cached), shown(&stored));
    assert_eq!(value_of(stored), text("v"));
}

#[test]
fn a_tier_on_a_store_of_others_leaves_it_open() {
    let others = bench();
    let options = TierOptions { warm_up: false, closes_below: false, ..TierOptions::default() };
    let bench = Bench::above(others.store.clone(), options);
    bench.tier.close().unwrap();
    assert_eq!(others.store.closed(), 0);
    assert!(others.store.warm_list().is_empty());
    others.tier.close().unwrap();
    assert_eq!(others.store.closed(), 1);
}
