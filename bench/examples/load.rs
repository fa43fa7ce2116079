//! The load generator as a program of its own: `cargo run --release -p larder-bench --example load -- --help`.

use clap::Parser;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    arguments: larder_bench::Args,
}

fn main() -> anyhow::Result<()> {
    larder_bench::run(&CommandLine::parse().arguments)
}
