//! A small server of one key, run by a seed: right, it must never be accused; wrong in one way, it must be caught.

use super::*;
use crate::operation::Direction;
use crate::random::Random;

/// What is wrong with the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    /// An acknowledged change is not on the disk yet.
    AcknowledgesTooEarly,
    /// A read shows a change that the kill takes back.
    ShowsTooEarly,
    /// Reads are served from an old copy at times.
    ReadsOldCopies,
    /// An append gets lost when another one is executed next to it.
    LosesUpdates,
    /// Changes of one connection are executed out of order.
    ReordersAConnection,
    /// The counter of CAS values starts again where the disk left it.
    RepeatsCas,
    /// A guarded store forgets to compare.
    IgnoresCompare,
}

#[derive(Clone, Default)]
struct Held {
    item: Option<(Value, u64)>,
    cas_counter: u64,
}

impl Held {
    fn execute(&mut self, action: &Action, flaw: Flaw) -> Outcome {
        let there = self.item.clone();
        match (action, there) {
            (Action::Get { .. }, None) => Outcome::Miss,
            (Action::Get { .. }, Some((value, cas))) => hit(value, cas),
            (Action::Delete { .. }, None) => Outcome::NotFound,
            (Action::Delete { .. }, Some(_)) => {
                self.item = None;
                Outcome::Deleted
            }
            (Action::Arithmetic { .. }, None) => Outcome::NotFound,
            (Action::Arithmetic { delta, .. }, Some((value, _))) => match value.as_number() {
                None => Outcome::NotNumeric,
                Some(number) => {
                    let cas = self.put(Value::number(number + delta));
                    Outcome::Number { value: Some(number + delta), cas: Some(cas) }
                }
            },
            (Action::Store { mode: StoreMode::Append, .. }, None) => Outcome::NotStored,
            (Action::Store { mode: StoreMode::Append, value, .. }, Some((old, _))) => {
                let cas = self.put(old.joined(value));
                Outcome::Stored { cas: Some(cas) }
            }
            (Action::Store { compare: Some(_), .. }, None) => Outcome::NotFound,
            (Action::Store { compare: Some(compare), .. }, Some((_, cas)))
                if *compare != cas && flaw != Flaw::IgnoresCompare =>
            {
                Outcome::Exists
            }
            (Action::Store { value, .. }, _) => {
                let cas = self.put(value.clone());
                // Some protocols do not tell.
                Outcome::Stored { cas: Some(cas).filter(|cas| cas % 3 != 0) }
            }
            (action, _) => panic!("not asked here: {action}"),
        }
    }

    fn put(&mut self, value: Value) -> u64 {
        self.cas_counter += 1;
        self.item = Some((value, self.cas_counter));
        self.cas_counter
    }
}

/// A request under way.
struct Asked {
    operation: Operation,
    outcome: Option<Outcome>,
}

struct Simulation {
    random: Random,
    flaw: Flaw,
    held: Held,
    /// Everything the key has held, in order: the disk has one of these.
    versions: Vec<Held>,
    /// The least version that the disk must have.
    durable: usize,
    time_us: u64,
    sequence: u64,
    seen_cas: u64,
}

const CLIENTS: u32 = 4;

