//! The table beside memcached: processor time of the server for an operation.

use anyhow::Result;

use super::idle;
use crate::bench::Bench;
use crate::bench::cores::{self, Seat};
use crate::bench::numbers::{Sides, Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind, Server};

const KEYS: u64 = 20_000;
const MEMORY_MIB: u32 = 4096;
const ROUNDS: usize = 5;
/// The version that sends each of several pipelined answers by itself.
const SENDS_EACH: &str = "1.6.18";

/// An operation: memcached's processor time over larder's must be so much at least.
struct Row {
    name: &'static str,
    value_bytes: u32,
    load: &'static str,
    /// What an operation of the load is divided by.
    keys: f64,
    must: f64,
    aim: f64,
}

const fn row(name: &'static str, value_bytes: u32, load: &'static str, must: f64, aim: f64) -> Row {
    Row { name, value_bytes, load, keys: 1.0, must, aim }
}

const ROWS: &[Row] = &[
    row("get-32", 32, "--mix get", 1.05, 1.15),
    row("set-32", 32, "--mix set", 1.05, 1.15),
    row("get-x16", 32, "--mix get -P 16 --batch", 2.0, 2.7),
    Row { keys: 100.0, ..row("get-100-keys-32", 32, "--mix get --get-keys 100", 2.0, 3.0) },
    row("mg-x16", 32, "--mix get -P 16 --batch --protocol meta", 1.8, 2.5),
    row("mg-x100", 32, "--mix get -P 100 --batch --protocol meta", 3.5, 5.0),
    Row { keys: 16.0, ..row("getq-x16", 32, "--mix get --get-keys 16 --protocol binary", 1.8, 2.5) },
    row("set-x16-32", 32, "--mix set -P 16 --batch", 1.6, 2.1),
    row("get-1k", 1024, "--mix get", 1.05, 1.15),
    row("set-1k", 1024, "--mix set", 1.05, 1.15),
    Row { keys: 100.0, ..row("get-100-keys-1k", 1024, "--mix get --get-keys 100", 1.4, 2.0) },
    row("set-x16-1k", 1024, "--mix set -P 16 --batch", 1.2, 1.5),
    row("get-100k", 102_400, "--mix get", 1.0, 1.3),
    row("set-100k", 102_400, "--mix set", 1.0, 1.3),
];

const P99: &str = "p99-half-load";
const TWO_THREADS: &str = "two-threads-x16";
const IDLE: &str = "idle-connections";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let cores = cores::two_cores()?;
    if cores.is_none() {
        bench.say("   this machine has one core: servers and clients share it, and latencies say little");
    }
    let seat = Seat { threads: Some(1), cores, ..Seat::default() };
    let mut verdicts = Vec::new();
    for value_bytes in [32, 1024, 102_400] {
        let rows = ROWS.iter().filter(|row| row.value_bytes == value_bytes && bench.wants(row.name));
        let rows: Vec<&Row> = rows.collect();
        let with_p99 = value_bytes == 32 && bench.wants(P99);
        if rows.is_empty() && !with_p99 {
            continue;
        }
        let pair = Pair::start(bench, seat, value_bytes)?;
        for row in rows {
            verdicts.push(pair.row(bench, row)?);
        }
        if with_p99 {
            verdicts.push(pair.p99(bench)?);
        }
    }
    if bench.wants(TWO_THREADS) {
        verdicts.push(two_threads(bench)?);
    }
    if bench.wants(IDLE) {
        verdicts.push(idle::measure(bench, IDLE)?);
    }
    Ok(verdicts)
}

/// Both servers with the same items.
struct Pair {
    larder: Server,
    memcached: Server,
    _folders: [Folder; 2],
    /// What every load asks for.
    keys: String,
}

impl Pair {
    fn start(bench: &Bench, seat: Seat, value_bytes: u32) -> Result<Pair> {
        let folders = [Folder::new("larder")?, Folder::new("memcached")?];
        let kind = Kind::Larder { store: "ram", memory_mib: MEMORY_MIB };
        let larder = bench.start_on(&kind, &folders[0], seat)?;
        let memcached = bench.start_on(&Kind::Memcached { memory_mib: MEMORY_MIB }, &folders[1], seat)?;
        let keys = format!("--keys {} --key-length 24 --value-size {value_bytes}", bench.items(KEYS));
        bench.fill(&larder, &keys)?;
        bench.fill(&memcached, &keys)?;
        Ok(Pair { larder, memcached, _folders: folders, keys })
    }

