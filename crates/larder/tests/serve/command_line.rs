//! Options whose effect shows from outside: files, users, limits, and what clients are answered.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::wait::until;
use crate::support::{Client, Launch, system};

/// The user `nobody` of every Linux.
const NOBODY: u32 = 65534;

/// A folder for a server under the name `memcached`, which writes its port there and may be written by everybody.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        symlink(env!("CARGO_BIN_EXE_larder"), folder.path().join("memcached")).unwrap();
        Place(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// memcached on a free port of the loopback.
    fn launch(&self, arguments: &[&str]) -> Launch {
        Launch::of(self.path("memcached"))
            .args(["-l", "127.0.0.1", "-p", "-1"])
            .args(arguments)
            .environment("MEMCACHED_PORT_FILENAME", self.path("ports"))
            .inside(self.0.path())
    }

    /// Waits until it listens; where.
    fn address(&self) -> SocketAddr {
        let port = until("the ports", || fs::read_to_string(self.path("ports")).ok());
        let port =
            port.strip_prefix("TCP INET: ").and_then(|rest| rest.strip_suffix('\n')).expect("one line");
        SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")))
    }

    /// A client that is served.
    fn connect(&self) -> Client {
        let mut client = Client::tcp(self.address());
        client.ask("mn\r\n", "MN\r\n");
        client
    }
}

fn process_status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says it");
    line.trim_start_matches(':').trim().to_owned()
}

fn is_running(pid: u32) -> bool {
    // A process that nobody has waited for yet is a zombie.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn pid_in(file: &Path) -> u32 {
    let content = fs::read_to_string(file).expect("a pid file");
    content.strip_suffix('\n').expect("ends with a newline").parse().expect("a number")
}

fn setting(client: &mut Client, name: &str) -> String {
    client.stats("settings").into_iter().find(|(other, _)| other == name).expect("a setting").1
}

#[test]
fn a_daemon_serves_after_its_starter_has_gone() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let started = place.launch(&["-d", "-P"]).arg(&pid_file).output();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    assert!(started.stdout.is_empty() && started.stderr.is_empty(), "as silent as memcached");
    // The starter has gone, so whoever reads the file now sees the daemon.
    let pid = pid_in(&pid_file);
    let mut client = place.connect();
    client.set("a", "1");
    let reported = client.stats("").into_iter().find(|(name, _)| name == "pid").expect("a pid").1;
    assert_eq!(reported, pid.to_string());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session =
        stat.rsplit_once(')').expect("a name").1.split_whitespace().nth(3).expect("a session").to_owned();
    assert_eq!(session, pid.to_string(), "it leads a session of its own");
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/2")).unwrap(), Path::new("/dev/null"));
    system::signal(pid, libc::SIGTERM);
    until("the daemon's end", || (!is_running(pid)).then_some(()));
    assert!(!pid_file.exists(), "the pid file goes with the server");
}

