//! `cargo xtask fuzz`: every fuzz target for a while, each with its dictionary and seeds.

use crate::command;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

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

    /// Which targets to run; all when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    command::ensure_cargo_command("fuzz")?;
    let known = command::output(&mut cargo_fuzz(&["list"]))?;
    let known: Vec<&str> = known.split_whitespace().collect();
    for target in chosen(&options.targets, &known)? {
        println!("fuzzing {target} for {} s", options.seconds);
        command::run(&mut fuzz_one(target, options.seconds)?).with_context(|| {
            format!("{target} has found something (repeat it with RUSTC_BOOTSTRAP=1 set)")
        })?;
    }
    Ok(())
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

fn fuzz_one(target: &str, seconds: u32) -> Result<Command> {
    let fuzz = command::repository().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let seeds = fuzz.join("seeds").join(target);
    let dictionary = fuzz.join("dictionaries").join(format!("{target}.dict"));

    // Without a sanitizer the targets build on the stable toolchain; RUSTC_BOOTSTRAP allows the
    // coverage flags that libFuzzer needs.
    let mut command = cargo_fuzz(&["run", "--sanitizer=none", target]);
    if seeds.is_dir() {
        // libFuzzer writes what it learns into the first folder, and only reads the others.
        fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
        command.arg(corpus).arg(seeds);
    }
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg("-timeout=10");
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    Ok(command)
}

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
}
