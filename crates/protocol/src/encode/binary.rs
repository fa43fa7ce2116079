//! Answers to binary packets.

use crate::{BinaryForm, FailureKind, Hit, Opcode, ProtocolError, Response, Value};

use super::put_printable;

/// The first byte of an answer.
pub(crate) const MAGIC_RESPONSE: u8 = 0x81;

/// Statuses by number.
pub(crate) mod status {
    #![allow(missing_docs, reason = "the names say it all")]
    pub const OK: u16 = 0;
    pub const NOT_FOUND: u16 = 1;
    pub const EXISTS: u16 = 2;
    pub const TOO_LARGE: u16 = 3;
    pub const INVALID_ARGUMENTS: u16 = 4;
    pub const NOT_STORED: u16 = 5;
    pub const NON_NUMERIC: u16 = 6;
    pub const AUTH_FAILURE: u16 = 0x20;
    pub const AUTH_CONTINUE: u16 = 0x21;
    pub const NO_ACCESS: u16 = 0x24;
    pub const UNKNOWN_COMMAND: u16 = 0x81;
    pub const OUT_OF_MEMORY: u16 = 0x82;
    pub const NOT_SUPPORTED: u16 = 0x83;
    pub const INTERNAL: u16 = 0x84;
    pub const BUSY: u16 = 0x85;
    pub const TEMPORARY: u16 = 0x86;
}

/// The body of an answer with this status.
fn words(status: u16) -> &'static [u8] {
    match status {
        status::NOT_FOUND => b"Not found",
        status::EXISTS => b"Data exists for key.",
        status::TOO_LARGE => b"Too large.",
        status::INVALID_ARGUMENTS => b"Invalid arguments",
        status::NOT_STORED => b"Not stored.",
        status::NON_NUMERIC => b"Non-numeric server-side value for incr or decr",
        status::AUTH_FAILURE => b"Auth failure.",
        status::UNKNOWN_COMMAND => b"Unknown command",
        status::OUT_OF_MEMORY => b"Out of memory",
        _ => b"",
    }
}

/// Whether the opcode asks to leave out the usual answer.
#[inline]
fn is_quiet(opcode: u8) -> bool {
    use Opcode::*;
    matches!(
        opcode,
        GET_QUIET | GET_KEY_QUIET | SET_QUIET..=PREPEND_QUIET | GET_TOUCH_QUIET | GET_TOUCH_KEY_QUIET
    )
}

/// Whether the opcode's answer repeats the key.
#[inline]
fn has_key(opcode: u8) -> bool {
    use Opcode::*;
    matches!(opcode, GET_KEY | GET_KEY_QUIET | GET_TOUCH_KEY | GET_TOUCH_KEY_QUIET)
}

#[inline]
pub(super) fn encode(form: BinaryForm, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    match response {
        Response::Hit(hit) => return hit_packet(form, hit, out),
        Response::Miss { key } => miss_packet(form, key, out),
        Response::Stored(_) | Response::Deleted | Response::Number(_) | Response::Ok | Response::Quit
            if is_quiet(form.opcode) => {}
        Response::Stored(stored) => put_packet(form, status::OK, &[], &[], &[], stored.cas, out),
        Response::Number(number) => {
            put_packet(form, status::OK, &[], &[], &number.value.to_be_bytes(), number.cas, out);
        }
        Response::Deleted | Response::Ok | Response::Quit | Response::Noop | Response::Touched => {
            put_packet(form, status::OK, &[], &[], &[], 0, out);
        }
        Response::StatEnd | Response::Reset => put_packet(form, status::OK, &[], &[], &[], 0, out),
        Response::Stat { name, value } => put_packet(form, status::OK, &[], name, value, 0, out),
        Response::Version(text) | Response::SaslMechanisms(text) => {
            put_packet(form, status::OK, &[], &[], text.as_bytes(), 0, out);
        }
        Response::Authenticated => put_packet(form, status::OK, &[], &[], b"Authenticated", 0, out),
        Response::AuthContinue(data) => put_packet(form, status::AUTH_CONTINUE, &[], &[], data, 0, out),
        Response::NotStored => put_status(form, not_stored_status(form.opcode), out),
        Response::Exists => put_status(form, status::EXISTS, out),
        Response::NotFound => put_status(form, status::NOT_FOUND, out),
        Response::Error(error) => put_status(form, error_status(form.opcode, *error), out),
        Response::Failure(failure) => {
            let text = failure.cut_text();
            put_head(form, failure_status(failure.kind), &[], &[], text.len(), 0, out);
            put_printable(text, out);
        }
        Response::Raw(raw) => {
            let start = out.len();
            put_packet(form, raw.status, raw.extras, raw.key, raw.body, raw.cas, out);
            out[start + 5] = raw.data_type;
        }
        // Never the answer to a packet.
        Response::End | Response::Debug(_) | Response::Line(_) => {}
    }
    false
}

