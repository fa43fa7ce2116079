//! The parts that processes play which the conductor has started.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use larder_engine::kit::audit::Loss;
use larder_engine::kit::catalogue::{self, catch_panic};
use larder_engine::kit::{Diagnosis, Failure, World, calls};

use super::{KILL, STOP, Survives, outside, stack};

/// How long a method may stay away while no other returns, before it is taken not to come back at all.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// Exit status of a part: it holds, or is done.
pub const HOLDS: u8 = 0;
/// A finding is on standard output.
pub const FAILS: u8 = 1;

/// What a process is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Open the store and say what it is.
    Describe,
    /// Run the check of this name.
    Check(String),
    /// Be the process whose end is watched.
    Work(Work),
}

/// What the process does whose end is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Decides what its clients ask.
    pub round: u64,
    /// The second it is.
    pub second: u32,
    /// How it ends: by itself, or killed while it works.
    pub loss: Loss,
    /// Where the store is.
    pub folder: PathBuf,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        let unknown = || format!("`{text}` is no part that this program plays");
        match text.split_once(':') {
            None if text == "describe" => Ok(Part::Describe),
            Some(("check", name)) => Ok(Part::Check(name.to_owned())),
            Some(("work", work)) => Work::parse(work).map(Part::Work).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }
}

impl Work {
    fn parse(text: &str) -> Option<Work> {
        let mut fields = text.splitn(4, ':');
        let round = fields.next()?.parse().ok()?;
        let second = fields.next()?.parse().ok()?;
        let loss = match fields.next()? {
            "stop" => Loss::Stop,
            "kill" => Loss::Crash,
            _ => return None,
        };
        Some(Work { round, second, loss, folder: fields.next()?.into() })
    }

    /// As the argument that names the part.
    pub fn words(&self) -> String {
        let loss = match self.loss {
            Loss::Stop => "stop",
            Loss::Crash => "kill",
        };
        format!("work:{}:{}:{loss}:{}", self.round, self.second, self.folder.display())
    }
}

/// What a store says of itself.
pub struct Told {
    /// Its engine's name.
    pub name: String,
    /// The level it acknowledges at.
    pub level: String,
}

impl Told {
    /// Reads what [`Part::Describe`] wrote.
    pub fn parse(text: &str) -> Option<Told> {
        let (level, name) = text.lines().next()?.split_once(' ')?;
        Some(Told { name: name.to_owned(), level: level.to_owned() })
    }

    /// What the level promises.
    pub fn survives(&self) -> Survives {
        match self.level.as_str() {
            "ram" => Survives::Nothing,
            "queued" => Survives::Stop,
            _ => Survives::Kill,
        }
    }
}

/// Plays the part. The exit status: [`HOLDS`], [`FAILS`], or [`CANNOT_CHECK`](super::CANNOT_CHECK) if it cannot be played.
pub fn play(part: &Part, store: &str) -> u8 {
    match part {
        Part::Describe => {
            end_with_the_conductor();
            describe(store)
        }
        Part::Check(name) => {
            end_with_the_conductor();
            check(name, store)
        }
        // Ends when nobody reads any more what it writes.
        Part::Work(work) => outside::work(store, work),
    }
}

/// Ends this process when the one that started it is gone: then nothing holds the other end of standard input.
fn end_with_the_conductor() {
    std::thread::spawn(|| {
        // Nothing is ever written there; an error means as much as the end.
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        std::process::exit(i32::from(super::CANNOT_CHECK));
    });
}

fn describe(store: &str) -> u8 {
    let world = World::new();
    match stack::open(store, &world) {
        Ok(engine) => {
            let description = engine.describe();
            println!("{} {}", description.level.word(), description.name);
            // What it says of its end is a matter of the checks.
            drop(engine.close());
            HOLDS
        }
        Err(error) => {
            eprintln!("{error:#}");
            super::CANNOT_CHECK
        }
    }
}

fn check(name: &str, store: &str) -> u8 {
    quieten_findings();
    watch_for_calls_that_stay_away();
    let make = |world: &World| stack::open(store, world);
    let verdict = if name == STOP.name {
        catch_panic(|| outside::campaign(store, Loss::Stop))
    } else if name == KILL.name {
        catch_panic(|| outside::campaign(store, Loss::Crash))
    } else if let Some(entry) = catalogue::entry(name) {
        entry.check(&make)
    } else {
        eprintln!("there is no check `{name}`");
        return super::CANNOT_CHECK;
    };
    match verdict {
        Ok(notes) => {
            notes.iter().for_each(|note| println!("{note}"));
            HOLDS
        }
        Err(failure) => {
            println!("{failure}");
            FAILS
        }
    }
}

/// A panic that carries a finding is no news on standard error.
fn quieten_findings() {
    let ordinary = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<Failure>() {
            ordinary(panic);
        }
    }));
}

/// Ends the process with a finding when a method does not return.
fn watch_for_calls_that_stay_away() {
    std::thread::spawn(|| {
        loop {
            let (_, returned) = calls::under_way();
            std::thread::sleep(ABSENCE_MAX);
            let (methods, returned_since) = calls::under_way();
            if !methods.is_empty() && returned == returned_since {
                let text = format!(
                    "a call of `{}` does not return: nothing else has returned for {} seconds either",
                    methods.join("` and one of `"),
                    ABSENCE_MAX.as_secs()
                );
                println!("{}", Failure::new(text).because(Diagnosis::BlocksWorker));
                std::process::exit(1);
            }
        }
    });
}
