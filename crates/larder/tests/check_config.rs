//! The program as an operator meets it: `check-config`, `--help`, `--version`.

use std::path::Path;
use std::process::{Command, Output};

fn larder(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("larder prints text")
}

#[test]
fn a_good_file_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("larder.toml"), "threads = 3\n").expect("writes");
    let output = larder(&["check-config", "larder.toml"], folder.path());
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("threads           3"), "{output:?}");
    assert!(text(&output.stdout).contains("acknowledged after fsync"), "{output:?}");
    assert!(output.stderr.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 1, "checking creates nothing");
}

#[test]
fn mistakes_go_to_standard_error_and_the_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("larder.toml"), "thread = 3\nmemory = \"big\"\n").expect("writes");
    let output = larder(&["check-config", "larder.toml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        text(&output.stderr),
        "larder.toml:1:1: unknown key `thread`; write `threads`\n  1 | thread = 3\n    | ^^^^^^\n\
         larder.toml:2:11: `big` is no size; write a whole number and KiB, MiB or GiB, as in 64MiB\n  \
         2 | memory = \"big\"\n    |           ^^^\n"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = larder(&["check-config", "absent.toml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("absent.toml: cannot read this configuration file: "),
        "{output:?}"
    );
}

#[test]
fn a_file_without_end_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = larder(&["check-config", "/dev/zero"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "/dev/zero: longer than 1048576 bytes; name a configuration file\n");
}

#[test]
fn help_and_version_succeed() {
    let folder = tempfile::tempdir().expect("a folder");
    for flag in ["-h", "--help"] {
        let output = larder(&[flag], folder.path());
        assert!(output.status.success());
        let help = text(&output.stdout);
        for word in ["--store", "unix-socket", "check-config", "ram > sqlite", "[default: 1024]"] {
            assert!(help.contains(word), "{word} is missing in {flag}");
        }
    }
    for flag in ["-V", "--version"] {
        let output = larder(&[flag], folder.path());
        assert_eq!(text(&output.stdout), format!("larder {}\n", env!("CARGO_PKG_VERSION")));
    }
}
