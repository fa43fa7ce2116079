//! Meta commands: two letters, a key, flags.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::request::*;
use crate::{ExpTime, FlagSet, Form, KEY_BYTES_MAX, MetaCommand, MetaForm, ProtocolError};

use super::storage::{TRAILER_BYTES, parse_value_bytes};
use super::text::invalid;
use super::tokens::{parse_i64, parse_u64, split_token, trim};
use super::{Decoded, Decoder, Scratch};

/// How many tokens a meta line may have, the command's name included.
const TOKENS_MAX: usize = 20;

/// The longest `O` flag in bytes, letter included.
const OPAQUE_BYTES_MAX: usize = 32;

/// The longest base64 token that can decode to a key.
const KEY_TOKEN_BYTES_MAX: usize = KEY_BYTES_MAX.div_ceil(3) * 4;

/// What the flags of a line say.
#[derive(Default)]
struct Flags<'a> {
    set: FlagSet,
    compare: Option<u64>,
    new_cas: Option<u64>,
    client_flags: u32,
    delta: Option<u64>,
    initial: u64,
    mode: Option<&'a [u8]>,
    touch: Option<ExpTime>,
    vivify: Option<ExpTime>,
    /// `T` came after `N`.
    touch_is_last: bool,
    recache_seconds: Option<i64>,
}

impl Flags<'_> {
    /// The expiry of an item that `N` makes: `T` behind it applies to that item as to any other.
    fn made_with(&self) -> Option<ExpTime> {
        self.vivify.map(|exptime| self.touch.filter(|_| self.touch_is_last).unwrap_or(exptime))
    }
}

/// A line that was cut, besides its flags: the item's key, the form of the answer.
struct Line<'a> {
    key: &'a [u8],
    form: Form<'a>,
}

/// `mg <key> <flag>*`
#[inline]
pub(super) fn get<'a>(rest: &'a [u8], scratch: &'a mut Scratch) -> Request<'a> {
    let mut flags = Flags::default();
    match parse_line(MetaCommand::Get, rest, &mut flags, scratch) {
        Ok(Line { key, form }) => {
            let lookup = Lookup {
                key,
                touch: flags.touch,
                vivify: flags.made_with(),
                recache_seconds: flags.recache_seconds,
                new_cas: flags.new_cas,
                unless_cas: flags.compare,
                bump: !flags.set.has(b'u'),
                value: flags.set.has(b'v'),
            };
            Request { command: Command::Lookup(lookup), form }
        }
        Err(error) => invalid(error, false),
    }
}

/// `md <key> <flag>*`
pub(super) fn delete<'a>(rest: &'a [u8], scratch: &'a mut Scratch) -> Request<'a> {
    let mut flags = Flags::default();
    match parse_line(MetaCommand::Delete, rest, &mut flags, scratch) {
        Ok(Line { key, form }) => {
            let delete = Delete {
                key,
                compare: flags.compare,
                new_cas: flags.new_cas,
                mark_stale: flags.set.has(b'I'),
                drop_value: flags.set.has(b'x'),
                flags: flags.client_flags,
                touch: flags.touch,
            };
            Request { command: Command::Delete(delete), form }
        }
        Err(error) => invalid(error, false),
    }
}

/// `ma <key> <flag>*`
pub(super) fn arithmetic<'a>(rest: &'a [u8], scratch: &'a mut Scratch) -> Request<'a> {
    let mut flags = Flags::default();
    let Line { key, form } = match parse_line(MetaCommand::Arithmetic, rest, &mut flags, scratch) {
        Ok(line) => line,
        Err(error) => return invalid(error, false),
    };
    let direction = match flags.mode {
        None | Some(b"I" | b"+") => Direction::Increment,
        Some(b"D" | b"-") => Direction::Decrement,
        Some(_) => return invalid(ProtocolError::InvalidArithmeticMode, false),
    };
    let change = Arithmetic {
        key,
        direction,
        delta: flags.delta.unwrap_or(1),
        vivify: flags.made_with().map(|exptime| (flags.initial, exptime)),
        compare: flags.compare,
        new_cas: flags.new_cas,
        touch: flags.touch,
    };
    Request { command: Command::Arithmetic(change), form }
}

