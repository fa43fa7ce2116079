//! What strangers say before they are known, in text and by SASL; and the file that says who is.

#![no_main]

use larder_protocol::{Credentials, decode_credentials};
use larder_server::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&selector, rest)) = data.split_first() else { return };
    match selector % 4 {
        0 => check_text(rest),
        1 => fuzzing::enter_by_sasl(rest),
        2 => fuzzing::read_password_file(rest, false),
        _ => fuzzing::read_password_file(rest, true),
    }
});

/// The verdict on a line and its data is the same whatever follows, and what is cut off has none but a close.
fn check_text(input: &[u8]) {
    let verdict = decode_credentials(input);
    let consumed = match verdict {
        Credentials::Given { user, consumed, .. } => {
            assert!(!user.contains(&b' '));
            consumed
        }
        Credentials::Refused { consumed, .. } => consumed,
        Credentials::Incomplete | Credentials::Close(_) => return,
    };
    assert!(0 < consumed && consumed <= input.len());
    assert!(decode_credentials(&input[..consumed]) == verdict);
    for end in [0, consumed / 2, consumed - 1] {
        assert!(decode_credentials(&input[..end]) == Credentials::Incomplete, "{end} of {consumed} bytes");
    }
}
