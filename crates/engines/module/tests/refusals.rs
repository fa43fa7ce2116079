//! What is no engine, or none that can be used, is refused with one line that names it and says why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use larder_engine::kit::World;
use larder_engine::{Engine, Services};
use larder_module::{ModuleEngine, ModuleOptions, Profile};
use support::{Visit, has_compiler, module, open};

/// The line with which `broken.c`, built so, is refused.
fn refusal(define: &str) -> String {
    let error = open(&World::new(), &module("broken.c", &[&format!("-D{define}")]), None).err();
    let line = error.unwrap_or_else(|| panic!("{define}: it was taken")).to_string();
    assert!(line.starts_with("module ") && !line.contains('\n'), "{line:?}");
    line
}

#[test]
fn what_create_instance_gives_is_looked_at() {
    if !has_compiler() {
        return;
    }
    let cases = [
        ("NO_ENTRY", "it has no function create_instance"),
        ("REFUSES", "create_instance failed with 0x06: not supported"),
        ("NULL_HANDLE", "create_instance says success, but gives no handle"),
        ("WRONG_INTERFACE", "its interface has the number 2, but this server speaks 1"),
        ("MISSING_REQUIRED", "the slot `store` of its table is empty"),
        ("GARBAGE_REQUIRED", "the slot `get` of its table does not point into the module's own code"),
        ("INITIALIZE_FAILS", "initialize failed with 0x03: out of memory; it was given no configuration"),
        ("UNDEFINED_SYMBOL", "undefined symbol: a_function_that_nobody_has"),
    ];
    for (define, words) in cases {
        let line = refusal(define);
        assert!(line.contains(words), "{define}: {line}");
    }
}

#[test]
fn a_file_that_is_no_library_is_told_as_what_it_is() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let refuse = |path: &Path| match ModuleEngine::open(&Services::system(), &ModuleOptions::new(path)) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error.to_string(),
    };
    let missing = folder.path().join("missing.so");
    assert!(refuse(&missing).contains("it cannot be read: No such file"), "{}", refuse(&missing));
    let text = folder.path().join("text.so");
    std::fs::write(&text, "this is not a library, whatever its name says").unwrap();
    assert!(refuse(&text).ends_with("it is not a shared library"), "{}", refuse(&text));
    let empty = folder.path().join("empty.so");
    std::fs::write(&empty, "").unwrap();
    assert!(refuse(&empty).ends_with("it is not a shared library"), "{}", refuse(&empty));
    let mut bytes = std::fs::read(module("hash.c", &[])).unwrap();
    // The machine's number in the head of the file.
    bytes[18] ^= 0xb7;
    let foreign = folder.path().join("foreign.so");
    std::fs::write(&foreign, &bytes).unwrap();
    assert!(refuse(&foreign).contains("it was built for another machine"), "{}", refuse(&foreign));
    let cut = folder.path().join("cut.so");
    bytes[18] ^= 0xb7;
    std::fs::write(&cut, &bytes[..2000]).unwrap();
    assert!(refuse(&cut).contains("it is cut off: it has 2000 of its"), "{}", refuse(&cut));
    assert!(refuse(folder.path()).contains("it cannot be read"), "{}", refuse(folder.path()));
}

#[test]
fn garbage_in_optional_slots_is_taken_as_nothing() {
    if !has_compiler() {
        return;
    }
    for define in ["-DGARBAGE_OPTIONAL", "-DFOREIGN_OPTIONAL"] {
        let visit = Visit::new(&module("broken.c", &[define]), None);
        use larder_engine::kit::command::{increment, set};
        visit.run(set(b"n", b"9"));
        let outcome = visit.run(increment(b"n", 1));
        assert!(
            matches!(&outcome, larder_engine::kit::Outcome::Number(number) if number.value == 10),
            "{outcome}"
        );
        visit.end();
    }
}

#[test]
fn the_check_of_slots_can_be_switched_off() {
    if !has_compiler() {
        return;
    }
    let copy = support::Copy::of(&module("broken.c", &["-DFOREIGN_OPTIONAL"]));
    let options = ModuleOptions { checks_slots: false, ..support::options(&copy.0, None) };
    let engine = ModuleEngine::open(&World::new().services(), &options).unwrap();
    engine.close().unwrap();
}

#[test]
fn odd_descriptions_do_no_harm() {
    if !has_compiler() {
        return;
    }
    for define in ["-DNULL_INFO", "-DNULL_DESCRIPTION", "-DDANGLING_DESCRIPTION", "-DMANY_FEATURES"] {
        let visit = Visit::new(&module("broken.c", &[define]), None);
        assert!(visit.engine.description().chars().count() <= 256, "{define}");
        visit.end();
    }
}

#[test]
fn a_library_has_one_engine_at_a_time() {
    if !has_compiler() {
        return;
    }
    let world = World::new();
    let copy = support::Copy::of(&module("hash.c", &[]));
    let options = support::options(&copy.0, None);
    let engine = ModuleEngine::open(&world.services(), &options).unwrap();
    let again = ModuleEngine::open(&world.services(), &options).err().unwrap().to_string();
    assert!(again.contains("it is in use already"), "{again}");
    engine.close().unwrap();
    ModuleEngine::open(&world.services(), &options).unwrap().close().unwrap();
}

#[test]
fn profiles_have_names() {
    for name in Profile::NAMES {
        assert_eq!(Profile::named(name).unwrap().name(), *name);
    }
    assert_eq!(Profile::named("2011"), None);
}
