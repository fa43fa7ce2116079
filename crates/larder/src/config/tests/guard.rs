//! Who may enter: what the options and the file say together.

use larder_server::tls::{KeyFormat, TlsVersion};
use larder_server::{Authentication, ClientCertificates, TlsOptions};

use super::super::Guard;
use super::*;

#[track_caller]
fn guard(command_line: &str, file: Option<&str>) -> Guard {
    plan(command_line, file).unwrap_or_else(|mistakes| panic!("{command_line}: {mistakes:?}")).guard
}

#[track_caller]
fn listeners(command_line: &str, file: Option<&str>) -> String {
    let plan = plan(command_line, file).unwrap_or_else(|mistakes| panic!("{command_line}: {mistakes:?}"));
    plan.listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn notes(command_line: &str) -> String {
    plan(command_line, None)
        .unwrap_or_else(|mistakes| panic!("{command_line}: {mistakes:?}"))
        .notes
        .join("\n")
}

const CERTIFICATE: &str = "-o ssl_chain_cert=/c,ssl_key=/k,ssl_ca_cert=/a";

#[test]
fn authentication() {
    assert_eq!(guard("larder", None), Guard::default());
    let text = |file: &str| Authentication::Text(file.into());
    let sasl = |file: &str| Authentication::Sasl(file.into());
    assert_eq!(guard("larder -Y /u", None).authentication, text("/u"));
    assert_eq!(guard("larder --auth-file=/u -B ascii", None).authentication, text("/u"));
    assert_eq!(guard("larder -S -o sasl_pwdb=/u", None).authentication, sasl("/u"));
    assert_eq!(guard("larder --enable-sasl -B binary -o sasl_pwdb=/u", None).authentication, sasl("/u"));
    assert_eq!(guard("larder", Some("passwords = '/u'")).authentication, text("/u"));
    assert_eq!(guard("larder", Some("sasl_passwords = '/u'")).authentication, sasl("/u"));
    // The command line decides for one of the two ways, and may leave the file's name to the file.
    assert_eq!(guard("larder -Y /v", Some("sasl_passwords = '/u'")).authentication, text("/v"));
    assert_eq!(guard("larder -S -o sasl_pwdb=/v", Some("passwords = '/u'")).authentication, sasl("/v"));
    assert_eq!(guard("larder -S", Some("sasl_passwords = '/u'")).authentication, sasl("/u"));
}

#[test]
fn the_environment_names_the_passwords_of_sasl() {
    let sasl = |line: &str, environment: Option<&str>| {
        let cli = crate::cli::Cli::try_parse_from(line.split(' ')).expect("known options");
        let options =
            Options { sasl_passwords_of_environment: environment.map(str::to_owned), ..cli.options };
        plan_of(Program::Memcached, &options, None).map(|plan| plan.guard.authentication)
    };
    assert_eq!(sasl("memcached -S", Some("/e")), Ok(Authentication::Sasl("/e".into())));
    assert_eq!(sasl("memcached -S -o sasl_pwdb=/u", Some("/e")), Ok(Authentication::Sasl("/u".into())));
    assert_eq!(sasl("memcached", Some("/e")), Ok(Authentication::None));
    let missing = sasl("memcached -S", None).expect_err("there is no password file");
    assert!(missing[0].contains("MEMCACHED_SASL_PWDB"), "{missing:?}");
}

#[test]
fn which_listeners_are_encrypted() {
    assert_eq!(listeners("larder -p 1", None), "127.0.0.1:1");
    assert_eq!(listeners(&format!("larder -Z {CERTIFICATE} -p 1"), None), "btls:127.0.0.1:1");
    assert_eq!(listeners(&format!("memcached -Z {CERTIFICATE}"), None), "btls:*:11211");
    let all = "notls:127.0.0.1:1,127.0.0.1:2,btls:127.0.0.1:3,mtls:127.0.0.1:4,tls:127.0.0.1:5,unix:/s";
    assert_eq!(
        listeners(&format!("larder -Z {CERTIFICATE},ssl_verify_mode=1 -l {all}"), None),
        "127.0.0.1:1 tls:127.0.0.1:2 btls:127.0.0.1:3 mtls:127.0.0.1:4 tls:127.0.0.1:5 unix:/s"
    );
    assert_eq!(
        listeners(&format!("larder {CERTIFICATE},ssl_verify_mode=2 -l {all}"), None),
        "127.0.0.1:1 127.0.0.1:2 btls:127.0.0.1:3 mtls:127.0.0.1:4 mtls:127.0.0.1:5 unix:/s"
    );
    let file = "listen = ['tls:[::1]:7', '*:8']\ntls_certificate = '/c'\ntls_clients = 'required'\ntls_client_ca = '/a'";
    assert_eq!(listeners("larder", Some(file)), "mtls:[::1]:7 *:8");
    assert_eq!(listeners("larder", Some(&format!("tls = true\n{file}"))), "mtls:[::1]:7 mtls:*:8");
    check_options(
        "larder -l tls:127.0.0.1:7,127.0.0.1:7 -o ssl_chain_cert=/c",
        "--listen:17: `127.0.0.1:7` cannot be listened on beside `tls:127.0.0.1:7` at --listen:1, which is \
         the same address; remove one of them, or give it another port or path",
    );
}

#[test]
fn how_tls_is_set_up() {
    assert_eq!(guard("larder -o ssl_chain_cert=/c", None).tls, None);
    let least =
        TlsOptions { certificate_chain: "/c".into(), write_buffer_bytes: 16 << 10, ..TlsOptions::default() };
    assert_eq!(guard("larder -Z -o ssl_chain_cert=/c", None).tls, Some(least.clone()));
    assert_eq!(guard("larder", Some("tls = true\ntls_certificate = '/c'")).tls, Some(least));
    let all = "ssl_chain_cert=/c,ssl_key=/k,ssl_keyformat=DER,ssl_verify_mode=3,ssl_ca_cert=/a,ssl_wbuf_size=4,\
               ssl_ciphers=ECDHE-RSA-AES128-GCM-SHA256,ssl_session_cache,ssl_min_version=3";
    let expected = TlsOptions {
        certificate_chain: "/c".into(),
        key: Some("/k".into()),
        key_format: KeyFormat::Der,
        client_authorities: Some("/a".into()),
        client_certificates: ClientCertificates::Required,
        version_min: TlsVersion::Tls13,
        ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256".into()),
        session_cache: true,
        write_buffer_bytes: 4 << 10,
    };
    assert_eq!(guard(&format!("larder -Z -o {all}"), None).tls, Some(expected));
    // What the options do not say the file says.
    let file = "tls = true\ntls_certificate = '/f'\ntls_key = '/k'\ntls_version_min = '1.3'";
    let tls = guard("larder -o ssl_chain_cert=/c,ssl_min_version=2", Some(file)).tls.expect("TLS");
    assert_eq!((tls.certificate_chain, tls.key), ("/c".into(), Some("/k".into())));
    assert_eq!(tls.version_min, TlsVersion::Tls12);
}

#[test]
fn what_does_not_fit_is_named() {
    check_options(
        "larder -Y /u -S",
        "--enable-sasl:1: clients cannot authenticate by text and by SASL; keep one of the two",
    );
    check_options(
        "larder -Y /u -B binary",
        "--auth-file:1: the binary protocol has no authentication by text; leave out --protocol binary, or use SASL (-S)",
    );
    check_options(
        "larder -S -o sasl_pwdb=/u -B ascii",
        "--enable-sasl:1: the text protocol has no SASL; leave out --protocol ascii, or use a password file for text (-Y)",
    );
    check_options(
        "larder -Z",
        "--enable-ssl:1: TLS has no certificate; name it and its key with -o ssl_chain_cert=FILE,ssl_key=FILE, or \
         `tls_certificate` and `tls_key` in the file",
    );
    check_options(
        "larder -l mtls:127.0.0.1 -o ssl_chain_cert=/c",
        "--listen:1: clients are asked for certificates, but nothing says which are good; name the certificates of \
         their authorities with -o ssl_ca_cert=FILE, or `tls_client_ca` in the file",
    );
    check_options(
        "larder -Y= -o ssl_verify_mode=4,ssl_min_version=4,ssl_keyformat=pem,ssl_ciphers=MD5,ssl_key=",
        "
        --extended:1: `4` is no way to verify clients; write 0 (none), 1 (request), 2 (require) or 3 (once)
        --extended:19: `4` is no version of TLS; write 2 for TLS 1.2 or 3 for TLS 1.3
        --extended:37: `pem` is no format of a key; write PEM or DER
        --extended:55: `MD5` is no cipher that larder has: ECDHE-ECDSA-AES256-GCM-SHA384, \
        ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-AES256-GCM-SHA384, \
        ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-CHACHA20-POLY1305; write names, separated by colons
        --extended:71: `ssl_key` has no value; write ssl_key=FILE
        --auth-file:1: this is no name of a file; write one, as in /etc/larder/users
        ",
    );
    check_file(
        "tls = 1\npasswords = ''\ntls_clients = 'some'\ntls_version_min = '1.1'\n",
        "
        1:7: `tls` cannot be a bare number; write `tls = true`
        2:14: this is no name of a file; write one, as in /etc/larder/users
        3:16: `some` is nothing to ask of clients; write unasked, asked or required
        4:20: `1.1` is no version of TLS; write 1.2 or 1.3
        ",
    );
}

#[test]
fn what_keeps_nobody_out_is_said() {
    assert_eq!(notes(&format!("larder -Z {CERTIFICATE}")), "");
    assert!(notes(&format!("larder {CERTIFICATE}")).contains("no address is encrypted"));
    assert!(notes(&format!("larder -Z {CERTIFICATE} -s /s")).contains("no TCP address"));
    assert!(notes("larder -o sasl_pwdb=/u").contains("add -S"));
}

/// As memcached does: whoever shows no certificate would enter anyway, and none that is shown could be good.
#[test]
fn certificates_that_nobody_could_judge_are_not_asked_for() {
    let line = "memcached -Z -o ssl_chain_cert=/c,ssl_verify_mode=1";
    assert_eq!(listeners(line, None), "btls:*:11211");
    assert_eq!(guard(line, None).tls.expect("TLS").client_certificates, ClientCertificates::Unasked);
    assert!(notes(line).contains("nothing says which are good"));
    assert_eq!(notes(&format!("{line},ssl_ca_cert=/a")), "");
    let file = "tls = true\ntls_certificate = '/c'\ntls_clients = 'asked'";
    assert_eq!(listeners("larder", Some(file)), "btls:127.0.0.1:11211");
}

#[test]
fn open_addresses() {
    let open = |line: &str| {
        plan(line, None).unwrap_or_else(|mistakes| panic!("{line}: {mistakes:?}")).open_addresses().join(" ")
    };
    assert_eq!(open("larder"), "");
    assert_eq!(open("larder -l localhost,[::1]:7,unix:/s"), "");
    assert_eq!(open("memcached"), "*:11211");
    assert_eq!(open("memcached -s /s"), "");
    assert_eq!(open("larder -l 10.0.0.1,127.0.0.1"), "10.0.0.1:11211");
    assert_eq!(open("larder -l 0.0.0.0 -Y /u"), "");
    // Encryption alone lets everybody in.
    assert_eq!(open(&format!("larder -l 10.0.0.1 -Z {CERTIFICATE}")), "10.0.0.1:11211");
    assert_eq!(open(&format!("larder -l 10.0.0.1 -Z {CERTIFICATE},ssl_verify_mode=2")), "");
}
