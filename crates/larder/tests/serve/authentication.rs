//! Who does not know a password gets nothing done, in text and by SASL; and no password shows anywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::outside;
use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

const PASSWORD: &str = "open-Sesame-1";
const OTHER_PASSWORD: &str = "close-Sesame-2";

const UNKNOWN: &str = "CLIENT_ERROR unauthenticated\r\n";
const WRONG: &str = "CLIENT_ERROR authentication failure\r\n";

/// A folder with a password file.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write(&format!("ann:{PASSWORD}\n"));
        place
    }

    fn passwords(&self) -> PathBuf {
        self.0.path().join("users")
    }

    fn write(&self, content: &str) {
        std::fs::write(self.passwords(), content).unwrap();
    }

    fn launch(&self) -> Launch {
        Launch::bare().args(["--store", "ram", "-l", "127.0.0.1:0"]).inside(self.0.path())
    }

    /// A server that asks for passwords in text.
    fn text(&self) -> Server {
        self.launch().args(["-vvv", "-Y", "users"]).start()
    }

    /// A server that asks for passwords by SASL.
    fn sasl(&self) -> Server {
        self.launch().args(["-vvv", "-S", "-o", "sasl_pwdb=users"]).start()
    }
}

fn enter(user: &str, password: &str) -> String {
    let data = format!("{user} {password}");
    format!("set auth 0 0 {}\r\n{data}\r\n", data.len())
}

/// A client that has said its password in text.
fn known(server: &Server, user: &str, password: &str) -> Client {
    let mut client = server.connect();
    client.ask(enter(user, password), "STORED\r\n");
    client
}

/// Waits for what the log says after a SIGHUP.
fn reload(server: &Server, said: &str) {
    let before = server.log().len();
    server.signal(libc::SIGHUP);
    until(said, || server.log()[before..].contains(said).then_some(()));
}

#[test]
fn only_the_known_watch_and_list_keys() {
    let place = Place::new();
    let server = place.text();
    let mut stranger = server.connect();
    for request in ["watch\r\n", "lru_crawler metadump all\r\n", "lru_crawler mgdump all\r\n"] {
        stranger.ask(request, UNKNOWN);
    }
    let mut other = known(&server, "ann", PASSWORD);
    other.set("a", "1");
    stranger.ask(enter("ann", PASSWORD), "STORED\r\n");
    stranger.ask("lru_crawler mgdump all\r\n", "OK\r\nmg a\r\nEN\r\n");
    stranger.ask("watch deletions\r\n", "OK\r\n");
    other.ask("delete a\r\n", "DELETED\r\n");
    let line = stranger.log_line();
    assert!(line.ends_with(" type=deleted key=a cmd=delete clsid=1 size=1"), "{line}");
    // A password is no news, whoever watches.
    let mut watcher = known(&server, "ann", PASSWORD);
    watcher.ask("watch mutations fetchers\r\n", "OK\r\n");
    known(&server, "ann", PASSWORD).set("b", "2");
    let first = watcher.log_line();
    assert!(first.contains(" key=b "), "{first}");
}

#[test]
fn text_does_nothing_for_strangers() {
    let place = Place::new();
    let server = place.text();
    let mut client = server.connect();
    client.ask("get a\r\nmg a v\r\nstats\r\nversion\r\nflush_all\r\nquit\r\n", UNKNOWN.repeat(6));
    client.ask(enter("ann", OTHER_PASSWORD), WRONG);
    client.ask(enter("bob", PASSWORD), WRONG);
    client.ask("set auth 0 0 3\r\nann\r\n", "CLIENT_ERROR bad authentication token format\r\n");
    client.ask("set auth 0 0 3\r\nann  ", "CLIENT_ERROR bad command line termination\r\n");
    // What follows the password in one piece is served.
    client.ask(format!("{}set a 0 0 1\r\n1\r\n", enter("ann", PASSWORD)), "STORED\r\nSTORED\r\n");
    assert_eq!(client.get("a").as_deref(), Some("1"));
    assert_eq!(client.get("auth"), None, "a password is no item");
    assert_eq!((client.stat("auth_cmds"), client.stat("auth_errors")), (3, 2));
    assert_eq!((client.stat("cmd_get"), client.stat("cmd_flush")), (2, 0));
    // Now it is a key like any other.
    client.ask(enter("ann", "anything"), "STORED\r\n");
    let mut long = server.connect();
    long.ask("set auth 0 0 16385\r\n", "CLIENT_ERROR auth token too long\r\n");
    long.expect_close();
    let mut binary = server.connect();
    binary.send(packet(0x0b, b"", b""));
    binary.send("\n");
    binary.expect(UNKNOWN);
    server.stop_cleanly();
}

