//! Pages of the file that are no longer what was written: refused at the start, or told while serving.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::fs;
use std::path::Path;

use larder_engine::{Engine, ErrorKind, Get};
use larder_sqlite::{OpenError, SqliteEngine};
use rusqlite::Connection;
use support::{Store, clock, kind, options, services};

const PAGE_BYTES: usize = 4096;
/// First byte of a page at the edge of a table like `items`.
const LEAF: u8 = 10;

/// A stopped store of 2000 items.
fn make_store(folder: &Path) {
    let store = Store::open(folder);
    for number in 0..2000 {
        store.set(&format!("key{number}"), &[1; 100]);
    }
    store.close();
}

/// The page at which each table begins, counted from 1.
fn roots(path: &Path) -> Vec<(String, usize)> {
    let connection = Connection::open(path).unwrap();
    let mut select =
        connection.prepare("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Overwrites the pages at the edge of the table that hold this key.
fn damage_page_of(path: &Path, key: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let mut count = 0;
    for page in bytes.chunks_mut(PAGE_BYTES).skip(1) {
        if page[0] == LEAF && page.windows(key.len()).any(|window| window == key) {
            page.fill(0x5A);
            count += 1;
        }
    }
    assert!(count > 0, "the key is at the edge of the table");
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_root_of_any_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    make_store(folder.path());
    let path = folder.path().join("larder.db");
    let roots = roots(&path);
    assert_eq!(roots.len(), 5, "{roots:?}");
    let sound = fs::read(&path).unwrap();
    for (table, page) in roots {
        let mut broken = sound.clone();
        broken[(page - 1) * PAGE_BYTES..page * PAGE_BYTES].fill(0xA5);
        fs::write(&path, &broken).unwrap();
        let error = match SqliteEngine::open(services(&clock()), options(folder.path())) {
            Ok(_) => panic!("opened with a damaged {table}"),
            Err(error) => error,
        };
        assert!(matches!(error, OpenError::Damaged { .. }), "{table}: {error}");
        assert!(error.to_string().contains("larder check"), "{table}: {error}");
        assert_eq!(fs::read(&path).unwrap(), broken, "{table}: it was touched");
    }
}

#[test]
fn damage_met_while_serving_is_told_and_never_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    make_store(folder.path());
    damage_page_of(&folder.path().join("larder.db"), b"key1500");
    let store = Store::open(folder.path());
    store.engine.ready().unwrap();
    assert_eq!(store.stats()["damaged"], 0);
    assert_eq!(kind(store.try_get("key1500", Get::plain())), ErrorKind::Damaged);
    assert_eq!(kind(store.increment("key1500")), ErrorKind::Damaged);
    let error = store.engine.ready().unwrap_err();
    assert!(error.text().contains("damaged"), "{error}");
    assert_eq!(store.stats()["damaged"], 1);
    // What is not on the page is served, and so are writes; the mark stays.
    assert_eq!(store.value("key0").unwrap(), [1; 100]);
    store.set("zzz", b"v");
    assert_eq!(store.value("zzz").unwrap(), b"v");
    store.engine.ready().unwrap_err();
    store.close();
}

#[test]
fn a_table_that_has_gone_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    make_store(folder.path());
    let path = folder.path().join("larder.db");
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE items RENAME TO other").unwrap();
    let error = SqliteEngine::open(services(&clock()), options(folder.path())).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("items") && text.contains("larder check"), "{text}");
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE other RENAME TO items").unwrap();
    let store = Store::open(folder.path());
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE items RENAME TO other").unwrap();
    assert_eq!(kind(store.try_get("key1", Get::plain())), ErrorKind::Damaged);
    assert_eq!(store.stats()["damaged"], 1);
}
