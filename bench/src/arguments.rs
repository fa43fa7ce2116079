//! The command line, and the checked plan it becomes.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use crate::random::Distribution;

/// Load a server that speaks a memcached protocol (or Redis' GET and SET) and report what it did
#[derive(Clone, PartialEq, Debug, clap::Args)]
pub struct Args {
    /// Where the server listens: HOST:PORT, or the path of a unix socket
    #[arg(default_value = "127.0.0.1:11211")]
    pub address: String,
    /// Protocol to speak
    #[arg(long, value_enum, default_value_t = Protocol::Text)]
    pub protocol: Protocol,
    /// Connections over all threads
    #[arg(short, long, default_value_t = 50, value_name = "N")]
    pub connections: usize,
    /// Requests in flight on each connection
    #[arg(short = 'P', long, default_value_t = 1, value_name = "N")]
    pub pipeline: usize,
    /// Threads that make load
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Number of different keys
    #[arg(short, long, default_value_t = 10_000, value_name = "N")]
    pub keys: u64,
    /// Length of a key in bytes
    #[arg(long, default_value_t = 16, value_name = "BYTES")]
    pub key_length: usize,
    /// What every key begins with
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub key_prefix: String,
    /// Value size in bytes: fixed (100), a range (100-2000), or lognormal(MEDIAN), whose logarithms deviate by 0.5;
    /// a key's value always has the same size
    #[arg(short = 's', long, default_value = "100", value_name = "SIZE")]
    pub value_size: Sizes,
    /// Expiry of stored items as the protocol writes it: seconds, or a Unix time if more than 30 days; 0 is never
    #[arg(long, default_value_t = 0, value_name = "EXPTIME")]
    pub exptime: u32,
    /// Parts of the load: get, set, incr, delete
    #[arg(short, long, default_value = "get=9,set=1", value_name = "MIX")]
    pub mix: Mix,
    /// Keys asked for in one get
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub get_keys: usize,
    /// How keys are chosen: uniform, or zipf(S) with S above 0, such as zipf(0.99)
    #[arg(short, long, default_value = "uniform", value_name = "NAME")]
    pub distribution: Distribution,
    /// Send the requests in flight together, and the next only when all of them are answered
    #[arg(long, conflicts_with = "rate")]
    pub batch: bool,
    /// Store a key when a get did not find it, as a cache's clients do
    #[arg(long, conflicts_with = "rate")]
    pub read_through: bool,
    /// Part of the operations, from 0 to 1, that go to a key of their own: never used before, never again
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    pub scan: f64,
    /// How long to measure
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Measure this many operations instead of a time
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Then leave the connections open and silent for so long before the server's memory is measured
    #[arg(long, default_value_t = 0, value_name = "SECONDS", requires = "requests")]
    pub rest: u32,
    /// Load before the measurement starts
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub warm_up: f64,
    /// Operations started per second, evenly spread, whether or not the server keeps up (open loop); latency then
    /// counts from when an operation should have started. Without it: as fast as the server answers
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// Store every key once before anything else
    #[arg(long)]
    pub fill: bool,
    /// Requests in flight on each connection while filling
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub fill_pipeline: usize,
    /// Only fill
    #[arg(long, requires = "fill")]
    pub fill_only: bool,
    /// Start of the random numbers; the same seed asks for the same keys
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Process id of the server, on this machine: reports its CPU time per operation and its resident memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress while it runs
    #[arg(short, long)]
    pub quiet: bool,
}

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Protocol {
    /// memcached's classic text
    Text,
    /// memcached's meta commands
    Meta,
    /// memcached's binary protocol
    Binary,
    /// Redis
    Redis,
}

/// Sizes of values in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// The middle of a log-normal distribution; without it all sizes between the bounds are as frequent.
    pub(crate) median: Option<usize>,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |number: &str| {
            number
                .parse::<usize>()
                .map_err(|_| format!("`{number}` is no size; write bytes, such as 100 or 100-2000"))
        };
        let inner = text.strip_prefix("lognormal(").and_then(|rest| rest.strip_suffix(')'));
        let median = inner.map(parse).transpose()?;
        let (min, max) = match (median, text.split_once('-')) {
            (Some(median), _) => (1, median.saturating_mul(MEDIANS_MAX).max(1)),
            (None, Some((min, max))) => (parse(min)?, parse(max)?),
            (None, None) => (parse(text)?, parse(text)?),
        };
        if min > max {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        if max > VALUE_BYTES_MAX {
            return Err(format!("values of more than {VALUE_BYTES_MAX} bytes are not made here"));
        }
        Ok(Sizes { min, max, median })
    }
}

/// The largest value of a log-normal distribution in medians: one in ten million would be larger.
const MEDIANS_MAX: usize = 16;
/// Largest value in bytes.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// How the load is composed, in parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mix {
    pub(crate) get: u32,
    pub(crate) set: u32,
    pub(crate) incr: u32,
    pub(crate) delete: u32,
}

