//! The engine kit on the simulated disk, with kills and power cuts, and bugs planted to see that they are found.
//!
//! `LARDER_CUTS` and `LARDER_SEED` choose another campaign than the ordinary one:
//! `LARDER_CUTS=10000 cargo test -p larder-sqlite --test power_cut a_power_cut`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_engine::kit::power_cut::{Plan, campaign};
use larder_engine::kit::{Opened, Subject, World};
use larder_sqlite::{Planted, SqliteEngine, SqliteOptions, power_cut};

/// Opens a store on the simulated disk. Every other time its bounds are so small that folding, checkpoints and the
/// direct way of large values happen at every turn.
fn open(world: &World, planted: Option<Planted>) -> Opened {
    static TURN: AtomicU64 = AtomicU64::new(0);
    // Does nothing for a disk that is attached already.
    power_cut::attach(world.disk());
    let usual = SqliteOptions { planted, page_cache_bytes: 1 << 20, ..SqliteOptions::new(world.folder()) };
    let options = match TURN.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => usual,
        _ => SqliteOptions {
            journal_bytes: 1 << 10,
            journal_bytes_max: 16 << 10,
            large_value_bytes: 40,
            wal_bytes: 32 << 10,
            wal_bytes_max: 256 << 10,
            purge_rest: Duration::from_millis(1),
            ..usual
        },
    };
    Ok(Arc::new(SqliteEngine::open(world.services(), options)?))
}

fn make(world: &World) -> Opened {
    open(world, None)
}

larder_engine::kit_tests!(make, survives power_cut);

#[test]
fn a_power_cut_on_a_disk_that_promises_nothing_keeps_what_was_acknowledged() {
    let make = |world: &World| {
        power_cut::attach_without_claims(world.disk());
        open(world, None)
    };
    match campaign(&Subject::new(&make), &Plan::from_environment(200)) {
        Ok(report) => println!("{report}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// The ordinary campaign finds `planted`, and what it says names one of `signs`.
fn must_be_caught(planted: Planted, signs: &[&str]) {
    let make = move |world: &World| open(world, Some(planted));
    // How threads are scheduled no seed decides; one cut in ten or so finds it, and the first find ends the campaign.
    let plan = Plan { cuts: 2000, ..Plan::from_environment(2000) };
    let failure = campaign(&Subject::new(&make), &plan).expect_err("the campaign must find the planted bug");
    println!("{failure}");
    assert!(signs.iter().any(|sign| failure.text().contains(sign)), "found for another reason: {failure}");
}

#[test]
fn synchronous_off_is_caught() {
    must_be_caught(Planted::SynchronousOff, &["no order of the commands", "could not be opened", "gave CAS"]);
}

#[test]
fn an_answer_before_the_commit_is_caught() {
    must_be_caught(Planted::AckBeforeCommit, &["no order of the commands", "gave CAS"]);
}

#[test]
fn a_missing_folder_sync_is_caught() {
    must_be_caught(Planted::NoFolderSync, &["no order of the commands", "gave CAS"]);
}
