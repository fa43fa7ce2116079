//! `cargo xtask fuzz`: every fuzz target for a while, each with its dictionary and seeds.

use crate::command;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// Lines of a target's output that are shown when it has found something.
const LINES_SHOWN: usize = 60;

/// Run the fuzz targets, each for some seconds
///
/// The targets are in `fuzz/fuzz_targets`. A dictionary `fuzz/dictionaries/TARGET.dict` and seeds in
/// `fuzz/seeds/TARGET/` are used when they exist. What a target finds is left in
/// `fuzz/artifacts/TARGET`, with the command that repeats it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    seconds: u32,

    /// How many targets run at a time; each takes a core
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    at_once: u32,

    /// Which targets to run; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    command::ensure_cargo_command("fuzz")?;
    let known = command::output(&mut cargo_fuzz(&["list"]))?;
    let known: Vec<&str> = known.split_whitespace().collect();
    let targets = chosen(&options.targets, &known)?;
    command::run(&mut cargo_fuzz(&["build", "--sanitizer=none"]))?;

    let waiting = Mutex::new(targets.iter());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.at_once {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no fuzzing thread panics").next();
                    let Some(target) = next else { return };
                    match fuzz_one(target, options.seconds) {
                        Ok(summary) => println!("{target}: {summary}"),
                        Err(error) => {
                            println!("{error:#}");
                            failures.lock().expect("no fuzzing thread panics").push(*target);
                        }
                    }
                }
            });
        }
    });
    match failures.into_inner().expect("no fuzzing thread panics")[..] {
        [] => Ok(()),
        ref found => bail!("these targets have found something: {}", found.join(", ")),
    }
}

fn chosen<'a>(asked: &'a [String], known: &[&'a str]) -> Result<Vec<&'a str>> {
    if known.is_empty() {
        bail!("fuzz/ has no targets");
    }
    if let Some(unknown) = asked.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("there is no fuzz target `{unknown}`; there are: {}", known.join(", "));
    }
    Ok(if asked.is_empty() { known.to_vec() } else { asked.iter().map(String::as_str).collect() })
}

/// Runs a target; what it did, in words. The error has the end of what it said.
fn fuzz_one(target: &str, seconds: u32) -> Result<String> {
    let logs = command::target_folder().join("fuzz");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let path = logs.join(format!("{target}.log"));
    let log = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut command = fuzz_command(target, seconds)?;
    command.stdout(log.try_clone()?).stderr(log);
    let status = command.status().with_context(|| format!("cannot start {target}"))?;
    let said = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let said = String::from_utf8_lossy(&said);
    let summary = status.success().then(|| summary(&said)).flatten();
    summary.ok_or_else(|| {
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        anyhow!("{target} ends with {status} (repeat it with RUSTC_BOOTSTRAP=1 set):\n{end}")
    })
}

fn fuzz_command(target: &str, seconds: u32) -> Result<Command> {
    let fuzz = command::repository().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let seeds = fuzz.join("seeds").join(target);
    let dictionary = fuzz.join("dictionaries").join(format!("{target}.dict"));

    let mut command = cargo_fuzz(&["run", "--sanitizer=none", target]);
    // libFuzzer writes what it learns into the first folder, and only reads the others.
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    command.arg(corpus).args(Some(seeds).filter(|seeds| Path::is_dir(seeds)));
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg("-timeout=10");
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    Ok(command)
}

/// What libFuzzer says at its end, as `#81 DONE cov: 12 ft: 34 corp: 5/67Kb …`, in words.
fn summary(said: &str) -> Option<String> {
    let words: Vec<&str> = said.lines().find(|line| line.contains("\tDONE "))?.split_whitespace().collect();
    let value = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    let executions = words.first()?.strip_prefix('#')?;
    let (edges, corpus) = (value("cov:")?, value("corp:")?.split('/').next()?);
    Some(format!("{executions} executions reached {edges} edges with {corpus} inputs, and found nothing"))
}

/// Without a sanitizer the targets build on the stable toolchain; RUSTC_BOOTSTRAP allows the coverage flags that
/// libFuzzer needs.
fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = command::cargo(&["fuzz"]);
    command.args(arguments).env("RUSTC_BOOTSTRAP", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_refused_by_name() {
        let known = ["text", "binary"];
        assert_eq!(chosen(&[], &known).expect("all"), known);
        assert_eq!(chosen(&["binary".into()], &known).expect("one"), ["binary"]);
        let refusal = chosen(&["ascii".into()], &known).expect_err("unknown").to_string();
        assert!(refusal.contains("`ascii`") && refusal.contains("text, binary"), "{refusal}");
        assert!(chosen(&[], &[]).is_err());
    }

    #[test]
    fn the_end_is_told_in_words() {
        let said = "#2\tINITED cov: 1 ft: 2 corp: 1/1b\n#4711\tDONE   cov: 12 ft: 34 corp: 5/67Kb lim: 90 exec/s: 7\nDone 4711\n";
        let words = "4711 executions reached 12 edges with 5 inputs, and found nothing";
        assert_eq!(summary(said).as_deref(), Some(words));
        assert_eq!(summary("#2\tINITED cov: 1 ft: 2 corp: 1/1b\npanicked\n"), None);
    }
}