/// Appends an answer with its body.
#[inline]
fn put_packet(
    form: BinaryForm,
    status: u16,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
    cas: u64,
    out: &mut Vec<u8>,
) {
    put_head(form, status, extras, key, value.len(), cas, out);
    out.extend_from_slice(value);
}

/// Appends an answer as far as its value.
#[inline]
fn put_head(
    form: BinaryForm,
    status: u16,
    extras: &[u8],
    key: &[u8],
    value_bytes: usize,
    cas: u64,
    out: &mut Vec<u8>,
) {
    let body_bytes = (extras.len() + key.len() + value_bytes) as u32;
    let mut head = [0; 24];
    head[0] = MAGIC_RESPONSE;
    head[1] = form.opcode;
    head[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
    head[4] = extras.len() as u8;
    head[6..8].copy_from_slice(&status.to_be_bytes());
    head[8..12].copy_from_slice(&body_bytes.to_be_bytes());
    head[12..16].copy_from_slice(&form.opaque.to_be_bytes());
    head[16..24].copy_from_slice(&cas.to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
}

/// Appends an answer that is a status and its words.
#[cold]
fn put_status(form: BinaryForm, status: u16, out: &mut Vec<u8>) {
    put_packet(form, status, &[], &[], words(status), 0, out);
}

#[inline]
fn hit_packet(form: BinaryForm, hit: &Hit<'_>, out: &mut Vec<u8>) -> bool {
    let sends_value = form.opcode != Opcode::TOUCH && !matches!(hit.value, Value::Unsent { .. });
    let key = if has_key(form.opcode) { hit.key } else { &[] };
    let value_bytes = if sends_value { hit.value.len() } else { 0 };
    put_head(form, status::OK, &hit.flags.to_be_bytes(), key, value_bytes, hit.cas, out);
    if sends_value {
        match hit.value {
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            Value::Pieces(pieces) => pieces.iter().for_each(|piece| out.extend_from_slice(piece)),
            Value::Detached { .. } | Value::Unsent { .. } => {}
        }
    }
    sends_value
}

fn miss_packet(form: BinaryForm, key: &[u8], out: &mut Vec<u8>) {
    if is_quiet(form.opcode) {
        return;
    }
    if has_key(form.opcode) {
        return put_packet(form, status::NOT_FOUND, &[], key, &[], 0, out);
    }
    put_status(form, status::NOT_FOUND, out);
}

/// What an unmet condition is called depends on what was asked.
fn not_stored_status(opcode: u8) -> u16 {
    match opcode {
        Opcode::ADD | Opcode::ADD_QUIET => status::EXISTS,
        Opcode::REPLACE | Opcode::REPLACE_QUIET => status::NOT_FOUND,
        _ => status::NOT_STORED,
    }
}

fn error_status(opcode: u8, error: ProtocolError) -> u16 {
    match error {
        ProtocolError::UnknownCommand if opcode == Opcode::STAT => status::NOT_FOUND,
        ProtocolError::UnknownCommand => status::UNKNOWN_COMMAND,
        ProtocolError::ValueTooLarge => status::TOO_LARGE,
        ProtocolError::NonNumeric => status::NON_NUMERIC,
        ProtocolError::OutOfMemoryStoring
        | ProtocolError::OutOfMemory
        | ProtocolError::OutOfMemoryReading => status::OUT_OF_MEMORY,
        ProtocolError::AuthFailure | ProtocolError::Unauthenticated | ProtocolError::FlushNotAllowed => {
            status::AUTH_FAILURE
        }
        _ => status::INVALID_ARGUMENTS,
    }
}

fn failure_status(kind: FailureKind) -> u16 {
    match kind {
        FailureKind::Client => status::INVALID_ARGUMENTS,
        FailureKind::NotPermitted => status::NO_ACCESS,
        FailureKind::Unavailable | FailureKind::TimedOut => status::TEMPORARY,
        FailureKind::Busy => status::BUSY,
        FailureKind::Unsupported | FailureKind::Disabled => status::NOT_SUPPORTED,
        FailureKind::OutcomeUnknown | FailureKind::Damaged | FailureKind::Internal => status::INTERNAL,
    }
}
