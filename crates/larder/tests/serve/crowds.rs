//! Many connections, slow ones, and one that asks without reading: memory stays bounded and others are served.

use std::time::Instant;

use crate::support::client::{Client, shortened};
use crate::support::stacks::{Running, Stack};
use crate::support::system::allow_open_files;
use crate::support::wait::until;

crate::each_stack!(
    a_client_that_does_not_read_is_not_read,
    a_line_of_very_many_keys_waits_for_its_client,
    a_long_half_line_counts_as_bytes_in_flight,
    values_on_their_way_stay_as_they_were,
    slow_senders_hold_up_nobody,
    heads_of_large_values_hold_no_room,
    thousands_of_half_commands_take_little,
    heavy_idle_connections_hold_little,
    connections_beyond_the_limit_are_told,
);

const MIB: usize = 1 << 20;
const VALUE_BYTES: usize = 1_000_000;

fn value(letter: u8) -> String {
    char::from(letter).to_string().repeat(VALUE_BYTES)
}

fn answer(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
}

/// How much more memory the server may take for one client that reads nothing.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

fn a_client_that_does_not_read_is_not_read(stack: Stack) {
    const KEYS: usize = 8;
    const ASKED: usize = 150;
    let running = stack.start();
    let mut other = running.connect();
    for key in 0..KEYS {
        other.set(&format!("big:{key}"), &value(b'a' + key as u8));
    }
    other.set("n", "0");
    let before = running.server.resident_bytes();
    let mut greedy = running.connect();
    let requests: Vec<String> = (0..ASKED).map(|number| format!("get big:{}\r\n", number % KEYS)).collect();
    greedy.send(requests.concat());
    let written = |client: &mut Client| client.stat("bytes_written");
    // Until nothing more is sent, the server may take what it takes.
    let mut last = written(&mut other);
    for number in 1..=200 {
        other.ask("incr n 1\r\n", format!("{number}\r\n"));
        let now = written(&mut other);
        last = last.max(now);
    }
    let grown = running.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more for answers to {ASKED} MB that nobody reads");
    for number in 0..ASKED {
        let key = number % KEYS;
        greedy.expect(answer(&format!("big:{key}"), &value(b'a' + key as u8)) + "END\r\n");
    }
    let grown = running.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more after they were read");
}

/// A request of some hundred kilobytes that asks for gigabytes.
fn a_line_of_very_many_keys_waits_for_its_client(stack: Stack) {
    const ASKED: usize = 100_000;
    const READ: usize = 2_000;
    let running = stack.start();
    let mut other = running.connect();
    let value = "v".repeat(8_000);
    other.set("k", &value);
    other.set("n", "0");
    let before = running.server.resident_bytes();
    let mut greedy = running.connect();
    greedy.send(format!("get{}\r\nincr n 1\r\n", " k".repeat(ASKED)));
    until("the first answers", || (other.stat("get_hits") > 200).then_some(()));
    for _ in 0..50 {
        other.ask("get n\r\n", "VALUE n 0 1\r\n0\r\nEND\r\n");
    }
    for _ in 0..READ {
        greedy.expect(format!("VALUE k 0 8000\r\n{value}\r\n"));
    }
    let grown = running.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more for answers that nobody reads");
    drop(greedy);
    until("the connection to be gone", || (other.stat("curr_connections") == 1).then_some(()));
    other.ask("get n\r\n", "VALUE n 0 1\r\n0\r\nEND\r\n");
    // Who takes them all gets them all, and then what was asked behind them.
    let mut patient = running.connect();
    patient.send(format!("get{} none\r\nincr n 1\r\n", " k".repeat(READ)));
    for _ in 0..READ {
        patient.expect(format!("VALUE k 0 8000\r\n{value}\r\n"));
    }
    patient.expect("END\r\n1\r\n");
}

