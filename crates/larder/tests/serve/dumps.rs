//! `lru_crawler metadump` and `mgdump`: every item once, for whoever reads it, at nobody else's cost.

use std::collections::{HashMap, HashSet};

use crate::reload::{Configured, TWO};
use crate::support::stacks::Stack;
use crate::support::wait::until;
use crate::support::{Client, Server};

crate::each_stack!(
    a_dump_says_what_is_kept,
    a_dump_of_many_items_lists_each_once_and_holds_up_nobody,
    a_cachedump_lists_as_many_items_as_asked,
    a_dump_ends_with_its_client,
    a_dump_stands_in_the_order_of_requests,
);

/// More than a few pages hold, and more than a unix socket takes at once.
const MANY: usize = 20_000;

/// Dumps at a time.
const DUMPS_MAX: usize = 20;

fn set_many(client: &mut Client) {
    for hundred in 0..MANY / 100 {
        let request: String = (hundred * 100..(hundred + 1) * 100)
            .map(|number| format!("set key:{number:06} 0 0 1 noreply\r\nx\r\n"))
            .collect();
        client.send(request);
    }
    client.ask("mn\r\n", "MN\r\n");
}

/// The attributes by key of a dump whose command was sent.
fn attributes(client: &mut Client) -> HashMap<String, HashMap<String, String>> {
    client.expect("OK\r\n");
    let mut items = HashMap::new();
    loop {
        let line = client.dump_line();
        if line == "END\r" {
            return items;
        }
        let line = line.strip_suffix(' ').expect("a space before the line's end");
        let fields = line.split(' ').map(|field| {
            let (name, value) =
                field.split_once('=').unwrap_or_else(|| panic!("a name and a value in {line}"));
            (name.to_owned(), value.to_owned())
        });
        let fields: HashMap<_, _> = fields.collect();
        let before = items.insert(fields["key"].clone(), fields);
        assert!(before.is_none(), "{line} comes twice");
    }
}

fn a_dump_says_what_is_kept(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.ask(
        "set plain 5 0 3\r\nabc\r\nset a%\x01/z 0 0 0\r\n\r\nset mortal 4294967295 1000 1\r\nx\r\n\
         ms YiAK 1 b\r\nx\r\nset gone 0 0 1\r\nx\r\ndelete gone\r\nset over 0 -1 1\r\nx\r\n\
         set flushed 0 0 1\r\nx\r\n",
        "STORED\r\nSTORED\r\nSTORED\r\nHD\r\nSTORED\r\nDELETED\r\nSTORED\r\nSTORED\r\n",
    );
    client.ask("delete flushed\r\ngets plain\r\n", "DELETED\r\nVALUE plain 5 3 ");
    let cas = client.line();
    client.expect("abc\r\nEND\r\n");
    client.send("lru_crawler metadump all\r\n");
    let items = attributes(&mut client);
    let mut keys: Vec<&str> = items.keys().map(String::as_str).collect();
    keys.sort();
    assert_eq!(keys, ["a%25%01%2Fz", "b%20%0A", "mortal", "plain"]);
    let plain = &items["plain"];
    let is = |name: &str, value: &str| assert_eq!(plain[name], value, "{name} of {plain:?}");
    is("exp", "-1");
    is("cas", &cas);
    is("cls", "1");
    is("size", "8");
    is("flags", "5");
    assert_eq!(plain.len(), 8, "{plain:?}");
    if stack == Stack::Ram {
        is("fetch", "yes");
        assert_eq!(items["mortal"]["fetch"], "no");
    }
    let now = client.stat("time");
    let expiry: u64 = items["mortal"]["exp"].parse().unwrap();
    assert!((now + 900..=now + 1000).contains(&expiry), "{expiry} at {now}");
    assert_eq!(items["mortal"]["flags"], u32::MAX.to_string());

    client.send("lru_crawler mgdump hash\r\n");
    client.expect("OK\r\n");
    let mut commands = Vec::new();
    loop {
        match client.line() {
            line if line == "EN" => break,
            line => commands.push(line),
        }
    }
    commands.sort();
    assert_eq!(commands, ["mg YSUBL3o= b", "mg YiAK b", "mg mortal", "mg plain"]);
    for command in commands {
        client.ask(format!("{command}\r\n"), "HD\r\n");
    }
}

