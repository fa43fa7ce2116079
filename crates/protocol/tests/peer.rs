//! The tables of exchanges against a running server, so that the tables themselves are checked.
//!
//! `LARDER_PEER=127.0.0.1:11211 cargo test -p larder-protocol --test peer -- --ignored`
//! The server's items are flushed. Every exchange that differs is listed; those that the tables mark as
//! larder's own (`==larder`) are left out.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::catch_unwind;
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

#[test]
#[ignore = "needs a running server: LARDER_PEER=host:port"]
fn a_running_server_answers_the_same() {
    let address = std::env::var("LARDER_PEER").expect("LARDER_PEER names the server as host:port");
    let differing: Vec<String> = load()
        .iter()
        .filter(|exchange| !exchange.is_larders_own)
        .filter_map(|exchange| check(&address, exchange).err())
        .collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
