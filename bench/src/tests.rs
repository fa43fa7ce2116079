use std::time::Duration;

use clap::{Args as _, FromArgMatches};

use crate::arguments::{Args, Mix, Protocol};
use crate::random::{Chooser, Distribution, Random};
use crate::report::Measured;
use crate::resp;
use crate::workload::Keyspace;

mod server;

use server::{Fault, TestServer};

fn arguments(line: &str) -> Args {
    let command = Args::augment_args(clap::Command::new("bench").no_binary_name(true));
    let matches = command.try_get_matches_from(line.split_whitespace()).unwrap();
    Args::from_arg_matches(&matches).unwrap()
}

fn load(server: &TestServer, line: &str) -> Measured {
    let report = crate::measure(&arguments(&format!("{} --quiet {line}", server.address()))).unwrap();
    report.measured.unwrap()
}

const PROTOCOLS: [&str; 3] = ["text", "meta", "binary"];

#[test]
fn every_operation_in_every_protocol() {
    for protocol in PROTOCOLS {
        let server = TestServer::start(Fault::None);
        let line = format!(
            "--protocol {protocol} --keys 500 --fill --requests 4000 -P 8 -c 6 --threads 2 -s 0-3000 \
             --mix get=4,set=2,incr=1,delete=1"
        );
        let measured = load(&server, &line);
        assert_eq!(measured.operations, 4000, "{protocol}");
        assert!(measured.errors.is_empty(), "{protocol}: {:?}", measured.errors);
        assert_eq!(measured.wrong_values, 0, "{protocol}");
        assert!(measured.hits > 0 && measured.misses > 0, "{protocol}: deletes make misses");
        assert_eq!(measured.latency_by_operation.len(), 4, "{protocol}");
        assert!(measured.client_cpu_ns_per_operation > 0.0);
        assert_eq!(measured.hits + measured.misses, measured.latency_by_operation["get"].operations);
    }
}

#[test]
fn a_get_of_many_keys_counts_each() {
    for protocol in PROTOCOLS {
        let server = TestServer::start(Fault::None);
        let line = format!("--protocol {protocol} --keys 100 --fill --requests 50 --mix get --get-keys 20");
        let measured = load(&server, &line);
        assert_eq!((measured.operations, measured.hits, measured.misses), (50, 1000, 0), "{protocol}");
        assert_eq!(measured.wrong_values, 0, "{protocol}");
    }
}

#[test]
fn wrong_values_are_seen() {
    for protocol in PROTOCOLS {
        let server = TestServer::start(Fault::WrongValues);
        let line = format!("--protocol {protocol} --keys 10 --fill --requests 100 --mix get");
        assert_eq!(load(&server, &line).wrong_values, 100, "{protocol}");
    }
}

#[test]
fn errors_are_counted_by_their_text() {
    let server = TestServer::start(Fault::RefusesSets);
    let measured = load(&server, "--requests 30 --mix set");
    let errors: Vec<_> = measured.errors.into_iter().collect();
    assert_eq!(errors, [("SERVER_ERROR out of memory storing object".to_owned(), 30)]);
    let filling = arguments(&format!("{} --quiet --fill --keys 5", server.address()));
    let error = crate::measure(&filling).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
}

#[test]
fn a_server_that_hangs_up_is_an_error() {
    let server = TestServer::start(Fault::HangsUp);
    let error = crate::measure(&arguments(&format!("{} --quiet", server.address()))).unwrap_err();
    assert!(error.to_string().contains("every connection was lost"), "{error:#}");
    let nobody = crate::measure(&arguments("127.0.0.1:1 --quiet")).unwrap_err();
    assert!(nobody.to_string().contains("is the server running there?"), "{nobody:#}");
}

#[test]
fn an_open_loop_keeps_its_rate_and_counts_waiting() {
    let server = TestServer::start(Fault::None);
    let measured = load(&server, "--rate 2000 --requests 200 --mix set");
    // The last starts 199 intervals after the first.
    assert!(measured.seconds >= 199.0 / 2000.0, "{}", measured.seconds);
    let slow = TestServer::start(Fault::Slow(Duration::from_millis(20)));
    let measured = load(&slow, "--rate 2000 --seconds 0.5 --mix set -c 1");
    assert!(measured.not_started > 0, "one connection cannot do it");
    // A closed loop would say 20 ms; what waited for its turn is counted here.
    assert!(measured.latency.max_us > 100_000.0, "{}", measured.latency.max_us);
}

