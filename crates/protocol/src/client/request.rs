//! Requests in, bytes out.

use crate::decode::binary::{EXPTIME_NO_VIVIFY, HEADER_BYTES, MAGIC_REQUEST};
use crate::encode::put_number;
use crate::request::*;
use crate::{BinaryForm, ExpTime, Form, MetaCommand, MetaForm, Opcode, TextForm};

/// The command has no spelling in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInForm;

impl std::fmt::Display for NotInForm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("this command cannot be said in this protocol; use another one")
    }
}

impl std::error::Error for NotInForm {}

/// Appends the request as its form spells it: what a [`Decoder`](crate::Decoder) would read as this request.
///
/// A meta request is spelled by its form's key and flag tokens; the command adds only the value. Keys and
/// arguments are written as they are: they must be fit for the form.
///
/// # Errors
///
/// [`NotInForm`] if the command asks for something that the form cannot say; `out` is then unchanged.
pub fn encode_request(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    let length = out.len();
    let result = match &request.form {
        Form::Text(form) => text(&request.command, *form, out),
        Form::Meta(form) => meta(&request.command, form, out),
        Form::Binary(form) => binary(&request.command, *form, out),
    };
    if result.is_err() {
        out.truncate(length);
    }
    result
}

/// Appends a signed number.
pub(super) fn put_signed(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    put_number(number.unsigned_abs(), out);
}

/// Appends the tokens with a space between.
fn put_tokens(tokens: &[&[u8]], out: &mut Vec<u8>) {
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(token);
    }
}

fn text(command: &Command<'_>, form: TextForm, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    let mut number = itoa::Buffer::new();
    match command {
        Command::Get(get) => {
            out.extend_from_slice(match (get.touch, form.with_cas) {
                (None, false) => b"get ",
                (None, true) => b"gets ",
                (Some(_), false) => b"gat ",
                (Some(_), true) => b"gats ",
            });
            if let Some(ExpTime(exptime)) = get.touch {
                put_signed(exptime, out);
                out.push(b' ');
            }
            out.extend_from_slice(get.keys.line);
        }
        Command::Store(store) => return text_store(store, form, out),
        Command::Delete(delete) => {
            let plain = Delete {
                key: delete.key,
                compare: None,
                new_cas: None,
                mark_stale: false,
                drop_value: false,
                flags: 0,
                touch: None,
            };
            if *delete != plain {
                return Err(NotInForm);
            }
            put_tokens(&[b"delete", delete.key], out);
        }
        Command::Arithmetic(change) => {
            if (change.vivify, change.compare, change.new_cas, change.touch) != (None, None, None, None) {
                return Err(NotInForm);
            }
            let name: &[u8] = match change.direction {
                Direction::Increment => b"incr",
                Direction::Decrement => b"decr",
            };
            put_tokens(&[name, change.key, number.format(change.delta).as_bytes()], out);
        }
        Command::Touch(touch) => {
            put_tokens(&[b"touch", touch.key, number.format(touch.exptime.0).as_bytes()], out);
        }
        Command::Flush { delay } => put_tokens(&[b"flush_all", number.format(delay.0).as_bytes()], out),
        Command::Stats { argument: b"" } => out.extend_from_slice(b"stats"),
        Command::Stats { argument } => put_tokens(&[b"stats", argument], out),
        Command::Version => out.extend_from_slice(b"version"),
        Command::Verbosity { level } => put_tokens(&[b"verbosity", number.format(*level).as_bytes()], out),
        Command::Quit => out.extend_from_slice(b"quit"),
        Command::Shutdown(ShutdownMode::Now) => out.extend_from_slice(b"shutdown"),
        Command::Shutdown(ShutdownMode::Graceful) => out.extend_from_slice(b"shutdown graceful"),
        Command::CacheMemlimit { megabytes } => {
            put_tokens(&[b"cache_memlimit", number.format(*megabytes).as_bytes()], out);
        }
        _ => return Err(NotInForm),
    }
    end_line(form, out);
    Ok(())
}

fn end_line(form: TextForm, out: &mut Vec<u8>) {
    out.extend_from_slice(if form.noreply { b" noreply\r\n" } else { b"\r\n" });
}

