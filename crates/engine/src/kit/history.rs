//! Whether what several clients were told can be told by one order of their commands (linearizability), key by key.
//!
//! The search is that of Wing and Gong with the memory of Lowe: put commands in an order, always one that had begun
//! before every command not yet placed had ended; ask the truth whether its answer fits; step back when nothing fits;
//! never visit the same set of placed commands with the same truth twice.

use std::collections::HashSet;
use std::fmt::Write;

use crate::error::ErrorKind;
use crate::time::Timestamp;

use super::command::{Certainty, Command, Outcome, shown};
use super::diagnosis::Diagnosis;
use super::failure::Failure;
use super::truth::Truth;

/// The client that looks at what is left after a crash.
pub const AUDITOR: usize = usize::MAX;

/// A command, what came of it, and when, on a scale all clients share.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which client.
    pub client: usize,
    /// What was asked.
    pub command: Command,
    /// What came of it.
    pub outcome: Outcome,
    /// When it was asked.
    pub invoked: u64,
    /// When the answer came.
    pub returned: u64,
    /// The second it was asked at.
    pub now: Timestamp,
}

impl Recorded {
    fn certain(&self) -> bool {
        self.outcome.certainty() == Certainty::Done
    }

    /// A command whose outcome nobody knows may take place at any time after it was asked.
    fn ends(&self) -> u64 {
        if self.certain() { self.returned } else { u64::MAX }
    }

    fn words(&self) -> String {
        let end = if self.certain() { self.returned.to_string() } else { "?".into() };
        let client = match self.client {
            AUDITOR => "afterwards".to_owned(),
            client => format!("client {client}"),
        };
        format!("{client} [{}..{end}] {} -> {}", self.invoked, self.command, self.outcome)
    }
}

/// Which commands are placed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Box<[u64]>);

impl Placed {
    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn with(&self, index: usize) -> Placed {
        let mut bits = self.0.clone();
        bits[index / 64] |= 1 << (index % 64);
        Placed(bits)
    }
}

/// The furthest the search came, for the report.
struct Furthest {
    count: usize,
    placed: Placed,
    truth: Truth,
}

/// Looks for an order of the commands on `key`, beginning with `initial`, and gives what is true at its end.
///
/// # Errors
/// When there is none: the furthest order that works, and what cannot come next.
pub fn explain(key: &[u8], initial: &Truth, history: &[Recorded], value_max: u64) -> Result<Truth, Failure> {
    for broken in history {
        let diagnosis = match broken.outcome {
            Outcome::Breach(_) => Diagnosis::CallBroken,
            Outcome::Unanswered => Diagnosis::NeverAnswered,
            _ => continue,
        };
        return Err(Failure::new(broken.words()).because(diagnosis));
    }
    let mut commands: Vec<&Recorded> = history.iter().filter(|recorded| matters(recorded, key)).collect();
    commands.sort_by_key(|recorded| recorded.invoked);
    let certain = commands.iter().filter(|recorded| recorded.certain()).count();
    let nothing = Placed(vec![0; commands.len().div_ceil(64).max(1)].into());
    let mut furthest = Furthest { count: 0, placed: nothing.clone(), truth: initial.clone() };
    let mut seen = HashSet::new();
    let mut open = vec![(nothing, 0usize, initial.clone())];
    while let Some((placed, count, truth)) = open.pop() {
        if count == certain {
            return Ok(truth);
        }
        if count > furthest.count {
            furthest = Furthest { count, placed: placed.clone(), truth: truth.clone() };
        }
        let mut next: Vec<usize> = candidates(&commands, &placed).collect();
        // What ended first is the best guess, so it is pushed last.
        next.sort_by_key(|index| std::cmp::Reverse(commands[*index].ends()));
        for index in next {
            let recorded = commands[index];
            let truths = match recorded.certain() {
                true => truth.after(&recorded.command, &recorded.outcome, recorded.now, value_max),
                false => Ok(vec![truth.after_unseen(&recorded.command, recorded.now, value_max)]),
            };
            for after in truths.unwrap_or_default() {
                let step = (placed.with(index), after);
                if seen.insert(step.clone()) {
                    open.push((step.0, count + usize::from(recorded.certain()), step.1));
                }
            }
        }
    }
    let mut failure = report(key, &commands, &furthest, value_max);
    let refused = history.iter().filter(|recorded| {
        recorded.command.concerns(key) && recorded.outcome.certainty() == Certainty::NothingHappened
    });
    let refused: String = refused.map(|recorded| format!("\n    {}", recorded.words())).collect();
    if !refused.is_empty() {
        let text = "  these were refused with errors that say nothing changed; did it?";
        failure = failure.followed_by(&format!("{text}{refused}"));
        if explain(key, initial, &with_refusals_doubted(history), value_max).is_ok() {
            failure = failure.map_diagnosis(|_| Diagnosis::DidChange);
        }
    }
    Err(failure)
}