#[test]
fn passwords_do_not_show() {
    let place = Place::new();
    for server in [place.text(), place.sasl()] {
        let mut client = server.connect();
        client.send(enter("ann", OTHER_PASSWORD) + &enter("ann", PASSWORD));
        // Where text is not spoken the connection may be closed already.
        let _ = client.finish();
        client.rest();
        let mut client = server.connect();
        client.send(packet(0x21, b"PLAIN", format!("\0ann\0{PASSWORD}").as_bytes()));
        client.send(packet(0x10, b"settings", b""));
        client.finish().unwrap();
        let binary_settings = client.rest();
        let command_line = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
        let environment = std::fs::read(format!("/proc/{}/environ", server.pid())).unwrap();
        let mut shown = [binary_settings, command_line, environment].concat();
        let (_, log) = server.stop();
        assert!(
            log.contains("closed before it was authenticated"),
            "the log says what connections do: {log}"
        );
        shown.extend_from_slice(log.as_bytes());
        let shown = String::from_utf8_lossy(&shown);
        for secret in [PASSWORD, OTHER_PASSWORD] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn settings_name_the_file_and_not_what_stands_in_it() {
    let place = Place::new();
    let server = place.text();
    let mut client = known(&server, "ann", PASSWORD);
    let settings = client.stats("settings");
    let setting = |name: &str| settings.iter().find(|(other, _)| other == name).expect("a setting").1.clone();
    assert_eq!(setting("auth_enabled_ascii"), place.passwords().to_string_lossy());
    assert_eq!(setting("auth_enabled_sasl"), "no");
    assert_eq!(setting("binding_protocol"), "ascii");
    for answer in ["", "settings", "items", "slabs", "larder"] {
        let lines = client.stats(answer);
        assert!(!lines.iter().any(|(_, value)| value.contains(PASSWORD)), "{lines:?}");
    }
    server.stop_cleanly();
}

#[test]
fn changed_passwords_hold_for_new_connections() {
    let place = Place::new();
    let server = place.text();
    let mut before = known(&server, "ann", PASSWORD);
    place.write(&format!("bob:{OTHER_PASSWORD}"));
    reload(&server, "passwords and certificates were read again");
    before.set("still", "served");
    known(&server, "bob", OTHER_PASSWORD);
    server.connect().ask(enter("ann", PASSWORD), WRONG);
    // A file that cannot be used changes nothing.
    for (content, problem) in [("", "users:1: no user stands in this file"), ("bob\n", "users:1: no colon")] {
        place.write(content);
        reload(&server, problem);
        known(&server, "bob", OTHER_PASSWORD);
    }
    std::fs::remove_file(place.passwords()).unwrap();
    reload(&server, "users: cannot read this password file");
    known(&server, "bob", OTHER_PASSWORD);
    before.set("still", "served");
    server.stop_cleanly();
}

/// Whoever reads the file of passwords may not be who reads the configuration.
#[test]
fn a_configuration_and_its_passwords_change_together_or_not_at_all() {
    let place = Place::new();
    let file = place.0.path().join("larder.toml");
    let text = |shutdown: bool| {
        format!(
            "listen = [\"127.0.0.1:0\"]\npasswords = \"users\"\nallow_shutdown = {shutdown}\n\
                 [[prefix]]\nkey = \"\"\nstack = \"ram\"\n"
        )
    };
    std::fs::write(&file, text(false)).unwrap();
    let server = Launch::bare().args(["-v", "--config", "larder.toml"]).inside(place.0.path()).start();
    let mut client = known(&server, "ann", PASSWORD);
    let refused = "SERVER_ERROR: shutdown not enabled\r\n";
    client.ask("shutdown\r\n", refused);
    // The configuration is good, the passwords are not.
    std::fs::write(&file, text(true)).unwrap();
    place.write("ann\n");
    reload(&server, "reload refused, nothing changed");
    client.ask("shutdown\r\n", refused);
    known(&server, "ann", PASSWORD);
    // The passwords are good, the configuration is not.
    std::fs::write(&file, "memroy = 1\n").unwrap();
    place.write(&format!("bob:{OTHER_PASSWORD}"));
    reload(&server, "reload refused, nothing changed");
    known(&server, "ann", PASSWORD);
    // Both are good.
    std::fs::write(&file, text(true)).unwrap();
    reload(&server, "passwords and certificates were read again");
    known(&server, "bob", OTHER_PASSWORD).send("shutdown\r\n");
    assert!(server.wait_for_exit().success());
}

/// A packet without extras.
fn packet(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 24];
    packet[0] = 0x80;
    packet[1] = opcode;
    packet[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
    packet[8..12].copy_from_slice(&((key.len() + value.len()) as u32).to_be_bytes());
    packet.extend_from_slice(key);
    packet.extend_from_slice(value);
    packet
}

/// Sends a packet; status and body of its answer.
fn ask(client: &mut Client, opcode: u8, key: &[u8], value: &[u8]) -> (u16, Vec<u8>) {
    client.send(packet(opcode, key, value));
    let head = client.bytes(24);
    assert_eq!((head[0], head[1]), (0x81, opcode));
    let body = u32::from_be_bytes(head[8..12].try_into().unwrap());
    (u16::from_be_bytes([head[6], head[7]]), client.bytes(body as usize))
}

fn plain(user: &str, password: &str) -> Vec<u8> {
    format!("\0{user}\0{password}").into_bytes()
}

const GET: u8 = 0x00;
const LIST: u8 = 0x20;
const AUTH: u8 = 0x21;
const REFUSED: (u16, &[u8]) = (0x20, b"Auth failure.");

#[test]
fn sasl_does_nothing_for_strangers() {
    let place = Place::new();
    let server = place.sasl();
    let mut client = server.connect();
    assert_eq!(ask(&mut client, LIST, b"", b""), (0, b"PLAIN".to_vec()));
    let (status, body) = ask(&mut client, AUTH, b"PLAIN", &plain("ann", OTHER_PASSWORD));
    assert_eq!((status, &body[..]), REFUSED);
    assert_eq!(ask(&mut client, AUTH, b"PLAIN", &plain("ann", PASSWORD)), (0, b"Authenticated".to_vec()));
    assert_eq!(ask(&mut client, GET, b"a", b"").0, 1);
    // Whoever fails to become somebody else is nobody.
    let (status, body) = ask(&mut client, AUTH, b"PLAIN", &plain("bob", PASSWORD));
    assert_eq!((status, &body[..]), REFUSED);
    client.expect_close();
    let mut stranger = server.connect();
    let (status, body) = ask(&mut stranger, GET, b"a", b"");
    assert_eq!((status, &body[..]), REFUSED);
    stranger.expect_close();
    let mut text = server.connect();
    text.send("get a\r\n");
    text.expect_close();
    server.stop_cleanly();
}

#[test]
fn sasl_takes_its_passwords_from_the_environment_or_a_file() {
    let place = Place::new();
    let launch = place.launch().arg("-S");
    assert!(launch.refusal().contains("MEMCACHED_SASL_PWDB"));
    let from_environment = launch.environment("MEMCACHED_SASL_PWDB", "users").start();
    std::fs::write(
        place.0.path().join("larder.toml"),
        "listen = [\"127.0.0.1:0\"]\nsasl_passwords = \"users\"\n[[prefix]]\nkey = \"\"\nstack = \"ram\"\n",
    )
    .unwrap();
    let from_file = Launch::bare().args(["--config", "larder.toml"]).inside(place.0.path()).start();
    for server in [from_environment, from_file] {
        let mut client = server.connect();
        assert_eq!(ask(&mut client, AUTH, b"PLAIN", &plain("ann", PASSWORD)).0, 0);
        server.stop_cleanly();
    }
}

#[test]
fn changed_passwords_hold_for_sasl_too() {
    let place = Place::new();
    let server = place.sasl();
    let mut client = server.connect();
    assert_eq!(ask(&mut client, AUTH, b"PLAIN", &plain("ann", PASSWORD)).0, 0);
    place.write(&format!("bob:{OTHER_PASSWORD}:"));
    reload(&server, "passwords and certificates were read again");
    assert_eq!(ask(&mut client, GET, b"a", b"").0, 1, "an open connection stays");
    assert_eq!(ask(&mut server.connect(), AUTH, b"PLAIN", &plain("bob", OTHER_PASSWORD)).0, 0);
    assert_eq!(ask(&mut server.connect(), AUTH, b"PLAIN", &plain("ann", PASSWORD)).0, 0x20);
    server.stop_cleanly();
}

/// Strangers cannot make the server keep much for them, and it stops at once although they wait.
#[test]
fn strangers_take_little_memory() {
    const STRANGERS: usize = 300;
    const EACH_BYTES_MAX: u64 = 96 << 10;
    let place = Place::new();
    let server = place.text();
    let mut client = known(&server, "ann", PASSWORD);
    let before = server.resident_bytes();
    let mut strangers: Vec<Client> = (0..STRANGERS).map(|_| server.connect()).collect();
    for stranger in &mut strangers {
        stranger.send("set auth 0 0 16384\r\n");
        stranger.send(vec![b'x'; 16383]);
    }
    // Each has been read once all of their bytes are counted.
    let sent = (STRANGERS * (20 + 16383)) as u64;
    until("all of it to be read", || (client.stat("bytes_read") > sent).then_some(()));
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < STRANGERS as u64 * EACH_BYTES_MAX, "{grown} bytes for {STRANGERS} strangers");
    client.set("still", "served");
    server.stop_cleanly();
}

#[test]
fn a_stranger_who_says_nothing_is_sent_away() {
    let place = Place::new();
    let server = place.text();
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.send("set auth 0 0 99\r\nann ");
    let mut known = known(&server, "ann", PASSWORD);
    silent.expect_close();
    slow.expect_close();
    server.wait_for_log("not authenticated in time");
    known.set("still", "served");
    server.stop_cleanly();
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    let refused = |arguments: &[&str], words: &[&str]| {
        let said = place.launch().args(arguments).refusal();
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    };
    refused(&["-S", "-o", "sasl_pwdb=users", "-B", "ascii"], &["SASL", "--protocol"]);
    refused(&["-Y", "users", "-B", "binary"], &["binary", "--protocol"]);
    refused(&["-Y", "users", "-S", "-o", "sasl_pwdb=users"], &["text", "SASL", "keep one"]);
    refused(&["-Y", "missing"], &["missing: cannot read this password file"]);
    place.write(&format!("ann:{PASSWORD}\n{OTHER_PASSWORD}\n"));
    let said = place.launch().args(["-Y", "users"]).refusal();
    assert!(said.contains("users:2: no colon"), "{said}");
    assert!(!said.contains("Sesame"), "{said}");
}

#[test]
fn opening_to_the_world_warns() {
    let place = Place::new();
    let open = "nobody is asked who they are";
    let launch =
        |address: &str| Launch::bare().args(["--store", "ram", "-l", address]).inside(place.0.path());
    let server = launch("0.0.0.0:0").start();
    server.wait_for_log(open);
    server.stop_cleanly();
    let guarded = launch("0.0.0.0:0").args(["-Y", "users"]).start();
    let local = launch("127.0.0.1:0").start();
    for server in [guarded, local] {
        let (_, log) = server.stop();
        assert!(!log.contains(open), "{log}");
    }
}

fn client_is_served(server: &Server, mut command: Command) {
    let said = outside::run(command.arg(server.address().port().to_string()).args(["ann", PASSWORD]));
    assert!(said.ends_with("is served\n"), "it came to its end: {said}");
}

fn python(program: &str) -> Command {
    let mut python = outside::python();
    python.arg(outside::file(Path::new("clients").join(program).to_str().expect("text")));
    python
}

#[test]
fn emcache_authenticates_in_text() {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let server = place.text();
    client_is_served(&server, python("emcache_auth.py"));
    server.stop_cleanly();
}

#[test]
fn python_binary_memcached_authenticates_by_sasl() {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let server = place.sasl();
    client_is_served(&server, python("bmemcached_auth.py"));
    server.stop_cleanly();
}
