//! Damaged files: answered with an error, never as data or as a miss; found by a check.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::fs;

use larder_engine::kit::World;
use larder_engine::kit::command::{delete, get, increment};
use larder_engine::{Engine, ErrorKind, ScanOrder};
use support::{Store, check, files};

#[test]
fn a_damaged_file_is_an_error_until_it_is_overwritten() {
    let store = Store::open(World::new());
    for key in ["broken", "sound"] {
        store.set(key, b"12345");
    }
    let path = &store.files()["broken"];
    let mut content = fs::read(path).unwrap();
    content[2] ^= 1;
    fs::write(path, content).unwrap();
    assert_eq!(store.refused(get(b"broken")), ErrorKind::Damaged);
    assert_eq!(store.refused(increment(b"broken", 1)), ErrorKind::Damaged);
    assert_eq!(store.refused(delete(b"broken")), ErrorKind::Damaged);
    assert_eq!(store.value("sound").unwrap(), b"12345");
    assert_eq!(store.engine.ready().unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(store.stats()["damaged"], 1);
    assert_eq!(store.scan(ScanOrder::Any, 1000), ["sound"], "a scan goes past it");
    store.set("broken", b"new");
    assert_eq!(store.value("broken").unwrap(), b"new");
    let world = store.close();
    assert!(check(&world).unwrap().is_sound());
}

#[test]
fn a_check_finds_every_kind_of_damage() {
    let store = Store::open(World::new());
    for key in ["changed", "cut", "empty", "moved", "other", "sound"] {
        store.set(key, key.as_bytes());
    }
    let world = store.close();
    let folder = world.machine_folder();
    let files = files(&folder);
    let content = |name: &str| fs::read(&files[name]).unwrap();
    let mut changed = content("changed");
    changed[0] ^= 0x20;
    fs::write(&files["changed"], changed).unwrap();
    fs::write(&files["cut"], &content("cut")[..10]).unwrap();
    fs::write(&files["empty"], b"").unwrap();
    fs::write(&files["other"], content("sound")).unwrap();
    let elsewhere = folder.join("items/00/moved");
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::rename(&files["moved"], &elsewhere).unwrap();
    let report = check(&world).unwrap();
    let finds = |name: &str, what: &str| {
        let is_it = |finding: &&String| finding.contains(name) && finding.contains(what);
        assert!(report.findings.iter().any(|finding| is_it(&finding)), "{name}: {:#?}", report.findings);
    };
    finds("changed", "checksum");
    finds("/cut", "line");
    finds("empty", "line");
    finds("/other", "another key, sound");
    finds("items/00/moved", "belongs into the folder");
    assert_eq!(report.findings.len(), 5);
}

#[test]
fn a_version_that_was_never_given_is_found() {
    let store = Store::open(World::new());
    store.set("k", b"v");
    let world = store.close();
    let folder = world.machine_folder();
    let other = Store::open(World::new());
    let state = fs::read(other.folder().join("state")).unwrap();
    drop(other);
    fs::write(folder.join("state"), state).unwrap();
    assert!(check(&world).unwrap().is_sound(), "a million ids are reserved");
    let path = &files(&folder)["k"];
    let line = fs::read_to_string(path).unwrap();
    let start = line.find("larder-item").unwrap();
    let said = line[start..].rsplit_once(" sum=").unwrap().0.replace("version=1 ", "version=9000000 ");
    let sum = larder_engine::durable::crc32(said.as_bytes());
    let longer = "9000000".len() - 1;
    assert_eq!(said.len(), line[start..].rsplit_once(" sum=").unwrap().0.len() + longer);
    fs::write(path, format!("{}{said} sum={sum:08x}\n", &line[..start])).unwrap();
    let findings = check(&world).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].contains("9000000"), "{findings:?}");
}

#[test]
fn a_removed_folder_is_noticed() {
    let store = Store::open(World::new());
    store.set("k", b"v");
    fs::remove_dir_all(store.folder()).unwrap();
    store.wait_until(|_| store.engine.ready().is_err());
    assert_eq!(store.refused(larder_engine::kit::command::set(b"k", b"v")), ErrorKind::Unavailable);
    store.engine.close().unwrap_err();
}