/// The same history, had nobody said that what was refused changed nothing.
fn with_refusals_doubted(history: &[Recorded]) -> Vec<Recorded> {
    let doubted = |recorded: &Recorded| match recorded.outcome.certainty() {
        Certainty::NothingHappened => Outcome::Refused(ErrorKind::OutcomeUnknown, String::new()),
        _ => recorded.outcome.clone(),
    };
    history.iter().map(|recorded| Recorded { outcome: doubted(recorded), ..recorded.clone() }).collect()
}

/// Whether a command can have changed the key or tells something of it.
fn matters(recorded: &Recorded, key: &[u8]) -> bool {
    if !recorded.command.concerns(key) {
        return false;
    }
    match recorded.outcome.certainty() {
        Certainty::Done => true,
        Certainty::NothingHappened => false,
        Certainty::Unknown => match &recorded.command {
            Command::Get { get, .. } => get.may_change() || get.tokens,
            _ => true,
        },
    }
}

fn candidates<'a>(commands: &'a [&Recorded], placed: &'a Placed) -> impl Iterator<Item = usize> + 'a {
    let waiting = |index: &usize| !placed.has(*index);
    let first_end =
        (0..commands.len()).filter(waiting).map(|index| commands[index].ends()).min().unwrap_or(u64::MAX);
    (0..commands.len())
        .take_while(move |index| commands[*index].invoked < first_end)
        .filter(move |index| !placed.has(*index))
}

fn report(key: &[u8], commands: &[&Recorded], furthest: &Furthest, value_max: u64) -> Failure {
    const SHOWN_MAX: usize = 10;
    let mut text = format!("key {}: no order of the commands explains the answers.\n", shown(key));
    let now = commands.first().map_or(Timestamp(0), |recorded| recorded.now);
    let mut placed: Vec<&&Recorded> = commands
        .iter()
        .enumerate()
        .filter(|(index, _)| furthest.placed.has(*index))
        .map(|(_, it)| it)
        .collect();
    placed.sort_by_key(|recorded| recorded.ends());
    text += "  explained so far (the last ones):\n";
    for recorded in placed.iter().skip(placed.len().saturating_sub(SHOWN_MAX)) {
        writeln!(text, "    {}", recorded.words()).expect("a string takes any text");
    }
    writeln!(text, "  then there is: {}", furthest.truth.words(now)).expect("a string takes any text");
    text += "  and none of these can come next:\n";
    for index in candidates(commands, &furthest.placed) {
        let recorded = commands[index];
        let due = match recorded.certain() {
            true => furthest
                .truth
                .after(&recorded.command, &recorded.outcome, recorded.now, value_max)
                .err()
                .map_or_else(|| "fits, but leads nowhere".into(), |due| format!("expected: {due}")),
            false => "outcome unknown; taking it leads nowhere".into(),
        };
        writeln!(text, "    {}\n      {due}", recorded.words()).expect("a string takes any text");
    }
    let is_audit = candidates(commands, &furthest.placed).any(|index| commands[index].client == AUDITOR);
    Failure::new(text).because(if is_audit { Diagnosis::LostAtCrash } else { Diagnosis::NoOrder })
}

#[cfg(test)]
mod tests;
