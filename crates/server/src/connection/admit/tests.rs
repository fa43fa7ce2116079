use super::*;
use crate::users::Format;

/// A password file's users, and the counters of a worker.
fn users() -> (Users, Counters) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    std::fs::write(&path, "ann:open sesame\n").expect("written");
    (Users::read(&path, Format::Text).expect("a good file"), Counters::default())
}

struct Said {
    answers: Vec<u8>,
    verdict: Verdict,
    rest: Vec<u8>,
}

/// Says all of it, cut into pieces of `piece` bytes, until the gate has made up its mind.
fn say(dialect: Dialect, users: &Users, counters: &Counters, sent: &[u8], piece: usize) -> Said {
    let mut gate = Gate { users, counters, version: "1.6.0", dialect };
    let (mut input, mut answers) = (Secret::default(), Vec::new());
    let mut pieces = sent.chunks(piece);
    while let Some(piece) = pieces.next() {
        input.extend(piece);
        let verdict = gate.look(&mut input, &mut answers);
        if verdict != Verdict::More {
            let rest = [input.bytes(), &pieces.collect::<Vec<_>>().concat()].concat();
            return Said { answers, verdict, rest };
        }
    }
    Said { answers, verdict: Verdict::More, rest: input.bytes().to_vec() }
}

#[track_caller]
fn check_text(sent: &str, answered: &str, verdict: Verdict, rest: &str) {
    let (users, counters) = users();
    for piece in 1..=sent.len() {
        let said = say(Dialect::Text, &users, &counters, sent.as_bytes(), piece);
        assert_eq!(String::from_utf8_lossy(&said.answers), answered, "in pieces of {piece}");
        assert_eq!(said.verdict, verdict, "in pieces of {piece}");
        assert_eq!(String::from_utf8_lossy(&said.rest), rest, "in pieces of {piece}");
    }
}

const RIGHT: &str = "set auth 0 0 15\r\nann open sesame\r\n";
const WRONG: &str = "set auth 0 0 9\r\nann close\r\n";

#[test]
fn text_enters_with_the_right_password_alone() {
    let ann = || Verdict::Enter("ann".into());
    check_text(RIGHT, "STORED\r\n", ann(), "");
    check_text(&format!("{RIGHT}get a\r\n"), "STORED\r\n", ann(), "get a\r\n");
    check_text(WRONG, "CLIENT_ERROR authentication failure\r\n", Verdict::More, "");
    let both = format!("get a\r\n{WRONG}{RIGHT}");
    let answers = "CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR authentication failure\r\nSTORED\r\n";
    check_text(&both, answers, ann(), "");
    let refused = "CLIENT_ERROR unauthenticated\r\n".repeat(3);
    check_text("mg a v\r\nversion\r\nquit\r\n", &refused, Verdict::More, "");
    let format = "CLIENT_ERROR bad authentication token format\r\n";
    check_text("set a 0 0 3\r\nann\r\n", format, Verdict::More, "");
    let end = "CLIENT_ERROR bad command line termination\r\n";
    check_text("set a 0 0 3\r\nann  ", end, Verdict::More, "");
    let long = "CLIENT_ERROR auth token too long\r\n";
    check_text("set a 0 0 16385\r\n", long, Verdict::Close, "set a 0 0 16385\r\n");
}

#[test]
fn attempts_and_failures_are_counted() {
    let (users, counters) = users();
    let sent = format!("get a\r\n{WRONG}{WRONG}{RIGHT}");
    say(Dialect::Text, &users, &counters, sent.as_bytes(), sent.len());
    assert_eq!((counters.auth_cmds.value(), counters.auth_errors.value()), (3, 2));
}

/// A packet without extras.
fn packet(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 24];
    packet[0] = 0x80;
    packet[1] = opcode;
    packet[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
    packet[8..12].copy_from_slice(&((key.len() + value.len()) as u32).to_be_bytes());
    packet[12..16].copy_from_slice(&0xfeed_u32.to_be_bytes());
    packet.extend_from_slice(key);
    packet.extend_from_slice(value);
    packet
}

fn answer(opcode: u8, status: u16, body: &[u8]) -> Vec<u8> {
    let mut answer = packet(opcode, b"", body);
    answer[0] = 0x81;
    answer[6..8].copy_from_slice(&status.to_be_bytes());
    answer
}

#[track_caller]
fn check_packets(sent: &[Vec<u8>], answered: &[Vec<u8>], verdict: Verdict) {
    let (users, counters) = users();
    let sent = sent.concat();
    for piece in [1, 2, 7, 24, 25, sent.len()] {
        let said = say(Dialect::binary(1 << 20), &users, &counters, &sent, piece);
        assert_eq!(said.answers, answered.concat(), "in pieces of {piece}");
        assert_eq!(said.verdict, verdict, "in pieces of {piece}");
    }
}

#[test]
fn binary_enters_by_sasl_plain_alone() {
    let ann = || Verdict::Enter("ann".into());
    let (list, auth, step) = (0x20, 0x21, 0x22);
    let refused = |opcode| answer(opcode, 0x20, b"Auth failure.");
    let good = b"\0ann\0open sesame";
    check_packets(&[packet(list, b"", b"")], &[answer(list, 0, b"PLAIN")], Verdict::More);
    check_packets(&[packet(auth, b"PLAIN", good)], &[answer(auth, 0, b"Authenticated")], ann());
    check_packets(&[packet(auth, b"PLAIN", b"\0ann\0close")], &[refused(auth)], Verdict::More);
    check_packets(&[packet(auth, b"CRAM-MD5", good)], &[refused(auth)], Verdict::More);
    check_packets(
        &[packet(auth, b"PLAIN", b""), packet(step, b"PLAIN", good)],
        &[answer(auth, 0x21, b""), answer(step, 0, b"Authenticated")],
        ann(),
    );
    let twice = [packet(auth, b"PLAIN", b"\0ann\0close"), packet(auth, b"PLAIN", good)];
    check_packets(&twice, &[refused(auth), answer(auth, 0, b"Authenticated")], ann());
    check_packets(&[packet(0x0b, b"", b"")], &[answer(0x0b, 0, b"1.6.0")], Verdict::More);
}

#[test]
fn any_other_packet_ends_the_connection() {
    let refused = |opcode| answer(opcode, 0x20, b"Auth failure.");
    for opcode in [0x00, 0x04, 0x0c, 0x0d] {
        check_packets(&[packet(opcode, b"key", b"")], &[refused(opcode)], Verdict::Close);
    }
    for opcode in [0x07, 0x08, 0x0a, 0x10, 0x17, 0x55] {
        check_packets(&[packet(opcode, b"", b"")], &[refused(opcode)], Verdict::Close);
    }
    // Text, and bytes that are no packet.
    check_packets(&[b"get a\r\n".to_vec()], &[], Verdict::Close);
}

/// A value larger than what is decoded in one piece is not waited for.
#[test]
fn a_large_value_of_a_stranger_is_not_taken() {
    let (users, counters) = users();
    for (value_bytes, item_size_max) in [(100_000, 1 << 20), (2 << 20, 1 << 20)] {
        let mut set = vec![0; 24 + 8 + 1];
        set[0] = 0x80;
        set[1] = 0x01;
        set[3] = 1;
        set[4] = 8;
        set[8..12].copy_from_slice(&(9 + value_bytes as u32).to_be_bytes());
        let said = say(Dialect::binary(item_size_max), &users, &counters, &set, set.len());
        assert_eq!(said.verdict, Verdict::Close);
        assert_eq!(said.answers[6..8], [0, 0x20]);
    }
}
