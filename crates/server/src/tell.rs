//! Requests and answers in the log, for whoever asked for verbosity 2: the first line of each, so nothing of a value.

use std::cell::Cell;
use std::fmt::Write as _;

use larder_protocol::{Command, Form, Request};

/// The verbosity from which on requests and answers are told.
const VERBOSITY: u32 = 2;

/// A longer line is cut, in bytes.
const LINE_BYTES_MAX: usize = 300;

const BINARY_HEADER_BYTES: usize = 24;

thread_local! {
    /// The connection whose turn it is on this worker, if its requests and answers are told; 0: they are not.
    static CONNECTION: Cell<u64> = const { Cell::new(0) };
}

/// A connection's turn begins.
pub(crate) fn begin(verbosity: u32, connection: u64) {
    CONNECTION.set(if verbosity >= VERBOSITY { connection } else { 0 });
}

/// Tells of a request that `input` begins with.
#[inline]
pub(crate) fn request(request: &Request<'_>, input: &[u8]) {
    let connection = CONNECTION.get();
    if connection != 0 {
        tell_request(connection, request, input);
    }
}

/// Tells of an answer as it is encoded.
#[inline]
pub(crate) fn answer(encoded: &[u8]) {
    let connection = CONNECTION.get();
    if connection != 0 && !encoded.is_empty() {
        tell_answer(connection, encoded);
    }
}

#[cold]
fn tell_request(connection: u64, request: &Request<'_>, input: &[u8]) {
    match (&request.form, &request.command) {
        (Form::Binary(form), _) => tracing::debug!("<{connection} binary opcode {:#04x}", form.opcode),
        // It may be a value, or a password, that a client sent in the wrong place.
        (_, Command::Invalid(_)) => tracing::debug!("<{connection} (no command)"),
        _ => tracing::debug!("<{connection} {}", first_line(input)),
    }
}

#[cold]
fn tell_answer(connection: u64, encoded: &[u8]) {
    match encoded {
        [0x81, opcode, ..] if encoded.len() >= BINARY_HEADER_BYTES => {
            let status = u16::from_be_bytes([encoded[6], encoded[7]]);
            tracing::debug!(">{connection} binary opcode {opcode:#04x} status {status:#04x}");
        }
        text => tracing::debug!(">{connection} {}", first_line(text)),
    }
}

/// The first line, readable, without its end.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut text = line[..line.len().min(LINE_BYTES_MAX)].escape_ascii().to_string();
    if line.len() > LINE_BYTES_MAX {
        write!(text, "… ({} bytes)", line.len()).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_readable_and_bounded() {
        assert_eq!(first_line(b"set a 0 0 6\r\nsecret\r\n"), "set a 0 0 6");
        assert_eq!(first_line(b"get \xff\x01 b\n"), "get \\xff\\x01 b");
        assert_eq!(first_line(b""), "");
        let long = first_line(&[b'x'; 1000]);
        assert!(long.starts_with("xxx") && long.ends_with("… (1000 bytes)"), "{long}");
        assert!(long.len() < LINE_BYTES_MAX + 30);
    }
}
