//! larder and memcached, answering the same.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use larder_differ::campaign::{self, Options, Report};
use larder_differ::differences::{DIFFERENCES, WAIT};
use larder_differ::generate::Scope;
use larder_differ::reply::{self, Answer};
use larder_differ::servers::{Addresses, Memcached, Programs, Servers};
use larder_differ::stream::Dialect;

use support::liar::Liar;

/// Decides the streams of every run of the tests; `cargo xtask differ` takes any.
const SEED: u64 = 1;

fn programs(store: &str) -> Programs {
    let larder = std::env::var_os("LARDER_BIN")
        .expect("LARDER_BIN does not name the server: run the tests with `cargo xtask test`");
    Programs { larder: larder.into(), store: store.to_owned(), memcached: "memcached".into() }
}

/// Whether tests that need programs from outside are left out; they then return at once.
fn is_left_out() -> bool {
    let is_quick = std::env::var_os("LARDER_TEST_QUICK").is_some_and(|value| value == "1");
    if is_quick {
        eprintln!("left out: LARDER_TEST_QUICK is set");
    }
    is_quick
}

fn options(dialect: Dialect, commands: u64, scope: Scope) -> Options {
    Options { dialect, commands, seed: SEED, first_stream: 0, scope }
}

/// So many commands of each dialect side by side, and the streams that wait.
#[track_caller]
fn answers_alike(store: &str, commands: u64) {
    let programs = programs(store);
    let reports: Vec<Report> = std::thread::scope(|threads| {
        let programs = &programs;
        let running: Vec<_> = Dialect::ALL
            .into_iter()
            .flat_map(|dialect| {
                let scope = Scope { reads: programs.notes_reads(), great_numbers: true };
                let streams = options(dialect, commands.div_ceil(Dialect::ALL.len() as u64), scope);
                [
                    threads.spawn(move || campaign::run(programs, &streams, &|_| {})),
                    threads.spawn(move || campaign::run_expiring(programs, &streams)),
                ]
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a campaign does not panic").expect("a campaign runs"))
            .collect()
    });
    let findings: Vec<_> = reports.iter().filter_map(|report| report.finding.as_deref()).collect();
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
    let sent: u64 = reports.iter().map(|report| report.commands).sum();
    assert!(sent >= commands, "only {sent} commands were sent");
}

#[test]
fn heavy_a_million_commands_are_answered_alike() {
    if !is_left_out() {
        answers_alike("ram", 1_000_000);
    }
}

#[test]
fn heavy_a_cache_above_a_store_answers_as_memcached_does() {
    if !is_left_out() {
        answers_alike("ram > sqlite", 50_000);
    }
}

/// A run of one dialect against memcached and another one behind a liar.
fn run_against_liar(dialect: Dialect, truth: &'static [u8], lie: &'static [u8]) -> (Report, Liar) {
    let [behind, memcached] =
        [(), ()].map(|()| Memcached::start(Path::new("memcached")).expect("memcached starts"));
    let liar = Liar::start(behind.address(), truth, lie);
    let addresses = Addresses { larder: liar.address(), memcached: memcached.address() };
    let scope = Scope { reads: true, great_numbers: false };
    let report = campaign::run_against(&addresses, &options(dialect, 30_000, scope), &|_| {}).expect("a run");
    (report, liar)
}

#[test]
fn heavy_a_server_that_tells_the_truth_is_believed() {
    if is_left_out() {
        return;
    }
    for dialect in Dialect::ALL {
        let (report, liar) = run_against_liar(dialect, b"\0no answer has this\0", b"");
        assert_eq!(report.finding, None);
        assert_eq!(liar.lies(), 0);
        assert!(report.commands >= 30_000);
    }
}

/// A deliberately wrong answer is found, and what is printed shows it: both answers, and how to repeat the run.
#[test]
fn heavy_a_wrong_answer_is_found_and_cut_down() {
    if is_left_out() {
        return;
    }
    let lies: &[(Dialect, &[u8], &[u8], &str)] = &[
        // A word for another, a success that was none, an answer left out, an answer too many.
        (Dialect::Text, b"NOT_STORED\r\n", b"STORED\r\n", "NOT_STORED"),
        (Dialect::Text, b"DELETED\r\n", b"NOT_FOUND\r\n", "DELETED"),
        (Dialect::Text, b"TOUCHED\r\n", b"", "TOUCHED"),
        (Dialect::Text, b"TOUCHED\r\n", b"TOUCHED\r\nTOUCHED\r\n", "TOUCHED"),
        // A number, client flags, a time, an opaque, an error's words.
        (Dialect::Text, b"\r\n4294967296\r\n", b"\r\n4294967297\r\n", "4294967296"),
        (Dialect::Text, b"VALUE k1 42 ", b"VALUE k1 43 ", "VALUE k1 42"),
        (Dialect::Meta, b" t-1", b" t500", "t-1"),
        (Dialect::Meta, b" W\r\n", b"\r\n", " W"),
        (Dialect::Meta, b" h1", b" h0", "h1"),
        (Dialect::Meta, b"CLIENT_ERROR bad data chunk\r\n", b"CLIENT_ERROR bad chunk\r\n", "bad data chunk"),
        // A status, a byte of a value.
        (Dialect::Binary, b"\x81\x01\0\0\0\0\0\0", b"\x81\x01\0\0\0\0\0\x02", "x81\\x01"),
        (Dialect::Binary, b"Not found", b"Not_found", "Not found"),
    ];
    for &(dialect, truth, lie, shown) in lies {
        let (report, liar) = run_against_liar(dialect, truth, lie);
        let what = truth.escape_ascii();
        let finding = report.finding.unwrap_or_else(|| panic!("{what}: not found in {} lies", liar.lies()));
        assert!(finding.contains(&format!("--seed {SEED} --protocol {}", dialect.name())), "{finding}");
        assert!(finding.contains(shown), "{what}: {finding}");
        let count: usize = finding
            .split_once(" commands matter")
            .and_then(|(before, _)| before.rsplit(['\n', ' ']).next())
            .and_then(|count| count.parse().ok())
            .unwrap_or_else(|| panic!("no count in {finding}"));
        assert!(count <= 4, "{what}: {count} commands are left:\n{finding}");
    }
}

/// What each server answers to a difference's example, on a connection of its own.
fn answers(servers: &Addresses, example: &[u8]) -> [Answer; 2] {
    let dialect = if example.starts_with(b"\x80") { Dialect::Binary } else { Dialect::Meta };
    [servers.larder, servers.memcached].map(|address| {
        let mut socket = TcpStream::connect(address).expect("a server");
        let parts: Vec<&[u8]> = split(example, WAIT);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                // Time is what is waited for.
                std::thread::sleep(Duration::from_secs(4));
            }
            socket.write_all(part).expect("it takes the example");
        }
        socket.shutdown(Shutdown::Write).expect("a connection");
        let mut bytes = Vec::new();
        // A server that closes while something is unread ends with an error; what it answered is there.
        let _ = socket.read_to_end(&mut bytes);
        reply::parse(dialect, &bytes)
    })
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    match bytes.windows(separator.len()).position(|window| window == separator) {
        Some(place) => {
            let mut parts = vec![&bytes[..place]];
            parts.extend(split(&bytes[place + separator.len()..], separator));
            parts
        }
        None => vec![bytes],
    }
}

