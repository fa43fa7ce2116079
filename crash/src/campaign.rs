//! Rounds of load, death, restart and audit.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use crate::checker::{CounterAudit, End, Failure, KeyAudit, Level};
use crate::client::{ALL_KEYS, Client, Log, Stopwatch};
use crate::identities::Identities;
use crate::operation::{Action, Moment, Operation, Outcome, StoreMode};
use crate::plan::{self, Key, Planner, Purpose};
use crate::random::Random;
use crate::server::{Recipe, Server};
use crate::value::Value;
use crate::wire::Dialect;

/// When a campaign is over.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After so many rounds.
    Rounds(u64),
    /// After so much time.
    Time(Duration),
}

/// What a campaign does.
#[derive(Clone, Debug)]
pub struct Options {
    /// How to start the server.
    pub recipe: Recipe,
    /// Decides everything that chance decides, but for the timing of machine and server.
    pub seed: u64,
    /// When it is over.
    pub length: Length,
    /// Connections at a time.
    pub clients: u32,
    /// Shortest and longest load of a round, in milliseconds.
    pub load_ms: (u64, u64),
    /// Rounds on one data folder before a fresh one.
    pub rounds_per_folder: u64,
    /// How many of a hundred rounds end with a clean stop instead of a kill.
    pub clean_stops_percent: u64,
    /// How many of a hundred rounds have flush_all among their commands.
    pub flush_rounds_percent: u64,
    /// What the audit demands; [`level_of`] the store, but for an audit that is meant to find something.
    pub level: Level,
}

/// Sums of a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// kill -9s.
    pub kills: u64,
    /// Clean stops.
    pub clean_stops: u64,
    /// Requests sent, a look-up of several keys counted by key.
    pub operations: u64,
    /// Writes acknowledged.
    pub acknowledged_writes: u64,
    /// Requests without an answer at the end of their round.
    pub unanswered: u64,
    /// Keys of a round whose history was too tangled to judge.
    pub undecided: u64,
}

/// What a campaign found.
#[derive(Debug, Default)]
pub struct Report {
    /// Sums.
    pub totals: Totals,
    /// What is wrong, each with all that is known. Empty is what one hopes for.
    pub findings: Vec<String>,
    /// The data folder of the last finding, kept.
    pub kept_folder: Option<PathBuf>,
}

/// What is known after each round.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Sums so far.
    pub totals: Totals,
    /// Since the start.
    pub elapsed: Duration,
    /// Resident memory of the server at the end of the load, in KiB.
    pub resident_kib: u64,
    /// Size of the data folder, in bytes.
    pub data_bytes: u64,
}

/// What a disk may take longer than `dirty_age`, in milliseconds.
const GRACE_MS: u64 = 2000;
/// The server's `dirty_age` where the expression names none, in milliseconds.
const DIRTY_AGE_MS: u64 = 1000;

/// The level a store expression promises.
pub fn level_of(store: &str) -> Level {
    let store: String = store.chars().filter(|character| !character.is_whitespace()).collect();
    if !["sqlite", "file"].iter().any(|durable| store.contains(durable)) {
        Level::Ram
    } else if store.contains("write=behind") {
        Level::Queued { age_max_us: (dirty_age_ms(&store).unwrap_or(DIRTY_AGE_MS) + GRACE_MS) * 1000 }
    } else {
        Level::Local
    }
}

fn dirty_age_ms(store: &str) -> Option<u64> {
    let age = store.split_once("dirty_age=")?.1.split([',', ')']).next()?;
    match age.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => age.strip_suffix('s')?.parse::<u64>().ok().map(|seconds| seconds * 1000),
    }
}

/// Runs a campaign; stops at the first round that finds something.
///
/// # Errors
/// What kept it from running at all. What it finds is no error.
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
    let start = Instant::now();
    let mut report = Report::default();
    let mut round = 0;
    let is_over = |round: u64| match options.length {
        Length::Rounds(rounds) => round >= rounds,
        Length::Time(time) => start.elapsed() >= time,
    };
    while !is_over(round) && report.findings.is_empty() {
        let mut folder = Folder::new(options)?;
        for _ in 0..options.rounds_per_folder {
            folder.round(round, &mut report)?;
            round += 1;
            progress(Progress {
                totals: report.totals,
                elapsed: start.elapsed(),
                resident_kib: folder.resident_kib,
                data_bytes: folder.data_bytes()?,
            });
            if is_over(round) || !report.findings.is_empty() {
                break;
            }
        }
        if !report.findings.is_empty() {
            report.kept_folder = Some(folder.directory.keep());
        }
    }
    Ok(report)
}

/// A data folder and all that is known of what is in it.
struct Folder<'o> {
    options: &'o Options,
    level: Level,
    directory: TempDir,
    keys: Vec<Key>,
    audits: Vec<KeyAudit>,
    /// Accounts of the counters, by the place of their key.
    counters: Vec<(usize, Counter)>,
    identities: Identities,
    sequences: Vec<u64>,
    watch: Stopwatch,
    server: Option<Server>,
    resident_kib: u64,
}

