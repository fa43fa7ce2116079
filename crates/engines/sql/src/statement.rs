//! The statements of a container, as text and parameters.
//!
//! Pure: what is built here is also what `explain` prints. Identifiers are quoted, values are parameters, and a statement of
//! one shape has one text, so that connections keep it prepared.

#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use crate::plan::{Mapped, Plan};
use crate::types::Cell;

/// A statement with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Its text.
    pub text: String,
    /// Its parameters, in order.
    pub parameters: Vec<Cell>,
    /// Whether it answers with rows.
    pub answers_rows: bool,
}

/// A column and what it is to hold, by the column's place in [`Plan::columns`].
pub type Assignment = (usize, Cell);

/// Most keys in one statement.
pub const KEYS_MAX: usize = 64;

/// Which of the statements that work on a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Up by so much.
    Up(u64),
    /// Down by so much, not below 0.
    Down(u64),
}

struct Builder<'p> {
    dialect: &'p dyn Dialect,
    text: String,
    parameters: Vec<Cell>,
}

impl<'p> Builder<'p> {
    fn new(plan: &'p Plan, text: impl Into<String>) -> Self {
        Builder { dialect: plan.dialect(), text: text.into(), parameters: Vec::new() }
    }

    fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// What stands for a value of `mapped`.
    fn parameter(&mut self, mapped: &Mapped, cell: &Cell) -> String {
        self.parameters.push(self.dialect.bind(&mapped.column, cell.clone()));
        self.dialect.placeholder(self.parameters.len(), &mapped.column)
    }

    fn value(&mut self, mapped: &Mapped, cell: &Cell) -> &mut Self {
        let parameter = self.parameter(mapped, cell);
        self.push(&parameter)
    }

    /// `column = ?` for each, with `between` in between.
    fn equations<'a>(&mut self, pairs: impl Iterator<Item = (&'a Mapped, &'a Cell)>, between: &str) {
        for (at, (mapped, cell)) in pairs.enumerate() {
            self.push(if at == 0 { "" } else { between });
            self.push(&mapped.quoted).push(" = ").value(mapped, cell);
        }
    }

    /// The condition that names one row.
    fn key(&mut self, plan: &Plan, key: &[Cell]) {
        self.equations(plan.keys.iter().zip(key), " AND ");
        for (mapped, cell) in plan.keys.iter().zip(key).filter(|(mapped, _)| plan.compares_bytes(mapped)) {
            let parameter = self.parameter(mapped, cell);
            let condition = self.dialect.same_bytes(&mapped.quoted, &parameter);
            self.push(" AND ").push(&condition);
        }
    }

    fn assignments(&mut self, plan: &Plan, assignments: &[Assignment]) {
        self.equations(assignments.iter().map(|(at, cell)| (&plan.columns[*at], cell)), ", ");
    }

    /// ` AND` what makes the row a living one at second `now`.
    fn alive(&mut self, plan: &Plan, now: u32) {
        let Some(expiry) = plan.expiry.map(|at| &plan.columns[at]) else { return };
        let never =
            if expiry.column.nullable { format!("{} IS NULL OR ", expiry.quoted) } else { String::new() };
        let zero = if plan.expiry_is_number() { format!("{} = 0 OR ", expiry.quoted) } else { String::new() };
        self.push(" AND (").push(&never).push(&zero).push(&expiry.quoted).push(" > ");
        self.value(expiry, &plan.moment(now)).push(")");
    }

    fn query(self, answers_rows: bool) -> Query {
        Query { text: self.text, parameters: self.parameters, answers_rows }
    }
}

/// Reads the rows of some keys; the row's key comes first. `lock` keeps them until the end of the transaction.
///
/// The number of keys is filled up to a few sizes, so that few texts are prepared.
pub fn select(plan: &Plan, keys: &[&[Cell]], lock: bool) -> Query {
    let mut builder = Builder::new(plan, plan.select_head());
    builder.push(" WHERE ");
    let size = keys.len().next_power_of_two().min(KEYS_MAX).max(keys.len());
    let padded = keys.iter().chain(std::iter::repeat_n(&keys[keys.len() - 1], size - keys.len()));
    match &plan.keys[..] {
        [only] if size > 1 && !plan.compares_bytes(only) => {
            builder.push(&only.quoted).push(" IN (");
            for (at, key) in padded.enumerate() {
                builder.push(if at == 0 { "" } else { ", " });
                builder.value(only, &key[0]);
            }
            builder.push(")");
        }
        _ if size == 1 => builder.key(plan, keys[0]),
        _ => {
            for (at, key) in padded.enumerate() {
                builder.push(if at == 0 { "(" } else { " OR (" });
                builder.key(plan, key);
                builder.push(")");
            }
        }
    }
    if lock {
        builder.push(plan.dialect().for_update());
    }
    builder.query(true)
}

/// Adds a row.
pub fn insert(plan: &Plan, key: &[Cell], assignments: &[Assignment]) -> Query {
    let mut builder = Builder::new(plan, "");
    insert_into(&mut builder, plan, key, assignments);
    builder.query(false)
}

fn insert_into(builder: &mut Builder<'_>, plan: &Plan, key: &[Cell], assignments: &[Assignment]) {
    builder.push("INSERT INTO ").push(&plan.table).push(" (");
    let assigned = assignments.iter().map(|(at, cell)| (&plan.columns[*at], cell));
    let all: Vec<(&Mapped, &Cell)> = plan.keys.iter().zip(key).chain(assigned).collect();
    for (at, (mapped, _)) in all.iter().enumerate() {
        builder.push(if at == 0 { "" } else { ", " });
        builder.push(&mapped.quoted);
    }
    builder.push(") VALUES (");
    for (at, (mapped, cell)) in all.iter().enumerate() {
        builder.push(if at == 0 { "" } else { ", " });
        builder.value(mapped, cell);
    }
    builder.push(")");
}

