//! A glance at requests that are not decoded yet: which keys they will ask for.

use crate::decode::binary::{HEADER_BYTES, MAGIC_REQUEST};
use crate::{KEY_BYTES_MAX, Opcode, Protocol};

/// What is plain to see of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skimmed<'a> {
    /// Its key, or what would be if the request were in order; never empty nor too long.
    pub key: &'a [u8],
    /// Whether it stores a value, most likely whatever is there.
    pub sets: bool,
    /// Where the next request begins. May lie behind the end of the input.
    pub end: usize,
}

/// Skims the request that `input` begins with. `None`: there is no saying at a glance.
///
/// Made to fetch memory ahead: cheap, and good for nothing else. It knows the usual spelling of the usual commands and does not
/// tell requests in order from others.
#[inline]
pub fn skim(protocol: Protocol, input: &[u8]) -> Option<Skimmed<'_>> {
    let skimmed = match protocol {
        Protocol::Text => skim_text(input),
        Protocol::Binary => skim_binary(input),
    };
    skimmed.filter(|skimmed| (1..=KEY_BYTES_MAX).contains(&skimmed.key.len()))
}

#[inline]
fn skim_text(input: &[u8]) -> Option<Skimmed<'_>> {
    // Which word behind the command is the value's length.
    let (key_at, length_word) = match input {
        [b'm', b'g' | b'd' | b'a', b' ', ..] => (3, None),
        [b'm', b's', b' ', ..] => (3, Some(1)),
        [b'g', b'e', b't', b' ', ..] => (4, None),
        [b's', b'e', b't', b' ', ..] => (4, Some(3)),
        _ => return None,
    };
    let line = memchr::memchr(b'\n', &input[key_at..])?;
    let words = &input[key_at..key_at + line];
    let key = first_word(words);
    let mut end = key_at + line + 1;
    if let Some(length_word) = length_word {
        let length = words.split(|byte| *byte == b' ').nth(length_word)?;
        end += decimal(first_word(length))? + b"\r\n".len();
    }
    Some(Skimmed { key, sets: length_word.is_some(), end })
}

/// The bytes before a space or the line's end.
#[inline]
fn first_word(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().position(|byte| *byte <= b' ').unwrap_or(bytes.len());
    &bytes[..length]
}

/// A length of up to nine digits.
#[inline]
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| 10 * number + usize::from(digit - b'0')))
}

#[inline]
fn skim_binary(input: &[u8]) -> Option<Skimmed<'_>> {
    let head = input.first_chunk::<HEADER_BYTES>()?;
    let key_bytes = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[0] != MAGIC_REQUEST {
        return None;
    }
    let key_at = HEADER_BYTES + usize::from(head[4]);
    let key = input.get(key_at..key_at + key_bytes)?;
    let body_bytes = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let sets = matches!(head[1], Opcode::SET | Opcode::SET_QUIET);
    Some(Skimmed { key, sets, end: HEADER_BYTES + body_bytes as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &[u8]) -> Option<(&[u8], usize)> {
        skim(Protocol::Text, input).map(|skimmed| (skimmed.key, skimmed.end))
    }

    #[test]
    fn keys_and_ends_of_text_requests() {
        assert_eq!(text(b"get a\r\nget b\r\n"), Some((&b"a"[..], 7)));
        assert_eq!(text(b"get a b c\r\n"), Some((&b"a"[..], 11)));
        assert_eq!(text(b"mg key v t\r\nmn\r\n"), Some((&b"key"[..], 12)));
        assert_eq!(text(b"set k 1 0 5\r\nvalue\r\n"), Some((&b"k"[..], 20)));
        assert_eq!(text(b"set k 1 0 5 noreply\r\nva"), Some((&b"k"[..], 28)));
        assert_eq!(text(b"ms k 5 T0\r\nvalue\r\n"), Some((&b"k"[..], 18)));
    }

    #[test]
    fn sets_are_told_from_the_rest() {
        let sets = |input: &[u8]| skim(Protocol::Text, input).unwrap().sets;
        assert!(sets(b"set k 1 0 5\r\n") && sets(b"ms k 5\r\n"));
        assert!(!sets(b"get k\r\n") && !sets(b"mg k\r\n") && !sets(b"ma k\r\n"));
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for input in [
            &b""[..],
            b"get",
            b"get a",
            b"mn\r\n",
            b"set k 1 0\r\n",
            b"set k 0 0 -1\r\n",
            b"ms k 9999999999\r\n",
        ] {
            assert_eq!(text(input), None, "{input:?}");
        }
        for length in [0, 251] {
            assert_eq!(text(format!("get {}\r\n", "k".repeat(length)).as_bytes()), None);
        }
    }

    #[test]
    fn binary_requests() {
        let mut packet = vec![0; 24];
        packet[0] = MAGIC_REQUEST;
        packet[3] = 3;
        packet[4] = 4;
        packet[11] = 9;
        packet.extend_from_slice(b"extrkeyvv");
        let skimmed = skim(Protocol::Binary, &packet).unwrap();
        assert_eq!((skimmed.key, skimmed.end, skimmed.sets), (&b"key"[..], packet.len(), false));
        packet[1] = Opcode::SET_QUIET;
        assert!(skim(Protocol::Binary, &packet).unwrap().sets);
        assert_eq!(skim(Protocol::Binary, &packet[..30]), None);
        packet[0] = 0x81;
        assert_eq!(skim(Protocol::Binary, &packet), None);
    }
}
