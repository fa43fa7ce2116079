//! Several clients at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};

use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::kit::checks::{Subject, close};
use crate::kit::client::Client;
use crate::kit::clients::{Crowd, Sequence, joined, work};
use crate::kit::command::{Certainty, Outcome, get, increment, set};
use crate::kit::diagnosis::Diagnosis;
use crate::kit::driver::Driver;
use crate::kit::executor::LocalExecutor;
use crate::kit::failure::{Failure, Verdict, require, require_or};
use crate::kit::history::explain;
use crate::kit::mix::Mix;
use crate::kit::truth::Truth;
use crate::kit::world::World;

const KEYS: usize = 4;
const THREADS: usize = 4;

/// For each key there is one order of all commands that explains every answer.
pub fn concurrent_commands_have_an_order(subject: &Subject<'_>) -> Verdict {
    (0..4u64).try_for_each(|seed| {
        one_crowd(subject, seed).map_err(|failure| failure.within(&format!("random commands of seed {seed}")))
    })
}

fn one_crowd(subject: &Subject<'_>, seed: u64) -> Verdict {
    let world = World::new();
    let engine = subject.open(&world)?;
    let driver = Driver::new(engine.clone(), world.clock().clone());
    let words = subject.words(&driver);
    drop(driver);
    let crowd = Crowd {
        threads: THREADS,
        clients_per_thread: 2,
        commands: 150,
        seed,
        mix: &|client| Mix::concurrent(KEYS, client).within(words),
        stop: &|| false,
    };
    let history = work(&engine, world.clock(), &Sequence::default(), &crowd);
    let done = history.iter().filter(|recorded| recorded.outcome.certainty() == Certainty::Done).count();
    require(done * 2 > history.len(), || {
        format!("of {} commands only {done} were carried out; the rest failed", history.len())
    })?;
    let value_max = engine.describe().item_size_max;
    for key in Mix::concurrent(KEYS, 0).keys() {
        explain(key, &Truth::default(), &history, value_max)?;
    }
    close(&*engine)
}

/// Runs `client` on several threads with a worker each and gives their results.
fn on_threads<T: Send>(
    engine: &Arc<dyn Engine>,
    world: &World,
    client: impl Fn(&LocalExecutor, &Client) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (client, clock) = (&client, world.clock().clone());
                let engine = engine.clone();
                scope.spawn(move || {
                    let executor = LocalExecutor::new(thread);
                    client(&executor, &Client::new(engine, executor.worker().clone(), clock))
                })
            })
            .collect();
        threads.into_iter().map(joined).collect()
    })
}

/// Runs a command until the engine takes it.
fn insist(executor: &LocalExecutor, client: &Client, command: &crate::kit::Command) -> Outcome {
    loop {
        match executor.block_on(client.run(command)) {
            Outcome::Refused(ErrorKind::TryAgain, _) => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}

/// No incr of several clients is lost, none is answered twice with the same number.
pub fn concurrent_counters_add_up(subject: &Subject<'_>) -> Verdict {
    const STEPS: u64 = 150;
    let world = World::new();
    let engine = subject.open(&world)?;
    let mut driver = Driver::new(engine.clone(), world.clock().clone());
    driver.stored(set(b"n", b"0"))?;
    let answers = on_threads(&engine, &world, |executor, client| {
        (0..STEPS)
            .map(|_| match insist(executor, client, &increment(b"n", 1)) {
                Outcome::Number(number) => Ok(number.value),
                other => Err(Failure::new(format!("incr \"n\" by 1: {other}"))),
            })
            .collect::<Result<Vec<u64>, Failure>>()
    })?;
    let all: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    let due = STEPS * THREADS as u64;
    require_or(Diagnosis::NoOrder, all == (1..=due).collect(), || {
        let missing: Vec<u64> = (1..=due).filter(|number| !all.contains(number)).take(5).collect();
        format!(
            "{due} concurrent incr by 1 must answer every number from 1 to {due} once; missing: {missing:?}"
        )
    })?;
    let outcome = driver.executor().block_on(driver.client().run(&get(b"n")));
    let right = matches!(&outcome, Outcome::Found(_, value) if *value == due.to_string());
    require(right, || format!("after {due} concurrent incr by 1\n  expected: {due}\n  got:      {outcome}"))?;
    drop(driver);
    close(&*engine)
}

/// Of several clients that store with the same CAS exactly one succeeds.
pub fn concurrent_locks_exclude(subject: &Subject<'_>) -> Verdict {
    const ROUNDS: usize = 40;
    let world = World::new();
    let engine = subject.open(&world)?;
    let mut driver = Driver::new(engine.clone(), world.clock().clone());
    driver.stored(set(b"k", b"v"))?;
    let together = Barrier::new(THREADS);
    // Each round all read, then all store with what they read. Nobody may leave early: the others wait for all.
    let outcomes = on_threads(&engine, &world, |executor, client| {
        let round = |_| {
            together.wait();
            let seen = insist(executor, client, &get(b"k"));
            together.wait();
            let store = set(b"k", b"v").compare(seen.cas());
            (seen, insist(executor, client, &store.into()))
        };
        Ok((0..ROUNDS).map(round).collect::<Vec<_>>())
    })?;
    for round in 0..ROUNDS {
        let all: Vec<_> = outcomes.iter().map(|outcomes| &outcomes[round]).collect();
        let won = all.iter().filter(|(_, stored)| matches!(stored, Outcome::Stored(_))).count();
        let lost =
            all.iter().filter(|(_, stored)| matches!(stored, Outcome::Refused(ErrorKind::Exists, _))).count();
        require_or(Diagnosis::NoOrder, (won, lost) == (1, THREADS - 1), || {
            let told: String = all
                .iter()
                .map(|(seen, stored)| format!("\n  get -> {seen}; set with that CAS -> {stored}"))
                .collect();
            format!(
                "{THREADS} clients read one item and store with its CAS; one must succeed, {won} did:{told}"
            )
        })?;
    }
    drop(driver);
    close(&*engine)
}
