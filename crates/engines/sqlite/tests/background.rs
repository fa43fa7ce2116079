//! Folding, flushing, purging, scanning, and a disk that is full.

mod support;

use std::time::Duration;

use larder_engine::{Engine, ErrorKind, Expiry, Get, ScanOrder, Scope};
use larder_sqlite::SqliteOptions;
use support::{NOW, Store, clock, kind, options};

#[test]
fn folding_keeps_up_with_many_rewrites() {
    let folder = tempfile::tempdir().unwrap();
    let small = SqliteOptions { journal_bytes: 50_000, journal_bytes_max: 200_000, ..options(folder.path()) };
    let store = Store::open_with(small, clock());
    for round in 0..10 {
        for number in 0..300 {
            store.set(&format!("key{number}"), format!("{round}:{number}").as_bytes());
        }
    }
    let stats = store.stats();
    assert!(stats["fold_sweeps"] > 0, "{stats:?}");
    for number in 0..300 {
        assert_eq!(store.value(&format!("key{number}")).unwrap(), format!("9:{number}").as_bytes());
    }
    store.wait_until_folded();
    assert_eq!(store.engine_items(), 300);
    assert_eq!(store.value("key299").unwrap(), b"9:299");
}

#[test]
fn a_flush_takes_the_table_the_journal_and_nothing_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("a:table", b"1");
    store.set("b:table", b"1");
    store.wait_until_folded();
    store.set("a:journal", b"1");
    store.flush(Scope::Prefix(b"a:"), None);
    store.set("a:later", b"1");
    let check = |store: &Store| {
        assert_eq!((store.get("a:table"), store.get("a:journal")), (None, None));
        assert!(store.get("a:later").is_some() && store.get("b:table").is_some());
    };
    check(&store);
    drop(store);
    let store = Store::open(folder.path());
    check(&store);
    // Once nothing dead is left the flush itself is forgotten.
    store.wait_until(|stats| stats["flushes_in_effect"] == 0);
    check(&store);
    store.wait_until(|stats| stats["table_rows"] == 2);
    drop(store);
    check(&Store::open(folder.path()));
}

#[test]
fn a_delayed_flush_happens_though_the_process_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("old", b"1");
    store.flush(Scope::All, Some(NOW + 10));
    store.set("also old", b"1");
    assert!(store.get("old").is_some());
    assert_eq!(store.engine.pending_flushes(), [(Vec::new(), larder_engine::Timestamp(NOW + 10))]);
    drop(store);
    let store = Store::open_with(options(folder.path()), clock());
    store.set_time(NOW + 10);
    assert_eq!((store.get("old"), store.get("also old")), (None, None));
    store.set("new", b"1");
    assert!(store.get("new").is_some());
    drop(store);
    let store = Store::open(folder.path());
    store.set_time(NOW + 20);
    assert!(store.get("new").is_some());
    assert_eq!(store.get("old"), None);
}

#[test]
fn an_idle_store_flushes_when_the_time_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("old", b"1");
    store.flush(Scope::All, Some(NOW + 10));
    store.set_time(NOW + 10);
    store.wait_until(|stats| stats["flushes_waiting"] == 0);
    assert_eq!(store.get("old"), None);
}

#[test]
fn the_purge_removes_what_is_expired_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for number in 0..3000 {
        let expiry = if number % 3 == 0 { Expiry::NEVER } else { Expiry::at(NOW + 10) };
        store.try_set(&format!("key{number}"), b"v", expiry).unwrap();
    }
    store.wait_until_folded();
    assert_eq!(store.stats()["purge_removed"], 0);
    store.set_time(NOW + 10);
    store.wait_until(|stats| stats["purge_removed"] == 2000);
    assert_eq!(store.engine_items(), 1000);
    for number in 0..3000 {
        assert_eq!(store.get(&format!("key{number}")).is_some(), number % 3 == 0);
    }
}

