//! Holds what an engine has after a stop or a crash against what its clients were told before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Engine;
use crate::reply::Durability;
use crate::request::Get;
use crate::time::Clock;

use super::client::Client;
use super::clients::Sequence;
use super::clock::ManualClock;
use super::command::{Command, Outcome, get_with, set};
use super::diagnosis::Diagnosis;
use super::executor::LocalExecutor;
use super::failure::{Failure, Verdict, require_or};
use super::history::{AUDITOR, Recorded, explain};
use super::truth::Truth;

/// A key outside those that clients use: its CAS shows where the engine's ids have got to.
const PROBE: &[u8] = b"probe";

/// What came between the clients and the audit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// A clean stop.
    Stop,
    /// A kill, or the power's end.
    Crash,
}

/// What is known of an engine's items from one look to the next.
pub struct Audit {
    keys: Vec<Vec<u8>>,
    loss: Loss,
    /// What was true at the last look.
    truths: BTreeMap<Vec<u8>, Truth>,
    /// The highest CAS any client has seen.
    cas_highest: u64,
}

impl Audit {
    /// An audit of `keys` in an engine that holds nothing yet.
    pub fn new(keys: &[Vec<u8>], loss: Loss) -> Self {
        Audit { keys: keys.to_vec(), loss, truths: BTreeMap::new(), cas_highest: 0 }
    }

    fn when(&self) -> &'static str {
        match self.loss {
            Loss::Stop => "after the stop",
            Loss::Crash => "after the crash",
        }
    }

    /// Looks at every key of the engine, which was opened again, and holds what is found against `history`: what clients
    /// asked and were told since the last look.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn look(
        &mut self,
        engine: &Arc<dyn Engine>,
        clock: &Arc<ManualClock>,
        sequence: &Sequence,
        mut history: Vec<Recorded>,
    ) -> Verdict {
        let executor = LocalExecutor::new(0);
        let client = Client::new(engine.clone(), executor.worker().clone(), clock.clone());
        let run = |command: Command| {
            let invoked = sequence.next();
            let outcome = executor.block_on(client.run(&command));
            let returned = sequence.next();
            Recorded { client: AUDITOR, command, outcome, invoked, returned, now: clock.now() }
        };
        let value_max = engine.describe().item_size_max;
        let looks: Vec<Recorded> =
            self.keys.iter().map(|key| run(get_with(key, Get { bump: false, ..Get::plain() }))).collect();
        let seen = history.iter().map(|recorded| recorded.outcome.cas()).max().unwrap_or(0);
        let when = self.when();
        let probe = run(set(PROBE, b"").into());
        let Outcome::Stored(probed) = probe.outcome else {
            let text = format!("{when}: {} failed: {}", probe.command, probe.outcome);
            return Err(Failure::new(text).because(Diagnosis::FailsUnasked));
        };
        history.extend(looks);
        for key in &self.keys {
            let before = self.truths.remove(key).unwrap_or_default();
            let after = explain(key, &before, &history, value_max).map_err(|failure| {
                let failure = failure.within(when);
                failure.map_diagnosis(|diagnosis| match (self.loss, diagnosis) {
                    (Loss::Stop, Diagnosis::LostAtCrash) => Diagnosis::LostAtStop,
                    (_, other) => other,
                })
            })?;
            self.truths.insert(key.clone(), Truth { cas_highest: probed.cas, ..after });
        }
        let highest = self.cas_highest.max(seen);
        require_or(Diagnosis::CasReused, probed.cas > highest, || {
            format!("{when}: the engine gave CAS {}, a client had seen {highest} before", probed.cas)
        })?;
        self.cas_highest = probed.cas;
        Ok(())
    }
}

/// Only acknowledgements at level local or higher say anything about a crash.
///
/// # Errors
/// The first that is below.
pub fn require_level(history: &[Recorded]) -> Verdict {
    let level = |outcome: &Outcome| match outcome {
        Outcome::Stored(stored) => Some(stored.level),
        Outcome::Deleted(deleted) => Some(deleted.level),
        Outcome::Number(number) => Some(number.level),
        Outcome::Touched(touched) => Some(touched.level),
        Outcome::Flushed(flushed) => Some(flushed.level),
        _ => None,
    };
    for Recorded { command, outcome, .. } in history {
        if let Some(level) = level(outcome).filter(|level| *level < Durability::Local) {
            let text = format!(
                "{command}: acknowledged at level {}; only what is acknowledged at local or higher survives a crash",
                level.word()
            );
            return Err(Failure::new(text).because(Diagnosis::LostAtCrash));
        }
    }
    Ok(())
}
