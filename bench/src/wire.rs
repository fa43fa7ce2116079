//! Operations to bytes, bytes to outcomes, in each of the protocols.

use std::sync::Arc;

use larder_protocol::client::{BinaryReply, DecodedReply, MetaReply, Reply, ReplyDecoder, encode_request};
use larder_protocol::{
    Arithmetic, BinaryForm, Command, Delete, Direction, ExpTime, FlagSet, Form, Lookup, MetaCommand,
    MetaForm, Opcode, Request, Store, StoreMode, TextForm,
};

use crate::arguments::Protocol;
use crate::resp;
use crate::tally::Tally;
use crate::workload::{Keyspace, Kind};

/// One value in so many is compared byte by byte, the others by length and beginning.
const THOROUGH_EVERY: u32 = 64;

/// An operation that is under way on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// When it started, or should have, in nanoseconds of the run.
    pub(crate) started_ns: u64,
    pub(crate) kind: Kind,
    /// The (first) key.
    pub(crate) key: u64,
    /// How many keys it asks for.
    pub(crate) keys: u32,
    /// How many of them were answered so far with a value.
    pub(crate) hits: u32,
    /// Replies to come, for an answer that says so beforehand.
    pub(crate) replies_left: u32,
}

impl Flight {
    pub(crate) fn new(kind: Kind, key: u64, keys: u32, started_ns: u64) -> Self {
        Flight { started_ns, kind, key, keys, hits: 0, replies_left: 0 }
    }
}

/// Writes operations.
pub(crate) struct Encoder {
    protocol: Protocol,
    keyspace: Arc<Keyspace>,
    exptime: ExpTime,
    key: Vec<u8>,
    value: Vec<u8>,
}

const META_FORM: MetaForm<'static> =
    MetaForm { command: MetaCommand::Get, flags: FlagSet::EMPTY, key_token: b"", flag_tokens: b"" };

impl Encoder {
    pub(crate) fn new(protocol: Protocol, keyspace: Arc<Keyspace>, exptime: u32) -> Self {
        let exptime = ExpTime(i64::from(exptime));
        Encoder { protocol, keyspace, exptime, key: Vec::new(), value: Vec::new() }
    }

    fn set_key(&mut self, number: u64) {
        self.key.clear();
        self.keyspace.put_key(number, &mut self.key);
    }

    /// Appends a get of one key.
    pub(crate) fn get(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_key(number);
        match self.protocol {
            Protocol::Text => {
                out.extend_from_slice(b"get ");
                out.extend_from_slice(&self.key);
                out.extend_from_slice(b"\r\n");
            }
            Protocol::Redis => {
                resp::begin(2, out);
                resp::put(b"GET", out);
                resp::put(&self.key, out);
            }
            Protocol::Meta => self.lookup(b"v", Opcode::GET, 0, out),
            Protocol::Binary => self.lookup(b"", Opcode::GET, 0, out),
        }
    }

