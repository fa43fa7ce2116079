//! Crash campaigns: clients work, the power goes (or the process), the engine is opened again, and what it holds is
//! held against what the clients were told.
//!
//! The audit is the search for an order ([`super::history`]) over everything the clients were told before the crash,
//! followed by what a look-up of each key finds after it. A write that was acknowledged must be in that order, one whose
//! outcome nobody knows may be; so a lost write, an invented one, one that came back in the wrong order, a CAS or a
//! counter that went back, and an expired item that returned all leave no order that works.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;

use super::audit::{Audit, Loss, require_level};
use super::checks::{Subject, close};
use super::clients::{Crowd, Sequence, work};
use super::command::Command;
use super::failure::{Failure, require};
use super::history::Recorded;
use super::mix::Mix;
use super::random::Random;
use super::world::World;

/// What goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The power: of unsynced bytes and names any part may be lost.
    PowerCut,
    /// The process: the system keeps what it was given.
    Kill,
    /// The disk fails and fills up now and then, in the end the power goes. What the engine cannot do it must refuse, and
    /// what it says of a failure ("nothing changed", "outcome unknown") must be true.
    FailingDisk,
}

/// A campaign. The seed decides commands and cuts; how threads take turns it does not.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What goes.
    pub fault: Fault,
    /// How often.
    pub cuts: usize,
    /// Decides the rest.
    pub seed: u64,
}

impl Plan {
    /// Power cuts: as many as the environment variable `LARDER_CUTS` says, else `cuts`; the seed from `LARDER_SEED`,
    /// else 1.
    ///
    /// # Panics
    /// When a variable is set to something that is not a number.
    pub fn from_environment(cuts: usize) -> Plan {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
        };
        let cuts = number("LARDER_CUTS").map_or(cuts, |cuts| cuts as usize);
        Plan { fault: Fault::PowerCut, cuts, seed: number("LARDER_SEED").unwrap_or(1) }
    }
}

/// What a campaign that found nothing wrong did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Crashes while clients worked.
    pub cuts_at_work: usize,
    /// Crashes during or after a clean stop.
    pub cuts_at_close: usize,
    /// Crashes while the engine was being opened.
    pub cuts_at_open: usize,
    /// Commands run.
    pub commands: usize,
    /// Changes acknowledged.
    pub acknowledged: usize,
    /// Commands whose outcome the clients never learnt.
    pub unknown: usize,
    /// Syncs of the disk.
    pub syncs: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { cuts_at_work, cuts_at_close, cuts_at_open, commands, acknowledged, unknown, syncs } =
            self;
        write!(f, "{cuts_at_work} cuts at work, {cuts_at_close} at close, {cuts_at_open} at open; ")?;
        write!(
            f,
            "{commands} commands, {acknowledged} changes acknowledged, {unknown} without a known outcome, "
        )?;
        write!(f, "{syncs} syncs")
    }
}

const KEYS: usize = 8;

/// Runs a campaign.
///
/// # Errors
/// The first thing that does not hold, with the seed and the number of the cut.
pub fn campaign(subject: &Subject<'_>, plan: &Plan) -> Result<Report, Failure> {
    let mut campaign = Campaign {
        subject,
        plan,
        world: World::new(),
        sequence: Sequence::default(),
        history: Vec::new(),
        audit: Audit::new(Mix::auditable(KEYS, "").keys(), Loss::Crash),
        report: Report::default(),
    };
    for cut in 0..plan.cuts {
        campaign.round(cut as u64).map_err(|failure| {
            let Plan { fault, cuts, seed } = plan;
            failure.within(&format!("{fault:?} {} of {cuts}, seed {seed}", cut + 1))
        })?;
    }
    Ok(campaign.report)
}

struct Campaign<'a> {
    subject: &'a Subject<'a>,
    plan: &'a Plan,
    world: World,
    sequence: Sequence,
    /// What clients asked and were told since the last audit.
    history: Vec<Recorded>,
    audit: Audit,
    report: Report,
}

