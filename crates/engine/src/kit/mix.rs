//! Random commands that mean something: on few keys, with CAS ids seen before.

use crate::error::ErrorKind;
use crate::kit::client::Client;
use crate::kit::command::{
    Command, HandOver, Outcome, StoreCommand, arithmetic, delete_with, get_with, step, store, touch,
};
use crate::kit::executor::LocalExecutor;
use crate::kit::random::Random;
use crate::request::{Arithmetic, Delete, Direction, Get, Initial, Mode, Older, Vivify};
use crate::time::{Expiry, Timestamp};

/// Makes random commands.
pub struct Mix {
    keys: Vec<Vec<u8>>,
    cas_seen: Vec<u64>,
    /// Makes every value different, so that a read tells which write it saw.
    writes: u64,
    name: String,
    /// Stale marks, tokens, CAS ids the client chooses: what no later plain read shows in full.
    hidden: bool,
    delayed_flushes: bool,
    prefix_flushes: bool,
    expiry: bool,
}

/// Which commands an engine has at all; what it has not it refuses as not supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Words {
    /// Stale marks, tokens, CAS ids that the client chooses.
    pub marks: bool,
    /// Flushes of one prefix.
    pub prefix_flushes: bool,
}

impl Words {
    /// Asks an engine that nobody else uses yet; nothing of it stays.
    pub(crate) fn of(client: &Client, executor: &LocalExecutor) -> Words {
        let has = |command: Command| {
            let outcome = executor.block_on(client.run(&command));
            !matches!(outcome, Outcome::Refused(ErrorKind::Unsupported, _))
        };
        let key = b"has it words for this";
        let words = Words {
            marks: has(StoreCommand { stale: true, ..store(Mode::Set, key, b"") }.into()),
            prefix_flushes: has(Command::Flush { prefix: Some(key.to_vec()), when: None }),
        };
        has(delete_with(key, Delete::default()));
        words
    }
}

impl Mix {
    fn new(key_count: usize) -> Self {
        let keys = (0..key_count).map(|number| {
            let kind = if number % 2 == 0 { "counter" } else { "text" };
            format!("{kind}:{number}").into_bytes()
        });
        Mix {
            keys: keys.collect(),
            cas_seen: vec![0; key_count],
            writes: 0,
            name: String::new(),
            hidden: true,
            delayed_flushes: true,
            prefix_flushes: true,
            expiry: true,
        }
    }

    /// Every kind of command, for one client alone.
    pub fn everything(key_count: usize) -> Self {
        Mix::new(key_count)
    }

    /// What several clients may do at once at one second. Their values carry `client`.
    pub fn concurrent(key_count: usize, client: usize) -> Self {
        Mix { name: format!("c{client}-"), delayed_flushes: false, expiry: false, ..Mix::new(key_count) }
    }

    /// What a later plain read shows in full, for audits after a crash. Values carry `client`.
    pub fn auditable(key_count: usize, client: &str) -> Self {
        Mix { name: format!("{client}-"), hidden: false, delayed_flushes: false, ..Mix::new(key_count) }
    }

    /// Of these, what an engine has words for.
    pub fn within(self, words: Words) -> Self {
        Mix {
            hidden: self.hidden && words.marks,
            prefix_flushes: self.prefix_flushes && words.prefix_flushes,
            ..self
        }
    }

