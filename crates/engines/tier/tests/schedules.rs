//! Random schedules: what several clients are told must have an order, whenever the store does what it was asked,
//! whenever its answers come, and whatever the cache forgets in between.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use larder_engine::kit::clients::Sequence;
use larder_engine::kit::history::{Recorded, explain};
use larder_engine::kit::mix::Mix;
use larder_engine::kit::truth::Truth;
use larder_engine::kit::{Client, Random};
use larder_engine::{Clock, Engine};
use larder_tier::{Behind, TierOptions, Write};
use support::{Bench, turn};

const CLIENTS: usize = 5;
const COMMANDS_MAX: usize = 60;

/// One client, idle or not.
struct Actor {
    mix: Mix,
    busy: Rc<RefCell<bool>>,
    learnt: Rc<RefCell<Vec<Recorded>>>,
}

struct Play {
    bench: Bench,
    random: Random,
    sequence: Rc<Sequence>,
    actors: Vec<Actor>,
    started: usize,
}

impl Play {
    fn new(options: TierOptions, seed: u64) -> Self {
        let bench = Bench::new(options);
        bench.store.hold();
        let actors = (0..CLIENTS)
            .map(|number| Actor {
                mix: Mix::concurrent(1, number),
                busy: Rc::default(),
                learnt: Rc::default(),
            })
            .collect();
        Play { bench, random: Random::new(seed), sequence: Rc::default(), actors, started: 0 }
    }

    fn start_one(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        if *actor.busy.borrow() || self.started == COMMANDS_MAX {
            return;
        }
        self.started += 1;
        *actor.busy.borrow_mut() = true;
        let now = self.bench.clock.now();
        if let Some(last) = actor.learnt.borrow().last() {
            actor.mix.learn(&last.command, &last.outcome);
        }
        let command = actor.mix.command(&mut self.random, now);
        let executor = &self.bench.executor;
        let client =
            Client::new(self.bench.tier.clone(), executor.worker().clone(), self.bench.clock.clone());
        let (busy, learnt, sequence) = (actor.busy.clone(), actor.learnt.clone(), self.sequence.clone());
        executor.worker().spawn(async move {
            let invoked = sequence.next();
            let outcome = client.run(&command).await;
            let returned = sequence.next();
            let recorded = Recorded { client: number, command, outcome, invoked, returned, now };
            learnt.borrow_mut().push(recorded);
            *busy.borrow_mut() = false;
        });
    }

    fn all_idle(&self) -> bool {
        self.actors.iter().all(|actor| !*actor.busy.borrow())
    }

    fn step(&mut self) {
        let waiting = self.bench.store.waiting() as u64;
        match self.random.below(10) {
            0..4 => {
                let number = self.random.below(CLIENTS as u64) as usize;
                self.start_one(number);
            }
            4..6 if waiting > 0 => {
                let call = self.random.below(waiting) as usize;
                self.bench.store.apply(call, &self.bench.context());
            }
            6..9 if waiting > 0 => {
                let call = self.random.below(waiting) as usize;
                self.bench.store.finish(call, &self.bench.context());
            }
            9 if self.random.chance(1, 2) => self.bench.evict(),
            _ => {}
        }
        // Sometimes much happens before anybody hears of it.
        if self.random.chance(2, 3) {
            turn(&self.bench.executor);
        }
    }

    /// Plays to the end and looks for an order.
    fn play(mut self, seed: u64) {
        while self.started < COMMANDS_MAX || !self.all_idle() {
            self.step();
        }
        self.bench.store.release(&self.bench.context());
        self.bench.tier.close().expect("the store takes everything");
        let keys = self.actors[0].mix.keys().to_vec();
        let history: Vec<Recorded> =
            self.actors.iter().flat_map(|actor| actor.learnt.borrow().clone()).collect();
        let value_max = self.bench.store.describe().item_size_max;
        for key in keys {
            if let Err(failure) = explain(&key, &Truth::default(), &history, value_max) {
                panic!("seed {seed}: {failure}");
            }
        }
    }
}

#[test]
fn through() {
    for seed in 0..400 {
        Play::new(TierOptions { warm_up: seed % 2 == 0, ..TierOptions::default() }, seed).play(seed);
    }
}

#[test]
fn behind() {
    for seed in 0..200 {
        let dirty_bytes = if seed % 4 == 0 { 600 } else { 1 << 20 };
        let hour = Duration::from_secs(3600);
        let write = Write::Behind(Behind { dirty_bytes, dirty_age: hour, wait: hour });
        let options = TierOptions { write, warm_up: seed % 2 == 0, ..TierOptions::default() };
        Play::new(options, seed).play(seed);
    }
}
