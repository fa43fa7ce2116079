//! Operations in the words of the three protocols, and the answers back.

use larder_protocol::client::{BinaryReply, MetaReply, NotInForm, Reply, encode_request};
use larder_protocol::{
    Arithmetic, BinaryForm, Command, Delete, ExpTime, FlagSet, Form, Get, Keys, Lookup, MetaCommand,
    MetaForm, Opcode, Protocol, Request, Store, TextForm, Touch,
};

use crate::operation::{Action, Direction, MetaHit, Outcome, StoreMode, Token};
use crate::value::Value;

/// A way to say things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Classic text.
    Classic,
    /// Meta commands.
    Meta,
    /// Binary packets.
    Binary,
}

impl Dialect {
    /// The protocol of its connections.
    pub fn protocol(self) -> Protocol {
        match self {
            Dialect::Classic | Dialect::Meta => Protocol::Text,
            Dialect::Binary => Protocol::Binary,
        }
    }
}

/// Something to send.
#[derive(Clone, Debug)]
pub struct Wording<'a> {
    /// How.
    pub dialect: Dialect,
    /// The key; for a classic look-up several with a space between.
    pub key: &'a str,
    /// noreply, `q`, or the quiet opcode.
    pub is_quiet: bool,
    /// Comes back in the answer, but for classic text.
    pub opaque: u32,
}

impl Wording<'_> {
    /// Appends the request.
    ///
    /// # Errors
    /// [`NotInForm`] if the dialect cannot say it.
    pub fn encode(&self, action: &Action, out: &mut Vec<u8>) -> Result<(), NotInForm> {
        let key = self.key.as_bytes();
        let command = command(self.dialect, key, action)?;
        match self.dialect {
            Dialect::Classic => {
                let form = Form::Text(TextForm { noreply: self.is_quiet, with_cas: true });
                encode_request(&Request { command, form }, out)
            }
            Dialect::Binary => {
                let opcode = opcode(action, self.is_quiet).ok_or(NotInForm)?;
                let form = Form::Binary(BinaryForm { opcode, opaque: self.opaque });
                encode_request(&Request { command, form }, out)
            }
            Dialect::Meta => {
                let (name, mut flags) = meta_flags(action).ok_or(NotInForm)?;
                flags.push_str(&format!("O{}", self.opaque));
                flags.push_str(if self.is_quiet { " q" } else { "" });
                let form = Form::Meta(MetaForm {
                    command: name,
                    flags: FlagSet::EMPTY,
                    key_token: key,
                    flag_tokens: flags.as_bytes(),
                });
                encode_request(&Request { command, form }, out)
            }
        }
    }

    /// Appends the request whose answer proves that everything before it is done.
    pub fn encode_barrier(protocol: Protocol, opaque: u32, out: &mut Vec<u8>) {
        match protocol {
            Protocol::Text => out.extend_from_slice(b"mn\r\n"),
            Protocol::Binary => {
                let form = Form::Binary(BinaryForm { opcode: Opcode::NOOP, opaque });
                encode_request(&Request { command: Command::Noop, form }, out)
                    .expect("the binary protocol has a noop");
            }
        }
    }
}

fn command<'a>(dialect: Dialect, key: &'a [u8], action: &'a Action) -> Result<Command<'a>, NotInForm> {
    Ok(match action {
        Action::Get { touch, .. } if dialect == Dialect::Classic => {
            Command::Get(Get { keys: Keys::from_line(key).ok_or(NotInForm)?, touch: touch.map(ExpTime) })
        }
        Action::Get { touch, vivify, recache_seconds, .. } => Command::Lookup(Lookup {
            key,
            touch: touch.map(ExpTime),
            vivify: vivify.map(ExpTime),
            recache_seconds: recache_seconds.map(i64::from),
            new_cas: None,
            unless_cas: None,
            bump: true,
            value: true,
        }),
        Action::Store { mode, value, flags, ttl, compare, older_marks_stale, vivify } => {
            Command::Store(Store {
                key,
                mode: *mode,
                flags: *flags,
                exptime: ExpTime(*ttl),
                compare: *compare,
                new_cas: None,
                older_marks_stale: *older_marks_stale,
                vivify: vivify.map(ExpTime),
                value: value.bytes(),
            })
        }
        Action::Delete { compare, mark_stale, drop_value } => Command::Delete(Delete {
            key,
            compare: *compare,
            new_cas: None,
            mark_stale: *mark_stale,
            drop_value: *drop_value,
            flags: 0,
            touch: None,
        }),
        Action::Arithmetic { direction, delta, vivify } => Command::Arithmetic(Arithmetic {
            key,
            direction: *direction,
            delta: *delta,
            vivify: vivify.map(|(initial, ttl)| (initial, ExpTime(ttl))),
            compare: None,
            new_cas: None,
            touch: None,
        }),
        // The binary touch is a look-up without the value.
        Action::Touch { ttl } if dialect == Dialect::Binary => Command::Lookup(Lookup {
            key,
            touch: Some(ExpTime(*ttl)),
            vivify: None,
            recache_seconds: None,
            new_cas: None,
            unless_cas: None,
            bump: true,
            value: false,
        }),
        Action::Touch { ttl } => Command::Touch(Touch { key, exptime: ExpTime(*ttl) }),
        Action::Flush => Command::Flush { delay: ExpTime(0) },
    })
}

