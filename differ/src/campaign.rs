//! Streams until enough commands were sent.

use std::time::Duration;

use anyhow::Result;

use crate::explained::Explained;
use crate::generate::{self, Scope};
use crate::servers::{Addresses, Programs, Servers};
use crate::session::{self, Compared, SILENCE, Session};
use crate::shrink::shrink;
use crate::stream::{Dialect, Stream};

/// Commands in a stream.
const STREAM_COMMANDS: usize = 500;

/// Streams that wait for their short expiry times together.
const EXPIRING_STREAMS: u64 = 100;

/// A delayed `flush_all`, sent while [`Phase::Flush`] begins.
const DELAYED_FLUSH: &str = "flush_all 4";

/// Longer than the short expiry times of [`generate::expiring`] and than the delay of the flush, and so much longer
/// that it does not matter how either server rounds them.
const SHORT_TIMES: Duration = Duration::from_millis(6500);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What most connections speak.
    pub dialect: Dialect,
    /// How many commands, at least.
    pub commands: u64,
    /// Decides all streams.
    pub seed: u64,
    /// The number of the first stream.
    pub first_stream: u64,
    /// What the streams may ask.
    pub scope: Scope,
}

/// What came of it.
#[derive(Default)]
pub struct Report {
    /// Commands sent.
    pub commands: u64,
    /// Answers that are the same by their kind, and differences with a reason.
    pub explained: Explained,
    /// The first difference without a reason, as text.
    pub finding: Option<String>,
}

/// Starts the servers and runs streams until enough commands were sent or a difference without a reason was found.
/// `progress` hears of the commands of each stream.
///
/// # Errors
/// If a server does not start or cannot be reached.
pub fn run(programs: &Programs, options: &Options, progress: &dyn Fn(u64)) -> Result<Report> {
    let servers = Servers::start(programs)?;
    run_against(&servers.addresses(), options, progress)
}

/// The same with servers that run already.
///
/// # Errors
/// If a server cannot be reached.
pub fn run_against(servers: &Addresses, options: &Options, progress: &dyn Fn(u64)) -> Result<Report> {
    let Options { dialect, seed, scope, .. } = *options;
    let mut report = Report::default();
    let mut number = options.first_stream;
    while report.commands < options.commands {
        let stream = generate::stream(dialect, seed, number, STREAM_COMMANDS, scope);
        let count = stream.command_count() as u64;
        number += 1;
        match session::run(servers, &stream, SILENCE, &mut report.explained)? {
            Ok(Compared::Same) => {
                report.commands += count;
                progress(count);
            }
            // What was compared of it is not counted.
            Ok(Compared::Parted) => {}
            Err(mismatch) => {
                let text = shrink(servers, stream, *mismatch)?;
                let repeat = format!("--seed {seed} --protocol {} --stream {}", dialect.name(), number - 1);
                report.finding = Some(format!("repeat it with {repeat}\n{text}"));
                return Ok(report);
            }
        }
    }
    Ok(report)
}

/// What comes before one batch of each expiring stream.
enum Phase {
    /// Nothing.
    Start,
    /// The short times pass.
    Wait,
    /// Both servers are told to flush after a while.
    Flush,
}

/// Runs streams with short expiry times side by side: of each, one batch is sent, the times pass, then the next; then
/// a delayed `flush_all` comes between the third and the fourth. The number of commands is fixed.
///
/// # Errors
/// If a server does not start or cannot be reached.
pub fn run_expiring(programs: &Programs, options: &Options) -> Result<Report> {
    let Options { dialect, seed, scope, .. } = *options;
    let running = Servers::start(programs)?;
    let servers = running.addresses();
    let mut report = Report::default();
    let mut sessions: Vec<(u64, Stream, Session)> = Vec::new();
    for number in 0..EXPIRING_STREAMS {
        let stream = generate::expiring(dialect, seed, number, scope);
        let session = Session::open(&servers, &stream.dialects, SILENCE)?;
        sessions.push((number, stream, session));
    }
    for (index, phase) in [Phase::Start, Phase::Wait, Phase::Flush, Phase::Wait].into_iter().enumerate() {
        match phase {
            Phase::Start => {}
            // Time is what is waited for.
            Phase::Wait => std::thread::sleep(SHORT_TIMES),
            Phase::Flush => servers.flush(DELAYED_FLUSH)?,
        }
        let mut parted = Vec::new();
        for (number, stream, session) in &mut sessions {
            let batch = &stream.batches[index];
            match session.batch(batch, false, &mut report.explained) {
                Ok(Compared::Same) => {
                    report.commands += batch.groups.iter().map(Vec::len).sum::<usize>() as u64;
                }
                Ok(Compared::Parted) => parted.push(*number),
                Err(mismatch) => {
                    let what = format!("expiring stream {number}, batch {index}");
                    let repeat = format!("--seed {seed} --protocol {}: {what}", dialect.name());
                    let text = match index {
                        // Nothing has to be waited for before the first batch.
                        0 => shrink(
                            &servers,
                            Stream { batches: vec![batch.clone()], ..stream.clone() },
                            *mismatch,
                        )?,
                        _ => mismatch.to_string(),
                    };
                    report.finding = Some(format!("repeat it with {repeat}\n{text}"));
                    return Ok(report);
                }
            }
        }
        sessions.retain(|(number, ..)| !parted.contains(number));
    }
    Ok(report)
}
