//! What a contradiction means, in words.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::{Execution, Rules, Seconds, State};
use crate::operation::{Action, Direction, Operation, Outcome};
use crate::value::{Piece, Value};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// What was acknowledged is not there.
    Lost,
    /// What nobody wrote is there.
    Invented,
    /// Writes took effect in an order that cannot be.
    Swapped,
    /// A counter shows less than it had.
    CounterBack,
    /// A CAS is not the one that was told, or is not above those before it.
    CasBack,
    /// An item whose time had come is there.
    ExpiredBack,
    /// An answer that no order of the operations explains.
    WrongAnswer,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Lost => "an acknowledged write is lost",
            Fault::Invented => "a value that nobody wrote",
            Fault::Swapped => "the order of the key's writes was not kept",
            Fault::CounterBack => "a counter went back",
            Fault::CasBack => "a CAS went back or changed",
            Fault::ExpiredBack => "an expired item is back",
            Fault::WrongAnswer => "an answer that no order of the operations explains",
        })
    }
}

/// A contradiction between what was acknowledged and what the server shows.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// What went wrong.
    pub fault: Fault,
    /// The answer that gave it away.
    pub answer: String,
    /// What would have been right.
    pub possible: Vec<String>,
    /// The key's operations before it.
    pub history: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key {}: {}", self.key, self.fault)?;
        writeln!(f, "  shown by: {}", self.answer)?;
        for state in &self.possible {
            writeln!(f, "  possible before: {state}")?;
        }
        for operation in &self.history {
            writeln!(f, "  history: {operation}")?;
        }
        Ok(())
    }
}

/// What there is to reason from.
pub struct Scene<'a> {
    /// The key.
    pub key: &'a str,
    /// The operation whose answer cannot be.
    pub operation: &'a Operation,
    /// When the server may have carried it out.
    pub now: Seconds,
    /// What was possible before it.
    pub before: &'a [State],
    /// Values the key may have had, and when they were to expire.
    pub past: &'a HashMap<Value, Option<Seconds>>,
    /// Pieces sent for the key: writer and sequence number.
    pub written: &'a HashSet<(u32, u64)>,
}

impl Scene<'_> {
    /// The violation it shows.
    pub fn violation(&self, history: Vec<String>) -> Violation {
        const SHOWN: usize = 12;
        let mut possible: Vec<String> = self.before.iter().map(State::to_string).collect();
        possible.sort();
        if possible.len() > SHOWN {
            let more = possible.len() - SHOWN;
            possible.truncate(SHOWN);
            possible.push(format!("and {more} more"));
        }
        Violation {
            key: self.key.to_owned(),
            fault: self.fault(),
            answer: self.operation.to_string(),
            possible,
            history,
        }
    }

    fn fault(&self) -> Fault {
        let Some((_, outcome)) = &self.operation.answered else { return Fault::WrongAnswer };
        if self.would_fit(Rules { cas: false, ..Rules::ALL }) {
            return Fault::CasBack;
        }
        if self.would_fit(Rules { expiry: false, ..Rules::ALL }) {
            return Fault::ExpiredBack;
        }
        match outcome {
            Outcome::Hit { value, .. } => self.fault_of_value(value),
            Outcome::Number { value: Some(number), .. } => {
                let added = match &self.operation.action {
                    Action::Arithmetic { direction: Direction::Increment, delta, .. } => *delta,
                    _ => 0,
                };
                self.fault_of_number(number.wrapping_sub(added))
            }
            Outcome::Miss | Outcome::NotFound | Outcome::NotStored | Outcome::Stored { .. }
                if self.before.iter().all(|state| !state.is_surely_gone(self.now)) =>
            {
                Fault::Lost
            }
            _ => Fault::WrongAnswer,
        }
    }

    /// Whether the answer would be right by looser rules.
    fn would_fit(&self, rules: Rules) -> bool {
        let outcome = self.operation.answered.as_ref().map(|(_, outcome)| outcome);
        let execution = Execution { action: &self.operation.action, now: self.now, outcome };
        let mut states = Vec::new();
        self.before.iter().for_each(|state| state.after(&execution, rules, &mut states));
        !states.is_empty()
    }

    fn fault_of_value(&self, value: &Value) -> Fault {
        match self.past.get(value) {
            Some(Some(expiry)) if self.now.first >= expiry.last => return Fault::ExpiredBack,
            Some(_) if value.as_number().is_none() => return self.fault_of_known(value),
            _ => {}
        }
        if let Some(number) = value.as_number() {
            return self.fault_of_number(number);
        }
        let Some(pieces) = value.pieces() else { return Fault::Invented };
        let is_written =
            |piece: &Piece| piece.key == self.key && self.written.contains(&(piece.client, piece.sequence));
        if pieces.is_empty() || !pieces.iter().all(is_written) {
            return Fault::Invented;
        }
        let lacks = |state: &State| {
            let there = state.item.as_ref().and_then(|item| item.value.pieces()).unwrap_or_default();
            pieces.len() < there.len() && pieces.iter().all(|piece| there.contains(piece))
        };
        if self.before.iter().all(lacks) && !self.before.is_empty() { Fault::Lost } else { Fault::Swapped }
    }

    /// The key has or had this very value: the item is right but for its flags, or an old one is back.
    fn fault_of_known(&self, value: &Value) -> Fault {
        let has_it = |state: &State| state.item.as_ref().is_some_and(|item| item.value == *value);
        if self.before.iter().any(has_it) { Fault::WrongAnswer } else { Fault::Lost }
    }

    fn fault_of_number(&self, number: u64) -> Fault {
        let numbers: Vec<u64> = self
            .before
            .iter()
            .filter_map(|state| state.item.as_ref().and_then(|item| item.value.as_number()))
            .collect();
        match (numbers.iter().min(), numbers.iter().max()) {
            (Some(least), _) if number < *least => Fault::CounterBack,
            (_, Some(most)) if number > *most => Fault::Invented,
            (None, _) if self.past.contains_key(&Value::number(number)) => Fault::Lost,
            (None, _) => Fault::Invented,
            _ => Fault::WrongAnswer,
        }
    }
}
