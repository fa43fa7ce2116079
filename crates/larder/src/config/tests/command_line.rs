//! Every option of the command line: what it sets, or why it is refused.

use clap::CommandFactory;
use larder_server::Choice;

use super::super::options::extended::{Effect, NAMES};
use super::super::{Process, Service};
use super::*;

#[track_caller]
fn good(command_line: &str) -> Plan {
    plan(command_line, None).unwrap_or_else(|mistakes| panic!("{command_line}: {mistakes:?}"))
}

/// A line changes the service from its defaults in exactly this way.
#[track_caller]
fn check_service(command_line: &str, change: fn(&mut Service)) {
    let mut expected = Service::default();
    change(&mut expected);
    assert_eq!(good(command_line).service, expected, "{command_line}");
}

#[track_caller]
fn check_process(command_line: &str, expected: Process) {
    assert_eq!(good(command_line).process, expected, "{command_line}");
}

#[test]
fn options_about_clients() {
    check_service("larder", |_| {});
    check_service("larder -b 7", |service| service.backlog = 7);
    check_service("larder -B auto", |service| service.protocol = Choice::Auto);
    check_service("larder -B ascii", |service| service.protocol = Choice::Text);
    check_service("larder --protocol=binary", |service| service.protocol = Choice::Binary);
    check_service("larder -C", |service| service.cas = false);
    check_service("larder -F", |service| service.flush_allowed = false);
    check_service("larder -X", |service| service.dump_allowed = false);
    check_service("larder -W", |service| service.watch_allowed = false);
    check_service("larder -D /", |service| (service.detail, service.detail_delimiter) = (true, b'/'));
    check_service("memcached -M", |service| service.evictions = false);
    check_service("larder -CFX", |service| {
        (service.cas, service.flush_allowed, service.dump_allowed) = (false, false, false);
    });
}

#[test]
fn options_about_the_process() {
    check_process("larder", Process::default());
    check_process("larder -d", Process { daemon: true, ..Process::default() });
    check_process("larder -P /a", Process { pid_file: Some("/a".into()), ..Process::default() });
    check_process("larder -u nobody", Process { user: Some("nobody".into()), ..Process::default() });
    check_process("larder -k", Process { lock_memory: true, ..Process::default() });
    check_process("larder -r", Process { core_dumps: true, ..Process::default() });
    check_process("larder -o drop_privileges", Process { drop_privileges: true, ..Process::default() });
    let all = "memcached -dkr -P/a -unobody -m64 -vv -U 0 -p 0 -s /b";
    let plan = good(all);
    assert!(plan.process.daemon && plan.process.lock_memory && plan.process.core_dumps);
    assert_eq!((plan.verbosity, plan.memory_bytes), (2, 64 << 20));
}

#[test]
fn options_that_are_taken_are_named() {
    check_service("larder -f 1.5", |service| {
        service.accepted.growth_factor = 150;
        service.without_effect = vec!["-f".into()];
    });
    check_service("larder -n 100 -L -N 2", |service| {
        (service.accepted.chunk_bytes_min, service.accepted.napi_ids) = (100, 2);
        service.without_effect = vec!["-n".into(), "-L".into(), "-N".into()];
    });
    check_service("larder -o hashpower=20,slab_automove -o lru_maintainer", |service| {
        (service.accepted.hash_power, service.accepted.slab_automove) = (20, 1);
        (service.accepted.lru_maintainer, service.accepted.lru_segmented) = (Some(true), true);
        service.without_effect =
            ["-o hashpower", "-o slab_automove", "-o lru_maintainer"].map(Into::into).into();
    });
}

#[test]
fn words_before_an_address() {
    let plan = good("memcached -l tag[a]:127.0.0.1:5,tag[b]:unix:/s");
    assert_eq!(
        plan.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:5", "unix:/s"]
    );
    assert_eq!(plan.service.without_effect, ["-l tag[]", "-l tag[]"]);
    check_options(
        "memcached -l proto[ascii]:127.0.0.1:5",
        "--listen:1: `proto[ascii]:127.0.0.1:5`: one address cannot have a protocol of its own; leave `proto[…]:` out; \
         --protocol holds for all addresses",
    );
}

