//! The campaign itself, short: the server of this build must pass, and an audit that asks for more than the store
//! promises must find what is missing.

use std::path::PathBuf;

use larder_crash::campaign::{self, Length, Options, Report};
use larder_crash::checker::Level;
use larder_crash::server::Recipe;

fn options(store: &str, kills: u64) -> Options {
    let program = std::env::var_os("LARDER_BIN")
        .expect("LARDER_BIN does not name the server: run the tests with `cargo xtask test`");
    Options {
        recipe: Recipe {
            program: PathBuf::from(program),
            store: store.to_owned(),
            memory_mib: 64,
            threads: 2,
        },
        seed: 30,
        length: Length::Rounds(kills),
        clients: 9,
        load_ms: (100, 400),
        rounds_per_folder: 10,
        clean_stops_percent: 10,
        flush_rounds_percent: 20,
        level: campaign::level_of(store),
    }
}

fn run(options: &Options) -> Report {
    campaign::run(options, &mut |_| {}).expect("the campaign runs")
}

#[track_caller]
fn passes(store: &str, rounds: u64) {
    passes_with(&options(store, rounds), rounds, 10);
}

/// A write of a file store takes two syncs, and a disk that others use too may do few of them in a second.
#[track_caller]
fn passes_on_files(store: &str, rounds: u64) {
    passes_with(&Options { load_ms: (300, 600), ..options(store, rounds) }, rounds, 1);
}

#[track_caller]
fn passes_with(options: &Options, rounds: u64, writes_per_round_min: u64) {
    let report = run(options);
    assert!(report.findings.is_empty(), "{}\nkept: {:?}", report.findings.join("\n"), report.kept_folder);
    assert_eq!(report.totals.undecided, 0);
    assert_eq!(report.totals.kills + report.totals.clean_stops, rounds);
    let least = writes_per_round_min * rounds;
    assert!(report.totals.acknowledged_writes > least, "hardly anything was written");
}

#[test]
fn heavy_thirty_kills_lose_nothing() {
    passes("ram > sqlite", 34);
}

#[test]
fn heavy_kills_of_a_store_read_past_its_cache_lose_nothing() {
    passes("ram(1MiB) > sqlite", 8);
}

#[test]
fn heavy_kills_of_a_queue_keep_its_order() {
    passes("ram > sqlite(write=behind)", 10);
}

#[test]
fn heavy_kills_of_files_lose_nothing() {
    passes_on_files("file", 12);
}

#[test]
fn heavy_kills_of_files_read_past_their_cache_lose_nothing() {
    passes_on_files("ram(1MiB) > file", 6);
}

#[test]
fn heavy_kills_of_a_queue_over_files_keep_its_order() {
    passes_on_files("ram > file(write=behind)", 6);
}

/// The audit of a real server finds what is really lost.
#[test]
fn heavy_an_acknowledgement_before_the_commit_is_caught() {
    let mut options = options("ram > sqlite(write=behind)", 20);
    options.level = Level::Local;
    options.clean_stops_percent = 0;
    let report = run(&options);
    let kept = report.kept_folder.expect("the data of a finding is kept");
    std::fs::remove_dir_all(kept).expect("the kept folder can be removed");
    assert!(
        report.findings.iter().any(|finding| finding.contains("lost") || finding.contains("went back")),
        "{:?}",
        report.findings
    );
}