    /// Appends a get of several keys.
    pub(crate) fn get_many(&mut self, numbers: &[u64], out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Text => {
                out.extend_from_slice(b"get");
                for number in numbers {
                    out.push(b' ');
                    self.keyspace.put_key(*number, out);
                }
                out.extend_from_slice(b"\r\n");
            }
            Protocol::Redis => {
                resp::begin(numbers.len() + 1, out);
                resp::put(b"MGET", out);
                for number in numbers {
                    self.set_key(*number);
                    resp::put(&self.key, out);
                }
            }
            Protocol::Meta | Protocol::Binary => {
                for number in numbers {
                    self.set_key(*number);
                    // The answer to a binary get names no key; it brings back this number instead.
                    self.lookup(b"k v q", Opcode::GET_QUIET, *number as u32, out);
                }
                self.request(Command::Noop, b"", MetaCommand::Noop, Opcode::NOOP, 0, out);
            }
        }
    }

    fn lookup(&self, flags: &'static [u8], opcode: u8, opaque: u32, out: &mut Vec<u8>) {
        let lookup = Lookup {
            key: &self.key,
            touch: None,
            vivify: None,
            recache_seconds: None,
            new_cas: None,
            unless_cas: None,
            bump: true,
            value: true,
        };
        self.request(Command::Lookup(lookup), flags, MetaCommand::Get, opcode, opaque, out);
    }

    /// Appends a set of a key to its value.
    pub(crate) fn set(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_key(number);
        self.value.clear();
        self.keyspace.put_value(number, &mut self.value);
        self.store(out);
    }

    /// Appends a set of a counter to 0.
    pub(crate) fn set_counter(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_counter_key(number);
        self.value.clear();
        self.value.push(b'0');
        self.store(out);
    }

    fn store(&mut self, out: &mut Vec<u8>) {
        if self.protocol == Protocol::Redis {
            resp::begin(3, out);
            resp::put(b"SET", out);
            resp::put(&self.key, out);
            resp::put(&self.value, out);
            return;
        }
        let store = Store {
            key: &self.key,
            mode: StoreMode::Set,
            flags: 0,
            exptime: self.exptime,
            compare: None,
            new_cas: None,
            older_marks_stale: false,
            vivify: None,
            value: &self.value,
        };
        let mut flags = [0u8; 12];
        let flags = if self.exptime.0 == 0 { &[][..] } else { ttl_flag(self.exptime.0 as u32, &mut flags) };
        self.request(Command::Store(store), flags, MetaCommand::Set, Opcode::SET, 0, out);
    }

    /// Counters stand beside the values: the first character behind the prefix is another.
    fn set_counter_key(&mut self, number: u64) {
        self.set_key(number);
        let place = self.keyspace.prefix_length();
        self.key[place] = b'n';
    }

    /// Appends an increment of a counter by 1.
    pub(crate) fn increment(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_counter_key(number);
        if self.protocol == Protocol::Redis {
            resp::begin(2, out);
            resp::put(b"INCR", out);
            resp::put(&self.key, out);
            return;
        }
        let arithmetic = Arithmetic {
            key: &self.key,
            direction: Direction::Increment,
            delta: 1,
            vivify: None,
            compare: None,
            new_cas: None,
            touch: None,
        };
        let command = Command::Arithmetic(arithmetic);
        self.request(command, b"v", MetaCommand::Arithmetic, Opcode::INCREMENT, 0, out);
    }

    /// Appends a delete.
    pub(crate) fn delete(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_key(number);
        if self.protocol == Protocol::Redis {
            resp::begin(2, out);
            resp::put(b"DEL", out);
            resp::put(&self.key, out);
            return;
        }
        let delete = Delete {
            key: &self.key,
            compare: None,
            new_cas: None,
            mark_stale: false,
            drop_value: false,
            flags: 0,
            touch: None,
        };
        self.request(Command::Delete(delete), b"", MetaCommand::Delete, Opcode::DELETE, 0, out);
    }

    fn request(
        &self,
        command: Command<'_>,
        flag_tokens: &[u8],
        meta: MetaCommand,
        opcode: u8,
        opaque: u32,
        out: &mut Vec<u8>,
    ) {
        let key_token = if meta == MetaCommand::Noop { &[][..] } else { &self.key };
        let form = match self.protocol {
            Protocol::Text => Form::Text(TextForm::default()),
            Protocol::Meta => Form::Meta(MetaForm { command: meta, key_token, flag_tokens, ..META_FORM }),
            Protocol::Binary => Form::Binary(BinaryForm { opcode, opaque }),
            Protocol::Redis => unreachable!("Redis' commands are written by their own function"),
        };
        encode_request(&Request { command, form }, out)
            .expect("plain commands can be said in every protocol");
    }
}

/// `T` and the seconds, as a flag of a meta line.
fn ttl_flag(seconds: u32, flag: &mut [u8; 12]) -> &[u8] {
    let text = seconds.to_string();
    flag[0] = b'T';
    flag[1..=text.len()].copy_from_slice(text.as_bytes());
    &flag[..=text.len()]
}

