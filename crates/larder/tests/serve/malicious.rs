//! Clients that mean harm, one worker for all: a polite client is served between any two strokes of theirs, memory stays
//! within what is documented, and when they have gone all that they held is free again.
//!
//! What others notice in time is measured by `cargo xtask bench malicious`.

use std::thread;

use crate::support::client::Client;
use crate::support::stacks::{Running, Stack};
use crate::support::wait::until;

const MIB: u64 = 1 << 20;
/// `-m` here.
const MEMORY: u64 = 16 * MIB;
/// What the process may have besides.
const BASE: u64 = 32 * MIB;
/// `-o read_buf_mem_limit` here: all that is on its way in, and as much that is on its way out.
const IN_FLIGHT: u64 = 8 * MIB;
/// A connection may hold as much of a request that is cut off.
const CUT_OFF: u64 = 16 << 10;
/// And as much of several that must wait.
const WAITING: u64 = 84 << 10;
/// Answers beyond this wait until those before are taken.
const UNSENT: u64 = 4 * MIB;
/// Their buffer may be twice as large, and have the half beside it while it grows.
const BUFFER: u64 = 3 * UNSENT;
/// What is freed may stay with the allocator, for the next who asks.
const FREED: u64 = 2 * IN_FLIGHT;
/// What a store may have in memory of what it is writing.
const STORE: u64 = 96 * MIB;
/// What a connection has besides, the kernel's part not counted.
const CONNECTION: u64 = 4 << 10;

/// A server under attack, and its one honest client.
struct Scene {
    running: Running,
    polite: Client,
    served: u64,
}

impl Scene {
    /// The server's RAM is full, so that nothing it takes is there by chance; a store has a thousand items.
    fn new(stack: Stack, arguments: &[&str]) -> Scene {
        let common = ["-t", "1", "-m", "16", "-o", "read_buf_mem_limit=8,debug_commands"];
        let running = stack.start_with(&[&common[..], arguments].concat());
        let mut polite = running.connect();
        polite.set("polite", "0");
        let value = "f".repeat(1000);
        let fill = |number| format!("set fill:{number} 0 0 1000 noreply\r\n{value}\r\n");
        for batch in 0..if stack.is_durable() { 1 } else { 20 } {
            let lines: String = (batch * 1000..(batch + 1) * 1000).map(fill).collect();
            polite.ask(lines + "mn\r\n", "MN\r\n");
        }
        polite.set("polite", "0");
        Scene { running, polite, served: 0 }
    }

    fn attacker(&self) -> Client {
        self.running.connect()
    }

    /// The polite client gets what it asks for.
    #[track_caller]
    fn is_served(&mut self) {
        self.served += 1;
        let before = (self.served - 1).to_string();
        self.polite.ask(
            "get polite\r\nincr polite 1\r\n",
            format!("VALUE polite 0 {}\r\n{before}\r\nEND\r\n{}\r\n", before.len(), self.served),
        );
    }

    /// Memory is within `-m`, the base, and what the attack may take.
    #[track_caller]
    fn is_bounded(&self, attack: u64) {
        let resident = self.running.server.resident_bytes();
        let bound = MEMORY + BASE + attack;
        assert!(resident <= bound, "{resident} bytes are resident, of {bound} that may be");
    }

    /// Waits until the server has read so many bytes more than `before`, serving the polite client meanwhile.
    fn until_read(&mut self, before: u64, bytes: u64) {
        let polite = &mut self.polite;
        until("the attack to be read", || (polite.stat("bytes_read") >= before + bytes).then_some(()));
    }

    /// The attackers have left: nothing of theirs remains, and the server stops as ever.
    #[track_caller]
    fn ends(mut self) {
        let polite = &mut self.polite;
        until("the connections to be gone", || (polite.stat("curr_connections") == 1).then_some(()));
        for held in ["bytes_in_flight", "bytes_unsent"] {
            assert_eq!(self.polite.own_stat(held), 0, "{held}");
        }
        self.is_served();
        let bound = MEMORY + BASE + FREED + if self.running.stack.is_durable() { STORE } else { 0 };
        until("the memory to be given back", || {
            // The allocator gives back when it is asked for something.
            self.is_served();
            (self.running.server.resident_bytes() <= bound).then_some(())
        });
        self.running.server.stop_cleanly();
    }
}

