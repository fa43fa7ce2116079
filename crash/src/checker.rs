//! Whether what happened to one key can be explained at all, and what may be true of it now.
//!
//! The search goes through the history in the order of its events and keeps every *case*: a state the key may be in,
//! and which of the operations under way have taken place in it. An operation takes place at some moment between its
//! request and its answer, so when an answer comes, the cases are those in which that operation and any others under
//! way have taken place, in any order that a connection's own order allows. No case left means that no order explains
//! the answers. What was under way at the kill may have taken place or not. Equal cases are one, which keeps the search
//! short: the histories are long, but few operations are under way on one key at a time.

use std::collections::{HashMap, HashSet};

use crate::explain::{self, Violation};
use crate::model::{Execution, Rules, Seconds, State};
use crate::operation::{Action, Moment, Operation, Outcome};
use crate::value::Value;

/// How far the server's idea of the second may lag behind: it reads its clock once a turn.
const CLOCK_LAG_MS: u64 = 1000;
/// How far the two clocks of this machine may drift apart within a run.
const CLOCK_DRIFT_MS: u64 = 50;
/// Cases at which the search gives up, in number.
const CASES_MAX: usize = 400_000;
/// Operations of one key that may be under way together: bits of a mask.
const UNDER_WAY_MAX: usize = 128;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing: a restart finds an empty store.
    Ram,
    /// A clean stop. A kill may take back the last changes of a key, never one from the middle, and none that was
    /// followed by another one longer ago than this.
    Queued {
        /// In microseconds.
        age_max_us: u64,
    },
    /// A kill.
    Local,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// kill -9.
    Kill,
    /// SIGTERM, and the server left by itself.
    CleanStop,
}

/// Why a history was not judged.
#[derive(Debug)]
pub enum Failure {
    /// No order of the operations explains the answers.
    Violation(Box<Violation>),
    /// Too many operations were under way together.
    Undecided,
}

/// All that is known of one key, from round to round.
#[derive(Clone, Debug)]
pub struct KeyAudit {
    key: String,
    /// What may be true now. Never empty.
    states: Vec<State>,
    /// Values it may have had, and when they were to expire: for reports.
    past: HashMap<Value, Option<Seconds>>,
    /// Pieces that were sent for it, as writer and sequence number.
    written: HashSet<(u32, u64)>,
}

/// A state and which operations under way have taken place in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Case {
    state: State,
    done: u128,
}

/// An operation under way.
struct UnderWay<'a> {
    operation: &'a Operation,
    /// Operations that the same connection sent before and that are still under way.
    after: u128,
}

struct Search<'a> {
    under_way: Vec<Option<UnderWay<'a>>>,
    cases: HashSet<Case>,
    end: Moment,
    /// With [`Level::Queued`]: every state that the key may have had, and until when.
    visited: Option<HashMap<State, u64>>,
}

impl KeyAudit {
    /// A key of an empty store.
    pub fn new(key: impl Into<String>) -> Self {
        KeyAudit {
            key: key.into(),
            states: vec![State::default()],
            past: HashMap::new(),
            written: HashSet::new(),
        }
    }

    /// What may be true now.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Judges a round's operations, which are in the order of their requests, and works out what may be true after its
    /// end at `end`.
    pub fn round(
        &mut self,
        operations: &[&Operation],
        level: Level,
        ended: End,
        end: Moment,
    ) -> Result<(), Failure> {
        self.learn(operations);
        let age_max_us = match (level, ended) {
            (Level::Queued { age_max_us }, End::Kill) => Some(age_max_us),
            _ => None,
        };
        let mut search = Search {
            under_way: Vec::new(),
            cases: self.states.iter().map(|state| Case { state: state.clone(), done: 0 }).collect(),
            end,
            visited: age_max_us.map(|_| HashMap::new()),
        };
        let mut slots = vec![0; operations.len()];
        for (position, event) in events(operations) {
            let operation = operations[position];
            match event {
                Event::Request => slots[position] = search.begin(operation)?,
                Event::Answer => {
                    let now_us = operation.answered.as_ref().map_or(0, |(moment, _)| moment.order_us);
                    let before = search.answer(slots[position], now_us)?;
                    if search.cases.is_empty() {
                        let history = tail(operations, operation);
                        return Err(self.violation(operation, &before, end, history));
                    }
                    self.remember(search.cases.iter().map(|case| &case.state));
                }
            }
        }
        let states = search.finish(age_max_us.unwrap_or(0))?;
        self.remember(states.iter());
        self.states = match level {
            Level::Ram => vec![State::default()],
            Level::Local | Level::Queued { .. } => states.into_iter().collect(),
        };
        Ok(())
    }