/// A counter's account; `shown` is its number at the last start.
struct Counter {
    audit: CounterAudit,
    shown: Option<u64>,
}

impl<'o> Folder<'o> {
    fn new(options: &'o Options) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("larder-crash-")
            .tempdir()
            .context("cannot make a folder for the data")?;
        let keys = plan::keys();
        let counters = (0..keys.len())
            .filter(|&key| keys[key].purpose == Purpose::Counter)
            .map(|key| (key, Counter { audit: CounterAudit::default(), shown: None }))
            .collect();
        let server = Server::start(&options.recipe, directory.path())?;
        Ok(Folder {
            options,
            level: options.level,
            directory,
            audits: keys.iter().map(|key| KeyAudit::new(&key.name)).collect(),
            counters,
            keys,
            identities: Identities::default(),
            sequences: vec![0; options.clients as usize],
            watch: Stopwatch::start(),
            server: Some(server),
            resident_kib: 0,
        })
    }

    fn data_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        let data = self.directory.path().join("data");
        let Ok(entries) = std::fs::read_dir(&data) else { return Ok(0) };
        for entry in entries {
            // A file may go away while the server runs.
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// Load, end, restart, audit.
    fn round(&mut self, round: u64, report: &mut Report) -> Result<()> {
        let mut random = Random::new(self.options.seed, round << 16);
        let flushes = random.percent(self.options.flush_rounds_percent);
        let ended = match random.percent(self.options.clean_stops_percent) {
            true => End::CleanStop,
            false => End::Kill,
        };
        let (logs, end) = match self.load(round, &mut random, flushes, ended) {
            Ok(loaded) => loaded,
            Err(error) => {
                report.findings.push(format!("round {round}: {error:#}"));
                return Ok(());
            }
        };
        match ended {
            End::Kill => report.totals.kills += 1,
            End::CleanStop => report.totals.clean_stops += 1,
        }
        let found = report.findings.len();
        self.judge(&logs, flushes, ended, end, report);
        match Server::start(&self.options.recipe, self.directory.path()) {
            Ok(server) => self.server = Some(server),
            Err(error) => {
                report.findings.push(format!("it does not start again: {error:#}"));
            }
        }
        if report.findings.len() == found {
            self.audit(ended, flushes, report)?;
        }
        for finding in &mut report.findings[found..] {
            let how = if ended == End::Kill { "kill" } else { "clean stop" };
            *finding = format!("round {round}, which ended with a {how}: {finding}");
        }
        Ok(())
    }

    /// Runs the clients against the server until its end.
    fn load(
        &mut self,
        round: u64,
        random: &mut Random,
        flushes: bool,
        ended: End,
    ) -> Result<(Vec<Log>, Moment)> {
        let server = self.server.take().ok_or_else(|| anyhow!("no server runs"))?;
        self.create_counters(server.address())?;
        let (shortest, longest) = self.options.load_ms;
        let load = Duration::from_millis(random.between(shortest, longest));
        let mut clients = Vec::new();
        for id in 0..self.options.clients {
            let dialect = [Dialect::Classic, Dialect::Meta, Dialect::Binary][id as usize % 3];
            let client = Client::connect(server.address(), &self.keys, id, dialect, self.watch)
                .context("a client cannot connect")?;
            let part = Random::new(self.options.seed, round << 16 | u64::from(id + 1));
            let sequence = self.sequences[id as usize];
            clients.push((client, Planner::new(part, dialect, id, sequence, flushes)));
        }
        std::thread::scope(|scope| {
            let running: Vec<_> = clients
                .into_iter()
                .map(|(client, mut planner)| {
                    scope.spawn(move || (client.load(&mut planner), planner.sequence()))
                })
                .collect();
            std::thread::sleep(load);
            self.resident_kib = server.resident_kib().unwrap_or(0);
            match ended {
                End::Kill => server.kill(),
                End::CleanStop => server.stop(),
            }?;
            // What a client still read after this had been answered before.
            let mut logs = Vec::new();
            for (id, running) in running.into_iter().enumerate() {
                let (log, sequence) = running.join().map_err(|_| anyhow!("client {id} panicked"))?;
                self.sequences[id] = sequence;
                logs.push(log);
            }
            Ok((logs, self.watch.now()))
        })
    }

    /// Sees to it that every counter exists. Part of no history: nothing else runs.
    fn create_counters(&mut self, address: std::net::SocketAddr) -> Result<()> {
        let missing: Vec<usize> = self
            .counters
            .iter()
            .filter(|(_, counter)| counter.shown.is_none())
            .map(|(key, _)| *key)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let client = Client::connect(address, &self.keys, self.options.clients, Dialect::Binary, self.watch)?;
        let creation = Action::Store {
            mode: StoreMode::Add,
            value: Value::number(0),
            flags: 0,
            ttl: 0,
            compare: None,
            older_marks_stale: false,
            vivify: None,
        };
        let log = client.once(&missing, &creation);
        if let Some(broken) = log.broken {
            bail!("the counters cannot be created: {broken}");
        }
        for (key, operation) in &log.operations {
            if let Err(failure) = self.audits[*key].look(operation) {
                bail!("the counters cannot be created: {}", words(failure));
            }
        }
        for (_, counter) in &mut self.counters {
            counter.shown.get_or_insert(0);
        }
        Ok(())
    }

    /// Judges the answers of a round, and works out what may be true now.
    fn judge(&mut self, logs: &[Log], flushes: bool, ended: End, end: Moment, report: &mut Report) {
        let mut by_key: Vec<Vec<&Operation>> = vec![Vec::new(); self.keys.len()];
        for log in logs {
            report.findings.extend(log.broken.clone());
            for (key, operation) in &log.operations {
                self.note(*key, operation, report);
                if *key == ALL_KEYS {
                    by_key.iter_mut().for_each(|operations| operations.push(operation));
                } else {
                    by_key[*key].push(operation);
                }
            }
        }
        for operations in &mut by_key {
            operations
                .sort_by_key(|operation| (operation.invoked.order_us, operation.client, operation.index));
        }
        if !flushes {
            for (key, counter) in &mut self.counters {
                counter.audit.count(by_key[*key].iter().copied());
            }
        }
        let level = self.level;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.keys.len().div_ceil(cores);
        let failures: Vec<Failure> = std::thread::scope(|scope| {
            let parts: Vec<_> = self
                .audits
                .chunks_mut(share)
                .zip(by_key.chunks(share))
                .map(|(audits, histories)| {
                    scope.spawn(move || {
                        let rounds = audits.iter_mut().zip(histories);
                        let judged = rounds.map(|(audit, history)| audit.round(history, level, ended, end));
                        judged.filter_map(Result::err).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("the search does not panic")).collect()
        });
        for failure in failures {
            match failure {
                Failure::Violation(violation) => report.findings.push(violation.to_string()),
                Failure::Undecided => report.totals.undecided += 1,
            }
        }
    }

    fn note(&mut self, key: usize, operation: &Operation, report: &mut Report) {
        let totals = &mut report.totals;
        totals.operations += 1;
        match &operation.answered {
            None => totals.unanswered += 1,
            Some((_, Outcome::Failed(words))) if !matches!(self.level, Level::Queued { .. }) => {
                report.findings.push(format!("the server refuses without reason: {words}: {operation}"));
            }
            Some((_, outcome)) => totals.acknowledged_writes += u64::from(outcome.is_acknowledged_write()),
        }
        if key != ALL_KEYS
            && let Err(words) = self.identities.note(key, operation)
        {
            report.findings.push(words);
        }
    }

    /// Looks at every key in all three protocols.
    fn audit(&mut self, ended: End, flushes: bool, report: &mut Report) -> Result<()> {
        let address = self.server.as_ref().ok_or_else(|| anyhow!("no server runs"))?.address();
        self.identities.restart();
        if self.level == Level::Ram {
            self.identities = Identities::default();
        }
        for dialect in [Dialect::Classic, Dialect::Binary, Dialect::Meta] {
            let client = Client::connect(address, &self.keys, self.options.clients, dialect, self.watch)
                .context("the auditor cannot connect")?;
            let log = client.look_at_all();
            report.findings.extend(log.broken);
            for (key, operation) in &log.operations {
                if let Err(failure) = self.audits[*key].look(operation) {
                    report.findings.push(words(failure));
                }
                if dialect == Dialect::Classic {
                    self.settle_counter(*key, operation, ended, flushes, report);
                }
            }
        }
        Ok(())
    }

    fn settle_counter(
        &mut self,
        key: usize,
        operation: &Operation,
        ended: End,
        flushes: bool,
        report: &mut Report,
    ) {
        let Some((_, counter)) = self.counters.iter_mut().find(|(counter, _)| *counter == key) else {
            return;
        };
        let shown = match &operation.answered {
            Some((_, Outcome::Hit { value, .. })) => value.as_number(),
            _ => None,
        };
        let level = match (self.level, ended) {
            (Level::Queued { .. }, End::CleanStop) => Level::Local,
            (level, _) => level,
        };
        if let (Some(start), Some(shown), false) = (counter.shown, shown, flushes)
            && let Err(words) = counter.audit.settle(start, shown, level)
        {
            report.findings.push(format!("{}: {words}", self.keys[key].name));
        }
        counter.audit = CounterAudit::default();
        counter.shown = shown;
    }
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Violation(violation) => violation.to_string(),
        Failure::Undecided => "too many possibilities".to_owned(),
    }
}
