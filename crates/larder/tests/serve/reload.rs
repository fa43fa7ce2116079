//! SIGHUP: a changed file is applied whole or not at all, and no connection is dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::Stream;
use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

pub const TWO: &str = r#"
listen = ["127.0.0.1:0"]
verbosity = 1

[[prefix]]
key = "session:"
stack = "ram(8MiB)"

[[prefix]]
key = ""
stack = "ram > sqlite"
"#;

/// A server with a file to be changed.
pub struct Configured {
    pub server: Server,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Configured {
    pub fn start(text: &str) -> Configured {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Configured::new(folder, &data, text)
    }

    /// With its data in another folder than the file.
    pub fn start_in(data: &Path, text: &str) -> Configured {
        Configured::new(tempfile::tempdir().unwrap(), data, text)
    }

    fn new(folder: tempfile::TempDir, data: &Path, text: &str) -> Configured {
        let file = folder.path().join("larder.toml");
        std::fs::write(&file, text).unwrap();
        let server = Launch::bare().arg("--config").arg(&file).arg("--data").arg(data).start();
        Configured { server, file, _folder: folder }
    }

    #[cfg(feature = "sql")]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes the file, sends SIGHUP and waits until the log says what became of it.
    pub fn reload(&self, text: &str, said: &str) {
        std::fs::write(&self.file, text).unwrap();
        let known = self.server.log().len();
        self.server.signal(libc::SIGHUP);
        until(said, || self.server.log()[known..].contains(said).then_some(()));
    }

    fn prefixes(&self) -> Vec<String> {
        let stats = self.server.connect().stats("larder");
        stats
            .into_iter()
            .filter(|(name, _)| name.ends_with(":prefixes"))
            .map(|(_, prefixes)| prefixes)
            .collect()
    }
}

#[test]
fn a_file_with_prefixes_is_served() {
    let configured = Configured::start(TWO);
    let line = configured.server.start_line();
    assert!(line.contains("ram > sqlite") && line.contains("data"), "{line}");
    let mut client = configured.server.connect();
    client.set("session:1", "s");
    client.set("other", "o");
    assert_eq!(configured.prefixes().len(), 2);
    client.ask(
        "get session:1 other session:2\r\n",
        "VALUE session:1 0 1\r\ns\r\nVALUE other 0 1\r\no\r\nEND\r\n",
    );
}

#[test]
fn stacks_change_under_traffic() {
    let configured = Configured::start(TWO);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // However this ends, the traffic ends with it.
        let over = Over(&is_over);
        let traffic: Vec<_> = (0..4)
            .map(|number| {
                let (mut client, is_over) = (configured.server.connect(), &is_over);
                scope.spawn(move || keep_asking(&mut client, number, is_over))
            })
            .collect();
        let mut before = configured.server.connect();
        before.set("kept", "in the store");
        let three = format!("{TWO}\n[[prefix]]\nkey = \"user:\"\nstack = \"ram > sqlite(users.db)\"\n");
        configured.reload(&three, "user:");
        assert_eq!(configured.prefixes().len(), 3);
        before.set("user:1", "u");
        assert!(configured.file.with_file_name("data").join("users.db").exists(), "the new store is there");
        assert_eq!(before.get("kept").as_deref(), Some("in the store"));
        // Back again: the keys go to the stack that takes all others.
        configured.reload(TWO, "users.db");
        until("two stacks", || (configured.prefixes().len() == 2).then_some(()));
        before.set("user:1", "elsewhere");
        assert_eq!(before.get("user:1").as_deref(), Some("elsewhere"));
        drop(over);
        for asker in traffic {
            assert!(asker.join().expect("no answer was wrong, no connection dropped") > 0);
        }
    });
    configured.server.stop_cleanly();
}