    /// Judges one look after a restart.
    pub fn look(&mut self, operation: &Operation) -> Result<(), Failure> {
        let Some((end, outcome)) = &operation.answered else { return Ok(()) };
        let execution = Execution {
            action: &operation.action,
            now: seconds(operation.invoked, *end),
            outcome: Some(outcome),
        };
        let mut states = Vec::new();
        for state in &self.states {
            state.after(&execution, Rules::ALL, &mut states);
        }
        if states.is_empty() {
            return Err(self.violation(operation, &self.states.clone(), *end, Vec::new()));
        }
        self.states = states.into_iter().collect::<HashSet<_>>().into_iter().collect();
        Ok(())
    }

    fn learn(&mut self, operations: &[&Operation]) {
        for value in operations.iter().filter_map(|operation| operation.action.value()) {
            for piece in value.pieces().into_iter().flatten() {
                self.written.insert((piece.client, piece.sequence));
            }
        }
    }

    fn remember<'s>(&mut self, states: impl Iterator<Item = &'s State>) {
        for item in states.filter_map(|state| state.item.as_ref()) {
            self.past.insert(item.value.clone(), item.expiry);
        }
    }

    fn violation(
        &self,
        operation: &Operation,
        before: &[State],
        end: Moment,
        history: Vec<String>,
    ) -> Failure {
        let answered = operation.answered.as_ref().map_or(end, |(moment, _)| *moment);
        let scene = explain::Scene {
            key: &self.key,
            operation,
            now: seconds(operation.invoked, answered),
            before,
            past: &self.past,
            written: &self.written,
        };
        Failure::Violation(Box::new(scene.violation(history)))
    }
}