#[test]
fn a_daemon_that_cannot_start_says_so_to_its_starter() {
    let place = Place::new();
    let said = place.launch(&["-d", "-P", "/no/such/folder/pid"]).refusal();
    assert!(said.contains("-P /no/such/folder/pid"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = Launch::bare().args(["--store", "ram", "-d", "-p", &port]).refusal();
    assert!(said.contains(&port) && said.contains("in use"), "{said}");
    let file = place.path("file");
    fs::write(&file, "no folder").unwrap();
    let launch = Launch::bare().args(["-d", "-l", "127.0.0.1:0", "--data"]).arg(&file);
    assert_eq!(launch.output().status.code(), Some(1), "what fails after the fork is told too");
}

#[test]
fn a_daemon_keeps_its_items_where_they_were_asked_for() {
    let place = Place::new();
    let launch = place.launch(&["-d", "-P", "pid", "--store", "ram > sqlite", "--data", "data"]);
    for round in ["1", "2"] {
        let _ = fs::remove_file(place.path("ports"));
        assert!(launch.output().status.success());
        let mut client = place.connect();
        if round == "1" {
            client.set("a", "1");
        } else {
            assert_eq!(client.get("a").as_deref(), Some("1"));
        }
        let pid = pid_in(&place.path("pid"));
        system::signal(pid, libc::SIGTERM);
        until("the daemon's end", || (!is_running(pid)).then_some(()));
    }
    assert!(place.path("data").join("larder.db").exists(), "relative paths keep their meaning");
}

#[test]
fn root_is_given_up_for_a_user() {
    let place = Place::new();
    let socket = place.path("socket");
    let server = place.launch(&["-u", "nobody", "-a", "700", "-s"]).arg(&socket).start_silently();
    until("the socket", || socket.exists().then_some(()));
    let mut client = until("it to listen", || {
        std::os::unix::net::UnixStream::connect(&socket).ok().map(|_| Client::unix(&socket))
    });
    client.set("a", "1");
    let is_root = process_status(std::process::id(), "Uid").starts_with("0\t");
    let expected = if is_root { NOBODY } else { fs::metadata(place.0.path()).unwrap().uid() };
    let ids = [expected; 4].map(|id| id.to_string()).join("\t");
    assert_eq!(process_status(server.pid(), "Uid"), ids);
    assert_eq!(fs::metadata(&socket).unwrap().uid(), expected, "the user's own socket");
    if is_root {
        assert_eq!(process_status(server.pid(), "Groups"), "");
        let said = place.launch(&["-u", "no such user"]).refusal();
        assert!(said.contains("-u no such user"), "{said}");
    }
    server.stop_cleanly();
}

#[test]
fn limits_and_signals_of_the_process() {
    let place = Place::new();
    let server = place.launch(&["-r", "-k", "-c", "300", "-o", "drop_privileges"]).start_silently();
    drop(place.connect());
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says it");
        line.split_whitespace().next().expect("the limit in force").to_owned()
    };
    assert_ne!(limit("Max core file size"), "0");
    assert!(limit("Max open files").parse().is_ok_and(|files: u64| files >= 300));
    assert_eq!(process_status(server.pid(), "NoNewPrivs"), "1");
    let ignored = u64::from_str_radix(&process_status(server.pid(), "SigIgn"), 16).unwrap();
    assert!(ignored & 1 << (libc::SIGPIPE - 1) != 0, "SIGPIPE is ignored");
    // Where the system does not let us lock memory, the log says so.
    let locked = process_status(server.pid(), "VmLck");
    assert!(locked != "0 kB" || server.log().contains("-k: memory is not locked"), "{}", server.log());
    server.stop_cleanly();
}

#[test]
fn the_pid_file_goes_with_the_server() {
    let place = Place::new();
    let file = place.path("pid");
    let server = place.launch(&["-P"]).arg(&file).start_silently();
    drop(place.connect());
    assert_eq!(pid_in(&file), server.pid());
    server.stop_cleanly();
    assert!(!file.exists());
}

#[test]
fn memcached_starts_without_a_word() {
    let place = Place::new();
    let server = place.launch(&["-f", "1.1", "-o", "slab_reassign"]).start_silently();
    drop(place.connect());
    let (status, log) = server.stop();
    assert!(status.success());
    assert_eq!(log, "");
    fs::remove_file(place.path("ports")).unwrap();
    let server = place.launch(&["-v", "-f", "1.1", "-o", "slab_reassign"]).start_silently();
    drop(place.connect());
    server.wait_for_log("without effect here: -o slab_reassign, -f");
    server.stop_cleanly();
}

#[test]
fn what_clients_are_not_allowed() {
    let place = Place::new();
    let server = place.launch(&["-F", "-C"]).start_silently();
    let mut client = place.connect();
    client.ask("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    client.ask("gets a\r\n", "VALUE a 0 1 0\r\n1\r\nEND\r\n");
    client.ask("mg a c v\r\n", "VA 1 c0\r\n1\r\n");
    client.ask("ms b 1 c\r\n1\r\n", "HD c0\r\n");
    assert_eq!(setting(&mut client, "flush_enabled"), "no");
    assert_eq!(setting(&mut client, "cas_enabled"), "no");
    server.stop_cleanly();
}

#[test]
fn the_protocol_may_be_fixed() {
    let place = Place::new();
    let server = place.launch(&["-B", "ascii"]).start_silently();
    let mut client = place.connect();
    client.ask(b"\x80\x00\r\n", "ERROR\r\n");
    assert_eq!(setting(&mut client, "binding_protocol"), "ascii");
    server.stop_cleanly();
    fs::remove_file(place.path("ports")).unwrap();
    let server = place.launch(&["-B", "binary"]).start_silently();
    let mut text = Client::tcp(place.address());
    text.send("version\r\n");
    text.expect_close();
    let mut binary = Client::tcp(place.address());
    binary.send([&[0x80, 0x0a][..], &[0; 22]].concat());
    assert_eq!(binary.bytes(24)[..2], [0x81, 0x0a]);
    server.stop_cleanly();
}

#[test]
fn full_memory_refuses_instead_of_evicting() {
    let place = Place::new();
    let server = place.launch(&["-M", "-m", "8"]).start_silently();
    let mut client = place.connect();
    let value = "v".repeat(100_000);
    let mut stored = 0;
    let refusal = loop {
        client.send(format!("set key:{stored} 0 0 {}\r\n{value}\r\n", value.len()));
        let answer = client.line();
        if answer != "STORED" {
            break answer;
        }
        stored += 1;
        assert!(stored < 1000, "8 MiB hold fewer");
    };
    assert_eq!(refusal, "SERVER_ERROR out of memory storing object");
    assert!(stored > 40, "{stored} values");
    for number in 0..stored {
        assert!(client.get(&format!("key:{number}")).is_some(), "key:{number} was evicted");
    }
    assert_eq!(setting(&mut client, "evictions"), "off");
    server.stop_cleanly();
}

#[test]
fn settings_that_are_taken_are_shown() {
    let place = Place::new();
    let options = "hashpower=20,hash_algorithm=murmur3,tail_repair_time=30,slab_reassign,slab_automove=2,\
                   slab_automove_ratio=0.5,slab_automove_window=9,slab_chunk_max=256,no_lru_crawler,no_lru_maintainer,\
                   lru_crawler_sleep=7,lru_crawler_tocrawl=8,hot_lru_pct=11,warm_lru_pct=22,hot_max_factor=0.3,\
                   warm_max_factor=1.5,temporary_ttl=5,idle_timeout=900,read_buf_mem_limit=9,inline_ascii_resp,\
                   watcher_logbuf_size=2,worker_logbuf_size=3";
    let server =
        place.launch(&["-b", "77", "-f", "1.1", "-n", "64", "-N", "2", "-o", options]).start_silently();
    let mut client = place.connect();
    let settings = client.stats("settings");
    for expected in "tcp_backlog=77 growth_factor=1.10 chunk_size=64 num_napi_ids=2 hashpower_init=20 \
         hash_algorithm=murmur3 tail_repair_time=30 slab_reassign=yes slab_automove=2 slab_automove_ratio=0.50 \
         slab_automove_window=9 slab_chunk_max=262144 lru_crawler=no lru_maintainer_thread=no lru_crawler_sleep=7 \
         lru_crawler_tocrawl=8 hot_lru_pct=11 warm_lru_pct=22 hot_max_factor=0.30 warm_max_factor=1.50 temp_lru=yes \
         temporary_ttl=5 idle_timeout=900 read_buf_mem_limit=9437184 inline_ascii_response=yes \
         watcher_logbuf_size=2048 worker_logbuf_size=3072 inter=127.0.0.1 domain_socket=NULL evictions=on"
        .split_whitespace()
    {
        let (name, value) = expected.split_once('=').expect("a pair");
        let found = &settings.iter().find(|(other, _)| other == name).expect("a setting").1;
        assert!(found == value || name == "inter" && found.starts_with(value), "{name} is {found}");
    }
    assert_eq!(client.stats("").len(), 84, "no names of the crawler and the maintainer");
    client.ask("lru_crawler crawl all\r\n", "CLIENT_ERROR lru crawler disabled\r\n");
    client.ask("lru_crawler enable\r\n", "OK\r\n");
    client.ask("lru_crawler crawl all\r\n", "OK\r\n");
    let commands = "lru_crawler sleep 70\r\nlru_crawler tocrawl 80\r\nlru tune 12 23 0.4 1.75\r\nlru mode segmented\r\n\
                    lru temp_ttl 9\r\nslabs automove 0\r\nlru_crawler disable\r\n";
    client.ask(commands, "OK\r\n".repeat(7));
    for (name, value) in [
        ("lru_crawler_sleep", "70"),
        ("lru_crawler_tocrawl", "80"),
        ("hot_lru_pct", "12"),
        ("warm_lru_pct", "23"),
        ("hot_max_factor", "0.40"),
        ("warm_max_factor", "1.75"),
        ("lru_segmented", "yes"),
        ("temporary_ttl", "9"),
        ("slab_automove", "0"),
        ("lru_crawler", "no"),
    ] {
        assert_eq!(setting(&mut client, name), value, "{name}");
    }
    client.ask("lru temp_ttl -1\r\n", "OK\r\n");
    assert_eq!(setting(&mut client, "temp_lru"), "no");
    client.ask("cache_memlimit 100\r\n", "OK\r\n");
    assert_eq!(setting(&mut client, "maxbytes"), (100 << 20).to_string());
    server.stop_cleanly();
}

#[test]
fn a_client_too_many_waits_if_it_is_not_refused() {
    let place = Place::new();
    let server = place.launch(&["-c", "2", "-o", "no_maxconns_fast"]).start_silently();
    let mut first = place.connect();
    let address = first.peer();
    let full = |client: &mut Client| client.stat("accepting_conns") == 0;
    let mut second = Client::tcp(address);
    second.set("a", "1");
    until("the listener to wait", || full(&mut first).then_some(()));
    let mut third = Client::tcp(address);
    third.send("get a\r\n");
    assert_eq!(first.stat("curr_connections"), 2);
    let waits = first.stat("listen_disabled_num");
    assert!(waits > 0 && first.stat("rejected_connections") == 0);
    drop(second);
    third.expect("VALUE a 0 1\r\n1\r\nEND\r\n");
    assert!(first.stat("time_in_listen_disabled_us") > 0);
    assert_eq!(setting(&mut first, "maxconns_fast"), "no");
    server.stop_cleanly();
}

#[test]
fn requests_and_answers_are_told_but_no_values() {
    let place = Place::new();
    let server = place.launch(&["-vv"]).start_silently();
    let mut client = place.connect();
    client.ask("set a 0 0 6\r\nsecret\r\n", "STORED\r\n");
    client.ask("get a b\r\n", "VALUE a 0 6\r\nsecret\r\nEND\r\n");
    client.ask("secret\r\n", "ERROR\r\n");
    let large = "secret".repeat(10_000);
    client.set("large", &large);
    assert_eq!(client.get("large").as_deref(), Some(large.as_str()));
    client.ask("verbosity 1\r\nget a\r\n", "OK\r\nVALUE a 0 6\r\nsecret\r\nEND\r\n");
    let mut binary = Client::tcp(place.address());
    client.ask("verbosity 2\r\n", "OK\r\n");
    binary.send([&[0x80, 0x0a][..], &[0; 22]].concat());
    binary.bytes(24);
    let (_, log) = server.stop();
    let told: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("DEBUG ").map(|(_, told)| told)).collect();
    let expected = "<1 mn\n>1 MN\n<1 set a 0 0 6\n>1 STORED\n<1 get a b\n>1 VALUE a 0 6\n>1 END\n<1 (no command)\n\
                    >1 ERROR\n<1 set large 0 0 60000\n>1 STORED\n<1 get large\n>1 VALUE large 0 60000\n>1 END\n\
                    <1 verbosity 1\n<2 binary opcode 0x0a\n>2 binary opcode 0x0a status 0x00";
    assert_eq!(told.join("\n"), expected);
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn prefixes_are_counted() {
    let place = Place::new();
    let server = place.launch(&["-D", "/"]).start_silently();
    let mut client = place.connect();
    client.set("user/1", "1");
    client.set("user/2", "1");
    client.set("none", "1");
    client.ask("get user/1 user/3 none\r\n", "VALUE user/1 0 1\r\n1\r\nVALUE none 0 1\r\n1\r\nEND\r\n");
    client.ask("mg user/2 v\r\n", "VA 1\r\n1\r\n");
    client.ask("delete page/1\r\n", "NOT_FOUND\r\n");
    let counted = "PREFIX page get 0 hit 0 set 0 del 1\r\nPREFIX user get 3 hit 2 set 2 del 0\r\nEND\r\n";
    client.ask("stats detail dump\r\n", counted);
    client.ask("stats detail off\r\n", "OK\r\n");
    client.set("user/1", "2");
    client.ask("stats detail dump\r\n", counted);
    assert_eq!(setting(&mut client, "detail_enabled"), "no");
    assert_eq!(setting(&mut client, "stat_key_prefix"), "/");
    client.ask("stats detail\r\n", "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
    client.ask("stats detailed\r\n", "ERROR\r\n");
    client.ask("stats reset\r\nstats detail dump\r\n", "RESET\r\nEND\r\n");
    server.stop_cleanly();
    fs::remove_file(place.path("ports")).unwrap();
    let server = place.launch(&["-X"]).start_silently();
    place.connect().ask("stats detail on\r\n", "CLIENT_ERROR stats detail not allowed\r\n");
    server.stop_cleanly();
}

#[test]
fn what_prints_and_ends() {
    for (option, words) in [("-h", "--unix-socket"), ("-V", "memcached 1."), ("-i", "Apache License")] {
        let output = Place::new().launch(&[option]).output();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(words), "{option}");
    }
}

#[test]
fn a_port_file_that_cannot_be_written() {
    let launch = Launch::bare().args(["--store", "ram", "-l", "127.0.0.1:0"]);
    let said = launch.environment("MEMCACHED_PORT_FILENAME", "/no/such/folder/ports").refusal();
    assert!(said.contains("MEMCACHED_PORT_FILENAME=/no/such/folder/ports"), "{said}");
}
