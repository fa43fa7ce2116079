use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(200_000);
    let seconds = bench.seconds_up_to(5.0);
    let folders = (Folder::new("ram")?, Folder::new("stack")?);
    let ram = bench.start(&Kind::Larder { store: "ram", memory_mib: 1024 }, &folders.0)?;
    let stack = bench.start(&Kind::Larder { store: "ram > sqlite", memory_mib: 1024 }, &folders.1)?;
    bench.fill(&ram, &format!("--keys {keys}"))?;
    bench.fill(&stack, &format!("--keys {keys}"))?;

    let mut verdicts = Vec::new();
    for (name, way) in [("P=16", "-P 16"), ("get of 100 keys", "-P 1 --get-keys 100")] {
        let gets = format!("--keys {keys} --mix get {way} --seconds {seconds} --warm-up 1");
        let (mut ram_ns, mut stack_ns) = (Vec::new(), Vec::new());
        // Short windows side by side: what else the machine does falls on both.
        for _ in 0..bench.rounds() * 3 {
            ram_ns.push(bench.load(&ram, &gets)?.server_ns()?);
            stack_ns.push(bench.load(&stack, &gets)?.server_ns()?);
        }
        let ratio = median_ratio(&stack_ns, &ram_ns);
        let what = format!("GET hit on ram > sqlite, CPU beside ram, {name}");
        verdicts.push(Verdict::new(what, ratio, "x", Target::AtMost(1.05)).from(format!(
            "{:.0} ns beside {:.0} ns",
            median(&stack_ns),
            median(&ram_ns)
        )));
    }
    Ok(verdicts)
}
