//! What clients and the database's own clients see of containers, on each database.

#[path = "containers/cases.rs"]
mod cases;
mod support;

use std::sync::Arc;

use larder_engine::Services;
use larder_engine::disk::LocalDisk;
use larder_engine::kit::ManualClock;
use larder_engine::kit::clock::START;
use larder_sql::dialect::Product;

use cases::{Case, all};
use support::script::Conversation;
use support::{Database, container};

fn run(database: &Database, case: &Case) -> Result<(), String> {
    let table = database.fresh_name();
    for statement in case.tables.split(';').filter(|statement| !statement.trim().is_empty()) {
        database.sql(&database.dialect(&statement.replace("{t}", &table)));
    }
    let clock = Arc::new(ManualClock::new(START));
    let services = Services { clock: clock.clone(), disk: Arc::new(LocalDisk) };
    let engine = database
        .open(services, container(&table, case.container), "")
        .map_err(|error| format!("cannot be opened: {error}"))?;
    let mut conversation = Conversation::new(database, Arc::new(engine), clock);
    for &(said, due) in case.lines {
        let due = match due.split_once(" ## ") {
            // What differs between the products: MariaDB, PostgreSQL, SQLite.
            Some(_) => due.split(" ## ").nth(database.product as usize).expect("three answers"),
            None => due,
        };
        let due = due.replace("{t}", &table);
        let got = conversation.say(said, &table);
        if got != due {
            return Err(format!("{said}\n    expected: {due}\n    got:      {got}"));
        }
    }
    Ok(())
}

fn pass(product: Product) {
    if support::leaves_out(product) {
        return;
    }
    let database = Database::start(product);
    let cases = all();
    let failed: Vec<String> = cases
        .iter()
        .filter(|case| !case.not_on.contains(&product))
        .filter_map(|case| run(&database, case).err().map(|told| format!("{}:\n  {told}", case.name)))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn sqlite_tables_answer_as_items() {
    pass(Product::Sqlite);
}

#[test]
fn mariadb_tables_answer_as_items() {
    pass(Product::MySql);
}

#[test]
fn postgres_tables_answer_as_items() {
    pass(Product::Postgres);
}
