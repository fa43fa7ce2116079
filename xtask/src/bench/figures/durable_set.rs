use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    let judged = [("P=1", Target::AtLeast(0.8)), ("P=16", Target::AtLeast(0.5))];
    let printed = [("P=1", Target::None), ("P=16", Target::None)];
    verdicts.extend(beside_redis(bench, bench.items(200_000), bench.rounds(), judged)?);
    verdicts.extend(beside_redis(bench, bench.items(20_000), 1, printed)?);
    verdicts.extend(beside_redis(bench, bench.items(1_000_000), 1, printed)?);
    Ok(verdicts)
}

fn beside_redis(
    bench: &Bench,
    keys: u64,
    rounds: usize,
    depths: [(&str, Target); 2],
) -> Result<Vec<Verdict>> {
    // By depth: rates of larder, rates of redis.
    let mut rates: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..rounds {
        // Who goes first changes, so that a disk that slows down favours nobody.
        for server in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (name, kind, protocol) = match server {
                0 => ("larder", Kind::Larder { store: "ram > sqlite", memory_mib: 1024 }, "text"),
                _ => ("redis", Kind::Redis, "redis"),
            };
            let folder = Folder::new(name)?;
            let started = bench.start(&kind, &folder)?;
            bench.fill(&started, &format!("--protocol {protocol} --keys {keys}"))?;
            for (depth, pipeline) in [1, 16].into_iter().enumerate() {
                let seconds = bench.seconds;
                let load = bench.load(
                    &started,
                    &format!(
                        "--protocol {protocol} --keys {keys} --mix set -P {pipeline} --seconds {seconds} \
                         --warm-up 1 --seed {round}"
                    ),
                )?;
                rates[depth][server].push(load.rate()?);
            }
            started.kill();
        }
    }
    let verdict = |((name, target), [larder, redis]): ((&str, Target), &[Vec<f64>; 2])| {
        let ratio = median_ratio(larder, redis);
        Verdict::new(format!("durable SET beside redis, {keys} keys, {name}"), ratio, "x", target)
            .from(format!("{:.0}/s beside {:.0}/s", median(larder), median(redis)))
    };
    Ok(depths.into_iter().zip(&rates).map(verdict).collect())
}
