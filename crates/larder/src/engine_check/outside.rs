//! Processes that use the store and end, cleanly or not, and what the next one finds.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use larder_engine::Timestamp;
use larder_engine::kit::audit::{Audit, Loss, require_level};
use larder_engine::kit::clients::Sequence;
use larder_engine::kit::clock::START;
use larder_engine::kit::history::Recorded;
use larder_engine::kit::mix::Mix;
use larder_engine::kit::{Client, Diagnosis, Failure, LocalExecutor, ManualClock, Outcome, Random, World};
use larder_engine::{Engine, ErrorKind};

use super::part::{self, Work};
use super::{stack, wire};

/// Processes that are ended one after the other.
const ROUNDS: u64 = 8;
/// Clients of each, on a thread each.
const CLIENTS: usize = 3;
/// Keys they use.
const KEYS: usize = 8;
/// Commands of a client that is let go on to its end.
const COMMANDS: usize = 60;
/// A process that is to be killed is so after at most so many answers.
const ANSWERS_MAX: u64 = 150;

/// What one client asks, decided by the round and by what it is told: both ends of the pipe know it.
struct Script {
    random: Random,
    mix: Mix,
    now: Timestamp,
}

impl Script {
    fn new(work: &Work, client: usize) -> Self {
        Script {
            random: Random::part(work.round, client as u64),
            mix: Mix::auditable(KEYS, &format!("r{}c{client}", work.round)),
            now: Timestamp(work.second),
        }
    }

    fn next(&mut self) -> larder_engine::kit::Command {
        self.mix.command(&mut self.random, self.now)
    }
}

/// Lets processes use the store and end, and looks at what they leave. What it did, in a line.
///
/// # Errors
/// The first thing that does not hold.
pub fn campaign(store: &str, loss: Loss) -> Result<Vec<String>, Failure> {
    let folder = std::env::temp_dir().join("data");
    let sequence = Sequence::default();
    let mut audit = Audit::new(Mix::auditable(KEYS, "").keys(), loss);
    let mut random = Random::new(7);
    let mut second = START;
    let (mut asked, mut told) = (0, 0);
    for round in 0..ROUNDS {
        let work = Work { round, second, loss, folder: folder.clone() };
        let answers_max = match loss {
            Loss::Stop => u64::MAX,
            Loss::Crash => 1 + random.below(ANSWERS_MAX),
        };
        let place = |failure: Failure| failure.within(&format!("process {} of {ROUNDS}", round + 1));
        let history = watch(store, &work, answers_max, &sequence).map_err(place)?;
        asked += history.len();
        told += history.iter().filter(|recorded| recorded.outcome.is_success()).count();
        if loss == Loss::Crash {
            require_level(&history).map_err(place)?;
        }
        second += random.below(3) as u32;
        let world = World::on_machine(folder.clone(), second);
        let engine = open(store, &world).map_err(place)?;
        audit.look(&engine, world.clock(), &sequence, history).map_err(place)?;
        close(&*engine).map_err(place)?;
    }
    Ok(vec![format!("{ROUNDS} processes, {asked} commands asked, {told} answered with success")])
}

fn open(store: &str, world: &World) -> Result<Arc<dyn Engine>, Failure> {
    stack::open(store, world).map_err(|error| {
        let text = format!("the store cannot be opened where another process left it: {error:#}");
        Failure::new(text).because(Diagnosis::DoesNotOpen)
    })
}

fn close(engine: &dyn Engine) -> Result<(), Failure> {
    engine
        .close()
        .map_err(|error| Failure::new(format!("close failed: {error:?}")).because(Diagnosis::DoesNotOpen))
}

