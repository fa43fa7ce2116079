//! A client that waits for every answer and compares it with the truth.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::item::Found;
use crate::reply::{Deleted, Number, Stored};
use crate::request::Get;
use crate::time::{Clock, Timestamp};

use super::client::Client;
use super::clock::ManualClock;
use super::command::{self, Command, Outcome, StoreCommand, shown};
use super::diagnosis::{Diagnosis, Past, of_answer};
use super::executor::LocalExecutor;
use super::failure::{Failure, Verdict, require, require_or};
use super::truth::Truth;

/// Commands on one key kept for the report of a failure.
const TOLD_MAX: usize = 12;
/// Commands on any key kept for it.
const RECENT_MAX: usize = 4;

/// Blocking calls to an engine, one after the other. Every answer is compared with what the protocol's rules demand,
/// so a check need only name what it is about.
pub struct Driver {
    /// `None` while the engine is not open.
    client: Option<Client>,
    executor: LocalExecutor,
    clock: Arc<ManualClock>,
    truths: BTreeMap<Vec<u8>, Vec<Truth>>,
    flushes: Vec<(Option<Vec<u8>>, Timestamp)>,
    past: Past,
    version_highest: HashMap<Vec<u8>, u64>,
    /// The last commands on each key, flushes included.
    told: HashMap<Vec<u8>, VecDeque<String>>,
    /// The last commands on any key.
    recent: VecDeque<String>,
    is_reopened: bool,
}

impl Driver {
    /// A driver of an engine that holds nothing yet.
    pub fn new(engine: Arc<dyn Engine>, clock: Arc<ManualClock>) -> Self {
        let executor = LocalExecutor::new(0);
        let client = Client::new(engine, executor.worker().clone(), clock.clone());
        Driver {
            client: Some(client),
            executor,
            clock,
            truths: BTreeMap::new(),
            flushes: Vec::new(),
            past: Past::default(),
            version_highest: HashMap::new(),
            told: HashMap::new(),
            recent: VecDeque::new(),
            is_reopened: false,
        }
    }

    /// A driver of the same data in another engine, with what this one knows.
    pub fn reopened(mut self, engine: Arc<dyn Engine>) -> Driver {
        self.client = Some(Client::new(engine, self.executor.worker().clone(), self.clock.clone()));
        let keys: Vec<Vec<u8>> = self.truths.keys().cloned().collect();
        self.tell(keys.iter(), "(closed, and opened again)");
        self.version_highest.clear();
        self.is_reopened = true;
        self
    }

