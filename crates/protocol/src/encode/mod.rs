//! Replies in, bytes out.

use crate::{Failure, Form, Response};

pub(crate) mod binary;
pub(crate) mod log;
mod meta;
mod text;

#[cfg(test)]
mod tests;

/// Appends the answer to `out`, spelled in `form`; or nothing, where the form asks for silence.
///
/// Returns whether the value of a hit belongs to the answer. Only for a hit with
/// [`Value::Detached`](crate::Value::Detached) need the caller look: if `true`, it sends the value next and then
/// what [`encode_after_value`] appends. Never allocates but to grow `out`.
#[inline]
pub fn encode(form: &Form<'_>, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    match form {
        Form::Text(form) => text::encode(*form, response, out),
        Form::Meta(form) => meta::encode(form, response, out),
        Form::Binary(form) => binary::encode(*form, response, out),
    }
}

/// Appends what follows a detached value: CRLF in text and meta, nothing in binary.
#[inline]
pub fn encode_after_value(form: &Form<'_>, out: &mut Vec<u8>) {
    if !matches!(form, Form::Binary(_)) {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends what a connection above the limit is told before it is closed, in any protocol.
pub fn encode_too_many_connections(out: &mut Vec<u8>) {
    out.extend_from_slice(b"ERROR Too many open connections\r\n");
}

/// Appends a decimal number.
#[inline]
pub(crate) fn put_number(number: impl Into<u64>, out: &mut Vec<u8>) {
    let number = number.into();
    if number < 10 {
        out.push(b'0' + number as u8);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

/// Appends text with a space for each control byte, so that it can end no line and no answer.
fn put_printable(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }));
}

/// Appends `SERVER_ERROR …` or `CLIENT_ERROR …`.
#[cold]
fn put_failure_line(failure: &Failure<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(if failure.kind.is_clients() { b"CLIENT_ERROR " } else { b"SERVER_ERROR " });
    put_printable(failure.cut_text(), out);
    out.extend_from_slice(b"\r\n");
}

/// Appends `STAT <name> <value>`.
fn put_stat_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"STAT ");
    put_printable(name, out);
    out.push(b' ');
    put_printable(value, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a line and its end.
#[inline]
fn put_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}
