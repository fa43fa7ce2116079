//! Conversations as tables: what a client or a client of the database says, and what comes back.
//!
//! | said | comes back |
//! |---|---|
//! | `set KEY FLAGS EXPTIME VALUE`, likewise `add`, `replace`, `append`, `prepend` | `STORED` or the refusal |
//! | `cas KEY FLAGS EXPTIME $NAME VALUE` | likewise |
//! | `get KEY` | `FLAGS VALUE` or `END` |
//! | `gets KEY $NAME` | the same; the CAS is kept under the name |
//! | `incr KEY N`, `decr KEY N`, `count KEY N INITIAL` | the number |
//! | `delete KEY [$NAME]`, `touch KEY EXPTIME`, `gat KEY EXPTIME`, `flush` | |
//! | `wait SECONDS` | nothing; the clock moves on |
//! | `SQL> STATEMENT` | rows: fields between `|`, rows between `;` |
//!
//! In keys and values `⇥` is a tab and `_` alone an empty value. Exptimes are seconds from now, 0 is never, -1 the past.

use std::collections::HashMap;
use std::sync::Arc;

use larder_engine::kit::command::{self, StoreCommand};
use larder_engine::kit::{Client, Command, LocalExecutor, ManualClock, Outcome};
use larder_engine::{
    Arithmetic, Clock, Delete, Direction, Engine, EngineError, ErrorKind, Expiry, Get, Initial, Mode,
};

use super::Database;

/// A client of one container, with the names it has given to CAS ids.
pub struct Conversation<'d> {
    database: &'d Database,
    client: Client,
    executor: LocalExecutor,
    clock: Arc<ManualClock>,
    cas: HashMap<String, u64>,
}

impl<'d> Conversation<'d> {
    pub fn new(database: &'d Database, engine: Arc<dyn Engine>, clock: Arc<ManualClock>) -> Self {
        let executor = LocalExecutor::new(0);
        let client = Client::new(engine, executor.worker().clone(), clock.clone());
        Conversation { database, client, executor, clock, cas: HashMap::new() }
    }

    /// Says one line and gives what came back.
    pub fn say(&mut self, line: &str, table: &str) -> String {
        if let Some(sql) = line.strip_prefix("SQL> ") {
            return self.database.sql(&self.database.dialect(&sql.replace("{t}", table)));
        }
        let line = line.replace('⇥', "\t");
        let mut words = line.splitn(6, ' ');
        let mut word = || words.next().unwrap_or_default();
        let verb = word().to_owned();
        if verb == "wait" {
            self.clock.advance(word().parse().expect("seconds"));
            return String::new();
        }
        let key = word().as_bytes().to_vec();
        let command = match verb.as_str() {
            "set" | "add" | "replace" | "append" | "prepend" | "cas" => {
                let (flags, exptime) = (word(), word());
                let compare = (verb == "cas").then(&mut word);
                let value = word();
                let rest: Vec<&str> = words.collect();
                let value = [vec![value], rest].concat().join(" ");
                self.store(&verb, &key, flags, exptime, compare, if value == "_" { "" } else { &value })
            }
            "get" => command::get(&key),
            "gets" => {
                let name = word().to_owned();
                let outcome = self.run(&command::get(&key));
                self.cas.insert(name, outcome.cas());
                return shown(&outcome);
            }
            "gat" => command::get_with(&key, Get { touch: Some(self.expiry(word())), ..Get::plain() }),
            "touch" => command::touch(&key, self.expiry(word())),
            "delete" => {
                let name = word();
                let compare = (!name.is_empty()).then(|| self.cas[name]);
                command::delete_with(&key, Delete { compare, ..Delete::default() })
            }
            "incr" | "decr" | "count" => {
                let direction = if verb == "decr" { Direction::Decrement } else { Direction::Increment };
                let delta = word().parse().expect("a number");
                let initial = (verb == "count").then(|| Initial {
                    value: word().parse().expect("an initial value"),
                    expiry: Expiry::NEVER,
                });
                command::arithmetic(&key, Arithmetic { initial, ..command::step(direction, delta) })
            }
            "flush" => command::flush_all(),
            other => panic!("`{other}` is no verb of a conversation"),
        };
        shown(&self.run(&command))
    }

    fn store(
        &self,
        verb: &str,
        key: &[u8],
        flags: &str,
        exptime: &str,
        compare: Option<&str>,
        value: &str,
    ) -> Command {
        let mode = match verb {
            "add" => Mode::Add,
            "replace" => Mode::Replace,
            "append" => Mode::Append,
            "prepend" => Mode::Prepend,
            _ => Mode::Set,
        };
        let compare = compare.map(|name| self.cas[name]);
        let store = command::store(mode, key, value.as_bytes())
            .flags(flags.parse().expect("flags"))
            .expiry(self.expiry(exptime));
        StoreCommand { compare, ..store }.into()
    }

    fn expiry(&self, exptime: &str) -> Expiry {
        match exptime.parse::<i64>().expect("an exptime") {
            0 => Expiry::NEVER,
            seconds @ 1.. => {
                Expiry::at(u32::try_from(i64::from(self.clock.now().0) + seconds).unwrap_or(u32::MAX))
            }
            _ => Expiry::PAST,
        }
    }

    pub fn run(&self, command: &Command) -> Outcome {
        self.executor.block_on(self.client.run(command))
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Missing => "END".into(),
        Outcome::Found(found, value) => {
            format!("{} {}", found.flags, String::from_utf8_lossy(value).replace('\t', "⇥"))
        }
        Outcome::Stored(_) => "STORED".into(),
        Outcome::Deleted(_) => "DELETED".into(),
        Outcome::Number(number) => number.value.to_string(),
        Outcome::Touched(_) => "TOUCHED".into(),
        Outcome::Flushed(_) => "OK".into(),
        Outcome::Refused(kind, text) => match kind {
            ErrorKind::NotFound => "NOT_FOUND".into(),
            ErrorKind::Exists => "EXISTS".into(),
            ErrorKind::NotStored => "NOT_STORED".into(),
            _ => format!("{kind:?}: {text}"),
        },
        Outcome::Breach(breach) => panic!("the engine broke a rule: {breach}"),
        Outcome::Unanswered => panic!("{outcome}"),
    }
}

/// A refusal of such a kind, for expectations.
pub fn refusal(kind: ErrorKind) -> String {
    format!("{kind:?}: {}", EngineError::from(kind))
}
