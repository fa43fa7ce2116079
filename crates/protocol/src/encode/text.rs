//! Answers to classic text commands.

use crate::{Hit, Response, TextForm, Value};

use super::{put_failure_line, put_line, put_number, put_printable, put_stat_line};

/// The numbers and words of a `VALUE` line without its key, in bytes, at most.
const VALUE_LINE_BYTES_MAX: usize = "VALUE  4294967295 2147483647 18446744073709551615\r\n".len();

#[inline]
pub(super) fn encode(form: TextForm, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    match response {
        Response::Hit(hit) => return hit_lines(form, hit, out),
        Response::Miss { .. } => {}
        Response::End => out.extend_from_slice(b"END\r\n"),
        Response::Stored(_) if !form.noreply => out.extend_from_slice(b"STORED\r\n"),
        _ if form.noreply => {}
        response => rare(response, out),
    }
    false
}

/// `VALUE <key> <flags> <bytes>[ <cas>]` and the value.
#[inline]
fn hit_lines(form: TextForm, hit: &Hit<'_>, out: &mut Vec<u8>) -> bool {
    let length = hit.value.len();
    let copied = if let Value::Bytes(bytes) = hit.value { bytes.len() + 2 } else { 0 };
    out.reserve(VALUE_LINE_BYTES_MAX + hit.key.len() + copied);
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(hit.key);
    out.push(b' ');
    put_number(hit.flags, out);
    out.push(b' ');
    put_number(length as u64, out);
    if form.with_cas {
        out.push(b' ');
        put_number(hit.cas, out);
    }
    out.extend_from_slice(b"\r\n");
    put_value(&hit.value, out)
}

/// Appends a value and its CRLF, unless it is sent by the caller. Says whether the value is sent.
#[inline]
pub(super) fn put_value(value: &Value<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Pieces(pieces) => pieces.iter().for_each(|piece| out.extend_from_slice(piece)),
        Value::Detached { .. } => return true,
        Value::Unsent { .. } => return false,
    }
    out.extend_from_slice(b"\r\n");
    true
}

/// The answers that are one short line, and not sent by the million.
fn rare(response: &Response<'_>, out: &mut Vec<u8>) {
    let line: &[u8] = match response {
        Response::NotStored => b"NOT_STORED",
        Response::Exists => b"EXISTS",
        Response::NotFound => b"NOT_FOUND",
        Response::Deleted => b"DELETED",
        Response::Touched => b"TOUCHED",
        Response::Ok => b"OK",
        Response::Noop => b"MN",
        Response::StatEnd => b"END",
        Response::Reset => b"RESET",
        Response::Error(error) => error.line().as_bytes(),
        Response::Number(number) => {
            put_number(number.value, out);
            b""
        }
        Response::Version(version) => {
            out.extend_from_slice(b"VERSION ");
            version.as_bytes()
        }
        Response::Stat { name, value } => return put_stat_line(name, value, out),
        Response::Failure(failure) => return put_failure_line(failure, out),
        Response::Line(text) => {
            put_printable(text, out);
            b""
        }
        // Answered above, or never the answer to a classic command.
        Response::Hit(_) | Response::Miss { .. } | Response::End | Response::Stored(_) | Response::Quit => {
            return;
        }
        Response::Debug(_) | Response::SaslMechanisms(_) => return,
        Response::Authenticated | Response::AuthContinue(_) | Response::Raw(_) => return,
    };
    put_line(line, out);
}
