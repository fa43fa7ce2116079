//! `larder engine-check`: the engine kit on any store, from outside.
//!
//! Each check runs in a process of its own, so that an engine that crashes, hangs or exits ends one check and no more.
//! The process that was started by the user conducts; the others are this program again, told by a hidden option
//! which part they play (`part`).

mod guard;
mod outside;
mod part;
mod report;
mod scratch;
mod stack;
mod wire;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use larder_engine::kit::{Rule, catalogue};

use crate::process;
use report::Report;
use scratch::Scratch;

const HELP: &str = "\
What it does:
  The store is made anew, again and again, in a scratch folder; your data is not touched. Every
  check runs in a process of its own and asks the store what clients ask, alone and many at once,
  with time passing, values and keys of every kind, and every answer compared with what the rules
  demand. Then processes that use the store end cleanly, and are killed, and what the next one finds
  is held against what was acknowledged.

Examples:
  larder engine-check ram
  larder engine-check \"ram > sqlite(write=behind)\"
  larder engine-check sqlite --only expire --only kill
  larder engine-check \"module('./engine.so', 'path={scratch}')\"
  larder engine-check --list

  {scratch} in an expression stands for a folder made for the check, for engines whose own
  settings name one. Above a module the checks are left out that ask for what C's interface has no
  words for, and the report names them.

What it says:
  holds  a sentence that is true of this store now, and the name of the check
  FAILS  what is wrong, the rule that is broken, the command, what was due, what came, and what
         happened before

Exit status: 0 everything holds; 1 something fails; 2 the check could not be made.";

/// The exit status when nothing can be said of the store.
const CANNOT_CHECK: u8 = 2;

/// The options of `larder engine-check`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The store to check, as in --store: "ram > sqlite"
    #[arg(value_name = "STORE", required_unless_present = "list")]
    store: Option<String>,

    /// What its items must outlive [default: what the level it acknowledges at promises]
    #[arg(long, value_name = "WHAT")]
    survives: Option<Survives>,

    /// Run only the checks whose name contains TEXT; may be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// Name every check and what it proves, and run none
    #[arg(long)]
    list: bool,

    /// Folder in which the scratch folder is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// Leave the scratch folder as it is at the end
    #[arg(long)]
    keep: bool,

    /// The part a process plays that this program has started.
    #[arg(long, hide = true)]
    part: Option<part::Part>,
}

/// What a store's items outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Survives {
    /// They may go with the process
    Nothing,
    /// A clean stop
    Stop,
    /// A kill at any moment
    Kill,
}

/// A check as it is run from outside.
struct Check {
    name: &'static str,
    proves: &'static str,
    rule: Rule,
    least: Survives,
}

const STOP: Check = Check {
    name: "a_stop_of_the_process_keeps_everything",
    proves: "what a process leaves that ends cleanly, the next process finds as it was",
    rule: Rule::Levels,
    least: Survives::Stop,
};

const KILL: Check = Check {
    name: "a_kill_of_the_process_keeps_what_was_acknowledged",
    proves: "what was acknowledged to clients of a process that is killed at any moment, the next process finds",
    rule: Rule::Levels,
    least: Survives::Kill,
};

/// Every check, in the order they run.
fn checks() -> Vec<Check> {
    let tables = [(catalogue::EVERY, Survives::Nothing), (catalogue::STOP, Survives::Stop)];
    let inside = tables.into_iter().flat_map(|(entries, least)| {
        entries.iter().map(move |entry| Check {
            name: entry.name,
            proves: entry.proves,
            rule: entry.rule,
            least,
        })
    });
    inside.chain([STOP, KILL]).collect()
}

/// Runs the command: the report to standard output; success when everything holds.
pub fn run(arguments: &Args) -> ExitCode {
    let store = arguments.store.as_deref().unwrap_or_default();
    if let Some(part) = &arguments.part {
        // A module's threads may run on after its engine is destroyed, and would not survive an orderly end.
        process::leave(part::play(part, store));
    }
    if arguments.list {
        return report::list(&checks());
    }
    match conduct(arguments, store) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("larder engine-check: {error:#}");
            ExitCode::from(CANNOT_CHECK)
        }
    }
}

fn conduct(arguments: &Args, store: &str) -> anyhow::Result<bool> {
    guard::refuse_existing_data(store)?;
    let scratch = Scratch::make(arguments.scratch.as_deref(), arguments.keep)?;
    scratch.remove_when_interrupted()?;
    let conductor = Conductor { store, scratch: &scratch };
    let told = conductor.describe()?;
    let survives = arguments.survives.unwrap_or_else(|| told.survives());
    let is_asked = |check: &Check| {
        let names = &arguments.only;
        check.least <= survives && (names.is_empty() || names.iter().any(|name| check.name.contains(name)))
    };
    let asked = checks().into_iter().filter(is_asked);
    let has_module = stack::has_module(store)?;
    let (checks, left_out): (Vec<Check>, Vec<Check>) =
        asked.partition(|check| !has_module || is_about_modules(check));
    anyhow::ensure!(!checks.is_empty(), "no check is left with these options; --list names them all");
    let mut report = Report::begin(store, &told, survives, scratch.path(), checks.len());
    report.left_out(&left_out);
    for check in &checks {
        report.running(check);
        let start = Instant::now();
        let verdict = conductor.check(check)?;
        report.ended(check, verdict, start.elapsed());
    }
    Ok(report.end(survives))
}

/// Whether a module can pass it, which is asked in the words of C's interface.
fn is_about_modules(check: &Check) -> bool {
    larder_module::CHECKS.contains(&check.name)
}

/// What a check came to.
enum Verdict {
    /// It holds; what there is to say besides.
    Holds(String),
    /// It does not; the finding, and what the process wrote to standard error.
    Fails(String, String),
}

/// Starts the processes.
struct Conductor<'a> {
    store: &'a str,
    scratch: &'a Scratch,
}

impl Conductor<'_> {
    /// Opens the store once and asks what it is.
    fn describe(&self) -> anyhow::Result<part::Told> {
        let output = self.play("describe")?;
        let text = String::from_utf8_lossy(&output.stdout);
        match part::Told::parse(&text).filter(|_| output.status.success()) {
            Some(told) => Ok(told),
            None => {
                let why = String::from_utf8_lossy(&output.stderr);
                anyhow::bail!(
                    "the store cannot be opened in an empty folder, so nothing can be said of it: {}",
                    report::how_it_ended(output.status, &why)
                )
            }
        }
    }

    fn check(&self, check: &Check) -> anyhow::Result<Verdict> {
        let output = self.play(&format!("check:{}", check.name))?;
        let [said, errors] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        Ok(match output.status.code() {
            Some(0) => Verdict::Holds(said),
            Some(1) => Verdict::Fails(said, errors),
            _ => Verdict::Fails(report::of_death(output.status, &said), errors),
        })
    }

    /// Runs this program again in a part, with a folder of its own for whatever it keeps.
    fn play(&self, part: &str) -> anyhow::Result<Output> {
        let folder = self.scratch.next_folder()?;
        let program = std::env::current_exe().context("this program cannot be found to be started again")?;
        let mut process = Command::new(program)
            .args(["engine-check", self.store, "--part", part])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("this program cannot be started again")?;
        // Open for as long as this process lives: see `part::end_with_the_conductor`.
        let _line = process.stdin.take();
        process.wait_with_output().context("a process of the check is lost")
    }
}
