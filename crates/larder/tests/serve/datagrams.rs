//! UDP: a request in a datagram, its answer in others.

use std::net::{SocketAddr, UdpSocket};

use crate::support::stacks::{Running, Stack};
use crate::support::wait::PATIENCE;
use crate::support::{Client, Launch};

crate::each_stack!(commands_are_answered_in_datagrams, what_is_not_whole_is_refused);

const HEAD_BYTES: usize = 8;
const DATAGRAM_BYTES_MAX: usize = 1400;

/// A server that listens on TCP and UDP.
fn start(stack: Stack) -> (Running, SocketAddr) {
    let running = stack.start_with(&["-U", "-1"]);
    let line = running.server.start_line().to_owned();
    let words = line.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.', ')']));
    let address = words.filter_map(|word| word.strip_prefix("udp:")).next().expect("the line names it");
    (running, address.parse().expect("an address"))
}

fn connect(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn framed(id: u16, count: u16, request: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for number in [id, 0, count, 0] {
        datagram.extend_from_slice(&number.to_be_bytes());
    }
    datagram.extend_from_slice(request);
    datagram
}

/// Receives one whole answer: its id, its bytes and the number of its datagrams.
fn receive(socket: &UdpSocket) -> (u16, Vec<u8>, usize) {
    let mut parts: Vec<Option<Vec<u8>>> = Vec::new();
    let mut id = None;
    loop {
        let mut datagram = [0; 2 * DATAGRAM_BYTES_MAX];
        let length = socket.recv(&mut datagram).expect("an answer");
        assert!((HEAD_BYTES + 1..=DATAGRAM_BYTES_MAX).contains(&length), "{length} bytes");
        let number = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        assert_eq!(*id.get_or_insert(number(0)), number(0));
        assert_eq!(number(6), 0);
        let count = usize::from(number(4));
        parts.resize(count.max(parts.len()), None);
        assert_eq!(parts.len(), count);
        let part = &mut parts[usize::from(number(2))];
        assert!(part.is_none(), "it comes twice");
        *part = Some(datagram[HEAD_BYTES..length].to_vec());
        if parts.iter().all(Option::is_some) {
            return (id.expect("just received"), parts.into_iter().flatten().flatten().collect(), count);
        }
    }
}

#[track_caller]
fn ask(socket: &UdpSocket, id: u16, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    socket.send(&framed(id, 1, request.as_ref())).unwrap();
    let (received, answer, _) = receive(socket);
    assert_eq!(received, id);
    assert_eq!(answer.escape_ascii().to_string(), expected.as_ref().escape_ascii().to_string());
}

fn commands_are_answered_in_datagrams(stack: Stack) {
    let (running, address) = start(stack);
    let socket = connect(address);
    let mut client = running.connect();
    ask(&socket, 1, "set a 5 0 3\r\nabc\r\n", "STORED\r\n");
    client.ask("get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n");
    ask(&socket, 0xfffe, "get a\r\nmg a v\r\nquit\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\nVA 3\r\nabc\r\n");
    ask(&socket, 2, "nonsense\r\n", "ERROR\r\n");
    let noop = |magic: u8| {
        let mut packet = vec![0; 24];
        (packet[0], packet[1]) = (magic, 0x0a);
        packet
    };
    ask(&socket, 3, noop(0x80), noop(0x81));
    // Quiet ones are not answered: what comes is the answer to the next.
    socket.send(&framed(4, 1, b"set b 0 0 1 noreply\r\nx\r\n")).unwrap();
    ask(&socket, 5, "mn\r\n", "MN\r\n");
    crate::support::wait::until("the quiet set", || client.get("b"));

    let large: String = ('a'..='z').cycle().take(50_000).collect();
    client.set("large", &large);
    running.cool(&mut client);
    socket.send(&framed(6, 1, b"get large\r\n")).unwrap();
    let (id, answer, count) = receive(&socket);
    assert_eq!((id, count), (6, (50_000 + 21 + 7usize).div_ceil(DATAGRAM_BYTES_MAX - HEAD_BYTES)));
    assert_eq!(answer, format!("VALUE large 0 50000\r\n{large}\r\nEND\r\n").into_bytes());
    let value = "v".repeat(60_000);
    ask(&socket, 7, format!("set large 0 0 60000\r\n{value}\r\n"), "STORED\r\n");
    assert_eq!(client.get("large"), Some(value));
    assert_eq!(client.stat("curr_connections"), 1);
    assert_eq!(
        client.stats("settings").into_iter().find(|(name, _)| name == "udpport").unwrap().1,
        address.port().to_string()
    );
}

fn what_is_not_whole_is_refused(stack: Stack) {
    const REFUSED: &str = "SERVER_ERROR multi-packet request not supported\r\n";
    let (running, address) = start(stack);
    let socket = connect(address);
    let mut client = running.connect();
    client.set("a", "1");
    for count in [0, 2, 0x0100] {
        socket.send(&framed(count, count, b"delete a\r\n")).unwrap();
        let (id, answer, _) = receive(&socket);
        assert_eq!((id, String::from_utf8_lossy(&answer).as_ref()), (count, REFUSED));
    }
    ask(&socket, 9, "get a\r\ndelete a", format!("VALUE a 0 1\r\n1\r\nEND\r\n{REFUSED}"));
    ask(&socket, 10, "set a 0 0 5\r\nabc", REFUSED);
    ask(&socket, 11, "set a 0 0 70000\r\nabc", REFUSED);
    for short in 0..HEAD_BYTES {
        socket.send(&framed(1, 1, b"")[..short]).unwrap();
    }
    socket.send(&framed(1, 1, b"")).unwrap();
    ask(
        &socket,
        12,
        "watch\r\nlru_crawler metadump all\r\nlru_crawler mgdump all\r\nstats cachedump 1 1\r\n",
        "CLIENT_ERROR watch commands not allowed\r\nERROR metadump not allowed\r\nERROR key dump not allowed\r\n\
         CLIENT_ERROR stats cachedump not allowed\r\n",
    );
    ask(&socket, 13, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    running.server.stop_cleanly();
}

#[test]
fn an_answer_that_is_too_long_is_refused() {
    let (running, address) = start(Stack::Ram);
    let mut client = running.connect();
    client.set("a", &"v".repeat(1_000_000));
    ask(&connect(address), 1, "get a a a\r\n", "SERVER_ERROR the answer is too long for UDP\r\n");
}

#[test]
fn a_server_does_not_answer_its_like() {
    let (_running, address) = start(Stack::Ram);
    // Another host of the loopback, the same port.
    let like = UdpSocket::bind(("127.0.0.2", address.port())).unwrap();
    like.connect(address).unwrap();
    like.send(&framed(1, 1, b"set a 0 0 1\r\nx\r\n")).unwrap();
    // Datagrams of one socket are taken in order, so what follows shows that nothing was done.
    ask(&connect(address), 2, "get a\r\n", "END\r\n");
    like.set_nonblocking(true).unwrap();
    assert!(like.recv(&mut [0; 8]).is_err());
}

#[test]
fn udp_is_off_unless_asked_for_and_warned_about() {
    let running = Stack::Ram.start();
    assert!(!running.server.start_line().contains("udp:"));
    assert!(!running.server.log().contains("UDP"));
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::bare().args(["--store", "ram", "-l", "0.0.0.0:0", "-U", "-1"]);
    let server = launch.arg("--data").arg(data.path()).start();
    server.wait_for_log("UDP on 0.0.0.0:0: ");
    Client::tcp(([127, 0, 0, 1], server.address().port()).into()).ask("get a\r\n", "END\r\n");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refusal = Stack::Ram.launch(data.path()).args(["-U", &port]).refusal();
    assert!(refusal.contains(&format!("cannot listen on udp:127.0.0.1:{port}: ")), "{refusal}");
    let passwords = data.path().join("passwords");
    std::fs::write(&passwords, "a:b\n").unwrap();
    let refusal = Stack::Ram.launch(data.path()).args(["-U", "-1", "-Y"]).arg(&passwords).refusal();
    assert!(refusal.contains("nobody can authenticate over UDP"), "{refusal}");
}
