//! TLS: who is let in, that nothing is lost, and that certificates change under traffic.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::certificates::{Authority, Identity};
use crate::support::client::Stream;
use crate::support::outside;
use crate::support::wait::until;
use crate::support::{Client, Launch, Server};

/// A folder with a server's certificate, `server.pem` and `server.key`, and the authority that gave it, `ca.pem`.
struct Place {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Place {
    fn new() -> Place {
        let place =
            Place { folder: tempfile::tempdir().unwrap(), authority: Authority::new("first authority") };
        place.authority.give("first server").write(place.folder.path(), "server");
        place.authority.write(place.folder.path(), "ca");
        place
    }

    fn launch(&self, addresses: &str) -> Launch {
        let files = "ssl_chain_cert=server.pem,ssl_key=server.key,ssl_ca_cert=ca.pem";
        Launch::bare().args(["--store", "ram", "-v", "-l", addresses, "-o", files]).inside(self.folder.path())
    }

    /// A server that speaks TLS on one port.
    fn start(&self) -> Server {
        self.launch("127.0.0.1:0").arg("-Z").start()
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(None)
    }
}

/// Whether a client with this configuration is served.
fn is_served(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    // With TLS 1.3 a client learns only after the handshake that its certificate was refused.
    Client::try_tls(address, config)
        .is_ok_and(|mut client| client.try_send("mn\r\n").is_ok() && answers(&mut client))
}

fn answers(client: &mut Client) -> bool {
    let Stream::Tls(stream) = client.stream_mut() else { panic!("a client of TLS") };
    let mut answer = [0; 4];
    std::io::Read::read_exact(stream, &mut answer).is_ok_and(|()| answer == *b"MN\r\n")
}

#[test]
fn what_is_asked_is_answered() {
    let place = Place::new();
    let server = place.launch("127.0.0.1:0").args(["-Z", "-I", "8m"]).start();
    let mut client = Client::tls(server.address(), &place.client());
    client.set("a", "1");
    assert_eq!(client.get("a").as_deref(), Some("1"));
    let large = "v".repeat(5_000_000);
    client.set("large", &large);
    assert!(client.get("large").is_some_and(|value| value == large));
    // Many requests at once, whose answers are larger than what a socket holds, to a client that reads late.
    let asked = 4;
    client.send("get large a\r\n".repeat(asked));
    let answer = format!("VALUE large 0 5000000\r\n{large}\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    for _ in 0..asked {
        client.expect(&answer);
    }
    let mut small = String::new();
    for number in 0..5000 {
        small.push_str(&format!("set key:{number} 0 0 4\r\n{number:04}\r\n"));
    }
    client.ask(small, "STORED\r\n".repeat(5000));
    let mut binary = Client::tls(server.address(), &place.client());
    binary.send([&[0x80, 0x0a][..], &[0; 22]].concat());
    assert_eq!(binary.bytes(24)[..2], [0x81, 0x0a]);
    server.stop_cleanly();
}

/// Both sides say that they have finished, so that neither takes a cut for an end.
#[test]
fn an_end_is_said() {
    let place = Place::new();
    let server = place.start();
    let config = place.client();
    // The client says no more, and still gets its answers.
    let mut client = Client::tls(server.address(), &config);
    client.send("set a 0 0 1\r\n1\r\nget a\r\n");
    client.finish().unwrap();
    assert_eq!(client.rest(), b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    let mut client = Client::tls(server.address(), &config);
    client.send("quit\r\n");
    client.expect_close();
    // Cut off: what was not said whole is not done.
    let mut client = Client::tls(server.address(), &config);
    client.send("set b 0 0 1\r\n1\r\nset c 0 0 10\r\n12345");
    client.expect("STORED\r\n");
    let Stream::Tls(stream) = client.stream() else { panic!("a client of TLS") };
    stream.sock.shutdown(Shutdown::Write).unwrap();
    client.expect_close();
    let mut client = Client::tls(server.address(), &config);
    assert_eq!((client.get("b").as_deref(), client.get("c")), (Some("1"), None));
    // The server stops while a client waits.
    assert_eq!(client.stat("ssl_proto_errors"), 0);
    server.signal(libc::SIGTERM);
    client.expect_close();
    assert!(server.wait_for_exit().success());
}

#[test]
fn what_is_no_tls_is_refused() {
    let place = Place::new();
    let server = place.start();
    let mut plain = Client::tcp(server.address());
    plain.send("get a\r\n");
    let answer = plain.rest();
    assert!(!answer.windows(3).any(|part| part == b"END"), "only an alert comes back");
    let stranger = Authority::new("another authority");
    assert!(!is_served(server.address(), &stranger.client(None)), "the client does not know the server");
    // A record that nobody encrypted.
    let mut damaged = Client::tls(server.address(), &place.client());
    damaged.set("a", "1");
    let Stream::Tls(stream) = damaged.stream_mut() else { panic!("a client of TLS") };
    stream.sock.write_all(b"\x17\x03\x03\x00\x20damaged damaged damaged damaged ").unwrap();
    let mut client = Client::tls(server.address(), &place.client());
    until("the damage to be counted", || (client.stat("ssl_proto_errors") == 1).then_some(()));
    until("two handshakes to fail", || (client.stat("ssl_handshake_errors") == 2).then_some(()));
    assert_eq!(client.get("a").as_deref(), Some("1"));
    server.stop_cleanly();
}

/// A handshake that stands still ends, and holds nobody up meanwhile.
#[test]
fn a_handshake_does_not_last_for_ever() {
    let place = Place::new();
    let server = place.launch("127.0.0.1:0").args(["-Z", "-vv", "-t", "1"]).start();
    let mut silent: Vec<Client> = (0..20).map(|_| Client::tcp(server.address())).collect();
    for (number, client) in silent.iter_mut().enumerate() {
        // The beginning of a handshake, of different lengths.
        client.send(
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"[..number],
        );
    }
    let mut client = Client::tls(server.address(), &place.client());
    client.set("a", "1");
    for silent in &mut silent {
        silent.expect_close();
    }
    assert_eq!(client.stat("ssl_handshake_errors"), 20);
    assert_eq!(client.stat("curr_connections"), 1);
    server.stop_cleanly();
}

#[test]
fn clients_show_certificates_where_they_are_asked_for() {
    let place = Place::new();
    let server = place.launch("127.0.0.1:0").args(["-Z", "-o", "ssl_verify_mode=2"]).start();
    let address = server.address();
    let known = place.authority.give("a client");
    let stranger = Authority::new("another authority").give("a stranger");
    assert!(is_served(address, &place.authority.client(Some(&known))));
    assert!(!is_served(address, &place.authority.client(Some(&stranger))), "of an unknown authority");
    assert!(!is_served(address, &place.client()), "without a certificate");
    server.stop_cleanly();

    let server = place.launch("127.0.0.1:0").args(["-Z", "-o", "ssl_verify_mode=1"]).start();
    assert!(is_served(server.address(), &place.client()), "none is shown");
    assert!(!is_served(server.address(), &place.authority.client(Some(&stranger))), "a bad one is shown");
    server.stop_cleanly();
}

#[test]
fn each_listener_has_its_own_way() {
    let place = Place::new();
    let server = place.launch("notls:127.0.0.1:0,127.0.0.1:0,mtls:127.0.0.1:0").arg("-Z").start();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 3, "{}", server.start_line());
    let known = place.authority.client(Some(&place.authority.give("a client")));
    Client::tcp(addresses[0]).set("a", "1");
    assert!(is_served(addresses[1], &place.client()));
    assert!(!is_served(addresses[2], &place.client()));
    assert!(is_served(addresses[2], &known));
    server.stop_cleanly();

    let text = "listen = [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\ntls_certificate = \"server.pem\"\n\
                tls_key = \"server.key\"\ntls_clients = \"required\"\ntls_client_ca = \"ca.pem\"\n\
                tls_version_min = \"1.3\"\n[[prefix]]\nkey = \"\"\nstack = \"ram\"\n";
    std::fs::write(place.folder.path().join("larder.toml"), text).unwrap();
    let server = Launch::bare().args(["--config", "larder.toml"]).inside(place.folder.path()).start();
    let addresses = server.addresses();
    Client::tcp(addresses[0]).set("a", "1");
    assert!(!is_served(addresses[1], &place.client()));
    assert!(is_served(addresses[1], &known));
    let settings = Client::tls(addresses[1], &known).stats("settings");
    for (name, value) in [("ssl_enabled", "yes"), ("ssl_min_version", "tlsv1.3"), ("ssl_verify_mode", "2")] {
        assert!(
            settings.iter().any(|(other, found)| other == name && found == value),
            "{name}: {settings:?}"
        );
    }
    server.stop_cleanly();
}

/// The second authority's server takes the place of the first.
fn change_certificate(place: &Place) -> (Authority, Identity) {
    let authority = Authority::new("second authority");
    let server = authority.give("second server");
    server.write(place.folder.path(), "server");
    (authority, server)
}

#[test]
fn certificates_change_at_sighup() {
    let place = Place::new();
    let server = place.start();
    let mut before = Client::tls(server.address(), &place.client());
    let (second, _) = change_certificate(&place);
    assert!(is_served(server.address(), &place.client()), "nobody has asked for it yet");
    server.signal(libc::SIGHUP);
    server.wait_for_log("passwords and certificates were read again");
    assert!(is_served(server.address(), &second.client(None)));
    assert!(!is_served(server.address(), &place.client()));
    before.set("still", "served");
    server.stop_cleanly();
}

#[test]
fn certificates_change_when_a_client_says_so() {
    let place = Place::new();
    let server = place.start();
    let mut before = Client::tls(server.address(), &place.client());
    let (second, identity) = change_certificate(&place);
    before.ask("refresh_certs\r\nmn\r\n", "OK\r\nMN\r\n");
    assert!(is_served(server.address(), &second.client(None)));
    // What cannot be used changes nothing: a key of another certificate, no key, nothing at all.
    let folder = place.folder.path();
    let good = identity.key.serialize_pem();
    let other = place.authority.give("other").key.serialize_pem();
    for (key, said) in [(other.as_str(), "do not fit"), ("", "no private key"), (&good, "")] {
        std::fs::write(folder.join("server.key"), key).unwrap();
        before.send("refresh_certs\r\n");
        let answer = before.line();
        assert_eq!(answer.starts_with("Error"), !said.is_empty(), "{answer}");
        server.wait_for_log(said);
        assert!(is_served(server.address(), &second.client(None)));
    }
    server.stop_cleanly();
    let plain = Launch::bare().args(["--store", "ram", "-l", "127.0.0.1:0"]).start();
    plain.connect().ask("refresh_certs\r\n", "ERROR\r\n");
    plain.stop_cleanly();
}

#[test]
fn what_tls_lacks_is_said() {
    let place = Place::new();
    let folder = place.folder.path();
    let refused = |arguments: &[&str], words: &[&str]| {
        let launch = Launch::bare().args(["--store", "ram", "-l", "127.0.0.1:0", "-Z"]).args(arguments);
        let said = launch.inside(folder).refusal();
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    };
    refused(&[], &["TLS has no certificate", "ssl_chain_cert"]);
    refused(&["-o", "ssl_chain_cert=none.pem"], &["none.pem: cannot read this certificate"]);
    refused(&["-o", "ssl_chain_cert=server.pem"], &["server.pem: no private key"]);
    refused(&["-o", "ssl_chain_cert=server.key"], &["server.key: no certificate"]);
    let certificate = "ssl_chain_cert=server.pem,ssl_key=server.key,";
    let with = |more: &str| format!("{certificate}{more}");
    refused(&["-o", &with("ssl_verify_mode=2")], &["nothing says which are good", "ssl_ca_cert"]);
    refused(&["-o", &with("ssl_ca_cert=server.key")], &["server.key: no certificate"]);
    refused(&["-o", &with("ssl_keyformat=DER")], &["server.key: no private key", "DER"]);
    refused(
        &["-o", &with("ssl_ciphers=NULL-MD5")],
        &["`NULL-MD5` is no cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
    );
    std::fs::write(folder.join("other.key"), place.authority.give("other").key.serialize_pem()).unwrap();
    refused(&["-o", "ssl_chain_cert=server.pem,ssl_key=other.key"], &["other.key", "do not fit"]);
}

#[test]
fn a_key_may_be_der_and_tls_may_be_of_one_version() {
    let place = Place::new();
    let identity = place.authority.give("server");
    identity.write(place.folder.path(), "server");
    std::fs::write(place.folder.path().join("server.der"), identity.key.serialize_der()).unwrap();
    let options = "ssl_chain_cert=server.pem,ssl_key=server.der,ssl_keyformat=DER,ssl_session_cache,\
                   ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256,ssl_wbuf_size=8,ssl_min_version=2";
    let server = Launch::bare()
        .args(["--store", "ram", "-l", "127.0.0.1:0", "-Z", "-o", options])
        .inside(place.folder.path())
        .start();
    let config = place.client();
    for _ in 0..3 {
        let mut client = Client::tls(server.address(), &config);
        client.set("a", "1");
        client.finish().unwrap();
        client.expect_close();
    }
    let mut client = Client::tls(server.address(), &config);
    assert_eq!(client.stat("ssl_new_sessions"), 1, "the others took it up again");
    let settings = client.stats("settings");
    for expected in "ssl_keyformat=2 ssl_ciphers=ECDHE-ECDSA-AES128-GCM-SHA256 ssl_wbuf_size=8192 \
                     ssl_session_cache=yes ssl_min_version=tlsv1.2"
        .split_whitespace()
    {
        let (name, value) = expected.split_once('=').expect("a pair");
        assert!(
            settings.iter().any(|(other, found)| other == name && found == value),
            "{name}: {settings:?}"
        );
    }
    server.stop_cleanly();
}

#[test]
fn pymemcache_speaks_tls() {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let server = place.start();
    let mut python = outside::python();
    python.arg(outside::file("clients/pymemcache_tls.py")).arg(server.address().port().to_string());
    let said = outside::run(python.arg(place.folder.path().join("ca.pem")));
    assert!(said.ends_with("is served\n"), "it came to its end: {said}");
    server.stop_cleanly();
}

#[test]
fn pymemcache_shows_its_certificate_and_says_its_password() {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    let file = |name: &str| place.folder.path().join(name);
    place.authority.give("a client").write(place.folder.path(), "client");
    std::fs::write(file("users"), "ann:open-Sesame-1\n").unwrap();
    let server = place.launch("127.0.0.1:0").args(["-Z", "-Y", "users", "-o", "ssl_verify_mode=2"]).start();
    let mut python = outside::python();
    python.arg(outside::file("clients/pymemcache_guarded.py")).arg(server.address().port().to_string());
    python.args(["ca.pem", "client.pem", "client.key"].map(file)).args(["ann", "open-Sesame-1"]);
    let said = outside::run(&mut python);
    assert!(said.ends_with("is served\n"), "it came to its end: {said}");
    server.stop_cleanly();
}

/// What `openssl s_client` gets for `mn` with these arguments besides.
fn openssl(place: &Place, server: &Server, arguments: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem", "-connect"])
        .arg(server.address().to_string())
        .args(arguments)
        .current_dir(place.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl: {error}; `cargo xtask services install` installs it"));
    // It may have been refused already.
    let _ = client.stdin.take().expect("piped").write_all(b"mn\r\nquit\r\n");
    String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn openssl_shows_its_certificate() {
    if outside::is_left_out() {
        return;
    }
    let place = Place::new();
    place.authority.give("a client").write(place.folder.path(), "client");
    Authority::new("another authority").give("a stranger").write(place.folder.path(), "stranger");
    let server = place.launch("127.0.0.1:0").args(["-Z", "-o", "ssl_verify_mode=2"]).start();
    for version in ["-tls1_2", "-tls1_3"] {
        let with = |name: &str| {
            let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
            openssl(&place, &server, &[version, "-cert", &certificate, "-key", &key])
        };
        assert_eq!(with("client"), "MN\r\n", "{version}");
        assert_eq!(with("stranger"), "", "{version}");
        assert_eq!(openssl(&place, &server, &[version]), "", "{version}");
    }
    assert_eq!(openssl(&place, &server, &["-tls1_1"]), "");
    server.stop_cleanly();
}
