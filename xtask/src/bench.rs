//! `cargo xtask bench`: larder beside memcached and Redis, figure by figure.
//!
//! Every figure is a ratio within one run, or a plain number where there is nothing to compare with. Servers are
//! started in turn on free ports with their data under `target/bench`; load comes from `larder bench`.

mod cores;
mod figures;
mod load;
mod numbers;
mod server;
#[cfg(test)]
mod tests;

use crate::{command, services};
use anyhow::{Result, bail};
use std::path::PathBuf;

use numbers::Verdict;

/// Measure larder against memcached and Redis and say which targets are met
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which figures; `all` for each in turn
    #[arg(value_name = "FIGURE", default_value = "all", value_parser = figure_names())]
    figures: Vec<String>,

    /// How long one load is measured
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,

    /// How often everything is measured; the median counts [default: 5 for `memcached`, 3 for the others]
    #[arg(long)]
    rounds: Option<usize>,

    /// Only the rows of `memcached` and `memory` whose names contain this; may be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,

    /// Divide the numbers of items by this, to try the benchmarks themselves
    #[arg(long, default_value_t = 1, value_name = "N")]
    divide: u64,

    /// Print what each single load reported
    #[arg(short, long)]
    verbose: bool,

    /// Print the outcome as JSON; all else goes to the standard error
    #[arg(long)]
    json: bool,
}

fn figure_names() -> Vec<&'static str> {
    figures::FIGURES.iter().map(|figure| figure.name).chain(["all"]).collect()
}

/// What every figure works with.
pub(crate) struct Bench {
    seconds: f64,
    rounds: Option<usize>,
    divide: u64,
    verbose: bool,
    json: bool,
    only: Vec<String>,
    larder: PathBuf,
    point_select: PathBuf,
}

impl Bench {
    /// A number of items, or fewer when only the benchmark itself is tried.
    fn items(&self, count: u64) -> u64 {
        (count / self.divide).max(1000)
    }

    /// Rounds, unless the command line says how many.
    fn rounds_or(&self, otherwise: usize) -> usize {
        self.rounds.unwrap_or(otherwise)
    }

    fn rounds(&self) -> usize {
        self.rounds_or(3)
    }

    /// Whether the row is asked for.
    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| row.contains(part.as_str()))
    }

    /// Tells the user, beside the outcome.
    fn say(&self, line: &str) {
        if self.json { eprintln!("{line}") } else { println!("{line}") }
    }

    /// The length of a window that is not meant to be longer than `most`.
    fn seconds_up_to(&self, most: f64) -> f64 {
        self.seconds.min(most)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.divide == 0 || options.rounds == Some(0) || options.seconds <= 0.0 {
        bail!("--divide, --rounds and --seconds must be above 0");
    }
    services::install_named(&["memcached", "redis"])?;
    command::run(&mut command::cargo(&["build", "--release", "--package", "larder"]))?;
    let example = ["build", "--release", "--package", "larder-sqlite", "--example", "point_select"];
    command::run(&mut command::cargo(&example))?;
    let release = command::target_folder().join("release");
    let bench = Bench {
        seconds: options.seconds,
        rounds: options.rounds,
        divide: options.divide,
        verbose: options.verbose,
        json: options.json,
        only: options.only.clone(),
        larder: release.join("larder"),
        point_select: release.join("examples/point_select"),
    };

    let mut verdicts: Vec<Verdict> = Vec::new();
    for figure in figures::FIGURES {
        if options.figures.iter().any(|name| name == "all" || name == figure.name) {
            bench.say(&format!("\n== {}: {}", figure.name, figure.question));
            let measured = (figure.measure)(&bench)?;
            for verdict in &measured {
                bench.say(&verdict.to_string());
            }
            verdicts.extend(measured);
        }
    }
    if verdicts.is_empty() {
        bail!("no row has a name that contains {}", options.only.join(" or "));
    }

    if options.json {
        let rows: Vec<_> = verdicts.iter().map(Verdict::json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("\n== all together");
        for verdict in &verdicts {
            println!("{verdict}");
        }
    }
    let missed = verdicts.iter().filter(|verdict| verdict.is_missed()).count();
    if missed > 0 {
        bail!("{missed} of {} figures miss their target", verdicts.len());
    }
    Ok(())
}