#[test]
fn the_servers_processor_time_is_reported() {
    let server = TestServer::start(Fault::None);
    let measured = load(&server, &format!("--requests 2000 --warm-up 0.05 --pid {}", std::process::id()));
    let cpu = measured.server_cpu.unwrap();
    assert!(cpu.ns_per_operation > 0.0);
    assert!(cpu.ns_per_operation_by_thread.keys().any(|name| name.starts_with("load")));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (line, word) in [
        ("localhost", "HOST:PORT"),
        ("-c 0", "--connections"),
        ("-t 60", "--connections"),
        ("--keys 100000 --key-length 4", "takes 5"),
        ("--rate 0", "--rate"),
        ("--protocol redis --exptime 5", "--exptime"),
    ] {
        let error = crate::measure(&arguments(line)).unwrap_err().to_string();
        assert!(error.contains(word), "{line}: {error}");
    }
    assert!("get=0".parse::<Mix>().is_err());
    assert!("gat=1".parse::<Mix>().unwrap_err().contains("get, set, incr and delete"));
    assert!("zipf(-1)".parse::<Distribution>().is_err());
}

#[test]
fn keys_and_values_are_told_apart() {
    let keyspace = Keyspace::new(&arguments("--keys 1000 --key-prefix user: --key-length 20 -s 10-900"));
    let mut lengths = Vec::new();
    for number in [0, 1, 42, 999] {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        keyspace.put_key(number, &mut key);
        keyspace.put_value(number, &mut value);
        assert_eq!((key.len(), keyspace.number_of(&key)), (20, Some(number)));
        assert!(keyspace.is_value_of(number, &value, true));
        assert!(!keyspace.is_value_of(number + 1, &value, false));
        *value.last_mut().unwrap() ^= 1;
        assert!(!keyspace.is_value_of(number, &value, true));
        lengths.push(value.len());
    }
    assert!(lengths.iter().all(|length| (10..=900).contains(length)) && lengths[0] != lengths[1]);
    assert_eq!(keyspace.number_of(b"user:x"), None);
}

#[test]
fn zipf_has_its_shape_and_reaches_every_key() {
    let mut random = Random::new(5);
    let chooser = Chooser::new(Distribution::Zipf { exponent: 1.0 }, 100);
    let mut counts = vec![0u32; 100];
    for _ in 0..200_000 {
        counts[chooser.choose(&mut random) as usize] += 1;
    }
    assert!(counts.iter().all(|count| *count > 0));
    counts.sort_unstable_by(|a, b| b.cmp(a));
    // The sum of 1/n up to 100 is 5.187: the first has 19.3 % of all, ten times the tenth.
    assert!((37_000..40_200).contains(&counts[0]), "{}", counts[0]);
    assert!((3500..4300).contains(&counts[9]), "{}", counts[9]);
}

#[test]
fn the_same_seed_gives_the_same_keys() {
    let draw = |seed| {
        let (mut random, chooser) = (Random::new(seed), Chooser::new(Distribution::Uniform, 1000));
        (0..50).map(|_| chooser.choose(&mut random)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn redis_replies_are_read_however_they_are_cut() {
    let stream = b"+OK\r\n$3\r\nabc\r\n$-1\r\n:17\r\n-ERR no\r\n*2\r\n";
    let expected = [
        resp::Reply::Simple(b"OK"),
        resp::Reply::Bulk(Some(b"abc")),
        resp::Reply::Bulk(None),
        resp::Reply::Number(17),
        resp::Reply::Error(b"ERR no"),
        resp::Reply::Array(2),
    ];
    let mut rest = &stream[..];
    for reply in expected {
        let (found, consumed) = resp::decode(rest).unwrap().unwrap();
        assert_eq!(found, reply);
        for cut in 0..consumed {
            assert_eq!(resp::decode(&rest[..cut]), Ok(None), "cut at {cut}");
        }
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty() && resp::decode(b"VALUE\r\n").is_err());
    let mut out = Vec::new();
    resp::begin(2, &mut out);
    resp::put(b"GET", &mut out);
    resp::put(b"key", &mut out);
    assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    assert_eq!(arguments("--protocol redis").protocol, Protocol::Redis);
}
