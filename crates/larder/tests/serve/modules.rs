//! Engines from shared libraries, in a whole server.

#[path = "../../../engines/module/tests/support/build.rs"]
pub mod build;

use std::path::Path;

use build::{has_compiler, module};

use crate::reload::{Configured, one_stack, read_what_is_written_while_stacks_change};
use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

fn launch(library: &Path) -> Launch {
    Launch::bare().args(["-l", "127.0.0.1:0"]).arg("-E").arg(library)
}

/// A server whose data folder is a temporary one; no module uses it.
fn start(library: &Path, arguments: &[&str]) -> Server {
    launch(library).args(arguments).start()
}

fn talk(client: &mut Client) {
    client.ask("set k 7 0 5\r\nvalue\r\n", "STORED\r\n");
    client.ask("get k missing\r\n", "VALUE k 7 5\r\nvalue\r\nEND\r\n");
    client.ask("append k 0 0 1\r\n!\r\n", "STORED\r\n");
    client.ask("mg k v f\r\n", "VA 6 f7\r\nvalue!\r\n");
    client.ask("set n 0 0 1\r\n9\r\n", "STORED\r\n");
    client.ask("incr n 3\r\n", "12\r\n");
    client.ask("touch k 100\r\n", "TOUCHED\r\n");
    client.ask("gat 0 k\r\n", "VALUE k 7 6\r\nvalue!\r\nEND\r\n");
    client.ask("delete k\r\n", "DELETED\r\n");
    client.ask("delete k\r\n", "NOT_FOUND\r\n");
    client.ask("ms k 1 I C5\r\nx\r\n", "SERVER_ERROR not supported by a storage module: a stale item\r\n");
    client.ask("flush_all\r\n", "OK\r\n");
    client.ask("get n\r\n", "END\r\n");
}

#[test]
fn a_module_serves_clients() {
    if !has_compiler() {
        return;
    }
    for defines in [&[][..], &["-DARITHMETIC"]] {
        let server = start(&module("hash.c", defines), &[]);
        assert!(server.start_line().contains("module"), "{}", server.start_line());
        talk(&mut server.connect());
        server.stop_cleanly();
    }
}

#[test]
fn a_module_that_answers_later_serves_clients() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let config = format!("rate=60;strays=20;ghosts=true;report={}", report.display());
    let server = start(&module("blocking.c", &[]), &["-t", "2", "-e", &config]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..20 {
                    let key = format!("client{number}:{round}");
                    client.set(&key, "value");
                    // Several at once: each is answered, in the order asked.
                    client.ask(
                        format!("get {key}\r\nget {key} none {key}\r\nincr {key} 1\r\ndelete {key}\r\nget {key}\r\n"),
                        format!(
                            "VALUE {key} 0 5\r\nvalue\r\nEND\r\nVALUE {key} 0 5\r\nvalue\r\nVALUE {key} 0 5\r\nvalue\r\n\
                             END\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nDELETED\r\nEND\r\n"
                        ),
                    );
                }
                let large = "x".repeat(100_000);
                client.set("large", &large);
                assert_eq!(client.get("large"), Some(large));
            });
        }
    });
    server.stop_cleanly();
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("violations 0\n"), "{report}");
}

#[test]
fn a_module_stands_below_a_cache_and_beside_others() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\n\
         [[prefix]]\nkey = \"a:\"\nstack = \"ram > module('{hash}')\"\n\
         [[prefix]]\nkey = \"b:\"\nstack = \"module('{later}', 'rate=50')\"\n\
         [[prefix]]\nkey = \"\"\nstack = \"ram\"\n",
        hash = module("hash.c", &[]).display(),
        later = module("blocking.c", &[]).display(),
    );
    let file = folder.path().join("larder.toml");
    std::fs::write(&file, text).unwrap();
    let server = Launch::bare().arg("--config").arg(&file).start();
    let mut client = server.connect();
    client.ask(
        "set a:k 1 0 1\r\n1\r\nset b:k 2 0 1\r\n2\r\nset k 3 0 1\r\n3\r\n",
        "STORED\r\nSTORED\r\nSTORED\r\n",
    );
    for _ in 0..5 {
        client.ask(
            "get a:k b:k k\r\n",
            "VALUE a:k 1 1\r\n1\r\nVALUE b:k 2 1\r\n2\r\nVALUE k 3 1\r\n3\r\nEND\r\n",
        );
    }
    client.ask("incr a:k 4\r\nget a:k\r\n", "5\r\nVALUE a:k 1 1\r\n5\r\nEND\r\n");
    client.ask("delete a:k\r\nget a:k\r\n", "DELETED\r\nEND\r\n");
    drop(client);
    server.stop_cleanly();
}

