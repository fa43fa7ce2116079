//! What the server offers to modules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use larder_engine::kit::World;
use larder_engine::{Engine, ErrorKind};
use larder_module::{ModuleEngine, ModuleOptions, Profile};
use support::{Visit, has_compiler, module};

const PROFILES: [(&str, Profile); 3] = [
    ("-DMEMCACHED_ENGINE_PROFILE=MEMCACHED_PROFILE_ENGINE_PU", Profile::Auto),
    ("-DMEMCACHED_ENGINE_PROFILE=MEMCACHED_PROFILE_ENGINE_PU_CB", Profile::Auto),
    ("-DMEMCACHED_ENGINE_PROFILE=MEMCACHED_PROFILE_BETA1", Profile::Beta1),
];

fn talker(define: &str, profile: Profile, config: Option<&str>) -> Visit {
    let world = World::new();
    let copy = support::Copy::of(&module("talker.c", &[define]));
    let options = ModuleOptions { profile, verbosity: 1, ..support::options(&copy.0, config) };
    let engine = ModuleEngine::open(&world.services(), &options).unwrap();
    Visit::of(world, engine)
}

#[test]
fn services_and_tables_are_right_in_every_profile() {
    if !has_compiler() {
        return;
    }
    for (define, profile) in PROFILES {
        let visit = talker(define, profile, None);
        assert_eq!(visit.stats("services")["services"], "right", "{define}");
        assert_eq!(visit.stats("null_cookie")["null_cookie"], "right", "{define}");
        assert_eq!(visit.stats("level")["level"], "2", "verbosity 1 is INFO");
        visit.end();
    }
}

#[test]
fn configurations_are_parsed_in_both_numberings() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talker.conf");
    std::fs::write(&file, "# a comment\nfraction=2.25\nflag=on\n").unwrap();
    let config = format!("size=2k; text = with\\;semicolon ;file={}", file.display());
    for (define, profile) in PROFILES {
        let visit = talker(define, profile, Some(&config));
        let stats = visit.stats("config");
        let words = ["size", "fraction", "flag", "text"].map(|name| stats[name].as_str());
        assert_eq!(words, ["2048", "2.250", "true", "with;semicolon"], "{define}: {stats:?}");
        visit.end();
    }
}

#[test]
fn a_bad_configuration_ends_the_start() {
    if !has_compiler() {
        return;
    }
    let library = module("talker.c", &[]);
    for (config, number) in [("no_such_key=1", "0x01"), ("size=many", "0xffffffff")] {
        let error = support::open(&World::new(), &library, Some(config)).err().unwrap().to_string();
        assert!(
            error.contains(&format!("initialize failed with {number}")) && error.contains(config),
            "{error}"
        );
    }
}

#[test]
fn settings_can_be_looked_up() {
    if !has_compiler() {
        return;
    }
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    let stats = visit.stats("lookup");
    let expected = [
        ("maxconns", "1024"),
        ("num_threads", "16"),
        ("maxbytes", "67108864"),
        ("evictions", "true"),
        ("cas_enabled", "true"),
        ("growth_factor", "1.25"),
        ("all_converted", "true"),
        ("unknown_found", "false"),
        ("number_as_flag", "false"),
    ];
    for (name, value) in expected {
        assert_eq!(stats[name], value, "{name}: {stats:?}");
    }
    visit.end();
}

#[test]
fn events_come_in_their_order() {
    if !has_compiler() {
        return;
    }
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    let other = visit.another();
    drop(other);
    let stats = visit.stats("events");
    assert_eq!((stats["connect"].as_str(), stats["disconnect"].as_str()), ("2", "1"), "{stats:?}");
    assert_eq!(visit.stats("who")["user"], "(nobody)");
    *visit.client().context().connection.user.lock() = Some("ada".into());
    assert_eq!(visit.stats("who")["user"], "ada");
    visit.end();
}

#[test]
fn a_reserved_cookie_outlives_its_connection() {
    if !has_compiler() {
        return;
    }
    for (define, profile) in PROFILES {
        let visit = talker(define, profile, None);
        let leaving = visit.another();
        visit.stats_of(&leaving, "reserve");
        drop(leaving);
        assert_eq!(visit.stats("events")["disconnect"], "1", "{define}");
        visit.stats("let_go");
        // The farewell comes by way of the worker's mailbox.
        let worker = visit.executor.worker().clone();
        visit.executor.block_on(async {
            let (completer, completion) = larder_engine::completion::completion::<()>(&worker);
            std::thread::spawn(move || completer.complete(Ok(())));
            completion.await.unwrap();
        });
        let stats = visit.stats("events");
        assert_eq!(
            (stats["disconnect"].as_str(), stats["disconnect_with_data"].as_str()),
            ("2", "2"),
            "{define}"
        );
        visit.end();
    }
}

#[test]
fn evictions_without_a_cookie_are_counted() {
    if !has_compiler() {
        return;
    }
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    visit.stats("evict");
    assert_eq!(visit.engine.memory_use().evictions, 1);
    visit.engine.reset_stats();
    assert_eq!(visit.engine.memory_use().evictions, 0);
    visit.end();
}

