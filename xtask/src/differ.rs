//! `cargo xtask differ`: random command streams to larder and to memcached, every answer compared.

use crate::{command, services};
use anyhow::Result;

/// Send random command streams to larder and to memcached and compare every answer
///
/// Streams in text, meta and binary, decided by a seed: right and wrong commands, pipelined, cut into writes anywhere,
/// on a few connections. CAS numbers are compared by the order in which they appear, times with two seconds of tolerance,
/// all else byte for byte. What larder answers otherwise on purpose is in docs/compatibility.md; any other difference
/// is cut down to the commands that matter and printed with both answers and what repeats it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many commands, in all protocols together
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    commands: u64,

    /// Decides the streams [default: a new one every time]
    #[arg(long)]
    seed: Option<u64>,

    /// larder's store
    #[arg(long, value_name = "EXPR", default_value = "ram")]
    store: String,

    /// Mostly one protocol instead of each in turn: text, meta or binary
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,

    /// Only the stream of this number, as a finding names it; needs --seed and --protocol
    #[arg(long, value_name = "N", conflicts_with = "commands")]
    stream: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    services::install_named(&["memcached"])?;
    let packages = ["build", "--release", "--package", "larder", "--package", "larder-differ"];
    command::run(&mut command::cargo(&packages))?;
    let release = command::target_folder().join("release");
    let mut differ = std::process::Command::new(release.join("larder-differ"));
    differ.arg("--larder").arg(release.join("larder")).args(["--store", &options.store]);
    match options.stream {
        Some(stream) => differ.args(["--stream", &stream.to_string()]),
        None => differ.args(["--commands", &options.commands.to_string()]),
    };
    if let Some(seed) = options.seed {
        differ.args(["--seed", &seed.to_string()]);
    }
    if let Some(protocol) = &options.protocol {
        differ.args(["--protocol", protocol]);
    }
    command::run(&mut differ)
}
