//! Cutting a line into tokens, and tokens into numbers.

use crate::KEY_BYTES_MAX;

/// The first token of a line and what follows it; `None` if there is no token.
#[inline]
pub(crate) fn split_token(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut line = line;
    while let [b' ', rest @ ..] = line {
        line = rest;
    }
    if line.is_empty() {
        return None;
    }
    Some(line.split_at(find_space(line)))
}

/// Where the first space is; the length if there is none. Tokens are short, so this looks at eight bytes
/// at a time and costs less than a call of the general search.
#[inline]
fn find_space(bytes: &[u8]) -> usize {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A zero byte borrows into its high bit; the lowest bit so set is always exact.
        let differing = u64::from_le_bytes(*word) ^ (LOW_BITS * b' ' as u64);
        let zeros = differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS;
        if zeros != 0 {
            return index * 8 + zeros.trailing_zeros() as usize / 8;
        }
    }
    let searched = words.len() * 8;
    rest.iter().position(|&byte| byte == b' ').map_or(bytes.len(), |offset| searched + offset)
}

/// The line without spaces at either end.
#[inline]
pub(super) fn trim(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [b' ', rest @ ..] = line {
        line = rest;
    }
    while let [rest @ .., b' '] = line {
        line = rest;
    }
    line
}

/// Whether every token is short enough for a key. It looks only for the last space of each stretch of
/// 251 bytes: all tokens before that one are short enough.
#[inline]
pub(super) fn keys_fit(line: &[u8]) -> bool {
    let mut rest = line;
    while rest.len() > KEY_BYTES_MAX {
        match memchr::memrchr(b' ', &rest[..=KEY_BYTES_MAX]) {
            Some(space) => rest = &rest[space + 1..],
            None => return false,
        }
    }
    true
}

/// The last token of a line.
pub(super) fn last_token(line: &[u8]) -> &[u8] {
    let line = trim(line);
    memchr::memrchr(b' ', line).map_or(line, |space| &line[space + 1..])
}

/// A decimal number of 64 bits; a plus sign before it is tolerated.
#[inline]
pub(crate) fn parse_u64(token: &[u8]) -> Option<u64> {
    let digits = match token {
        [b'+', digits @ ..] => digits,
        digits => digits,
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    // Nineteen digits cannot overflow.
    if digits.len() <= 19 {
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number * 10 + u64::from(digit);
        }
        return Some(number);
    }
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A decimal number of 64 bits with an optional sign.
#[inline]
pub(super) fn parse_i64(token: &[u8]) -> Option<i64> {
    match token {
        [b'-', digits @ ..] if digits.first() != Some(&b'+') => 0i64.checked_sub_unsigned(parse_u64(digits)?),
        _ => i64::try_from(parse_u64(token)?).ok(),
    }
}

/// The tokens behind a command's name, for the commands that are not hurried.
pub(super) struct Arguments<'a> {
    tokens: [&'a [u8]; Arguments::KEPT],
    count: usize,
    /// The line ends with `noreply`; that token is not counted.
    pub(super) noreply: bool,
}

impl<'a> Arguments<'a> {
    const KEPT: usize = 8;

    /// Cuts the line; `noreply` is taken for what it is only behind `keyed` other tokens.
    pub(super) fn parse(mut line: &'a [u8], keyed: usize) -> Arguments<'a> {
        let mut arguments = Arguments { tokens: [&[]; Arguments::KEPT], count: 0, noreply: false };
        let mut last: &[u8] = &[];
        while let Some((token, rest)) = split_token(line) {
            if let Some(slot) = arguments.tokens.get_mut(arguments.count) {
                *slot = token;
            }
            arguments.count += 1;
            last = token;
            line = rest;
        }
        if arguments.count > keyed && last == b"noreply" {
            arguments.count -= 1;
            arguments.noreply = true;
        }
        arguments
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The argument at this place, if the line has so many.
    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.count).then(|| self.tokens.get(index).copied()).flatten()
    }

    /// The key at this place, if there is one and it is not too long.
    pub(super) fn key(&self, index: usize) -> Option<&'a [u8]> {
        self.get(index).filter(|key| key.len() <= KEY_BYTES_MAX)
    }
}
