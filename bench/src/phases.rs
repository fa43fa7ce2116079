//! Fill, warm-up, measurement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;

use crate::arguments::Plan;
use crate::generator::{Generator, Phase, Shared, Source};
use crate::progress::Progress;
use crate::report::{Filled, Measured, Report, ServerCpu, ServerMemory};
use crate::server_cpu::CpuSample;
use crate::server_memory::resident_bytes;
use crate::tally::Tally;
use crate::workload::{Keyspace, Workload};

/// How often the progress is told and the end looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(plan: &Plan) -> Result<Report> {
    let arguments = &plan.arguments;
    if let Some(pid) = arguments.pid {
        CpuSample::of(pid)?;
    }
    if arguments.mix.incr > 0 {
        let digits = (arguments.keys - 1).to_string().len();
        ensure!(
            arguments.key_prefix.len() + digits < arguments.key_length,
            "--key-length {} leaves no place to tell counters from values; give one more",
            arguments.key_length
        );
    }
    let keyspace = Arc::new(Keyspace::new(arguments));
    let fill = if arguments.fill { Some(fill(plan, &keyspace)?) } else { None };
    let measured = if arguments.fill_only { None } else { Some(measure(plan, &keyspace)?) };
    let protocol = arguments.protocol.to_possible_value().map(|value| value.get_name().to_owned());
    Ok(Report {
        address: arguments.address.clone(),
        protocol: protocol.unwrap_or_default(),
        connections: arguments.connections,
        pipeline: arguments.pipeline,
        fill,
        measured,
    })
}

/// Share number `index` of `count` nearly equal shares of `whole`.
fn share(whole: u64, index: usize, count: usize) -> std::ops::Range<u64> {
    let at = |index: usize| (u128::from(whole) * index as u128 / count as u128) as u64;
    at(index)..at(index + 1)
}

/// Starts a thread for each share of the connections.
fn start<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    plan: &'env Plan,
    keyspace: &'env Arc<Keyspace>,
    shared: &'env Shared,
    source: impl Fn(usize) -> Source,
) -> Result<Vec<ScopedJoinHandle<'scope, Result<Tally>>>> {
    let arguments = &plan.arguments;
    // All connections stand before the first thread starts: a refused one then leaves nothing to stop.
    let generators = (0..arguments.threads).map(|index| {
        let connections = share(arguments.connections as u64, index, arguments.threads);
        let connections = (connections.end - connections.start) as usize;
        Generator::new(plan, keyspace, shared, source(index), connections)
    });
    let spawn = |(index, generator): (usize, Generator<'env>)| {
        let thread = thread::Builder::new().name(format!("load-{index}"));
        let load = move || {
            let outcome = generator.run();
            if outcome.is_err() {
                shared.enter(Phase::Stop);
            }
            outcome
        };
        thread
            .spawn_scoped(scope, load)
            .context("cannot start a thread")
            .inspect_err(|_| shared.enter(Phase::Stop))
    };
    generators.collect::<Result<Vec<_>>>()?.into_iter().enumerate().map(spawn).collect()
}

fn finish(threads: Vec<ScopedJoinHandle<'_, Result<Tally>>>) -> Result<Tally> {
    let mut sum = Tally::new();
    for thread in threads {
        let tally = thread.join().map_err(|_| anyhow!("a load thread panicked"))??;
        sum.add(&tally);
    }
    Ok(sum)
}

/// Waits until `end` or until the threads are done, telling how far it is.
fn wait(
    threads: usize,
    shared: &Shared,
    progress: &mut Progress,
    end: Option<Instant>,
    part: impl Fn(u64) -> f64,
) {
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) || shared.is_over(threads) {
            return;
        }
        let done = shared.done.load(Ordering::Relaxed);
        progress.tell(part(done), done, shared.errors.load(Ordering::Relaxed));
        thread::sleep(left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
    }
}