/// Every difference on the list is one, and is the one it is said to be.
#[test]
fn heavy_each_difference_occurs() {
    if is_left_out() {
        return;
    }
    let servers = Servers::start(&programs("ram")).expect("the servers start");
    let mut wrong = String::new();
    for difference in DIFFERENCES {
        servers.addresses().flush("flush_all").expect("both are emptied");
        let [larder, memcached] = answers(&servers.addresses(), difference.example);
        let dialect = if difference.example.starts_with(b"\x80") { Dialect::Binary } else { Dialect::Meta };
        for (name, heard, told) in
            [("larder", &larder, difference.larder), ("memcached", &memcached, difference.memcached)]
        {
            if !is_said(heard, &reply::parse(dialect, told)) {
                let (heard, told) = (heard.raw.escape_ascii(), told.escape_ascii());
                wrong += &format!("{}: {name} answered\n  {heard}, not\n  {told}\n", difference.name);
            }
        }
        if reply::is_same(&larder, &memcached) {
            wrong += &format!("{}: it is no difference\n", difference.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Whether an answer is the one of the list. A time that has wrapped depends on when memcached started.
fn is_said(heard: &Answer, told: &Answer) -> bool {
    const DAYS_60: i64 = 60 * 86_400;
    let is_wrapped = |seconds: i64| seconds > i64::from(u32::MAX) - DAYS_60;
    reply::is_same_but(heard, told, |heard, told| {
        (heard - told).abs() <= reply::SECONDS_TOLERANCE || (is_wrapped(heard) && is_wrapped(told))
    })
}

/// The documentation lists the same differences in the same order, each with a reason.
#[test]
fn the_documentation_lists_each_difference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
    let text = std::fs::read_to_string(path).expect("docs/compatibility.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("| what |"))
        .skip(2)
        .take_while(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let listed: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let known: Vec<&str> = DIFFERENCES.iter().map(|difference| difference.name).collect();
    assert_eq!(listed, known);
    for row in rows {
        assert!(row.len() == 4 && row.iter().all(|cell| !cell.is_empty()), "{row:?} lacks a cell");
    }
}