/// Small values are copied into answers: one line of 40 kB asks for 160 MB.
#[test]
fn a_multi_get_whose_answer_is_not_read_waits() {
    const KEYS: usize = 20_000;
    const VALUE_BYTES: usize = 8000;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let value = "v".repeat(VALUE_BYTES);
    scene.polite.set("k", &value);
    let asked_before = scene.polite.stat("cmd_get");
    let mut attacker = scene.attacker();
    attacker.send(format!("get{}\r\n", " k".repeat(KEYS)));
    attacker.expect(format!("VALUE k 0 {VALUE_BYTES}\r\n"));
    for _ in 0..200 {
        scene.is_served();
    }
    scene.is_bounded(BUFFER);
    let asked = scene.polite.stat("cmd_get") - asked_before - 200;
    assert!(asked < KEYS as u64, "all {asked} keys are looked up though nobody reads");

    // One who reads after all gets everything.
    attacker.expect(format!("{value}\r\n"));
    let one = format!("VALUE k 0 {VALUE_BYTES}\r\n{value}\r\n");
    for _ in 1..KEYS {
        attacker.expect(&one);
    }
    attacker.expect("END\r\n");
    attacker.ask("mn\r\n", "MN\r\n");
    scene.is_bounded(BUFFER);
    drop(attacker);
    scene.ends();
}

/// The worker turns to others after every 1,024 keys.
#[test]
fn a_huge_multi_get_is_answered_in_turns() {
    const KEYS: u64 = 300_000;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let mut attacker = scene.attacker();
    let line: String = (0..KEYS).map(|number| format!(" none:{number}")).collect();
    let mut done = 0;
    for _ in 0..3 {
        let yields_before = scene.polite.stat("conn_yields");
        let before = scene.polite.stat("get_misses");
        attacker.send(format!("get{line}\r\n"));
        // Whoever asks meanwhile sees it in the middle.
        let mut seen = before;
        while seen < before + KEYS {
            scene.is_served();
            let now = scene.polite.stat("get_misses");
            done += u64::from(seen < now && now < before + KEYS);
            seen = now;
        }
        attacker.expect("END\r\n");
        let yields = scene.polite.stat("conn_yields") - yields_before;
        assert!(yields >= KEYS / 1024, "{KEYS} keys are answered in {yields} turns");
    }
    println!("the polite client saw {done} states in the middle");
    scene.is_bounded(IN_FLIGHT);
    drop(attacker);
    scene.ends();
}

/// The same through a store, which answers later.
#[test]
fn a_huge_multi_get_through_a_store_waits_for_it() {
    const KEYS: usize = 30_000;
    let mut scene = Scene::new(Stack::Sqlite, &[]);
    let mut attacker = scene.attacker();
    let line: String = (0..KEYS).map(|number| format!(" fill:{}", number % 1000)).collect();
    attacker.send(format!("get{line}\r\n"));
    let value = "f".repeat(1000);
    for number in 0..KEYS {
        attacker.expect(format!("VALUE fill:{} 0 1000\r\n{value}\r\n", number % 1000));
        if number % 1000 == 0 {
            scene.is_served();
        }
    }
    attacker.expect("END\r\n");
    scene.is_bounded(STORE + BUFFER);
    drop(attacker);
    scene.ends();
}

/// Lines without an end hold room for what is here of them, and no more than there is.
#[test]
fn retrieval_lines_without_an_end_are_bounded() {
    const SENDERS: u64 = 6;
    const LINE_BYTES: usize = 3 << 20;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let line = format!("get{}", " k".repeat(LINE_BYTES / 2));
    let mut senders: Vec<Client> = (0..SENDERS).map(|_| scene.attacker()).collect();
    for sender in &mut senders {
        let polite = &mut scene.polite;
        let (held, refused) = (polite.own_stat("bytes_in_flight"), polite.stat("read_buf_oom"));
        // It may be refused in the middle.
        let _either_way = sender.try_send(&line);
        until("the line to be read or refused", || {
            let is_read = polite.own_stat("bytes_in_flight") >= held + LINE_BYTES as u64;
            (is_read || polite.stat("read_buf_oom") > refused).then_some(())
        });
        scene.is_served();
        let held = scene.polite.own_stat("bytes_in_flight");
        assert!(held <= IN_FLIGHT, "{held} bytes are in flight");
        scene.is_bounded(2 * IN_FLIGHT + SENDERS * (WAITING + CONNECTION));
    }
    let told = senders.pop().expect("there are senders").rest();
    let told = String::from_utf8(told).expect("text");
    assert!(told.starts_with("SERVER_ERROR no room for a line of this length"), "{told}");
    assert!(scene.polite.stat("read_buf_oom") > 0);

    // One that had room may still end its line.
    senders[0].send("\r\n");
    senders[0].expect("END\r\n");
    drop(senders);
    scene.ends();
}

