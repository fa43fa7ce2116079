//! Starts that must be refused: the message names the offender and says what to do, and nothing is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Client, Launch};

/// The user `nobody` of every Linux.
const NOBODY: u32 = 65534;

/// Where SQLite's header keeps the number that programs use for their format's version.
const USER_VERSION_AT: usize = 60;

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// Every file of a folder with its content, but for the lock.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (name(&path), fs::read(&path).unwrap()))
        .collect()
}

/// A data folder with some items, cleanly closed.
fn make_store(folder: &Path) {
    let server = Launch::new("sqlite", folder).start();
    let mut client = server.connect();
    for number in 0..200 {
        client.set(&format!("key:{number}"), &"v".repeat(300));
    }
    server.stop_cleanly();
}

/// Starts on the folder are refused with these words, and leave it as it is.
fn assert_refused_and_untouched(folder: &Path, words: &[&str]) {
    let before = content(folder);
    for stack in ["sqlite", "ram > sqlite", "ram > sqlite(write=behind)"] {
        assert_says(&Launch::new(stack, folder).refusal(), words);
        assert!(content(folder) == before, "the folder was touched: {:?}", content(folder).keys());
    }
}

#[test]
fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let launch = Launch::bare().args(["-l", &address]).arg("--data").arg(&folder);
    assert_says(&launch.refusal(), &[&address, "in use", "-p"]);
    assert!(!folder.exists(), "nothing is created before the addresses are known to be free");
}

#[test]
fn a_taken_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let launch = Launch::bare().args(["--store", "ram", "-s"]).arg(&socket);
    let server = launch.start();
    let said = launch.refusal();
    assert_says(&said, &["socket", "in use", "-s PATH"]);
    assert!(!said.contains("-p"), "a path is no port: {said}");
    Client::unix(&socket).set("still", "served");
    server.stop_cleanly();
    fs::write(&socket, "a file").unwrap();
    assert_says(&launch.refusal(), &["socket"]);
    assert_eq!(fs::read(&socket).unwrap(), b"a file");
}

#[test]
fn a_unix_socket_in_a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("absent/socket");
    let said = Launch::bare().args(["--store", "ram", "-s"]).arg(&socket).refusal();
    let absent = format!("the folder {} does not exist", folder.path().join("absent").display());
    assert_says(&said, &[&absent, "-s PATH"]);
}

#[test]
fn a_taken_port_of_metrics() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let said = Launch::new("ram > sqlite", &folder).args(["--metrics", &address]).refusal();
    assert_says(&said, &["metrics", &address, "in use", "stop it", "--metrics"]);
    assert!(!folder.exists(), "nothing is created before the addresses are known to be free");
}

#[test]
fn an_address_that_is_not_ours() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::bare().args(["--store", "ram", "-l", "192.0.2.1:11211"]);
    assert_says(&launch.inside(data.path()).refusal(), &["192.0.2.1:11211"]);
}

#[test]
fn a_file_in_place_of_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("data");
    fs::write(&file, "somebody's").unwrap();
    let said = Launch::new("ram > sqlite", &file).refusal();
    assert_says(&said, &[&file.display().to_string(), "--data"]);
    assert_eq!(fs::read(&file).unwrap(), b"somebody's");
}

#[test]
fn a_folder_that_may_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody must be able to reach the program and the folder, but not to write there.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("larder");
    fs::copy(env!("CARGO_BIN_EXE_larder"), &program).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    let launch =
        Launch::of(&program).args(["-l", "127.0.0.1:0", "--store", "ram > sqlite"]).arg("--data").arg(&data);
    let is_root = fs::write(data.join("probe"), "").is_ok();
    if is_root {
        fs::remove_file(data.join("probe")).unwrap();
    }
    let launch = if is_root { launch.user(NOBODY) } else { launch };
    let said = launch.refusal();
    assert_says(&said, &[&data.display().to_string(), "denied", "--data"]);
    assert_eq!(said.matches("denied").count(), 1, "said once: {said}");
    assert!(content(&data).is_empty());
}

#[test]
fn a_file_that_is_no_database() {
    let data = tempfile::tempdir().unwrap();
    fs::write(
        data.path().join("larder.db"),
        "These are my notes, which happen to be called larder.db. ".repeat(100),
    )
    .unwrap();
    assert_refused_and_untouched(data.path(), &["larder.db", "left as it is"]);
    assert!(!data.path().join("larder.lock").exists(), "not even a lock file is made");
}

#[test]
fn the_database_of_another_program() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("larder.db");
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign.execute_batch("CREATE TABLE recipes(name TEXT); INSERT INTO recipes VALUES('soup');").unwrap();
    foreign.close().unwrap();
    assert_refused_and_untouched(data.path(), &["larder.db", "left as it is"]);
}

#[test]
fn the_database_of_a_newer_larder() {
    let data = tempfile::tempdir().unwrap();
    make_store(data.path());
    let file = data.path().join("larder.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[USER_VERSION_AT..USER_VERSION_AT + 4].copy_from_slice(&9999u32.to_be_bytes());
    fs::write(&file, bytes).unwrap();
    assert_refused_and_untouched(data.path(), &["larder.db", "newer", "9999"]);
}

#[test]
fn a_damaged_database() {
    let data = tempfile::tempdir().unwrap();
    make_store(data.path());
    let file = data.path().join("larder.db");
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    fs::write(&file, torn).unwrap();
    assert_refused_and_untouched(data.path(), &["larder.db", "damaged"]);
    let mut scribbled = whole;
    scribbled[100..4096].fill(0x5a);
    fs::write(&file, scribbled).unwrap();
    assert_refused_and_untouched(data.path(), &["larder.db", "damaged"]);
}

#[test]
fn a_folder_that_another_larder_has() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("ram > sqlite", data.path()).start();
    let mut client = server.connect();
    client.set("a", "1");
    let names = || -> BTreeSet<_> {
        fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    for stack in ["sqlite", "ram > sqlite", "sqlite(other.db)", "file(other)"] {
        let said = Launch::new(stack, data.path()).refusal();
        assert_says(&said, &[&data.path().display().to_string(), "another larder", "--data"]);
        assert_eq!(names(), before, "a store of the refused server's own was made");
    }
    assert_eq!(client.get("a").as_deref(), Some("1"));
    client.set("b", "2");
    server.kill();
    // The lock goes with the process, not with the file.
    let server = Launch::new("sqlite", data.path()).start();
    assert_eq!(server.connect().get("b").as_deref(), Some("2"));
}

#[test]
fn options_without_meaning() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["-c", "0"][..], &["--conn-limit", "0"][..]),
        (&["-t", "0"], &["--threads", "0"]),
        (&["-R", "0"], &["--max-reqs-per-event", "0"]),
        (&["-I", "100"], &["--max-item-size", "100"]),
        (&["-I", "2g"], &["--max-item-size", "2g"]),
        (&["-m", "1", "--store", "ram"], &["--memory-limit"]),
        (&["-p", "70000"], &["--port", "70000"]),
        (&["--store", "ram > tape"], &["tape"]),
        (&["--store", "sqlite > ram"], &["sqlite"]),
        (&["--store", "ram(64 MiB) > sqlite"], &["64MiB"]),
        (&["--config", "absent.toml"], &["absent.toml"]),
        (&["--no-such-option"], &["--no-such-option"]),
    ] {
        let said = Launch::bare().args(arguments).inside(folder.path()).refusal();
        assert_says(&said, words);
    }
    assert!(content(folder.path()).is_empty(), "nothing is created");
}