/// Both stacks share one RAM, where the key's item is when the key moves.
#[test]
fn a_key_that_comes_under_another_stack_is_looked_up_there() {
    let configured = Configured::start(TWO);
    let mut client = configured.server.connect();
    client.set("user:1", "old");
    client.set("session:1", "stays");
    assert_eq!(client.get("user:2"), None);
    let three = format!("{TWO}\n[[prefix]]\nkey = \"user:\"\nstack = \"ram > sqlite(users.db)\"\n");
    for round in 0..3 {
        configured.reload(&three, "\"user:\" added");
        until("three stacks", || (configured.prefixes().len() == 3).then_some(()));
        let expected = if round == 0 { None } else { Some("new") };
        assert_eq!(client.get("user:1").as_deref(), expected, "round {round}");
        client.set("user:1", "new");
        client.set("user:2", "new");
        configured.reload(TWO, "\"user:\" removed");
        until("two stacks", || (configured.prefixes().len() == 2).then_some(()));
        assert_eq!(client.get("user:1").as_deref(), Some("old"), "round {round}");
        client.ask("incr user:2 1\r\nappend user:2 0 0 1\r\nx\r\n", "NOT_FOUND\r\nNOT_STORED\r\n");
        assert_eq!(client.get("session:1").as_deref(), Some("stays"));
    }
}

/// The store of a prefix that is gone is closed in the background; wanted again at once, it is waited for.
#[test]
fn a_prefix_that_comes_back_at_once_finds_its_items() {
    const ITEMS: usize = 3000;
    let with_jobs =
        format!("{TWO}\n[[prefix]]\nkey = \"job:\"\nstack = \"ram > sqlite(jobs.db, write=behind)\"\n");
    let configured = Configured::start(&with_jobs);
    let mut client = configured.server.connect();
    for number in 0..ITEMS {
        client.set(&format!("job:{number}"), &"v".repeat(1000));
    }
    for _ in 0..3 {
        configured.reload(TWO, "\"job:\" removed");
        configured.reload(&with_jobs, "\"job:\" added");
        for number in (0..ITEMS).step_by(100) {
            assert!(client.get(&format!("job:{number}")).is_some(), "job:{number}");
        }
    }
    // And a stop waits for what is being closed.
    configured.reload(TWO, "\"job:\" removed");
    let (status, log) = configured.server.stop();
    assert!(status.success() && !log.contains("refused"), "{log}");
}