/// Adds a row, or changes the one that is there, in one statement. Only where [`Plan::upserts`] says so.
pub fn upsert(plan: &Plan, key: &[Cell], assignments: &[Assignment]) -> Query {
    let mut builder = Builder::new(plan, "");
    insert_into(&mut builder, plan, key, assignments);
    let columns: Vec<String> = plan.keys.iter().map(|mapped| mapped.quoted.clone()).collect();
    let clause = plan.dialect().on_conflict(&columns).expect("a plan that upserts has a dialect that can");
    builder.push(&clause);
    builder.assignments(plan, assignments);
    builder.query(false)
}

/// Changes a row, expired or not.
pub fn update(plan: &Plan, key: &[Cell], assignments: &[Assignment]) -> Query {
    let mut builder = Builder::new(plan, format!("UPDATE {} SET ", plan.table));
    builder.assignments(plan, assignments);
    builder.push(" WHERE ").key(plan, key);
    builder.query(false)
}

/// Removes a row, expired or not.
pub fn delete(plan: &Plan, key: &[Cell]) -> Query {
    let mut builder = Builder::new(plan, format!("DELETE FROM {} WHERE ", plan.table));
    builder.key(plan, key);
    builder.query(false)
}

/// Removes rows: all, or those whose only key column begins with `prefix`.
pub fn flush(plan: &Plan, prefix: &[u8]) -> Query {
    let mut builder = Builder::new(plan, format!("DELETE FROM {}", plan.table));
    if !prefix.is_empty() {
        let only = &plan.keys[0];
        builder.push(" WHERE ").push(&only.quoted).push(" >= ");
        builder.value(only, &plan.key_bytes(prefix));
        if let Some(end) = after_prefix(prefix) {
            builder.push(" AND ").push(&only.quoted).push(" < ");
            builder.value(only, &plan.key_bytes(&end));
        }
    }
    builder.query(false)
}

/// The least text above all that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A page of all rows, by key, behind `after`.
pub fn scan(plan: &Plan, after: Option<&[Cell]>, rows_max: usize) -> Query {
    let mut builder = Builder::new(plan, plan.select_head());
    if let Some(after) = after {
        builder.push(" WHERE ");
        // (a, b) > (x, y), written out: not every database uses an index for the short form.
        for upto in 0..plan.keys.len() {
            builder.push(if upto == 0 { "(" } else { " OR (" });
            builder.equations(plan.keys.iter().zip(after).take(upto), " AND ");
            builder.push(if upto == 0 { "" } else { " AND " });
            let mapped = &plan.keys[upto];
            builder.push(&mapped.quoted).push(" > ").value(mapped, &after[upto]).push(")");
        }
    }
    let order: Vec<&str> = plan.keys.iter().map(|mapped| mapped.quoted.as_str()).collect();
    builder.push(&format!(" ORDER BY {} LIMIT {rows_max}", order.join(", ")));
    builder.query(true)
}

/// Raises or lowers the counter of a living row in one statement, with what else changes beside it. The number comes back:
/// as the statement's row where it can answer one, else as the connection's last insert id.
///
/// A row whose counter is NULL, negative, or would leave the column's range is not touched.
pub fn step(plan: &Plan, key: &[Cell], step: Step, now: u32, assignments: &[Assignment]) -> Query {
    let at = plan.counter.expect("only a container with a counter counts");
    let counter = &plan.columns[at];
    let dialect = plan.dialect();
    let mut builder = Builder::new(plan, format!("UPDATE {} SET {} = ", plan.table, counter.quoted));
    let wraps = counter.column.kind.holds_u64();
    let delta = |builder: &mut Builder<'_>, number: u64| {
        builder.parameters.push(plan.number(i128::from(number)));
        dialect.number_placeholder(builder.parameters.len())
    };
    let number = match step {
        Step::Up(by) | Step::Down(by) => by,
    };
    // Written out as often as the expression needs it: parameters without numbers stand for one use each.
    let written = delta(&mut builder, number);
    let expression = match step {
        Step::Up(_) => dialect.raised(&counter.quoted, &written, wraps),
        Step::Down(_) => dialect.lowered(&counter.quoted, &written),
    };
    if written == "?" {
        let uses = expression.matches('?').count();
        builder.parameters.extend(std::iter::repeat_n(plan.number(i128::from(number)), uses - 1));
    }
    let expression = plan.counter_cast(&expression);
    match dialect.returning() {
        true => builder.push(&expression),
        false => builder.push("LAST_INSERT_ID(").push(&expression).push(")"),
    };
    if !assignments.is_empty() {
        builder.push(", ");
        builder.assignments(plan, assignments);
    }
    builder.push(" WHERE ").key(plan, key);
    builder.alive(plan, now);
    builder.push(" AND ").push(&counter.quoted).push(" >= 0");
    if let (Step::Up(by), false) = (step, wraps) {
        let most = counter.column.kind.counter_max().expect("a counter has a range");
        // Where not even 0 may be raised by so much, no row matches.
        let bound = i128::from(most) - i128::from(by);
        builder.push(" AND ").push(&counter.quoted).push(" <= ");
        builder.parameters.push(plan.number(bound));
        let placeholder = dialect.number_placeholder(builder.parameters.len());
        builder.push(&placeholder);
    }
    if dialect.returning() {
        let head = plan.read_list();
        builder.push(" RETURNING ").push(&head);
    }
    builder.query(dialect.returning())
}
