//! `watch`: what is told, to whom, and that nobody waits for those who do not listen.

use crate::support::stacks::Stack;
use crate::support::wait::until;
use crate::support::{Client, Launch};

crate::each_stack!(
    mutations_and_deletions_are_told,
    reads_are_told,
    a_watcher_that_does_not_read_loses_lines_and_holds_up_nobody,
    watchers_come_one_by_one_and_are_limited_in_number,
);

/// memcached's limit.
const WATCHERS_MAX: usize = 20;

fn watch(client: Client, streams: &str) -> Client {
    let mut client = client;
    client.ask(format!("watch {streams}\r\n"), "OK\r\n");
    client
}

/// An event: its number, and its fields but for the time and the client's socket.
struct Event {
    id: u64,
    fields: String,
}

fn event(line: &str) -> Event {
    let (time, rest) = line.strip_prefix("ts=").and_then(|rest| rest.split_once(' ')).expect("a time");
    let (seconds, microseconds) = time.split_once('.').expect("a time with a fraction");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds > 1_700_000_000), "{line}");
    assert!(microseconds.len() == 6 && microseconds.parse::<u32>().is_ok(), "{line}");
    let (id, rest) = rest.strip_prefix("gid=").and_then(|rest| rest.split_once(' ')).expect("a number");
    let mut fields = Vec::new();
    for field in rest.split(' ') {
        match field.strip_prefix("cfd=") {
            Some(socket) => assert!(socket.parse::<i32>().is_ok_and(|socket| socket > 2), "{line}"),
            None => fields.push(field),
        }
    }
    Event { id: id.parse().expect("a number"), fields: fields.join(" ") }
}

/// The events up to one with this key, whose numbers must ascend.
fn events_until(watcher: &mut Client, last_key: &str) -> Vec<String> {
    let mut id_last = 0;
    let mut events = Vec::new();
    loop {
        let Event { id, fields } = event(&watcher.log_line());
        assert!(id > id_last, "{id} after {id_last}");
        id_last = id;
        if fields.contains(&format!(" key={last_key} ")) {
            return events;
        }
        events.push(fields);
    }
}

fn mutations_and_deletions_are_told(stack: Stack) {
    let running = stack.start_with(&["-I", "4k"]);
    let mut watcher = watch(running.connect(), "mutations deletions");
    let mut client = running.connect();
    // No store is asked for the length of what is deleted.
    let size = if stack == Stack::Ram { 3 } else { 0 };
    let large = format!("set large 0 0 5000\r\n{}\r\n", "l".repeat(5000));
    let deleted = format!("type=deleted key=n cmd=delete clsid=1 size={size}");
    let exchanges = [
        (
            "set a%\x01b 1 100 3\r\nabc\r\n",
            "STORED\r\n",
            "key=a%25%01b status=stored cmd=set ttl=100 clsid=1 size=3",
        ),
        ("add n 0 0 1\r\nx\r\n", "STORED\r\n", "key=n status=stored cmd=add ttl=0 clsid=1 size=1"),
        ("add n 0 0 1\r\nx\r\n", "NOT_STORED\r\n", "key=n status=not_stored cmd=add ttl=0 clsid=1 size=1"),
        ("replace n 0 0 2\r\nxx\r\n", "STORED\r\n", "key=n status=stored cmd=replace ttl=0 clsid=1 size=2"),
        ("append n 0 0 1\r\ny\r\n", "STORED\r\n", "key=n status=stored cmd=append ttl=0 clsid=1 size=3"),
        (
            "prepend o 0 0 1\r\nx\r\n",
            "NOT_STORED\r\n",
            "key=o status=not_stored cmd=prepend ttl=0 clsid=1 size=1",
        ),
        (
            "cas none 0 0 1 7\r\nx\r\n",
            "NOT_FOUND\r\n",
            "key=none status=not_found cmd=cas ttl=0 clsid=1 size=1",
        ),
        ("cas n 0 0 1 7\r\nx\r\n", "EXISTS\r\n", "key=n status=exists cmd=cas ttl=0 clsid=1 size=1"),
        (
            &large,
            "SERVER_ERROR object too large for cache\r\n",
            "key=large status=too_large cmd=set ttl=0 clsid=1 size=5000",
        ),
        ("ms quiet 2 q\r\nzz\r\nmn\r\n", "MN\r\n", "key=quiet status=stored cmd=set ttl=0 clsid=1 size=2"),
        (
            "set silent 0 0 1 noreply\r\nx\r\nmn\r\n",
            "MN\r\n",
            "key=silent status=stored cmd=set ttl=0 clsid=1 size=1",
        ),
        ("get n\r\n", "VALUE n 0 3\r\nxxy\r\nEND\r\n", ""),
        ("delete none\r\n", "NOT_FOUND\r\n", ""),
        ("delete n\r\n", "DELETED\r\n", &deleted),
        ("md quiet I\r\n", "HD\r\n", ""),
        ("md quiet x\r\n", "HD\r\n", ""),
        ("md quiet q\r\nmn\r\n", "MN\r\n", "type=deleted key=quiet cmd=md clsid=1 size=0"),
        ("set last 0 0 0\r\n\r\n", "STORED\r\n", ""),
    ];
    let mut expected = Vec::new();
    for (request, answer, event) in exchanges {
        client.ask(request, answer);
        match event {
            "" => {}
            event if event.starts_with("type=") => expected.push(event.to_owned()),
            event => expected.push(format!("type=item_store {event}")),
        }
    }
    assert_eq!(events_until(&mut watcher, "last"), expected);
    assert_eq!(client.stat("log_watchers"), 1);
    assert_eq!(client.stat("log_worker_written"), 14);
    assert_eq!((client.stat("log_watcher_sent"), client.stat("log_watcher_skipped")), (14, 0));
    client.ask("stats reset\r\n", "RESET\r\n");
    assert_eq!((client.stat("log_watcher_sent"), client.stat("log_watchers")), (0, 1));
}