    /// In turn, and the other one first in every second round.
    fn in_turn(&self, round: usize) -> [(usize, &Server); 2] {
        let pair = [(0, &self.memcached), (1, &self.larder)];
        if round.is_multiple_of(2) { pair } else { [pair[1], pair[0]] }
    }

    fn row(&self, bench: &Bench, row: &Row) -> Result<Verdict> {
        let seconds = bench.seconds_up_to(5.0);
        let load = format!("{} {} --seconds {seconds} --warm-up {}", self.keys, row.load, warm_up(bench));
        let (mut ns, mut rates, mut p99) = <([Vec<f64>; 2], [Vec<f64>; 2], [Vec<f64>; 2])>::default();
        for round in 0..bench.rounds_or(ROUNDS) {
            for (side, server) in self.in_turn(round) {
                let load = bench.load(server, &format!("{load} --seed {}", round + 1))?;
                ns[side].push(load.server_ns()? / row.keys);
                rates[side].push(load.rate()?);
                p99[side].push(load.p99_us()?);
            }
        }
        let sides = Sides { memcached: median(&ns[0]), larder: median(&ns[1]), unit: " ns" };
        let (must, aim) = if row.name == "get-x16" && self.memcached.version()?.starts_with(SENDS_EACH) {
            (3.0 * row.must, 3.0 * row.aim)
        } else {
            (row.must, row.aim)
        };
        let ratio = median_ratio(&ns[0], &ns[1]);
        Ok(Verdict::row(row.name, ratio, Target::AtLeast(must), sides).aiming_at(aim).from(format!(
            "{:.0} and {:.0} a second, p99 {:.0} and {:.0} us",
            median(&rates[0]),
            median(&rates[1]),
            median(&p99[0]),
            median(&p99[1])
        )))
    }

    /// Latency where both have the same to do: half of what memcached can.
    fn p99(&self, bench: &Bench) -> Result<Verdict> {
        let seconds = bench.seconds_up_to(5.0);
        let gets = format!("{} --mix get --seconds {seconds} --warm-up {}", self.keys, warm_up(bench));
        let half = bench.load(&self.memcached, &gets)?.rate()? / 2.0;
        let mut p99 = <[Vec<f64>; 2]>::default();
        for round in 0..bench.rounds_or(ROUNDS) {
            for (side, server) in self.in_turn(round) {
                p99[side].push(bench.load(server, &format!("{gets} --rate {half}"))?.p99_us()?);
            }
        }
        let sides = Sides { memcached: median(&p99[0]), larder: median(&p99[1]), unit: " us" };
        let ratio = median_ratio(&p99[0], &p99[1]);
        Ok(Verdict::row(P99, ratio, Target::AtLeast(1.0), sides).from(format!("at {half:.0} a second")))
    }
}

fn warm_up(bench: &Bench) -> f64 {
    bench.seconds_up_to(1.0)
}

/// What a second thread does to the cost of an operation. Free to run on any core, since two threads cannot share one
/// with nothing lost.
fn two_threads(bench: &Bench) -> Result<Verdict> {
    let seats = [1, 2].map(|threads| Seat { threads: Some(threads), ..Seat::default() });
    let pairs = [Pair::start(bench, seats[0], 32)?, Pair::start(bench, seats[1], 32)?];
    let seconds = bench.seconds_up_to(5.0);
    let load =
        format!("{} --mix get -P 16 --batch --seconds {seconds} --warm-up {}", pairs[0].keys, warm_up(bench));
    let (mut ratios, mut rates) = <([Vec<f64>; 2], [Vec<f64>; 4])>::default();
    for round in 0..bench.rounds_or(ROUNDS) {
        let mut ns = [[0.0; 2]; 2];
        for (threads, pair) in pairs.iter().enumerate() {
            for (side, server) in pair.in_turn(round) {
                let load = bench.load(server, &load)?;
                ns[side][threads] = load.server_ns()?;
                rates[2 * side + threads].push(load.rate()?);
            }
        }
        for side in [0, 1] {
            ratios[side].push(ns[side][1] / ns[side][0]);
        }
    }
    let sides = Sides { memcached: median(&ratios[0]), larder: median(&ratios[1]), unit: "x" };
    Ok(Verdict::row(TWO_THREADS, sides.larder, Target::AtMost(1.1), sides).from(format!(
        "two threads over one; larder {:.0} and {:.0} a second, memcached {:.0} and {:.0}",
        median(&rates[2]),
        median(&rates[3]),
        median(&rates[0]),
        median(&rates[1])
    )))
}
