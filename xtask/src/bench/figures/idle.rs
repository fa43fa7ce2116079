//! What connections cost that say nothing.

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::cores::Seat;
use crate::bench::numbers::{Sides, Target, Verdict, median};
use crate::bench::server::{Folder, Kind};

const CONNECTIONS: u64 = 10_000;
/// The wish: so many bytes for each.
const AIM_BYTES: f64 = 150.0;

/// How long they say nothing before their memory is measured.
const REST_SECONDS: u32 = 10;

/// Resident memory for each of many connections after one request on each.
pub(super) fn measure(bench: &Bench, name: &str) -> Result<Verdict> {
    let connections = bench.items(CONNECTIONS);
    let seat = Seat { threads: Some(1), connections: connections as u32 + 100, cores: None };
    let kinds = [Kind::Memcached { memory_mib: 64 }, Kind::Larder { store: "ram", memory_mib: 64 }];
    let mut bytes = <[Vec<f64>; 2]>::default();
    for _ in 0..bench.rounds() {
        for (side, kind) in kinds.iter().enumerate() {
            let folder = Folder::new("idle")?;
            let server = bench.start_on(kind, &folder, seat)?;
            // The buffers that a first client makes are not the idle ones'.
            bench.load(&server, "--fill --keys 100 --mix get --requests 1000 -P 16")?;
            let idle = format!(
                "--keys 100 --mix get --connections {connections} --requests {connections} --rest {REST_SECONDS}"
            );
            let load = bench.load(&server, &idle)?;
            bytes[side].push(load.server_growth_bytes()? / connections as f64);
        }
    }
    let sides = Sides { memcached: median(&bytes[0]), larder: median(&bytes[1]), unit: " B" };
    let ratio = sides.memcached / sides.larder;
    Ok(Verdict::row(name, ratio, Target::AtLeast(1.0), sides)
        .aiming_at(sides.memcached / AIM_BYTES)
        .from(format!("for each of {connections}, after one request")))
}