fn opcode(action: &Action, is_quiet: bool) -> Option<u8> {
    let (loud, quiet) = match action {
        Action::Get { touch: None, .. } => (Opcode::GET, Opcode::GET_QUIET),
        Action::Get { touch: Some(_), .. } => (Opcode::GET_TOUCH, Opcode::GET_TOUCH_QUIET),
        Action::Store { mode: StoreMode::Set, .. } => (Opcode::SET, Opcode::SET_QUIET),
        Action::Store { mode: StoreMode::Add, .. } => (Opcode::ADD, Opcode::ADD_QUIET),
        Action::Store { mode: StoreMode::Replace, .. } => (Opcode::REPLACE, Opcode::REPLACE_QUIET),
        Action::Store { mode: StoreMode::Append, .. } => (Opcode::APPEND, Opcode::APPEND_QUIET),
        Action::Store { mode: StoreMode::Prepend, .. } => (Opcode::PREPEND, Opcode::PREPEND_QUIET),
        Action::Delete { .. } => (Opcode::DELETE, Opcode::DELETE_QUIET),
        Action::Arithmetic { direction: Direction::Increment, .. } => {
            (Opcode::INCREMENT, Opcode::INCREMENT_QUIET)
        }
        Action::Arithmetic { direction: Direction::Decrement, .. } => {
            (Opcode::DECREMENT, Opcode::DECREMENT_QUIET)
        }
        Action::Touch { .. } if is_quiet => return None,
        Action::Touch { .. } => (Opcode::TOUCH, Opcode::TOUCH),
        Action::Flush => (Opcode::FLUSH, Opcode::FLUSH_QUIET),
    };
    Some(if is_quiet { quiet } else { loud })
}

/// The meta command and its flags, with a space behind.
fn meta_flags(action: &Action) -> Option<(MetaCommand, String)> {
    let mut flags = String::new();
    let mut flag = |text: String| {
        flags.push_str(&text);
        flags.push(' ');
    };
    let name = match action {
        Action::Get { touch, vivify, recache_seconds, .. } => {
            // `t` before `T`: the seconds left before the touch.
            flag("v f c t".into());
            vivify.iter().for_each(|ttl| flag(format!("N{ttl}")));
            recache_seconds.iter().for_each(|seconds| flag(format!("R{seconds}")));
            touch.iter().for_each(|ttl| flag(format!("T{ttl}")));
            MetaCommand::Get
        }
        Action::Store { mode, flags: client_flags, ttl, compare, older_marks_stale, vivify, .. } => {
            let letter = match mode {
                StoreMode::Set => 'S',
                StoreMode::Add => 'E',
                StoreMode::Replace => 'R',
                StoreMode::Append => 'A',
                StoreMode::Prepend => 'P',
            };
            flag(format!("c F{client_flags} T{ttl} M{letter}"));
            compare.iter().for_each(|cas| flag(format!("C{cas}")));
            vivify.iter().for_each(|ttl| flag(format!("N{ttl}")));
            older_marks_stale.then(|| flag("I".into()));
            MetaCommand::Set
        }
        Action::Delete { compare, mark_stale, drop_value } => {
            compare.iter().for_each(|cas| flag(format!("C{cas}")));
            mark_stale.then(|| flag("I".into()));
            drop_value.then(|| flag("x".into()));
            MetaCommand::Delete
        }
        Action::Arithmetic { direction, delta, vivify } => {
            let letter = if *direction == Direction::Increment { 'I' } else { 'D' };
            flag(format!("v c M{letter} D{delta}"));
            vivify.iter().for_each(|(initial, ttl)| flag(format!("J{initial} N{ttl}")));
            MetaCommand::Arithmetic
        }
        Action::Touch { .. } | Action::Flush => return None,
    };
    Some((name, flags))
}

/// What it means that a quiet request was not answered although a later one was.
pub fn silence(dialect: Dialect, action: &Action) -> Outcome {
    if dialect == Dialect::Classic {
        return Outcome::Silent;
    }
    match action {
        Action::Get { .. } => Outcome::Miss,
        Action::Store { .. } => Outcome::Stored { cas: None },
        Action::Delete { .. } => Outcome::Deleted,
        Action::Arithmetic { .. } => Outcome::Number { value: None, cas: None },
        Action::Touch { .. } => Outcome::Touched,
        Action::Flush => Outcome::Flushed,
    }
}