#[test]
fn extended_settings() {
    let timeout = |line: &str| good(line).idle_timeout.map(|timeout| timeout.as_secs());
    assert_eq!(timeout("larder -o idle_timeout=5"), Some(5));
    assert_eq!(timeout("larder -o idle_timeout=0"), None);
    check_service("larder -o read_buf_mem_limit=3", |service| service.bytes_in_flight_max = Some(3 << 20));
    check_service("larder -o read_buf_mem_limit=0,modern,maxconns_fast", |_| {});
    check_service("larder -o no_maxconns_fast", |service| service.refuse_connections_fast = false);
    check_service("larder -o no_lru_crawler", |service| service.accepted.lru_crawler = false);
    check_service("larder -o debug_commands", |service| service.debug_commands = true);
    check_service("larder -o watcher_logbuf_size=2", |service| service.watcher_buffer_bytes = 2 << 10);
    check_service("larder -o lru_crawler_sleep=7,lru_crawler_tocrawl=8", |service| {
        let accepted = &mut service.accepted;
        (accepted.lru_crawler_sleep_us, accepted.lru_crawler_to_crawl) = (7, 8);
    });
}

/// A value that the name takes.
fn value_for(name: &str) -> &'static str {
    match name {
        "hash_algorithm" => "xxh3",
        "slab_automove" | "ssl_verify_mode" => "2",
        "ssl_keyformat" => "DER",
        "ssl_min_version" => "3",
        "ssl_ciphers" => "ECDHE-RSA-AES128-GCM-SHA256",
        _ => "20",
    }
}

#[test]
fn every_extended_name_is_taken_or_refused() {
    for name in NAMES {
        let with = |value: &str| format!("larder -o {}{value}", name.name);
        let glued = name.value.map_or(String::new(), |_| format!("={}", value_for(name.name)));
        assert_eq!(plan(&with(&glued), None).is_ok(), name.does != Effect::Refused, "{}", name.name);
        if name.value.is_none() {
            assert!(plan(&with("=1"), None).is_err(), "{} has no value", name.name);
        } else if name.name != "slab_automove" {
            assert!(plan(&with(""), None).is_err(), "{} needs a value", name.name);
            let is_file = name.value == Some("FILE");
            assert_eq!(plan(&with("=x"), None).is_ok(), is_file, "{} with x", name.name);
        }
    }
}

#[test]
fn udp_is_off_unless_asked_for() {
    let udp = |line: &str, file: Option<&str>| -> Vec<String> {
        let plan = plan(line, file).unwrap_or_else(|mistakes| panic!("{line}: {mistakes:?}"));
        plan.udp.iter().map(ToString::to_string).collect()
    };
    let file = Some("udp = ['127.0.0.1', '[::1]:7']");
    let none: [&str; 0] = [];
    assert_eq!(udp("larder", None), none);
    assert_eq!(udp("memcached -p 5", None), none);
    assert_eq!(udp("larder -U 0", None), none);
    assert_eq!(udp("larder -U 7", None), ["127.0.0.1:7"]);
    assert_eq!(udp("larder -p 0 -U -1", None), ["127.0.0.1:0"]);
    assert_eq!(udp("memcached -U 7", None), ["*:7"]);
    assert_eq!(udp("larder -U 7 -l 127.0.0.2:5,[::1],unix:/s", None), ["127.0.0.2:7", "[::1]:7"]);
    assert_eq!(udp("larder -U 7 -s /s", None), none);
    assert_eq!(udp("larder", file), ["127.0.0.1:11211", "[::1]:7"]);
    assert_eq!(udp("larder -U 9", file), ["127.0.0.1:9"]);
    assert_eq!(udp("larder -U 0", file), none);
    assert_eq!(udp("larder -s /s", file), none);
    assert_eq!(good("larder -U 7").notes, none);
    let notes = good("memcached -U 7").notes;
    assert!(matches!(&notes[..], [note] if note.starts_with("UDP on *:7: ")), "{notes:?}");
}

