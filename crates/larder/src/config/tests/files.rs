//! `larder.toml`: every key, and every mistake at its place.

use std::time::Duration;

use super::super::{Host, Listener, TcpAddress};
use super::*;

#[test]
fn an_empty_file_is_the_default() {
    let plan = good_file("");
    assert_eq!(plan.config_file.as_deref(), Some(Path::new("larder.toml")));
    assert_eq!(
        Plan { config_file: None, ..plan },
        super::plan("larder", None).expect("the defaults are good")
    );
}

#[test]
fn every_key_arrives() {
    let plan = good_file(
        r#"
        listen = ["127.0.0.1", "[::1]:11212", "unix:/run/larder.sock"]
        unix_mask = "660"
        data = "/var/lib/larder"
        memory = "512MiB"
        threads = 3
        connections = 5000
        item_size_max = "8MiB"
        requests_per_turn = 40
        idle_timeout = "10m"
        metrics = "*"
        verbosity = 2
        allow_shutdown = true

        [[prefix]]
        key = ""
        stack = "ram > sqlite"
        [[prefix]]
        key = "session:"
        stack = "ram(64MiB)"
        [[prefix]]
        key = "user:"
        stack = "ram > sqlite(users.db)"
        negative_ttl = "5s"
        "#,
    );
    let listeners: Vec<String> = plan.listeners.iter().map(Listener::to_string).collect();
    assert_eq!(listeners, ["127.0.0.1:11211", "[::1]:11212", "unix:/run/larder.sock"]);
    assert_eq!(plan.unix_mask, 0o660);
    assert_eq!(plan.data, Path::new("/var/lib/larder"));
    assert_eq!(plan.memory_bytes, 512 << 20);
    assert_eq!((plan.threads, plan.connections_max), (3, 5000));
    assert_eq!((plan.item_size_bytes_max, plan.requests_per_turn_max), (8 << 20, 40));
    assert_eq!(plan.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(plan.metrics, Some(TcpAddress { host: Host::All, port: 9150 }));
    assert_eq!((plan.verbosity, plan.allow_shutdown), (2, true));
    let prefixes: Vec<String> =
        plan.prefixes.iter().map(|prefix| format!("{}|{}", prefix.key, prefix.stack)).collect();
    assert_eq!(
        prefixes,
        [
            "|ram > sqlite(larder.db, write=through, negative_ttl=1s)",
            "session:|ram(64MiB)",
            "user:|ram > sqlite(users.db, write=through, negative_ttl=5s)",
        ]
    );
}

#[test]
fn sizes_may_be_plain_bytes() {
    let plan = good_file("memory = 0x4000000\nitem_size_max = 4096\n");
    assert_eq!((plan.memory_bytes, plan.item_size_bytes_max), (64 << 20, 4096));
    check_file(
        "memory = -1",
        "1:10: `-1`: a size is never below zero; write a whole number and KiB, MiB or GiB, as in 64MiB",
    );
}

#[test]
fn a_plan_in_words() {
    let file = r#"
        listen = ["127.0.0.1:11211", "unix:/run/larder.sock"]
        memory = "512MiB"
        idle_timeout = "10m"
        allow_shutdown = true
        [[prefix]]
        key = "session:"
        stack = "ram(64MiB)"
        [[prefix]]
        key = "log:"
        stack = "ram > sqlite(log.db, write=behind, dirty_age=50ms, negative_ttl=0s)"
        [[prefix]]
        key = ""
        stack = "sqlite"
        "#;
    check_description(
        "larder",
        Some(file),
        "\
listens on        127.0.0.1:11211
                  unix:/run/larder.sock (permissions 700)
data folder       larder-data
memory            512MiB, shared by every bare `ram`
largest item      1MiB
connections       at most 1024, silent ones are closed after 10m
threads           2, at most 20 requests a turn
metrics           off
shutdown          allowed to clients
verbosity         0

keys that begin with \"log:\"
  ram > sqlite(log.db, write=behind, dirty_bytes=64MiB, dirty_age=50ms, negative_ttl=0ms)
  write=behind: a write is acknowledged while queued in RAM: a crash loses what has not reached the disk, at most 64MiB and normally no older than 50ms
  an absent key is looked up in the store every time

keys that begin with \"session:\"
  ram(64MiB)
  a write is acknowledged in RAM: items are lost when the server stops

all other keys
  sqlite(larder.db)
  a write is acknowledged after fsync: it survives kill -9 and a power cut
",
    );
}

#[test]
fn every_mistake_of_a_file_is_named() {
    check_file(
        r#"listen = ["127.0.0.1:11211", "::1:11211", "0.0.0.0:11211", "a b", "unix:"]
memroy = "1GB"
memory = "64 bananas"
threads = 0
connections = 2000000
item_size_max = "2GiB"
requests_per_turn = 0
metrics = "127.0.0.1:http"
verbosity = 9
idle_timeout = "0s"
data = ""
unix_mask = "888"

[[prefix]]
key = "user:"
stack = "ram > sqlit(x.db)"

[[prefix]]
key = "user:"
stack = "sqlite > ram"

[[prefix]]
stack = "ram"
negative_ttl = "5"
colour = "red"

[[prefix]]
key = "a b"
"#,
        r#"
        1:31: `::1:11211` is no address; write an IPv6 address in brackets, as in [::1]:11211
        1:44: `0.0.0.0:11211` cannot be listened on beside `127.0.0.1:11211` at larder.toml:1:12, which is an address that covers it; remove one of them, or give it another port or path
        1:61: `a b` is no host; write host, host:port, [v6]:port, *:port for all addresses, or unix:/path
        1:68: the path of the unix socket is empty; write it, as in /run/larder.sock
        2:1: unknown key `memroy`; write `memory`
        3:11: `64 bananas`: `bananas` is no unit of size; write a whole number and KiB, MiB or GiB, as in 64MiB
        4:11: 0 is too small for a number of threads; write a whole number from 1 to 256
        5:15: 2000000 is too large for a number of connections; write a whole number from 1 to 1000000
        6:18: 2GiB is too large for the largest item; write a size from 1KiB to 1GiB
        7:21: 0 is too small for the requests of one turn; write a whole number from 1 to 1000000
        8:12: `127.0.0.1:http` has no port after its host; write a number from 1 to 65535 after a colon, or 0 for any free port
        9:13: 9 is too large for the verbosity; write a whole number from 0 to 3
        10:17: an `idle_timeout` of zero would close every connection; remove it to close none
        11:9: the data folder is empty; write a folder, as in larder-data, or . for this one
        12:14: `888` is no permission of a file; write it in octal digits up to 777, as in 700
        16:16: unknown engine `sqlit`; write `sqlite`
        19:8: the prefix `user:` is given twice, first at larder.toml:15:8; keep one of them
        20:19: the cache `ram` stands below the store `sqlite`; write the cache first: `ram > sqlite`
        22:1: this prefix has no `key`; add `key = "user:"`, or `key = ""` for all keys that no other prefix takes
        24:17: `5` has no unit of time; write 5ms or 5s, whichever is meant
        25:1: unknown key of a prefix `colour`; known are `key`, `stack`, `negative_ttl`
        27:1: this prefix has no `stack`; add `stack = "ram > sqlite"`
        28:8: the prefix contains a space or a control character, which no key sent as text contains; write it without
        "#,
    );
}

#[test]
fn values_of_the_wrong_type() {
    check_file(
        "listen = \"127.0.0.1\"\nunix_mask = 700\ndata = 1.5\nmemory = [1]\nthreads = \"4\"\nconnections = true\n\
         item_size_max = 1979-05-27\nverbosity = {}\nallow_shutdown = \"yes\"\nprefix = 5\n",
        r#"
        1:10: `listen` cannot be a text; write `listen = ["127.0.0.1:11211"]`
        2:13: `unix_mask` cannot be a bare number; write `unix_mask = "700"`
        3:8: `data` cannot be a fraction; write `data = "larder-data"`
        4:10: `memory` cannot be a list; write `memory = "512MiB"`
        5:11: `threads` cannot be a text; write `threads = 4`
        6:15: `connections` cannot be true or false; write `connections = 1024`
        7:17: `item_size_max` cannot be a date or time; write `item_size_max = "1MiB"`
        8:13: `verbosity` cannot be a table; write `verbosity = 1`
        9:18: `allow_shutdown` cannot be a text; write `allow_shutdown = true`
        10:10: `prefix` is not a list of tables; write `[[prefix]]` with two brackets on each side
        "#,
    );
    check_file(
        "listen = []",
        "1:10: `listen` names no address; write at least one, as in [\"127.0.0.1:11211\"]",
    );
    check_file(
        "listen = [1]",
        "1:11: `listen` cannot be a bare number; write `listen = [\"127.0.0.1:11211\"]`",
    );
    check_file(
        "[prefix]\nkey = \"\"\nstack = \"ram\"",
        "1:1: `prefix` is not a list of tables; write `[[prefix]]` with two brackets on each side",
    );
    check_file(
        "prefix = [1]",
        "1:11: `prefix` cannot be a bare number; write [[prefix]] with `key` and `stack` on the lines below it",
    );
    check_file(
        "threads = 99999999999999999999999999999999999999999999",
        "1:11: 170141183460469231731687303715884105727 is too large for a number of threads; write a whole number from 1 to 256",
    );
}

#[test]
fn damaged_lines_do_not_hide_the_others() {
    const LINES: &str = "write `name = value` lines, with texts in quotes";
    check_file(
        "memory = 512MiB\nthreads =\nthreadz = 1\nx y z\nverbosity = 7\nverbosity = 8\n[[prefix]]\nkey = a\nfoo = 1\n",
        &format!(
            "1:10: `512MiB` stands without quotes; write `memory = \"512MiB\"`
             2:10: `threads` has no value; write `threads = 4`
             3:1: unknown key `threadz`; write `threads`
             4:3: this is no TOML: key with no value, expected `=`; {LINES}
             5:13: 7 is too large for the verbosity; write a whole number from 0 to 3
             6:1: this is no TOML: duplicate key; {LINES}
             7:1: this prefix has no `stack`; add `stack = \"ram > sqlite\"`
             8:7: `a` stands without quotes; write `key = \"a\"`
             9:1: unknown key of a prefix `foo`; known are `key`, `stack`, `negative_ttl`"
        ),
    );
    check_file(
        "[[prefix\nkey = 'a'\n",
        &format!("1:9: this is no TOML: unclosed array table, expected `]]`; {LINES}"),
    );
    // What stands below a damaged head belongs to a table that cannot be known.
    check_file(
        "[[prefix\nkey = 'a'\nfoo = 1\n[[prefix]]\nkey = ''\nbar = 1\nstack = 'ram'\n",
        &format!(
            "1:9: this is no TOML: unclosed array table, expected `]]`; {LINES}
             6:1: unknown key of a prefix `bar`; known are `key`, `stack`, `negative_ttl`"
        ),
    );
    // A stack expression over several lines keeps its places.
    check_file(
        "[[prefix]]\nkey = ''\nstack = '''\n  ram\n  > sqlit\n'''\n",
        "5:5: unknown engine `sqlit`; write `sqlite`",
    );
}

#[test]
fn addresses_that_clash() {
    let twice = "cannot be listened on beside";
    let remove = "remove one of them, or give it another port or path";
    check_file(
        "listen = ['h:1', 'h:1', 'unix:/a', 'unix:/a', '*:2', '[::1]:2', '[::]:3', '[::1]:3', '0.0.0.0:3', 'h:0', 'h:0']\nmetrics = 'h:1'",
        &format!(
            "1:19: `h:1` {twice} `h:1` at larder.toml:1:12, which is the same address; {remove}
             1:37: `unix:/a` {twice} `unix:/a` at larder.toml:1:26, which is the same socket; {remove}
             1:55: `[::1]:2` {twice} `*:2` at larder.toml:1:48, which is an address that covers it; {remove}
             1:76: `[::1]:3` {twice} `[::]:3` at larder.toml:1:66, which is an address that covers it; {remove}
             2:12: `h:1` {twice} `h:1` at larder.toml:1:12, which is the same address; {remove}"
        ),
    );
}

#[test]
fn prefixes_that_cannot_work() {
    let long = "k".repeat(251);
    check_file(
        &format!("[[prefix]]\nkey = '{long}'\nstack = 'ram'\n[[prefix]]\nkey = ''\nstack = 'ram'"),
        "2:8: the prefix is 251 bytes long and could never match a key; write at most 250 bytes, the length of the longest key",
    );
    let longest = "k".repeat(250);
    good_file(&format!("[[prefix]]\nkey = '{longest}'\nstack = 'ram'\n[[prefix]]\nkey = ''\nstack = 'ram'"));
    check_file(
        "threads = 1\n[[prefix]]\nkey = 'user:'\nstack = 'ram'\n",
        "2:1: keys that begin with none of the prefixes have no stack; add a [[prefix]] with `key = \"\"`, which takes all other keys",
    );
}

#[test]
fn stacks_over_one_file_agree() {
    let file = |one: &str, other: &str| {
        format!("[[prefix]]\nkey = ''\nstack = '{one}'\n[[prefix]]\nkey = 'a'\nstack = '{other}'\n")
    };
    good_file(&file("ram > sqlite", "ram(1g) > sqlite(larder.db, negative_ttl=0s)"));
    good_file(&file("ram > sqlite", "sqlite(./larder.db)"));
    good_file(&file("ram > sqlite(a.db)", "ram > sqlite(b.db, write=behind)"));
    let agree = "give both the same `write`, `dirty_bytes` and `dirty_age`, or two files";
    check_file(
        &file("ram > sqlite", "ram > sqlite(./larder.db, write=behind)"),
        &format!("6:16: `larder.db` is written in another way here than at larder.toml:3:16; {agree}"),
    );
    check_file(
        &file("ram > sqlite(write=behind)", "ram > sqlite(write=behind, dirty_age=2s)"),
        &format!("6:16: `larder.db` is written in another way here than at larder.toml:3:16; {agree}"),
    );
    check_file(
        &file("ram > sqlite(write=behind)", "sqlite"),
        &format!("6:10: `larder.db` is written in another way here than at larder.toml:3:16; {agree}"),
    );
}

#[test]
fn negative_ttl_in_one_place() {
    let file = |stack: &str| format!("[[prefix]]\nkey = ''\nnegative_ttl = '2s'\nstack = '{stack}'\n");
    check_file(
        &file("ram > sqlite(negative_ttl=1s)"),
        "3:17: `negative_ttl` is given twice, also at larder.toml:4:36; keep one of them",
    );
    check_file(
        &file("ram"),
        "3:17: `negative_ttl` has no cache over a store to remember an absent key; write `stack = \"ram > sqlite\"`, or remove `negative_ttl`",
    );
}

#[test]
fn negative_ttl_in_whole_seconds() {
    check_file(
        "[[prefix]]\nkey = ''\nstack = 'ram > sqlite'\nnegative_ttl = '10ms'\n",
        "4:17: `10ms` is no whole number of seconds; write 1s, or 0s to remember nothing",
    );
}

#[test]
fn the_largest_item_fits_every_stack() {
    let half = |limit: &str, ram: &str, most: &str, least: &str| {
        format!(
            "the largest item, {limit}, is more than half of the {ram} of RAM that keep it; \
             make `item_size_max` (-I) at most {most}, or that RAM at least {least}"
        )
    };
    check_file(
        "item_size_max = '1GiB'",
        "1:18: an item of 1GiB is more than `sqlite` can hold; write at most 999998976 bytes",
    );
    good_file("item_size_max = 999998976");
    // The item's own limit, the stack's RAM, or the shared RAM: whichever was written is named.
    check_file(
        "item_size_max = '8MiB'\n[[prefix]]\nkey = ''\nstack = 'ram(8MiB)'",
        &format!("1:18: {}", half("8MiB", "8MiB", "4MiB", "16MiB")),
    );
    check_file(
        "[[prefix]]\nkey = ''\nstack = 'ram(1MiB)'",
        &format!("3:10: {}", half("1MiB", "1MiB", "512KiB", "2MiB")),
    );
    check_file(
        "memory = '1MiB'\n[[prefix]]\nkey = ''\nstack = 'ram'",
        &format!("1:11: {}", half("1MiB", "1MiB", "512KiB", "2MiB")),
    );
    good_file("memory = '2MiB'\n[[prefix]]\nkey = ''\nstack = 'ram'");
    // Where a store keeps the items, RAM may be small.
    good_file("memory = '64KiB'");
}
