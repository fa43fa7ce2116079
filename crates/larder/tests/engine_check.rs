//! `larder engine-check` as the author of an engine meets it.

#[path = "../../engines/module/tests/support/build.rs"]
mod build;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn engine_check(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_larder"))
        .arg("engine-check")
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("larder prints text")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("reads").next().is_none()
}

/// The store holds all it is asked for; nothing is left behind.
fn must_hold(arguments: &[&str], words: &[&str]) {
    let folder = folder();
    let output = engine_check(arguments, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stdout), text(&output.stderr));
    for word in words {
        assert!(text(&output.stdout).contains(word), "{word}: {}", text(&output.stdout));
    }
    assert!(is_empty(folder.path()), "the check leaves nothing behind");
}

#[test]
fn ram_holds_everything_it_promises() {
    must_hold(
        &["ram"],
        &[
            "acknowledges at level ram: its items go with the process",
            "holds  with n seconds left an item is there until second n - 1 and gone at second n\n",
            "[methods_do_not_block, ",
            "\nall 36 checks hold\n",
        ],
    );
}

#[test]
fn a_durable_stack_holds_through_stops_and_kills() {
    must_hold(
        &["ram(2MiB) > sqlite", "--only", "the_process", "--only", "not_block"],
        &["acknowledges at level local", "[a_kill_of_the_process_", "8 processes", "\nall 3 checks hold\n"],
    );
}

#[test]
fn a_stack_written_behind_holds_through_stops() {
    must_hold(
        &["ram > sqlite(write=behind)", "--only", "a_stop", "--only", "expire", "--only", "kill"],
        &["level queued: its items outlive a clean stop", "[a_stop_of_the_process_", "\nall 4 checks hold\n"],
    );
}

#[test]
fn a_module_is_judged_by_what_its_interface_has_words_for() {
    if !build::has_compiler() {
        return;
    }
    let module = format!("module('{}')", build::module("hash.c", &[]).display());
    must_hold(
        &[&module],
        &[
            "engine `module`, acknowledges at level ram",
            "left out, because the interface of modules has no words for what they ask: chosen_cas_ids_are_kept, ",
            "[concurrent_locks_exclude, ",
            "\nall 25 checks hold\n",
        ],
    );
    let cached = format!("ram > {module}");
    must_hold(&[&cached], &["\nall 25 checks hold\n"]);
}

#[test]
fn a_module_that_crashes_is_told() {
    if !build::has_compiler() {
        return;
    }
    let folder = folder();
    let module = format!("module('{}')", build::module("broken.c", &["-DINITIALIZE_CRASH"]).display());
    let output = engine_check(&[&module], folder.path());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("it crashed in initialize"), "{}", text(&output.stderr));
    assert!(is_empty(folder.path()), "the check leaves nothing behind");
}

#[test]
fn what_does_not_hold_is_told_with_its_diagnosis() {
    let folder = folder();
    let arguments =
        ["ram", "--survives", "kill", "--only", "stop", "--only", "kill", "--only", "deletes_delete"];
    let output = engine_check(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stdout);
    for word in [
        "holds  a delete removes the item, once, and no other",
        "FAILS  what a process leaves that ends cleanly, the next process finds as it was",
        "FAILS  what was acknowledged to clients of a process that is killed",
        "diagnosis: what was there before a clean stop is not as it was",
        "diagnosis: what was acknowledged did not survive a crash",
        "the commands on \"",
        "rule:      docs/write-an-engine.md#levels",
        "checks fail: a_clean_stop_keeps_everything, ",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(is_empty(folder.path()), "the check leaves nothing behind");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let folder = folder();
    std::fs::write(folder.path().join("precious.db"), "data").expect("writes");
    for (arguments, words) in [
        (&["rum"][..], "unknown engine `rum`"),
        (&["sqlite(../precious.db)"], "leads out of the data folder"),
        (&["sqlite('./precious.db')"], "./precious.db exists, and a check must not touch what is there"),
        (&["ram", "--only", "nothing of the kind"], "no check is left"),
        (&["ram", "--scratch", "absent"], "absent: name a folder that exists with --scratch"),
        (&[], "required"),
        (&["ram", "--survives", "fire"], "invalid value"),
    ] {
        let output = engine_check(arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
    assert_eq!(std::fs::read(folder.path().join("precious.db")).expect("reads"), b"data");
}

#[test]
fn the_scratch_folder_stays_if_it_is_to_be_kept() {
    let folder = folder();
    let output = engine_check(&["sqlite", "--keep", "--only", "a_stop_of"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!is_empty(folder.path()));
}

#[test]
fn whoever_interrupts_it_is_not_kept_waiting() {
    let folder = folder();
    let mut process = Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(["engine-check", "sqlite"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut output = BufReader::new(process.stdout.take().expect("it was asked for")).lines();
    let begun = output.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("holds")));
    begun.expect("a check has ended").expect("reads");
    let killed = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(process.wait().expect("it ends").code(), Some(128 + 15));
}

#[test]
fn every_check_is_listed_and_help_teaches() {
    let folder = folder();
    let list = engine_check(&["--list"], folder.path());
    assert!(list.status.success());
    assert!(
        text(&list.stdout)
            .contains("methods_do_not_block\n    no method puts its worker's thread to sleep\n")
    );
    assert!(text(&list.stdout).contains("(where items outlive a kill)"));
    let help = engine_check(&["--help"], folder.path());
    assert!(help.status.success());
    for word in ["your data is not touched", "{scratch}", "Exit status: 0", "larder engine-check ram"] {
        assert!(text(&help.stdout).contains(word), "{word}: {}", text(&help.stdout));
    }
    assert!(!text(&help.stdout).contains("--part"));
}
