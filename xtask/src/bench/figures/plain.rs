use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(200_000);
    let seconds = bench.seconds_up_to(5.0);
    let folders = (Folder::new("ram")?, Folder::new("memcached")?);
    let larder = bench.start(&Kind::Larder { store: "ram", memory_mib: 1024 }, &folders.0)?;
    let memcached = bench.start(&Kind::Memcached { memory_mib: 1024 }, &folders.1)?;
    bench.fill(&larder, &format!("--keys {keys}"))?;
    bench.fill(&memcached, &format!("--keys {keys}"))?;

    let mut verdicts = Vec::new();
    for (name, way) in [
        ("GET, P=1", "--mix get -P 1"),
        ("GET, P=16", "--mix get -P 16"),
        ("GET by mg, P=16", "--mix get -P 16 --protocol meta"),
        ("GET of 100 keys", "--mix get -P 1 --get-keys 100"),
        ("SET, P=16", "--mix set -P 16"),
    ] {
        let load = format!("--keys {keys} {way} --seconds {seconds} --warm-up 1");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds() {
            ours.push(bench.load(&larder, &load)?.server_ns()?);
            theirs.push(bench.load(&memcached, &load)?.server_ns()?);
        }
        let what = format!("{name} on ram, CPU beside memcached");
        verdicts.push(Verdict::new(what, median_ratio(&ours, &theirs), "x", Target::None).from(format!(
            "{:.0} ns beside {:.0} ns",
            median(&ours),
            median(&theirs)
        )));
    }
    Ok(verdicts)
}