/// `me <key> [b]`
pub(super) fn debug<'a>(rest: &'a [u8], scratch: &'a mut Scratch) -> Request<'a> {
    match parse_line(MetaCommand::Debug, rest, &mut Flags::default(), scratch) {
        Ok(Line { key, form }) => Request { command: Command::MetaDebug { key }, form },
        Err(error) => invalid(error, false),
    }
}

/// `mn`
pub(super) fn noop<'a>() -> Request<'a> {
    let form =
        MetaForm { command: MetaCommand::Noop, flags: FlagSet::EMPTY, key_token: &[], flag_tokens: &[] };
    Request { command: Command::Noop, form: Form::Meta(form) }
}

impl Decoder {
    /// `ms <key> <datalen> <flag>*` and the data that begins at `head`.
    #[inline]
    pub(super) fn meta_set<'a>(
        &mut self,
        input: &'a [u8],
        head: usize,
        rest: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Decoded<'a> {
        let length = split_token(rest).and_then(|(key, rest)| Some((key, split_token(rest)?)));
        let Some((key_token, (length, flag_tokens))) = length else {
            return self.refuse(input, invalid(ProtocolError::BadCommandLine, false), head, 0);
        };
        let Some(value_bytes) = parse_value_bytes(length) else {
            return self.refuse(input, invalid(ProtocolError::BadCommandLine, false), head, 0);
        };
        let mut flags = Flags::default();
        let parsed = cut_line(MetaCommand::Set, key_token, flag_tokens, 3, &mut flags, scratch)
            .and_then(|line| Ok((store(line.key, &flags)?, line.form)));
        match parsed {
            // A value too large to store takes the old one with it, whatever the mode.
            Ok((store, form)) => self.finish_store(input, head, store, form, value_bytes, true),
            Err(error) => {
                self.refuse(input, invalid(error, false), head, (value_bytes + TRAILER_BYTES) as u64)
            }
        }
    }
}

/// The store that an `ms` line asks for, without its value.
#[inline]
fn store<'a>(key: &'a [u8], flags: &Flags<'a>) -> Result<Store<'a>, ProtocolError> {
    let mode = match flags.mode {
        None | Some(b"S") => StoreMode::Set,
        Some(b"E") => StoreMode::Add,
        Some(b"R") => StoreMode::Replace,
        Some(b"A") => StoreMode::Append,
        Some(b"P") => StoreMode::Prepend,
        Some(_) => return Err(ProtocolError::InvalidSetMode),
    };
    let appends = matches!(mode, StoreMode::Append | StoreMode::Prepend);
    Ok(Store {
        key,
        mode,
        flags: flags.client_flags,
        exptime: flags.touch.unwrap_or(ExpTime::NEVER),
        compare: flags.compare.filter(|_| mode != StoreMode::Add),
        new_cas: flags.new_cas,
        // What is added to must be the very value the client knows; 0 is no CAS, not even an old one.
        older_marks_stale: flags.set.has(b'I') && !appends && flags.compare != Some(0),
        vivify: flags.vivify.filter(|_| appends),
        value: &[],
    })
}

/// Cuts `<key> <flag>*`.
#[inline]
fn parse_line<'a>(
    command: MetaCommand,
    rest: &'a [u8],
    flags: &mut Flags<'a>,
    scratch: &'a mut Scratch,
) -> Result<Line<'a>, ProtocolError> {
    let (key_token, flag_tokens) = split_token(rest).ok_or(ProtocolError::BadCommandLine)?;
    cut_line(command, key_token, flag_tokens, 2, flags, scratch)
}

#[inline]
fn cut_line<'a>(
    command: MetaCommand,
    key_token: &'a [u8],
    flag_tokens: &'a [u8],
    tokens_before: usize,
    flags: &mut Flags<'a>,
    scratch: &'a mut Scratch,
) -> Result<Line<'a>, ProtocolError> {
    let flag_tokens = trim(flag_tokens);
    if let Err(error) = parse_flags(flag_tokens, tokens_before, flags) {
        return Err(name_error(command, error, key_token, flag_tokens, tokens_before));
    }
    let key = if flags.set.has(b'b') {
        decode_key(key_token, scratch)?
    } else if key_token.len() <= KEY_BYTES_MAX {
        key_token
    } else {
        return Err(ProtocolError::BadCommandLine);
    };
    let form = Form::Meta(MetaForm { command, flags: flags.set, key_token, flag_tokens });
    Ok(Line { key, form })
}