#[test]
fn what_a_reload_did_is_told_at_every_verbosity() {
    let quiet = TWO.replace("verbosity = 1", "verbosity = 0");
    let configured = Configured::start(&quiet);
    configured.reload(&format!("{quiet}\n[[prefix]]\nkey = \"x:\"\nstack = \"ram\"\n"), "\"x:\" added");
    let log = configured.server.log();
    let line = log.lines().find(|line| line.contains("added")).expect("a line tells");
    assert!(line.contains("INFO"), "{line}");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Writes and reads until told to stop; how often.
fn keep_asking(client: &mut Client, number: usize, is_over: &AtomicBool) -> usize {
    let mut rounds = 0;
    while !is_over.load(Ordering::Acquire) {
        for key in [format!("session:{number}"), format!("traffic:{number}")] {
            client.set(&key, &rounds.to_string());
            assert_eq!(client.get(&key), Some(rounds.to_string()));
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn a_broken_file_changes_nothing() {
    let configured = Configured::start(TWO);
    let mut client = configured.server.connect();
    client.set("session:1", "s");
    client.set("a", "1");
    configured.reload("threads = \"many\"\n[[prefix]]\nkey = \"x:\"\n", "larder.toml:1:");
    assert!(configured.server.log().contains("nothing changed"), "{}", configured.server.log());
    assert_eq!(configured.prefixes().len(), 2);
    assert_eq!(client.get("session:1").as_deref(), Some("s"));
    assert_eq!(client.get("a").as_deref(), Some("1"));
    // What needs a restart is named, and nothing of the file is applied.
    let other_port =
        TWO.replace("127.0.0.1:0", "127.0.0.1:1") + "[[prefix]]\nkey = \"y:\"\nstack = \"ram\"\n";
    configured.reload(&other_port, "listen");
    assert_eq!(configured.prefixes().len(), 2);
    // A store that cannot be opened: nothing changes either.
    let data = configured.file.with_file_name("data");
    std::fs::write(data.join("broken.db"), "no database at all, but long enough to be one ".repeat(100))
        .unwrap();
    let broken = format!("{TWO}\n[[prefix]]\nkey = \"z:\"\nstack = \"sqlite(broken.db)\"\n");
    configured.reload(&broken, "broken.db");
    assert_eq!(configured.prefixes().len(), 2);
    client.set("z:1", "served by the others");
    // And the mended file is applied.
    let mended = format!("{TWO}\n[[prefix]]\nkey = \"z:\"\nstack = \"ram\"\n");
    configured.reload(&mended, "z:");
    until("three stacks", || (configured.prefixes().len() == 3).then_some(()));
    configured.server.stop_cleanly();
}

#[test]
fn a_reload_without_a_file_is_harmless() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("ram", data.path()).start();
    let mut client = server.connect();
    server.signal(libc::SIGHUP);
    server.wait_for_log("--config");
    client.set("a", "1");
    server.stop_cleanly();
}

/// A file with one stack for all keys.
pub fn one_stack(stack: &str) -> String {
    format!("listen = [\"127.0.0.1:0\"]\nthreads = 2\n[[prefix]]\nkey = \"\"\nstack = \"{stack}\"\n")
}

/// Ways to put another cache above a store, or none.
const OVER_ONE_STORE: [(&str, &str); 3] = [
    ("sqlite", "ram > sqlite"),
    ("ram(8MiB) > sqlite", "ram > sqlite"),
    ("ram > sqlite", "ram > sqlite(negative_ttl=9s)"),
];

/// A client that sends a request and leaves while it is under way.
fn leave_in_the_middle_of(server: &Server, request: &str) {
    let mut client = server.connect();
    client.send(format!("mn\r\n{request}"));
    let Stream::Tcp(stream) = client.stream() else { panic!("a client of TCP") };
    // The server has executed both when it answers the first. Closed with an answer unread, the connection is reset.
    stream.peek(&mut [0]).unwrap();
}

/// What is read while the write is under way must not be kept beyond it.
#[test]
fn a_write_that_is_under_way_at_a_reload_is_seen_when_it_is_acknowledged() {
    for (from, to) in OVER_ONE_STORE {
        let configured = Configured::start(&one_stack(from));
        let mut clients: Vec<_> = (0..4).map(|_| configured.server.connect()).collect();
        for key in ["k", "gone"] {
            clients[0].set(key, "old");
        }
        let database =
            rusqlite::Connection::open(configured.file.with_file_name("data").join("larder.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        clients[0].send("set k 0 0 3\r\nnew\r\n");
        leave_in_the_middle_of(&configured.server, "set gone 0 0 3\r\nnew\r\n");
        until("only those who stay", || (clients[1].stat("curr_connections") == 4).then_some(()));
        configured.reload(&one_stack(to), " becomes ");
        for client in &mut clients[1..] {
            for key in ["k", "gone"] {
                assert_eq!(client.get(key).as_deref(), Some("old"));
            }
        }
        database.execute_batch("ROLLBACK").unwrap();
        assert_eq!(clients[0].line(), "STORED");
        for client in &mut clients {
            assert_eq!(client.get("k").as_deref(), Some("new"), "from {from} to {to}");
        }
        until("the other write", || (clients[1].get("gone").as_deref() == Some("new")).then_some(()));
        // Once nobody uses the old engines, RAM keeps what is read.
        until("a hit", || {
            clients[1].get("k");
            (clients[1].stack_stat("tier_hits") > 0).then_some(())
        });
        assert_eq!(clients[2].get("k").as_deref(), Some("new"));
        configured.server.stop_cleanly();
    }
}

#[test]
fn clients_read_what_they_wrote_while_caches_come_and_go() {
    for (from, to) in OVER_ONE_STORE {
        read_what_is_written_while_stacks_change(from, to);
    }
}

/// Puts one stack in the place of the other and back, while clients write and read.
pub fn read_what_is_written_while_stacks_change(from: &str, to: &str) {
    const RELOADS: usize = 6;
    let configured = Configured::start(&one_stack(from));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let traffic: Vec<_> = (0..4)
            .map(|number| {
                let (mut client, is_over) = (configured.server.connect(), &is_over);
                scope.spawn(move || keep_asking(&mut client, number, is_over))
            })
            .collect();
        for _ in 0..RELOADS / 2 {
            configured.reload(&one_stack(to), " becomes ");
            configured.reload(&one_stack(from), " becomes ");
        }
        drop(over);
        for asker in traffic {
            assert!(asker.join().expect("no answer was wrong") > 0);
        }
    });
    configured.server.stop_cleanly();
}
