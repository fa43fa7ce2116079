//! What is read from strangers and about them, for the fuzzer: none of it may panic, whatever it is given.

use std::sync::LazyLock;

use crate::users::{Format, Users};

/// Reads a password file. Whoever stands in it with a password enters, and nobody without.
pub fn read_password_file(content: &[u8], is_for_sasl: bool) {
    let format = if is_for_sasl { Format::Sasl } else { Format::Text };
    let Ok(users) = Users::parse(content, format) else { return };
    let first = content.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = first.into_iter().find(|line| !line.is_empty()).expect("a file without a line is refused");
    let colon = first.iter().position(|&byte| byte == b':').expect("a line without a colon is refused");
    assert!(users.enter(&first[..colon], &first[colon + 1..]).is_some());
    assert!(users.enter(&first[..colon], b"").is_none());
}

/// Judges a message of SASL PLAIN by a file with one user: it enters only as that one.
pub fn enter_by_sasl(message: &[u8]) {
    static USERS: LazyLock<Users> =
        LazyLock::new(|| Users::parse(b"u:p\n", Format::Sasl).expect("a good file"));
    let is_right = [&b"\0u\0p"[..], b"u\0u\0p"].contains(&message);
    assert_eq!(USERS.enter_plain(message).is_some(), is_right);
}