fn reads_are_told(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.set("a", "value");
    client.set("b", "");
    running.cool(&mut client);
    let mut watcher = watch(running.connect(), "");
    client.ask(
        "get a\r\nget none\r\nget b none a\r\ngat 100 a\r\nmg a\r\nmg none\r\nme none\r\nmn\r\n",
        "VALUE a 0 5\r\nvalue\r\nEND\r\nEND\r\nVALUE b 0 0\r\n\r\nVALUE a 0 5\r\nvalue\r\nEND\r\n\
         VALUE a 0 5\r\nvalue\r\nEND\r\nHD\r\nEN\r\nEN\r\nMN\r\n",
    );
    client.ask("get last\r\n", "END\r\n");
    let found = |key: &str, size: usize| format!("type=item_get key={key} status=found clsid=1 size={size}");
    let none = || "type=item_get key=none status=not_found clsid=0 size=0".to_owned();
    let mut told = events_until(&mut watcher, "last");
    let mut expected = vec![
        found("a", 5),
        none(),
        found("b", 0),
        none(),
        found("a", 5),
        found("a", 5),
        found("a", 5),
        none(),
        none(),
    ];
    if stack != Stack::Ram {
        // Answers come in order; what a store is asked may be found in any.
        told.sort();
        expected.sort();
    }
    assert_eq!(told, expected);
    // What a watcher says is thrown away.
    watcher.send("get a\r\nquit\r\n");
    client.ask("get next\r\n", "END\r\n");
    client.ask("get last\r\n", "END\r\n");
    assert_eq!(
        events_until(&mut watcher, "last"),
        ["type=item_get key=next status=not_found clsid=0 size=0"]
    );
}

#[test]
fn storage_commands_look_their_key_up() {
    let running = Stack::Ram.start();
    let mut watcher = watch(running.connect(), "fetchers mutations");
    let mut client = running.connect();
    client.set("a", "1");
    client.set("a", "22");
    client.ask("add a 0 0 1\r\n3\r\nset last 0 0 0\r\n\r\n", "NOT_STORED\r\nSTORED\r\n");
    let expected = [
        "type=item_get key=a status=not_found clsid=0 size=0",
        "type=item_store key=a status=stored cmd=set ttl=0 clsid=1 size=1",
        "type=item_get key=a status=found clsid=1 size=1",
        "type=item_store key=a status=stored cmd=set ttl=0 clsid=1 size=2",
        "type=item_get key=a status=found clsid=1 size=2",
        "type=item_store key=a status=not_stored cmd=add ttl=0 clsid=1 size=1",
    ];
    assert_eq!(events_until(&mut watcher, "last"), expected);
}