/// The outcome that a one-line classic answer tells; `None` if it is none for this action.
pub fn classic_outcome(reply: &Reply<'_>) -> Option<Outcome> {
    Some(match reply {
        Reply::Stored => Outcome::Stored { cas: None },
        Reply::NotStored => Outcome::NotStored,
        Reply::Exists => Outcome::Exists,
        Reply::NotFound => Outcome::NotFound,
        Reply::Deleted => Outcome::Deleted,
        Reply::Touched => Outcome::Touched,
        Reply::Ok => Outcome::Flushed,
        Reply::Number(number) => Outcome::Number { value: Some(*number), cas: None },
        Reply::Error(line) => error_outcome(line),
        _ => return None,
    })
}

fn error_outcome(line: &[u8]) -> Outcome {
    if line == b"CLIENT_ERROR cannot increment or decrement non-numeric value" {
        return Outcome::NotNumeric;
    }
    Outcome::Failed(String::from_utf8_lossy(line).into_owned())
}

/// The outcome that a meta answer tells.
pub fn meta_outcome(action: &Action, reply: &MetaReply<'_>) -> Option<Outcome> {
    Some(match (&reply.code, action) {
        (b"EN", Action::Get { .. }) => Outcome::Miss,
        (b"VA", Action::Get { .. }) => {
            let token = match (reply.flag(b'W'), reply.flag(b'Z')) {
                (Some(_), _) => Token::Won,
                (None, Some(_)) => Token::Taken,
                (None, None) => Token::Free,
            };
            let ttl = std::str::from_utf8(reply.flag(b't')?).ok()?.parse().ok()?;
            Outcome::Hit {
                value: Value::new(reply.value?.to_vec()),
                flags: u32::try_from(reply.number(b'f')?).ok()?,
                cas: reply.number(b'c')?,
                meta: Some(MetaHit { ttl, stale: reply.flag(b'X').is_some(), token }),
            }
        }
        (b"HD", Action::Store { .. }) => Outcome::Stored { cas: reply.number(b'c') },
        (b"HD", Action::Delete { .. }) => Outcome::Deleted,
        (b"VA", Action::Arithmetic { .. }) => {
            let number = std::str::from_utf8(reply.value?).ok()?.parse().ok()?;
            Outcome::Number { value: Some(number), cas: reply.number(b'c') }
        }
        (b"NS", _) => Outcome::NotStored,
        (b"EX", _) => Outcome::Exists,
        (b"NF", _) => Outcome::NotFound,
        _ => return None,
    })
}

/// The outcome that a binary answer tells.
pub fn binary_outcome(action: &Action, reply: &BinaryReply<'_>) -> Option<Outcome> {
    const NOT_FOUND: u16 = 1;
    const EXISTS: u16 = 2;
    const NOT_STORED: u16 = 5;
    const NOT_NUMERIC: u16 = 6;
    let cas = Some(reply.cas).filter(|&cas| cas != 0);
    Some(match (reply.status, action) {
        (0, Action::Get { .. }) => {
            let flags = u32::from_be_bytes(reply.extras.try_into().ok()?);
            Outcome::Hit { value: Value::new(reply.value.to_vec()), flags, cas: reply.cas, meta: None }
        }
        (0, Action::Store { .. }) => Outcome::Stored { cas },
        (0, Action::Delete { .. }) => Outcome::Deleted,
        (0, Action::Arithmetic { .. }) => {
            let number = u64::from_be_bytes(reply.value.try_into().ok()?);
            Outcome::Number { value: Some(number), cas }
        }
        (0, Action::Touch { .. }) => Outcome::Touched,
        (0, Action::Flush) => Outcome::Flushed,
        (NOT_FOUND, Action::Get { .. }) => Outcome::Miss,
        // The binary replace has the status of a missing item for what the others call not stored.
        (NOT_FOUND, Action::Store { mode: StoreMode::Replace, compare: None, .. }) => Outcome::NotStored,
        (NOT_FOUND, _) => Outcome::NotFound,
        // add has no status of its own for an item that is there.
        (EXISTS, Action::Store { mode: StoreMode::Add, .. }) => Outcome::NotStored,
        (EXISTS, _) => Outcome::Exists,
        (NOT_STORED, _) => Outcome::NotStored,
        (NOT_NUMERIC, _) => Outcome::NotNumeric,
        (status, _) => {
            let words = String::from_utf8_lossy(reply.value);
            Outcome::Failed(format!("status {status:#x}: {words}"))
        }
    })
}
