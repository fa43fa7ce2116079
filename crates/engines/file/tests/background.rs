//! Purging, flushing, counting, warming up, and a disk that is full or fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use larder_engine::disk::Disk;
use larder_engine::kit::World;
use larder_engine::kit::clock::START;
use larder_engine::kit::command::{get, set};
use larder_engine::{Engine, ErrorKind, Expiry, ScanOrder};
use support::Store;

#[test]
fn the_purge_removes_what_is_expired_and_nothing_else() {
    let store = Store::open(World::new());
    for number in 0..300 {
        let expiry = if number % 3 == 0 { Expiry::NEVER } else { Expiry::at(START + 10) };
        store.set_until(&format!("key{number}"), b"v", expiry);
    }
    assert_eq!(store.stats()["purge_removed"], 0);
    store.world.clock().advance(10);
    store.wait_until(|stats| stats["purge_removed"] == 200);
    assert_eq!(store.engine.memory_use().items, 100);
    assert_eq!(store.files().len(), 100);
    for number in 0..300 {
        assert_eq!(store.value(&format!("key{number}")).is_some(), number % 3 == 0);
    }
}

#[test]
fn a_flush_is_forgotten_once_its_files_are_gone() {
    let store = Store::open(World::new());
    store.set("a:1", b"1");
    store.set("b:1", b"1");
    store.flush("a:", None);
    store.set("a:later", b"1");
    let holds = |store: &Store| {
        assert_eq!(store.value("a:1"), None);
        assert!(store.value("a:later").is_some() && store.value("b:1").is_some());
    };
    holds(&store);
    let store = Store::open(store.abandon());
    holds(&store);
    store.wait_until(|stats| stats["flushes_in_effect"] == 0);
    assert_eq!(store.files().into_keys().collect::<Vec<_>>(), ["a%3alater", "b%3a1"]);
    holds(&store);
    holds(&Store::open(store.close()));
}

#[test]
fn a_delayed_flush_happens_though_the_process_is_down() {
    let store = Store::open(World::new());
    store.set("old", b"1");
    store.flush("", Some(START + 10));
    assert!(store.value("old").is_some());
    assert_eq!(store.engine.pending_flushes(), [(Vec::new(), larder_engine::Timestamp(START + 10))]);
    let world = store.abandon();
    world.clock().advance(10);
    let store = Store::open(world);
    assert_eq!(store.value("old"), None);
    store.set("new", b"1");
    store.wait_until(|stats| stats["flushes_waiting"] == 0);
    let store = Store::open(store.close());
    store.world.clock().advance(10);
    assert!(store.value("new").is_some());
}

#[test]
fn an_idle_store_flushes_when_the_time_comes() {
    let store = Store::open(World::new());
    store.set("old", b"1");
    store.flush("", Some(START + 10));
    store.world.clock().advance(10);
    store.wait_until(|stats| stats["flushes_waiting"] == 0 && stats["files"] == 0);
}

#[test]
fn items_are_counted_over_stops_and_kills() {
    let store = Store::open(World::new());
    for number in 0..50 {
        store.set(&format!("key{number}"), &[1; 1000]);
    }
    store.set("key7", b"short");
    store.run(larder_engine::kit::command::delete(b"key8"));
    let counted = store.engine.memory_use();
    assert_eq!(counted.items, 49);
    let store = Store::open(store.close());
    assert_eq!(store.engine.memory_use(), counted);
    let store = Store::open(store.abandon());
    store.wait_until(|stats| stats["purge_passes"] > 0);
    assert_eq!(store.engine.memory_use(), counted);
}

#[test]
fn the_newest_come_first() {
    let store = Store::open(World::new());
    for number in 0..1000 {
        store.set(&format!("key{number:04}"), b"v");
    }
    let keys = store.scan(ScanOrder::Newest, 1 << 20);
    assert_eq!(keys.len(), 1000);
    let newest = keys[..150].iter().filter(|key| ***key >= *"key0700").count();
    assert_eq!(newest, 150, "all of the first come from the newest: {:?}", &keys[..150]);
    let warm = ["key0500", "key0002", "gone", "key0999"];
    store.engine.keep_warm_list(&mut warm.iter().map(|key| key.as_bytes().into())).unwrap();
    let store = Store::open(store.close());
    assert_eq!(store.scan(ScanOrder::Newest, 1), ["key0500", "key0002", "key0999"]);
    let store = Store::open(store.abandon());
    assert_eq!(store.scan(ScanOrder::Newest, 1000).len(), 1000, "the list is that of an older stop");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let store = Store::simulated(World::new());
    store.set("k", b"old");
    store.world.disk().set_capacity(Some(2000));
    assert_eq!(store.refused(set(b"k", &[1; 5000])), ErrorKind::Unavailable);
    assert!(store.engine.ready().is_err());
    assert_eq!(store.value("k").unwrap(), b"old");
    let temporary = store.world.folder().join("temporary");
    assert!(store.world.disk().list(&temporary).unwrap().is_empty(), "nothing half written is left");
    store.world.disk().set_capacity(None);
    store.set("k", b"new");
    store.engine.ready().unwrap();
    assert_eq!(store.value("k").unwrap(), b"new");
    store.close();
}

#[test]
fn what_may_be_lost_is_not_shown_until_it_is_safe() {
    let store = Store::simulated(World::new());
    store.set("k", b"old");
    // The file of the new value is synced, its folder is not; nor at the next attempt.
    store.world.disk().fail_sync_after(1);
    assert_eq!(store.refused(set(b"k", b"new")), ErrorKind::OutcomeUnknown);
    store.world.disk().fail_sync_after(0);
    assert_eq!(store.refused(get(b"k")), ErrorKind::Unavailable);
    assert_eq!(store.refused(set(b"other", b"v")), ErrorKind::Unavailable);
    // The disk works again: so it becomes durable, and is shown.
    store.set("other", b"v");
    assert_eq!(store.value("k").unwrap(), b"new");
    let world = store.world.after_power_cut(1);
    drop(store);
    assert_eq!(Store::simulated(world).value("k").unwrap(), b"new");
}

#[test]
fn a_value_that_does_not_fit_leaves_the_others_of_its_batch() {
    let store = Store::simulated(World::new());
    store.set("first", b"makes the store");
    store.world.disk().set_capacity(Some(40_000));
    let stores: Vec<_> = (0..20u32)
        .map(|number| {
            let length = if number == 10 { 1_000_000 } else { 100 };
            set(format!("k{number}").as_bytes(), &vec![number as u8; length])
        })
        .collect();
    for store_command in &stores {
        store.executor.block_on(store.client().start_and_leave(store_command)).unwrap();
    }
    // Whatever came before it is done when it is.
    store.set("last", b"v");
    for number in 0..20 {
        assert_eq!(store.value(&format!("k{number}")).is_some(), number != 10, "k{number}");
    }
}