fn text_store(store: &Store<'_>, form: TextForm, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    if store.new_cas.is_some() || store.older_marks_stale || store.vivify.is_some() {
        return Err(NotInForm);
    }
    out.extend_from_slice(match (store.mode, store.compare) {
        (StoreMode::Set, None) => b"set ",
        (StoreMode::Set, Some(_)) => b"cas ",
        (StoreMode::Add, None) => b"add ",
        (StoreMode::Replace, None) => b"replace ",
        (StoreMode::Append, None) => b"append ",
        (StoreMode::Prepend, None) => b"prepend ",
        (_, Some(_)) => return Err(NotInForm),
    });
    out.extend_from_slice(store.key);
    out.push(b' ');
    put_number(store.flags, out);
    out.push(b' ');
    put_signed(store.exptime.0, out);
    out.push(b' ');
    put_number(store.value.len() as u64, out);
    if let Some(cas) = store.compare {
        out.push(b' ');
        put_number(cas, out);
    }
    end_line(form, out);
    out.extend_from_slice(store.value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn meta(command: &Command<'_>, form: &MetaForm<'_>, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    let name: &[u8] = match (form.command, command) {
        (MetaCommand::Get, Command::Lookup(_)) => b"mg",
        (MetaCommand::Set, Command::Store(_)) => b"ms",
        (MetaCommand::Delete, Command::Delete(_)) => b"md",
        (MetaCommand::Arithmetic, Command::Arithmetic(_)) => b"ma",
        (MetaCommand::Debug, Command::MetaDebug { .. }) => b"me",
        (MetaCommand::Noop, Command::Noop) => b"mn",
        _ => return Err(NotInForm),
    };
    out.extend_from_slice(name);
    if !form.key_token.is_empty() {
        out.push(b' ');
        out.extend_from_slice(form.key_token);
    }
    let value = if let Command::Store(store) = command { Some(store.value) } else { None };
    if let Some(value) = value {
        out.push(b' ');
        put_number(value.len() as u64, out);
    }
    if !form.flag_tokens.is_empty() {
        out.push(b' ');
        out.extend_from_slice(form.flag_tokens);
    }
    out.extend_from_slice(b"\r\n");
    if let Some(value) = value {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// The parts of a packet behind its header, and its header's CAS.
#[derive(Default)]
struct Packet<'a> {
    extras: [u8; 20],
    extras_bytes: usize,
    key: &'a [u8],
    value: &'a [u8],
    cas: u64,
}

impl Packet<'_> {
    fn extra(&mut self, bytes: &[u8]) {
        let end = self.extras_bytes + bytes.len();
        self.extras[self.extras_bytes..end].copy_from_slice(bytes);
        self.extras_bytes = end;
    }

    fn extra_exptime(&mut self, exptime: ExpTime) -> Result<(), NotInForm> {
        self.extra(&u32::try_from(exptime.0).map_err(|_| NotInForm)?.to_be_bytes());
        Ok(())
    }
}

fn binary(command: &Command<'_>, form: BinaryForm, out: &mut Vec<u8>) -> Result<(), NotInForm> {
    let packet = packet(command, form.opcode)?;
    let body_bytes = packet.extras_bytes + packet.key.len() + packet.value.len();
    let mut header = [0; HEADER_BYTES];
    header[0] = MAGIC_REQUEST;
    header[1] = form.opcode;
    header[2..4].copy_from_slice(&u16::try_from(packet.key.len()).map_err(|_| NotInForm)?.to_be_bytes());
    header[4] = packet.extras_bytes as u8;
    header[8..12].copy_from_slice(&u32::try_from(body_bytes).map_err(|_| NotInForm)?.to_be_bytes());
    header[12..16].copy_from_slice(&form.opaque.to_be_bytes());
    header[16..24].copy_from_slice(&packet.cas.to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(&packet.extras[..packet.extras_bytes]);
    out.extend_from_slice(packet.key);
    out.extend_from_slice(packet.value);
    Ok(())
}

fn packet<'a>(command: &Command<'a>, opcode: u8) -> Result<Packet<'a>, NotInForm> {
    use Opcode::*;
    let mut packet = Packet::default();
    match (opcode, command) {
        (GET | GET_QUIET | GET_KEY | GET_KEY_QUIET, Command::Lookup(lookup)) => packet.key = lookup.key,
        (
            TOUCH | GET_TOUCH | GET_TOUCH_QUIET | GET_TOUCH_KEY | GET_TOUCH_KEY_QUIET,
            Command::Lookup(lookup),
        ) => {
            packet.extra_exptime(lookup.touch.ok_or(NotInForm)?)?;
            packet.key = lookup.key;
        }
        (SET | SET_QUIET | ADD | ADD_QUIET | REPLACE | REPLACE_QUIET, Command::Store(store)) => {
            packet.extra(&store.flags.to_be_bytes());
            packet.extra_exptime(store.exptime)?;
            (packet.key, packet.value) = (store.key, store.value);
            packet.cas = store.compare.unwrap_or(0);
        }
        (APPEND | APPEND_QUIET | PREPEND | PREPEND_QUIET, Command::Store(store)) => {
            (packet.key, packet.value) = (store.key, store.value);
            packet.cas = store.compare.unwrap_or(0);
        }
        (DELETE | DELETE_QUIET, Command::Delete(delete)) => {
            packet.key = delete.key;
            packet.cas = delete.compare.unwrap_or(0);
        }
        (INCREMENT | INCREMENT_QUIET | DECREMENT | DECREMENT_QUIET, Command::Arithmetic(change)) => {
            let (initial, exptime) = match change.vivify {
                Some((initial, exptime)) => (initial, exptime),
                None => (0, ExpTime(i64::from(EXPTIME_NO_VIVIFY))),
            };
            packet.extra(&change.delta.to_be_bytes());
            packet.extra(&initial.to_be_bytes());
            packet.extra_exptime(exptime)?;
            packet.key = change.key;
            packet.cas = change.compare.unwrap_or(0);
        }
        (FLUSH | FLUSH_QUIET, Command::Flush { delay }) => packet.extra_exptime(*delay)?,
        (STAT, Command::Stats { argument }) => packet.key = argument,
        (SASL_AUTH, Command::Sasl(Sasl::Auth { mechanism, data }))
        | (SASL_STEP, Command::Sasl(Sasl::Step { mechanism, data })) => {
            (packet.key, packet.value) = (mechanism, data);
        }
        (QUIT | QUIT_QUIET, Command::Quit) | (NOOP, Command::Noop) | (VERSION, Command::Version) => {}
        (SASL_LIST, Command::Sasl(Sasl::List)) => {}
        _ => return Err(NotInForm),
    }
    Ok(packet)
}
