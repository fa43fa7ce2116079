//! Programs from outside: where they are, and whether this run leaves them out.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Whether tests that need programs from outside are left out; they then return at once.
pub fn is_left_out() -> bool {
    let is_quick = std::env::var_os("LARDER_TEST_QUICK").is_some_and(|value| value == "1");
    if is_quick {
        eprintln!("left out: LARDER_TEST_QUICK is set");
    }
    is_quick
}

fn services() -> PathBuf {
    match std::env::var_os("LARDER_SERVICES") {
        Some(folder) => folder.into(),
        None => panic!("LARDER_SERVICES does not name the folder of the clients: run `cargo xtask test`"),
    }
}

/// Python with the client libraries.
pub fn python() -> Command {
    Command::new(services().join("python/bin/python"))
}

/// The source package of a Python client, by the name of its file, with the tests of the client itself.
pub fn suite(name: &str) -> PathBuf {
    services().join("suites").join(name)
}

/// Node with the client libraries.
pub fn node() -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", services().join("node/node_modules"));
    node
}

/// A file beside the tests.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// Runs a program that must succeed; what it says.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `cargo xtask services install` installs what tests need")
    });
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}{}", String::from_utf8_lossy(&stderr));
    said
}
