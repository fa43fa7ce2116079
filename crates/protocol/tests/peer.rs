//! The tables of exchanges against Debian's memcached, so that the tables themselves are checked.
//!
//! Every exchange that differs is listed; those that the tables mark as larder's own (`==larder`) are left out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::catch_unwind;
use std::process::{Child, Command};
use std::time::Duration;

use common::exchange::{Exchange, Piece, assert_answer, load};

/// Longer than any answer of a server that works takes.
const ANSWER_SECONDS_MAX: u64 = 10;

/// Sends all, then half-closes, so that the server's close marks the answer's end.
fn ask(address: &str, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX))).unwrap();
    let mut answer = Vec::new();
    // A server that closes early resets the connection; what it answered before is what counts.
    let _ = stream.write_all(sent).and_then(|()| stream.shutdown(Shutdown::Write));
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn check(address: &str, exchange: &Exchange) -> Result<(), String> {
    assert_eq!(ask(address, b"flush_all\r\n"), b"OK\r\n");
    let sent: Vec<u8> = exchange.steps.iter().flat_map(|step| step.sent.iter().copied()).collect();
    let expected: Vec<Piece> = exchange.steps.iter().flat_map(|step| step.expected.iter().cloned()).collect();
    let answer = ask(address, &sent);
    catch_unwind(|| assert_answer(&exchange.name, "peer", &expected, &answer))
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// Debian's memcached on a free port, ended with the test.
struct Memcached(Child, String);

impl Memcached {
    fn start() -> Memcached {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("memcached")
            // `lru_crawler enable` fails where the crawler runs already.
            .args(["-u", "nobody", "-l", "127.0.0.1", "-p", &port.to_string(), "-o", "no_lru_crawler"])
            .spawn()
            .expect("memcached starts (cargo xtask services install brings it)");
        let address = format!("127.0.0.1:{port}");
        let server = Memcached(child, address);
        while TcpStream::connect(&server.1).is_err() {
            std::thread::yield_now();
        }
        server
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn memcached_answers_the_same() {
    if std::env::var_os("LARDER_TEST_QUICK").is_some() {
        eprintln!("left out: needs memcached");
        return;
    }
    let server = Memcached::start();
    let differing: Vec<String> = load()
        .iter()
        .filter(|exchange| !exchange.is_larders_own)
        .filter_map(|exchange| check(&server.1, exchange).err())
        .collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