/// Reads the answers of one connection.
pub(crate) enum Decoder {
    Memcached(ReplyDecoder),
    Redis,
}

/// What the bytes at the start of the input were.
pub(crate) enum Step {
    /// Not all there; worth another look when there are so many bytes.
    Incomplete { input_bytes_min: usize },
    /// So many bytes; the operation goes on.
    Part(usize),
    /// So many bytes, and the operation is over.
    Done(usize),
}

/// Which values are checked byte by byte.
pub(crate) struct Checker {
    pub(crate) keyspace: Arc<Keyspace>,
    seen: u32,
}

impl Checker {
    pub(crate) fn new(keyspace: Arc<Keyspace>) -> Self {
        Checker { keyspace, seen: 0 }
    }

    fn hit(&mut self, flight: &mut Flight, key: Option<u64>, value: &[u8], tally: &mut Tally) {
        self.seen = self.seen.wrapping_add(1);
        let thorough = self.seen.is_multiple_of(THOROUGH_EVERY);
        flight.hits += 1;
        if !key.is_some_and(|key| self.keyspace.is_value_of(key, value, thorough)) {
            tally.wrong_values += 1;
        }
    }
}

impl Decoder {
    pub(crate) fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Text | Protocol::Meta => {
                Decoder::Memcached(ReplyDecoder::new(larder_protocol::Protocol::Text))
            }
            Protocol::Binary => Decoder::Memcached(ReplyDecoder::new(larder_protocol::Protocol::Binary)),
            Protocol::Redis => Decoder::Redis,
        }
    }

    /// Takes the reply at the start of `input` as one to `flight`.
    ///
    /// # Errors
    /// What is wrong with input that is no reply to it; the connection is then of no use.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        flight: &mut Flight,
        checker: &mut Checker,
        tally: &mut Tally,
    ) -> Result<Step, String> {
        match self {
            Decoder::Memcached(decoder) => match decoder.decode(input) {
                DecodedReply::Reply { reply, consumed } => {
                    let is_over = match reply {
                        Reply::Meta(reply) => meta_reply(&reply, flight, checker, tally)?,
                        Reply::Binary(reply) => binary_reply(&reply, flight, checker, tally)?,
                        reply => text_reply(&reply, flight, checker, tally)?,
                    };
                    Ok(if is_over { Step::Done(consumed) } else { Step::Part(consumed) })
                }
                DecodedReply::Incomplete { input_bytes_min } => Ok(Step::Incomplete { input_bytes_min }),
                DecodedReply::Broken(why) => Err(why.into()),
            },
            Decoder::Redis => match resp::decode(input)? {
                None => Ok(Step::Incomplete { input_bytes_min: input.len() + 1 }),
                Some((reply, consumed)) => {
                    let is_over = redis_reply(reply, flight, checker, tally)?;
                    Ok(if is_over { Step::Done(consumed) } else { Step::Part(consumed) })
                }
            },
        }
    }
}

