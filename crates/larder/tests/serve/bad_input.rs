//! Nonsense, halves and giants: the offender gets an error or a closed connection, everybody else is served.

use crate::support::client::{Client, shortened};
use crate::support::random::Random;
use crate::support::stacks::{Running, Stack};

crate::each_stack!(
    random_bytes_harm_nobody,
    half_requests_are_never_executed,
    oversized_values_come_in_pieces,
    long_keys_are_refused_by_every_command,
    huge_and_negative_lengths_take_no_memory,
);

/// Somebody else, who must be served all the time.
struct Bystander {
    client: Client,
    number: u64,
}

impl Bystander {
    fn new(running: &Running) -> Bystander {
        let mut client = running.connect();
        client.set("bystander", "0");
        Bystander { client, number: 0 }
    }

    fn is_served(&mut self) {
        self.number += 1;
        let (number, before) = (self.number, (self.number - 1).to_string());
        self.client.ask(
            "get bystander\r\nincr bystander 1\r\n",
            format!("VALUE bystander 0 {}\r\n{before}\r\nEND\r\n{number}\r\n", before.len()),
        );
    }
}

/// Sends and half-closes; the server must answer and close, whatever it was.
fn send_and_leave(running: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut client = running.connect();
    // The server may close before it has taken all.
    if client.try_send(bytes).is_ok() {
        client.finish().ok();
    }
    client
        .try_rest()
        .unwrap_or_else(|cut| panic!("{} keeps the connection open: {}", shortened(bytes), cut.describe()))
}

/// What requests are made of, and what they are not.
const WORDS: &str = "get|gets|set|add|cas|append|incr|decr|touch|gat|delete|verbosity|stats|mg|ms|md|ma|mn|me|\
    lru_crawler|slabs|cache_memlimit x|watch|a|b|0|1|-1|99999999999999999999|noreply|v|k|O1|T0|\r\n|\r\n|\n| |x\r\n|\0";

/// Bytes that look more or less like requests.
fn nonsense(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(200);
    match random.below(4) {
        0 => random.bytes(length),
        1 => {
            let words: Vec<&str> = WORDS.split('|').collect();
            let chosen: Vec<&str> =
                (0..1 + random.below(60)).map(|_| words[random.below(words.len())]).collect();
            chosen.join(" ").into_bytes()
        }
        2 => {
            // A binary header whose lengths are small, so that what follows is decoded too.
            let mut packet = random.bytes(24 + length);
            packet[0] = 0x80;
            packet[1] %= 0x28;
            packet[2] = 0;
            packet[3] %= 32;
            packet[4] %= 24;
            packet[8..11].fill(0);
            packet
        }
        _ => {
            let mut packet = random.bytes(24 + length);
            packet[0] = 0x80;
            packet
        }
    }
}

fn random_bytes_harm_nobody(stack: Stack) {
    const ROUNDS: u64 = 400;
    let running = stack.start();
    let mut bystander = Bystander::new(&running);
    for round in 0..ROUNDS {
        let bytes = nonsense(&mut Random::new(round));
        if !is_flush(&bytes) {
            send_and_leave(&running, &bytes);
        }
        bystander.is_served();
    }
    running.server.stop_cleanly();
}

/// A flush is no nonsense: the bystander would rightly notice it.
fn is_flush(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 0x08 | 0x18, ..])
}

