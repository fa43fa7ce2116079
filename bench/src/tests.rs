use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args as _, FromArgMatches};

use crate::arguments::{Args, Mix, Protocol};
use crate::generator::{Generator, Phase, Shared, Source};
use crate::random::{Chooser, Distribution, Random};
use crate::report::Measured;
use crate::resp;
use crate::workload::{Keyspace, Workload};

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
fn a_batch_waits_for_all_of_its_answers() {
    for protocol in PROTOCOLS {
        let server = TestServer::start(Fault::None);
        let line = format!("--protocol {protocol} --keys 100 --fill --requests 1000 --mix get -P 16 --batch");
        let measured = load(&server, &line);
        assert_eq!(
            (measured.operations, measured.hits, measured.wrong_values),
            (1000, 1000, 0),
            "{protocol}"
        );
    }
}

#[test]
fn what_a_get_misses_is_stored_and_scans_find_nothing() {
    let server = TestServer::start(Fault::None);
    let line = "--keys 50 --key-length 20 --mix get --read-through -s lognormal(150) -c 1 --requests 2000";
    let measured = load(&server, line);
    assert_eq!((measured.hits + measured.misses, measured.wrong_values), (2000, 0));
    assert_eq!(measured.misses, 50, "each key is missed once");
    assert_eq!(measured.latency_by_operation["set"].operations, 50);
    let scanned = load(&server, &format!("{line} --scan 0.25"));
    assert!((400..600).contains(&scanned.misses), "a quarter of the gets: {}", scanned.misses);
    let again = load(&server, &format!("{line} --scan 0.25 --seed 2"));
    assert!((400..600).contains(&again.misses), "other keys: {}", again.misses);
}

#[test]
fn log_normal_sizes_have_their_shape() {
    let keyspace = Keyspace::new(&arguments("--keys 1000 -s lognormal(150)"));
    let mut lengths: Vec<usize> = (0..20_000)
        .map(|number| {
            let mut value = Vec::new();
            keyspace.put_value(number, &mut value);
            assert!(keyspace.is_value_of(number, &value, true));
            value.len()
        })
        .collect();
    lengths.sort_unstable();
    // One standard deviation, 0.5, below and above the median: 150 e^-0.5 = 91 and 150 e^0.5 = 247.
    for (part, expected) in [(0.159, 91.0), (0.5, 150.0), (0.841, 247.0)] {
        let length = lengths[(part * lengths.len() as f64) as usize] as f64;
        assert!((length / expected - 1.0).abs() < 0.05, "{part}: {length}, {expected} expected");
    }
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    assert!((165.0..175.0).contains(&mean), "{mean}");
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
    let start = Instant::now();
    assert_eq!(load(&server, "--rate 2000 --requests 200 --mix set").operations, 200);
    // The last starts 199 intervals after the first.
    assert!(start.elapsed() >= Duration::from_secs_f64(199.0 / 2000.0), "{:?}", start.elapsed());
    let stall = Duration::from_millis(300);
    let measured = load(
        &TestServer::start(Fault::StallsFirst(stall)),
        "--rate 2000 --requests 200 --warm-up 0 --mix set -c 1",
    );
    assert_eq!((measured.operations, measured.not_started), (200, 0));
    // All were due within the first 100 ms and answered after 300: a closed loop would tell of the first alone.
    assert!(measured.latency.p50_us > 190_000.0, "{}", measured.latency.p50_us);
}

#[test]
fn what_found_no_place_is_counted() {
    const RATE: u64 = 2000;
    const WAITED: Duration = Duration::from_millis(100);
    let (heard, hears) = mpsc::channel();
    let server = TestServer::start(Fault::Silent(heard));
    let line = format!("{} --quiet --rate {RATE} --mix set -c 1", server.address());
    let plan = arguments(&line).check().unwrap();
    let keyspace = Arc::new(Keyspace::new(&plan.arguments));
    let shared = Shared::new(Phase::Measure);
    let source = Source::Mix { workload: Workload::new(&plan.arguments, 0), left: None };
    let generator = Generator::new(&plan, &keyspace, &shared, source, 1).unwrap();
    let tally = thread::scope(|scope| {
        let running = scope.spawn(|| generator.run());
        // The schedule began before the server could hear of its first operation, which is never answered.
        hears.recv().unwrap();
        thread::sleep(WAITED);
        shared.enter(Phase::Stop);
        running.join().unwrap().unwrap()
    });
    let due = WAITED.as_millis() as u64 * RATE / 1000;
    assert!(tally.not_started >= due - 1, "{} of at least {due}", tally.not_started);
    assert_eq!(tally.operations(), 0);
}

#[test]
fn the_servers_processor_time_is_reported() {
    let server = TestServer::start(Fault::None);
    let measured = load(&server, &format!("--requests 2000 --warm-up 0.05 --pid {}", std::process::id()));
    let memory = measured.server_memory.unwrap();
    assert!(memory.before_bytes > 0 && memory.end_bytes > 0);
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
        ("--scan 1.5", "--scan"),
        ("--scan 0.1", "--key-length"),
        ("--read-through --get-keys 5", "--get-keys"),
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