fn lossy(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn end_of_get(flight: &Flight, tally: &mut Tally) {
    tally.hits += u64::from(flight.hits);
    tally.misses += u64::from(flight.keys.saturating_sub(flight.hits));
}

/// Whether the operation is over.
fn text_reply(
    reply: &Reply<'_>,
    flight: &mut Flight,
    checker: &mut Checker,
    tally: &mut Tally,
) -> Result<bool, String> {
    match (reply, flight.kind) {
        (Reply::Value { key, value, .. }, Kind::Get) => {
            checker.hit(flight, checker.keyspace.number_of(key), value, tally);
            return Ok(false);
        }
        (Reply::End, Kind::Get) => end_of_get(flight, tally),
        (Reply::Stored, Kind::Set) | (Reply::Number(_), Kind::Increment) | (Reply::Deleted, Kind::Delete) => {
        }
        (Reply::NotFound, Kind::Increment | Kind::Delete) => tally.not_found += 1,
        (Reply::NotStored, Kind::Set) => tally.error("NOT_STORED"),
        (Reply::Error(line), _) => tally.error(&lossy(line)),
        (other, kind) => return Err(format!("{} was answered with {other:?}", kind.name())),
    }
    Ok(true)
}

fn meta_reply(
    reply: &MetaReply<'_>,
    flight: &mut Flight,
    checker: &mut Checker,
    tally: &mut Tally,
) -> Result<bool, String> {
    match (&reply.code, flight.kind) {
        (b"VA", Kind::Get) => {
            let key = match reply.flag(b'k') {
                Some(key) => checker.keyspace.number_of(key),
                None => Some(flight.key),
            };
            checker.hit(flight, key, reply.value.unwrap_or_default(), tally);
            if flight.keys > 1 {
                return Ok(false);
            }
            end_of_get(flight, tally);
        }
        (b"EN" | b"MN", Kind::Get) => end_of_get(flight, tally),
        (b"HD", Kind::Set | Kind::Delete | Kind::Increment) | (b"VA", Kind::Increment) => {}
        (b"NF", Kind::Increment | Kind::Delete) => tally.not_found += 1,
        (code, kind) => return Err(format!("{} was answered with {}", kind.name(), lossy(&code[..]))),
    }
    Ok(true)
}

fn binary_reply(
    reply: &BinaryReply<'_>,
    flight: &mut Flight,
    checker: &mut Checker,
    tally: &mut Tally,
) -> Result<bool, String> {
    const OK: u16 = 0;
    const NOT_FOUND: u16 = 1;
    match (reply.status, flight.kind) {
        (OK, Kind::Get) if reply.opcode == Opcode::NOOP => end_of_get(flight, tally),
        (OK, Kind::Get) => {
            let key = if reply.opcode == Opcode::GET_QUIET { u64::from(reply.opaque) } else { flight.key };
            checker.hit(flight, Some(key), reply.value, tally);
            if flight.keys > 1 {
                return Ok(false);
            }
            end_of_get(flight, tally);
        }
        (OK, _) => {}
        (NOT_FOUND, Kind::Get) => end_of_get(flight, tally),
        (NOT_FOUND, Kind::Increment | Kind::Delete) => tally.not_found += 1,
        (status, _) => {
            tally.error(&format!("status {status:#06x}: {}", lossy(reply.value)));
            // One key of several failed; the others' answers and the closing one are still to come.
            return Ok(flight.keys <= 1 || reply.opcode == Opcode::NOOP);
        }
    }
    Ok(true)
}

fn redis_reply(
    reply: resp::Reply<'_>,
    flight: &mut Flight,
    checker: &mut Checker,
    tally: &mut Tally,
) -> Result<bool, String> {
    use resp::Reply;
    match (reply, flight.kind) {
        (Reply::Array(count), Kind::Get) if count > 0 => {
            // The values come back without their keys, which are not remembered: only their presence is counted.
            flight.replies_left = u32::try_from(count).map_err(|_| "an array is too long")?;
            return Ok(false);
        }
        (Reply::Bulk(value), Kind::Get) => {
            match value {
                Some(value) if flight.keys == 1 => checker.hit(flight, Some(flight.key), value, tally),
                Some(_) => flight.hits += 1,
                None => {}
            }
            flight.replies_left = flight.replies_left.saturating_sub(1);
            if flight.replies_left > 0 {
                return Ok(false);
            }
            end_of_get(flight, tally);
        }
        (Reply::Simple(_), Kind::Set) | (Reply::Number(_), Kind::Increment) => {}
        (Reply::Number(deleted), Kind::Delete) => tally.not_found += u64::from(deleted == 0),
        (Reply::Error(line), _) => tally.error(&lossy(line)),
        (other, kind) => return Err(format!("{} was answered with {other:?}", kind.name())),
    }
    Ok(true)
}
