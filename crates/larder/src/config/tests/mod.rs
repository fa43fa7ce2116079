//! Tests of the configuration: text and arguments in, the plan or the mistakes out.

mod book;
mod changes;
mod command_line;
mod files;
mod guard;
mod options;
mod random;
mod report;
mod stacks;
#[cfg(feature = "sql")]
mod tables;
mod units;

use std::path::Path;

use clap::Parser;

use super::{File, Input, Options, Plan, Program, check};

/// Cores of the machine that the tests pretend to run on.
const CORES: usize = 2;

/// The plan of a file and a command line of which the first word is the program, or one line for each mistake.
fn plan(command_line: &str, file: Option<&str>) -> Result<Plan, Vec<String>> {
    let words: Vec<&str> = command_line.split(' ').collect();
    let program = crate::cli::program(words[0].as_ref());
    let cli = crate::cli::Cli::try_parse_from(words).expect("the line has only known options");
    plan_of(program, &cli.options, file)
}

fn plan_of(program: Program, options: &Options, file: Option<&str>) -> Result<Plan, Vec<String>> {
    let path = Path::new("larder.toml");
    let file = file.map(|text| File { path, content: text.as_bytes() });
    check(&Input { program, cores: CORES, options, file }).map_err(|mistakes| mistakes.lines())
}

/// The plan of a file that has no mistakes.
fn good_file(text: &str) -> Plan {
    plan("larder", Some(text)).expect("the file has no mistakes")
}

/// A file has exactly these mistakes, one a line, `LINE:COLUMN: problem; instead`.
#[track_caller]
fn check_file(text: &str, expected: &str) {
    check_mistakes(plan("larder", Some(text)), "larder.toml:", expected);
}

/// A command line has exactly these mistakes, one a line.
#[track_caller]
fn check_options(command_line: &str, expected: &str) {
    check_mistakes(plan(command_line, None), "", expected);
}

#[track_caller]
fn check_mistakes(result: Result<Plan, Vec<String>>, source: &str, expected: &str) {
    let found = result.expect_err("this configuration has mistakes");
    let found: Vec<&str> = found.iter().map(|line| line.strip_prefix(source).unwrap_or(line)).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found.join("\n"), expected.join("\n"));
}

/// A configuration in words is exactly this.
#[track_caller]
fn check_description(command_line: &str, file: Option<&str>, expected: &str) {
    let description = plan(command_line, file).expect("this configuration has no mistakes").describe();
    assert_eq!(description, expected);
}