fn half_requests_are_never_executed(stack: Stack) {
    let running = stack.start();
    let mut bystander = Bystander::new(&running);
    let mut client = running.connect();
    client.ask("set there 0 0 1\r\n5\r\n", "STORED\r\n");
    let mut quiet_set = vec![0x80, 0x01, 0, 4, 8, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    quiet_set.extend([0; 8]);
    quiet_set.extend(b"half1");
    let requests: [&[u8]; 8] = [
        b"set half 0 0 10\r\n0123456789\r\n",
        b"ms half 3 T0\r\nabc\r\n",
        b"delete there\r\n",
        b"incr there 1\r\n",
        b"append there 0 0 1\r\n1\r\n",
        b"touch there -1\r\n",
        b"md there\r\n",
        &quiet_set,
    ];
    for request in requests {
        for length in 0..request.len() {
            let answer = send_and_leave(&running, &request[..length]);
            assert!(
                answer.is_empty(),
                "{} is answered {}",
                shortened(&request[..length]),
                shortened(&answer)
            );
        }
        bystander.is_served();
    }
    client.ask("get half there\r\n", "VALUE there 0 1\r\n5\r\nEND\r\n");
}

fn oversized_values_come_in_pieces(stack: Stack) {
    const VALUE_BYTES: usize = 3_000_000;
    const PIECE_BYTES: usize = 100_000;
    let running = stack.start();
    let mut bystander = Bystander::new(&running);
    let mut client = running.connect();
    for (request, removes) in [
        (format!("set a 0 0 {VALUE_BYTES}\r\n"), true),
        (format!("add a 0 0 {VALUE_BYTES}\r\n"), false),
        (format!("append a 0 0 {VALUE_BYTES}\r\n"), false),
        (format!("replace a 0 0 {VALUE_BYTES}\r\n"), false),
        (format!("cas a 0 0 {VALUE_BYTES} 1\r\n"), false),
        (format!("ms a {VALUE_BYTES} T0\r\n"), true),
    ] {
        client.set("a", "old");
        client.send(&request);
        for _ in 0..VALUE_BYTES / PIECE_BYTES {
            client.send([b'x'; PIECE_BYTES]);
            bystander.is_served();
        }
        client.ask("\r\n", "SERVER_ERROR object too large for cache\r\n");
        running.cool(&mut client);
        let left = if removes { None } else { Some("old") };
        assert_eq!(client.get("a").as_deref(), left, "after {request}");
    }
    // A value that fits, in as many pieces.
    client.send("set a 0 0 1000000\r\n");
    for _ in 0..10 {
        client.send([b'y'; PIECE_BYTES]);
        bystander.is_served();
    }
    client.ask("\r\n", "STORED\r\n");
    running.cool(&mut client);
    assert_eq!(client.get("a"), Some("y".repeat(1_000_000)));
}

fn long_keys_are_refused_by_every_command(stack: Stack) {
    const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
    let running = stack.start();
    let mut bystander = Bystander::new(&running);
    let mut client = running.connect();
    let (long, longest) = ("k".repeat(251), "k".repeat(250));
    for command in [
        "get K",
        "gets K",
        "get a K b",
        "gat 0 K",
        "gats 0 K",
        "delete K",
        "incr K 1",
        "decr K 1",
        "touch K 0",
        "mg K v",
        "md K",
        "ma K",
        "me K",
    ] {
        client.ask(format!("{}\r\n", command.replace('K', &long)), BAD_FORMAT);
    }
    for command in ["set", "add", "replace", "append", "prepend"] {
        client.ask(format!("{command} {long} 0 0 3\r\nmn\n\r\n"), BAD_FORMAT);
    }
    client.ask(format!("cas {long} 0 0 3 1\r\nmn\n\r\n"), BAD_FORMAT);
    client.ask(format!("ms {long} 3\r\nmn\n\r\n"), BAD_FORMAT);
    client.set(&longest, "1");
    client.ask(format!("incr {longest} 1\r\n"), "2\r\n");
    bystander.is_served();
}

fn huge_and_negative_lengths_take_no_memory(stack: Stack) {
    const GROWTH_BYTES_MAX: u64 = 32 << 20;
    let running = stack.start();
    let mut bystander = Bystander::new(&running);
    let before = running.server.resident_bytes();
    let mut open = Vec::new();
    for length in ["2147483645", "1073741824", "500000000", "1048577"] {
        for _ in 0..20 {
            let mut client = running.connect();
            client.send(format!("set a 0 0 {length}\r\nand then almost nothing"));
            open.push(client);
        }
    }
    for body in [1u32 << 30, 1 << 29, 2 << 20] {
        for _ in 0..20 {
            let mut client = running.connect();
            let mut head = [0x80, 0x01, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            head[8..12].copy_from_slice(&body.to_be_bytes());
            client.send(head);
            client.send([0; 100]);
            open.push(client);
        }
    }
    for line in ["set a 0 0 -1\r\n", "set a 0 0 2147483646\r\n", "set a 0 0 4294967297\r\n", "ms a -1\r\n"] {
        let mut client = running.connect();
        client.ask(line, "CLIENT_ERROR bad command line format\r\n");
        client.ask("mn\r\n", "MN\r\n");
    }
    bystander.is_served();
    let grown = running.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more for values that never came");
    drop(open);
    bystander.is_served();
    running.server.stop_cleanly();
}