#[test]
fn what_cannot_be_loaded_ends_the_start_with_one_line() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let mut bytes = std::fs::read(module("hash.c", &[])).unwrap();
    // The machine's number in the head of the file.
    bytes[18] ^= 0xb7;
    let foreign = folder.path().join("foreign.so");
    std::fs::write(&foreign, bytes).unwrap();
    let broken = |define: &str| module("broken.c", &[define]);
    let cases = [
        (folder.path().join("missing.so"), "it cannot be read: No such file"),
        (text, "it is not a shared library"),
        (foreign, "it was built for another machine"),
        (broken("-DNO_ENTRY"), "it is no engine"),
        (broken("-DWRONG_INTERFACE"), "its interface has the number 2"),
        (broken("-DNULL_HANDLE"), "gives no handle"),
        (broken("-DREFUSES"), "create_instance failed with 0x06"),
        (broken("-DMISSING_REQUIRED"), "the slot `store` of its table is empty"),
        (
            broken("-DGARBAGE_REQUIRED"),
            "the slot `get` of its table does not point into the module's own code",
        ),
        (broken("-DCONFIG_CRASH"), "it crashed in create_instance"),
        (broken("-DINITIALIZE_CRASH"), "it crashed in initialize"),
    ];
    for (library, words) in cases {
        let text = launch(&library).refusal();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("larder: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(words), "{}: {text}", library.display());
    }
    let text = launch(&broken("-DINITIALIZE_FAILS")).args(["-e", "a=b"]).refusal();
    assert!(
        text.contains("initialize failed with 0x03: out of memory; it was given the configuration \"a=b\""),
        "{text}"
    );
    assert!(text.contains("broken: destroy was called"), "{text}");
}