impl Mix {
    pub(crate) fn parts(self) -> u32 {
        self.get + self.set + self.incr + self.delete
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const PARTS_MAX: u32 = 1_000_000;
        let mut mix = Mix::default();
        for part in text.split(',') {
            let (name, number) = part.split_once('=').unwrap_or((part, "1"));
            let number: u32 =
                number.parse().ok().filter(|number| *number <= PARTS_MAX).ok_or_else(|| {
                    format!("`{part}`: the part is a number up to {PARTS_MAX}, such as get=9")
                })?;
            match name.trim() {
                "get" => mix.get = number,
                "set" => mix.set = number,
                "incr" => mix.incr = number,
                "delete" => mix.delete = number,
                other => {
                    return Err(format!("`{other}` is no operation; there are get, set, incr and delete"));
                }
            }
        }
        if mix.parts() == 0 { Err("a mix needs at least one part above 0".into()) } else { Ok(mix) }
    }
}

/// A checked command line.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) arguments: Args,
    pub(crate) warm_up: Duration,
    pub(crate) address: Address,
    /// Operations per second of each thread.
    pub(crate) rate_per_thread: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Args {
    pub(crate) fn check(&self) -> Result<Plan> {
        for (option, number) in [
            ("--connections", self.connections),
            ("--pipeline", self.pipeline),
            ("--threads", self.threads),
            ("--get-keys", self.get_keys),
            ("--fill-pipeline", self.fill_pipeline),
        ] {
            ensure!(number > 0, "{option} is 0; give at least 1");
        }
        ensure!(self.keys > 0, "--keys is 0; give at least 1");
        ensure!(
            self.threads <= self.connections,
            "--threads {} needs at least as many --connections (there are {})",
            self.threads,
            self.connections
        );
        let digits = (self.keys - 1).to_string().len();
        let shortest = self.key_prefix.len() + digits;
        ensure!(
            shortest <= self.key_length,
            "--key-length {} is too short for {} keys with this prefix; it takes {shortest}",
            self.key_length,
            self.keys
        );
        ensure!(self.key_length <= KEY_BYTES_MAX, "--key-length is at most {KEY_BYTES_MAX}");
        ensure!(
            self.key_prefix.bytes().all(|byte| byte.is_ascii_graphic()),
            "--key-prefix has a space, a control character or a letter beyond ASCII; use plain characters"
        );
        ensure!(
            self.seconds > 0.0 && self.seconds.is_finite() && self.warm_up >= 0.0 && self.warm_up.is_finite(),
            "--seconds must be above 0 and --warm-up not below"
        );
        if let Some(rate) = self.rate {
            ensure!(rate > 0.0 && rate.is_finite(), "--rate must be above 0");
        }
        if self.protocol == Protocol::Redis && self.exptime != 0 {
            bail!("--exptime is not spoken to Redis; leave it out");
        }
        self.check_trace()?;
        let address = if self.address.contains('/') {
            Address::Unix(PathBuf::from(&self.address))
        } else if self.address.contains(':') {
            Address::Tcp(self.address.clone())
        } else {
            bail!("`{}` is no address; write HOST:PORT, or a path with a / for a unix socket", self.address);
        };
        Ok(Plan {
            warm_up: Duration::from_secs_f64(self.warm_up),
            address,
            rate_per_thread: self.rate.map(|rate| rate / self.threads as f64),
            arguments: self.clone(),
        })
    }
}

impl Args {
    /// What is asked of keys beyond their distribution.
    fn check_trace(&self) -> Result<()> {
        ensure!((0.0..=1.0).contains(&self.scan), "--scan is {}; give a part from 0 to 1", self.scan);
        if self.scan > 0.0 {
            let shortest = self.key_prefix.len() + SCAN_DIGITS;
            ensure!(self.key_length >= shortest, "--scan needs a --key-length of at least {shortest}");
            ensure!(
                self.keys <= 1 << SCAN_SEED_SHIFT && self.seed < SCAN_SEED_MAX,
                "--scan takes at most {} --keys and a --seed below {SCAN_SEED_MAX}",
                1u64 << SCAN_SEED_SHIFT
            );
        }
        if self.get_keys > 1 {
            ensure!(
                self.scan == 0.0 && !self.read_through,
                "--scan and --read-through are for gets of one key; leave out --get-keys"
            );
            ensure!(
                self.protocol != Protocol::Binary || u32::try_from(self.keys).is_ok(),
                "a binary get of several keys tells up to {} --keys apart",
                u32::MAX
            );
        }
        Ok(())
    }
}

/// Keys of scans have numbers from the seed, shifted by so many bits, on: two seeds share none.
pub(crate) const SCAN_SEED_SHIFT: u32 = 40;
const SCAN_SEED_MAX: u64 = 1 << 20;
/// Digits of the largest of them.
const SCAN_DIGITS: usize = 19;
const KEY_BYTES_MAX: usize = larder_protocol::KEY_BYTES_MAX;
