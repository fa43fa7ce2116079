use anyhow::Result;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind, Server};

/// Windows of each of the two in a round.
const WINDOWS: usize = 6;

/// What is measured of one way to ask.
#[derive(Default)]
struct Way {
    ram_ns: Vec<f64>,
    stack_ns: Vec<f64>,
}

const WAYS: [(&str, &str); 2] = [("P=16", "-P 16"), ("get of 100 keys", "-P 1 --get-keys 100")];

/// Each round has servers of its own: where the kernel puts a server's memory is a matter of luck that lasts as long as the server.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(200_000);
    let mut measured = [Way::default(), Way::default()];
    for _ in 0..bench.rounds() {
        let folders = (Folder::new("ram")?, Folder::new("stack")?);
        let ram = bench.start(&Kind::Larder { store: "ram", memory_mib: 1024 }, &folders.0)?;
        let stack = bench.start(&Kind::Larder { store: "ram > sqlite", memory_mib: 1024 }, &folders.1)?;
        bench.fill(&ram, &format!("--keys {keys}"))?;
        bench.fill(&stack, &format!("--keys {keys}"))?;
        for ((_, options), way) in WAYS.iter().zip(&mut measured) {
            let gets = format!("--keys {keys} --mix get {options}");
            measure_way(bench, (&ram, &stack), &gets, way)?;
        }
    }
    let verdict = |((name, _), way): (&(&str, &str), &Way)| {
        let what = format!("GET hit on ram > sqlite, CPU beside ram, {name}");
        let ratio = median_ratio(&way.stack_ns, &way.ram_ns);
        Verdict::new(what, ratio, "x", Target::AtMost(1.05)).from(format!(
            "{:.0} ns beside {:.0} ns",
            median(&way.stack_ns),
            median(&way.ram_ns)
        ))
    };
    Ok(WAYS.iter().zip(&measured).map(verdict).collect())
}

/// Short windows side by side, each of the two first in turn: what else the machine does falls on both.
fn measure_way(bench: &Bench, (ram, stack): (&Server, &Server), gets: &str, way: &mut Way) -> Result<()> {
    let load = format!("{gets} --seconds {} --warm-up 1", bench.seconds_up_to(2.0));
    for pair in 0..WINDOWS {
        let stack_first = pair % 2 == 1;
        if stack_first {
            way.stack_ns.push(bench.load(stack, &load)?.server_ns()?);
        }
        way.ram_ns.push(bench.load(ram, &load)?.server_ns()?);
        if !stack_first {
            way.stack_ns.push(bench.load(stack, &load)?.server_ns()?);
        }
    }
    Ok(())
}
