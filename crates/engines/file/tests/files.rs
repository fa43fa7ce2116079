//! What a store looks like from outside; what is opened, what is refused, and that what is refused is left alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use std::fs;
use std::process::Command;

use larder_engine::kit::World;
use larder_engine::kit::command::set;
use larder_file::OpenError;
use support::{Store, check, files, picture, refusal};

#[test]
fn ordinary_tools_read_a_store() {
    let store = Store::open(World::new());
    store.run(set(b"user:1", b"hello").flags(7));
    let path = &store.files()["user%3a1"];
    // Where the documentation says: by the CRC-32 that `gzip` and Python's zlib compute too.
    assert!(path.ends_with("items/82/user%3a1"), "{path:?}");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).arg(path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("head", &["-n", "-1"]), "hello\n");
    assert_eq!(run("head", &["-c", "5"]), "hello");
    let line = run("tail", &["-n", "1"]);
    assert!(line.starts_with("larder-item 1 bytes=5 crc=3610a686 flags=7 expires=0 "), "{line}");
    assert!(line.contains(" key=user%3a1 sum="), "{line}");
}

#[test]
fn names_differ_where_case_does_not_count() {
    let store = Store::open(World::new());
    let long = "X".repeat(240);
    let keys = ["key", "Key", "KEY", "kEy", ".", "..", "a/b", "con.", &long, &long.to_lowercase()];
    for key in keys {
        store.set(key, key.as_bytes());
    }
    let names: std::collections::BTreeSet<_> =
        store.files().into_keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(names.len(), keys.len(), "{names:?}");
    let world = store.close();
    let store = Store::open(world);
    for key in keys {
        assert_eq!(store.value(key).unwrap(), key.as_bytes());
    }
    let mut scanned = store.scan(larder_engine::ScanOrder::Any, 10);
    scanned.sort();
    let mut expected = keys.map(str::to_owned);
    expected.sort();
    assert_eq!(scanned, expected);
}

#[test]
fn a_second_opening_is_refused() {
    let store = Store::open(World::new());
    let error = refusal(&store.world);
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(store.folder().to_str().unwrap()), "{error}");
    assert!(matches!(check(&store.world), Err(OpenError::Locked { .. })));
}

/// Opening and checking refuse the folder, and leave it as it is.
fn leaves_alone(world: &World) -> OpenError {
    let folder = world.machine_folder();
    let before = picture(&folder);
    let error = refusal(world);
    drop(check(world));
    assert_eq!(picture(&folder), before, "{error}");
    error
}

#[test]
fn foreign_folders_are_left_alone() {
    let world = World::new();
    let folder = world.machine_folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("diary"), b"dear diary").unwrap();
    let error = leaves_alone(&world);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("`diary`"), "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "not even a lock file is made");
    fs::rename(folder.join("diary"), folder.join("FORMAT")).unwrap();
    let error = leaves_alone(&world);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    fs::write(folder.join("FORMAT"), "larder file store, format 99\n").unwrap();
    let error = leaves_alone(&world);
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_store_that_lost_a_part_is_left_alone() {
    let store = Store::open(World::new());
    store.set("k", b"v");
    let world = store.close();
    let folder = world.machine_folder();
    let moved = folder.with_extension("moved");
    for (name, word) in [("FORMAT", "FORMAT"), ("state", "state")] {
        fs::rename(folder.join(name), &moved).unwrap();
        let error = leaves_alone(&world).to_string();
        assert!(error.contains(word), "{error}");
        fs::rename(&moved, folder.join(name)).unwrap();
    }
    let sound = fs::read(folder.join("state")).unwrap();
    fs::write(folder.join("state"), &sound[..sound.len() / 2]).unwrap();
    let error = leaves_alone(&world);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(check(&world).unwrap().findings.len(), 1);
    fs::write(folder.join("state"), sound).unwrap();
    assert_eq!(Store::open(world).value("k").unwrap(), b"v");
}

#[test]
fn a_half_made_store_is_made_anew() {
    let world = World::new();
    let folder = world.machine_folder();
    fs::create_dir_all(folder.join("temporary")).unwrap();
    fs::create_dir_all(folder.join("items")).unwrap();
    fs::write(folder.join("temporary/0.new"), b"larder-st").unwrap();
    let store = Store::open(world);
    store.set("k", b"v");
    let world = store.close();
    assert!(check(&world).unwrap().is_sound());
}

#[test]
fn half_written_files_go_and_unknown_ones_stay() {
    let store = Store::open(World::new());
    store.set("k", b"v");
    let world = store.abandon();
    let folder = world.machine_folder();
    let shard = files(&folder)["k"].parent().unwrap().to_owned();
    let unknown = [
        folder.join("README"),
        folder.join("items/notes"),
        folder.join("temporary/mine"),
        shard.join(".DS_Store"),
        shard.join("K"),
    ];
    unknown.iter().for_each(|path| fs::write(path, b"mine").unwrap());
    fs::write(folder.join("temporary/2a.new"), b"half wri").unwrap();
    let report = check(&world).unwrap();
    assert!(report.is_sound() && !report.stopped_cleanly, "{report:?}");
    assert_eq!((report.items, report.value_bytes, report.temporary), (1, 1, 1));
    let mut named = report.unknown.clone();
    named.sort();
    let mut expected = unknown.to_vec();
    expected.sort();
    assert_eq!(named, expected);
    let store = Store::open(world);
    assert_eq!(store.scan(larder_engine::ScanOrder::Any, 1000), ["k"]);
    assert!(!folder.join("temporary/2a.new").exists());
    // The folder goes with it.
    let _world = store.close();
    for path in unknown {
        assert_eq!(fs::read(&path).unwrap(), b"mine", "{path:?}");
    }
}

#[test]
fn a_folder_that_is_a_file_is_named() {
    let world = World::new();
    let folder = world.machine_folder();
    fs::write(&folder, b"").unwrap();
    let text = refusal(&world).to_string();
    assert!(text.contains(folder.to_str().unwrap()), "{text}");
}

/// A folder as the first version wrote it.
#[test]
fn a_folder_of_format_1_is_read() {
    let world = World::new();
    let folder = world.machine_folder();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1");
    let copied = Command::new("cp").args(["-r", fixture]).arg(&folder).status().unwrap();
    assert!(copied.success());
    // A folder without a file is not kept with the sources.
    fs::create_dir_all(folder.join("temporary")).unwrap();
    assert_eq!(check(&world).unwrap().findings, [""; 0]);
    let store = Store::open(world);
    assert_eq!(store.value("user:1").unwrap(), b"hello");
    assert_eq!(store.value("flushed:1"), None);
    assert_eq!(store.scan(larder_engine::ScanOrder::Newest, 1), ["user:1", &"Long".repeat(60)]);
    assert!(store.set("new", b"v") > 1_000_000, "above all ids of the old process");
    store.close();
}