#[test]
fn options_of_the_command_line_agree() {
    let refusals: [(&[&str], &str); 4] = [
        (&["-e", "a=b"], "there is no engine to configure"),
        (&["-E", "x.so", "-e", "a=b", "-m", "64"], "-m and -e both configure the engine"),
        (&["-E", "x.so", "--store", "ram"], "-E and --store both say what keeps all items"),
        (&["-E", "x.so", "--engine-profile", "2011"], "`2011` is no profile of a module"),
    ];
    for (arguments, words) in refusals {
        let text = Launch::bare().args(arguments).refusal();
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn classic_options_become_a_configuration() {
    if !has_compiler() {
        return;
    }
    // It knows none of these keys, so the start ends and names them.
    let text = launch(&module("talker.c", &[])).args(["-m", "64", "-f", "1.5", "-n", "96"]).refusal();
    let config = "it was given the configuration \"cache_size=67108864;factor=1.5;chunk_size=96;\"";
    assert!(text.contains(config), "{text}");
}

#[test]
fn a_reload_that_names_a_bad_module_changes_nothing() {
    if !has_compiler() {
        return;
    }
    let head = "listen = [\"127.0.0.1:0\"]\nverbosity = 1\n";
    let prefix = |key: &str, stack: &str| format!("[[prefix]]\nkey = \"{key}\"\nstack = \"{stack}\"\n");
    let stack = |library: &Path, rest: &str| format!("module('{}'{rest})", library.display());
    let hash = module("hash.c", &[]);
    let good = format!("{head}{}", prefix("", &stack(&hash, "")));
    let configured = Configured::start(&good);
    let mut client = configured.server.connect();
    client.set("k", "before");
    for (define, words) in [
        ("-DCONFIG_CRASH", "it crashed in create_instance"),
        ("-DINITIALIZE_CRASH", "it crashed in initialize"),
        ("-DNULL_HANDLE", "gives no handle"),
    ] {
        let bad = format!("{good}{}", prefix("bad:", &stack(&module("broken.c", &[define]), "")));
        configured.reload(&bad, "reload refused, nothing changed: ");
        assert!(configured.server.log().contains(words), "{define}: {}", configured.server.log());
        assert_eq!(client.get("k").as_deref(), Some("before"));
    }
    let other_config = format!("{head}{}", prefix("", &stack(&hash, ", 'x=y'")));
    configured.reload(&other_config, "cannot change from");
    assert_eq!(client.get("k").as_deref(), Some("before"));
    // A good one comes and goes under traffic.
    let both = format!("{good}{}", prefix("new:", &stack(&module("blocking.c", &[]), ", 'rate=20'")));
    configured.reload(&both, "prefix \"new:\" added");
    client.set("new:k", "there");
    assert_eq!(client.get("new:k").as_deref(), Some("there"));
    configured.reload(&good, "prefix \"new:\" removed");
    assert_eq!((client.get("new:k"), client.get("k").as_deref()), (None, Some("before")));
    drop(client);
    configured.server.stop_cleanly();
}

/// Each reload makes another cache, or none, over the engine, which stays the same.
#[test]
fn caches_over_a_module_begin_empty_and_keep_only_what_it_has() {
    if !has_compiler() {
        return;
    }
    let hash = module("hash.c", &[]);
    let stack = |above: &str| one_stack(&format!("{above}module('{}')", hash.display()));
    let (bare, shared, own) = (stack(""), stack("ram > "), stack("ram(8MiB) > "));
    let configured = Configured::start(&bare);
    let [mut writer, mut reader] = [(); 2].map(|()| configured.server.connect());
    writer.set("k", "first");
    let mut expected = "first".to_owned();
    for (round, text) in [&shared, &own, &bare, &own, &shared].into_iter().enumerate() {
        configured.reload(text, " becomes ");
        for client in [&mut writer, &mut reader] {
            assert_eq!(client.get("k").as_deref(), Some(&*expected), "round {round}");
        }
        expected = format!("round {round}");
        writer.set("k", &expected);
        assert_eq!(reader.get("k").as_deref(), Some(&*expected), "round {round}");
        if text != &bare {
            // Once nobody uses the old engines, the new cache keeps what is read.
            until("a hit", || {
                assert_eq!(reader.get("k").as_deref(), Some(&*expected), "round {round}");
                (reader.stack_stat("tier_hits") > 0).then_some(())
            });
        }
    }
    drop((writer, reader));
    configured.server.stop_cleanly();
}

#[test]
fn clients_read_what_they_wrote_while_caches_over_a_module_come_and_go() {
    if !has_compiler() {
        return;
    }
    for module in [module("hash.c", &[]), module("blocking.c", &[])] {
        let alone = format!("module('{}')", module.display());
        read_what_is_written_while_stacks_change(&alone, &format!("ram > {alone}"));
    }
}

/// Two prefixes with a RAM of their own over one engine, and one that moves between them.
#[test]
fn a_prefix_that_moves_between_caches_over_a_module_takes_its_items_along() {
    if !has_compiler() {
        return;
    }
    let hash = module("hash.c", &[]);
    let prefix = |key: &str, above: &str| {
        format!("[[prefix]]\nkey = \"{key}\"\nstack = \"{above} > module('{}')\"\n", hash.display())
    };
    let head = "listen = [\"127.0.0.1:0\"]\nthreads = 2\n";
    let two = format!("{head}{}{}", prefix("a:", "ram(8MiB)"), prefix("", "ram"));
    let three = format!("{two}{}", prefix("a:b:", "ram(4MiB)"));
    let configured = Configured::start(&two);
    let mut client = configured.server.connect();
    client.set("a:b:k", "0");
    client.set("a:k", "stays");
    for round in 0..3 {
        configured.reload(&three, "\"a:b:\" added");
        client.ask("incr a:b:k 1\r\n", format!("{}\r\n", 2 * round + 1));
        assert_eq!(client.get("a:b:k"), Some((2 * round + 1).to_string()));
        configured.reload(&two, "\"a:b:\" removed");
        assert_eq!(client.get("a:b:k"), Some((2 * round + 1).to_string()));
        client.ask("incr a:b:k 1\r\n", format!("{}\r\n", 2 * round + 2));
        assert_eq!(client.get("a:k").as_deref(), Some("stays"));
    }
    drop(client);
    configured.server.stop_cleanly();
}

/// A request of the binary protocol without extras and value.
fn packet(opcode: u8, key: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 24];
    (packet[0], packet[1], packet[3], packet[11]) = (0x80, opcode, key.len() as u8, key.len() as u8);
    packet[12..16].copy_from_slice(b"opaq");
    packet.extend(key);
    packet
}

#[test]
fn packets_that_only_a_module_knows_reach_it() {
    if !has_compiler() {
        return;
    }
    let server = start(&module("talker.c", &[]), &[]);
    let mut client = server.connect();
    client.send(packet(0xa0, b""));
    let first = client.bytes(24 + 12);
    assert_eq!((first[0], first[1], first[3], first[4], first[5]), (0x81, 0xa0, 3, 5, 7));
    assert_eq!((&first[12..16], &first[24..]), (&b"opaq"[..], &b"extrakeybody"[..]));
    assert_eq!(client.bytes(24)[6..8], [0, 0x85]);
    assert_eq!(client.bytes(24 + 5)[24..], *b"third");
    // Silence, then an answer that comes in two parts, then an error with the module's own words.
    client.send([packet(0xa1, b"key"), packet(0xa3, b""), packet(0xa2, b"")].concat());
    assert_eq!(client.bytes(24 + 5)[24..], *b"first");
    assert_eq!(client.bytes(24 + 6)[24..], *b"second");
    let error = client.bytes(24);
    let text = client.bytes(usize::from(error[11]));
    assert_eq!(error[6..8], [0, 0x85]);
    assert_eq!(String::from_utf8_lossy(&text), "temporary failure: says the talker");
    // One with a key goes where the key is routed.
    client.send(packet(0xa4, b""));
    client.expect_close();
    server.stop_cleanly();
}

/// The cache cannot know what such a packet does to the item; it must not answer with what was there before.
#[test]
fn a_packet_that_only_a_module_knows_leaves_no_old_copy_above_it() {
    if !has_compiler() {
        return;
    }
    let stack = format!("ram > module('{}')", module("hash.c", &[]).display());
    let server = Launch::bare().args(["-l", "127.0.0.1:0", "--store", &stack]).start();
    let [mut client, mut owner] = [(); 2].map(|()| server.connect());
    client.ask("set k 0 0 3\r\nold\r\nset other 0 0 1\r\no\r\n", "STORED\r\nSTORED\r\n");
    for number in 0..5 {
        client.get("k");
        client.get("other");
        let value = format!("new {number}");
        let mut put = packet(0xb0, b"k");
        put[11] += value.len() as u8;
        put.extend(value.as_bytes());
        owner.send(put);
        assert_eq!(owner.bytes(24)[6..8], [0, 0]);
        assert_eq!(client.get("k").as_deref(), Some(&*value));
    }
    let hits = client.stack_stat("tier_hits");
    client.get("other");
    assert_eq!(client.stack_stat("tier_hits"), hits + 1, "copies of other keys stay");
    drop((client, owner));
    server.stop_cleanly();
}

#[test]
fn groups_of_statistics_may_be_a_module_s() {
    if !has_compiler() {
        return;
    }
    let server = start(&module("talker.c", &[]), &["-e", "size=4k;text=hello"]);
    let mut client = server.connect();
    let stats: std::collections::BTreeMap<_, _> = client.stats("config").into_iter().collect();
    assert_eq!((stats["size"].as_str(), stats["text"].as_str()), ("4096", "hello"));
    let stats: std::collections::BTreeMap<_, _> = client.stats("lookup").into_iter().collect();
    assert_ne!(stats["num_threads"], "0");
    client.ask("stats nobody_knows\r\n", "ERROR\r\n");
    client.ask("stats log\r\n", "STAT done true\r\nEND\r\n");
    server.wait_for_log("talker counts 1 2 3 4 5 6 7 8 9 10");
    drop(client);
    server.stop_cleanly();
}

#[test]
fn a_module_adds_to_the_general_statistics() {
    if !has_compiler() {
        return;
    }
    let later = ["-e", "rate=100;functions=get_stats"];
    for (library, arguments) in [(module("hash.c", &[]), &[][..]), (module("blocking.c", &[]), &later)] {
        let server = start(&library, arguments);
        let mut client = server.connect();
        client.set("k", "v");
        client.get("k");
        let stats = client.stats("");
        let count = |name: &str| stats.iter().filter(|(known, _)| known == name).count();
        assert_eq!([count("pid"), count("engine_gets"), count("added_in_vain")], [1, 1, 0], "{stats:?}");
        assert_eq!((client.stat("engine_gets"), client.stat("items_alive")), (1, 1));
        drop(client);
        server.stop_cleanly();
    }
    // Of several engines each line says whose it is.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larder.toml");
    let prefix = |key: &str, stack: &str| format!("[[prefix]]\nkey = \"{key}\"\nstack = \"{stack}\"\n");
    let stack = format!("module('{}')", module("hash.c", &[]).display());
    let text = format!("listen = [\"127.0.0.1:0\"]\n{}{}", prefix("a:", &stack), prefix("", "ram"));
    std::fs::write(&file, text).unwrap();
    let server = Launch::bare().arg("--config").arg(&file).start();
    let stats = server.connect().stats("");
    let names: Vec<_> = stats.iter().map(|(name, _)| name.as_str()).collect();
    let whose: Vec<_> = names.iter().filter(|name| name.ends_with(":items_alive")).collect();
    assert!(whose.len() == 1 && whose[0].starts_with("stack:"), "{names:?}");
    server.stop_cleanly();
}

#[test]
fn a_module_may_ask_the_server_to_stop() {
    if !has_compiler() {
        return;
    }
    let server = start(&module("talker.c", &[]), &[]);
    server.connect().send("stats shutdown\r\n");
    server.wait_for_exit();
}
