//! The engine kit on the simulated disk, with kills and power cuts, and bugs planted to see that they are found.
//!
//! `LARDER_CUTS` and `LARDER_SEED` choose another campaign than the ordinary one:
//! `LARDER_CUTS=10000 cargo test -p larder-file --test power_cut a_power_cut`.

use std::sync::Arc;
use std::time::Duration;

use larder_engine::kit::power_cut::{Plan, campaign};
use larder_engine::kit::{Opened, Subject, World};
use larder_file::{FileEngine, FileOptions, Planted};

fn open(world: &World, planted: Option<Planted>) -> Opened {
    let purge_rest = Duration::from_millis(1);
    let options = FileOptions { planted, purge_rest, ..FileOptions::new(world.folder()) };
    Ok(Arc::new(FileEngine::open(world.services(), options)?))
}

fn make(world: &World) -> Opened {
    open(world, None)
}

larder_engine::kit_tests!(make, survives power_cut);

/// The ordinary campaign finds `planted`, and what it says names one of `signs`.
fn must_be_caught(planted: Planted, signs: &[&str]) {
    let make = move |world: &World| open(world, Some(planted));
    // How threads are scheduled no seed decides; the first find ends the campaign.
    let plan = Plan { cuts: 2000, ..Plan::from_environment(2000) };
    let failure = campaign(&Subject::new(&make), &plan).expect_err("the campaign must find the planted bug");
    println!("{failure}");
    assert!(signs.iter().any(|sign| failure.text().contains(sign)), "found for another reason: {failure}");
}

#[test]
fn a_missing_folder_sync_is_caught() {
    must_be_caught(Planted::NoFolderSync, &["no order of the commands", "gave CAS", "could not be opened"]);
}

#[test]
fn an_answer_before_the_sync_is_caught() {
    must_be_caught(Planted::AckBeforeSync, &["no order of the commands", "gave CAS"]);
}
