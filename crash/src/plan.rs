//! What clients do: the keys, and random commands that fit them.

use crate::operation::{Action, Direction, StoreMode, Ttl};
use crate::random::Random;
use crate::value::{Piece, Value};
use crate::wire::Dialect;

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Everything happens to it.
    Mixed,
    /// It holds a number that goes up and down, is set and deleted.
    Number,
    /// It holds a number that clients only add 1 to.
    Counter,
    /// Its items live a second or two, or are born dead.
    ShortLived,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its use.
    pub purpose: Purpose,
}

/// The keys of a campaign, few enough that clients collide.
pub fn keys() -> Vec<Key> {
    let counts = [
        (Purpose::Mixed, "mixed", 32),
        (Purpose::Number, "number", 8),
        (Purpose::Counter, "counter", 4),
        (Purpose::ShortLived, "short", 12),
    ];
    let mut keys = Vec::new();
    for (purpose, name, count) in counts {
        keys.extend((0..count).map(|number| Key { name: format!("{name}:{number}"), purpose }));
    }
    keys
}

/// Something to do.
#[derive(Clone, Debug)]
pub struct Step {
    /// The key, by its place in the list.
    pub key: usize,
    /// What to do.
    pub action: Action,
    /// Ask for no answer where all is well.
    pub is_quiet: bool,
}

/// Makes the steps of one client.
pub struct Planner {
    random: Random,
    dialect: Dialect,
    client: u32,
    /// Pieces written so far: a client's pieces are numbered over the whole life of a data folder.
    sequence: u64,
    /// Whether flush_all may come up.
    flushes: bool,
    /// The last CAS seen of each key, 0 for none.
    seen_cas: Vec<u64>,
}

/// A CAS that no item has: for conditions on keys whose CAS was never seen.
const CAS_OF_NO_ITEM: u64 = 1 << 60;

impl Planner {
    /// A planner for `client`. Pieces are numbered from `first_sequence` on.
    pub fn new(random: Random, dialect: Dialect, client: u32, first_sequence: u64, flushes: bool) -> Self {
        Planner { random, dialect, client, sequence: first_sequence, flushes, seen_cas: Vec::new() }
    }

    /// The number of the next piece.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Remembers a CAS for later conditions.
    pub fn learn_cas(&mut self, key: usize, cas: u64) {
        if self.seen_cas.len() <= key {
            self.seen_cas.resize(key + 1, 0);
        }
        self.seen_cas[key] = cas;
    }

    /// How many requests to send at once.
    pub fn batch(&mut self) -> usize {
        if self.random.percent(40) { 1 } else { self.random.between(2, 16) as usize }
    }

    /// How many microseconds to leave the server alone before the next batch, mostly none.
    pub fn pause_us(&mut self) -> u64 {
        if self.random.percent(10) { self.random.below(3000) } else { 0 }
    }

    /// The next step.
    pub fn step(&mut self, keys: &[Key]) -> Step {
        if self.flushes && self.dialect != Dialect::Meta && self.random.below(400) == 0 {
            return Step { key: 0, action: Action::Flush, is_quiet: self.random.percent(30) };
        }
        let key = self.random.below(keys.len() as u64) as usize;
        let action = match keys[key].purpose {
            Purpose::Counter => self.count(1),
            Purpose::Number => self.number(key),
            Purpose::ShortLived | Purpose::Mixed => self.mixed(key, &keys[key]),
        };
        let is_quiet = self.random.percent(20) && self.may_be_quiet(&action, keys[key].purpose);
        Step { key, action, is_quiet }
    }

    fn may_be_quiet(&self, action: &Action, purpose: Purpose) -> bool {
        match self.dialect {
            Dialect::Classic => !matches!(action, Action::Get { .. }),
            // An error line does not say whose it is: quiet counting only where there is a number.
            Dialect::Meta => {
                let counts = matches!(action, Action::Arithmetic { .. });
                !counts || matches!(purpose, Purpose::Number | Purpose::Counter)
            }
            Dialect::Binary => !matches!(action, Action::Touch { .. }),
        }
    }

    /// Adds to a counter that nothing else happens to, or looks at it.
    fn count(&mut self, delta: u64) -> Action {
        if self.random.percent(30) {
            return self.look();
        }
        Action::Arithmetic { direction: Direction::Increment, delta, vivify: None }
    }

    fn number(&mut self, key: usize) -> Action {
        match self.random.below(100) {
            0..40 => self.arithmetic(),
            40..65 => self.look(),
            65..75 => {
                let number = Value::number(self.random.below(1000));
                self.store(StoreMode::Set, number, 0)
            }
            75..80 => {
                let number = Value::number(self.random.below(10));
                self.store(StoreMode::Add, number, 0)
            }
            80..86 => {
                let number = Value::number(self.random.below(100_000));
                let compare = self.compare(key);
                self.guarded(StoreMode::Set, number, compare)
            }
            86..92 => Action::Delete { compare: None, mark_stale: false, drop_value: false },
            _ => self.touch(0),
        }
    }

