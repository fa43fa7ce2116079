use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::Bench;
use crate::bench::numbers::{Target, Verdict, median};
use crate::bench::server::{Folder, Kind};
use crate::command;

/// So little memory that nearly every read goes to the store.
const COLD: &str = "ram(8MiB) > sqlite";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let keys = bench.items(1_000_000);
    let seconds = bench.seconds_up_to(10.0);
    let folders = (Folder::new("ram")?, Folder::new("cold")?);
    let ram = bench.start(&Kind::Larder { store: "ram", memory_mib: 1024 }, &folders.0)?;
    bench.fill(&ram, &format!("--keys {keys}"))?;
    let cold = bench.start(&Kind::Larder { store: COLD, memory_mib: 1024 }, &folders.1)?;
    bench.fill(&cold, &format!("--keys {keys}"))?;
    // The next start finds everything in the table, and the file in the page cache.
    cold.stop()?;
    let database = database_in(folders.1.path())?;
    let mut select_ns = Vec::new();
    for _ in 0..bench.rounds() {
        select_ns.push(point_select_ns(bench, &database)?);
    }
    let cold = bench.start(&Kind::Larder { store: COLD, memory_mib: 1024 }, &folders.1)?;
    cold.wait_until_quiet()?;

    let gets = format!("--keys {keys} --mix get -P 1 --seconds {seconds} --warm-up 1");
    let (mut hit_ns, mut read_ns, mut cold_parts, mut ratios) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        hit_ns.push(bench.load(&ram, &gets)?.server_ns()?);
        let looked_up =
            || Ok::<_, anyhow::Error>((cold.larder_stat("tier_hits")?, cold.larder_stat("tier_misses")?));
        let before = looked_up()?;
        read_ns.push(bench.load(&cold, &gets)?.server_ns()?);
        let after = looked_up()?;
        let (hits, misses) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
        cold_parts.push(misses / (hits + misses));
    }
    for ((read, hit), part) in read_ns.iter().zip(&hit_ns).zip(&cold_parts) {
        // Reads that found the item in RAM added nothing.
        ratios.push((read - hit) / part / median(&select_ns));
    }
    let lone = bench.load(&cold, &format!("{gets} --connections 1"))?;
    Ok(vec![
        Verdict::new(
            "cold GET, CPU added beside a bare SELECT, 50 connections",
            median(&ratios),
            "x",
            Target::AtMost(4.0),
        )
        .from(format!(
            "{:.0} ns a read, {:.0} ns a hit, {:.0} ns a SELECT; {:.1} % of the reads were cold",
            median(&read_ns),
            median(&hit_ns),
            median(&select_ns),
            100.0 * median(&cold_parts)
        )),
        Verdict::new("cold GET, a lone client, p50", lone.p50_us()?, " us", Target::None).from(format!(
            "{:.0}/s, p99 {:.0} us, {:.0} ns of CPU",
            lone.rate()?,
            lone.p99_us()?,
            lone.server_ns()?
        )),
    ])
}

fn database_in(folder: &Path) -> Result<PathBuf> {
    fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .with_context(|| format!("{}: there is no database", folder.display()))
}

fn point_select_ns(bench: &Bench, database: &Path) -> Result<f64> {
    let output = command::output(Command::new(&bench.point_select).arg(database))?;
    output.trim().parse().with_context(|| format!("point_select printed `{}`, not a number", output.trim()))
}
