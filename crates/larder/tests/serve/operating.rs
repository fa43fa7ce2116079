//! Sockets, names, signals, metrics: larder as an operator meets it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

#[test]
fn a_unix_socket_beside_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listen = format!("unix:{},127.0.0.1:0", socket.display());
    let server = Launch::bare().args(["--store", "ram", "-a", "760", "-l", &listen]).start();
    assert_eq!(server.socket(), socket);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o760);
    Client::unix(&socket).set("a", "1");
    assert_eq!(server.connect().get("a").as_deref(), Some("1"));
    server.stop_cleanly();
}

#[test]
fn memory_comes_in_small_pages() {
    let server = Launch::bare().args(["--store", "ram"]).start();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let huge_pages = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert!(huge_pages.is_none_or(|enabled| enabled.trim() == "0"), "{huge_pages:?}");
    server.stop_cleanly();
}

#[test]
fn a_unix_socket_alone_replaces_a_stale_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let launch = Launch::bare().args(["--store", "ram", "-s"]).arg(&socket);
    let server = launch.start();
    assert!(!server.start_line().contains("127.0.0.1"), "no TCP: {}", server.start_line());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    server.kill();
    assert!(socket.exists(), "a kill leaves the socket behind");
    let server = launch.start();
    Client::unix(&socket).set("a", "1");
    server.stop_cleanly();
}

#[test]
fn called_as_memcached_it_is_memcached() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("memcached");
    symlink(env!("CARGO_BIN_EXE_larder"), &name).unwrap();
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let port_argument = port.to_string();
    let server = Launch::of(&name).args(["-p", &port_argument]).inside(folder.path()).start_silently();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    until("it to listen", || TcpStream::connect(address).ok());
    let mut client = Client::tcp(address);
    client.set("a", "1");
    let settings = client.stats("settings");
    let setting = |name: &str| settings.iter().find(|(other, _)| other == name).expect("a setting").1.clone();
    assert_eq!((setting("maxbytes"), setting("num_threads")), ((64 << 20).to_string(), "4".to_owned()));
    let stack = client.stats("larder").into_iter().find(|(name, _)| name.ends_with(":expression"));
    assert_eq!(stack.map(|(_, expression)| expression).as_deref(), Some("ram"));
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["memcached"], "nothing is written");
    server.stop_cleanly();
}

#[test]
fn root_is_warned_and_served() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("ram > sqlite", data.path()).start();
    server.connect().set("a", "1");
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("Linux says Uid");
    let is_root = user.split_whitespace().next() == Some("0");
    let (status, log) = server.stop();
    assert!(status.success());
    assert_eq!(log.contains("root"), is_root, "{log}");
}

#[test]
fn a_client_s_shutdown_is_obeyed_where_it_is_allowed() {
    for command in ["shutdown\r\n", "shutdown graceful\r\n"] {
        let data = tempfile::tempdir().unwrap();
        let launch = Launch::new("sqlite", data.path());
        let server = launch.clone().arg("-A").start();
        let mut client = server.connect();
        client.set("a", "1");
        client.ask("shutdown soon\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
        client.send(command);
        client.expect_close();
        assert!(server.wait_for_exit().success());
        let server = launch.start();
        assert_eq!(server.connect().get("a").as_deref(), Some("1"));
    }
}

#[test]
fn signals_stop_it_cleanly() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1] {
        let data = tempfile::tempdir().unwrap();
        let server = Launch::new("ram > sqlite", data.path()).start();
        let mut idle = server.connect();
        idle.set("a", "1");
        server.signal(signal);
        assert!(server.wait_for_exit().success());
        idle.expect_close();
    }
}

/// A client sends on and on without waiting for answers; the stop finds requests of it unread.
#[test]
fn a_stop_takes_no_answer_away() {
    for _ in 0..5 {
        let data = tempfile::tempdir().unwrap();
        let server = Launch::new("ram > sqlite", data.path()).start();
        let stream = TcpStream::connect(server.address()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let is_over = AtomicBool::new(false);
        let answers = thread::scope(|scope| {
            scope.spawn(|| {
                let request = b"set k 0 0 1\r\nx\r\n".repeat(1000);
                // It ends when the server no longer takes anything, too.
                while !is_over.load(Ordering::Acquire) {
                    if writer.write_all(&request).is_err() {
                        return;
                    }
                }
            });
            let reading = scope.spawn(|| {
                let mut answers = Vec::new();
                let outcome = (&stream).read_to_end(&mut answers);
                is_over.store(true, Ordering::Release);
                // Whatever waits in a write is let go.
                stream.shutdown(Shutdown::Both).ok();
                outcome.map(|_| answers)
            });
            let mut counter = server.connect();
            until("some answers", || (counter.stat("cmd_set") > 5000).then_some(()));
            server.signal(libc::SIGTERM);
            reading.join().expect("the reader does not panic")
        });
        let answers = answers.expect("the connection ends, it is not reset");
        assert!(answers.len().is_multiple_of(8) && answers.ends_with(b"STORED\r\n"), "whole answers only");
        assert!(server.wait_for_exit().success());
    }
}

/// One request over HTTP: the status line, and everything after the head.
pub fn fetch(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().expect("a status line").to_owned(), body.to_owned())
}