    fn mixed(&mut self, key: usize, named: &Key) -> Action {
        let ttl = self.ttl(named.purpose);
        match self.random.below(100) {
            0..26 => {
                let value = self.value(&named.name);
                self.store(StoreMode::Set, value, ttl)
            }
            26..32 => {
                let value = self.value(&named.name);
                self.store(StoreMode::Add, value, ttl)
            }
            32..37 => {
                let value = self.value(&named.name);
                self.store(StoreMode::Replace, value, ttl)
            }
            37..43 => self.join(StoreMode::Append, &named.name),
            43..47 => self.join(StoreMode::Prepend, &named.name),
            47..54 => {
                let value = self.value(&named.name);
                let compare = self.compare(key);
                self.guarded(StoreMode::Set, value, compare)
            }
            54..58 => self.delete(key),
            58..60 => self.arithmetic(),
            60..64 => self.touch(ttl),
            64..68 => self.look_and_touch(ttl),
            _ => self.look(),
        }
    }

    fn ttl(&mut self, purpose: Purpose) -> Ttl {
        let ttl: Ttl = match purpose {
            Purpose::ShortLived => *self.random.pick(&[-1, 1, 1, 2, 2, 3, 5]),
            _ if self.random.percent(5) => *self.random.pick(&[-1, 1, 2, 100]),
            _ => 0,
        };
        // The binary protocol has no negative numbers of seconds.
        if self.dialect == Dialect::Binary { ttl.abs() } else { ttl }
    }

    /// A value of this client's next piece; one in fifty is large.
    fn value(&mut self, key: &str) -> Value {
        let padding_bytes = match self.random.below(100) {
            0..2 => self.random.between(5_000, 60_000),
            2..10 => self.random.between(500, 5_000),
            _ => self.random.below(120),
        };
        self.sequence += 1;
        let piece = Piece {
            key: key.to_owned(),
            client: self.client,
            sequence: self.sequence,
            padding_bytes: padding_bytes as usize,
        };
        Value::new(piece.bytes())
    }

    fn store(&mut self, mode: StoreMode, value: Value, ttl: Ttl) -> Action {
        let flags = self.random.below(1000) as u32;
        Action::Store { mode, value, flags, ttl, compare: None, older_marks_stale: false, vivify: None }
    }

    fn join(&mut self, mode: StoreMode, key: &str) -> Action {
        let vivifies = self.dialect == Dialect::Meta && self.random.percent(30);
        self.sequence += 1;
        let padding_bytes = self.random.below(40) as usize;
        let piece =
            Piece { key: key.to_owned(), client: self.client, sequence: self.sequence, padding_bytes };
        let vivify = vivifies.then_some(0);
        Action::Store {
            mode,
            value: Value::new(piece.bytes()),
            flags: 0,
            ttl: 0,
            compare: None,
            older_marks_stale: false,
            vivify,
        }
    }

    /// A CAS to compare with: mostly the last one seen, at times one that is too low.
    fn compare(&mut self, key: usize) -> u64 {
        let seen = self.seen_cas.get(key).copied().filter(|&cas| cas > 1).unwrap_or(CAS_OF_NO_ITEM);
        if self.random.percent(15) { seen - 1 } else { seen }
    }

    fn guarded(&mut self, mode: StoreMode, value: Value, compare: u64) -> Action {
        let older_marks_stale = self.dialect == Dialect::Meta && self.random.percent(50);
        let flags = self.random.below(1000) as u32;
        Action::Store { mode, value, flags, ttl: 0, compare: Some(compare), older_marks_stale, vivify: None }
    }

    fn delete(&mut self, key: usize) -> Action {
        let is_guarded = self.dialect != Dialect::Classic && self.random.percent(30);
        let is_meta = self.dialect == Dialect::Meta;
        Action::Delete {
            compare: is_guarded.then(|| self.compare(key)),
            mark_stale: is_meta && self.random.percent(40),
            drop_value: is_meta && self.random.percent(20),
        }
    }

    fn arithmetic(&mut self) -> Action {
        let direction = *self.random.pick(&[Direction::Increment, Direction::Decrement]);
        let vivifies = self.dialect != Dialect::Classic && self.random.percent(40);
        let vivify = vivifies.then(|| (self.random.below(100), 0));
        Action::Arithmetic { direction, delta: self.random.below(20), vivify }
    }

    fn touch(&mut self, ttl: Ttl) -> Action {
        let tokens = self.dialect == Dialect::Meta;
        if tokens {
            return Action::Get { touch: Some(ttl), vivify: None, recache_seconds: None, tokens };
        }
        Action::Touch { ttl }
    }

    fn look(&mut self) -> Action {
        let tokens = self.dialect == Dialect::Meta;
        let recache_seconds = (tokens && self.random.percent(5)).then_some(2);
        Action::Get { touch: None, vivify: None, recache_seconds, tokens }
    }

    fn look_and_touch(&mut self, ttl: Ttl) -> Action {
        let tokens = self.dialect == Dialect::Meta;
        if tokens && self.random.percent(30) {
            return Action::Get { touch: None, vivify: Some(ttl.max(0)), recache_seconds: None, tokens };
        }
        Action::Get { touch: Some(ttl), vivify: None, recache_seconds: None, tokens }
    }
}
