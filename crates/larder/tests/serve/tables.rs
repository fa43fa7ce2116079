//! Rows of tables as items: MariaDB and PostgreSQL on one side, memcached's protocol on the other.

#[allow(dead_code, reason = "shared with the tests of the engine")]
#[path = "../../../engines/sql/tests/support/server.rs"]
mod database_server;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::operating::{fetch, metrics_of};
use crate::reload::Configured;
use crate::support::Launch;
use crate::support::client::Client;
use crate::support::outside::{is_left_out, run};
use crate::support::wait::until;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    MariaDb,
    Postgres,
}

/// A database server with the tables of the tests.
struct Database {
    kind: Kind,
    server: database_server::Server,
    _folder: tempfile::TempDir,
}

const MARIADB_TABLES: &str = "
    CREATE TABLE users (id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PRIMARY KEY,
        name VARCHAR(100), note VARCHAR(100) DEFAULT 'n', flags INT UNSIGNED, cas BIGINT UNSIGNED);
    CREATE TABLE counters (id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin PRIMARY KEY,
        n BIGINT UNSIGNED NOT NULL DEFAULT 0);";

const POSTGRES_TABLES: &str = "
    CREATE TABLE users (id VARCHAR(64) PRIMARY KEY, name VARCHAR(100), note VARCHAR(100) DEFAULT 'n',
        flags BIGINT, cas BIGINT);
    CREATE TABLE counters (id VARCHAR(64) PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0);";

impl Database {
    fn start(kind: Kind) -> Database {
        let folder = tempfile::Builder::new().prefix("larder-tables-").tempdir().unwrap();
        let server = match kind {
            Kind::MariaDb => database_server::Server::mariadb(folder.path()),
            Kind::Postgres => database_server::Server::postgres(folder.path()),
        };
        let database = Database { kind, server, _folder: folder };
        database.wait_until_it_serves();
        database.sql(if kind == Kind::MariaDb { MARIADB_TABLES } else { POSTGRES_TABLES });
        database
    }

    fn wait_until_it_serves(&self) {
        let serves =
            |database: &Database| database.client("SELECT 1").output().is_ok_and(|o| o.status.success());
        until("a database that serves", || serves(self).then_some(()));
    }

    fn client(&self, text: &str) -> Command {
        let port = self.server.port.to_string();
        let (program, arguments) = match self.kind {
            Kind::MariaDb => {
                ("mariadb", vec!["--no-defaults", "-h127.0.0.1", "-uroot", "-P", &port, "-BN", "test", "-e"])
            }
            Kind::Postgres => (
                "psql",
                vec![
                    "-X",
                    "-q",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "postgres",
                    "-p",
                    &port,
                    "-At",
                    "-F",
                    "\t",
                    "postgres",
                    "-c",
                ],
            ),
        };
        let mut client = Command::new(program);
        client.args(arguments).arg(text);
        client
    }

    /// Runs statements by the database's own client; the rows, with tabs between their fields.
    fn sql(&self, text: &str) -> String {
        run(&mut self.client(text)).trim_end().to_owned()
    }

    fn url(&self) -> String {
        let port = self.server.port;
        match self.kind {
            Kind::MariaDb => format!("mariadb://root@127.0.0.1:{port}/test"),
            Kind::Postgres => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        }
    }

    /// A configuration that serves its tables.
    fn configuration(&self) -> String {
        format!(
            r#"
            listen = ["127.0.0.1:0"]
            metrics = "127.0.0.1:0"
            verbosity = 1

            [[sql.cluster]]
            name = "main"
            url = "{}"

            [[sql.container]]
            name = "users"
            table = "users"
            key_columns = ["id"]
            value_columns = ["name"]
            flags = "flags"
            cas_column = "cas"

            [[sql.container]]
            name = "counters"
            table = "counters"
            key_columns = ["id"]
            increment_column = "n"

            [[prefix]]
            key = "user:"
            stack = "sql(users)"

            [[prefix]]
            key = "cached:"
            stack = "ram > sql(users, fresh=1s)"

            [[sql.prefix]]
            prefix = "count:"
            policy = "db-only"
            container = "counters"
            "#,
            self.url()
        )
    }

