//! `cargo xtask crash` and `cargo xtask soak`: a real server under load, killed or stopped again and again, audited.

use crate::command;
use anyhow::Result;

/// Kill the server again and again under load and audit what it kept
///
/// Clients of all three protocols collide on a few keys; kill -9 at a random moment; restart on the same data; then
/// every key must show what was acknowledged, in order, and nothing that nobody wrote. It stops at the first finding,
/// keeps the data and prints the command to repeat it. With --cuts it is the power that goes, under the store alone:
/// `--cuts N --store file` under `file`, otherwise under `sqlite`.
#[derive(clap::Args)]
pub(crate) struct CrashOptions {
    /// kill -9s
    #[arg(long, value_name = "N", default_value_t = 30)]
    kills: u64,

    /// Instead of killing a server, cut the power of the simulated disk under the store so many times
    #[arg(long, value_name = "N", conflicts_with_all = ["kills", "more"])]
    cuts: Option<u64>,

    #[command(flatten)]
    common: Common,
}

/// Run the server for long under load, with kills and clean stops in turn, and audit each restart
///
/// Memory of the server and size of its data are printed every minute.
#[derive(clap::Args)]
pub(crate) struct SoakOptions {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,

    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// Decides what the clients do and when the server dies [default: a new one every time]
    #[arg(long)]
    seed: Option<u64>,

    /// The store under test
    #[arg(long, value_name = "EXPR", default_value = "ram > sqlite")]
    store: String,

    /// Passed on to the campaign's program; `-- --help` lists what it takes
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

pub(crate) fn crash(options: &CrashOptions) -> Result<()> {
    match options.cuts {
        Some(cuts) => cut_power(cuts, &options.common),
        None => run("--kills", options.kills, &options.common),
    }
}

/// The campaign is a test of the store; its length and seed come by the environment.
fn cut_power(cuts: u64, common: &Common) -> Result<()> {
    let package = if common.store.contains("file") { "larder-file" } else { "larder-sqlite" };
    let test = ["test", "--package", package, "--test", "power_cut", "a_power_cut", "--", "--nocapture"];
    let seed = common.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{cuts} power cuts, seed {seed}");
    let mut campaign = command::cargo(&test);
    command::run(campaign.env("LARDER_CUTS", cuts.to_string()).env("LARDER_SEED", seed.to_string()))
}

pub(crate) fn soak(options: &SoakOptions) -> Result<()> {
    run("--minutes", options.minutes, &options.common)
}

fn run(length: &str, amount: u64, common: &Common) -> Result<()> {
    let packages = ["build", "--release", "--package", "larder", "--package", "larder-crash"];
    command::run(&mut command::cargo(&packages))?;
    let release = command::target_folder().join("release");
    let mut campaign = std::process::Command::new(release.join("larder-crash"));
    campaign.arg("--server").arg(release.join("larder"));
    campaign.args([length, &amount.to_string(), "--store", &common.store]);
    if let Some(seed) = common.seed {
        campaign.args(["--seed", &seed.to_string()]);
    }
    command::run(campaign.args(&common.more))
}