fn a_cachedump_lists_as_many_items_as_asked(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.ask("stats cachedump 1 0\r\n", "END\r\n");
    client.ask("set plain 5 0 3\r\nabc\r\nms YiAK 1 b\r\nx\r\n", "STORED\r\nHD\r\n");
    // It is an answer among others, and leaves out keys that would break its lines.
    client.ask(
        "get none\r\nstats cachedump 1 5 more\r\nget none\r\n",
        "END\r\nITEM plain [3 b; 0 s]\r\nEND\r\nEND\r\n",
    );
    client.ask("set mortal 0 1000 0\r\n\r\nset gone 0 -1 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    client.send("stats cachedump 1 2\r\n");
    let mut lines = [client.line(), client.line()];
    client.expect("END\r\n");
    lines.sort();
    assert_eq!(lines[1], "ITEM plain [3 b; 0 s]");
    let now = client.stat("time");
    let expiry = lines[0].strip_prefix("ITEM mortal [0 b; ").and_then(|rest| rest.strip_suffix(" s]"));
    let expiry: u64 = expiry.unwrap_or_else(|| panic!("{lines:?}")).parse().unwrap();
    assert!((now + 900..=now + 1000).contains(&expiry), "{expiry} at {now}");

    set_many(&mut client);
    for (limit, listed) in [("1", 1), ("2500", 2500), ("0", MANY + 2)] {
        client.send(format!("stats cachedump 1 {limit}\r\n"));
        let mut keys = HashSet::new();
        loop {
            let line = client.line();
            if line == "END" {
                break;
            }
            assert!(keys.insert(line.clone()), "{line} comes twice");
        }
        assert_eq!(keys.len(), listed);
    }
    client.ask("stats cachedump 0 0\r\nstats cachedump 63 0\r\n", "END\r\nEND\r\n");
    for (arguments, answer) in [
        ("", "CLIENT_ERROR bad command line"),
        (" 1", "CLIENT_ERROR bad command line"),
        (" 64 1", "CLIENT_ERROR Illegal slab id"),
        (" x 1", "CLIENT_ERROR bad command line format"),
        (" 1 -1", "CLIENT_ERROR bad command line format"),
        ("s 1 1", "ERROR"),
    ] {
        client.ask(format!("stats cachedump{arguments}\r\n"), format!("{answer}\r\n"));
    }
    running.server.stop_cleanly();
}

fn a_dump_of_many_items_lists_each_once_and_holds_up_nobody(stack: Stack) {
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    let (_data, server) = over_a_unix_socket(stack);
    let mut other = server.connect();
    set_many(&mut other);
    let mut client = Client::unix(server.socket());
    let before = server.resident_bytes();
    client.send("lru_crawler metadump all\r\n");
    client.expect("OK\r\nkey=");
    // It stands still, and others on its worker do not.
    for number in 0..1000 {
        other.ask(format!("set other:{number} 0 0 1\r\nx\r\nget none\r\n"), "STORED\r\nEND\r\n");
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    let first = client.dump_line();
    let mut keys = vec![first.split(' ').next().expect("a key").to_owned()];
    loop {
        let line = client.dump_line();
        if line == "END\r" {
            break;
        }
        keys.push(line["key=".len()..line.find(' ').expect("a space")].to_owned());
    }
    keys.retain(|key| !key.starts_with("other%3A"));
    keys.sort();
    let expected: Vec<String> = (0..MANY).map(|number| format!("key%3A{number:06}")).collect();
    assert_eq!(keys.len(), expected.len());
    assert_eq!(keys, expected);
    client.ask("get none\r\n", "END\r\n");
}

/// A server with one worker that listens on a unix socket too, whose buffers are small.
fn over_a_unix_socket(stack: Stack) -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", data.path().join("socket").display());
    let server = stack.launch(data.path()).args(["-l", &listen, "-t", "1"]).start();
    (data, server)
}

fn a_dump_ends_with_its_client(stack: Stack) {
    let (_data, server) = over_a_unix_socket(stack);
    let mut other = server.connect();
    set_many(&mut other);
    let dump = || {
        let mut client = Client::unix(server.socket());
        client.ask("lru_crawler metadump all\r\n", "OK\r\nkey=");
        client
    };
    let mut dumps: Vec<Client> = (0..DUMPS_MAX).map(|_| dump()).collect();
    other.ask("lru_crawler metadump all\r\n", "BUSY currently processing crawler request\r\n");
    dumps.pop();
    until("the place to be free", || {
        other.send("lru_crawler mgdump 2\r\n");
        match other.line().as_str() {
            "OK" => {
                other.expect("EN\r\n");
                Some(())
            }
            busy => {
                assert_eq!(busy, "BUSY currently processing crawler request");
                None
            }
        }
    });
    // Those that stand still hold up no stop.
    let (status, log) = server.stop();
    assert!(status.success(), "{status}");
    assert!(!log.contains("did not take their answers"), "{log}");
}

fn a_dump_stands_in_the_order_of_requests(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.set("a", "1");
    client.ask(
        "mn\r\nlru_crawler metadump all\r\n",
        "MN\r\nERROR cannot pipeline other commands before metadump\r\n",
    );
    client.ask(
        "mn\r\nlru_crawler mgdump all\r\n",
        "MN\r\nERROR cannot pipeline other commands before metadump\r\n",
    );
    client.ask(
        "lru_crawler mgdump all\r\nget a\r\nmn\r\n",
        "OK\r\nmg a\r\nEN\r\nVALUE a 0 1\r\n1\r\nEND\r\nMN\r\n",
    );
    client.ask("lru_crawler mgdump 2,63\r\n", "OK\r\nEN\r\n");
    client.ask("lru_crawler mgdump 3,1\r\n", "OK\r\nmg a\r\nEN\r\n");
    for wrong in ["0", "64", "nonsense", "1,x"] {
        client.ask(format!("lru_crawler metadump {wrong}\r\n"), "BADCLASS invalid class id\r\n");
        client.ask(format!("lru_crawler crawl {wrong}\r\n"), "BADCLASS invalid class id\r\n");
    }
    client.ask("lru_crawler disable\r\nmn\r\n", "OK\r\nMN\r\n");
    client.ask("lru_crawler metadump all\r\n", "CLIENT_ERROR lru crawler disabled\r\n");
    client.ask("lru_crawler enable\r\n", "OK\r\n");
    client.ask("lru_crawler mgdump all\r\n", "OK\r\nmg a\r\nEN\r\n");
    // A client that says no more still gets what it asked for.
    client.send("lru_crawler mgdump all\r\n");
    client.finish().unwrap();
    assert_eq!(client.rest(), b"OK\r\nmg a\r\nEN\r\n");
}

#[test]
fn all_stacks_are_listed() {
    let configured = Configured::start(TWO);
    let mut client = configured.server.connect();
    client.set("session:1", "s");
    client.set("other", "o");
    client.send("lru_crawler metadump all\r\n");
    let items = attributes(&mut client);
    assert_eq!(items.len(), 2, "{items:?}");
    assert!(items.contains_key("session%3A1") && items.contains_key("other"), "{items:?}");
}

#[test]
fn a_dump_says_so_when_its_stack_goes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listen = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", socket.display());
    let before = TWO.replace("listen = [\"127.0.0.1:0\"]", &listen);
    let after = before.replace("ram > sqlite", "ram > sqlite(other.db)");
    let configured = Configured::start(&before);
    let mut client = configured.server.connect();
    set_many(&mut client);
    let mut dumping = Client::unix(&socket);
    dumping.ask("lru_crawler metadump all\r\n", "OK\r\nkey=");
    configured.reload(&after, "other.db");
    let end = loop {
        let line = dumping.dump_line();
        if !line.starts_with("key") {
            break line;
        }
    };
    assert_eq!(end, "SERVER_ERROR the configuration has changed during the dump, ask again\r");
    dumping.ask("lru_crawler mgdump all\r\n", "OK\r\nEN\r\n");
}

#[test]
fn dumping_may_be_forbidden() {
    let running = Stack::Ram.start_with(&["-X"]);
    let mut client = running.connect();
    client.ask("lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n");
    client.ask("lru_crawler mgdump all\r\nget a\r\n", "ERROR key dump not allowed\r\nEND\r\n");
    client.ask("stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n");
}