/// A process of our own making, killed at the latest when it is let go.
struct Watched(Child);

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the process, kills it after so many answers, and gives what its clients asked and were told.
fn watch(store: &str, work: &Work, answers_max: u64, sequence: &Sequence) -> Result<Vec<Recorded>, Failure> {
    let started = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(["engine-check", store, "--part", &work.words()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    });
    let child = started.map_err(|error| Failure::new(format!("no process can be started: {error}")))?;
    let mut process = Watched(child);
    let output = process.0.stdout.take().expect("it was asked for");
    let mut listener = Listener::new(work, sequence);
    for line in BufReader::new(output).lines() {
        // A last line that the kill cut short is none.
        let Some(()) = line.ok().and_then(|line| listener.hear(&line)) else { break };
        if listener.answers == answers_max {
            let killed = process.0.kill();
            killed.map_err(|error| Failure::new(format!("the process cannot be killed: {error}")))?;
        }
    }
    let status = process.0.wait().map_err(|error| Failure::new(format!("the process is lost: {error}")))?;
    if listener.answers < answers_max && !status.success() {
        let text = format!("the process that used the store ended with {status}, by itself");
        return Err(Failure::new(text).because(Diagnosis::DoesNotOpen));
    }
    Ok(listener.history())
}

/// What comes through the pipe, put together again.
struct Listener<'a> {
    now: Timestamp,
    sequence: &'a Sequence,
    scripts: Vec<Script>,
    /// What each client has asked and not been told.
    open: Vec<Option<(larder_engine::kit::Command, u64)>>,
    recorded: Vec<Recorded>,
    answers: u64,
}

impl<'a> Listener<'a> {
    fn new(work: &Work, sequence: &'a Sequence) -> Self {
        Listener {
            now: Timestamp(work.second),
            sequence,
            scripts: (0..CLIENTS).map(|client| Script::new(work, client)).collect(),
            open: vec![None; CLIENTS],
            recorded: Vec::new(),
            answers: 0,
        }
    }

    /// Takes a line; `None` if it is not whole.
    fn hear(&mut self, line: &str) -> Option<()> {
        let (client, outcome) = line.split_once(' ')?;
        let client: usize = client.parse().ok().filter(|client| *client < CLIENTS)?;
        if outcome == ASKS {
            self.open[client] = Some((self.scripts[client].next(), self.sequence.next()));
            return Some(());
        }
        let outcome = wire::decode(outcome)?;
        let (command, invoked) = self.open[client].take()?;
        self.scripts[client].mix.learn(&command, &outcome);
        self.answers += 1;
        self.record(client, command, outcome, invoked);
        Some(())
    }

    fn record(
        &mut self,
        client: usize,
        command: larder_engine::kit::Command,
        outcome: Outcome,
        invoked: u64,
    ) {
        let returned = self.sequence.next();
        self.recorded.push(Recorded { client, command, outcome, invoked, returned, now: self.now });
    }

    /// Everything, with what nobody was told any more.
    fn history(mut self) -> Vec<Recorded> {
        for client in 0..CLIENTS {
            if let Some((command, invoked)) = self.open[client].take() {
                let unknown = Outcome::Refused(ErrorKind::OutcomeUnknown, "the process ended".into());
                self.record(client, command, unknown, invoked);
            }
        }
        self.recorded
    }
}

/// What a client says before it asks.
const ASKS: &str = "asks";

/// The process whose end is watched: clients work and say, on standard output, what they ask and are told.
pub fn work(store: &str, work: &Work) -> u8 {
    match work_to_the_end(store, work) {
        Ok(()) => part::HOLDS,
        Err(error) => {
            eprintln!("{error}");
            part::FAILS
        }
    }
}

fn work_to_the_end(store: &str, work: &Work) -> Result<(), Failure> {
    let world = World::on_machine(work.folder.clone(), work.second);
    let engine = open(store, &world)?;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (engine, clock) = (engine.clone(), world.clock().clone());
            scope.spawn(move || one_client(engine, clock, Script::new(work, number), work.loss, number));
        }
    });
    close(&*engine)
}

fn one_client(
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
    mut script: Script,
    loss: Loss,
    number: usize,
) {
    let executor = LocalExecutor::new(number);
    let client = Client::new(engine, executor.worker().clone(), clock);
    let mut left = COMMANDS;
    while loss == Loss::Crash || left > 0 {
        let command = script.next();
        if !say(&format!("{number} {ASKS}\n")) {
            return;
        }
        let outcome = executor.block_on(client.run(&command));
        if !say(&format!("{number} {}\n", wire::encode(&outcome))) {
            return;
        }
        script.mix.learn(&command, &outcome);
        left = left.saturating_sub(1);
    }
    drop(client);
    executor.finish();
}

/// A line to the watching process, at once; whether it still listens.
fn say(line: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_ok()
}
