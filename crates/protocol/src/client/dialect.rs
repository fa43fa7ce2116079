//! One command, said in whichever protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::encode::put_number;
use crate::request::*;
use crate::{BinaryForm, Form, Opcode, Protocol, TextForm};

use super::request::{NotInForm, encode_request, put_signed};

/// A way to say commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Classic text. Retrievals ask for the CAS.
    Text,
    /// Meta commands. Answers carry the opaque (`O`) and whatever there is to know.
    Meta,
    /// Binary packets, none of them quiet.
    Binary,
}

impl Dialect {
    /// The protocol to read the replies in.
    pub fn protocol(self) -> Protocol {
        match self {
            Dialect::Text | Dialect::Meta => Protocol::Text,
            Dialect::Binary => Protocol::Binary,
        }
    }

    /// Appends the command. `opaque` comes back in the answer, except in classic text.
    ///
    /// Every dialect says a plain [`Lookup`], [`Store`], [`Delete`] and [`Arithmetic`]; a lookup of classic
    /// text is answered like any `gets`: `VALUE` or nothing, then `END`.
    ///
    /// # Errors
    ///
    /// [`NotInForm`] if the command asks for something the dialect cannot say; `out` is then unchanged.
    pub fn encode(self, command: &Command<'_>, opaque: u32, out: &mut Vec<u8>) -> Result<(), NotInForm> {
        match self {
            Dialect::Text if key_of(command).is_some_and(breaks_line) => Err(NotInForm),
            Dialect::Text => text(command, out),
            Dialect::Meta => meta(command, opaque, out),
            Dialect::Binary => {
                let opcode = opcode(command).ok_or(NotInForm)?;
                let form = Form::Binary(BinaryForm { opcode, opaque });
                encode_request(&Request { command: *command, form }, out)
            }
        }
    }
}

/// The key of a command that has one.
fn key_of<'a>(command: &Command<'a>) -> Option<&'a [u8]> {
    match command {
        Command::Lookup(lookup) => Some(lookup.key),
        Command::Store(store) => Some(store.key),
        Command::Delete(delete) => Some(delete.key),
        Command::Arithmetic(change) => Some(change.key),
        Command::Touch(touch) => Some(touch.key),
        _ => None,
    }
}

/// Whether a key would not survive as a token of a line.
fn breaks_line(key: &[u8]) -> bool {
    memchr::memchr3(b' ', b'\r', b'\n', key).is_some()
}

fn text(command: &Command<'_>, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    let form = Form::Text(TextForm { noreply: false, with_cas: true });
    let command = match *command {
        Command::Lookup(Lookup {
            key,
            touch,
            vivify: None,
            recache_seconds: None,
            unless_cas: None,
            bump: true,
            value: true,
            ..
        }) => Command::Get(Get { keys: Keys { line: key }, touch }),
        command => command,
    };
    encode_request(&Request { command, form }, out)
}

fn opcode(command: &Command<'_>) -> Option<u8> {
    Some(match command {
        Command::Lookup(lookup) => match (lookup.touch, lookup.value) {
            (None, true) => Opcode::GET,
            (Some(_), true) => Opcode::GET_TOUCH,
            (Some(_), false) => Opcode::TOUCH,
            (None, false) => return None,
        },
        Command::Store(store) => match store.mode {
            StoreMode::Set => Opcode::SET,
            StoreMode::Add => Opcode::ADD,
            StoreMode::Replace => Opcode::REPLACE,
            StoreMode::Append => Opcode::APPEND,
            StoreMode::Prepend => Opcode::PREPEND,
        },
        Command::Delete(_) => Opcode::DELETE,
        Command::Arithmetic(Arithmetic { direction: Direction::Increment, .. }) => Opcode::INCREMENT,
        Command::Arithmetic(Arithmetic { direction: Direction::Decrement, .. }) => Opcode::DECREMENT,
        Command::Flush { .. } => Opcode::FLUSH,
        Command::Stats { .. } => Opcode::STAT,
        Command::Version => Opcode::VERSION,
        Command::Noop => Opcode::NOOP,
        Command::Quit => Opcode::QUIT,
        _ => return None,
    })
}

