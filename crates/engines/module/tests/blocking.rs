//! `EWOULDBLOCK`: no answer is lost, none comes twice, and the module sees the rules kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use larder_engine::kit::command::{delete, get, increment, set, step};
use larder_engine::kit::{Client, Command, LocalExecutor, Outcome, Random, World};
use larder_engine::{Engine, ErrorKind, Initial, Key, Reply, Scope};
use support::{Visit, assert_kept, has_compiler, module, report};

const CLIENTS: usize = 4;
const COMMANDS: usize = 300;

/// Runs random commands of several clients on several threads, then reads the witness's report.
fn crowd(name: &str, defines: &[&str], config: &str) {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    let config = format!("{config};report={}", file.display());
    let world = World::new();
    let engine = Arc::new(support::open(&world, &module("blocking.c", defines), Some(&config)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..CLIENTS {
            let (engine, world) = (engine.clone(), &world);
            scope.spawn(move || {
                let executor = LocalExecutor::new(thread);
                let mut random = Random::part(7, thread as u64);
                for round in 0..3 {
                    let clients: Vec<Client> = (0..3)
                        .map(|_| {
                            Client::new(engine.clone(), executor.worker().clone(), world.clock().clone())
                        })
                        .collect();
                    for number in 0..COMMANDS / 3 {
                        let client = &clients[number % clients.len()];
                        let outcome = executor.block_on(client.run(&command(&mut random)));
                        let is_right = outcome.is_success()
                            || matches!(&outcome, Outcome::Refused(kind, _) if expected(*kind));
                        assert!(is_right, "round {round}: {outcome}");
                    }
                }
                executor.finish();
            });
        }
    });
    engine.close().unwrap();
    let findings = report(&file);
    assert_kept(&findings);
    assert_ne!(findings["blocked"], "0");
    assert_eq!(findings["held"], "0");
}

fn expected(kind: ErrorKind) -> bool {
    kind.is_state() || matches!(kind, ErrorKind::TryAgain | ErrorKind::NotNumeric | ErrorKind::OutOfMemory)
}

fn command(random: &mut Random) -> Command {
    let key = format!("key:{}", random.below(20));
    let key = key.as_bytes();
    match random.below(10) {
        0..=3 => get(key),
        4..=6 => set(key, random.below(1000).to_string().as_bytes()).into(),
        7 => delete(key),
        8 => increment(key, 3),
        _ => {
            let initial = Some(Initial { value: 5, expiry: larder_engine::Expiry::NEVER });
            larder_engine::kit::command::arithmetic(
                key,
                larder_engine::Arithmetic { initial, ..step(larder_engine::Direction::Increment, 1) },
            )
        }
    }
}

#[test]
fn a_fresh_thread_notifies() {
    crowd("thread", &[], "rate=50;notify=thread");
}

#[test]
fn one_thread_notifies_for_all() {
    crowd("pool", &["-DARITHMETIC"], "rate=80;notify=pool");
}

#[test]
fn the_notification_is_quicker_than_the_return() {
    crowd("early", &[], "rate=80;notify=early");
}

#[test]
fn the_worker_itself_notifies_within_the_call() {
    crowd("inside", &["-DARITHMETIC"], "rate=90;notify=inside");
}

#[test]
fn it_notifies_twice() {
    crowd("twice", &[], "rate=50;notify=twice");
}

#[test]
fn it_notifies_though_nobody_waits_and_for_those_who_left() {
    crowd("strays", &[], "rate=30;strays=60;ghosts=true");
}

#[test]
fn a_status_stands_for_the_answer() {
    crowd("errors", &["-DARITHMETIC"], "rate=50;errors=40;error_status=13");
}

#[test]
fn a_miss_may_be_the_status_of_a_notification() {
    if !has_compiler() {
        return;
    }
    let visit =
        Visit::new(&module("blocking.c", &[]), Some("rate=100;errors=100;error_status=1;functions=get"));
    visit.run(set(b"k", b"v"));
    assert_eq!(visit.run(get(b"k")), Outcome::Missing);
    visit.end();
}

#[test]
fn other_commands_of_the_connection_wait_in_line() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("blocking.c", &[]), Some("rate=0"));
    let other = visit.another();
    let context = visit.client().context();
    let engine = &*visit.engine;
    let first = engine.get(
        &context,
        Key::new(b"hold:2"),
        &larder_engine::Get::plain(),
        &mut larder_engine::reply::NoValue,
    );
    let Reply::Pending(first) = first else { panic!("it answers later") };
    let Reply::Pending(second) = engine.delete(&context, Key::new(b"k"), &larder_engine::Delete::default())
    else {
        panic!("nothing else may be asked for this connection meanwhile")
    };
    let Reply::Pending(third) = engine.flush(&context, Scope::All, None) else { panic!("nor this") };
    // Whoever waits is left alone: dropped operations are carried out all the same.
    drop(second);
    assert_eq!(visit.stats_of(&other, "held")["held"], "1");
    visit.stats_of(&other, "notify");
    assert!(visit.executor.block_on(first).unwrap().is_none());
    visit.executor.block_on(third).unwrap();
    assert_kept(&visit.stats_of(&other, "contract"));
    drop(other);
    visit.end();
}

#[test]
fn a_client_that_leaves_is_seen_off_when_its_command_is_done() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("blocking.c", &[]), Some("rate=0"));
    let leaving = visit.another();
    let pending = visit.engine.get(
        &leaving.context(),
        Key::new(b"hold:me"),
        &larder_engine::Get::plain(),
        &mut larder_engine::reply::NoValue,
    );
    let Reply::Pending(pending) = pending else { panic!("it answers later") };
    drop(pending);
    drop(leaving);
    let before = visit.stats("contract");
    assert_eq!((before["connects"].as_str(), before["disconnects"].as_str()), ("2", "0"));
    visit.stats("notify");
    visit.executor.finish();
    let after = visit.stats("contract");
    assert_eq!(after["disconnects"], "1");
    assert_kept(&after);
    visit.end();
}

#[test]
fn statistics_said_before_the_wait_are_dropped() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("blocking.c", &[]), Some("rate=100;functions=get_stats;notify=pool"));
    let stats = visit.stats("");
    assert!(stats.contains_key("engine_gets") && !stats.contains_key("added_in_vain"), "{stats:?}");
    visit.end();
}

#[test]
fn what_is_under_way_is_counted() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("blocking.c", &[]), Some("rate=0"));
    let own = visit.own_stats();
    assert_eq!((own["module_pending"].as_str(), own["module_cookies"].as_str()), ("0", "1"));
    let pending = visit.engine.get(
        &visit.client().context(),
        Key::new(b"hold:me"),
        &larder_engine::Get::plain(),
        &mut larder_engine::reply::NoValue,
    );
    assert_eq!(visit.own_stats()["module_pending"], "1");
    let other = visit.another();
    visit.stats_of(&other, "notify");
    visit
        .answer(match pending {
            Reply::Pending(operation) => Reply::<Option<larder_engine::Item>>::Pending(operation),
            Reply::Ready(_) => panic!("it answers later"),
        })
        .unwrap();
    assert_eq!(visit.own_stats()["module_pending"], "0");
    assert_eq!(visit.own_stats()["module_blocked"], "1");
    drop(other);
    visit.end();
}