/// A server that also serves metrics, and where.
fn with_metrics(data: &Path) -> (Server, SocketAddr) {
    let launch = Launch::new("ram > sqlite", data).args(["--metrics", "127.0.0.1:0", "-v"]);
    let server = launch.start();
    let address = metrics_of(&server);
    (server, address)
}

/// Where a server serves metrics; it logs what changes.
pub fn metrics_of(server: &Server) -> SocketAddr {
    until("the log to say where metrics are", || {
        let log = server.log();
        let (_, rest) = log.split_once("http://")?;
        rest.split_once('/')?.0.parse().ok()
    })
}

#[test]
fn damage_met_while_serving_is_not_ready() {
    const PAGE_BYTES: usize = 4096;
    const LEAF: u8 = 10;
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("sqlite", data.path()).start();
    let mut client = server.connect();
    for number in 0..2000 {
        client.set(&format!("key:{number}"), &"v".repeat(100));
    }
    server.stop_cleanly();
    let file = data.path().join("larder.db");
    let mut bytes = fs::read(&file).unwrap();
    for page in bytes.chunks_mut(PAGE_BYTES).skip(1) {
        if page[0] == LEAF && page.windows(8).any(|window| window == b"key:1500") {
            page.fill(0x5a);
        }
    }
    fs::write(&file, bytes).unwrap();
    let (server, address) = with_metrics(data.path());
    let mut client = server.connect();
    for _ in 0..3 {
        client.ask("get key:1500\r\n", "SERVER_ERROR the data file is damaged\r\n");
    }
    let (status, body) = fetch(address, "/ready");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.contains("ram > sqlite") && body.contains("damaged"), "{body}");
    let stats = client.stats("larder");
    let ready =
        stats.iter().find(|(name, _)| name.ends_with(":ready")).expect("a stack says whether it is ready");
    assert!(ready.1.contains("damaged"), "{ready:?}");
    client.ask("get key:1\r\n", format!("VALUE key:1 0 100\r\n{}\r\nEND\r\n", "v".repeat(100)));
    let log = server.log();
    assert_eq!(log.matches("damaged (").count(), 1, "said once: {log}");
    assert!(log.contains("larder.db") && log.contains("larder check"), "{log}");
}

#[test]
fn slow_scrapers_hold_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = with_metrics(data.path());
    let slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /re").unwrap();
            stream
        })
        .collect();
    assert_eq!(fetch(address, "/ready").0, "HTTP/1.1 200 OK");
    // A byte now and then does not keep one for ever.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        until("a slow scraper to be given up", || match stream.read(&mut [0; 100]) {
            Ok(_) => Some(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // It may be gone already.
                let _ = stream.write(b"x");
                None
            }
            Err(_) => Some(()),
        });
    }
    server.stop_cleanly();
}

#[test]
fn metrics_and_readiness_are_served() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = with_metrics(data.path());
    let mut client = server.connect();
    client.set("a", "1");
    client.ask("get a b\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    assert_eq!(fetch(address, "/ready"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    let (status, metrics) = fetch(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let number = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing in:\n{metrics}"));
        line.rsplit(' ').next().expect("a value").parse().expect("a number")
    };
    assert_eq!(number("larder_get_hits_total"), 1.0);
    assert_eq!(number("larder_get_misses_total"), 1.0);
    assert_eq!(number("larder_cmd_set_total"), 1.0);
    assert_eq!(number("larder_connections"), 1.0);
    // What engines count are counters, what they hold are gauges, and nothing is both.
    assert!(metrics.contains("# TYPE larder_engine_events counter"), "{metrics}");
    assert!(metrics.contains("# TYPE larder_engine_stat gauge"), "{metrics}");
    let engine = |kind: &str, name: &str| {
        let label = format!("name=\"{name}\"");
        metrics
            .lines()
            .any(|line| line.starts_with(&format!("larder_engine_{kind}{{")) && line.contains(&label))
    };
    for (name, is_count) in [
        ("store:commits", true),
        ("tier_hits", true),
        ("store:commit_microseconds_max", false),
        ("store:queue_bytes", false),
    ] {
        assert_eq!((engine("events_total", name), engine("stat", name)), (is_count, !is_count), "{name}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "each line ends in a number: {line}");
    }
    assert!(fetch(address, "/nonsense").0.contains("404"));
    // Somebody who says nothing holds up nobody.
    let _silent = TcpStream::connect(address).unwrap();
    let mut rude = TcpStream::connect(address).unwrap();
    rude.write_all(&[0xff; 100_000]).ok();
    assert_eq!(fetch(address, "/ready").0, "HTTP/1.1 200 OK");
    assert_eq!(client.get("a").as_deref(), Some("1"));
    server.stop_cleanly();
}