impl Simulation {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let versions = vec![Held::default()];
        let random = Random::new(seed, 77);
        let held = Held::default();
        Simulation { random, flaw, held, versions, durable: 0, time_us: 0, sequence: 0, seen_cas: 0 }
    }

    fn action(&mut self, client: u32) -> Action {
        self.sequence += 1;
        let value = piece(client, self.sequence);
        match self.random.below(10) {
            0..3 => Action::LOOK,
            3..5 => set(value),
            5 => set(Value::number(self.random.below(100))),
            6 => store(StoreMode::Append, value),
            7 => Action::Arithmetic { direction: Direction::Increment, delta: 1, vivify: None },
            8 => Action::Store {
                mode: StoreMode::Set,
                value,
                flags: 0,
                ttl: 0,
                compare: Some(self.seen_cas.max(1)),
                older_marks_stale: false,
                vivify: None,
            },
            _ => Action::Delete { compare: None, mark_stale: false, drop_value: false },
        }
    }

    fn execute(&mut self, asked: &mut Asked) {
        if self.flaw == Flaw::ReadsOldCopies
            && asked.operation.action == Action::LOOK
            && self.versions.len() > 4
            && self.random.percent(10)
        {
            let mut old = self.versions[self.versions.len() - 4].clone();
            asked.outcome = Some(old.execute(&Action::LOOK, self.flaw));
            return;
        }
        let before = self.held.clone();
        let outcome = self.held.execute(&asked.operation.action, self.flaw);
        let is_append = matches!(asked.operation.action, Action::Store { mode: StoreMode::Append, .. });
        if self.flaw == Flaw::LosesUpdates && is_append && self.random.percent(20) {
            self.held.item = before.item;
        }
        self.seen_cas = outcome.cas().unwrap_or(self.seen_cas);
        asked.outcome = Some(outcome);
        self.versions.push(self.held.clone());
    }

    /// A round of random requests, executions and answers; all operations, sorted.
    fn round(&mut self) -> Vec<Operation> {
        let mut under_way: Vec<Asked> = Vec::new();
        let mut done: Vec<Operation> = Vec::new();
        for _ in 0..self.random.between(20, 120) {
            self.time_us += 1;
            let client = self.random.below(u64::from(CLIENTS)) as u32;
            let of_client = |asked: &Asked| asked.operation.client == client;
            if under_way.iter().filter(|asked| of_client(asked)).count() < 3 && self.random.percent(40) {
                let operation = cut_off(client, self.time_us, self.action(client));
                under_way.push(Asked { operation, outcome: None });
                continue;
            }
            let mut next = under_way.iter().position(|asked| of_client(asked) && asked.outcome.is_none());
            if self.flaw == Flaw::ReordersAConnection && self.random.percent(20) {
                next = under_way.iter().rposition(|asked| of_client(asked) && asked.outcome.is_none());
            }
            if let (Some(position), true) = (next, self.random.percent(60)) {
                let mut asked = under_way.remove(position);
                self.execute(&mut asked);
                under_way.insert(position, asked);
                continue;
            }
            let first = under_way.iter().position(of_client);
            if let Some(position) = first.filter(|&position| under_way[position].outcome.is_some()) {
                let Asked { mut operation, outcome } = under_way.remove(position);
                let is_look = operation.action == Action::LOOK;
                let commits = match self.flaw {
                    Flaw::AcknowledgesTooEarly => self.random.percent(10),
                    Flaw::ShowsTooEarly => !is_look,
                    _ => true,
                };
                if commits {
                    self.durable = self.versions.len() - 1;
                }
                operation.answered = outcome.map(|outcome| (at(self.time_us), outcome));
                done.push(operation);
            }
        }
        done.extend(under_way.into_iter().map(|asked| asked.operation));
        done.sort_by_key(|operation| operation.invoked.order_us);
        done
    }

    /// The kill: the disk has what it must have, and perhaps more.
    fn kill(&mut self) {
        self.time_us += 1;
        let last = self.versions.len() as u64 - 1;
        let kept = self.random.between(self.durable as u64, last) as usize;
        let cas_counter = match self.flaw {
            Flaw::RepeatsCas => self.versions[kept].cas_counter.saturating_sub(1),
            _ => self.held.cas_counter,
        };
        self.held = Held { cas_counter, ..self.versions[kept].clone() };
        self.versions = vec![self.held.clone()];
        self.durable = 0;
    }
}

/// Runs some rounds; the fault found.
fn run(seed: u64, flaw: Flaw) -> Option<Fault> {
    let mut simulation = Simulation::new(seed, flaw);
    let mut audit = KeyAudit::new(KEY);
    for _ in 0..4 {
        let operations = simulation.round();
        simulation.kill();
        let operations: Vec<&Operation> = operations.iter().collect();
        let end = at(simulation.time_us);
        let judged = audit.round(&operations, Level::Local, End::Kill, end);
        if let found @ Some(_) = fault(judged) {
            return found;
        }
        simulation.time_us += 10;
        let seen = simulation.held.clone().execute(&Action::LOOK, Flaw::None);
        if let found @ Some(_) = fault(audit.look(&look(simulation.time_us, seen))) {
            return found;
        }
        simulation.time_us += 20;
    }
    None
}

#[test]
fn a_right_server_is_never_accused() {
    for seed in 0..1500 {
        assert_eq!(run(seed, Flaw::None), None, "seed {seed}");
    }
}

#[test]
fn every_flaw_is_caught() {
    let flaws = [
        Flaw::AcknowledgesTooEarly,
        Flaw::ShowsTooEarly,
        Flaw::ReadsOldCopies,
        Flaw::LosesUpdates,
        Flaw::ReordersAConnection,
        Flaw::RepeatsCas,
        Flaw::IgnoresCompare,
    ];
    const RUNS: u64 = 400;
    for flaw in flaws {
        let caught = (0..RUNS).filter(|&seed| run(seed, flaw).is_some()).count();
        println!("{flaw:?}: caught in {caught} of {RUNS} runs");
        // A few short rounds rarely bring to light what needs a kill at the right moment. The seeds decide all.
        assert!(caught >= 3, "{flaw:?} was caught in {caught} of {RUNS} runs");
    }
}
