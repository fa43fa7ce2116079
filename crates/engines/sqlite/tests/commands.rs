//! Commands, and what of them is found after a stop and after a kill.

mod support;

use larder_engine::{Engine, ErrorKind, Expiry, Get, Mode, Payload, Vivify};
use support::{NOW, Store, kind};

#[test]
fn a_set_item_is_read_before_and_after_folding_and_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let stored = store.set("a", b"one");
    let item = store.get("a").unwrap();
    assert_eq!((item.found.flags, item.found.cas, &item.value.whole()[..]), (7, stored.cas, &b"one"[..]));
    store.wait_until_folded();
    assert_eq!(store.value("a").unwrap(), b"one");
    assert_eq!(store.value("b"), None);
    store.close();
    let store = Store::open(folder.path());
    assert_eq!(store.get("a").unwrap(), item);
}

#[test]
fn what_is_journalled_is_replayed_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let mut cas = 0;
    for number in 0..100 {
        cas = store.set(&format!("key{number}"), number.to_string().as_bytes()).cas;
    }
    store.delete("key50").unwrap();
    drop(store);
    let store = Store::open(folder.path());
    assert_eq!(store.value("key49").unwrap(), b"49");
    assert_eq!(store.value("key50"), None);
    assert_eq!(store.get("key99").unwrap().found.cas, cas);
    assert!(store.set("new", b"").cas > cas + 1, "ids never come back");
}

#[test]
fn conditions_are_decided_on_journal_and_table_alike() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    for folded in [false, true] {
        store.set("n", b"9");
        if folded {
            store.wait_until_folded();
        }
        assert_eq!(store.increment("n").unwrap().value, 10);
        assert_eq!(store.increment("fresh").unwrap().created, !folded);
        let cas = store.get("n").unwrap().found.cas;
        let compare = |compare| {
            let key = larder_engine::Key::new(b"n");
            let mut command = larder_engine::Store::set(key, 0, Expiry::NEVER, Payload::Borrowed(b"x"));
            command.compare = Some(compare);
            store.caller.answer(store.engine.store(&store.caller.context(), command))
        };
        assert_eq!(kind(compare(cas + 1)), ErrorKind::Exists);
        compare(cas).unwrap();
        assert_eq!(kind(store.increment("n")), ErrorKind::NotNumeric);
        let key = larder_engine::Key::new(b"n");
        let mut append = larder_engine::Store::set(key, 0, Expiry::NEVER, Payload::Borrowed(b"yz"));
        append.mode = Mode::Append;
        store.caller.answer(store.engine.store(&store.caller.context(), append)).unwrap();
        assert_eq!(store.value("n").unwrap(), b"xyz");
        store.delete("n").unwrap();
        assert_eq!(kind(store.delete("n")), ErrorKind::NotFound);
        store.wait_until_folded();
    }
}

#[test]
fn expiry_is_exact_and_touch_moves_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    store.try_set("a", b"1", Expiry::at(NOW + 10)).unwrap();
    store.set_time(NOW + 9);
    assert!(store.get("a").is_some());
    let touched = store.touch("a", Expiry::at(NOW + 20)).unwrap();
    assert_eq!(touched.cas, store.get("a").unwrap().found.cas, "a touch leaves the CAS");
    store.wait_until_folded();
    store.set_time(NOW + 19);
    assert!(store.get("a").is_some());
    store.set_time(NOW + 20);
    assert!(store.get("a").is_none());
    assert_eq!(kind(store.touch("a", Expiry::NEVER)), ErrorKind::NotFound);
    let vivify = Get { vivify: Some(Vivify { expiry: Expiry::NEVER, new_cas: None }), ..Get::plain() };
    assert!(store.get_with("a", vivify).unwrap().value.is_empty());
}

#[test]
fn long_values_go_to_the_table_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let long = vec![7; 300_000];
    store.set("a", b"short");
    store.set("a", &long);
    assert_eq!(store.stats()["journal_keys"], 0);
    assert_eq!(store.value("a").unwrap(), long);
    store.touch("a", Expiry::at(NOW + 50)).unwrap();
    assert_eq!(store.value("a").unwrap(), long);
    store.set("b", &long);
    store.set("b", b"short again");
    drop(store);
    let store = Store::open(folder.path());
    assert_eq!(store.value("a").unwrap(), long);
    assert_eq!(store.get("a").unwrap().found.expiry, Expiry::at(NOW + 50));
    assert_eq!(store.value("b").unwrap(), b"short again");
    store.wait_until_folded();
    assert_eq!(store.value("a").unwrap(), long);
    assert_eq!(store.engine_items(), 2);
}