fn names(items: &[(String, Vec<u8>)]) -> Vec<&str> {
    items.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_scan_merges_journal_and_table_in_key_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for number in (0..200).step_by(2) {
        store.set(&format!("key{number:03}"), b"table");
    }
    store.set("long", &[1; 100_000]);
    store.wait_until_folded();
    for number in (0..200).step_by(5) {
        store.set(&format!("key{number:03}"), b"journal");
    }
    store.delete("key002").unwrap();
    store.delete("key020").unwrap();
    store.try_set("expired", b"", Expiry::PAST).unwrap();
    for bytes_max in [1, 500, usize::MAX] {
        let items = store.scan(ScanOrder::Any, bytes_max);
        let expected: Vec<String> = (0..200)
            .filter(|number| (number % 2 == 0 || number % 5 == 0) && ![2, 20].contains(number))
            .map(|number| format!("key{number:03}"))
            .chain(["long".into()])
            .collect();
        assert_eq!(names(&items), expected);
        assert!(items.iter().all(|(name, value)| {
            let from_journal = name.starts_with("key") && name[3..].parse::<u32>().unwrap() % 5 == 0;
            (*value == b"journal") == from_journal
        }));
    }
}

#[test]
fn the_warm_list_of_a_clean_stop_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for number in 0..20 {
        store.set(&format!("key{number}"), b"v");
    }
    let list = ["key7", "gone", "key3", "key19"];
    store.engine.keep_warm_list(&mut list.iter().map(|key| key.as_bytes().into())).unwrap();
    store.close();
    let store = Store::open(folder.path());
    store.set("key3", b"changed");
    assert_eq!(names(&store.scan(ScanOrder::Newest, 1)), ["key7", "key3", "key19"]);
    drop(store);
    // After a kill the list is old: everything comes, by age.
    let store = Store::open(folder.path());
    assert_eq!(store.scan(ScanOrder::Newest, 1000).len(), 20);
}

#[test]
fn without_a_warm_list_the_newest_come_roughly_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let name = |number: u32| format!("key{:05}", number.wrapping_mul(7919) % 3001);
    for number in 0..3000 {
        store.set(&name(number), number.to_string().as_bytes());
    }
    store.wait_until_folded();
    let items = store.scan(ScanOrder::Newest, 10_000);
    assert_eq!(items.len(), 3000, "each once");
    let age = |items: &[(String, Vec<u8>)]| {
        let sum: u64 =
            items.iter().map(|(_, value)| std::str::from_utf8(value).unwrap().parse::<u64>().unwrap()).sum();
        sum / items.len() as u64
    };
    assert!(age(&items[..100]) > 2700, "{}", age(&items[..100]));
    assert!(age(&items[2900..]) < 1500, "{}", age(&items[2900..]));
}

#[test]
fn ids_are_reserved_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let reserve = |store: &Store, count| {
        store.caller.answer(store.engine.reserve_ids(&store.caller.context(), count)).unwrap()
    };
    let first = reserve(&store, 10);
    let far = reserve(&store, 5_000_000);
    assert_eq!((first.end - first.start, far.start), (10, first.end));
    let cas = store.set("a", b"").cas;
    assert_eq!(cas, far.end);
    drop(store);
    let store = Store::open(folder.path());
    assert!(reserve(&store, 1).start > cas);
    let too_many = store.engine.reserve_ids(&store.caller.context(), u64::MAX);
    assert_eq!(kind(store.caller.answer(too_many)), ErrorKind::BadArgument);
}

#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let tight = SqliteOptions { pages_max: 40, ..options(folder.path()) };
    let store = Store::open_with(tight, clock());
    store.set("kept", b"v");
    let mut refused = None;
    for number in 0..200 {
        if let Err(error) = store.try_set(&format!("key{number}"), &[1; 4000], Expiry::NEVER) {
            refused = Some((number, error));
            break;
        }
    }
    let (number, error) = refused.expect("40 pages are not enough for 200 items");
    assert_eq!((error.kind(), error.text()), (ErrorKind::Unavailable, "the data disk is full"));
    assert_eq!(store.get(&format!("key{number}")), None, "what was refused is not there");
    assert!(store.engine.ready().is_err());
    // Reads go on, and what was acknowledged is there.
    assert_eq!(store.value("kept").unwrap(), b"v");
    for earlier in 0..number {
        assert!(store.get(&format!("key{earlier}")).is_some(), "key{earlier}");
    }
    assert!(store.stats()["commit_errors"] > 0);
    drop(store);
    let store = Store::open(folder.path());
    for earlier in 0..number {
        assert!(store.get(&format!("key{earlier}")).is_some(), "key{earlier}");
    }
    store.set("more", &[1; 100_000]);
    store.engine.ready().unwrap();
}

