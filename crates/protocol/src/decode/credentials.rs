//! What a connection may say in text before it is authenticated: a `set` whose data is `user password`.

use std::fmt;

use crate::ProtocolError;

use super::storage::TRAILER_BYTES;
use super::tokens::{parse_u64, split_token};
use crate::LINE_BYTES_MAX;

/// The longest `user password`, and the longest message of SASL, in bytes.
pub const CREDENTIALS_BYTES_MAX: usize = 16 << 10;

/// What [`decode_credentials`] made of the input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// The input ends inside a line or its data.
    Incomplete,
    /// A user and a password to be judged. Answer `Stored`, or [`ProtocolError::AuthFailure`].
    Given {
        /// Who.
        user: &'a [u8],
        /// The password, which may contain spaces.
        password: &'a [u8],
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// Anything else: answer this.
    Refused {
        /// The error.
        error: ProtocolError,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// The connection must be closed, after this answer if there is one.
    Close(Option<ProtocolError>),
}

/// The password is for nobody's eyes.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Incomplete => formatter.write_str("Incomplete"),
            Credentials::Given { consumed, .. } => {
                formatter.debug_struct("Given").field("consumed", consumed).finish_non_exhaustive()
            }
            Credentials::Refused { error, consumed } => {
                formatter.debug_struct("Refused").field("error", error).field("consumed", consumed).finish()
            }
            Credentials::Close(error) => formatter.debug_tuple("Close").field(error).finish(),
        }
    }
}

/// Decodes `set <anything> <anything> <anything> <bytes>` and its data at the start of `input`. The caller keeps the
/// input until it is complete, at most [`LINE_BYTES_MAX`] and [`CREDENTIALS_BYTES_MAX`] bytes and their line ends.
pub fn decode_credentials(input: &[u8]) -> Credentials<'_> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > LINE_BYTES_MAX { Credentials::Close(None) } else { Credentials::Incomplete };
    };
    if end > LINE_BYTES_MAX {
        return Credentials::Close(None);
    }
    let line = match &input[..end] {
        [line @ .., b'\r'] => line,
        line => line,
    };
    let head = end + 1;
    let Some(count) = line.strip_prefix(b"set ").and_then(data_bytes) else {
        return Credentials::Refused { error: ProtocolError::Unauthenticated, consumed: head };
    };
    if count > CREDENTIALS_BYTES_MAX as u64 {
        // What follows is data of unknown worth; to read it as commands would answer each of its lines.
        return Credentials::Close(Some(ProtocolError::AuthTokenTooLong));
    }
    let consumed = head + count as usize + TRAILER_BYTES;
    let Some(block) = input.get(head..consumed) else { return Credentials::Incomplete };
    let [data @ .., b'\r', b'\n'] = block else {
        return Credentials::Refused { error: ProtocolError::BadTermination, consumed };
    };
    match memchr::memchr(b' ', data) {
        Some(space) => Credentials::Given { user: &data[..space], password: &data[space + 1..], consumed },
        None => Credentials::Refused { error: ProtocolError::BadAuthToken, consumed },
    }
}

/// The byte count of a storage line, of whose other tokens it matters only that they are there.
fn data_bytes(rest: &[u8]) -> Option<u64> {
    let mut rest = rest;
    for _key_flags_exptime in 0..3 {
        (_, rest) = split_token(rest)?;
    }
    parse_u64(split_token(rest)?.0).filter(|&count| count <= u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: ProtocolError, consumed: usize) -> Credentials<'static> {
        Credentials::Refused { error, consumed }
    }

    #[test]
    fn a_set_with_user_and_password_is_taken_and_nothing_else() {
        let given = |user: &'static str, password: &'static str, consumed| Credentials::Given {
            user: user.as_bytes(),
            password: password.as_bytes(),
            consumed,
        };
        let cases: &[(&[u8], Credentials<'_>)] = &[
            (b"set k 0 0 9\r\nuser pass\r\nget k\r\n", given("user", "pass", 24)),
            (b"set k 0 0 9\nuser pass\r\n", given("user", "pass", 23)),
            (b"set  k x y 9 noreply\r\nuser pass\r\n", given("user", "pass", 33)),
            (b"set k 0 0 11\r\nu with space\r\n", refused(ProtocolError::BadTermination, 27)),
            (b"set k 0 0 12\r\nu with space\r\n", given("u", "with space", 28)),
            (b"set k 0 0 5\r\nu \r\nx\r\n", given("u", "\r\nx", 20)),
            (b"set k 0 0 4\r\nuser\r\n", refused(ProtocolError::BadAuthToken, 19)),
            (b"set k 0 0 0\r\n\r\n", refused(ProtocolError::BadAuthToken, 15)),
            (b"set k 0 0 4\r\nu pass\r\n", refused(ProtocolError::BadTermination, 19)),
            (b"get k\r\n", refused(ProtocolError::Unauthenticated, 7)),
            (b"quit\n", refused(ProtocolError::Unauthenticated, 5)),
            (b"\n", refused(ProtocolError::Unauthenticated, 1)),
            (b"mg k v\r\n", refused(ProtocolError::Unauthenticated, 8)),
            (b"set k 0 0\r\n", refused(ProtocolError::Unauthenticated, 11)),
            (b"set k 0 0 x\r\n", refused(ProtocolError::Unauthenticated, 13)),
            (b"set k 0 0 -1\r\n", refused(ProtocolError::Unauthenticated, 14)),
            (b"SET k 0 0 9\r\nuser pass\r\n", refused(ProtocolError::Unauthenticated, 13)),
            (b" set k 0 0 9\r\nuser pass\r\n", refused(ProtocolError::Unauthenticated, 14)),
            (b"add k 0 0 9\r\nuser pass\r\n", refused(ProtocolError::Unauthenticated, 13)),
            (b"set k 0 0 16385\r\n", Credentials::Close(Some(ProtocolError::AuthTokenTooLong))),
            (b"set k 0 0 16384\r\n", Credentials::Incomplete),
            (b"", Credentials::Incomplete),
        ];
        for (input, expected) in cases {
            let found = decode_credentials(input);
            assert!(found == *expected, "{}: {found:?}", input.escape_ascii());
        }
    }

    #[test]
    fn the_cut_makes_no_difference() {
        let whole = b"set k 0 0 9\r\nuser pass\r\n";
        for cut in 0..whole.len() {
            assert_eq!(decode_credentials(&whole[..cut]), Credentials::Incomplete, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_has_a_bound() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(decode_credentials(&long), Credentials::Close(None));
        assert_eq!(decode_credentials(&[&long[..], b"\n"].concat()), Credentials::Close(None));
        assert_eq!(decode_credentials(&long[1..]), Credentials::Incomplete);
    }

    #[test]
    fn a_password_is_not_shown() {
        let text = format!("{:?}", decode_credentials(b"set k 0 0 13\r\nuser Tr0ub4dor\r\n\r\n"));
        assert!(!text.contains("ub4"), "{text}");
    }
}
