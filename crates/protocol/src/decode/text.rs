//! Text lines: classic commands, and the way to the meta ones.

use crate::request::*;
use crate::{ExpTime, Form, LINE_BYTES_MAX, ProtocolError, TextForm};

use super::tokens::{Arguments, keys_fit, last_token, parse_i64, parse_u64, split_token, trim};
use super::{CloseReason, Decoded, Decoder, Scratch};

/// How many spaces a retrieval line may begin with and still count as one when it is long.
const LEADING_SPACES_MAX: usize = 100;

/// What a line says, in classic text.
pub(super) fn text<'a>(command: Command<'a>, noreply: bool) -> Request<'a> {
    Request { command, form: Form::Text(TextForm { noreply, with_cas: false }) }
}

/// A line that is wrong.
pub(super) fn invalid<'a>(error: ProtocolError, noreply: bool) -> Request<'a> {
    text(Command::Invalid(error), noreply)
}

impl Decoder {
    /// Decodes a line, and the data behind it if it has some.
    #[inline]
    pub(super) fn decode_text<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Decoded<'a> {
        let scanned = self.scanned.min(input.len());
        let Some(found) = memchr::memchr(b'\n', &input[scanned..]) else {
            return self.incomplete_line(input);
        };
        self.scanned = 0;
        let end = scanned + found;
        if end > LINE_BYTES_MAX
            && let Some(close) = self.check_long_line(&input[..end])
        {
            return close;
        }
        let line = match &input[..end] {
            [line @ .., b'\r'] => line,
            line => line,
        };
        let consumed = end + 1;
        // The commands that come by the million first; then the others by name.
        let request = match line {
            [b'g', b'e', b't', b' ', keys @ ..] => retrieval(keys, None, false),
            [b'm', b'g', b' ', rest @ ..] => super::meta::get(rest, scratch),
            [b's', b'e', b't', b' ', rest @ ..] => {
                return self.storage(input, consumed, StoreMode::Set, false, rest);
            }
            [b'm', b's', b' ', rest @ ..] => return self.meta_set(input, consumed, rest, scratch),
            _ => return self.decode_named(input, line, consumed, scratch),
        };
        Decoded::Request { request, consumed }
    }

    #[cold]
    fn incomplete_line<'a>(&mut self, input: &[u8]) -> Decoded<'a> {
        if let Some(close) = self.check_long_line(input) {
            return close;
        }
        self.scanned = input.len();
        Decoded::Incomplete { input_bytes_min: input.len() + 1 }
    }

    /// Whether the line (or what is there of it) is too long. The same line gets the same verdict whether
    /// or not its end has been seen.
    #[cold]
    fn check_long_line<'a>(&self, line: &[u8]) -> Option<Decoded<'a>> {
        if line.len() <= LINE_BYTES_MAX {
            return None;
        }
        let start = line.iter().take(LEADING_SPACES_MAX + 1).position(|&byte| byte != b' ');
        let is_retrieval = start.is_some_and(|start| {
            let names: [&[u8]; 4] = [b"get ", b"gets ", b"gat ", b"gats "];
            names.iter().any(|name| line[start..].starts_with(name))
        });
        let reason = CloseReason::LineTooLong;
        if !is_retrieval {
            return Some(Decoded::Close { reply: None, reason });
        }
        if line.len() <= self.limits.multiget_line_bytes_max as usize {
            return None;
        }
        let reply = Some((Form::Text(TextForm::default()), ProtocolError::LineTooLong));
        Some(Decoded::Close { reply, reason })
    }

    /// Decodes a line by the name of its command.
    fn decode_named<'a>(
        &mut self,
        input: &'a [u8],
        line: &'a [u8],
        consumed: usize,
        scratch: &'a mut Scratch,
    ) -> Decoded<'a> {
        if line.len() < 2 {
            let request = invalid(ProtocolError::BadCommandLine, false);
            return Decoded::Request { request, consumed };
        }
        let name_end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_end);
        let request = match name {
            b"get" => retrieval(rest, None, false),
            b"gets" => retrieval(rest, None, true),
            b"gat" => touching_retrieval(rest, false),
            b"gats" => touching_retrieval(rest, true),
            b"set" => return self.storage(input, consumed, StoreMode::Set, false, rest),
            b"add" => return self.storage(input, consumed, StoreMode::Add, false, rest),
            b"replace" => return self.storage(input, consumed, StoreMode::Replace, false, rest),
            b"append" => return self.storage(input, consumed, StoreMode::Append, false, rest),
            b"prepend" => return self.storage(input, consumed, StoreMode::Prepend, false, rest),
            b"cas" => return self.storage(input, consumed, StoreMode::Set, true, rest),
            b"ms" => return self.meta_set(input, consumed, rest, scratch),
            b"mg" => super::meta::get(rest, scratch),
            b"md" => super::meta::delete(rest, scratch),
            b"ma" => super::meta::arithmetic(rest, scratch),
            b"me" => super::meta::debug(rest, scratch),
            b"mn" => super::meta::noop(),
            b"incr" => arithmetic(rest, Direction::Increment),
            b"decr" => arithmetic(rest, Direction::Decrement),
            b"delete" => delete(rest),
            b"touch" => touch(rest),
            _ => match super::admin::decode(name, rest) {
                Some(request) => request,
                None if last_token(line).starts_with(b"HTTP/") => {
                    return Decoded::Close { reply: None, reason: CloseReason::Http };
                }
                None => invalid(ProtocolError::UnknownCommand, false),
            },
        };
        Decoded::Request { request, consumed }
    }
}

