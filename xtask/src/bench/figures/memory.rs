//! Items and hit ratio at equal resident memory.

use anyhow::Result;

use super::idle;
use crate::bench::Bench;
use crate::bench::cores::Seat;
use crate::bench::numbers::{Sides, Target, Verdict};
use crate::bench::server::{Folder, Kind, Server};

/// `-m` that items are counted at, and that memcached's trace runs at, in MiB.
const ITEMS_MIB: u32 = 64;
const TRACE_MIB: u32 = 32;
/// The least that larder is tried with.
const MEMORY_MIB_MIN: u32 = 8;
/// Attempts to find the largest `-m` whose resident memory is no more than memcached's.
const ATTEMPTS_MAX: usize = 6;
const MIB: f64 = (1 << 20) as f64;

/// Items of a size: larder must keep so many times as many.
struct Items {
    name: &'static str,
    value_bytes: u64,
    must: f64,
}

const ITEMS: [Items; 3] = [
    Items { name: "items-32", value_bytes: 32, must: 1.4 },
    Items { name: "items-100", value_bytes: 100, must: 1.25 },
    Items { name: "items-1k", value_bytes: 1024, must: 1.12 },
];

/// A trace of reads: larder's hit ratio must be above memcached's by so much.
struct Trace {
    name: &'static str,
    scan: f64,
    must: f64,
}

const TRACES: [Trace; 2] = [
    Trace { name: "hit-ratio-zipf", scan: 0.0, must: 0.015 },
    Trace { name: "hit-ratio-scan", scan: 0.1, must: 0.0 },
];

const IDLE: &str = "idle-connections";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for items in ITEMS.iter().filter(|items| bench.wants(items.name)) {
        verdicts.push(items.measure(bench)?);
    }
    for trace in TRACES.iter().filter(|trace| bench.wants(trace.name)) {
        verdicts.push(trace.measure(bench)?);
    }
    if bench.wants(IDLE) {
        verdicts.push(idle::measure(bench, IDLE)?);
    }
    Ok(verdicts)
}

/// What a server holds, and what it does with it.
#[derive(Clone, Copy)]
struct Weighed {
    memory_mib: u32,
    resident_bytes: u64,
    outcome: f64,
}

/// Measures larder with the largest `-m` that keeps its resident memory at or below `limit_bytes`. If there is none,
/// the outcome is no number: nothing was kept in that memory.
fn at_equal_memory(
    bench: &Bench,
    first_mib: u32,
    limit_bytes: u64,
    measure: impl Fn(u32) -> Result<Weighed>,
) -> Result<Weighed> {
    let mut tried: Vec<Weighed> = Vec::new();
    let mut memory_mib = first_mib;
    while tried.len() < ATTEMPTS_MAX && !tried.iter().any(|weighed| weighed.memory_mib == memory_mib) {
        let weighed = measure(memory_mib)?;
        bench.say(&format!(
            "   larder -m {memory_mib}: {:.1} MiB resident, {:.1} allowed",
            weighed.resident_bytes as f64 / MIB,
            limit_bytes as f64 / MIB
        ));
        tried.push(weighed);
        let room_mib = ((limit_bytes as f64 - weighed.resident_bytes as f64) / MIB).floor();
        memory_mib = (f64::from(memory_mib) + room_mib).max(f64::from(MEMORY_MIB_MIN)) as u32;
    }
    let fitting = tried.iter().filter(|weighed| weighed.resident_bytes <= limit_bytes);
    let best = fitting.max_by_key(|weighed| weighed.memory_mib).copied();
    Ok(best.unwrap_or_else(|| {
        bench.say("   no -m was found with which larder takes as little");
        let last = tried[tried.len() - 1];
        Weighed { outcome: f64::NAN, ..last }
    }))
}

/// One thread, so that what a thread holds weighs the same on both sides.
fn start(bench: &Bench, kind: &Kind<'_>, folder: &Folder) -> Result<Server> {
    bench.start_on(kind, folder, Seat { threads: Some(1), ..Seat::default() })
}

impl Items {
    fn measure(&self, bench: &Bench) -> Result<Verdict> {
        // Far more than fits.
        let keys = bench.items((u64::from(ITEMS_MIB) << 20) * 3 / (self.value_bytes + 40));
        let load = format!("--keys {keys} --key-length 20 --value-size {}", self.value_bytes);
        let weigh = |kind: &Kind<'_>, memory_mib: u32| {
            let folder = Folder::new("items")?;
            let server = start(bench, kind, &folder)?;
            bench.fill(&server, &load)?;
            let items = server.stat("curr_items")? as f64;
            Ok(Weighed { memory_mib, resident_bytes: server.resident_bytes()?, outcome: items })
        };
        let theirs = weigh(&Kind::Memcached { memory_mib: ITEMS_MIB }, ITEMS_MIB)?;
        let ours = at_equal_memory(bench, ITEMS_MIB, theirs.resident_bytes, |memory_mib| {
            weigh(&Kind::Larder { store: "ram", memory_mib }, memory_mib)
        })?;
        let sides = Sides { memcached: theirs.outcome, larder: ours.outcome, unit: "" };
        let ratio = sides.larder / sides.memcached;
        let bytes = |weighed: Weighed| weighed.resident_bytes as f64 / weighed.outcome;
        Ok(Verdict::row(self.name, ratio, Target::AtLeast(self.must), sides).from(format!(
            "{:.0} and {:.0} resident bytes an item; {:.1} and {:.1} MiB with -m {ITEMS_MIB} and {}",
            bytes(theirs),
            bytes(ours),
            theirs.resident_bytes as f64 / MIB,
            ours.resident_bytes as f64 / MIB,
            ours.memory_mib
        )))
    }
}

impl Trace {
    fn measure(&self, bench: &Bench) -> Result<Verdict> {
        let keys = bench.items(1_000_000);
        let load = format!(
            "--keys {keys} --key-length 20 --value-size lognormal(150) --distribution zipf(1.0) --mix get \
             --read-through --scan {} --pipeline 4 --requests {}",
            self.scan,
            3 * keys
        );
        let weigh = |kind: &Kind<'_>, memory_mib: u32| {
            let folder = Folder::new("trace")?;
            let server = start(bench, kind, &folder)?;
            // The first pass fills the cache.
            bench.load(&server, &format!("{load} --seed 1"))?;
            let measured = bench.load(&server, &format!("{load} --seed 2"))?;
            let outcome = measured.hits()? / (measured.hits()? + measured.misses()?);
            server.wait_until_quiet()?;
            Ok(Weighed { memory_mib, resident_bytes: server.resident_bytes()?, outcome })
        };
        let theirs = weigh(&Kind::Memcached { memory_mib: TRACE_MIB }, TRACE_MIB)?;
        let ours = at_equal_memory(bench, TRACE_MIB, theirs.resident_bytes, |memory_mib| {
            weigh(&Kind::Larder { store: "ram", memory_mib }, memory_mib)
        })?;
        let gain = ours.outcome - theirs.outcome;
        Ok(Verdict::new(self.name, gain, "", Target::AtLeast(self.must)).with_digits(4).from(format!(
            "memcached {:.4}, larder {:.4}; {:.1} and {:.1} MiB with -m {TRACE_MIB} and {}",
            theirs.outcome,
            ours.outcome,
            theirs.resident_bytes as f64 / MIB,
            ours.resident_bytes as f64 / MIB,
            ours.memory_mib
        )))
    }
}