/// Which of several errors of a line is named, and how.
#[cold]
fn name_error(
    command: MetaCommand,
    error: ProtocolError,
    key_token: &[u8],
    flag_tokens: &[u8],
    tokens_before: usize,
) -> ProtocolError {
    if key_token.len() > KEY_TOKEN_BYTES_MAX {
        return ProtocolError::BadCommandLine;
    }
    let flags = Keys { line: flag_tokens };
    if tokens_before + flags.into_iter().count() > TOKENS_MAX {
        return ProtocolError::TooManyFlags;
    }
    match error {
        ProtocolError::DuplicateFlag | ProtocolError::InvalidFlag | ProtocolError::BadToken
            if command == MetaCommand::Arithmetic =>
        {
            ProtocolError::InvalidOrDuplicateFlag
        }
        error => error,
    }
}

/// Decodes a base64 key.
#[cold]
fn decode_key<'a>(token: &[u8], scratch: &'a mut Scratch) -> Result<&'a [u8], ProtocolError> {
    if token.len() > KEY_TOKEN_BYTES_MAX {
        return Err(ProtocolError::BadCommandLine);
    }
    let length = STANDARD.decode_slice(token, &mut scratch.0).map_err(|_| ProtocolError::BadKeyEncoding)?;
    match length {
        1..=KEY_BYTES_MAX => Ok(&scratch.0[..length]),
        _ => Err(ProtocolError::BadCommandLine),
    }
}

/// Reads the flags of a line. Any flag that some meta command knows is accepted.
#[inline]
fn parse_flags<'a>(line: &'a [u8], tokens_before: usize, flags: &mut Flags<'a>) -> Result<(), ProtocolError> {
    let mut tokens = tokens_before;
    let mut rest = line;
    while let Some((token, behind)) = split_token(rest) {
        rest = behind;
        tokens += 1;
        if tokens > TOKENS_MAX {
            return Err(ProtocolError::TooManyFlags);
        }
        let [letter, argument @ ..] = token else { continue };
        if !letter.is_ascii_alphabetic() {
            return Err(ProtocolError::InvalidFlag);
        }
        if !flags.set.insert(*letter) {
            return Err(ProtocolError::DuplicateFlag);
        }
        match letter {
            b'v' | b'k' | b'q' | b'f' | b's' | b't' | b'c' | b'h' | b'l' | b'b' | b'u' | b'I' | b'x' => {}
            b'P' | b'L' => {}
            b'O' if token.len() > OPAQUE_BYTES_MAX => return Err(ProtocolError::OpaqueTooLong),
            b'O' => {}
            b'T' => {
                flags.touch = Some(exptime(argument)?);
                flags.touch_is_last = true;
            }
            b'N' => {
                flags.vivify = Some(exptime(argument)?);
                flags.touch_is_last = false;
            }
            b'R' => flags.recache_seconds = Some(exptime(argument)?.0),
            b'C' => flags.compare = Some(number(argument)?),
            b'E' => flags.new_cas = Some(number(argument)?),
            b'D' => flags.delta = Some(number(argument)?),
            b'J' => flags.initial = number(argument)?,
            // Flags of more than 32 bits lose what is above.
            b'F' => flags.client_flags = number(argument)? as u32,
            b'M' => flags.mode = Some(argument),
            _ => return Err(ProtocolError::InvalidFlag),
        }
    }
    Ok(())
}

#[inline]
fn number(token: &[u8]) -> Result<u64, ProtocolError> {
    parse_u64(token).ok_or(ProtocolError::BadToken)
}

#[inline]
fn exptime(token: &[u8]) -> Result<ExpTime, ProtocolError> {
    parse_i64(token).map(ExpTime).ok_or(ProtocolError::BadToken)
}
