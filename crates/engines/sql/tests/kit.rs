//! The engine kit on a plain container of each database.

mod support;

use std::sync::Arc;

use larder_engine::kit::{self, Opened, Survives, World, checks};
use larder_sql::dialect::Product;
use support::{Database, container};

/// Every rule of the engine interface can be kept by a table that has a column for each thing an item has.
const COLUMNS: &str = "k {binkey} NOT NULL PRIMARY KEY, v {blob} NOT NULL, flags bigint NOT NULL, \
                       cas {u64} NOT NULL, expiry bigint NOT NULL, marks smallint NOT NULL";
const CONTAINER: &str = "key_columns = \"k\"\nvalue_columns = \"v\"\nflags = \"flags\"\ncas_column = \"cas\"\n\
                         expire_time_column = \"expiry\"\nmarks_column = \"marks\"\n\
                         [container.options]\ntext_arithmetic = \"blanks\"";

fn pass(product: Product) {
    if support::leaves_out(product) {
        return;
    }
    let database = Database::start(product);
    let create = || {
        let table = database.fresh_name();
        database.sql(&database.dialect(&format!("CREATE TABLE {table} ({COLUMNS})")));
        table
    };
    let open = |world: &World, table: &str| -> Opened {
        Ok(Arc::new(database.open(world.machine_services(), container(table, CONTAINER), "")?))
    };
    let mut failures = kit::check(&|world: &World| open(world, &create()), Survives::Nothing);
    // A flush that waits is lost with the process, as the documentation says; all else outlives a stop.
    let table = create();
    let same_table = |world: &World| open(world, &table);
    let subject = kit::Subject::new(&same_table);
    failures.extend(
        checks::a_clean_stop_keeps_everything(&subject)
            .err()
            .map(|failure| ("a_clean_stop_keeps_everything", failure)),
    );
    let told: Vec<String> = failures.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
    assert!(failures.is_empty(), "{} checks failed:\n{}", told.len(), told.join("\n\n"));
}

#[test]
fn sqlite_keeps_the_rules_of_the_interface() {
    pass(Product::Sqlite);
}

#[test]
fn mariadb_keeps_the_rules_of_the_interface() {
    pass(Product::MySql);
}

#[test]
fn postgres_keeps_the_rules_of_the_interface() {
    pass(Product::Postgres);
}
