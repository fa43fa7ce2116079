//! RAM is filled from a store at start, with what is routed to that store and nothing else.

use std::path::Path;

use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

/// Prefixes and their stacks.
type Stacks<'a> = &'a [(&'a str, &'a str)];

fn start(folder: &Path, stacks: Stacks<'_>) -> Server {
    let table = |(key, stack): &(&str, &str)| format!("[[prefix]]\nkey = \"{key}\"\nstack = \"{stack}\"\n");
    let file = folder.join("larder.toml");
    let tables: String = stacks.iter().map(table).collect();
    std::fs::write(&file, format!("listen = [\"127.0.0.1:0\"]\n{tables}")).unwrap();
    Launch::bare().arg("--config").arg(&file).arg("--data").arg(folder.join("data")).start()
}

/// A client, once RAM has all it gets by itself.
fn warm_client(server: &Server) -> Client {
    let mut client = server.connect();
    until("warming up to end", || {
        let stats = client.stats("larder");
        let mut states = stats.iter().filter(|(name, _)| name.ends_with("tier_warm_up"));
        states.all(|(_, state)| state == "whole").then_some(())
    });
    client
}

const ALL: (&str, &str) = ("", "ram > sqlite");

/// A folder whose `larder.db` holds items of keys that get stacks of their own later.
fn folder_with_old_items() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[ALL]);
    let mut client = server.connect();
    for key in ["session:1", "session:2", "other:1"] {
        client.set(key, "5");
    }
    server.stop_cleanly();
    folder
}

#[test]
fn keys_that_are_kept_in_ram_only_do_not_come_from_a_store() {
    let folder = folder_with_old_items();
    for _ in 0..2 {
        let server = start(folder.path(), &[("session:", "ram"), ALL]);
        let mut client = warm_client(&server);
        assert_eq!(client.get("session:1"), None);
        client.set("session:1", "new");
        client.ask("delete session:1\r\n", "DELETED\r\n");
        assert_eq!(client.get("other:1").as_deref(), Some("5"));
        server.kill();
    }
}

#[test]
fn keys_of_one_store_do_not_come_from_another() {
    let folder = folder_with_old_items();
    let stacks: Stacks<'_> = &[("session:", "ram > sqlite(sessions.db)"), ALL];
    let server = start(folder.path(), stacks);
    let mut client = warm_client(&server);
    assert_eq!(client.get("session:1"), None);
    client.set("session:1", "new");
    server.kill();
    let server = start(folder.path(), stacks);
    let mut client = warm_client(&server);
    assert_eq!(client.get("session:1").as_deref(), Some("new"));
    assert_eq!(client.get("session:2"), None);
    server.stop_cleanly();
}

#[test]
fn what_is_written_behind_is_not_decided_on_items_of_another_store() {
    let folder = folder_with_old_items();
    let server = start(folder.path(), &[("session:", "ram > sqlite(sessions.db, write=behind)"), ALL]);
    let mut client = warm_client(&server);
    client.ask("incr session:1 1\r\nadd session:2 0 0 1\r\n1\r\n", "NOT_FOUND\r\nSTORED\r\n");
    server.stop_cleanly();
}

/// The list of a store is made by all caches above it together, and names what is in the store only.
#[test]
fn every_cache_over_a_store_starts_warm() {
    let folder = tempfile::tempdir().unwrap();
    let stacks: Stacks<'_> = &[
        ("a:", "ram(16MiB) > sqlite"),
        ("b:", "ram(16MiB) > sqlite"),
        ("secret:", "ram"),
        ("", "ram > sqlite(rest.db)"),
    ];
    let server = start(folder.path(), stacks);
    let mut client = server.connect();
    for key in ["a:1", "a:2", "b:1", "secret:token", "rest"] {
        client.set(key, "v");
    }
    server.stop_cleanly();
    let listed = |file: &str| -> Vec<String> {
        let database = rusqlite::Connection::open(folder.path().join("data").join(file)).unwrap();
        let mut list = database.prepare("SELECT CAST(key AS TEXT) FROM warm ORDER BY 1").unwrap();
        list.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(listed("larder.db"), ["a:1", "a:2", "b:1"]);
    assert_eq!(listed("rest.db"), ["rest"]);
    let server = start(folder.path(), stacks);
    let mut client = warm_client(&server);
    let stats = client.stats("larder");
    let mut warmed: Vec<_> = stats
        .iter()
        .filter(|(name, _)| name.ends_with("tier_warm_up_items"))
        .map(|(_, items)| items.as_str())
        .collect();
    warmed.sort();
    assert_eq!(warmed, ["1", "1", "2"]);
    server.stop_cleanly();
}
