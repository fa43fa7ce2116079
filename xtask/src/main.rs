//! The chores of larder: `cargo xtask test|bench|crash|soak|differ|services|tidy|fuzz`.
//!
//! Every test run builds this program first, so it keeps to a handful of dependencies. A chore is
//! one module; what they share (running a program, finding the repository) is in `command`.

mod bench;
mod command;
mod crash;
mod differ;
mod fuzz;
mod services;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The chores of larder.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    Test(test::Options),
    Bench(bench::Options),
    Crash(crash::CrashOptions),
    Soak(crash::SoakOptions),
    Differ(differ::Options),
    Services(services::Options),
    Tidy(tidy::Options),
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().chore {
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Crash(options) => crash::crash(&options),
        Chore::Soak(options) => crash::soak(&options),
        Chore::Differ(options) => differ::run(&options),
        Chore::Services(options) => services::run(&options),
        Chore::Tidy(options) => tidy::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