#[test]
fn a_removed_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.set("k", b"v");
    std::fs::remove_file(folder.path().join("larder.db")).unwrap();
    while store.engine.ready().is_ok() {
        std::thread::yield_now();
    }
    let error = store.try_set("k", b"lost", Expiry::NEVER).unwrap_err();
    assert_eq!((error.kind(), error.text()), (ErrorKind::Unavailable, "the data file was removed"));
    assert!(store.engine.close().is_err());
}

#[test]
fn a_value_that_does_not_fit_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tight = SqliteOptions { pages_max: 60, ..options(folder.path()) };
    let store = Store::open_with(tight, clock());
    let error = store.try_set("huge", &vec![1; 400_000], Expiry::NEVER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    store.set("small", b"v");
    store.engine.ready().unwrap();
    assert_eq!(store.get("huge"), None);
    assert_eq!(store.value("small").unwrap(), b"v");
}

#[test]
fn the_log_is_copied_and_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let small = SqliteOptions {
        wal_bytes: 200_000,
        wal_bytes_max: 800_000,
        journal_bytes: 100_000,
        ..options(folder.path())
    };
    let store = Store::open_with(small, clock());
    for number in 0..1000 {
        store.set(&format!("key{}", number % 50), &[number as u8; 8000]);
    }
    let stats = store.wait_until(|stats| stats["checkpoint_waits"] > 1);
    assert_eq!(stats["checkpoint_errors"], 0);
    let log = std::fs::metadata(folder.path().join("larder.db-wal")).unwrap().len();
    assert!(log < 4_000_000, "the log has {log} bytes");
}

#[test]
fn at_a_full_queue_commands_wait() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = SqliteOptions {
        queue_bytes: 64 << 10,
        queue_wait: Duration::from_secs(600),
        ..options(folder.path())
    };
    let store = Store::open_with(narrow, clock());
    let context = store.caller.context();
    let ask = |number: usize| {
        let name = format!("key{number}");
        store.engine.delete(&context, larder_engine::Key::new(name.as_bytes()), &Default::default())
    };
    let waiting: Vec<_> = (0..2000).map(ask).collect();
    for reply in waiting {
        assert_eq!(kind(store.caller.answer(reply)), ErrorKind::NotFound);
    }
    assert_eq!((store.stats()["queue_refusals"], store.stats()["queue_without_room"]), (0, 0));
}

#[test]
fn a_full_queue_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = SqliteOptions { queue_bytes: 1, queue_wait: Duration::ZERO, ..options(folder.path()) };
    let store = Store::open_with(narrow, clock());
    let context = store.caller.context();
    let mut waiting = Vec::new();
    let mut refused = 0;
    for number in 0..2000 {
        let name = format!("key{number}");
        let key = larder_engine::Key::new(name.as_bytes());
        match store.engine.delete(&context, key, &Default::default()) {
            larder_engine::Reply::Ready(answer) => {
                assert_eq!(answer.unwrap_err().kind(), ErrorKind::TryAgain);
                refused += 1;
            }
            larder_engine::Reply::Pending(operation) => waiting.push(operation),
        }
    }
    assert!(refused > 0 && !waiting.is_empty());
    for operation in waiting {
        assert_eq!(kind(store.caller.wait(operation)), ErrorKind::NotFound);
    }
    assert_eq!(store.stats()["queue_refusals"], refused);
    assert_eq!(store.get_with("any", Get::plain()), None);
}