    /// The client.
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("a driver is used while its engine is open")
    }

    /// Closes the connection and lets go of the engine; [`Driver::reopened`] goes on.
    pub fn disconnected(self) -> Self {
        Driver { client: None, ..self }
    }

    /// The event loop.
    pub fn executor(&self) -> &LocalExecutor {
        &self.executor
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        self.client().engine()
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The second it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Longest value in bytes.
    pub fn value_max(&self) -> u64 {
        self.engine().describe().item_size_max
    }

    /// Runs a command and compares its outcome with the truth.
    pub fn run(&mut self, command: impl Into<Command>) -> Result<Outcome, Failure> {
        let command = command.into();
        let outcome = self.executor.block_on(self.client().run(&command));
        self.judge(&command, &outcome)?;
        Ok(outcome)
    }

    /// Compares an outcome that came by another way.
    pub fn judge(&mut self, command: &Command, outcome: &Outcome) -> Verdict {
        self.flush_what_is_due();
        let now = self.now();
        let value_max = self.value_max();
        if let Command::Flush { prefix, when } = command {
            self.flushes.retain(|(scope, _)| scope != prefix);
            self.flushes.extend(when.map(|when| (prefix.clone(), when)));
        }
        let keys: Vec<Vec<u8>> = match command.key() {
            Some(key) => vec![key.into()],
            None => self.truths.keys().filter(|key| command.concerns(key)).cloned().collect(),
        };
        for key in &keys {
            let before = self.truths.entry(key.clone()).or_insert_with(|| vec![Truth::default()]);
            let mut after = Vec::new();
            let mut wrong = None;
            for truth in before.iter() {
                match truth.after(command, outcome, now, value_max) {
                    Ok(truths) => after.extend(truths),
                    Err(words) => {
                        let due = format!("{words}; there was {}", truth.words(now));
                        wrong = Some((due, of_answer(truth, command, outcome, now, &self.past)));
                    }
                }
            }
            if let (true, Some((due, diagnosis))) = (after.is_empty(), wrong) {
                let told = self.history(key);
                let second = now.0;
                let text =
                    format!("{command} at second {second}\n  expected: {due}\n  got:      {outcome}{told}");
                return Err(self.failure(text, diagnosis));
            }
            *before = after;
        }
        let verdict = self.check_success(command, outcome);
        self.past.note(command, outcome);
        self.tell(keys.iter(), &format!("[{}] {command} -> {outcome}", now.0));
        verdict
    }

    /// A finding in the light of what happened to the engine.
    fn failure(&self, text: String, diagnosis: Diagnosis) -> Failure {
        let diagnosis = match diagnosis {
            Diagnosis::ItemLost if self.is_reopened => Diagnosis::LostAtStop,
            Diagnosis::CasGivenBefore if self.is_reopened => Diagnosis::CasReused,
            other => other,
        };
        Failure::new(text).because(diagnosis)
    }

    /// Takes note of a line for a report.
    fn tell<'k>(&mut self, keys: impl Iterator<Item = &'k Vec<u8>>, line: &str) {
        let keep = |lines: &mut VecDeque<String>, count_max: usize| {
            if lines.len() == count_max {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        };
        for key in keys {
            keep(self.told.entry(key.clone()).or_default(), TOLD_MAX);
        }
        keep(&mut self.recent, RECENT_MAX);
    }

    /// What happened to `key`, and just now, for a report.
    fn history(&self, key: &[u8]) -> String {
        let lines = |lines: &VecDeque<String>| Vec::from(lines.clone()).join("\n    ");
        let mut text = String::new();
        if let Some(told) = self.told.get(key) {
            text += &format!("\n  the commands on {} before it:\n    {}", shown(key), lines(told));
        }
        if !self.recent.is_empty() {
            text += &format!("\n  the last commands on any key:\n    {}", lines(&self.recent));
        }
        text
    }

    fn flush_what_is_due(&mut self) {
        let now = self.clock.now();
        let (due, waiting) =
            std::mem::take(&mut self.flushes).into_iter().partition(|(_, when)| *when <= now);
        self.flushes = waiting;
        let due: Vec<(Option<Vec<u8>>, Timestamp)> = due;
        for (prefix, _) in due {
            let flush = Command::Flush { prefix, when: None };
            for (_, truths) in self.truths.iter_mut().filter(|(key, _)| flush.concerns(key)) {
                truths.iter_mut().for_each(|truth| truth.item = None);
            }
        }
    }

    /// What holds for every success, whatever the command: level, CAS given once only, versions that grow.
    fn check_success(&mut self, command: &Command, outcome: &Outcome) -> Verdict {
        let description = self.engine().describe();
        let (level, version) = match outcome {
            Outcome::Stored(stored) => (Some(stored.level), stored.version),
            Outcome::Deleted(deleted) => (Some(deleted.level), deleted.version),
            Outcome::Number(number) => (Some(number.level), number.version),
            Outcome::Touched(touched) => (Some(touched.level), touched.version),
            Outcome::Flushed(flushed) => (Some(flushed.level), 0),
            Outcome::Found(found, _) => (None, found.version),
            _ => (None, 0),
        };
        if let Some(level) = level {
            require_or(Diagnosis::LevelTooHigh, level <= description.level, || {
                let highest = description.level.word();
                format!(
                    "{command}: acknowledged at level {}, but the engine's highest is {highest}",
                    level.word()
                )
            })?;
        }
        let key = command.key().unwrap_or_default();
        if version != 0 {
            let highest = self.version_highest.entry(key.into()).or_insert(0);
            require_or(Diagnosis::VersionMissing, version > *highest, || {
                format!("{command}: version {version} does not grow beyond {highest}, the one before")
            })?;
            *highest = version;
        }
        let changes_value = matches!(outcome, Outcome::Stored(_) | Outcome::Deleted(_) | Outcome::Number(_));
        let has_version = version != 0 || !description.versions || !changes_value;
        require_or(Diagnosis::VersionMissing, has_version, || {
            format!("{command}: the engine says it gives versions, but this success has none")
        })?;
        if changes_value
            && command.new_cas().is_none()
            && outcome.cas() != 0
            && let Some(earlier) = self.past.give(outcome.cas(), command)
        {
            let text = format!("{command}: CAS {} was given before, to: {earlier}", outcome.cas());
            return Err(self.failure(text, Diagnosis::CasGivenBefore));
        }
        Ok(())
    }

    /// Runs a look-up that must hit.
    pub fn hit(&mut self, command: Command) -> Result<(Found, Bytes), Failure> {
        match self.run(command.clone())? {
            Outcome::Found(found, value) => Ok((found, value)),
            other => Err(Failure::new(format!("{command}\n  expected: a hit\n  got:      {other}"))),
        }
    }

    /// Requires a plain look-up to give this value.
    pub fn holds(&mut self, key: &[u8], value: &[u8]) -> Result<Found, Failure> {
        let (found, got) = self.hit(command::get(key))?;
        require(got == value, || {
            format!("get {}\n  expected: the value {}\n  got:      {}", shown(key), shown(value), shown(&got))
        })?;
        Ok(found)
    }

    /// Requires a plain look-up to miss.
    pub fn misses(&mut self, key: &[u8]) -> Verdict {
        let outcome = self.run(command::get(key))?;
        require(outcome == Outcome::Missing, || {
            format!("get {}\n  expected: a miss\n  got:      {outcome}", shown(key))
        })
    }

    /// Runs a store that must succeed.
    pub fn stored(&mut self, store: StoreCommand) -> Result<Stored, Failure> {
        let command = Command::from(store);
        match self.run(command.clone())? {
            Outcome::Stored(stored) => Ok(stored),
            other => Err(Failure::new(format!("{command}\n  expected: stored\n  got:      {other}"))),
        }
    }

    /// Runs a delete that must succeed.
    pub fn deleted(&mut self, command: Command) -> Result<Deleted, Failure> {
        match self.run(command.clone())? {
            Outcome::Deleted(deleted) => Ok(deleted),
            other => Err(Failure::new(format!("{command}\n  expected: deleted\n  got:      {other}"))),
        }
    }

    /// Runs a counter command that must succeed.
    pub fn number(&mut self, command: Command) -> Result<Number, Failure> {
        match self.run(command.clone())? {
            Outcome::Number(number) => Ok(number),
            other => Err(Failure::new(format!("{command}\n  expected: a number\n  got:      {other}"))),
        }
    }

    /// Runs a command that must be refused so.
    pub fn refused(&mut self, command: impl Into<Command>, kind: ErrorKind) -> Verdict {
        let command = command.into();
        let outcome = self.run(command.clone())?;
        require(matches!(&outcome, Outcome::Refused(got, _) if *got == kind), || {
            format!("{command}\n  expected: error {kind:?}\n  got:      {outcome}")
        })
    }

    /// Looks at every key used so far, so that a command that harmed another key is found.
    pub fn holds_all(&mut self) -> Verdict {
        let keys: Vec<Vec<u8>> = self.truths.keys().cloned().collect();
        for key in keys {
            self.run(command::get_with(&key, Get { bump: false, ..Get::plain() }))?;
        }
        Ok(())
    }

    /// Keys that hold an item now, as far as known.
    pub fn live_keys(&mut self) -> Vec<Vec<u8>> {
        self.flush_what_is_due();
        let now = self.now();
        let alive = |truth: &Truth| truth.item.as_ref().is_some_and(|item| !item.expiry.is_past(now));
        let keys = self.truths.iter().filter(|(_, truths)| truths.iter().all(alive));
        keys.map(|(key, _)| key.clone()).collect()
    }
}
