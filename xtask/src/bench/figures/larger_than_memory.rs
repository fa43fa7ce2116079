use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(5_000_000);
    let seconds = bench.seconds;
    let folder = Folder::new("large")?;
    let server = bench.start(&Kind::Larder { store: "ram(64MiB) > sqlite", memory_mib: 1024 }, &folder)?;
    bench.load(&server, &format!("--fill --fill-only --keys {keys}"))?;
    let mut verdicts = Vec::new();
    // What is written expires after a few seconds, so that the purge works, and checkpoints with it.
    for (name, mix) in [("nine GETs to a SET", "get=9,set=1 --exptime 5"), ("GETs", "get")] {
        let before = server.larder_stat("checkpoints")?;
        let load = bench.load(
            &server,
            &format!(
                "--keys {keys} --mix {mix} --distribution zipf(0.99) -P 1 --seconds {seconds} --warm-up 2"
            ),
        )?;
        let checkpoints = server.larder_stat("checkpoints")? - before;
        let purged = server.larder_stat("purge_removed")?;
        verdicts.push(
            Verdict::new(format!("{keys} items over ram(64MiB), zipf, {name}"), load.rate()?, "/s", Target::None)
                .from(format!(
                    "p50 {:.0} us, p99 {:.0} us; {checkpoints} checkpoints meanwhile, {purged} rows purged so far",
                    load.p50_us()?,
                    load.p99_us()?
                )),
        );
    }
    Ok(verdicts)
}