/// A meta line under way.
struct MetaLine<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> MetaLine<'a> {
    /// Begins with the name, the key and what else comes before the flags.
    fn new(
        name: &[u8; 2],
        key: &[u8],
        value: Option<&[u8]>,
        opaque: u32,
        out: &'a mut Vec<u8>,
    ) -> MetaLine<'a> {
        out.extend_from_slice(name);
        out.push(b' ');
        let is_encoded = breaks_line(key);
        if is_encoded {
            out.extend_from_slice(STANDARD.encode(key).as_bytes());
        } else {
            out.extend_from_slice(key);
        }
        if let Some(value) = value {
            out.push(b' ');
            put_number(value.len() as u64, out);
        }
        let mut line = MetaLine { out };
        line.number(b'O', Some(u64::from(opaque)));
        line.flag(b'b', is_encoded);
        line
    }

    fn flag(&mut self, letter: u8, is_wanted: bool) {
        if is_wanted {
            self.out.extend_from_slice(&[b' ', letter]);
        }
    }

    fn number(&mut self, letter: u8, number: Option<u64>) {
        if let Some(number) = number {
            self.flag(letter, true);
            put_number(number, self.out);
        }
    }

    fn signed(&mut self, letter: u8, number: Option<i64>) {
        if let Some(number) = number {
            self.flag(letter, true);
            put_signed(number, self.out);
        }
    }

    fn end(self, value: Option<&[u8]>) {
        self.out.extend_from_slice(b"\r\n");
        if let Some(value) = value {
            self.out.extend_from_slice(value);
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

fn meta(command: &Command<'_>, opaque: u32, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    match command {
        Command::Lookup(lookup) => {
            let mut line = MetaLine::new(b"mg", lookup.key, None, opaque, out);
            line.flag(b'v', lookup.value);
            line.flag(b'f', true);
            line.flag(b'c', true);
            line.flag(b't', true);
            line.flag(b'u', !lookup.bump);
            line.signed(b'T', lookup.touch.map(|exptime| exptime.0));
            line.signed(b'N', lookup.vivify.map(|exptime| exptime.0));
            line.signed(b'R', lookup.recache_seconds);
            line.number(b'E', lookup.new_cas);
            line.number(b'C', lookup.unless_cas);
            line.end(None);
        }
        Command::Store(store) => {
            let mut line = MetaLine::new(b"ms", store.key, Some(store.value), opaque, out);
            line.flag(b'c', true);
            line.number(b'F', Some(u64::from(store.flags)).filter(|&flags| flags != 0));
            line.signed(b'T', Some(store.exptime.0).filter(|&exptime| exptime != 0));
            line.number(b'C', store.compare);
            line.number(b'E', store.new_cas);
            line.flag(b'I', store.older_marks_stale);
            line.signed(b'N', store.vivify.map(|exptime| exptime.0));
            match store.mode {
                StoreMode::Set => {}
                StoreMode::Add => line.out.extend_from_slice(b" ME"),
                StoreMode::Replace => line.out.extend_from_slice(b" MR"),
                StoreMode::Append => line.out.extend_from_slice(b" MA"),
                StoreMode::Prepend => line.out.extend_from_slice(b" MP"),
            }
            line.end(Some(store.value));
        }
        Command::Delete(delete) => {
            let mut line = MetaLine::new(b"md", delete.key, None, opaque, out);
            line.number(b'C', delete.compare);
            line.number(b'E', delete.new_cas);
            line.flag(b'I', delete.mark_stale);
            line.flag(b'x', delete.drop_value);
            line.number(b'F', Some(u64::from(delete.flags)).filter(|&flags| flags != 0));
            line.signed(b'T', delete.touch.map(|exptime| exptime.0));
            line.end(None);
        }
        Command::Arithmetic(change) => {
            let mut line = MetaLine::new(b"ma", change.key, None, opaque, out);
            line.flag(b'v', true);
            line.flag(b'c', true);
            if change.direction == Direction::Decrement {
                line.out.extend_from_slice(b" MD");
            }
            line.number(b'D', Some(change.delta));
            line.number(b'J', change.vivify.map(|(initial, _)| initial));
            line.number(b'C', change.compare);
            line.number(b'E', change.new_cas);
            // The last of the two decides for what is made.
            line.signed(b'T', change.touch.map(|exptime| exptime.0));
            line.signed(b'N', change.vivify.map(|(_, exptime)| exptime.0));
            line.end(None);
        }
        Command::MetaDebug { key } => {
            MetaLine::new(b"me", key, None, opaque, out).end(None);
        }
        Command::Noop => out.extend_from_slice(b"mn\r\n"),
        // The rest has no meta form, but the connection speaks classic text as well.
        command => return text(command, out),
    }
    Ok(())
}