#[test]
fn a_look_at_a_stale_item_takes_no_token() {
    let running = Stack::Ram.start();
    let _watcher = watch(running.connect(), "fetchers mutations deletions");
    let mut client = running.connect();
    client.set("a", "1");
    client.ask("md a I\r\nadd a 0 0 1\r\n2\r\nmd a C1\r\nmg a\r\n", "HD\r\nNOT_STORED\r\nEX\r\nHD X W\r\n");
}

fn a_watcher_that_does_not_read_loses_lines_and_holds_up_nobody(stack: Stack) {
    // More than a unix socket and the watcher's buffer hold, by far.
    const LINES_BYTES: usize = 32 << 20;
    const BATCH: usize = 500;
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    let data = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", data.path().join("socket").display());
    let server = stack.launch(data.path()).args(["-l", &listen, "-o", "watcher_logbuf_size=64"]).start();
    let mut client = server.connect();
    let key = "k".repeat(250);
    let batch = format!("get {key}\r\n").repeat(BATCH);
    let answers = "END\r\n".repeat(BATCH);
    client.ask(&batch, &answers);
    let before = server.resident_bytes();
    let mut watcher = watch(Client::unix(server.socket()), "fetchers");
    let batches = LINES_BYTES / BATCH / key.len();
    for _ in 0..batches {
        client.ask(&batch, &answers);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    let all = (batches * BATCH) as u64;
    let skipped = client.stat("log_watcher_skipped");
    assert!(skipped > 0);
    assert_eq!(client.stat("log_watcher_sent") + skipped, all);
    let (mut lines, mut lost) = (0, 0);
    while lines + lost < all {
        let line = watcher.log_line();
        match line.strip_prefix("[skipped: ").and_then(|rest| rest.strip_suffix(']')) {
            Some(count) => lost += count.parse::<u64>().expect("a number"),
            None => {
                lines += 1;
                // Every number up to here was told or counted as lost.
                assert_eq!(event(&line).id, lines + lost);
            }
        }
    }
    assert_eq!(lost, skipped);
    client.ask("get again\r\n", "END\r\n");
    let Event { id, fields } = event(&watcher.log_line());
    assert_eq!((id, fields.as_str()), (all + 1, "type=item_get key=again status=not_found clsid=0 size=0"));
}

#[test]
fn a_watcher_that_does_not_read_does_not_delay_a_stop() {
    let running = Stack::Ram.start();
    let mut client = running.connect();
    let _watcher = watch(running.connect(), "fetchers");
    let key = "k".repeat(250);
    let batch = format!("get {key}\r\n").repeat(500);
    let answers = "END\r\n".repeat(500);
    until("lines to be lost", || {
        client.ask(&batch, &answers);
        (client.stat("log_watcher_skipped") > 0).then_some(())
    });
    let (status, log) = running.server.stop();
    assert!(status.success(), "{status}");
    assert!(!log.contains("did not take their answers"), "{log}");
}

fn watchers_come_one_by_one_and_are_limited_in_number(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.ask("version\r\nwatch\r\n", "VERSION ");
    client.line();
    client.expect("ERROR cannot pipeline other commands before watch\r\n");
    client.ask("watch fetchers nonsense\r\nget a\r\n", "ERROR\r\nEND\r\n");
    let mut watchers: Vec<Client> =
        (0..WATCHERS_MAX).map(|_| watch(running.connect(), "sysevents evictions")).collect();
    client.ask("watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    watchers.pop();
    until("the place to be free", || (client.stat("log_watchers") < WATCHERS_MAX as u64).then_some(()));
    watch(client, "fetchers");
}

#[test]
fn connections_are_told_with_the_reason_of_their_end() {
    let data = tempfile::tempdir().unwrap();
    let socket = data.path().join("socket");
    let listen = format!("127.0.0.1:0,unix:{}", socket.display());
    let launch = Launch::bare().args(["--store", "ram", "-l", &listen]);
    let server = launch.arg("--data").arg(data.path()).start();
    let mut watcher = watch(server.connect(), "connevents");
    let mut next = || event(&watcher.log_line()).fields;

    let mut client = server.connect();
    let crate::support::client::Stream::Tcp(stream) = client.stream() else { unreachable!("it is TCP") };
    let peer = stream.local_addr().unwrap();
    let peer = format!("rip={} rport={} transport=tcp", peer.ip(), peer.port());
    assert_eq!(next(), format!("type=conn_new {peer}"));
    client.send("quit\r\n");
    client.expect_close();
    assert_eq!(next(), format!("type=conn_close {peer} reason=normal"));

    let local = "rip=unix rport=0 transport=local";
    let mut client = Client::unix(&socket);
    assert_eq!(next(), format!("type=conn_new {local}"));
    client.send("GET / HTTP/1.1\r\n");
    client.expect_close();
    assert_eq!(next(), format!("type=conn_close {local} reason=error"));
}

#[test]
fn a_watcher_is_not_closed_for_its_silence() {
    let running = Stack::Ram.start_with(&["-o", "idle_timeout=2"]);
    let mut watcher = watch(running.connect(), "connevents");
    running.connect().expect_close();
    assert!(event(&watcher.log_line()).fields.starts_with("type=conn_new "));
    let end = event(&watcher.log_line()).fields;
    assert!(end.ends_with(" reason=idle_timeout"), "{end}");
    running.connect();
    assert!(event(&watcher.log_line()).fields.starts_with("type=conn_new "));
}

#[test]
fn watching_may_be_forbidden() {
    let running = Stack::Ram.start_with(&["-W"]);
    let mut client = running.connect();
    client.ask("watch\r\nget a\r\n", "CLIENT_ERROR watch commands not allowed\r\nEND\r\n");
}

#[test]
fn evictions_are_told() {
    let running = Stack::Ram.start_with(&["-m", "1", "-I", "16k"]);
    let mut watcher = watch(running.connect(), "evictions");
    let mut client = running.connect();
    let value = "v".repeat(1000);
    let mut number = 0;
    until("an eviction", || {
        number += 1;
        client.ask(format!("set k{number} 0 1000 1000\r\n{value}\r\n"), "STORED\r\n");
        (client.stat("evictions") > 0).then_some(())
    });
    let told = event(&watcher.log_line()).fields;
    let (key, rest) =
        told.strip_prefix("type=eviction key=").and_then(|rest| rest.split_once(' ')).expect("a key");
    assert!(rest.starts_with("fetch=no ttl=") && rest.ends_with(" clsid=1 size=1000"), "{told}");
    assert_eq!(client.get(key), None);
    // Every one is told.
    assert_eq!(client.stat("log_worker_written"), client.stat("evictions"));
}

#[test]
fn a_read_says_what_became_of_an_item() {
    let running = Stack::Ram.start_with(&["-o", "debug_commands"]);
    let mut client = running.connect();
    client.ask("debugtime p\r\n", "OK\r\n");
    client.ask(
        "set over 0 10 1\r\nx\r\nset flushed 0 0 1\r\nx\r\nflush_all\r\nset over 0 10 1\r\nx\r\n",
        "STORED\r\nSTORED\r\nOK\r\nSTORED\r\n",
    );
    client.ask("debugtime 10\r\n", "OK\r\n");
    let mut watcher = watch(running.connect(), "fetchers");
    client.ask("get over flushed none\r\n", "END\r\n");
    let told = |key: &str, status: &str| format!("type=item_get key={key} status={status} clsid=0 size=0");
    client.ask("get last\r\n", "END\r\n");
    let expected = [told("over", "expired"), told("flushed", "flushed"), told("none", "not_found")];
    assert_eq!(events_until(&mut watcher, "last"), expected);
    assert_eq!(
        (client.stat("get_expired"), client.stat("get_flushed"), client.stat("get_misses")),
        (1, 1, 4)
    );
}
