use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    const STACK: Kind<'_> = Kind::Larder { store: "ram > sqlite", memory_mib: 1024 };
    let keys = bench.items(1_000_000);
    let folder = Folder::new("start")?;
    let mut server = bench.start(&STACK, &folder)?;
    bench.load(&server, &format!("--fill --fill-only --keys {keys}"))?;

    let (mut after_stop, mut after_kill) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        server.stop()?;
        server = bench.start(&STACK, &folder)?;
        after_stop.push(server.started_in.as_secs_f64());
        // Something to find again besides what was there at rest.
        bench.load(&server, &format!("--keys {keys} --mix set -P 16 --seconds 2"))?;
        server.kill();
        server = bench.start(&STACK, &folder)?;
        after_kill.push(server.started_in.as_secs_f64());
    }
    let verdict = |name: &str, seconds: &[f64]| {
        let what = format!("start with {keys} items until it answers, {name}");
        Verdict::new(what, median(seconds), " s", Target::AtMost(1.0))
    };
    Ok(vec![verdict("after a stop", &after_stop), verdict("after kill -9 under load", &after_kill)])
}
