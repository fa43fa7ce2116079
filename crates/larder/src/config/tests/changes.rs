//! What a reload may change.

use super::*;

const RUNNING: &str = "
    listen = ['127.0.0.1:1']
    [[prefix]]
    key = ''
    stack = 'ram > sqlite'
    [[prefix]]
    key = 'old:'
    stack = 'ram'
    [[prefix]]
    key = 'user:'
    stack = 'ram > sqlite(users.db)'
    ";

/// Going from one file to the other changes exactly this, or is refused for exactly these reasons.
#[track_caller]
fn check_reload(from: &str, to: &str, expected: Result<&[&str], &[&str]>) {
    let changes = good_file(from).changes(&good_file(to));
    let words = match &changes {
        Ok(changes) => Ok(changes.list.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Err(refusals) => Err(refusals.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(words, expected.map(own).map_err(own));
}

#[test]
fn the_same_file_changes_nothing() {
    check_reload(RUNNING, RUNNING, Ok(&[]));
    // Nor does another spelling of it.
    check_reload(RUNNING, &RUNNING.replace("'ram > sqlite'", "'ram()>sqlite(./larder.db)'"), Ok(&[]));
}

#[test]
fn prefixes_come_go_and_change() {
    let to = "
        listen = ['127.0.0.1:1']
        [[prefix]]
        key = ''
        stack = 'ram > sqlite'
        [[prefix]]
        key = 'new:'
        stack = 'ram(64MiB)'
        [[prefix]]
        key = 'user:'
        stack = 'ram > sqlite(users.db, negative_ttl=5s)'
        ";
    check_reload(
        RUNNING,
        to,
        Ok(&[
            "prefix \"old:\" removed: was ram",
            "prefix \"new:\" added: ram(64MiB)",
            "prefix \"user:\": ram > sqlite(users.db, write=through, negative_ttl=1s) \
             becomes ram > sqlite(users.db, write=through, negative_ttl=5s)",
        ]),
    );
}

#[test]
fn settings_that_apply_at_once() {
    check_reload(
        "",
        "connections = 5
         requests_per_turn = 5
         idle_timeout = '1m'
         verbosity = 1
         allow_shutdown = true",
        Ok(&[
            "connections: 1024 becomes 5",
            "requests_per_turn: 20 becomes 5",
            "idle_timeout: off becomes 1m",
            "verbosity: 0 becomes 1",
            "allow_shutdown: false becomes true",
        ]),
    );
}

#[test]
fn settings_that_need_a_restart() {
    let change = |what: &str, from: &str, to: &str| {
        format!(
            "{what} cannot change from {from} to {to} while the server runs; restart it, or write {from} again"
        )
    };
    let refusals = [
        change("listen", "127.0.0.1:11211", "h:1"),
        change("udp", "off", "127.0.0.1:7, h:11211"),
        change("unix_mask", "700", "777"),
        change("data", "larder-data", "d"),
        change("memory", "256MiB", "1GiB"),
        change("threads", "2", "9"),
        change("metrics", "off", "h:9150"),
        change("item_size_max", "1MiB", "2MiB"),
    ];
    let refusals: Vec<&str> = refusals.iter().map(String::as_str).collect();
    check_reload(
        "",
        "listen = ['h:1']
         udp = ['127.0.0.1:7', 'h']
         unix_mask = '777'
         data = 'd'
         memory = '1GiB'
         threads = 9
         metrics = 'h'
         item_size_max = '2MiB'
         verbosity = 1",
        Err(&refusals),
    );
}

/// A file with these stacks by prefix.
fn file_of(stacks: &[(&str, &str)]) -> String {
    stacks.iter().map(|(key, stack)| format!("[[prefix]]\nkey = '{key}'\nstack = '{stack}'\n")).collect()
}

#[test]
fn stacks_written_behind_stay_as_they_are() {
    let through = "ram > sqlite(a.db)";
    let behind = "ram > sqlite(a.db, write=behind)";
    let smaller = "ram(1g) > sqlite(a.db, write=behind)";
    let one = file_of(&[("", behind)]);
    for (from, to, is_refused) in [
        // The way of writing changes.
        (file_of(&[("", through)]), one.clone(), true),
        (one.clone(), file_of(&[("", through)]), true),
        (one.clone(), file_of(&[("", "ram > sqlite(a.db, write=behind, dirty_age=2s)")]), true),
        // The cache that holds the queue changes, or keys move between two such caches.
        (one.clone(), file_of(&[("", smaller)]), true),
        (file_of(&[("", behind), ("a", smaller)]), file_of(&[("", behind), ("b", smaller)]), true),
        // Equal stacks with a RAM of their own are not one: each has its own queue.
        (file_of(&[("", smaller), ("a", smaller)]), file_of(&[("", smaller)]), true),
        (file_of(&[("", smaller)]), file_of(&[("", smaller), ("a", smaller)]), true),
        (file_of(&[("", "ram"), ("a", smaller)]), file_of(&[("", "ram"), ("b", smaller)]), true),
        // All are one stack, or the file is another.
        (one.clone(), file_of(&[("", behind), ("a", behind)]), false),
        (one.clone(), file_of(&[("", behind), ("a", "ram")]), false),
        (one.clone(), file_of(&[("", "ram > sqlite(b.db)")]), false),
        (
            file_of(&[("", behind), ("a", smaller)]),
            file_of(&[("", behind), ("a", smaller), ("b", "ram")]),
            false,
        ),
        // Nothing waits in RAM.
        (file_of(&[("", through)]), file_of(&[("", "sqlite(a.db)"), ("a", "ram(1g) > sqlite(a.db)")]), false),
    ] {
        let changes = good_file(&from).changes(&good_file(&to));
        assert_eq!(changes.is_err(), is_refused, "from\n{from}to\n{to}");
    }
    let full = |age| {
        format!("\"\": ram > sqlite(a.db, write=behind, dirty_bytes=64MiB, dirty_age={age}, negative_ttl=1s)")
    };
    let (from, to) = (full("1s"), full("2s"));
    let refusal = format!(
        "what is written behind to a.db cannot change from {from} to {to} while the server runs; restart it, or write {from} again"
    );
    check_reload(&one, &file_of(&[("", "ram > sqlite(a.db, write=behind, dirty_age=2s)")]), Err(&[&refusal]));
}

/// Going from one list of prefixes to the other moves these keys: prefix, exceptions, whether to a store.
#[track_caller]
fn check_moved(from: &[(&str, &str)], to: &[(&str, &str)], expected: &[(&str, &[&str], bool)]) {
    let plan = |prefixes: &[(&str, &str)]| {
        let table = |(key, stack): &(&str, &str)| format!("[[prefix]]\nkey = '{key}'\nstack = '{stack}'\n");
        good_file(&prefixes.iter().map(table).collect::<String>())
    };
    let moved = plan(from).moved(&plan(to));
    let moved: Vec<_> = moved
        .iter()
        .map(|moved| {
            (moved.prefix.as_str(), moved.except.iter().map(String::as_str).collect(), moved.to_store)
        })
        .collect();
    let expected: Vec<(&str, Vec<&str>, bool)> =
        expected.iter().map(|(prefix, except, to_store)| (*prefix, except.to_vec(), *to_store)).collect();
    assert_eq!(moved, expected);
}

#[test]
fn keys_move_with_their_prefix_but_for_longer_ones() {
    const ALL: (&str, &str) = ("", "ram > sqlite");
    const USER: (&str, &str) = ("user:", "ram > sqlite(users.db)");
    check_moved(&[ALL, USER], &[ALL, USER], &[]);
    check_moved(&[ALL], &[ALL, USER], &[("user:", &[], true)]);
    check_moved(&[ALL, USER], &[ALL], &[("user:", &[], true)]);
    check_moved(&[ALL, USER], &[("", "ram"), USER], &[("", &["user:"], false)]);
    check_moved(&[ALL, ("user:", "ram")], &[ALL, USER, ("user:x:", "ram")], &[("user:", &["user:x:"], true)]);
}

#[test]
fn a_prefix_without_engines_of_its_own_moves_nothing() {
    check_moved(&[("", "ram")], &[("", "ram"), ("a:", "ram")], &[]);
    check_moved(&[("", "ram(4MiB)")], &[("", "ram(4MiB)"), ("a:", "ram(4MiB)")], &[("a:", &[], false)]);
}
