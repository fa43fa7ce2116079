//! Conversations with the server: what is sent and what comes back, on every stack, however the stream is cut; and
//! with memcached, so that the conversations themselves are checked.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::{Stream, shortened};
use crate::support::conversation::{Conversation, Kept, Match, Piece, compare, describe, load, request};
use crate::support::outside;
use crate::support::stacks::{Running, Stack};
use crate::support::{Client, Launch, Server, system, wait};

crate::each_stack!(answers_each_request, answers_all_in_one_write, answers_when_cut);

/// The version in the protocol's tables; every server has one of its own.
const TABLE_VERSION: &[u8] = b"1.6.18";

/// Streams up to this length are cut at every byte, longer ones at every so many that there are as many cuts.
const EVERY_CUT_BYTES_MAX: usize = 3000;

/// A time that was asked may have been another second than the one expected; asking again decides.
const TRIES: usize = 3;

/// What larder does not answer as the tables say, and why that is right.
const NOT_LARDER: &[(&str, &str)] =
    &[("version", "a binary packet's length depends on the version; another test looks at it")];

/// What a store without RAM above it answers otherwise.
const NOT_STORE_ALONE: &[(&str, &str)] = &[
    ("cache_memlimit", "there is no RAM to limit"),
    ("mg with every answer", "a store keeps no note of reads: that would make each of them a write"),
    ("mg u does not count as a read", "the same"),
    ("me", "the same"),
];

/// What memcached 1.6.18 answers otherwise than the tables of the protocol, which follow 1.6.45.
const NOT_MEMCACHED: &[(&str, &str)] = &[
    ("text on a binary connection", "it looks at the magic byte once it has a whole header"),
    ("lru_crawler", "it has a crawler, which cannot be started twice"),
];

fn all() -> Vec<Conversation> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut all = load(&here.join("../protocol/tests/exchanges"));
    assert!(all.len() > 100, "the protocol's tables are there");
    all.extend(load(&here.join("tests/conversations")));
    for conversation in &mut all {
        for step in &mut conversation.steps {
            step.expected = step.expected.iter().flat_map(name_version).collect();
        }
    }
    all
}

/// Puts the server's own version where a table has memcached's.
fn name_version(piece: &Piece) -> Vec<Piece> {
    let Piece::Bytes(bytes) = piece else { return vec![piece.clone()] };
    let mut pieces = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = rest.windows(TABLE_VERSION.len()).position(|window| window == TABLE_VERSION) {
        pieces.push(Piece::Bytes(rest[..at].to_vec()));
        pieces.push(Piece::Kept("version".to_owned()));
        rest = &rest[at + TABLE_VERSION.len()..];
    }
    pieces.push(Piece::Bytes(rest.to_vec()));
    pieces
}

fn without(mut conversations: Vec<Conversation>, exceptions: &[(&str, &str)]) -> Vec<Conversation> {
    for (exception, _) in exceptions {
        let count = conversations.len();
        conversations.retain(|conversation| {
            let (_, name) = conversation.name.split_once(": ").expect("file and name");
            name != *exception
        });
        assert!(conversations.len() < count, "there is no conversation {exception:?}");
    }
    conversations
}

/// Has every conversation, each with an empty server; lists those that went otherwise.
fn have(
    conversations: &[Conversation],
    control: &mut Client,
    mut ask: impl FnMut(&mut Client, &Conversation, Kept) -> Result<(), String>,
) {
    control.send("version\r\n");
    let version = control.line();
    let version = version.strip_prefix("VERSION ").expect("the answer to `version`").as_bytes().to_vec();
    let mut differing = String::new();
    let mut count = 0;
    for conversation in conversations {
        let kept = Kept::from([("version".to_owned(), version.clone())]);
        let mut attempt = || {
            control.ask("flush_all\r\n", "OK\r\n");
            ask(control, conversation, kept.clone())
        };
        let second = unix_second();
        let mut outcome = attempt();
        for _ in 1..TRIES {
            if outcome.is_ok() || second == unix_second() {
                break;
            }
            outcome = attempt();
        }
        if let Err(difference) = outcome {
            count += 1;
            write!(differing, "{}\n{difference}", conversation.name).unwrap();
        }
    }
    assert!(count == 0, "{count} of {} conversations differ:\n{differing}", conversations.len());
}

fn unix_second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn difference(expected: &[Piece], answer: &str) -> String {
    format!("  expected {}\n  received {answer}\n", describe(expected))
}

/// Sends request after request, each after the answer to the one before.
fn step_by_step(
    client: &mut Client,
    conversation: &Conversation,
    mut kept: Kept,
    mut between: impl FnMut(),
) -> Result<(), String> {
    for (number, step) in conversation.steps.iter().enumerate() {
        if number > 0 {
            between();
        }
        client.send(request(&step.sent, &kept));
        let known = kept.clone();
        let enough = |received: &[u8]| match compare(&step.expected, received, &mut known.clone()) {
            Match::Whole(length) => Some(length),
            Match::Partial => None,
            Match::Differs => Some(received.len()),
        };
        let answer = client.take(enough).map_err(|cut| difference(&step.expected, &cut.describe()))?;
        if compare(&step.expected, &answer, &mut kept) != Match::Whole(answer.len()) {
            return Err(difference(&step.expected, &shortened(&answer)));
        }
    }
    end(client, conversation)
}