impl Campaign<'_> {
    fn round(&mut self, number: u64) -> Result<(), Failure> {
        let mut random = Random::part(self.plan.seed, number);
        if random.chance(1, 5) {
            self.start_anew();
        }
        if random.chance(1, 5) {
            let syncs = 1 + random.below(5);
            if self.cut_while_opening(syncs, random.bits())? {
                return Ok(());
            }
        }
        let engine = self.open()?;
        require_level(&self.history)?;
        let history = std::mem::take(&mut self.history);
        self.audit.look(&engine, self.world.clock(), &self.sequence, history)?;
        self.world.clock().advance(random.below(4) as u32);
        let commands = 1 + random.below(120);
        let syncs = if random.chance(1, 3) { 1 + random.below(3) } else { 1 + random.below(40) };
        let at_close = random.chance(1, 4);
        self.world.disk().cut_at_sync(syncs);
        let disk_fails = self.plan.fault == Fault::FailingDisk && random.chance(3, 4);
        if disk_fails {
            self.plan_disk_faults(&mut random);
        }
        self.work(&engine, commands, at_close, random.bits());
        self.report.cuts_at_work += usize::from(self.world.disk().is_cut());
        let was_cut = self.world.disk().is_cut();
        if !was_cut && !at_close {
            self.world.disk().cut();
            self.report.cuts_at_work += 1;
        } else if !was_cut {
            // A stop may itself be cut short: by syncs still to come, or right after its end.
            self.world.disk().cut_at_sync(1 + random.below(6));
            self.report.cuts_at_close += 1;
        }
        let closed = close(&*engine);
        if !self.world.disk().is_cut() && !disk_fails {
            closed?;
        }
        drop(engine);
        self.lose(random.bits());
        Ok(())
    }

    fn plan_disk_faults(&self, random: &mut Random) {
        let disk = self.world.disk();
        match random.below(3) {
            0 => disk.fail_write_after(random.below(60)),
            1 => disk.fail_sync_after(random.below(20)),
            _ => disk.set_capacity(Some(random.below(400_000))),
        }
    }

    /// A folder in which nothing is yet: creating it is as much at risk as writing to it.
    fn start_anew(&mut self) {
        self.world = World::new();
        self.history.clear();
        self.audit = Audit::new(Mix::auditable(KEYS, "").keys(), Loss::Crash);
    }

    /// Power (or process) goes; the world comes up again.
    fn lose(&mut self, seed: u64) {
        self.report.syncs += self.world.disk().sync_count();
        self.world = match self.plan.fault {
            Fault::PowerCut | Fault::FailingDisk => self.world.after_power_cut(seed),
            Fault::Kill => self.world.after_kill(),
        };
    }

    fn open(&self) -> Result<Arc<dyn Engine>, Failure> {
        self.subject.open(&self.world).map_err(|failure| failure.within("after the crash"))
    }

    /// Opens with a cut planned. `true` if it came.
    fn cut_while_opening(&mut self, syncs: u64, seed: u64) -> Result<bool, Failure> {
        self.world.disk().cut_at_sync(syncs);
        let opened = self.subject.try_open(&self.world);
        let was_cut = self.world.disk().is_cut();
        match opened {
            Ok(engine) => {
                let closed = close(&*engine);
                if !self.world.disk().is_cut() {
                    closed?;
                }
            }
            Err(error) => {
                require(was_cut, || format!("after the crash: the engine could not be opened: {error}"))?;
            }
        }
        let was_cut = self.world.disk().is_cut();
        if was_cut {
            self.report.cuts_at_open += 1;
            self.lose(seed);
        } else {
            self.world.disk().plan_no_cut();
        }
        Ok(was_cut)
    }

    /// Clients work until the power goes, at latest after `commands` commands of all together.
    fn work(&mut self, engine: &Arc<dyn Engine>, commands: u64, at_close: bool, seed: u64) {
        let disk = self.world.disk().clone();
        let left = AtomicU64::new(commands);
        let stop = || {
            let over =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
            if over && !at_close {
                disk.cut();
            }
            over || disk.is_cut()
        };
        let generation = self.sequence.next();
        let crowd = Crowd {
            threads: 2,
            clients_per_thread: 3,
            commands: commands as usize,
            seed,
            mix: &|client| Mix::auditable(KEYS, &format!("g{generation}c{client}")),
            stop: &stop,
        };
        let recorded = work(engine, self.world.clock(), &self.sequence, &crowd);
        for Recorded { command, outcome, .. } in &recorded {
            self.report.commands += 1;
            self.report.acknowledged +=
                usize::from(outcome.is_success() && !matches!(command, Command::Get { .. }));
            self.report.unknown += usize::from(outcome.certainty() == super::command::Certainty::Unknown);
        }
        self.history.extend(recorded);
    }
}