/// `<key>+`; `None` if there is no key or one is too long.
#[inline]
pub(crate) fn parse_keys(line: &[u8]) -> Option<Keys<'_>> {
    let line = trim(line);
    (!line.is_empty() && keys_fit(line)).then_some(Keys { line })
}

/// `get|gets <key>+`, or what follows the expiry of `gat|gats`.
#[inline]
fn retrieval<'a>(keys: &'a [u8], touch: Option<ExpTime>, with_cas: bool) -> Request<'a> {
    let Some(keys) = parse_keys(keys) else {
        return invalid(ProtocolError::BadCommandLine, false);
    };
    let command = Command::Get(Get { keys, touch });
    Request { command, form: Form::Text(TextForm { noreply: false, with_cas }) }
}

/// `gat|gats <exptime> <key>+`
fn touching_retrieval<'a>(rest: &'a [u8], with_cas: bool) -> Request<'a> {
    let Some((exptime, keys)) = split_token(rest) else {
        return invalid(ProtocolError::BadCommandLine, false);
    };
    match parse_i64(exptime) {
        Some(exptime) => retrieval(keys, Some(ExpTime(exptime)), with_cas),
        None => invalid(ProtocolError::InvalidExptime, false),
    }
}

/// `incr|decr <key> <delta> [noreply]`
fn arithmetic<'a>(rest: &'a [u8], direction: Direction) -> Request<'a> {
    let arguments = Arguments::parse(rest, 1);
    let noreply = arguments.noreply;
    let (Some(key), Some(delta)) = (arguments.key(0), arguments.get(1)) else {
        return invalid(ProtocolError::BadCommandLine, noreply);
    };
    let Some(delta) = parse_u64(delta) else {
        return invalid(ProtocolError::InvalidDelta, noreply);
    };
    let change =
        Arithmetic { key, direction, delta, vivify: None, compare: None, new_cas: None, touch: None };
    text(Command::Arithmetic(change), noreply)
}

/// `delete <key> [<ignored>] [noreply]`: old clients send a zero behind the key.
fn delete<'a>(rest: &'a [u8]) -> Request<'a> {
    const EXTRA_TOKENS_MAX: usize = 3;
    let arguments = Arguments::parse(rest, 1);
    let noreply = arguments.noreply;
    let tokens = arguments.count() + usize::from(noreply);
    let Some(key) = arguments.key(0).filter(|_| tokens <= 1 + EXTRA_TOKENS_MAX) else {
        return invalid(ProtocolError::BadCommandLine, noreply);
    };
    let delete = Delete {
        key,
        compare: None,
        new_cas: None,
        mark_stale: false,
        drop_value: false,
        flags: 0,
        touch: None,
    };
    text(Command::Delete(delete), noreply)
}

/// `touch <key> <exptime> [noreply]`
fn touch<'a>(rest: &'a [u8]) -> Request<'a> {
    let arguments = Arguments::parse(rest, 1);
    let noreply = arguments.noreply;
    let (Some(key), Some(exptime)) = (arguments.key(0), arguments.get(1)) else {
        return invalid(ProtocolError::BadCommandLine, noreply);
    };
    match parse_i64(exptime) {
        Some(exptime) => text(Command::Touch(Touch { key, exptime: ExpTime(exptime) }), noreply),
        None => invalid(ProtocolError::InvalidExptime, noreply),
    }
}
