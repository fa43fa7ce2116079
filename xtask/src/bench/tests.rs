//! The figures beside memcached, run with so few items and so short that only the harness itself is tried.

use super::cores::Seat;
use super::server::{Folder, Kind};
use super::{Bench, figures};
use crate::command;
use std::env;
use std::path::PathBuf;

fn tiny(only: &[&str]) -> Option<Bench> {
    if env::var_os("LARDER_TEST_QUICK").is_some() {
        return None;
    }
    Some(Bench {
        seconds: 0.05,
        rounds: Some(1),
        divide: 20,
        verbose: false,
        json: false,
        only: only.iter().map(ToString::to_string).collect(),
        larder: env::var_os("LARDER_BIN").map_or_else(command::server_binary, PathBuf::from),
        point_select: PathBuf::new(),
    })
}

/// Runs a figure; the names of its rows. Every row must have a number, unless what it compares is too small for that.
fn rows(figure: &str, bench: &Bench, all_numbers: bool) -> Vec<String> {
    let figure = figures::FIGURES.iter().find(|known| known.name == figure).expect("the figure is known");
    let verdicts = (figure.measure)(bench).expect("the figure can be measured");
    let json: Vec<_> = verdicts.iter().map(super::numbers::Verdict::json).collect();
    for row in &json {
        assert!(!all_numbers || row["measured"].as_f64().is_some_and(f64::is_finite), "{row}");
        assert!(row["holds"].is_boolean(), "{row}");
    }
    json.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_table_beside_memcached() {
    let Some(bench) = tiny(&[]) else { return };
    let rows = rows("memcached", &bench, true);
    assert_eq!(rows.len(), 17, "{rows:?}");
    for name in ["get-x16", "getq-x16", "mg-x100", "set-100k", "p99-half-load", "two-threads-x16"] {
        assert!(rows.iter().any(|row| row == name), "{name} is not in {rows:?}");
    }
}

#[test]
fn items_and_hit_ratios() {
    let Some(bench) = tiny(&["items-1k", "hit-ratio-scan", "idle"]) else { return };
    // So few items weigh less than a server without any.
    let rows = rows("memory", &bench, false);
    assert_eq!(rows, ["items-1k", "hit-ratio-scan", "idle-connections"]);
}

#[test]
fn attacks_go_their_way() {
    let Some(bench) = tiny(&[]) else { return };
    assert_eq!(rows("malicious", &bench, true).len(), 16);
}

#[test]
fn both_servers_are_asked_the_same_way() {
    let Some(bench) = tiny(&[]) else { return };
    for kind in [Kind::Memcached { memory_mib: 64 }, Kind::Larder { store: "ram", memory_mib: 64 }] {
        let folder = Folder::new("asked").expect("a folder");
        let server = bench.start_on(&kind, &folder, Seat::default()).expect("a server");
        bench.fill(&server, "--keys 100").expect("filling");
        assert_eq!(server.stat("curr_items").expect("a count"), 100);
        assert!(server.version().expect("a version").starts_with("1."));
        assert!(server.resident_bytes().expect("a size") > 1 << 20);
    }
}
