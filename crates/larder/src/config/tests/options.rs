//! The command line: memcached's options and larder's own.

use super::super::Listener;
use super::*;

fn listeners(command_line: &str, file: Option<&str>) -> Vec<String> {
    let plan = plan(command_line, file).expect("this configuration has no mistakes");
    plan.listeners.iter().map(Listener::to_string).collect()
}

#[test]
fn the_defaults_of_larder() {
    check_description(
        "larder",
        None,
        "\
listens on        127.0.0.1:11211
data folder       larder-data
memory            256MiB, shared by every bare `ram`
largest item      1MiB
connections       at most 1024, silent ones stay open
threads           2, at most 20 requests a turn
metrics           off
shutdown          not allowed to clients
verbosity         0

all keys
  ram > sqlite(larder.db, write=through, negative_ttl=1s)
  write=through: a write is acknowledged after fsync: it survives kill -9 and a power cut
  an absent key is remembered for 1s
",
    );
}

#[test]
fn the_defaults_under_the_name_memcached() {
    check_description(
        "/usr/bin/memcached",
        None,
        "\
listens on        *:11211
data folder       larder-data
memory            64MiB, shared by every bare `ram`
largest item      1MiB
connections       at most 1024, silent ones stay open
threads           4, at most 20 requests a turn
metrics           off
shutdown          not allowed to clients
verbosity         0

all keys
  ram
  a write is acknowledged in RAM: items are lost when the server stops
",
    );
    assert_eq!(crate::cli::program("memcached-2".as_ref()), Program::Larder);
}

#[test]
fn a_line_written_for_memcached() {
    let plan = plan(
        "larder -p 11212 -m 64 -t 2 -c 100 -I 2m -R 30 -l 127.0.0.1,[::1]:11213 -l localhost -A -vv -a 770",
        None,
    )
    .expect("memcached takes this line too");
    let listeners: Vec<String> = plan.listeners.iter().map(Listener::to_string).collect();
    assert_eq!(listeners, ["127.0.0.1:11212", "[::1]:11213", "localhost:11212"]);
    assert_eq!((plan.memory_bytes, plan.threads, plan.connections_max), (64 << 20, 2, 100));
    assert_eq!((plan.item_size_bytes_max, plan.requests_per_turn_max), (2 << 20, 30));
    assert_eq!((plan.allow_shutdown, plan.verbosity, plan.unix_mask), (true, 2, 0o770));
}

#[test]
fn long_forms_and_glued_values() {
    let short = plan("larder -p11212 -m64 -t2 -c100 -I2m -R30 -l::1 -A -v -a770", None);
    let long = plan(
        "larder --port=11212 --memory-limit 64 --threads 2 --conn-limit=100 --max-item-size 2m \
         --max-reqs-per-event 30 --listen ::1 --enable-shutdown --verbose --unix-mask 770",
        None,
    );
    assert_eq!(short, long);
    assert!(short.is_ok());
}

#[test]
fn a_repeated_option_counts_the_last() {
    let plan =
        plan("larder -m 64 -p 1 -m 128 -p 2 -vv -v -vvvv", None).expect("memcached takes this line too");
    assert_eq!((plan.memory_bytes, plan.verbosity), (128 << 20, 3));
    assert_eq!(plan.listeners[0].to_string(), "127.0.0.1:2");
}

#[test]
fn where_to_listen() {
    let file = Some("listen = ['127.0.0.1:5', 'unix:/a']");
    for (command_line, file, expected) in [
        ("larder", None, "127.0.0.1:11211"),
        ("larder", file, "127.0.0.1:5 unix:/a"),
        ("larder -p 7", None, "127.0.0.1:7"),
        ("memcached -p 7", None, "*:7"),
        ("larder -p -1", None, "127.0.0.1:0"),
        ("larder -p 7", file, "127.0.0.1:7"),
        ("larder -l ::1", file, "[::1]:11211"),
        ("larder -l *", None, "*:11211"),
        ("larder -s /b", file, "unix:/b"),
        ("larder -s /b -p 7 -l ::1", None, "unix:/b"),
        ("larder -p 0 -l unix:/b,::1", None, "unix:/b"),
        ("larder -p 0 -s /b", None, "unix:/b"),
        ("larder -l 127.0.0.1,unix:/b", None, "127.0.0.1:11211 unix:/b"),
    ] {
        assert_eq!(listeners(command_line, file).join(" "), expected, "{command_line}");
    }
    let plan = plan("larder -s /b -p 7", None).expect("memcached takes this line too");
    assert_eq!(plan.notes.len(), 1, "what has no effect is noted");
}

