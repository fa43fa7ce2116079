use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    const SMALL: Kind<'_> = Kind::Larder { store: "ram(8MiB) > sqlite", memory_mib: 64 };
    const COLD_KEY: &str = "--keys 1 --key-prefix cold:";
    let folder = Folder::new("flight")?;
    let server = bench.start(&SMALL, &folder)?;
    bench.fill(&server, COLD_KEY)?;
    // Far more than fits pushes the key out of RAM; the start after it warms up with the newest.
    bench.fill(&server, &format!("--keys {}", bench.items(300_000).max(200_000)))?;
    server.stop()?;
    let server = bench.start(&SMALL, &folder)?;
    server.wait_until_quiet()?;

    let before = (server.larder_stat("selects")?, server.larder_stat("tier_store_reads")?);
    let load = bench.load(&server, &format!("{COLD_KEY} --mix get --connections 1000 --requests 1000"))?;
    let selects = server.larder_stat("selects")? - before.0;
    let flights = server.larder_stat("tier_store_reads")? - before.1;
    Ok(vec![
        Verdict::new("SELECTs for 1,000 readers of one cold key", selects as f64, "", Target::AtMost(1.0))
            .from(format!("{:.0} hits, {flights} reads sent to the store", load.hits()?)),
        Verdict::new("the key was cold: reads sent to the store", flights as f64, "", Target::AtLeast(1.0)),
    ])
}
