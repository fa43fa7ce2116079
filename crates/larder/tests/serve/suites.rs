//! The test suites of real clients, whole, as their source packages hold them.
//!
//! Suites take memcached's ports for granted, so each gets a loopback address of its own to have them on.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::support::outside;
use crate::support::wait::until;
use crate::support::{Launch, Server};

/// A client's suite, at the pinned version, and what comes of it.
struct Suite {
    /// The folder of its source package.
    name: &'static str,
    /// Where its tests are.
    tests: &'static [&'static str],
    passed: usize,
    /// Tests that skip themselves, whichever server they meet.
    skipped: usize,
    /// Tests that cannot pass, and why: on memcached they fail as well, which is checked.
    left_out: &'static [(&'static str, &'static str)],
    /// What runs it, given where its server is.
    pytest: fn(&Place) -> Command,
}

const PYMEMCACHE: Suite = Suite {
    name: "pymemcache",
    tests: &["pymemcache/test"],
    passed: 712,
    // Of TLS, by a decision of the suite.
    skipped: 6,
    left_out: &[
        ("pymemcache/test/test_benchmark.py::test_bench_delete[pylibmc]", NEXT_OF_DICT),
        ("pymemcache/test/test_benchmark.py::test_bench_delete[memcache]", NEXT_OF_DICT),
        ("pymemcache/test/test_benchmark.py::test_bench_delete[pymemcache]", NEXT_OF_DICT),
    ],
    pytest: pymemcache,
};

const NEXT_OF_DICT: &str =
    "it calls `next` of a dictionary, which no Python 3 can, before it talks to a server";

const PYLIBMC: Suite = Suite {
    name: "pylibmc",
    tests: &["tests", "src"],
    passed: 46,
    skipped: 0,
    left_out: &[],
    pytest: pylibmc,
};

const PYTHON_BINARY_MEMCACHED: Suite = Suite {
    name: "python_binary_memcached",
    tests: &["test"],
    passed: 299,
    skipped: 0,
    left_out: &[],
    pytest: python_binary_memcached,
};

const RAM: &str = "ram";
const SMALL_RAM_OVER_SQLITE: &str = "ram(64KiB) > sqlite";

/// memcached's port.
const PORT: u16 = 11211;

/// Another one that python-binary-memcached's suite takes for granted.
const OTHER_PORT: u16 = 5000;

/// What python-binary-memcached's suite is let in with.
const USER: &str = "ann";
const PASSWORD: &str = "open-Sesame-1";

#[test]
fn pymemcache_passes_on_ram() {
    passes_on_one_server(&PYMEMCACHE, RAM);
}

#[test]
fn pymemcache_passes_on_small_ram_over_sqlite() {
    passes_on_one_server(&PYMEMCACHE, SMALL_RAM_OVER_SQLITE);
}

#[test]
fn pylibmc_passes_on_ram() {
    passes_on_one_server(&PYLIBMC, RAM);
}

#[test]
fn pylibmc_passes_on_small_ram_over_sqlite() {
    passes_on_one_server(&PYLIBMC, SMALL_RAM_OVER_SQLITE);
}

#[test]
fn python_binary_memcached_passes_on_ram() {
    python_binary_memcached_passes(RAM);
}

#[test]
fn python_binary_memcached_passes_on_small_ram_over_sqlite_behind() {
    // It deletes 65,000 items one by one, which takes a minute where each is to survive a power cut. However busy the
    // machine is, the store is not too far behind.
    python_binary_memcached_passes("ram(64KiB) > sqlite(write=behind, dirty_age=10m)");
}

fn python_binary_memcached_passes(store: &str) {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let passwords = place.path("users");
    fs::write(&passwords, format!("{USER}:{PASSWORD}\n")).unwrap();
    let passwords = format!("sasl_pwdb={}", passwords.display());
    let servers = [
        place.larder(store, &["-l", &place.at(PORT)]),
        place.larder(store, &["-l", &place.at(OTHER_PORT)]),
        place.larder(store, &["-s", &place.socket()]),
        place.larder(store, &["-l", "[::1]:0"]),
        place.larder(store, &["-l", "127.0.0.1:0", "-S", "-o", &passwords]),
    ];
    let [.., ipv6, sasl] = &servers;
    let mut pytest = (PYTHON_BINARY_MEMCACHED.pytest)(&place);
    for (name, server) in [("SUITE_IPV6_PORT", ipv6), ("SUITE_SASL_PORT", sasl)] {
        pytest.env(name, server.address().port().to_string());
    }
    pytest.env("PATH", place.path_with_memcached());
    passes(&PYTHON_BINARY_MEMCACHED, pytest);
    for server in servers {
        server.stop_cleanly();
    }
}

