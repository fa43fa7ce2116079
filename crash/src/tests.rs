//! The audit against planted violations, and against a small server that is right or wrong on purpose.

mod planted;
mod rules;
mod simulated;

use crate::checker::{End, Failure, KeyAudit, Level};
use crate::explain::Fault;
use crate::operation::{Action, Moment, Operation, Outcome, StoreMode};
use crate::value::{Piece, Value};

const KEY: &str = "key";

/// A moment `order_us` after the start, which is at second 1000.
fn at(order_us: u64) -> Moment {
    Moment { order_us, unix_ms: 1_000_000 + order_us / 1000 }
}

/// The value of a client's piece.
fn piece(client: u32, sequence: u64) -> Value {
    let piece = Piece { key: KEY.into(), client, sequence, padding_bytes: 7 };
    Value::new(piece.bytes())
}

fn store(mode: StoreMode, value: Value) -> Action {
    Action::Store { mode, value, flags: 0, ttl: 0, compare: None, older_marks_stale: false, vivify: None }
}

fn set(value: Value) -> Action {
    store(StoreMode::Set, value)
}

fn hit(value: Value, cas: u64) -> Outcome {
    Outcome::Hit { value, flags: 0, cas, meta: None }
}

const STORED: Outcome = Outcome::Stored { cas: None };

/// An operation from `invoked_us` to `answered_us`.
fn done(client: u32, invoked_us: u64, answered_us: u64, action: Action, outcome: Outcome) -> Operation {
    let answered = Some((at(answered_us), outcome));
    Operation { client, index: invoked_us, action, invoked: at(invoked_us), answered }
}

/// An operation without an answer.
fn cut_off(client: u32, invoked_us: u64, action: Action) -> Operation {
    Operation { client, index: invoked_us, action, invoked: at(invoked_us), answered: None }
}

/// A look at `at_us`, after the restart.
fn look(at_us: u64, outcome: Outcome) -> Operation {
    done(99, at_us, at_us + 10, Action::LOOK, outcome)
}

/// Judges a round that ends at `end_us`, then looks.
fn judge(level: Level, operations: &[Operation], end_us: u64, looks: &[Operation]) -> Result<(), Failure> {
    let mut audit = KeyAudit::new(KEY);
    let mut operations: Vec<&Operation> = operations.iter().collect();
    operations.sort_by_key(|operation| (operation.invoked.order_us, operation.index));
    audit.round(&operations, level, End::Kill, at(end_us))?;
    looks.iter().try_for_each(|look| audit.look(look))
}

/// The fault found, `None` if all is explained.
fn fault(result: Result<(), Failure>) -> Option<Fault> {
    match result {
        Ok(()) => None,
        Err(Failure::Violation(violation)) => Some(violation.fault),
        Err(Failure::Undecided) => panic!("too many possibilities"),
    }
}
