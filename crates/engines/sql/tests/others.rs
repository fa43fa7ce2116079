//! What other clients of the database do meanwhile: they count along, lock rows, change tables, end connections.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::disk::LocalDisk;
use larder_engine::kit::clock::START;
use larder_engine::kit::{Client, Command, LocalExecutor, ManualClock, Outcome, command};
use larder_engine::{Engine, Services, StatsSink};
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

/// Runs commands of one client at once; their outcomes in the order of the commands.
fn at_once(engine: &Arc<SqlEngine>, clock: &Arc<ManualClock>, commands: Vec<Command>) -> Vec<Outcome> {
    let executor = LocalExecutor::new(0);
    let engine: Arc<dyn Engine> = engine.clone();
    let client = Rc::new(Client::new(engine, executor.worker().clone(), clock.clone()));
    let outcomes = Rc::new(RefCell::new(vec![Outcome::Missing; commands.len()]));
    for (at, command) in commands.into_iter().enumerate() {
        let (client, outcomes) = (client.clone(), outcomes.clone());
        executor.worker().spawn(async move {
            let outcome = client.run(&command).await;
            outcomes.borrow_mut()[at] = outcome;
        });
    }
    executor.finish();
    outcomes.take()
}

struct Numbers(HashMap<String, u64>);

impl StatsSink for Numbers {
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
        if let Ok(number) = value.to_string().parse() {
            self.0.insert(name.into(), number);
        }
    }
}

fn numbers(engine: &SqlEngine) -> HashMap<String, u64> {
    let mut numbers = Numbers(HashMap::new());
    engine.stats(&mut numbers);
    numbers.0
}

/// Of the commands of one batch only the one that the table refuses fails.
fn a_bad_command_fails_alone(database: &Database) {
    let columns = "k {key} NOT NULL PRIMARY KEY, v varchar(20), CHECK (v <> 'bad')";
    let (table, engine, clock) = open(database, columns, PLAIN);
    let value = |number: usize| if number == 17 { "bad".into() } else { format!("v{number}") };
    let sets =
        (0..40).map(|number| command::set(format!("k{number}").as_bytes(), value(number).as_bytes()).into());
    let outcomes = at_once(&engine, &clock, sets.collect());
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Stored(_) => assert_ne!(number, 17),
            Outcome::Refused(_, text) => {
                assert!(number == 17 && text.starts_with("constraint violation"), "{number}: {text}");
            }
            other => panic!("{number}: {other}"),
        }
    }
    assert_eq!(database.sql(&format!("SELECT count(*) FROM {table}")), "39");
}

/// What arrives while a batch is under way is the next batch.
fn commands_share_statements(database: &Database) {
    let words = "key_columns = \"k\"\nincrement_column = \"n\"\n";
    let (table, engine, clock) =
        open(database, "k {key} NOT NULL PRIMARY KEY, n {u64} NOT NULL DEFAULT 0", words);
    database.sql(&format!("INSERT INTO {table} (k) VALUES ('n')"));
    let outcomes = at_once(&engine, &clock, vec![command::increment(b"n", 3); 50]);
    let given: Vec<u64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Number(number) => number.value,
            other => panic!("incr: {other}"),
        })
        .collect();
    let due: Vec<u64> = (1..=50).map(|number| number * 3).collect();
    assert_eq!(given, due, "the range is dealt out in the order of the callers");
    let stats = numbers(&engine);
    assert_eq!(stats["steps"], 50);
    assert!(stats["step_statements"] < 10, "{stats:?}");
    let read = at_once(&engine, &clock, vec![command::get(b"n"); 50]);
    assert!(read.iter().all(|outcome| matches!(outcome, Outcome::Found(_, value) if value == "150")));
    assert!(numbers(&engine)["read_statements"] < 10, "{:?}", numbers(&engine));
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
    a_bad_command_fails_alone(&database);
    commands_share_statements(&database);
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
