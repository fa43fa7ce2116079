//! Sizes, durations and addresses.

use super::super::address::{parse_listener, parse_tcp};
use super::super::units::{format_duration, format_size, parse_duration, parse_size};

#[test]
fn sizes_mean_what_they_say() {
    for (text, bytes) in [
        ("1", 1),
        ("4096b", 4096),
        ("500k", 512_000),
        ("1m", 1 << 20),
        ("64MiB", 64 << 20),
        ("64mib", 64 << 20),
        ("1GB", 1_000_000_000),
        ("1g", 1 << 30),
        ("2TiB", 2 << 40),
        ("9223372036854775807", i64::MAX as u64),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
}

/// The problem and the advice for a text that is refused.
#[track_caller]
fn check<T: std::fmt::Debug>(
    result: Result<T, super::super::report::Objection>,
    problem: &str,
    instead: &str,
) {
    let objection = result.expect_err("this is refused");
    assert_eq!((objection.problem.as_str(), objection.instead.as_str()), (problem, instead));
}

#[test]
fn sizes_without_meaning_are_refused() {
    const ADVICE: &str = "write a whole number and KiB, MiB or GiB, as in 64MiB";
    let enough = "write a size that this machine has, as in 64MiB";
    let smaller = "write a whole number of the next smaller unit, as in 1536MiB for one and a half GiB";
    for (text, problem, instead) in [
        ("", "the size is empty", ADVICE),
        (" ", "the size is empty", ADVICE),
        ("0", "`0`: a size of zero keeps nothing", ADVICE),
        ("0MiB", "`0MiB`: a size of zero keeps nothing", ADVICE),
        ("-5MiB", "`-5MiB`: a size is never below zero", ADVICE),
        ("much", "`much` is no size", ADVICE),
        ("64 bananas", "`64 bananas`: `bananas` is no unit of size", ADVICE),
        ("64s", "`64s`: `s` is no unit of size", ADVICE),
        ("64 MiB", "`64 MiB` has a space in it", "write 64MiB"),
        ("1.5GiB", "`1.5GiB` is no whole number", smaller),
        ("9223372036854775808", "`9223372036854775808` is larger than any size larder can count", enough),
        (
            "99999999999999999999999",
            "`99999999999999999999999` is larger than any size larder can count",
            enough,
        ),
        ("16777216TiB", "`16777216TiB` is larger than any size larder can count", enough),
    ] {
        check(parse_size(text), problem, instead);
    }
}

#[test]
fn durations_mean_what_they_say() {
    for (text, millis) in
        [("0s", 0), ("50ms", 50), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000), ("366d", 31_622_400_000)]
    {
        assert_eq!(parse_duration(text).map(|duration| duration.as_millis()), Ok(millis), "{text}");
    }
}

#[test]
fn durations_without_meaning_are_refused() {
    const ADVICE: &str = "write a whole number and ms, s, m, h or d, as in 50ms or 5s";
    for (text, problem, instead) in [
        ("", "the duration is empty", ADVICE),
        ("50", "`50` has no unit of time", "write 50ms or 50s, whichever is meant"),
        ("-1s", "`-1s`: a duration is never below zero", ADVICE),
        ("soon", "`soon` is no duration", ADVICE),
        ("5MiB", "`5MiB`: `MiB` is no unit of time", ADVICE),
        ("5 s", "`5 s` has a space in it", "write 5s"),
        ("367d", "`367d` is longer than a year", "write at most 366d"),
        ("99999999999999999999d", "`99999999999999999999d` is longer than a year", "write at most 366d"),
    ] {
        check(parse_duration(text), problem, instead);
    }
}

#[test]
fn formatting_uses_the_largest_exact_unit() {
    let sizes = [(1, "1"), (1000, "1000"), (1024, "1KiB"), (1 << 20, "1MiB"), ((1 << 20) + 1, "1048577")];
    for (bytes, text) in sizes {
        assert_eq!(format_size(bytes), text);
    }
    for (millis, text) in [(0, "0ms"), (50, "50ms"), (1_000, "1s"), (1_500, "1500ms"), (120_000, "2m")] {
        assert_eq!(format_duration(std::time::Duration::from_millis(millis)), text);
    }
}

#[test]
fn addresses_are_read() {
    for (text, shown) in [
        ("127.0.0.1", "127.0.0.1:11211"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("localhost:0", "localhost:0"),
        ("*", "*:11211"),
        ("*:5", "*:5"),
        ("::1", "[::1]:11211"),
        ("[::1]", "[::1]:11211"),
        ("[::]:65535", "[::]:65535"),
        ("cache-1.example.org:11212", "cache-1.example.org:11212"),
        ("unix:/run/larder.sock", "unix:/run/larder.sock"),
        ("unix:a:b", "unix:a:b"),
    ] {
        let listener = parse_listener(text, 11211).expect("this is an address");
        assert_eq!(listener.to_string(), shown);
    }
}

#[test]
fn wrong_addresses_are_refused() {
    const FORMS: &str = "write host, host:port, [v6]:port, *:port for all addresses, or unix:/path";
    const PORT: &str = "write a number from 1 to 65535 after a colon, or 0 for any free port";
    for (text, problem, instead) in [
        ("", "the address is empty", FORMS),
        (":11211", "the address has no host before its port", FORMS),
        ("host:", "`host:` has no port after its host", PORT),
        ("host:+1", "`host:+1` has no port after its host", PORT),
        ("host:65536", "`host:65536`: 65536 is too large for a port", PORT),
        ("[::1]11211", "`[::1]11211` has no port after its host", PORT),
        ("[::1", "`[::1`: the bracket is not closed", "write [v6]:port"),
        ("[localhost]:1", "`localhost` is no IPv6 address", "write one, as in [::1]:11211"),
        ("::1:11211", "`::1:11211` is no address", "write an IPv6 address in brackets, as in [::1]:11211"),
        ("a:b:c", "`a:b:c` is no address", FORMS),
        (
            "127.0.0.256",
            "`127.0.0.256` is no IPv4 address",
            "write four numbers from 0 to 255, as in 127.0.0.1",
        ),
        ("two words", "`two words` is no host", FORMS),
    ] {
        check(parse_tcp(text, 11211), problem, instead);
    }
    check(
        parse_listener("unix:", 0),
        "the path of the unix socket is empty",
        "write it, as in /run/larder.sock",
    );
    check(
        parse_listener(&format!("unix:{}", "s".repeat(108)), 0),
        "the path of the unix socket is 108 bytes long",
        "write one of at most 107 bytes, which is all the system takes",
    );
    assert!(parse_listener(&format!("unix:{}", "s".repeat(107)), 0).is_ok());
    check(
        parse_listener("unix:a\0b", 0),
        "the path of the unix socket contains a zero byte",
        "write the path without it",
    );
}
