//! The statements that each command on a key runs, for `larder sql explain`.

use crate::plan::{FlagsIn, Plan};
use crate::row;
use crate::statement::{self, Assignment, Query, Step};
use crate::types::Cell;

/// A command and its statements, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The command.
    pub command: &'static str,
    /// Its statements, each with its parameters behind it.
    pub statements: Vec<String>,
}

/// What each command on the key with this suffix runs, alone and on a row that is there; `None` if no row can have the
/// key. Several commands at once share a transaction, and reads of several keys a statement.
pub fn explain(plan: &Plan, suffix: &[u8], now: u32) -> Option<Vec<Explained>> {
    let key = row::suffix_cells(plan, suffix)?;
    let key = &*key;
    let begin = plan.dialect().begin().to_owned();
    let commit = || "COMMIT".to_owned();
    let locked = shown(&statement::select(plan, &[key], true));
    let all = every_column(plan);
    let update = shown(&statement::update(plan, key, &all));
    let in_transaction = |change: String| vec![begin.clone(), locked.clone(), change, commit()];
    let mut explained = vec![Explained {
        command: "get, gets, mg",
        statements: vec![shown(&statement::select(plan, &[key], false))],
    }];
    let set = match plan.upserts {
        true => vec![begin.clone(), shown(&statement::upsert(plan, key, &all)), commit()],
        false => in_transaction(update.clone()),
    };
    explained.push(Explained { command: "set", statements: set });
    explained.push(Explained {
        command: "add",
        statements: in_transaction(shown(&statement::insert(plan, key, &all))),
    });
    explained
        .push(Explained { command: "replace, cas, append, prepend", statements: in_transaction(update) });
    explained.push(Explained {
        command: "delete",
        statements: in_transaction(shown(&statement::delete(plan, key))),
    });
    if plan.counter.is_some() {
        let cas: Vec<Assignment> = plan.cas.iter().map(|at| (*at, plan.cas_cell(1))).collect();
        let step = |step| vec![begin.clone(), shown(&statement::step(plan, key, step, now, &cas)), commit()];
        explained.push(Explained { command: "incr", statements: step(Step::Up(1)) });
        explained.push(Explained { command: "decr", statements: step(Step::Down(1)) });
    }
    if let Some(at) = plan.expiry {
        let touch = statement::update(plan, key, &[(at, plan.moment(now))]);
        explained.push(Explained { command: "touch, gat", statements: in_transaction(shown(&touch)) });
    }
    Some(explained)
}

/// Every mapped column, as a command that writes all of them would name it.
fn every_column(plan: &Plan) -> Vec<Assignment> {
    let flags = match plan.flags {
        FlagsIn::Column(at) => Some(at),
        FlagsIn::Constant(_) => None,
    };
    let helpers = [flags, plan.cas, plan.expiry, plan.marks];
    let counter = plan.counter.filter(|_| plan.is_dual());
    let columns = plan.values.iter().copied().chain(counter).chain(helpers.into_iter().flatten());
    columns.map(|at| (at, Cell::text("…"))).collect()
}

fn shown(query: &Query) -> String {
    let parameters: Vec<String> = query.parameters.iter().map(parameter).collect();
    match parameters.is_empty() {
        true => query.text.clone(),
        false => format!("{}  -- with {}", query.text, parameters.join(", ")),
    }
}

fn parameter(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Integer(number) => number.to_string(),
        Cell::Text(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
        Cell::Blob(bytes) => {
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Product;
    use crate::plan::tests::demo;

    #[test]
    fn every_command_shows_its_statements() {
        let explained = explain(&demo(Product::Sqlite), b"k", 100).expect("a key");
        let commands: Vec<&str> = explained.iter().map(|one| one.command).collect();
        let due = [
            "get, gets, mg",
            "set",
            "add",
            "replace, cas, append, prepend",
            "delete",
            "incr",
            "decr",
            "touch, gat",
        ];
        assert_eq!(commands, due);
        let incr = &explained[5].statements[1];
        assert!(incr.starts_with("UPDATE \"shop\".\"demo_table\" SET \"math_value\" = "), "{incr}");
        assert!(incr.contains("RETURNING") && incr.contains("-- with 1, "), "{incr}");
        assert_eq!(explain(&demo(Product::Postgres), b"a\0b", 100), None, "no text holds NUL there");
    }
}