/// Those that hold room and hardly move give it up once others wait.
#[test]
fn stalled_retrieval_lines_give_way() {
    const LINE_BYTES: usize = 2_000_000;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let mut stalled: Vec<Client> = Vec::new();
    while scene.polite.own_stat("bytes_in_flight") + 3 * LINE_BYTES as u64 <= IN_FLIGHT {
        let held = scene.polite.own_stat("bytes_in_flight");
        let mut client = scene.attacker();
        client.send(format!("get{}", " k".repeat(LINE_BYTES / 2)));
        stalled.push(client);
        let polite = &mut scene.polite;
        until("its room", || (polite.own_stat("bytes_in_flight") >= held + LINE_BYTES as u64).then_some(()));
    }
    // The rest of the room goes to values that stall, until one more must wait.
    let mut values: Vec<Client> = Vec::new();
    for _ in 0..=IN_FLIGHT / MIB {
        let mut client = scene.attacker();
        client.send(format!("set stalled 0 0 1000000\r\n{}", "s".repeat(20_000)));
        values.push(client);
    }
    scene.is_served();
    // The grace is over at once.
    scene.polite.ask("debugtime 200\r\n", "OK\r\n");
    let told = String::from_utf8(stalled[0].rest()).expect("text");
    assert!(told.starts_with("SERVER_ERROR the line came too slowly while others waited: 200000"), "{told}");
    assert!(scene.polite.own_stat("slow_uploads") > 0);
    scene.is_served();
    drop((stalled, values));
    scene.ends();
}

/// Values of less than 16 KiB are kept with their heads until they are whole: 16 KiB a connection, whoever it is.
#[test]
fn small_values_cut_off_take_what_their_connections_may() {
    const SENDERS: u64 = 400;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let read_before = scene.polite.stat("bytes_read");
    let mut senders: Vec<Client> = Vec::new();
    let head = format!("set cut 0 0 {CUT_OFF}\r\n");
    let sent = [head.as_bytes(), &[b'c'; CUT_OFF as usize - 1]].concat();
    for number in 0..SENDERS {
        let mut sender = scene.attacker();
        sender.send(&sent);
        senders.push(sender);
        if number % 10 == 0 {
            scene.is_served();
        }
    }
    scene.until_read(read_before, SENDERS * sent.len() as u64);
    assert_eq!(scene.polite.own_stat("bytes_in_flight"), 0);
    scene.is_bounded(SENDERS * (CUT_OFF + CONNECTION));
    // A byte now and then makes no difference, nor does the end.
    for sender in &mut senders {
        sender.send("c");
    }
    scene.is_served();
    senders[0].ask("\r\n", "STORED\r\n");
    scene.polite.ask("delete cut\r\n", "DELETED\r\n");
    drop(senders);
    let polite = &mut scene.polite;
    until("the connections to be gone", || (polite.stat("curr_connections") == 1).then_some(()));
    assert_eq!(scene.polite.get("cut"), None);
    scene.ends();
}

#[test]
fn large_values_cut_off_give_their_room_back() {
    const VALUES: usize = 60;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let half = format!("set cut 0 0 900000\r\n{}", "c".repeat(450_000));
    for _ in 0..VALUES {
        let mut sender = scene.attacker();
        sender.send(&half);
        scene.is_served();
        drop(sender);
        scene.is_bounded(IN_FLIGHT);
    }
    assert_eq!(scene.polite.get("cut"), None);
    scene.ends();
}

#[test]
fn slow_senders_take_no_turns_of_others() {
    const SENDERS: u64 = 200;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let request = b"set slow 0 0 20\r\n01234567890123456789\r\nget slow none\r\n";
    let mut senders: Vec<Client> = (0..SENDERS).map(|_| scene.attacker()).collect();
    for byte in request {
        for sender in &mut senders {
            sender.send([*byte]);
        }
        scene.is_served();
    }
    scene.is_bounded(SENDERS * (CUT_OFF + CONNECTION));
    for sender in &mut senders {
        sender.expect("STORED\r\nVALUE slow 0 20\r\n01234567890123456789\r\nEND\r\n");
    }
    drop(senders);
    scene.ends();
}

