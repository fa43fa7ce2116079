//! A module of April 2010: another server table, CR LF behind values, expiry times converted by the server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use larder_engine::kit::command::{get, increment, set, store};
use larder_engine::kit::{Opened, Outcome, World, must_pass};
use larder_engine::{Expiry, Mode};
use larder_module::{ModuleEngine, ModuleOptions, Profile};
use support::{Visit, assert_kept, has_compiler, module};

fn open(world: &World, config: Option<&str>) -> Result<ModuleEngine, larder_module::OpenError> {
    let copy = support::Copy::of(&module("ancient.c", &[]));
    let options = ModuleOptions { profile: Profile::Y2010M04, ..support::options(&copy.0, config) };
    ModuleEngine::open(&world.services(), &options)
}

fn visit() -> Visit {
    let world = World::new();
    let engine = open(&world, None).unwrap();
    Visit::of(world, engine)
}

fn make(world: &World) -> Opened {
    Ok(std::sync::Arc::new(open(world, None)?))
}

#[test]
fn the_layout_of_2010_is_kept() {
    if !has_compiler() {
        return;
    }
    let visit = visit();
    visit.run(set(b"k", b"value").flags(5));
    visit.run(store(Mode::Append, b"k", b"-end"));
    visit.run(store(Mode::Prepend, b"k", b"start-"));
    assert!(
        matches!(visit.run(get(b"k")), Outcome::Found(found, value) if value == "start-value-end" && found.flags == 5)
    );
    visit.run(set(b"empty", b""));
    assert!(matches!(visit.run(get(b"empty")), Outcome::Found(_, value) if value.is_empty()));
    visit.run(set(b"n", b"41"));
    assert!(matches!(visit.run(increment(b"n", 1)), Outcome::Number(number) if number.value == 42));
    visit.stats("notify");
    visit.stats("log");
    drop(visit.another());
    assert_kept(&visit.stats("contract"));
    let stats = visit.stats("contract");
    assert_eq!((stats["connects"].as_str(), stats["disconnects"].as_str()), ("2", "1"));
    visit.end();
}

#[test]
fn the_server_converts_the_expiry() {
    if !has_compiler() {
        return;
    }
    let visit = visit();
    let now = larder_engine::Clock::now(&**visit.world.clock()).0;
    visit.run(set(b"k", b"v").expiry(Expiry::at(now + 100)));
    let stats = visit.stats("contract");
    let number = |name: &str| stats[name].parse::<u32>().unwrap();
    assert_eq!(number("exptime"), number("now") + 100);
    visit.run(set(b"k", b"v"));
    assert_eq!(visit.stats("contract")["exptime"], "0");
    visit.end();
}

#[test]
fn a_refusing_module_is_refused() {
    if !has_compiler() {
        return;
    }
    let error = open(&World::new(), Some("refuse=true")).err().unwrap().to_string();
    assert!(error.contains("initialize failed with 0xff"), "{error}");
}

macro_rules! checks {
    ($($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                if has_compiler() {
                    must_pass(stringify!($check), &make);
                }
            }
        )*
    };
}

checks! {
    modes_look_at_what_is_there
    compare_guards_stores
    values_may_be_handed_over_in_any_way
    deletes_delete
    counters_count
    items_expire_at_their_second
    values_may_be_any_bytes
    keys_may_be_any_bytes
    large_values_come_back
    concurrent_counters_add_up
}
