use anyhow::Result;

use crate::bench::Bench;
use crate::bench::cores::Seat;
use crate::bench::numbers::{Target, Verdict, median, median_ratio};
use crate::bench::server::{Folder, Kind, Server};

/// Windows of each of the two in a round.
const WINDOWS: usize = 6;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let hits = Hits {
        store: "ram > sqlite",
        seat: Seat::default(),
        keys: bench.items(200_000),
        what: "GET hit on ram > sqlite",
        at_most: 1.05,
    };
    hits.measure(bench, &[("P=16", "-P 16"), ("get of 100 keys", "-P 1 --get-keys 100")])
}

/// A store whose hits are compared with those of `ram`.
pub(super) struct Hits<'a> {
    pub(super) store: &'a str,
    pub(super) seat: Seat,
    pub(super) keys: u64,
    pub(super) what: &'static str,
    /// The target: so many times `ram`'s CPU.
    pub(super) at_most: f64,
}

/// What is measured of one way to ask.
#[derive(Default)]
struct Way {
    ram_ns: Vec<f64>,
    other_ns: Vec<f64>,
}

impl Hits<'_> {
    /// Measures each way of asking, by its name and the load's options. Each round has servers of its own: where the kernel
    /// puts a server's memory is a matter of luck that lasts as long as the server.
    pub(super) fn measure(&self, bench: &Bench, ways: &[(&str, &str)]) -> Result<Vec<Verdict>> {
        let mut measured: Vec<Way> = ways.iter().map(|_| Way::default()).collect();
        for _ in 0..bench.rounds() {
            let folders = (Folder::new("ram")?, Folder::new("other")?);
            let start = |store: &str, folder: &Folder| {
                bench.start_on(&Kind::Larder { store, memory_mib: 1024 }, folder, self.seat)
            };
            let ram = start("ram", &folders.0)?;
            let other = start(self.store, &folders.1)?;
            bench.fill(&ram, &format!("--keys {}", self.keys))?;
            bench.fill(&other, &format!("--keys {}", self.keys))?;
            for ((_, options), way) in ways.iter().zip(&mut measured) {
                let gets = format!("--keys {} --mix get {options}", self.keys);
                way.measure(bench, &ram, &other, &gets)?;
            }
        }
        let verdict = |((name, _), way): (&(&str, &str), &Way)| {
            let what = format!("{}, CPU beside ram, {name}", self.what);
            let ratio = median_ratio(&way.other_ns, &way.ram_ns);
            let detail = format!("{:.0} ns beside {:.0} ns", median(&way.other_ns), median(&way.ram_ns));
            Verdict::new(what, ratio, "x", Target::AtMost(self.at_most)).from(detail)
        };
        Ok(ways.iter().zip(&measured).map(verdict).collect())
    }
}

impl Way {
    /// Short windows side by side, each of the two first in turn: what else the machine does falls on both.
    fn measure(&mut self, bench: &Bench, ram: &Server, other: &Server, gets: &str) -> Result<()> {
        let load = format!("{gets} --seconds {} --warm-up 1", bench.seconds_up_to(2.0));
        for pair in 0..WINDOWS {
            let other_first = pair % 2 == 1;
            if other_first {
                self.other_ns.push(bench.load(other, &load)?.server_ns()?);
            }
            self.ram_ns.push(bench.load(ram, &load)?.server_ns()?);
            if !other_first {
                self.other_ns.push(bench.load(other, &load)?.server_ns()?);
            }
        }
        Ok(())
    }
}
