//! Fifty clients of three protocols on a module that answers "later" at random: every reply comes, once, in its order, and
//! the module sees its rules kept. The module watches its own memory, if the compiler can make it do so.
//!
//! A few seconds; for longer:
//!
//!     LARDER_MODULE_SECONDS=600 cargo test -p larder --test serve heavy_fifty

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::modules::build::{has_compiler, module};
use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

const CLIENTS: usize = 50;
const SECONDS: u64 = 3;

/// The compiler's library that watches memory, which must be in the process before the module is.
fn watcher() -> Option<PathBuf> {
    let output = Command::new("cc").arg("-print-file-name=libasan.so").output().unwrap();
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    if !path.is_absolute() {
        eprintln!("without watched memory: the compiler has no libasan.so");
    }
    path.is_absolute().then_some(path)
}

fn seconds() -> u64 {
    std::env::var("LARDER_MODULE_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number of seconds"))
}

#[test]
fn heavy_fifty_clients_of_three_protocols_get_every_reply() {
    if !has_compiler() {
        return;
    }
    for defines in [&[][..], &["-DARITHMETIC"]] {
        campaign(defines, Duration::from_secs(seconds()) / 2);
    }
}

fn campaign(defines: &[&str], length: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let config = format!("rate=50;strays=20;ghosts=true;report={}", report.display());
    let mut defines = defines.to_vec();
    let watcher = watcher();
    if watcher.is_some() {
        defines.push("-fsanitize=address");
    }
    let mut launch = Launch::bare()
        .args(["-l", "127.0.0.1:0", "-t", "4", "-e", &config])
        .arg("-E")
        .arg(module("blocking.c", &defines));
    if let Some(watcher) = watcher {
        // What is in use at the end is the witness's affair; the process ends without a farewell to C.
        launch = launch.environment("LD_PRELOAD", watcher).environment("ASAN_OPTIONS", "detect_leaks=0");
    }
    let server = launch.start();
    let end = Instant::now() + length;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || work(server, number, end));
        }
    });
    let mut client = server.connect();
    assert_ne!(client.stack_stat("module_blocked"), 0);
    assert_eq!(client.stack_stat("module_breaches"), 0);
    until("what was left is done", || (client.stack_stat("module_pending") == 0).then_some(()));
    drop(client);
    server.stop_cleanly();
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("violations 0\n") && report.contains("held 0\n"), "{report}");
}

/// One client after the other, each for some rounds; some leave in the middle of an answer.
fn work(server: &Server, number: usize, end: Instant) {
    let mut round = 0;
    while Instant::now() < end {
        let mut client = server.connect();
        for _ in 0..20 {
            let key = format!("client{number}:{round}");
            match number % 3 {
                0 => text(&mut client, &key),
                1 => meta(&mut client, &key),
                _ => binary(&mut client, &key),
            }
            round += 1;
        }
        if round % 60 == 0 {
            client.send(format!("get client{number}:left\r\nset client{number}:left 0 0 1\r\nx\r\n"));
        }
    }
}

fn text(client: &mut Client, key: &str) {
    client.ask(
        format!(
            "set {key} 5 0 2\r\n41\r\nget {key} none {key}\r\nincr {key} 1\r\nappend {key} 0 0 1\r\nx\r\n\
             touch {key} 100\r\ngets none\r\nget {key}\r\ndelete {key}\r\nget {key}\r\n"
        ),
        format!(
            "STORED\r\nVALUE {key} 5 2\r\n41\r\nVALUE {key} 5 2\r\n41\r\nEND\r\n42\r\nSTORED\r\n\
             TOUCHED\r\nEND\r\nVALUE {key} 5 3\r\n42x\r\nEND\r\nDELETED\r\nEND\r\n"
        ),
    );
}

fn meta(client: &mut Client, key: &str) {
    client.ask(
        format!(
            "ms {key} 2 F5 O1\r\n41\r\nmg {key} v f O2\r\nma {key} v O3\r\nmg {key} v T100 O4\r\n\
             ms {key} 1 MA O5\r\nx\r\nmg none v O6\r\nmg {key} s v O7\r\nmd {key} O8\r\nmg {key} v O9\r\nmn\r\n"
        ),
        "HD O1\r\nVA 2 f5 O2\r\n41\r\nVA 2 O3\r\n42\r\nVA 2 O4\r\n42\r\nHD O5\r\nEN O6\r\n\
         VA 3 s3 O7\r\n42x\r\nHD O8\r\nEN O9\r\nMN\r\n",
    );
}

/// Opcode and status are looked at, and that each answer is that to its own request.
fn binary(client: &mut Client, key: &str) {
    const SET: u8 = 0x01;
    const GET: u8 = 0x00;
    const INCREMENT: u8 = 0x05;
    const TOUCH: u8 = 0x1c;
    const DELETE: u8 = 0x04;
    const NOOP: u8 = 0x0a;
    let none = 0xffff_ffff_u32.to_be_bytes();
    let step = [&1u64.to_be_bytes()[..], &[0; 8], &none].concat();
    let requests: [(u8, &[u8], &[u8], u8); 7] = [
        (SET, &[0; 8], b"41", 0),
        (GET, b"", b"", 0),
        (INCREMENT, &step, b"", 0),
        (TOUCH, &[0, 0, 0, 100], b"", 0),
        (DELETE, b"", b"", 0),
        (GET, b"", b"", 1),
        (NOOP, b"", b"", 0),
    ];
    let mut sent = Vec::new();
    for (number, (opcode, extras, value, _)) in requests.iter().enumerate() {
        let key = if *opcode == NOOP { "" } else { key };
        let mut header = [0; 24];
        (header[0], header[1], header[3], header[4]) = (0x80, *opcode, key.len() as u8, extras.len() as u8);
        header[11] = (extras.len() + key.len() + value.len()) as u8;
        header[15] = number as u8;
        sent.extend([&header[..], extras, key.as_bytes(), value].concat());
    }
    client.send(sent);
    for (number, (opcode, _, _, status)) in requests.iter().enumerate() {
        let header = client.bytes(24);
        let body = client.bytes(u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize);
        let seen = (header[0], header[1], header[7], header[15]);
        assert_eq!(seen, (0x81, *opcode, *status, number as u8), "{key}: {}", String::from_utf8_lossy(&body));
        match (*opcode, *status) {
            (GET, 0) => assert_eq!(&body[4..], b"41"),
            (INCREMENT, 0) => assert_eq!(body, 42u64.to_be_bytes()),
            _ => {}
        }
    }
}