/// The seconds that the server's clock may have shown while it carried an operation out.
fn seconds(invoked: Moment, answered: Moment) -> Seconds {
    Seconds {
        first: (invoked.unix_ms.saturating_sub(CLOCK_LAG_MS) / 1000) as i64,
        last: ((answered.unix_ms + CLOCK_DRIFT_MS) / 1000) as i64,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Answer,
}

/// The events in order. Of those in one microsecond requests come first: that allows more, never less.
fn events(operations: &[&Operation]) -> Vec<(usize, Event)> {
    let mut events = Vec::with_capacity(operations.len() * 2);
    for (position, operation) in operations.iter().enumerate() {
        events.push((operation.invoked.order_us, Event::Request, position));
        if let Some((answered, _)) = &operation.answered {
            events.push((answered.order_us, Event::Answer, position));
        }
    }
    events.sort_unstable();
    events.into_iter().map(|(_, event, position)| (position, event)).collect()
}

/// The last operations up to the one that cannot be explained, for a report.
fn tail(operations: &[&Operation], last: &Operation) -> Vec<String> {
    const SHOWN: usize = 24;
    let answered = |operation: &Operation| operation.answered.as_ref().map(|(moment, _)| moment.order_us);
    let end = answered(last).unwrap_or(u64::MAX);
    let mut before: Vec<_> =
        operations.iter().filter(|operation| operation.invoked.order_us <= end).collect();
    before.sort_by_key(|operation| answered(operation).unwrap_or(u64::MAX));
    let start = before.len().saturating_sub(SHOWN);
    before[start..].iter().map(|operation| operation.to_string()).collect()
}

impl<'a> Search<'a> {
    /// An operation was asked for; its slot.
    fn begin(&mut self, operation: &'a Operation) -> Result<usize, Failure> {
        let mut after = 0;
        for (slot, other) in self.under_way.iter().enumerate() {
            let Some(other) = other else { continue };
            let is_ordered = operation.action.may_change() || other.operation.action.may_change();
            if other.operation.client == operation.client && is_ordered {
                after |= 1 << slot;
            }
        }
        let under_way = Some(UnderWay { operation, after });
        let free = self.under_way.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.under_way.len());
        if slot == UNDER_WAY_MAX {
            return Err(Failure::Undecided);
        }
        match free {
            Some(slot) => self.under_way[slot] = under_way,
            None => self.under_way.push(under_way),
        }
        Ok(slot)
    }

    /// The operation in `slot` was answered: keeps the cases in which it has taken place. The states that were
    /// possible before, for a report if none is left.
    fn answer(&mut self, slot: usize, now_us: u64) -> Result<Vec<State>, Failure> {
        let (kept, visited) = self.expand(Some(slot), now_us)?;
        self.under_way[slot] = None;
        let keep_others = !(1_u128 << slot);
        for other in self.under_way.iter_mut().flatten() {
            other.after &= keep_others;
        }
        self.cases = kept.into_iter().map(|case| Case { done: case.done & keep_others, ..case }).collect();
        if !self.cases.is_empty() {
            return Ok(Vec::new());
        }
        Ok(visited.into_iter().map(|case| case.state).collect::<HashSet<_>>().into_iter().collect())
    }

    /// The end: every state in which any part of what is under way has taken place, and of those before what the store
    /// may still have.
    fn finish(mut self, age_max_us: u64) -> Result<HashSet<State>, Failure> {
        let end_us = self.end.order_us;
        let (_, visited) = self.expand(None, end_us)?;
        let mut states: HashSet<State> = visited.into_iter().map(|case| case.state).collect();
        let is_young = |until_us: u64| until_us.saturating_add(age_max_us) >= end_us;
        let before = self.visited.into_iter().flatten();
        states.extend(before.filter(|(_, until_us)| is_young(*until_us)).map(|(state, _)| state));
        Ok(states)
    }

    /// Lets operations under way take place in every order, until `target` has. The cases in which it has, and all
    /// cases on the way.
    fn expand(&mut self, target: Option<usize>, now_us: u64) -> Result<(Vec<Case>, HashSet<Case>), Failure> {
        let mut waiting: Vec<Case> = self.cases.drain().collect();
        let mut seen: HashSet<Case> = waiting.iter().cloned().collect();
        let mut kept = Vec::new();
        let mut states = Vec::new();
        while let Some(mut case) = waiting.pop() {
            self.take_looks(&mut case, &mut states);
            if let Some(visited) = &mut self.visited {
                visited.insert(case.state.clone(), now_us);
            }
            if target.is_some_and(|slot| case.done >> slot & 1 == 1) {
                kept.push(case);
                continue;
            }
            for (slot, under_way) in self.under_way.iter().enumerate() {
                let Some(under_way) = under_way else { continue };
                if case.done >> slot & 1 == 1 || under_way.after & !case.done != 0 {
                    continue;
                }
                self.execute(under_way.operation, &case.state, &mut states);
                for state in states.drain(..) {
                    let next = Case { state, done: case.done | 1 << slot };
                    if !seen.contains(&next) {
                        seen.insert(next.clone());
                        waiting.push(next);
                    }
                }
            }
            if seen.len() > CASES_MAX {
                return Err(Failure::Undecided);
            }
        }
        Ok((kept, seen))
    }

    /// A look that agrees with the state and leaves it as it is may as well take place now: that never excludes
    /// anything.
    fn take_looks(&self, case: &mut Case, states: &mut Vec<State>) {
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for (slot, under_way) in self.under_way.iter().enumerate() {
                let Some(UnderWay { operation, after }) = under_way else { continue };
                let is_ready = case.done >> slot & 1 == 0 && after & !case.done == 0;
                let is_answered = operation.answered.is_some();
                if !is_ready || !operation.action.is_look() || (!is_answered && operation.action.may_change())
                {
                    continue;
                }
                self.execute(operation, &case.state, states);
                if states.contains(&case.state) {
                    case.done |= 1 << slot;
                    has_changed = true;
                }
                states.clear();
            }
        }
    }

    fn execute(&self, operation: &Operation, state: &State, states: &mut Vec<State>) {
        let (answered, outcome) = match &operation.answered {
            Some((moment, outcome)) => (*moment, Some(outcome)),
            None => (self.end, None),
        };
        // A look nobody heard of changes nothing.
        if outcome.is_none() && !operation.action.may_change() {
            return states.push(state.clone());
        }
        let now = seconds(operation.invoked, answered);
        state.after(&Execution { action: &operation.action, now, outcome }, Rules::ALL, states);
    }
}

/// Operations on the counters that only ever count up: an account of its own, which needs no search.
#[derive(Clone, Debug, Default)]
pub struct CounterAudit {
    acknowledged: u64,
    under_way: u64,
}

impl CounterAudit {
    /// Takes note of a round's operations on the counter.
    pub fn count<'o>(&mut self, operations: impl Iterator<Item = &'o Operation>) {
        for operation in operations {
            let Action::Arithmetic { delta, .. } = operation.action else { continue };
            match &operation.answered {
                Some((_, Outcome::Number { .. } | Outcome::Silent)) => self.acknowledged += delta,
                None | Some((_, Outcome::Failed(_))) => self.under_way += delta,
                Some(_) => {}
            }
        }
    }

    /// Judges what the counter shows after a restart, then starts from there.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn settle(&mut self, start: u64, shown: u64, level: Level) -> Result<(), String> {
        let least = if level == Level::Local { start + self.acknowledged } else { start };
        let most = start + self.acknowledged + self.under_way;
        let verdict = if shown < least {
            Err(format!("the counter went back: {shown}, but {least} was acknowledged"))
        } else if shown > most {
            Err(format!("the counter counts what nobody asked for: {shown}, at most {most} was asked for"))
        } else {
            Ok(())
        };
        *self = CounterAudit::default();
        verdict
    }
}