#[test]
fn options_override_the_file() {
    let file = r#"
        data = "here"
        memory = "1GiB"
        threads = 7
        connections = 7
        item_size_max = "7KiB"
        requests_per_turn = 7
        unix_mask = "007"
        metrics = "h:7"
        verbosity = 0
        "#;
    let options = "larder --data there -m 64 -t 2 -c 8 -I 8k -R 8 -a 700 --metrics h -v -A --store ram";
    let plan = plan(options, Some(file)).expect("this configuration has no mistakes");
    assert_eq!((plan.data.to_str(), plan.memory_bytes, plan.threads), (Some("there"), 64 << 20, 2));
    assert_eq!((plan.connections_max, plan.item_size_bytes_max, plan.requests_per_turn_max), (8, 8192, 8));
    assert_eq!((plan.unix_mask, plan.verbosity, plan.allow_shutdown), (0o700, 1, true));
    assert_eq!(plan.metrics.map(|address| address.to_string()).as_deref(), Some("h:9150"));
    assert_eq!(plan.prefixes[0].stack.to_string(), "ram");
}

#[test]
fn every_mistake_of_a_command_line_is_named() {
    check_options(
        "larder -p 65536 -l 1.2.3.4.5,a:b:c -m 64MiB -t 0 -c -1 -I 2 -R x -a 8 --data= --metrics : --store sqlite>ram",
        "
        --port:1: 65536 is too large for a port; write a whole number from -1 to 65535
        --listen:1: `1.2.3.4.5` is no IPv4 address; write four numbers from 0 to 255, as in 127.0.0.1
        --listen:11: `a:b:c` is no address; write host, host:port, [v6]:port, *:port for all addresses, or unix:/path
        --unix-mask:1: `8` is no permission of a file; write it in octal digits up to 777, as in 700
        --data:1: the data folder is empty; write a folder, as in larder-data, or . for this one
        --memory-limit:1: `64MiB` is no number of megabytes; write digits only, as in 64 for 64 MiB
        --threads:1: 0 is too small for a number of threads; write a whole number from 1 to 256
        --conn-limit:1: -1 is too small for a number of connections; write a whole number from 1 to 1000000
        --max-reqs-per-event:1: `x` is no whole number; write digits only
        --max-item-size:1: 2 is too small for the largest item; write a size from 1KiB to 1GiB
        --metrics:1: the address has no host before its port; write host, host:port, [v6]:port, *:port for all addresses, or unix:/path
        --store:8: the cache `ram` stands below the store `sqlite`; write the cache first: `ram > sqlite`
        ",
    );
}

#[test]
fn listening_nowhere_or_twice() {
    check_options(
        "larder -p 0",
        "--port:1: port 0 turns TCP off and leaves nothing to listen on; write a port, or name a unix socket with --unix-socket PATH",
    );
    check_options(
        "larder --unix-socket=",
        "--unix-socket:1: the path of the unix socket is empty; write it, as in /run/larder.sock",
    );
    check_options(
        "larder -l ::1,::1",
        "--listen:5: `[::1]:11211` cannot be listened on beside `[::1]:11211` at --listen:1, which is the same address; \
         remove one of them, or give it another port or path",
    );
}

#[test]
fn memory_and_items_that_do_not_fit() {
    let advice = "make `item_size_max` (-I) at most 512KiB, or that RAM at least 2MiB";
    let problem = "the largest item, 1MiB, is more than half of the 1MiB of RAM that keep it";
    check_options("memcached -m 1", &format!("--memory-limit:1: {problem}; {advice}"));
    assert!(plan("larder -m 1", None).is_ok(), "the store keeps the items, so RAM may be small");
    check_options(
        "memcached -I 1024m",
        "--max-item-size:1: the largest item, 1GiB, is more than half of the 64MiB of RAM that keep it; \
         make `item_size_max` (-I) at most 32MiB, or that RAM at least 2GiB",
    );
    check_options(
        "larder -m 0",
        "--memory-limit:1: 0 is too small for megabytes of RAM; write a whole number from 1 to 8796093022207",
    );
}

#[test]
fn one_source_of_stacks() {
    let result = plan("larder --store ram", Some("\n[[prefix]]\nkey = ''\nstack = 'ram'\n"));
    check_mistakes(
        result,
        "",
        "--store:1: --store gives one stack for all keys, but the file has stacks by prefix, first at larder.toml:2:1; \
         leave out --store, or remove the [[prefix]] tables",
    );
}

#[test]
fn commands_are_told_apart() {
    use crate::cli::{Command, parse};
    let command = |line: &str| parse(Program::Larder, line.split(' ').map(Into::into)).map(|cli| cli.command);
    assert_eq!(command("larder -p 1").expect("runs"), None);
    let check_config = Command::CheckConfig { file: "a.toml".into() };
    assert_eq!(command("larder check-config a.toml").expect("is a command"), Some(check_config));
    assert_eq!(command("larder check d").expect("is a command"), Some(Command::Check { dir: "d".into() }));
    let backup = Command::Backup { dir: "d".into(), to: "e".into() };
    assert_eq!(command("larder backup d e").expect("is a command"), Some(backup));
    for line in [
        "larder check-config",
        "larder -p",
        "larder --p 1",
        "larder -p 1 check d",
        "larder serve",
        "larder -x 1",
    ] {
        assert!(command(line).is_err(), "{line}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    crate::cli::Cli::command().debug_assert();
}