#[test]
fn every_mistake_is_named() {
    check_options(
        "larder -b x -B udp -f 1 -n 0 -N -1 -P= -u= -e /file --engine-profile auto",
        "
        --listen-backlog:1: `x` is no whole number; write digits only
        --protocol:1: `udp` is no protocol; write auto, ascii or binary
        --slab-growth-factor:1: `1` is no number above 1; write one from above 1 to 1000000, as in 1.25
        --slab-min-size:1: 0 is too small for bytes of an item; write a whole number from 1 to 2147483647
        --napi-ids:1: -1 is too small for queues of network cards; write a whole number from 0 to 2147483647
        --pidfile:1: the name of the pid file is empty; write it, as in /run/larder.pid
        --user:1: the name of the user is empty; write it, as in nobody
        --engine-config:1: there is no engine to configure; name the engine with -E FILE; memcached's file of memory is not had here: use a store that is durable, as in --store \"ram > sqlite\"
        --engine-profile:1: there is no engine of which this could be said; name it with -E FILE
        ",
    );
    check_options(
        "larder -E libx.so -e a=b -m 64 --engine-profile 2011",
        "
        --engine-profile:1: `2011` is no profile of a module; known are `auto`, `engine-pu`, `engine-pu-cb`, `beta1`, `2010-04`
        --engine-config:1: -m and -e both configure the engine; say it all in -e, without -m
        ",
    );
    check_options(
        "larder -E libx.so --store ram",
        "--engine:1: -E and --store both say what keeps all items; leave one of them out; a module in a stack is written as --store \"ram > module(FILE)\"",
    );
    check_options(
        "larder -o idle_timeout,ext_path=/a,hash_algorithm=md5,modern=1,track_sizes,slab_reasign",
        "
        --extended:1: `idle_timeout` has no value; write idle_timeout=SECONDS
        --extended:14: unknown setting `ext_path`; KNOWN
        --extended:26: `md5` is no hash algorithm; write jenkins, murmur3 or xxh3
        --extended:45: `modern` takes no value, but has `1`; write modern
        --extended:54: larder does not do this; leave it out: larder does as memcached does without it
        --extended:66: unknown setting `slab_reasign`; write `slab_reassign`
        "
        .replace("KNOWN", &known())
        .as_str(),
    );
}

fn known() -> String {
    let names: Vec<_> = NAMES.iter().map(|name| format!("`{}`", name.name)).collect();
    format!("known are {}", names.join(", "))
}

#[test]
fn the_help_names_what_is_honoured() {
    let help = crate::cli::Cli::command().render_help().to_string();
    assert!(!help.contains("--memory-file"), "what is refused is not in the help");
    for present in [
        "--engine",
        "--engine-config",
        "--engine-profile",
        "--unix-socket",
        "--udp-port",
        "--delimiter",
        "--enable-ssl",
        "--enable-sasl",
        "--disable-cas",
        "--listen-backlog",
        "--daemon",
        "-o, --extended",
    ] {
        assert!(help.contains(present), "{present} is not in the help");
    }
}

#[test]
fn no_evictions_only_where_items_live_in_ram() {
    let shared = "[[prefix]]\nkey = 'a'\nstack = 'ram'\n[[prefix]]\nkey = ''\nstack = 'ram > sqlite'\n";
    let own = shared.replace("'ram'", "'ram(1MiB)'");
    assert!(plan("larder -M -I 64k", Some(&own)).is_ok());
    check_mistakes(
        plan("larder -M", Some(shared)),
        "",
        "--disable-evictions:1: --disable-evictions would fill the shared RAM, which is also the cache of a store; \
         give one of them a RAM of its own, as in ram(64MiB)",
    );
    check_options(
        "larder -M",
        "--disable-evictions:1: --disable-evictions has nothing to keep from eviction: no stack ends in RAM; \
         leave it out (a store keeps every item), or end a stack in RAM with --store ram",
    );
}

#[test]
fn the_version_is_that_of_the_name() {
    for (program, version) in [(Program::Larder, "larder 0."), (Program::Memcached, "memcached 1.")] {
        let arguments = ["program", "-V"].map(Into::into);
        let answer = crate::cli::parse(program, arguments).expect_err("is no server");
        assert_eq!(answer.exit_code(), 0);
        assert!(answer.to_string().starts_with(version), "{answer}");
    }
}
