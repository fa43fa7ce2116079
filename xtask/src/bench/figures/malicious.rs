//! What the others notice of clients that mean harm.

mod attack;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::cores::{self, Seat};
use crate::bench::numbers::{Target, Verdict, median};
use crate::bench::server::{Folder, Kind};
use attack::{ATTACKS, Attack};

const KEYS: u64 = 20_000;
/// Places for clients; the storm asks for more.
const CONNECTIONS: u32 = 400;
/// Operations a second of the clients whose latency is measured: a small part of what the server can do, so that a
/// queue of their own making does not hide what the attack adds.
const RATE: u32 = 5_000;
const MIB: f64 = (1 << 20) as f64;
/// What an attack may add to the server's resident memory, beside what it may legitimately store.
const GROWTH_MIB_MAX: f64 = 96.0;

/// For each attack: p99 of other clients under it beside quiet, alternating, and what it adds to the server's memory.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    for attack in ATTACKS.iter().filter(|attack| bench.wants(attack.name)) {
        verdicts.extend(under(bench, attack)?);
    }
    Ok(verdicts)
}

fn under(bench: &Bench, attack: &Attack) -> Result<[Verdict; 2]> {
    let seat = Seat { threads: Some(1), connections: CONNECTIONS, cores: cores::two_cores()? };
    let folder = Folder::new("malicious")?;
    let server = bench.start_on(&Kind::Larder { store: "ram", memory_mib: 64 }, &folder, seat)?;
    let keys = format!("--keys {} --key-length 24", bench.items(KEYS));
    bench.fill(&server, &keys)?;
    let seconds = bench.seconds_up_to(5.0);
    let window = format!(
        "{keys} --mix get=9,set=1 --rate {RATE} --seconds {seconds} --warm-up {}",
        bench.seconds_up_to(1.0)
    );
    let (mut quiet, mut attacked, mut done) = (Vec::new(), Vec::new(), 0);
    let before = server.resident_bytes()? as f64;
    let mut most = before;
    for _ in 0..bench.rounds_or(5) {
        quiet.push(bench.load(&server, &window)?.p99_us()?);
        let running = attack.start(&server.address());
        let load = bench.load(&server, &window);
        most = most.max(server.resident_bytes()? as f64);
        done += running.stop()?;
        attacked.push(load?.p99_us()?);
    }
    let ratio = median(&attacked) / median(&quiet);
    let grown = (most - before) / MIB;
    Ok([
        Verdict::new(format!("p99 of others: {}", attack.name), ratio, "x", Target::AtMost(2.0)).from(
            format!(
                "{:.0} us beside {:.0} us quiet at {RATE}/s; {done} times {}",
                median(&attacked),
                median(&quiet),
                attack.what
            ),
        ),
        Verdict::new(format!("memory added: {}", attack.name), grown, " MiB", Target::AtMost(GROWTH_MIB_MAX)),
    ])
}
