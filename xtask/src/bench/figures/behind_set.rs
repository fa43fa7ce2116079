use anyhow::{Result, bail};
use std::thread;
use std::time::Duration;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind, Server};

/// Bounds that no window here reaches: what is measured is the way into the queue, not its end.
const BEHIND: &str = "ram > sqlite(write=behind, dirty_bytes=1GiB, dirty_age=60s)";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(200_000);
    let seconds = bench.seconds_up_to(10.0);
    let folders = (Folder::new("ram")?, Folder::new("behind")?);
    let ram = bench.start(&Kind::Larder { store: "ram", memory_mib: 1024 }, &folders.0)?;
    let behind = bench.start(&Kind::Larder { store: BEHIND, memory_mib: 1024 }, &folders.1)?;
    bench.fill(&ram, &format!("--keys {keys}"))?;
    bench.fill(&behind, &format!("--keys {keys}"))?;

    let sets = format!("--keys {keys} --mix set -P 16 --seconds {seconds} --warm-up 1");
    let (mut ram_rates, mut ram_ns, mut behind_ns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        let load = bench.load(&ram, &sets)?;
        ram_rates.push(load.rate()?);
        ram_ns.push(load.worker_ns()?);
        behind_ns.push(bench.load(&behind, &sets)?.worker_ns()?);
        wait_until_clean(&behind)?;
    }

    let half = median(&ram_rates) / 2.0;
    let sets_at_half = format!("{sets} --rate {half}");
    let (mut ram_p99, mut behind_p99) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        ram_p99.push(bench.load(&ram, &sets_at_half)?.p99_us()?);
        let load = bench.load(&behind, &sets_at_half)?;
        if load.not_started()? > half {
            bench.say("   write=behind fell more than a second behind");
        }
        behind_p99.push(load.p99_us()?);
        wait_until_clean(&behind)?;
    }
    Ok(vec![
        Verdict::new(
            "write=behind SET, workers' CPU beside ram, P=16",
            median_ratio(&behind_ns, &ram_ns),
            "x",
            Target::AtMost(1.25),
        )
        .from(format!("{:.0} ns beside {:.0} ns", median(&behind_ns), median(&ram_ns))),
        Verdict::new(
            "write=behind SET, p99 beside ram, at half of ram's rate",
            median_ratio(&behind_p99, &ram_p99),
            "x",
            Target::AtMost(2.0),
        )
        .from(format!(
            "{:.0} us beside {:.0} us at {half:.0}/s",
            median(&behind_p99),
            median(&ram_p99)
        )),
    ])
}

/// Waits until everything queued has reached the store, so that one window does not fill the queue of the next.
fn wait_until_clean(server: &Server) -> Result<()> {
    for _ in 0..6000 {
        if server.larder_stat("tier_dirty_items")? == 0 {
            return server.wait_until_quiet();
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("what was queued did not reach the store within 120 s")
}