fn a_long_half_line_counts_as_bytes_in_flight(stack: Stack) {
    let running = stack.start();
    let mut other = running.connect();
    const KEYS: usize = 3_000;
    let key = "k".repeat(249);
    other.set(&key, "1");
    let mut slow = running.connect();
    let keys = format!(" {key}").repeat(KEYS);
    slow.send(format!("get{keys}"));
    until("the line to be read", || (other.own_stat("bytes_in_flight") >= 600_000).then_some(()));
    slow.send("\r\n");
    let answer = format!("VALUE {key} 0 1\r\n1\r\n").repeat(KEYS) + "END\r\n";
    slow.expect(answer);
    until("the room to be free", || (other.own_stat("bytes_in_flight") == 0).then_some(()));
    slow.send(format!("get{keys}"));
    until("the line to be read", || (other.own_stat("bytes_in_flight") >= 600_000).then_some(()));
    drop(slow);
    until("the room to be free", || (other.own_stat("bytes_in_flight") == 0).then_some(()));
}

fn values_on_their_way_stay_as_they_were(stack: Stack) {
    const ASKED: usize = 30;
    let running = stack.start();
    let mut other = running.connect();
    other.set("big", &value(b'a'));
    let mut reader = running.connect();
    reader.send("get big\r\n".repeat(ASKED));
    reader.expect("VALUE big 0 1000000\r\n");
    for letter in b'b'..b'h' {
        other.set("big", &value(letter));
    }
    other.ask("delete big\r\n", "DELETED\r\n");
    let mut rest = reader.bytes(VALUE_BYTES + 2);
    rest.truncate(VALUE_BYTES);
    assert!(rest.iter().all(|&byte| byte == b'a'), "the first is the value of its time");
    reader.expect("END\r\n");
    for _ in 1..ASKED {
        if reader.line() == "END" {
            continue;
        }
        let value = reader.bytes(VALUE_BYTES);
        assert!(value.iter().all(|&byte| byte == value[0]), "a mixture: {}", shortened(&value));
        reader.expect("\r\nEND\r\n");
    }
}

fn slow_senders_hold_up_nobody(stack: Stack) {
    const SENDERS: usize = 40;
    let running = stack.start();
    let mut other = running.connect();
    other.set("n", "0");
    let request =
        |sender: usize| format!("set slow:{sender} 0 0 20\r\n{sender:020}\r\nget slow:{sender}\r\n");
    let mut senders: Vec<Client> = (0..SENDERS).map(|_| running.connect()).collect();
    let longest = (0..SENDERS).map(|sender| request(sender).len()).max().expect("there are senders");
    for at in 0..longest {
        for (sender, client) in senders.iter_mut().enumerate() {
            if let Some(byte) = request(sender).as_bytes().get(at) {
                client.send([*byte]);
            }
        }
        other.ask("incr n 1\r\n", format!("{}\r\n", at + 1));
    }
    for (sender, client) in senders.iter_mut().enumerate() {
        client.expect(format!("STORED\r\nVALUE slow:{sender} 0 20\r\n{sender:020}\r\nEND\r\n"));
    }
}

/// Begins to set a large value, and stalls after `sent`.
fn stalled(running: &Running, sent: &str) -> Client {
    let mut client = running.connect();
    client.send(format!("set stalled 0 0 {VALUE_BYTES}\r\n{sent}"));
    client
}

fn heads_of_large_values_hold_no_room(stack: Stack) {
    let running = stack.start();
    let mut other = running.connect();
    let room = other.own_stat("bytes_in_flight_max") as usize;
    let senders: Vec<Client> = (0..=room / VALUE_BYTES).map(|_| stalled(&running, "abc")).collect();
    until("all heads are read", || (other.stat("bytes_read") >= 20 * senders.len() as u64).then_some(()));
    assert_eq!(other.own_stat("bytes_in_flight"), 0);
    other.set("big", &value(b'o'));
}

/// Those who began in earnest hold room, until others wait for it and they do not go on.
#[test]
fn stalled_large_values_give_way() {
    let running = Stack::SmallRam.start_with(&["-t", "1"]);
    let mut other = running.connect();
    let room = other.own_stat("bytes_in_flight_max") as usize;
    let held = VALUE_BYTES.next_multiple_of(1024);
    let begun = "s".repeat(20_000);
    let mut senders: Vec<Client> = (0..room / held).map(|_| stalled(&running, &begun)).collect();
    let all = (senders.len() * held) as u64;
    until("the room is taken", || (other.own_stat("bytes_in_flight") == all).then_some(()));
    other.set("big", &value(b'o'));
    assert!(other.own_stat("slow_uploads") > 0);
    // The one that has had its room for the longest time.
    let told = String::from_utf8(senders[0].rest()).expect("text");
    let reason = "the value came too slowly while others waited: 20000 of 1000000 bytes";
    assert!(told.starts_with("SERVER_ERROR ") && told.contains(reason), "{told}");
    assert_eq!(other.get("stalled"), None);
}