/// Nothing more may come, and the server closes by itself only where that is expected.
fn end(client: &mut Client, conversation: &Conversation) -> Result<(), String> {
    if !conversation.closes {
        client.finish().map_err(|error| format!("  the connection is closed: {error}\n"))?;
    }
    let rest = client.try_rest().map_err(|cut| format!("  not closed: {}\n", cut.describe()))?;
    if rest.is_empty() { Ok(()) } else { Err(format!("  more than expected: {}\n", shortened(&rest))) }
}

/// Sends everything before anything is read.
fn at_once(
    client: &mut Client,
    conversation: &Conversation,
    mut kept: Kept,
    send: impl FnOnce(&mut Client, &[u8]) -> std::io::Result<()>,
) -> Result<(), String> {
    let expected = conversation.expected_at_once();
    let sent = send(client, &conversation.sent_at_once());
    // A server that closes early takes no more.
    if let (Err(error), false) = (sent, conversation.closes) {
        return Err(format!("  the connection is closed: {error}\n"));
    }
    if !conversation.closes {
        client.finish().map_err(|error| format!("  the connection is closed: {error}\n"))?;
    }
    let answer = client.try_rest().map_err(|cut| difference(&expected, &cut.describe()))?;
    match compare(&expected, &answer, &mut kept) {
        Match::Whole(length) if length == answer.len() => Ok(()),
        _ => Err(difference(&expected, &shortened(&answer))),
    }
}

fn larders(stack: Stack) -> Vec<Conversation> {
    let mut conversations = without(all(), NOT_LARDER);
    if stack.is_store_alone() {
        conversations = without(conversations, NOT_STORE_ALONE);
    }
    conversations
}

fn answers_each_request(stack: Stack) {
    let running = stack.start();
    have(&larders(stack), &mut running.connect(), |control, conversation, kept| {
        step_by_step(&mut running.connect(), conversation, kept, || running.cool(control))
    });
}

fn answers_all_in_one_write(stack: Stack) {
    let running = stack.start();
    let mut conversations = larders(stack);
    conversations.retain(|conversation| !conversation.is_stepwise());
    have(&conversations, &mut running.connect(), |_, conversation, kept| {
        at_once(&mut running.connect(), conversation, kept, |client, bytes| client.try_send(bytes))
    });
}

fn answers_when_cut(stack: Stack) {
    let data = tempfile::tempdir().unwrap();
    let socket = data.path().join("socket");
    let listen = format!("unix:{},127.0.0.1:0", socket.display());
    let launch = Launch::bare().args(["--store", &stack.expression(), "-l", &listen]);
    let server = launch.arg("--data").arg(data.path()).start();
    let running = Running { stack, server, data };
    let mut conversations = larders(stack);
    conversations.retain(|conversation| !conversation.is_stepwise());
    for piece_bytes in [1, 2, 3, 7] {
        have(&conversations, &mut running.connect(), |_, conversation, kept| {
            at_once(&mut Client::unix(running.server.socket()), conversation, kept, |client, bytes| {
                send_in_pieces(client, bytes, piece_bytes)
            })
        });
    }
}

/// Sends in pieces of which the server reads each by itself.
fn send_in_pieces(client: &mut Client, bytes: &[u8], piece_bytes: usize) -> std::io::Result<()> {
    let piece_bytes = piece_bytes * bytes.len().div_ceil(EVERY_CUT_BYTES_MAX).max(1);
    for piece in bytes.chunks(piece_bytes) {
        client.try_send(piece)?;
        let Stream::Unix(stream) = client.stream() else { panic!("only a unix socket tells what was read") };
        wait::closely("the server to read", || system::is_read(stream));
    }
    Ok(())
}

/// Debian's memcached on a free port.
fn memcached() -> (Server, Client) {
    let folder = tempfile::tempdir().unwrap();
    let ports = folder.path().join("ports");
    let server = Launch::of("memcached")
        .args(["-l", "127.0.0.1", "-p", "-1", "-U", "0", "-u", "root", "-t", "1"])
        .environment("MEMCACHED_PORT_FILENAME", &ports)
        .start_silently();
    let line = wait::until("memcached to listen", || std::fs::read_to_string(&ports).ok());
    let port = line.trim().rsplit(' ').next().expect("a port").parse().expect("a number");
    (server, Client::tcp(([127, 0, 0, 1], port).into()))
}

#[test]
fn memcached_answers_the_same() {
    if outside::is_left_out() {
        return;
    }
    let (_server, mut control) = memcached();
    let Stream::Tcp(stream) = control.stream() else { panic!("it listens on TCP only") };
    let address = stream.peer_addr().unwrap();
    let mut conversations = without(all(), NOT_MEMCACHED);
    conversations.retain(|conversation| !conversation.is_larders_own);
    have(&conversations, &mut control, |_, conversation, kept| {
        step_by_step(&mut Client::tcp(address), conversation, kept, || {})
    });
}