fn fill(plan: &Plan, keyspace: &Arc<Keyspace>) -> Result<Filled> {
    let arguments = &plan.arguments;
    let keys = arguments.keys;
    let items = if arguments.mix.incr > 0 { keys * 2 } else { keys };
    let shared = Shared::new(Phase::WarmUp);
    let started = Instant::now();
    let tally = thread::scope(|scope| {
        let threads = start(scope, plan, keyspace, &shared, |index| {
            let part = share(items, index, arguments.threads);
            Source::Fill { next: part.start, end: part.end, keys }
        })?;
        let mut progress = Progress::new("fill", arguments.quiet);
        wait(threads.len(), &shared, &mut progress, None, |done| done as f64 / items as f64);
        shared.enter(Phase::Stop);
        progress.end();
        finish(threads)
    })?;
    if let Some((text, count)) = tally.errors.iter().next() {
        bail!("filling failed {} times, {count} of them with: {text}", tally.error_count());
    }
    Ok(Filled::new(tally.operations(), shared.seconds_since(started)))
}

fn measure(plan: &Plan, keyspace: &Arc<Keyspace>) -> Result<Measured> {
    let arguments = &plan.arguments;
    let warms_up = !plan.warm_up.is_zero();
    let before_bytes = arguments.pid.map(resident_bytes).transpose()?;
    let shared = Shared::new(if warms_up { Phase::WarmUp } else { Phase::Measure });
    thread::scope(|scope| {
        let threads = start(scope, plan, keyspace, &shared, |index| Source::Mix {
            workload: Workload::new(arguments, index),
            left: arguments.requests.map(|requests| {
                let part = share(requests, index, arguments.threads);
                part.end - part.start
            }),
        })?;
        let outcome = watch(plan, &shared);
        shared.enter(Phase::Stop);
        let tally = finish(threads)?;
        let Watched { seconds, server_ns, server_bytes, client_ns } = outcome?;

        let mut measured = Measured::new(&tally, seconds);
        measured.rate_asked_per_second = arguments.rate;
        measured.server_cpu = server_ns.map(|spent| ServerCpu::new(spent, measured.operations, seconds));
        measured.server_memory = before_bytes
            .zip(server_bytes)
            .map(|(before_bytes, end_bytes)| ServerMemory { before_bytes, end_bytes });
        measured.client_cpu_ns_per_operation = client_ns as f64 / measured.operations.max(1) as f64;
        Ok(measured)
    })
}

/// What was seen from outside while the threads made load.
struct Watched {
    seconds: f64,
    server_ns: Option<BTreeMap<String, u64>>,
    /// While the connections are still open.
    server_bytes: Option<u64>,
    client_ns: u64,
}

/// Waits through warm-up and measurement.
fn watch(plan: &Plan, shared: &Shared) -> Result<Watched> {
    let arguments = &plan.arguments;
    let threads = arguments.threads;
    if !plan.warm_up.is_zero() {
        let mut progress = Progress::new("warm-up", arguments.quiet);
        let begin = Instant::now();
        wait(threads, shared, &mut progress, Some(begin + plan.warm_up), |_| {
            begin.elapsed().as_secs_f64() / arguments.warm_up
        });
        progress.end();
    }
    let server = || arguments.pid.map(CpuSample::of).transpose();
    let client = || CpuSample::of(std::process::id());
    let (server_before, client_before) = (server()?, client()?);
    let begin = Instant::now();
    let done_before = shared.done.load(Ordering::Relaxed);
    if !plan.warm_up.is_zero() {
        shared.enter(Phase::Measure);
    }
    let end = arguments.requests.is_none().then(|| begin + Duration::from_secs_f64(arguments.seconds));
    let mut progress = Progress::new("measure", arguments.quiet);
    wait(threads, shared, &mut progress, end, |done| match arguments.requests {
        Some(requests) => (done - done_before) as f64 / requests as f64,
        None => begin.elapsed().as_secs_f64() / arguments.seconds,
    });
    let seconds = shared.seconds_since(begin);
    progress.end();
    let server_after = server().context("the server ended during the measurement")?;
    thread::sleep(Duration::from_secs(u64::from(arguments.rest)));
    Ok(Watched {
        seconds,
        server_ns: server_after.zip(server_before).map(|(after, before)| after.since(&before)),
        server_bytes: arguments.pid.map(resident_bytes).transpose()?,
        client_ns: client()?.since(&client_before).values().sum(),
    })
}