    /// The keys.
    pub fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }

    /// Takes note of the CAS that came of a command.
    pub fn learn(&mut self, command: &Command, outcome: &Outcome) {
        let index = self.keys.iter().position(|key| Some(key.as_slice()) == command.key());
        if let (Some(index), cas @ 1..) = (index, outcome.cas()) {
            self.cas_seen[index] = cas;
        }
    }

    fn expiry(&self, random: &mut Random, now: Timestamp) -> Expiry {
        match random.below(6) {
            0 if self.expiry => Expiry::at(now.0 + 1 + random.below(8) as u32),
            1 if self.expiry => Expiry::at(now.0 + 1000),
            2 => match random.chance(1, 4) {
                true => Expiry::PAST,
                false => Expiry::at(now.0 + 100_000),
            },
            _ => Expiry::NEVER,
        }
    }

    fn compare(&self, random: &mut Random, index: usize) -> Option<u64> {
        match random.below(8) {
            0..=1 => Some(self.cas_seen[index]),
            2 => Some(self.cas_seen[index].saturating_sub(random.below(3))),
            _ => None,
        }
    }

    fn new_cas(&self, random: &mut Random) -> Option<u64> {
        (self.hidden && random.chance(1, 12)).then(|| 1 + random.below(50))
    }

    /// The next command, at second `now`.
    pub fn command(&mut self, random: &mut Random, now: Timestamp) -> Command {
        let index = random.below(self.keys.len() as u64) as usize;
        let key = self.keys[index].clone();
        match random.below(100) {
            0..30 => self.look_up(random, &key, now),
            30..65 => self.store(random, index, now).into(),
            65..75 => {
                let stays = self.hidden && random.chance(1, 2);
                let delete = Delete {
                    compare: self.compare(random, index),
                    new_cas: self.new_cas(random).filter(|_| stays),
                    mark_stale: stays && random.chance(1, 2),
                    drop_value: (stays && random.chance(1, 2)).then(|| random.below(9) as u32),
                    expiry: (stays && random.chance(1, 2)).then(|| self.expiry(random, now)),
                };
                delete_with(&key, delete)
            }
            75..92 => {
                let options = Arithmetic {
                    initial: random
                        .chance(1, 2)
                        .then(|| Initial { value: random.below(1000), expiry: self.expiry(random, now) }),
                    compare: self.compare(random, index),
                    new_cas: self.new_cas(random),
                    expiry: random.chance(1, 5).then(|| self.expiry(random, now)),
                    ..step(
                        *random.pick(&[Direction::Increment, Direction::Increment, Direction::Decrement]),
                        random.below(20),
                    )
                };
                arithmetic(&key, options)
            }
            92..98 => touch(&key, self.expiry(random, now)),
            _ => self.flush(random, now),
        }
    }

    fn flush(&self, random: &mut Random, now: Timestamp) -> Command {
        let prefixes: [&[u8]; 3] = [b"counter:", b"text:1", b"none"];
        let prefix = random.chance(4, 5).then(|| random.pick(&prefixes).to_vec());
        let prefix = prefix.filter(|_| self.prefix_flushes);
        let delayed = self.delayed_flushes && random.chance(1, 2);
        let when = delayed.then(|| Timestamp(now.0 + 1 + random.below(5) as u32));
        Command::Flush { prefix, when }
    }

    fn look_up(&self, random: &mut Random, key: &[u8], now: Timestamp) -> Command {
        let mut get = Get::plain();
        if random.chance(1, 8) {
            get.touch = Some(self.expiry(random, now));
        }
        get.bump = random.chance(7, 8);
        if self.hidden && random.chance(1, 3) {
            get.tokens = true;
            if random.chance(1, 3) {
                get.recache_below = Some(random.below(10) as u32);
            }
            if random.chance(1, 3) {
                get.vivify = Some(Vivify { expiry: self.expiry(random, now), new_cas: self.new_cas(random) });
            }
        }
        get_with(key, get)
    }

    fn store(&mut self, random: &mut Random, index: usize, now: Timestamp) -> StoreCommand {
        self.writes += 1;
        let counter = index.is_multiple_of(2);
        let modes = [Mode::Set, Mode::Set, Mode::Set, Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend];
        // Digits joined to a counter make it longer than a number.
        let mode = *random.pick(&modes[..if counter { 5 } else { 7 }]);
        let value = match counter {
            true => random.below(1_000_000).to_string(),
            // Now and then one that spans sectors and pages.
            false if random.chance(1, 4) => {
                let filling = "-".repeat(random.below(6000) as usize);
                format!("{}{}{filling},", self.name, self.writes)
            }
            false => format!("{}{},", self.name, self.writes),
        };
        let compare = self.compare(random, index);
        let older = match self.hidden && random.chance(1, 3) {
            true => Older::MarkStale,
            false => Older::Refuse,
        };
        let joins = matches!(mode, Mode::Append | Mode::Prepend);
        StoreCommand {
            compare,
            new_cas: self.new_cas(random),
            older,
            vivify: (joins && random.chance(1, 3)).then(|| self.expiry(random, now)),
            stale: self.hidden && random.chance(1, 20),
            token_taken: self.hidden && random.chance(1, 20),
            hand_over: *random.pick(&[HandOver::Borrowed, HandOver::Owned, HandOver::Reserved]),
            ..store(mode, &self.keys[index], value.as_bytes())
                .flags(random.below(1 << 32) as u32)
                .expiry(self.expiry(random, now))
        }
    }
}