#[test]
fn each_tenant_has_counters_of_its_own() {
    if !has_compiler() {
        return;
    }
    use larder_engine::kit::command::{delete, get, increment, set};
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    let other = visit.another();
    let nobody = visit.another();
    visit.stats("tenant A");
    visit.stats_of(&other, "tenant B");
    visit.run(set(b"k", b"1"));
    visit.run(get(b"k"));
    visit.run(get(b"none"));
    visit.run(increment(b"k", 1));
    let cas = visit.run(get(b"k")).cas();
    visit.run(set(b"k", b"x").compare(cas));
    visit.run(set(b"k", b"x").compare(cas));
    visit.executor.block_on(other.run(&get(b"k")));
    visit.executor.block_on(other.run(&delete(b"none")));
    visit.executor.block_on(nobody.run(&get(b"k")));
    let counts = |stats: &std::collections::BTreeMap<String, String>| {
        [
            "cmd_get",
            "get_hits",
            "get_misses",
            "cmd_set",
            "cas_hits",
            "cas_badval",
            "incr_hits",
            "delete_misses",
        ]
        .map(|name| stats[name].parse::<u64>().unwrap())
    };
    assert_eq!(counts(&visit.stats("")), [3, 2, 1, 3, 1, 1, 1, 0]);
    assert_eq!(counts(&visit.stats_of(&other, "")), [1, 1, 0, 0, 0, 0, 0, 1]);
    assert!(!visit.stats_of(&nobody, "").contains_key("cmd_get"), "it is no tenant's");
    assert_eq!(counts(&visit.stats_of(&nobody, "aggregate")), [4, 3, 1, 3, 1, 1, 1, 1]);
    // Authentication, or the engine's own will, may move a connection to another tenant.
    visit.stats_of(&other, "tenant A");
    visit.executor.block_on(other.run(&get(b"k")));
    assert_eq!(counts(&visit.stats("")), [4, 3, 1, 3, 1, 1, 1, 0]);
    visit.engine.reset_stats();
    assert_eq!(counts(&visit.stats("aggregate")), [0; 8]);
    drop((other, nobody));
    visit.end();
}

/// A request of the binary protocol without extras, key or value.
fn request(opcode: u8) -> Vec<u8> {
    let mut request = vec![0; 24];
    (request[0], request[1]) = (0x80, opcode);
    request
}

#[test]
fn raw_commands_may_answer_often_late_or_not_at_all() {
    if !has_compiler() {
        return;
    }
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    let ask =
        |opcode: u8| visit.answer(visit.engine.raw_command(&visit.client().context(), &request(opcode)));
    let responses = ask(0xa0).unwrap();
    assert_eq!(responses.len(), 3);
    let first = &responses[0];
    assert_eq!(
        (&first.key[..], &first.extras[..], &first.body[..]),
        (&b"key"[..], &b"extra"[..], &b"body"[..])
    );
    assert_eq!((first.data_type, first.cas, responses[1].status), (7, 0x0102_0304_0506_0708, 0x85));
    assert!(ask(0xa1).unwrap().is_empty());
    let error = ask(0xa2).unwrap_err();
    assert_eq!((error.kind(), error.text()), (ErrorKind::TryAgain, "temporary failure: says the talker"));
    let bodies: Vec<_> = ask(0xa3).unwrap().into_iter().map(|response| response.body).collect();
    assert_eq!(bodies, [&b"first"[..], b"second"]);
    assert_eq!(ask(0xa4).unwrap_err().kind(), ErrorKind::Disconnect);
    assert_eq!(ask(0xa5).unwrap()[0].body.len(), 100_000);
    assert_eq!(ask(0xa6).unwrap()[0].body, [b'x'; 24]);
    assert_eq!(ask(0xa7).unwrap_err().kind(), ErrorKind::Unsupported);
    visit.end();
}

#[test]
fn modules_log_whatever_printf_can() {
    if !has_compiler() {
        return;
    }
    let lines = std::sync::Arc::new(log::Lines::default());
    let _guard = tracing::subscriber::set_default(log::Subscriber(lines.clone()));
    let visit = talker(PROFILES[0].0, Profile::Auto, None);
    visit.stats("log");
    let said = lines.0.lock().unwrap().join("\n");
    for line in [
        "WARN module talker",
        "talker warns of -1 and 4000000000",
        "talker informs of text and 2.500",
        "talker debugs -5000000000 x",
        "talker details",
        "talker counts 1 2 3 4 5 6 7 8 9 10",
        "talker mixes 1 1.5 a 2 2.5 b 3 3.5 c 4 4.5 5.5 6.5 7.5 8.5 9.5 10.5",
        "talker is not UTF-8: \u{fffd}\u{fffd}",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    visit.end();
}

/// A log that keeps its lines.
mod log {
    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata};

    #[derive(Default)]
    pub struct Lines(pub Mutex<Vec<String>>);

    pub struct Subscriber(pub Arc<Lines>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, _field: &Field, value: &dyn std::fmt::Debug) {
            write!(self.0, "{value:?}").unwrap();
        }
    }

    impl tracing::Subscriber for Subscriber {
        fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _span: &Id, _values: &Record<'_>) {}
        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut text = Text(format!("{} ", event.metadata().level()));
            event.record(&mut text);
            self.0.0.lock().unwrap().push(text.0);
        }
        fn enter(&self, _span: &Id) {}
        fn exit(&self, _span: &Id) {}
    }
}
