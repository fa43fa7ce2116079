//! What the user reads.

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larder_engine::kit::Diagnosis;

use super::part::Told;
use super::{Check, Survives, Verdict};

/// Lines of a process's standard error that are shown.
const ERROR_LINES_MAX: usize = 20;

/// A report that grows check by check. What is under way shows on a terminal only.
pub struct Report {
    bar: ProgressBar,
    held: usize,
    failed: Vec<&'static str>,
}

impl Report {
    /// Says what is going to be checked, and where.
    pub fn begin(store: &str, told: &Told, survives: Survives, scratch: &Path, checks: usize) -> Report {
        let outlives = match survives {
            Survives::Nothing => "its items go with the process",
            Survives::Stop => "its items outlive a clean stop",
            Survives::Kill => "its items outlive a kill",
        };
        say(&format!(
            "{store}: engine `{}`, acknowledges at level {}: {outlives}\nin {}; your data is not touched\n\n",
            told.name,
            told.level,
            scratch.display()
        ));
        let bar = ProgressBar::with_draw_target(Some(checks as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {msg}");
        bar.set_style(style.expect("the template is well formed"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Report { bar, held: 0, failed: Vec::new() }
    }

    /// Names the checks that are not made because a module cannot pass them.
    pub fn left_out(&self, checks: &[Check]) {
        if !checks.is_empty() {
            let names: Vec<_> = checks.iter().map(|check| check.name).collect();
            let text = format!(
                "left out, because the interface of modules has no words for what they ask: {}\n\n",
                names.join(", ")
            );
            self.bar.suspend(|| say(&text));
        }
    }

    /// A check begins.
    pub fn running(&self, check: &Check) {
        self.bar.set_message(check.name);
    }

    /// A check has ended.
    pub fn ended(&mut self, check: &Check, verdict: Verdict, took: Duration) {
        let Check { name, proves, rule, .. } = check;
        let seconds = format!("{:.1} s", took.as_secs_f32());
        let text = match verdict {
            Verdict::Holds(notes) => {
                self.held += 1;
                format!("holds  {proves}\n       [{name}, {seconds}]\n{}", indented(&notes))
            }
            Verdict::Fails(finding, errors) => {
                self.failed.push(name);
                let mut text = format!("FAILS  {proves}\n       [{name}, {seconds}]\n{}", indented(&finding));
                if !finding.contains("  rule: ") {
                    text += &format!("         rule:      {rule}\n");
                }
                if !errors.trim().is_empty() {
                    text += &format!(
                        "         standard error of the process:\n{}",
                        indented(&last_lines(&errors))
                    );
                }
                text
            }
        };
        self.bar.suspend(|| say(&text));
        self.bar.inc(1);
    }

    /// Sums up; whether everything holds.
    pub fn end(self, survives: Survives) -> bool {
        self.bar.finish_and_clear();
        let count = self.held + self.failed.len();
        let mut text = match self.failed.is_empty() {
            true => format!("\nall {count} checks hold\n"),
            false => format!("\n{} of {count} checks fail: {}\n", self.failed.len(), self.failed.join(", ")),
        };
        if survives == Survives::Kill {
            text += "not proved from outside: power cuts and failing disks, which an engine in Rust meets in its own tests, \
                     by `kit_tests!(make, survives power_cut)`\n";
        }
        say(&text);
        self.failed.is_empty()
    }
}

/// `--list`.
pub fn list(checks: &[Check]) -> ExitCode {
    for Check { name, proves, least, .. } in checks {
        let only = match least {
            Survives::Nothing => "",
            Survives::Stop => " (where items outlive a stop)",
            Survives::Kill => " (where items outlive a kill)",
        };
        say(&format!("{name}\n    {proves}{only}\n"));
    }
    ExitCode::SUCCESS
}

/// The finding when a process ended otherwise than by its own will.
pub fn of_death(status: ExitStatus, said: &str) -> String {
    let diagnosis = Diagnosis::Panicked;
    let sentence = "the engine ended its process: a server would end, with every connection it has";
    format!(
        "{said}the process of this check {}\n  diagnosis: {sentence}\n  rule:      {}\n",
        ended(status),
        diagnosis.rule()
    )
}

/// Why a process did not do what it was asked.
pub fn how_it_ended(status: ExitStatus, errors: &str) -> String {
    match errors.trim() {
        "" => format!("its process {}", ended(status)),
        errors => last_lines(errors).trim_end().to_owned(),
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("died of signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES_MAX)..].join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("       {line}\n")).collect()
}

/// To standard output. Whoever closed the pipe has read enough.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("standard output: cannot write: {error}");
    }
}