#[test]
fn what_is_left_out_fails_on_memcached_too() {
    if outside::is_left_out() {
        return;
    }
    for suite in [PYMEMCACHE, PYLIBMC, PYTHON_BINARY_MEMCACHED] {
        if suite.left_out.is_empty() {
            continue;
        }
        let place = Place::new();
        let server = place.memcached();
        let mut pytest = (suite.pytest)(&place);
        let output = pytest.args(suite.left_out.iter().map(|(test, _)| test)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let counted = ["failed", "passed", "skipped"].map(|outcome| count(&said, outcome));
        assert_eq!(counted, [suite.left_out.len(), 0, 0], "{said}");
        server.kill();
    }
}

fn passes_on_one_server(suite: &Suite, store: &str) {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let server = place.larder(store, &["-l", &place.at(PORT)]);
    passes(suite, (suite.pytest)(&place));
    server.stop_cleanly();
}

/// Runs the whole suite: all must pass, and as many as are known.
fn passes(suite: &Suite, mut pytest: Command) {
    pytest.args(suite.tests);
    for (test, _) in suite.left_out {
        pytest.args(["--deselect", test]);
    }
    let said = outside::run(&mut pytest);
    let counted = ["passed", "skipped", "deselected"].map(|outcome| count(&said, outcome));
    assert_eq!(counted, [suite.passed, suite.skipped, suite.left_out.len()], "{said}");
}

/// What pytest's last line, as in `3 passed, 1 skipped in 0.12s`, says of an outcome.
fn count(said: &str, outcome: &str) -> usize {
    let summary = said.lines().last().expect("pytest says something");
    let words: Vec<&str> = summary.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
    let mut pairs = words.windows(2).filter(|pair| pair[1] == outcome);
    pairs.find_map(|pair| pair[0].parse().ok()).unwrap_or(0)
}

fn pymemcache(place: &Place) -> Command {
    let mut pytest = place.pytest(&PYMEMCACHE);
    // Once round the loops that take the time of something. They do not wait for answers, so that more rounds of writes
    // would outlast the connection, and what the next test writes to the same keys.
    pytest.args(["--server", &place.address.to_string(), "--count", "1"]);
    pytest
}

fn pylibmc(place: &Place) -> Command {
    let mut pytest = place.pytest(&PYLIBMC);
    place.amend("tests/__init__.py", "127.0.0.1", &place.address.to_string());
    let found = format!("autoconf.elasticache(address='{}')", place.at(PORT));
    place.amend("tests/test_autoconf.py", "autoconf.elasticache()", &found);
    // The examples in its own documentation are tests, too.
    pytest.arg("--doctest-modules").env("PYTHONPATH", place.path("suite/src"));
    pytest
}

fn python_binary_memcached(place: &Place) -> Command {
    let mut pytest = place.pytest(&PYTHON_BINARY_MEMCACHED);
    for name in ["simple_functions", "socket", "error_handling", "server_parsing"] {
        place.amend(&format!("test/test_{name}.py"), "/tmp/memcached.sock", &place.socket());
    }
    place.amend("test/test_tls.py", "-p5001", &format!("-l{}", place.at(5001)));
    let fixtures = outside::file("clients/bmemcached_conftest.py");
    fs::copy(fixtures, place.path("suite/test/conftest.py")).unwrap();
    pytest.envs([("SUITE_USER", USER), ("SUITE_PASSWORD", PASSWORD)]);
    pytest
}

/// A loopback address of one's own, and a folder with a copy of a suite.
struct Place {
    address: Ipv4Addr,
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Linux numbers processes with 22 bits at most; all of 127.0.0.0/8 is the loopback.
        let number = (std::process::id() << 2) | (COUNT.fetch_add(1, Ordering::Relaxed) % 4);
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 0).to_bits() | number);
        Place { address, folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.address)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> String {
        self.path("socket").to_str().expect("text").to_owned()
    }

    /// larder, on a store of its own.
    fn larder(&self, store: &str, arguments: &[&str]) -> Server {
        let data = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        Launch::bare().args(["--store", store, "--data"]).arg(data).args(arguments).start()
    }

    /// Debian's memcached.
    fn memcached(&self) -> Server {
        let server = Launch::of("memcached").args(["-u", "root", "-l", &self.at(PORT)]).start_silently();
        until("memcached to listen", || TcpStream::connect((self.address, PORT)).ok());
        server
    }

    /// The folders of programs, the first one of which has larder by the name of memcached.
    fn path_with_memcached(&self) -> OsString {
        let own = self.path("programs");
        fs::create_dir(&own).unwrap();
        symlink(env!("CARGO_BIN_EXE_larder"), own.join("memcached")).unwrap();
        let others = std::env::var_os("PATH").expect("a PATH");
        std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&others))).unwrap()
    }

    /// pytest in a copy of a suite, without the options that the suite is run with at home.
    fn pytest(&self, suite: &Suite) -> Command {
        let copy = self.path("suite");
        outside::run(Command::new("cp").arg("--recursive").arg(outside::suite(suite.name)).arg(&copy));
        let mut pytest = outside::python();
        pytest.args(["-m", "pytest", "-q", "-rs", "--rootdir", ".", "-o", "addopts="]).current_dir(copy);
        pytest.env("MEMCACHED_HOST", self.address.to_string()).env("MEMCACHED_PORT", PORT.to_string());
        pytest
    }

    /// Puts a place of ours where a file of the suite names one that all would share.
    fn amend(&self, file: &str, shared: &str, own: &str) {
        let file = self.path("suite").join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(shared), "{} does not say {shared}", file.display());
        fs::write(&file, text.replace(shared, own)).unwrap();
    }
}