    fn crash(&mut self) {
        self.server.crash();
    }

    fn start_again(&mut self) {
        self.server.start_again();
        self.wait_until_it_serves();
    }
}

fn rows_are_items(kind: Kind) {
    if is_left_out() {
        return;
    }
    let database = Database::start(kind);
    let configured = Configured::start(&database.configuration());
    let line = configured.server.start_line();
    assert!(line.contains("data in database tables") && line.contains("ram > sql"), "{line}");
    let mut client = configured.server.connect();
    let sql = |words: &[&str]| {
        let output = Launch::bare().args(["sql"]).args(words).output();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let file = configured.file().to_str().unwrap();
    let checked = sql(&["check", file]);
    assert!(checked.contains("prefix \"user:\"") && checked.contains("prefix \"count:\""), "{checked}");
    let explained = sql(&["explain", file, "user:anna"]);
    assert!(explained.contains("SELECT") && explained.contains("users"), "{explained}");

    // What a client of memcached writes is a row, with the default of a column that is not mapped.
    client.ask("set user:anna 7 0 4\r\nAnna\r\n", "STORED\r\n");
    assert_eq!(database.sql("SELECT id, name, note, flags FROM users"), "anna\tAnna\tn\t7");
    // What a client of the database writes is an item, at once.
    database.sql("INSERT INTO users (id, name) VALUES ('bert', 'Bert')");
    database.sql("UPDATE users SET name = 'Anne', note = 'kept' WHERE id = 'anna'");
    client.ask(
        "get user:bert user:anna user:carl\r\n",
        "VALUE user:bert 0 4\r\nBert\r\nVALUE user:anna 7 4\r\nAnne\r\nEND\r\n",
    );
    client
        .ask("append user:anna 0 0 2\r\nli\r\nreplace user:carl 0 0 1\r\nx\r\n", "STORED\r\nNOT_STORED\r\n");
    assert_eq!(database.sql("SELECT name, note FROM users WHERE id = 'anna'"), "Anneli\tkept");

    // CAS holds against clients of the database.
    client.send("gets user:anna\r\n");
    let cas = client.line().rsplit(' ').next().unwrap().to_owned();
    assert_eq!((client.line(), client.line()), ("Anneli".into(), "END".into()));
    database.sql("UPDATE users SET name = 'by SQL', cas = NULL WHERE id = 'anna'");
    client.ask(format!("cas user:anna 0 0 1 {cas}\r\nx\r\n"), "EXISTS\r\n");
    assert_eq!(client.get("user:anna").as_deref(), Some("by SQL"));

    // Counters are shared with clients of the database.
    client.ask("incr count:a 1\r\n", "NOT_FOUND\r\n");
    client.ask("set count:a 0 0 2\r\n41\r\nincr count:a 1\r\n", "STORED\r\n42\r\n");
    database.sql("UPDATE counters SET n = n + 8 WHERE id = 'a'");
    client.ask("incr count:a 1\r\ndecr count:a 100\r\n", "51\r\n0\r\n");
    assert_eq!(database.sql("SELECT n FROM counters WHERE id = 'a'"), "0");

    client.ask("delete user:anna\r\ndelete user:anna\r\n", "DELETED\r\nNOT_FOUND\r\n");
    assert_eq!(database.sql("SELECT count(*) FROM users WHERE id = 'anna'"), "0");
    // What does not fit is refused, and the row is as before.
    let long = "x".repeat(101);
    client.send(format!("set user:bert 0 0 101\r\n{long}\r\n"));
    let refusal = client.line();
    assert!(refusal.starts_with("SERVER_ERROR") || refusal.starts_with("CLIENT_ERROR"), "{refusal}");
    assert_eq!(client.get("user:bert").as_deref(), Some("Bert"));

    // A copy in RAM is as old as the stack allows, at most.
    assert_eq!(client.get("cached:bert").as_deref(), Some("Bert"));
    database.sql("UPDATE users SET name = 'Bertie' WHERE id = 'bert'");
    until("the row as it is now", || (client.get("cached:bert")? == "Bertie").then_some(()));
    // Keys under none of the prefixes are not the database's affair.
    client.set("other", "o");

    let stats = client.stats("larder");
    let of_a_table = |name: &str| stats.iter().filter(|(known, _)| known.ends_with(name)).count();
    assert_eq!((of_a_table(":container"), of_a_table(":connected")), (3, 3), "{stats:?}");
    configured.server.stop_cleanly();
}

#[test]
fn rows_of_mariadb_are_items() {
    rows_are_items(Kind::MariaDb);
}

#[test]
fn rows_of_postgres_are_items() {
    rows_are_items(Kind::Postgres);
}

/// What a client knows of a counter: the numbers it was given, and how often nobody knows what became of a step.
#[derive(Default)]
struct Counted {
    numbers: Vec<u64>,
    unknown: u64,
}

fn count(mut client: Client, is_over: &AtomicBool) -> Counted {
    let mut counted = Counted::default();
    while !is_over.load(Ordering::Acquire) {
        client.send("incr count:n 1\r\n");
        let answer = client.line();
        match answer.parse() {
            Ok(number) => counted.numbers.push(number),
            Err(_) if answer.contains("outcome unknown") => counted.unknown += 1,
            Err(_) => assert!(answer.starts_with("SERVER_ERROR"), "{answer}"),
        }
    }
    counted
}

/// Writes growing numbers under a key of its own; the last one acknowledged, and the last one tried.
fn write(mut client: Client, key: &str, is_over: &AtomicBool) -> (u64, u64) {
    let (mut acknowledged, mut tried) = (0, 0);
    while !is_over.load(Ordering::Acquire) {
        tried += 1;
        let value = tried.to_string();
        client.send(format!("set user:{key} 0 0 {}\r\n{value}\r\n", value.len()));
        match client.line().as_str() {
            "STORED" => acknowledged = tried,
            refusal => assert!(refusal.starts_with("SERVER_ERROR"), "{refusal}"),
        }
    }
    (acknowledged, tried)
}

/// The database ends without notice under load, again and again: what was acknowledged is there, no step of a counter is
/// taken twice, and larder serves again by itself.
fn a_crash_of_the_database_is_survived(kind: Kind) {
    const CRASHES: usize = 3;
    if is_left_out() {
        return;
    }
    let mut database = Database::start(kind);
    database.sql("INSERT INTO counters (id, n) VALUES ('n', 0)");
    let configured = Configured::start(&database.configuration());
    let server = &configured.server;
    let metrics = metrics_of(server);
    assert_eq!(fetch(metrics, "/ready").0, "HTTP/1.1 200 OK");
    let is_over = AtomicBool::new(false);
    let (counted, written) = thread::scope(|scope| {
        let is_over = &is_over;
        let counting: Vec<_> =
            (0..4).map(|_| scope.spawn(move || count(server.connect(), is_over))).collect();
        let writing = ["a", "b"].map(|key| scope.spawn(move || write(server.connect(), key, is_over)));
        let mut watcher = server.connect();
        let mut next = || {
            watcher.send("incr count:n 0\r\n");
            watcher.line().parse::<u64>().ok()
        };
        for _ in 0..CRASHES {
            let from = until("a counter that is served", &mut next);
            until("steps", || next().filter(|number| *number > from + 50));
            database.crash();
            until("errors", || next().is_none().then_some(()));
            until("not ready", || (fetch(metrics, "/ready").0 != "HTTP/1.1 200 OK").then_some(()));
            database.start_again();
        }
        let from = until("a counter that is served again", &mut next);
        until("steps", || next().filter(|number| *number > from + 50));
        is_over.store(true, Ordering::Release);
        let counted: Vec<Counted> = counting.into_iter().map(|one| one.join().unwrap()).collect();
        (counted, writing.map(|one| one.join().unwrap()))
    });
    until("ready", || (fetch(metrics, "/ready").0 == "HTTP/1.1 200 OK").then_some(()));

    let numbers: Vec<u64> = counted.iter().flat_map(|one| one.numbers.iter().copied()).collect();
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "no number is given twice");
    for one in &counted {
        assert!(one.numbers.is_sorted(), "a counter never steps back");
    }
    let unknown: u64 = counted.iter().map(|one| one.unknown).sum();
    let value: u64 = database.sql("SELECT n FROM counters WHERE id = 'n'").parse().unwrap();
    let acknowledged = numbers.len() as u64;
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&value),
        "{acknowledged} steps are acknowledged, of {unknown} nobody knows, and the counter is at {value}"
    );
    for (key, (acknowledged, tried)) in ["a", "b"].iter().zip(written) {
        let value: u64 = database.sql(&format!("SELECT name FROM users WHERE id = '{key}'")).parse().unwrap();
        assert!((acknowledged..=tried).contains(&value), "{value} is not one of {acknowledged}..={tried}");
    }
}