#[test]
fn half_commands_take_little() {
    const OPEN: u64 = 300;
    const ROUNDS: u64 = 5;
    let mut scene = Scene::new(Stack::Ram, &[]);
    for _ in 0..ROUNDS {
        let mut open: Vec<Client> = Vec::new();
        for number in 0..OPEN {
            let mut client = scene.attacker();
            match number % 5 {
                0 => client.send(format!("set half:{number} 0 0 900000\r\n{}", "h".repeat(16_000))),
                1 => client.send(format!("get {}", "k ".repeat(9000))),
                2 => client.send([0x80, 0x01, 0, 1, 8]),
                3 => client.send(format!("mg {}", "m".repeat(1900))),
                _ => client.send("ms half"),
            }
            open.push(client);
            if number % 10 == 0 {
                scene.is_served();
            }
        }
        scene.is_bounded(OPEN * (CUT_OFF + 4096 + CONNECTION));
    }
    scene.ends();
}

#[test]
fn a_storm_of_connections_is_told_and_counted() {
    const PLACES: u64 = 50;
    const BEYOND: u64 = 1000;
    let mut scene = Scene::new(Stack::Ram, &["-c", "50"]);
    let mut guests: Vec<Client> = Vec::new();
    for _ in 1..PLACES {
        let mut guest = scene.attacker();
        guest.ask("mn\r\n", "MN\r\n");
        guests.push(guest);
    }
    for number in 0..BEYOND {
        let mut refused = scene.attacker();
        refused.expect("ERROR Too many open connections\r\n");
        refused.expect_close();
        if number % 10 == 0 {
            scene.is_served();
        }
    }
    assert_eq!(scene.polite.stat("rejected_connections"), BEYOND);
    assert_eq!(scene.polite.stat("curr_connections"), PLACES);
    scene.is_bounded(PLACES * CONNECTION);
    drop(guests);
    let polite = &mut scene.polite;
    until("the places to be free", || (polite.stat("curr_connections") == 1).then_some(()));
    scene.attacker().ask("mn\r\n", "MN\r\n");
    scene.ends();
}

/// Each may leave 4 MiB of answers unread, but all together no more than may be in flight.
#[test]
fn unread_answers_of_many_are_bounded_together() {
    const CLIENTS: u64 = 20;
    const ASKED: usize = 5000;
    let mut scene = Scene::new(Stack::Ram, &[]);
    let value = "u".repeat(8000);
    scene.polite.set("u", &value);
    let mut clients: Vec<Client> = Vec::new();
    let mut written = 0;
    for _ in 0..CLIENTS {
        let mut client = scene.attacker();
        client.send("get u\r\n".repeat(ASKED));
        client.expect("VALUE u");
        clients.push(client);
        scene.is_served();
    }
    // Until the kernel takes no more from the server either.
    for _ in 0..50 {
        scene.is_served();
        written = written.max(scene.polite.stat("bytes_written"));
    }
    let unsent = scene.polite.own_stat("bytes_unsent");
    assert!(unsent > 0, "{written} bytes are written, and all of it is taken");
    assert!(unsent <= IN_FLIGHT + UNSENT + CLIENTS * WAITING, "{unsent} bytes are unsent");
    scene.is_bounded(2 * (IN_FLIGHT + UNSENT) + CLIENTS * (2 * WAITING));
    let mut reader = clients.pop().expect("there are clients");
    reader.expect(format!(" 0 8000\r\n{value}\r\nEND\r\n"));
    for _ in 1..ASKED {
        reader.expect(format!("VALUE u 0 8000\r\n{value}\r\nEND\r\n"));
    }
    drop((clients, reader));
    scene.ends();
}

/// Values of one key that come faster than they are stored wait with their client, not in memory.
#[test]
fn large_values_of_one_key_wait_outside() {
    const VALUES: usize = 14;
    const VALUE_BYTES: usize = 1_000_000;
    let mut scene = Scene::new(Stack::Sqlite, &[]);
    let mut attacker = scene.attacker();
    let sender = thread::spawn(move || {
        let request = format!("set one 0 0 {VALUE_BYTES}\r\n{}\r\n", "o".repeat(VALUE_BYTES));
        for _ in 0..VALUES {
            attacker.send(&request);
        }
        for _ in 0..VALUES {
            attacker.expect("STORED\r\n");
        }
    });
    while !sender.is_finished() {
        scene.is_served();
        // The one that is being received when the bound is passed comes on top.
        let waiting = scene.polite.own_stat("bytes_unsent");
        assert!(waiting <= UNSENT + 2 * MIB, "{waiting} bytes wait with one connection");
        assert!(scene.polite.own_stat("bytes_in_flight") <= IN_FLIGHT);
        scene.is_bounded(STORE + IN_FLIGHT + 2 * UNSENT);
    }
    sender.join().expect("all values are stored");
    scene.ends();
}
