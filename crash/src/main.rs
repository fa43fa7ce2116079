//! `larder-crash`: the kill campaign and the endurance run as a program.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use larder_crash::campaign::{self, Length, Options, Progress, Report};
use larder_crash::server::Recipe;

/// Kill a real server under load again and again and audit what it kept
#[derive(Parser)]
struct CommandLine {
    /// kill -9s
    #[arg(long, value_name = "N", conflicts_with = "minutes", required_unless_present = "minutes")]
    kills: Option<u64>,
    /// Run for so many minutes instead, with kills and clean stops in turn; memory and disk use every minute
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Decides what the clients do and when the server dies [default: a new one every time]
    #[arg(long)]
    seed: Option<u64>,
    /// The store under test; its `write=` decides what the audit demands
    #[arg(long, value_name = "EXPR", default_value = "ram > sqlite")]
    store: String,
    /// The server binary [default: LARDER_BIN]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Connections at a time, taking turns in the protocols
    #[arg(long, value_name = "N", default_value_t = usual::CLIENTS)]
    clients: u32,
    /// RAM for a bare `ram`, in MiB
    #[arg(long, value_name = "MIB", default_value_t = usual::MEMORY_MIB)]
    memory: u32,
    /// The server's worker threads
    #[arg(long, value_name = "N", default_value_t = usual::THREADS)]
    threads: u32,
    /// Rounds on one data folder before a fresh one
    #[arg(long, value_name = "N", default_value_t = usual::ROUNDS_PER_FOLDER)]
    rounds_per_folder: u64,
    /// Longest load of a round, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = usual::LOAD_MS_MAX)]
    load_ms_max: u64,
    /// How many of a hundred rounds have flush_all among their commands
    #[arg(long, value_name = "PERCENT", default_value_t = usual::FLUSH_ROUNDS_PERCENT)]
    flush_rounds: u64,
}

/// What the options are unless they are given.
mod usual {
    pub const CLIENTS: u32 = 9;
    pub const MEMORY_MIB: u32 = 64;
    pub const THREADS: u32 = 2;
    pub const ROUNDS_PER_FOLDER: u64 = 25;
    pub const LOAD_MS_MAX: u64 = 700;
    pub const FLUSH_ROUNDS_PERCENT: u64 = 10;
}

impl CommandLine {
    /// The options that are not as usual, as `cargo xtask` passes them on.
    fn unusual(&self) -> String {
        let options = [
            ("--clients", u64::from(self.clients), u64::from(usual::CLIENTS)),
            ("--memory", u64::from(self.memory), u64::from(usual::MEMORY_MIB)),
            ("--threads", u64::from(self.threads), u64::from(usual::THREADS)),
            ("--rounds-per-folder", self.rounds_per_folder, usual::ROUNDS_PER_FOLDER),
            ("--load-ms-max", self.load_ms_max, usual::LOAD_MS_MAX),
            ("--flush-rounds", self.flush_rounds, usual::FLUSH_ROUNDS_PERCENT),
        ];
        let unusual = options.iter().filter(|(_, value, usual)| value != usual);
        let words: String = unusual.map(|(name, value, _)| format!(" {name} {value}")).collect();
        if words.is_empty() { words } else { format!(" --{words}") }
    }
}

