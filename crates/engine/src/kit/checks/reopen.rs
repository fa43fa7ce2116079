//! What is there after the engine was opened again.

use crate::kit::checks::{Subject, close};
use crate::kit::command::{Command, delete_with, flush_all, get_with, set};
use crate::kit::driver::Driver;
use crate::kit::failure::{Failure, Verdict};
use crate::kit::mix::Mix;
use crate::kit::power_cut::{self, Fault, Plan};
use crate::kit::random::Random;
use crate::kit::world::World;
use crate::request::{Delete, Get};
use crate::time::{Expiry, Timestamp};

fn reopen(subject: &Subject<'_>, world: &World, driver: Driver) -> Result<Driver, Failure> {
    let engine = driver.engine().clone();
    driver.executor().finish();
    close(&*engine)?;
    drop(engine);
    // The driver's connection goes with it; the engine must be gone before the next one takes the folder.
    let driver = driver.disconnected();
    Ok(driver.reopened(subject.open(world)?))
}

/// After a clean stop everything is as it was: values, flags, CAS, expiry, stale marks, tokens. CAS ids go on growing.
pub fn a_clean_stop_keeps_everything(subject: &Subject<'_>) -> Verdict {
    let world = World::new();
    let mut driver = Driver::new(subject.open(&world)?, world.clock().clone());
    let mut random = Random::new(11);
    let mut mix = Mix::everything(12);
    let soon = Expiry::at(driver.now().0 + 5);
    driver.stored(set(b"expires", b"v").expiry(soon))?;
    driver.stored(set(b"stale", b"v"))?;
    driver.deleted(delete_with(b"stale", Delete { mark_stale: true, ..Delete::default() }))?;
    let large = random.bytes(300_000);
    driver.stored(set(b"large", &large))?;
    driver.stored(set(b"empty", b""))?;
    for generation in 0..4 {
        for _ in 0..100 {
            let command = mix.command(&mut random, driver.now());
            if matches!(command, Command::Flush { .. }) {
                continue;
            }
            let outcome = driver.run(command.clone())?;
            mix.learn(&command, &outcome);
        }
        driver = reopen(subject, &world, driver)?;
        driver
            .holds_all()
            .map_err(|failure| failure.within(&format!("after clean stop {}", generation + 1)))?;
        driver.hit(get_with(b"stale", Get { tokens: true, ..Get::plain() }))?;
        world.clock().advance(2);
    }
    driver.misses(b"expires")?;
    driver.holds(b"large", &large)?;
    driver.run(flush_all())?;
    driver = reopen(subject, &world, driver)?;
    driver.misses(b"large")?;
    driver.holds_all()?;
    let engine = driver.engine().clone();
    drop(driver);
    close(&*engine)
}

/// A flush for a second to come is done at that second, though the engine was stopped in between.
pub fn a_delayed_flush_outlives_a_stop(subject: &Subject<'_>) -> Verdict {
    let world = World::new();
    let mut driver = Driver::new(subject.open(&world)?, world.clock().clone());
    let second = driver.now().0;
    driver.stored(set(b"a:1", b"v"))?;
    driver.stored(set(b"b:1", b"v"))?;
    driver.run(Command::Flush { prefix: Some(b"a:".to_vec()), when: Some(Timestamp(second + 3)) })?;
    driver = reopen(subject, &world, driver)?;
    driver.holds(b"a:1", b"v")?;
    world.clock().advance(3);
    driver.misses(b"a:1")?;
    driver.stored(set(b"a:1", b"after"))?;
    // Its second passes while nothing runs.
    driver.run(Command::Flush { prefix: Some(b"b:".to_vec()), when: Some(Timestamp(second + 6)) })?;
    let engine = driver.engine().clone();
    driver.executor().finish();
    close(&*engine)?;
    drop(engine);
    let driver = driver.disconnected();
    world.clock().advance(10);
    let mut driver = driver.reopened(subject.open(&world)?);
    driver.misses(b"b:1")?;
    driver.stored(set(b"b:1", b"after"))?;
    driver = reopen(subject, &world, driver)?;
    driver.holds(b"a:1", b"after")?;
    driver.holds(b"b:1", b"after")?;
    let engine = driver.engine().clone();
    drop(driver);
    close(&*engine)
}

/// After a kill at any moment everything acknowledged at level local or higher is there.
pub fn a_kill_keeps_what_was_acknowledged(subject: &Subject<'_>) -> Verdict {
    let plan = Plan { fault: Fault::Kill, cuts: 40, seed: 12 };
    power_cut::campaign(subject, &plan).map(drop)
}

/// After a power cut at any sync everything acknowledged at level local or higher is there.
pub fn a_power_cut_keeps_what_was_acknowledged(subject: &Subject<'_>) -> Verdict {
    subject.note(power_cut::campaign(subject, &Plan::from_environment(200))?.to_string());
    Ok(())
}

/// Failed writes, failed syncs and a full disk cost no acknowledged write, and are told as what they are.
pub fn a_failing_disk_loses_nothing(subject: &Subject<'_>) -> Verdict {
    let plan = Plan { fault: Fault::FailingDisk, ..Plan::from_environment(100) };
    subject.note(power_cut::campaign(subject, &plan)?.to_string());
    Ok(())
}