#[test]
fn a_crash_of_mariadb_is_survived() {
    a_crash_of_the_database_is_survived(Kind::MariaDb);
}

#[test]
fn a_crash_of_postgres_is_survived() {
    a_crash_of_the_database_is_survived(Kind::Postgres);
}

/// A changed mapping is in force whole or not at all, and no connection is dropped.
#[test]
fn a_mapping_is_changed_while_it_is_served() {
    if is_left_out() {
        return;
    }
    let database = Database::start(Kind::MariaDb);
    let text = database.configuration();
    let configured = Configured::start(&text);
    let mut client = configured.server.connect();
    client.set("user:a", "one");

    let notes = text.replace(r#"value_columns = ["name"]"#, r#"value_columns = ["note"]"#);
    configured.reload(&notes, "reload: prefix \"user:\": sql(users), as the tables are described now");
    assert_eq!(client.get("user:a").as_deref(), Some("n"));
    assert_eq!(client.get("cached:a").as_deref(), Some("n"));

    let wrong = text.replace(r#"table = "users""#, r#"table = "users_of_old""#);
    configured.reload(&wrong, "reload refused, nothing changed");
    assert!(configured.server.log().contains("users_of_old"), "{}", configured.server.log());
    client.set("user:a", "two");
    assert_eq!(database.sql("SELECT name, note FROM users"), "one\ttwo");

    configured.reload(&text, "reload: prefix \"user:\"");
    assert_eq!(client.get("user:a").as_deref(), Some("one"));
    configured.server.stop_cleanly();
}

/// What does not fit is said at the start, by name.
#[test]
fn a_table_that_does_not_fit_is_named() {
    if is_left_out() {
        return;
    }
    let database = Database::start(Kind::Postgres);
    for (from, to, said) in [
        (r#"table = "users""#, r#"table = "userz""#, "userz"),
        (r#"cas_column = "cas""#, r#"cas_column = "kas""#, "kas"),
        (r#"key_columns = ["id"]"#, r#"key_columns = ["note"]"#, "note"),
        ("postgres@127", "nobody@127", "nobody"),
    ] {
        let text = database.configuration().replacen(from, to, 1);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("larder.toml");
        std::fs::write(&file, text).unwrap();
        let launch = Launch::bare().arg("--config").arg(&file).arg("--data").arg(folder.path());
        let refusal = launch.refusal();
        assert!(refusal.contains(said), "{refusal}");
    }
}
