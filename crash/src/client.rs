//! A connection that sends requests, and the record of what it saw.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use larder_protocol::client::{DecodedReply, Reply, ReplyDecoder};

use crate::operation::{Action, Moment, Operation, Outcome};
use crate::plan::{Key, Planner, Step};
use crate::value::Value;
use crate::wire::{self, Dialect, Wording};

/// How long a server may take for an answer before it counts as hung.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 << 10;

/// Two clocks that agree: one for the order of events, one for expiry.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    start: Instant,
    start_unix_ms: u64,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        let start_unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Stopwatch { start: Instant::now(), start_unix_ms }
    }

    /// The moment it is.
    pub fn now(&self) -> Moment {
        let elapsed = self.start.elapsed();
        Moment {
            order_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            unix_ms: self.start_unix_ms + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What a client did.
#[derive(Debug, Default)]
pub struct Log {
    /// Its operations in the order of the requests, each with the key's place in the list. A flush has the place
    /// [`ALL_KEYS`].
    pub operations: Vec<(usize, Operation)>,
    /// What the server did that no server may do: nonsense on the connection, or no answer.
    pub broken: Option<String>,
}

/// The place of operations that concern every key.
pub const ALL_KEYS: usize = usize::MAX;

/// Why a client stopped.
enum Stop {
    /// The connection is gone: so is the server.
    Gone,
    /// The server misbehaves.
    Broken(String),
}

/// A request whose answer has not come.
struct Expected {
    /// Places in the log; several for a classic look-up of several keys.
    first: usize,
    count: usize,
    opaque: u32,
    is_quiet: bool,
}

/// A connection.
pub struct Client<'k> {
    keys: &'k [Key],
    id: u32,
    dialect: Dialect,
    stream: TcpStream,
    watch: Stopwatch,
    decoder: ReplyDecoder,
    input: Vec<u8>,
    expected: VecDeque<Expected>,
    opaque: u32,
    log: Log,
}

impl<'k> Client<'k> {
    /// Connects.
    pub fn connect(
        address: SocketAddr,
        keys: &'k [Key],
        id: u32,
        dialect: Dialect,
        watch: Stopwatch,
    ) -> std::io::Result<Client<'k>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Client {
            keys,
            id,
            dialect,
            stream,
            watch,
            decoder: ReplyDecoder::new(dialect.protocol()),
            input: Vec::new(),
            expected: VecDeque::new(),
            opaque: 0,
            log: Log::default(),
        })
    }

    /// Sends what the planner comes up with until the server is gone.
    pub fn load(mut self, planner: &mut Planner) -> Log {
        loop {
            let batch = planner.batch();
            let steps: Vec<Step> = (0..batch).map(|_| planner.step(self.keys)).collect();
            let first = self.log.operations.len();
            if let Err(stop) = self.exchange(&steps) {
                return self.end(stop);
            }
            for (key, operation) in &self.log.operations[first..] {
                if let Some(cas) = operation.answered.as_ref().and_then(|(_, outcome)| outcome.cas()) {
                    planner.learn_cas(*key, cas);
                }
            }
            let pause_us = planner.pause_us();
            if pause_us > 0 {
                std::thread::sleep(Duration::from_micros(pause_us));
            }
        }
    }

    /// Looks every key up once.
    pub fn look_at_all(self) -> Log {
        let tokens = self.dialect == Dialect::Meta;
        let action = Action::Get { touch: None, vivify: None, recache_seconds: None, tokens };
        let all: Vec<usize> = (0..self.keys.len()).collect();
        self.once(&all, &action)
    }

    /// Does the same to several keys, once; a server that leaves meanwhile is broken.
    pub fn once(mut self, keys: &[usize], action: &Action) -> Log {
        let steps: Vec<Step> =
            keys.iter().map(|&key| Step { key, action: action.clone(), is_quiet: false }).collect();
        match self.exchange(&steps) {
            Ok(()) => self.log,
            Err(Stop::Gone) => self.end(Stop::Broken("the connection was closed".into())),
            Err(stop) => self.end(stop),
        }
    }

    fn end(mut self, stop: Stop) -> Log {
        if let Stop::Broken(text) = stop {
            self.log.broken = Some(format!("client {} ({:?}): {text}", self.id, self.dialect));
        }
        self.log
    }

    /// Sends the steps in one write and reads all answers.
    fn exchange(&mut self, steps: &[Step]) -> Result<(), Stop> {
        let mut output = Vec::new();
        let mut rest = steps;
        let keys = self.keys;
        let invoked = self.watch.now();
        while let [step, behind @ ..] = rest {
            let group = self.group(rest);
            if group > 1 {
                let names: Vec<&str> =
                    rest[..group].iter().map(|step| keys[step.key].name.as_str()).collect();
                self.ask(&rest[..group], &names.join(" "), invoked, &mut output);
                rest = &rest[group..];
            } else {
                self.ask(&rest[..1], &keys[step.key].name, invoked, &mut output);
                rest = behind;
            }
        }
        let needs_barrier = steps.iter().any(|step| step.is_quiet);
        if needs_barrier {
            self.opaque += 1;
            Wording::encode_barrier(self.dialect.protocol(), self.opaque, &mut output);
            self.expected.push_back(Expected { first: 0, count: 0, opaque: self.opaque, is_quiet: false });
        }
        self.stream.write_all(&output).map_err(|error| lost(&error))?;
        self.read_answers()
    }

    /// How many of the next steps go into one classic look-up.
    fn group(&self, steps: &[Step]) -> usize {
        if self.dialect != Dialect::Classic {
            return 1;
        }
        let mut count = 0;
        for step in steps {
            let is_new = steps[..count].iter().all(|other| other.key != step.key);
            if step.action != Action::LOOK || !is_new {
                break;
            }
            count += 1;
        }
        count.max(1)
    }

    /// Appends one request for the steps, which is one step but for a classic look-up.
    fn ask(&mut self, steps: &[Step], key: &str, invoked: Moment, output: &mut Vec<u8>) {
        self.opaque += 1;
        let Step { action, is_quiet, .. } = &steps[0];
        let wording = Wording { dialect: self.dialect, key, is_quiet: *is_quiet, opaque: self.opaque };
        wording.encode(action, output).expect("the planner says only what the dialect can say");
        self.expected.push_back(Expected {
            first: self.log.operations.len(),
            count: steps.len(),
            opaque: self.opaque,
            is_quiet: *is_quiet,
        });
        for step in steps {
            let index = self.log.operations.len() as u64;
            let key = if step.action == Action::Flush { ALL_KEYS } else { step.key };
            let operation =
                Operation { client: self.id, index, action: step.action.clone(), invoked, answered: None };
            self.log.operations.push((key, operation));
        }
    }

    fn read_answers(&mut self) -> Result<(), Stop> {
        // Hits of the classic look-up under way.
        let mut hits: Vec<(Vec<u8>, Outcome)> = Vec::new();
        let mut now = self.watch.now();
        let mut input = std::mem::take(&mut self.input);
        let mut start = 0;
        while !self.expected.is_empty() {
            match self.decoder.decode(&input[start..]) {
                DecodedReply::Reply { reply, consumed } => {
                    self.take(&reply, &mut hits, now).map_err(Stop::Broken)?;
                    start += consumed;
                }
                DecodedReply::Broken(reason) => return Err(Stop::Broken(reason.to_owned())),
                DecodedReply::Incomplete { .. } => {
                    input.drain(..start);
                    start = 0;
                    let length = input.len();
                    input.resize(length + READ_BYTES, 0);
                    let read = self.stream.read(&mut input[length..]);
                    now = self.watch.now();
                    let count = read.map_err(|error| lost(&error))?;
                    if count == 0 {
                        return Err(Stop::Gone);
                    }
                    input.truncate(length + count);
                }
            }
        }
        input.drain(..start);
        if !input.is_empty() {
            return Err(Stop::Broken(format!("bytes behind the last answer: {}", input.escape_ascii())));
        }
        self.input = input;
        Ok(())
    }

    fn take(
        &mut self,
        reply: &Reply<'_>,
        hits: &mut Vec<(Vec<u8>, Outcome)>,
        now: Moment,
    ) -> Result<(), String> {
        match reply {
            Reply::Value { key, flags, cas, value } => {
                let cas = cas.ok_or("an answer to gets has no CAS")?;
                let value = Value::new(value.to_vec());
                let hit = Outcome::Hit { value, flags: *flags, cas, meta: None };
                hits.push((key.to_vec(), hit));
                Ok(())
            }
            Reply::End => self.take_hits(std::mem::take(hits), now),
            Reply::Binary(answer) => {
                let position = self.find(answer.opaque)?;
                let expected = self.remove(position, now)?;
                if expected.count == 0 {
                    return Ok(());
                }
                let outcome = wire::binary_outcome(self.action(&expected), answer);
                self.answer(&expected, outcome, reply, now)
            }
            Reply::Meta(answer) if answer.code == *b"MN" => {
                let position = self.expected.iter().position(|expected| expected.count == 0);
                self.remove(position.ok_or("an MN that nobody asked for")?, now).map(|_| ())
            }
            Reply::Meta(answer) => {
                let opaque = answer.number(b'O').ok_or("a meta answer without its opaque")?;
                let opaque = u32::try_from(opaque).map_err(|_| "a foreign opaque")?;
                let position = self.find(opaque)?;
                let expected = self.remove(position, now)?;
                let outcome = wire::meta_outcome(self.action(&expected), answer);
                self.answer(&expected, outcome, reply, now)
            }
            line => {
                let position = self.expected.iter().position(|expected| !expected.is_quiet);
                let expected = self.remove(position.ok_or("an answer to quiet requests")?, now)?;
                let outcome = if expected.count == 1 { wire::classic_outcome(line) } else { None };
                self.answer(&expected, outcome, reply, now)
            }
        }
    }

    fn take_hits(&mut self, mut hits: Vec<(Vec<u8>, Outcome)>, now: Moment) -> Result<(), String> {
        let position = self.expected.iter().position(|expected| !expected.is_quiet);
        let expected = self.remove(position.ok_or("an END that nobody asked for")?, now)?;
        for place in expected.first..expected.first + expected.count {
            if !matches!(self.log.operations[place].1.action, Action::Get { .. }) {
                return Err(format!("END answers {}", self.log.operations[place].1.action));
            }
        }
        // Hits come in the order of the keys.
        let places = expected.first..expected.first + expected.count;
        for place in places {
            let name = self.keys[self.log.operations[place].0].name.as_bytes();
            let is_hit = hits.first().is_some_and(|(key, _)| key == name);
            let outcome = if is_hit { hits.remove(0).1 } else { Outcome::Miss };
            self.log.operations[place].1.answered = Some((now, outcome));
        }
        match hits.first() {
            Some((key, _)) => Err(format!("a VALUE nobody asked for: {}", key.escape_ascii())),
            None => Ok(()),
        }
    }

    fn find(&self, opaque: u32) -> Result<usize, String> {
        self.expected
            .iter()
            .position(|expected| expected.opaque == opaque)
            .ok_or_else(|| format!("an answer with opaque {opaque}, which is not awaited"))
    }

    fn action(&self, expected: &Expected) -> &Action {
        &self.log.operations[expected.first].1.action
    }

    /// Takes an answered request out of the queue. A barrier's answer also settles the quiet ones before it.
    fn remove(&mut self, position: usize, now: Moment) -> Result<Expected, String> {
        if self.expected.iter().take(position).any(|expected| !expected.is_quiet) {
            return Err("answers do not come in the order of the requests".into());
        }
        let is_barrier = self.expected[position].count == 0;
        if is_barrier {
            for expected in self.expected.drain(..position).collect::<Vec<_>>() {
                let operation = &mut self.log.operations[expected.first].1;
                operation.answered = Some((now, wire::silence(self.dialect, &operation.action)));
            }
            return Ok(self.expected.pop_front().expect("the barrier stands first now"));
        }
        Ok(self.expected.remove(position).expect("the position was just found"))
    }

    fn answer(
        &mut self,
        expected: &Expected,
        outcome: Option<Outcome>,
        reply: &Reply<'_>,
        now: Moment,
    ) -> Result<(), String> {
        let outcome =
            outcome.ok_or_else(|| format!("{} was answered by {reply:?}", self.action(expected)))?;
        self.log.operations[expected.first].1.answered = Some((now, outcome));
        Ok(())
    }
}

fn lost(error: &std::io::Error) -> Stop {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Stop::Broken(format!("no answer for {} s", ANSWER_TIMEOUT.as_secs()))
        }
        _ => Stop::Gone,
    }
}
