//! What other clients of the database do meanwhile: they count along, lock rows, change tables, end connections.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::disk::LocalDisk;
use larder_engine::kit::clock::START;
use larder_engine::kit::{Client, LocalExecutor, ManualClock, Outcome, command};
use larder_engine::{Engine, Services};
use larder_sql::SqlEngine;
use larder_sql::dialect::Product;
use support::script::Conversation;
use support::{Database, container};

const PLAIN: &str = "key_columns = \"k\"\nvalue_columns = \"v\"\n";

fn services() -> (Arc<ManualClock>, Services) {
    let clock = Arc::new(ManualClock::new(START));
    (clock.clone(), Services { clock, disk: Arc::new(LocalDisk) })
}

fn open(database: &Database, columns: &str, words: &str) -> (String, Arc<SqlEngine>, Arc<ManualClock>) {
    let table = database.fresh_name();
    database.sql(&database.dialect(&format!("CREATE TABLE {table} ({columns})")));
    let (clock, services) = services();
    let engine = database.open(services, container(&table, words), "").expect("the container fits");
    (table, Arc::new(engine), clock)
}

/// Two servers and a client of the database count one row up; nothing is lost, no number is given twice.
fn counts_are_exact(database: &Database) {
    const THREADS: u64 = 4;
    const STEPS: u64 = 100;
    let words = "key_columns = \"k\"\nincrement_column = \"n\"\n";
    let (table, first, clock) =
        open(database, "k {key} NOT NULL PRIMARY KEY, n {u64} NOT NULL DEFAULT 0", words);
    let second = database.open(services().1, container(&table, words), "").expect("a second server");
    database.sql(&format!("INSERT INTO {table} (k) VALUES ('n')"));
    let engines = [first, Arc::new(second)];
    let (engines, clock) = (&engines, &clock);
    let added_by_sql = AtomicU64::new(0);
    let answers: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            move || {
                let executor = LocalExecutor::new(thread as usize);
                let engine: Arc<dyn Engine> = engines[thread as usize % 2].clone();
                let client = Client::new(engine, executor.worker().clone(), clock.clone());
                let step = |_| loop {
                    match executor.block_on(client.run(&command::increment(b"n", 1))) {
                        Outcome::Number(number) => return number.value,
                        Outcome::Refused(larder_engine::ErrorKind::TryAgain, _) => {}
                        other => panic!("incr: {other}"),
                    }
                };
                (0..STEPS).map(step).collect()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        for _ in 0..20 {
            // A database that asks to try again is asked again.
            if database.try_sql(&format!("UPDATE {table} SET n = n + 1000000")).is_ok() {
                added_by_sql.fetch_add(1_000_000, Ordering::Relaxed);
            }
        }
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let all: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(all.len() as u64, THREADS * STEPS, "every number is given once");
    let due = THREADS * STEPS + added_by_sql.load(Ordering::Relaxed);
    assert_eq!(database.sql(&format!("SELECT n FROM {table}")), due.to_string());
}

/// A row that a client of the database keeps locked is refused after a while, and served once it is free.
fn locked_rows_are_refused_for_a_while(database: &Database) {
    let (table, engine, clock) = open(database, "k {key} NOT NULL PRIMARY KEY, v varchar(20)", PLAIN);
    let mut client = Conversation::new(database, engine, clock);
    assert_eq!(client.say("set k 0 0 a", &table), "STORED");
    let locker = database.locker(&format!("UPDATE {table} SET v = 'locked'"));
    assert_eq!(client.say("set k 0 0 b", &table), "TryAgain: temporary failure");
    assert_eq!(client.say("get k", &table), "0 a", "what is not committed is not seen");
    drop(locker);
    assert_eq!(client.say("set k 0 0 c", &table), "STORED");
    assert_eq!(database.sql(&format!("SELECT v FROM {table}")), "c");
}

/// Tables change under traffic: what still fits goes on, what does not is refused until it fits again.
fn changed_tables_are_noticed(database: &Database) {
    let (table, engine, clock) = open(database, "k {key} NOT NULL PRIMARY KEY, v varchar(5)", PLAIN);
    let (_, other, other_clock) = open(database, "k {key} NOT NULL PRIMARY KEY, v varchar(5)", PLAIN);
    let mut client = Conversation::new(database, engine, clock);
    let mut neighbour = Conversation::new(database, other, other_clock);
    assert_eq!(client.say("set k 0 0 a", &table), "STORED");
    database.sql(&format!("ALTER TABLE {table} ADD COLUMN extra int"));
    assert_eq!(client.say("get k", &table), "0 a");
    assert_eq!(client.say("set k 0 0 b", &table), "STORED");
    database.sql(&format!("ALTER TABLE {table} RENAME COLUMN v TO w"));
    let refusal = format!("Unavailable: container {table} unavailable");
    assert_eq!(client.say("get k", &table), refusal);
    assert_eq!(client.say("set k 0 0 c", &table), refusal);
    assert_eq!(neighbour.say("set k 0 0 x", ""), "STORED", "the other container goes on");
    database.sql(&format!("ALTER TABLE {table} RENAME COLUMN w TO v"));
    assert_eq!(client.say("get k", &table), "0 b");
    assert_eq!(client.say("set k 0 0 d", &table), "STORED");
    assert_eq!(client.say("get k", &table), "0 d");
}

/// Connections that the database ends are made anew without a client noticing.
fn ended_connections_are_made_anew(database: &Database) {
    let (table, engine, clock) = open(database, "k {key} NOT NULL PRIMARY KEY, v varchar(5)", PLAIN);
    let mut client = Conversation::new(database, engine, clock);
    assert_eq!(client.say("set k 0 0 a", &table), "STORED");
    assert_eq!(client.say("get k", &table), "0 a");
    database.end_connections();
    assert_eq!(client.say("get k", &table), "0 a");
    assert_eq!(client.say("set k 0 0 b", &table), "STORED");
    assert_eq!(client.say("get k", &table), "0 b");
}

fn pass(product: Product) {
    if support::leaves_out(product) {
        return;
    }
    let database = Database::start(product);
    counts_are_exact(&database);
    locked_rows_are_refused_for_a_while(&database);
    changed_tables_are_noticed(&database);
    ended_connections_are_made_anew(&database);
}

#[test]
fn sqlite_is_shared_with_others() {
    pass(Product::Sqlite);
}

#[test]
fn mariadb_is_shared_with_others() {
    pass(Product::MySql);
}

#[test]
fn postgres_is_shared_with_others() {
    pass(Product::Postgres);
}
