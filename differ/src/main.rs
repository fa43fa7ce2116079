//! `larder-differ`: random command streams to larder and to memcached, their answers compared.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use larder_differ::campaign::{self, Options, Report};
use larder_differ::generate::Scope;
use larder_differ::servers::Programs;
use larder_differ::stream::Dialect;

/// Send random command streams to larder and to memcached and compare every answer
#[derive(Parser)]
struct CommandLine {
    /// How many commands, in all protocols together
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    commands: u64,
    /// Decides the streams [default: a new one every time]
    #[arg(long)]
    seed: Option<u64>,
    /// Mostly one protocol instead of each in turn: text, meta or binary
    #[arg(long, value_name = "NAME", value_parser = dialect)]
    protocol: Option<Dialect>,
    /// Only the stream of this number, as a finding names it
    #[arg(long, value_name = "N", requires = "seed", requires = "protocol", conflicts_with = "commands")]
    stream: Option<u64>,
    /// larder's store expression
    #[arg(long, value_name = "EXPR", default_value = "ram")]
    store: String,
    /// The server binary [default: LARDER_BIN]
    #[arg(long, value_name = "FILE")]
    larder: Option<PathBuf>,
    /// memcached's binary
    #[arg(long, value_name = "FILE", default_value = "memcached")]
    memcached: PathBuf,
}

fn dialect(name: &str) -> Result<Dialect, String> {
    Dialect::ALL
        .into_iter()
        .find(|dialect| dialect.name() == name)
        .ok_or_else(|| format!("`{name}` is no protocol; there are text, meta and binary"))
}

fn main() -> ExitCode {
    match run(&CommandLine::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no difference without a reason was found.
fn run(options: &CommandLine) -> Result<bool> {
    let named = options.larder.clone().or_else(|| std::env::var_os("LARDER_BIN").map(PathBuf::from));
    let larder = named.context("name the server binary with --larder or LARDER_BIN")?;
    let programs = Programs { larder, store: options.store.clone(), memcached: options.memcached.clone() };
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let dialects = options.protocol.map_or(Dialect::ALL.to_vec(), |dialect| vec![dialect]);
    let total = if options.stream.is_some() { 1 } else { options.commands };
    println!("{total} commands, seed {seed}, larder's store: {}", programs.store);

    let progress = Progress::new(total);
    let commands = total.div_ceil(dialects.len() as u64);
    let scope = Scope { reads: programs.notes_reads(), great_numbers: true };
    let first_stream = options.stream.unwrap_or(0);
    let outcomes: Vec<Result<bool>> = std::thread::scope(|threads| {
        let (programs, progress) = (&programs, &progress);
        let mut running = Vec::new();
        for &dialect in &dialects {
            let streams = Options { dialect, commands, seed, first_stream, scope };
            running.push(threads.spawn(move || {
                campaign::run(programs, &streams, &|count| progress.add(count))
                    .map(|report| tell(dialect.name(), &report))
            }));
            if options.stream.is_none() {
                running.push(threads.spawn(move || {
                    let name = format!("{}, expiring", dialect.name());
                    campaign::run_expiring(programs, &streams).map(|report| tell(&name, &report))
                }));
            }
        }
        running.into_iter().map(|thread| thread.join().expect("a campaign does not panic")).collect()
    });
    let mut is_same = true;
    for outcome in outcomes {
        is_same &= outcome?;
    }
    println!("{} s", progress.start.elapsed().as_secs());
    Ok(is_same)
}

/// Prints what came of a campaign as soon as it ends; whether nothing was found.
fn tell(name: &str, report: &Report) -> bool {
    println!("\n{name}: {} commands\n{}", report.commands, report.explained);
    if let Some(finding) = &report.finding {
        println!("DIFFERENCE: {finding}");
    }
    report.finding.is_none()
}

/// Says now and then how far it is.
struct Progress {
    start: Instant,
    total: u64,
    state: Mutex<ProgressState>,
}

struct ProgressState {
    commands: u64,
    said: Instant,
}

impl Progress {
    const INTERVAL: Duration = Duration::from_secs(10);

    fn new(total: u64) -> Progress {
        let start = Instant::now();
        Progress { start, total, state: Mutex::new(ProgressState { commands: 0, said: start }) }
    }

    fn add(&self, commands: u64) {
        let mut state = self.state.lock().expect("nobody panics with it");
        state.commands += commands;
        if state.said.elapsed() >= Progress::INTERVAL {
            state.said = Instant::now();
            println!(
                "{} of {} commands after {} s",
                state.commands,
                self.total,
                self.start.elapsed().as_secs()
            );
        }
    }
}
