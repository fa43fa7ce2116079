//! Several clients at once, with a record of what each was told.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use crate::engine::Engine;
use crate::time::Clock;

use super::client::Client;
use super::clock::ManualClock;
use super::command::{Command, Outcome};
use super::executor::LocalExecutor;
use super::history::Recorded;
use super::mix::Mix;
use super::random::Random;

/// How many clients do how much.
pub struct Crowd<'a> {
    /// Threads, each with a worker of its own.
    pub threads: usize,
    /// Connections on each worker.
    pub clients_per_thread: usize,
    /// Commands of each client.
    pub commands: usize,
    /// Decides what they do.
    pub seed: u64,
    /// What client number n asks.
    pub mix: &'a (dyn Fn(usize) -> Mix + Sync),
    /// Asked after each command; true ends the client.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// The scale on which commands begin and end.
#[derive(Default)]
pub struct Sequence(AtomicU64);

impl Sequence {
    /// The next moment.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Lets the crowd work on `engine`; returns what everybody asked and was told.
pub fn work(
    engine: &Arc<dyn Engine>,
    clock: &Arc<ManualClock>,
    sequence: &Sequence,
    crowd: &Crowd<'_>,
) -> Vec<Recorded> {
    let start = Barrier::new(crowd.threads);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..crowd.threads)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    thread_of_clients(engine, clock, sequence, crowd, thread)
                })
            })
            .collect();
        threads.into_iter().flat_map(joined).collect()
    })
}

/// What a thread gave. Its panic goes on here, where it can be told as a finding.
pub(crate) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn thread_of_clients(
    engine: &Arc<dyn Engine>,
    clock: &Arc<ManualClock>,
    sequence: &Sequence,
    crowd: &Crowd<'_>,
    thread: usize,
) -> Vec<Recorded> {
    let executor = LocalExecutor::new(thread);
    let recorded = Rc::new(RefCell::new(Vec::new()));
    let all = (0..crowd.clients_per_thread).map(|place| {
        let number = thread * crowd.clients_per_thread + place;
        let client = Client::new(engine.clone(), executor.worker().clone(), clock.clone());
        Box::pin(one_client(client, clock, sequence, crowd, number, recorded.clone()))
    });
    executor.block_on(all_of(all.collect()));
    executor.finish();
    recorded.take()
}

async fn one_client(
    client: Client,
    clock: &ManualClock,
    sequence: &Sequence,
    crowd: &Crowd<'_>,
    number: usize,
    recorded: Rc<RefCell<Vec<Recorded>>>,
) {
    let mut random = Random::part(crowd.seed, number as u64);
    let mut mix = (crowd.mix)(number);
    for _ in 0..crowd.commands {
        let now = clock.now();
        let command: Command = mix.command(&mut random, now);
        let invoked = sequence.next();
        let outcome: Outcome = client.run(&command).await;
        let returned = sequence.next();
        mix.learn(&command, &outcome);
        let is_lost = outcome == Outcome::Unanswered;
        recorded.borrow_mut().push(Recorded { client: number, command, outcome, invoked, returned, now });
        // Whoever got no answer once will hardly get the next.
        if (crowd.stop)() || is_lost {
            return;
        }
        if random.chance(1, 16) {
            std::thread::yield_now();
        }
    }
}

/// Ends when every future has ended. Polls all that are left at each wake-up: fine for a handful.
async fn all_of<F: Future<Output = ()> + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|task| {
        futures.retain_mut(|future| std::pin::Pin::new(future).poll(task).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