fn thousands_of_half_commands_take_little(stack: Stack) {
    const HALVES: usize = 3000;
    const OPEN_MAX: usize = 300;
    let running = stack.start();
    let mut other = running.connect();
    other.set("n", "0");
    let before = running.server.resident_bytes();
    let mut open = std::collections::VecDeque::new();
    for number in 0..HALVES {
        let mut client = running.connect();
        match number % 4 {
            0 => client.send(format!("set half:{number} 0 0 900000\r\n{}", "h".repeat(1000))),
            1 => client.send(format!("get {}", "k ".repeat(500))),
            2 => client.send([0x80, 0x01, 0, 1, 8]),
            _ => client.send("ms half"),
        }
        open.push_back(client);
        if open.len() > OPEN_MAX {
            open.pop_front();
        }
        if number % 100 == 0 {
            other.ask("incr n 1\r\n", format!("{}\r\n", number / 100 + 1));
        }
    }
    let grown = running.server.resident_bytes().saturating_sub(before) as usize;
    assert!(grown < 96 * MIB, "{grown} bytes more for half commands");
    drop(open);
    until("the connections to be gone", || (other.stat("curr_connections") == 1).then_some(()));
    assert_eq!(other.get("half:0"), None);
    running.server.stop_cleanly();
}

fn heavy_idle_connections_hold_little(stack: Stack) {
    // What the first take besides (threads' arenas, caches of the store, pages of 2 MiB) is there when counting begins.
    const FIRST: usize = 500;
    const MORE: usize = 2000;
    // Half of the smallest buffer a connection could be left with.
    const BYTES_MAX: u64 = 8 << 10;
    allow_open_files(4000);
    let running = stack.start_with(&["-c", "4000"]);
    let mut other = running.connect();
    other.set("a", "1");
    other.set("large", &"l".repeat(100_000));
    let idle = |count: usize| -> Vec<Client> {
        let idle = |_| {
            let mut client = running.connect();
            assert_eq!(client.get("a").as_deref(), Some("1"));
            client.ask("set b 0 0 20\r\n01234567890123456789\r\n", "STORED\r\n");
            client
        };
        (0..count).map(idle).collect()
    };
    let first = idle(FIRST);
    let before = running.server.resident_bytes();
    let more = idle(MORE);
    let grown = running.server.resident_bytes().saturating_sub(before);
    println!("{} bytes more for each of {MORE} idle connections", grown / MORE as u64);
    assert!(grown < MORE as u64 * BYTES_MAX, "{grown} bytes more for {MORE} idle connections");
    assert_eq!(other.stat("curr_connections"), (FIRST + MORE) as u64 + 1);
    drop((first, more));
    until("the connections to be gone", || (other.stat("curr_connections") == 1).then_some(()));
}

fn connections_beyond_the_limit_are_told(stack: Stack) {
    const LIMIT: usize = 5;
    let running = stack.start_with(&["-c", "5"]);
    let mut clients: Vec<Client> = (0..LIMIT).map(|_| asked(&running)).collect();
    for _ in 0..3 {
        let mut refused = running.connect();
        refused.expect("ERROR Too many open connections\r\n");
        refused.expect_close();
    }
    let mut first = clients.swap_remove(0);
    assert_eq!(first.stat("rejected_connections"), 3);
    assert_eq!(first.stat("curr_connections"), LIMIT as u64);
    drop(clients.pop());
    // The place is free once the server has seen the end.
    let start = Instant::now();
    until("a free place", || (first.stat("curr_connections") == LIMIT as u64 - 1).then_some(()));
    assert_eq!(asked(&running).get("none"), None, "after {:?}", start.elapsed());
}

/// A connection that the server has certainly taken.
fn asked(running: &Running) -> Client {
    let mut client = running.connect();
    client.ask("mn\r\n", "MN\r\n");
    client
}