/// Shortest load of a round, in milliseconds.
const LOAD_MS_MIN: u64 = 200;
/// Most connections: operations under way on one key must fit the search.
const CLIENTS_MAX: u32 = 32;

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("larder-crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine) -> Result<ExitCode> {
    let more = line.unusual();
    let Some(program) = line.server.or_else(|| std::env::var_os("LARDER_BIN").map(PathBuf::from)) else {
        bail!("no server: name its binary with --server FILE or in LARDER_BIN");
    };
    if line.clients == 0 || line.clients > CLIENTS_MAX {
        bail!("--clients {}: take 1 to {CLIENTS_MAX}", line.clients);
    }
    if line.load_ms_max < LOAD_MS_MIN {
        bail!("--load-ms-max {}: take at least {LOAD_MS_MIN}", line.load_ms_max);
    }
    let seed = line.seed.unwrap_or_else(new_seed);
    let options = Options {
        level: campaign::level_of(&line.store),
        flush_rounds_percent: line.flush_rounds,
        recipe: Recipe { program, store: line.store, memory_mib: line.memory, threads: line.threads },
        seed,
        length: match (line.kills, line.minutes) {
            (Some(kills), _) => Length::Rounds(kills),
            (None, minutes) => Length::Time(Duration::from_secs(60 * minutes.unwrap_or(1))),
        },
        clients: line.clients,
        load_ms: (LOAD_MS_MIN, line.load_ms_max),
        rounds_per_folder: line.rounds_per_folder.max(1),
        clean_stops_percent: if line.minutes.is_some() { 50 } else { 0 },
    };
    let mut display = Display::new(line.minutes.is_some());
    let report = campaign::run(&options, &mut |progress| display.show(progress))?;
    display.end();
    Ok(summarise(&options, &more, &report))
}

fn new_seed() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64 % 1_000_000_000)
}

/// The progress: a line that is written over on a terminal, a line now and then elsewhere.
struct Display {
    is_terminal: bool,
    /// Between two lines that stay.
    interval: Duration,
    shown: Duration,
    last: Option<Progress>,
}

impl Display {
    fn new(is_soak: bool) -> Self {
        let interval = Duration::from_secs(if is_soak { 60 } else { 10 });
        Display { is_terminal: std::io::stderr().is_terminal(), interval, shown: Duration::ZERO, last: None }
    }

    fn show(&mut self, progress: Progress) {
        let is_due = progress.elapsed >= self.shown + self.interval;
        if is_due {
            self.shown = progress.elapsed;
        }
        if self.is_terminal {
            eprint!("\r{}\x1b[K{}", line(&progress), if is_due { "\n" } else { "" });
            // A terminal that is gone is no reason to stop.
            let _ = std::io::stderr().flush();
        } else if is_due {
            eprintln!("{}", line(&progress));
        }
        self.last = Some(progress);
    }

    fn end(&self) {
        if let Some(progress) = &self.last {
            eprintln!("{}{}", if self.is_terminal { "\r" } else { "" }, line(progress));
        }
    }
}

fn line(progress: &Progress) -> String {
    let Progress { totals, elapsed, resident_kib, data_bytes } = progress;
    let stops = match totals.clean_stops {
        0 => String::new(),
        stops => format!("{stops} clean stops, "),
    };
    format!(
        "{} kills, {stops}{} operations, {} acknowledged writes, {} s; RSS {} MiB, data {} KiB",
        totals.kills,
        totals.operations,
        totals.acknowledged_writes,
        elapsed.as_secs(),
        resident_kib / 1024,
        data_bytes / 1024,
    )
}

fn summarise(options: &Options, more: &str, report: &Report) -> ExitCode {
    let totals = &report.totals;
    for finding in &report.findings {
        println!("{finding}");
    }
    println!(
        "{} kills, {} clean stops, {} operations, {} acknowledged writes, {} requests under way at an end",
        totals.kills, totals.clean_stops, totals.operations, totals.acknowledged_writes, totals.unanswered
    );
    if totals.undecided > 0 {
        println!("{} histories of a key were too tangled to judge", totals.undecided);
    }
    if let Some(folder) = &report.kept_folder {
        println!("the data and the server's log are kept in {}", folder.display());
    }
    let length = match options.length {
        Length::Rounds(kills) => format!("crash --kills {kills}"),
        Length::Time(time) => format!("soak --minutes {}", time.as_secs() / 60),
    };
    let Options { seed, recipe, .. } = options;
    println!("repeat with: cargo xtask {length} --seed {seed} --store \"{}\"{more}", recipe.store);
    let sound = report.findings.is_empty() && totals.undecided == 0;
    println!("{}", if sound { "nothing lost, nothing invented" } else { "FAILED" });
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
