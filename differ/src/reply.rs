//! Answers, cut into groups and made comparable.
//!
//! CAS numbers get names in the order in which a server first shows them, the same on both servers if both answer
//! alike. Seconds are kept apart, since the servers' clocks do not tick together. A counter that shrank is
//! compared without the spaces memcached leaves behind it.

use std::collections::HashMap;

use crate::stream::Dialect;

/// Between two groups of text: `mn` is answered `MN`.
pub const TEXT_SEPARATOR: &[u8] = b"mn\r\n";

/// Between two groups of packets: a noop with an opaque of its own.
pub const BINARY_SEPARATOR: &[u8; 24] = b"\x80\x0a\0\0\0\0\0\0\0\0\0\0MNMN\0\0\0\0\0\0\0\0";

const HEADER_BYTES: usize = 24;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Compared byte for byte.
    Bytes(Vec<u8>),
    /// Compared by name.
    Cas(usize),
    /// Compared with a tolerance.
    Seconds(i64),
    /// Not compared: sizes and classes are a matter of the server's memory.
    Any,
}

/// The answers to one group.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// As they came.
    pub raw: Vec<u8>,
    /// As they are compared.
    pub tokens: Vec<Token>,
}

/// How far two times may be apart: memcached's clock lags behind by up to two seconds.
pub const SECONDS_TOLERANCE: i64 = 2;

/// Whether two answers are the same.
pub fn is_same(left: &Answer, right: &Answer) -> bool {
    is_same_but(left, right, |left, right| (left - right).abs() <= SECONDS_TOLERANCE)
}

/// Whether two answers are the same, except that `seconds` judges the times.
pub fn is_same_but(left: &Answer, right: &Answer, seconds: impl Fn(i64, i64) -> bool) -> bool {
    left.tokens.len() == right.tokens.len()
        && left.tokens.iter().zip(&right.tokens).all(|pair| match pair {
            (Token::Seconds(left), Token::Seconds(right)) => seconds(*left, *right),
            (left, right) => left == right,
        })
}

/// All that a server answered on a fresh connection; no separator is looked for.
pub fn parse(dialect: Dialect, bytes: &[u8]) -> Answer {
    let (mut reader, mut answers) = (Reader::new(dialect), Vec::new());
    reader.feed(bytes, &mut CasNames::default(), &mut answers);
    reader.finish()
}

/// CAS numbers that one server has shown on all connections of a stream.
#[derive(Default)]
pub struct CasNames {
    /// In the order of their first appearance.
    pub seen: Vec<u64>,
    names: HashMap<u64, usize>,
}

impl CasNames {
    fn name(&mut self, cas: u64) -> Token {
        // 0 is no CAS, in every protocol.
        if cas == 0 {
            return Token::Bytes(b"0".to_vec());
        }
        let next = self.seen.len();
        let name = *self.names.entry(cas).or_insert(next);
        if name == next {
            self.seen.push(cas);
        }
        Token::Cas(name)
    }
}

/// Takes the answers on one connection apart as they arrive.
pub struct Reader {
    dialect: Dialect,
    input: Vec<u8>,
    /// What of the input belongs to answers that were taken.
    taken: usize,
    current: Answer,
}

impl Reader {
    /// At the start of a connection.
    pub fn new(dialect: Dialect) -> Reader {
        Reader { dialect, input: Vec::new(), taken: 0, current: Answer::default() }
    }

    /// Takes what was received; groups that are whole go to `answers`.
    pub fn feed(&mut self, received: &[u8], names: &mut CasNames, answers: &mut Vec<Answer>) {
        self.input.drain(..std::mem::take(&mut self.taken));
        self.input.extend_from_slice(received);
        loop {
            let input = &self.input[self.taken..];
            let whole = match self.dialect {
                Dialect::Text | Dialect::Meta => text_reply_bytes(input),
                Dialect::Binary => packet_bytes(input),
            };
            let Some(reply) = whole.and_then(|length| input.get(..length)) else { return };
            self.taken += reply.len();
            let is_separator = match self.dialect {
                Dialect::Text | Dialect::Meta => reply == b"MN\r\n",
                Dialect::Binary => reply[1] == 0x0a && &reply[12..16] == b"MNMN",
            };
            if is_separator {
                answers.push(std::mem::take(&mut self.current));
                continue;
            }
            self.current.raw.extend_from_slice(reply);
            let tokens = &mut self.current.tokens;
            match self.dialect {
                Dialect::Text | Dialect::Meta => text_tokens(reply, names, tokens),
                Dialect::Binary => packet_tokens(reply, names, tokens),
            }
        }
    }

    /// What has come of the group that is not whole.
    pub fn finish(mut self) -> Answer {
        let rest = &self.input[self.taken..];
        self.current.raw.extend_from_slice(rest);
        put(&mut self.current.tokens, rest);
        self.current
    }

    /// A copy of that.
    pub fn rest(&self) -> Vec<u8> {
        [&self.current.raw[..], &self.input[self.taken..]].concat()
    }
}

fn put(tokens: &mut Vec<Token>, bytes: &[u8]) {
    match tokens.last_mut() {
        Some(Token::Bytes(last)) => last.extend_from_slice(bytes),
        _ if bytes.is_empty() => {}
        _ => tokens.push(Token::Bytes(bytes.to_vec())),
    }
}

/// A named CAS or the text of none.
fn put_token(tokens: &mut Vec<Token>, token: Token) {
    match token {
        Token::Bytes(bytes) => put(tokens, &bytes),
        token => tokens.push(token),
    }
}

fn number(token: &[u8]) -> Option<u64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

fn line_end(input: &[u8]) -> Option<usize> {
    input.iter().position(|&byte| byte == b'\n')
}

/// How long the reply at the start is, with its value.
fn text_reply_bytes(input: &[u8]) -> Option<usize> {
    let line_bytes = line_end(input)? + 1;
    let mut words = input[..line_bytes].trim_ascii_end().split(|&byte| byte == b' ');
    let value_bytes = match words.next() {
        Some(b"VALUE") => words.nth(2).and_then(number),
        Some(b"VA") => words.next().and_then(number),
        _ => None,
    };
    Some(line_bytes + value_bytes.map_or(0, |count| count as usize + 2))
}

fn text_tokens(reply: &[u8], names: &mut CasNames, tokens: &mut Vec<Token>) {
    let line_bytes = line_end(reply).map_or(reply.len(), |end| end + 1);
    let (line, value) = reply.split_at(line_bytes);
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let value_text = counter_text(value.strip_suffix(b"\r\n").unwrap_or(value));
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            put(tokens, b" ");
        }
        let bare = word.trim_ascii_end();
        match (words[0], index) {
            (b"VALUE", 3) | (b"VA", 1) => put(tokens, value_text.len().to_string().as_bytes()),
            (b"VALUE", 4) if number(bare).is_some() => {
                let cas = number(bare).expect("as above");
                put_token(tokens, names.name(cas));
            }
            (b"HD" | b"HD\r\n" | b"VA", 1..) => meta_flag(bare, names, tokens),
            (b"EX" | b"NS" | b"NF" | b"EN", 1..) => meta_flag(bare, names, tokens),
            (b"ME", 2..) => debug_flag(bare, names, tokens),
            _ => put(tokens, bare),
        }
        put(tokens, &word[bare.len()..]);
    }
    if !value.is_empty() {
        put(tokens, value_text);
        put(tokens, b"\r\n");
    }
}

/// A value that is a counter, without the spaces behind it.
fn counter_text(value: &[u8]) -> &[u8] {
    let text = value.trim_ascii_end();
    let spaces_only = value[text.len()..].iter().all(|&byte| byte == b' ');
    let is_counter = !text.is_empty() && text.len() <= 20 && text.iter().all(u8::is_ascii_digit);
    if is_counter && spaces_only { text } else { value }
}

fn meta_flag(flag: &[u8], names: &mut CasNames, tokens: &mut Vec<Token>) {
    let signed = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    match flag {
        [b'c', cas @ ..] if number(cas).is_some() => {
            put(tokens, b"c");
            put_token(tokens, names.name(number(cas).expect("as above")));
        }
        [letter @ (b't' | b'l'), seconds @ ..] if signed(seconds).is_some_and(|seconds| seconds >= 0) => {
            put(tokens, &[*letter]);
            tokens.push(Token::Seconds(signed(seconds).expect("as above")));
        }
        flag => put(tokens, flag),
    }
}

fn debug_flag(flag: &[u8], names: &mut CasNames, tokens: &mut Vec<Token>) {
    let text = String::from_utf8_lossy(flag);
    let Some((name, value)) = text.split_once('=') else { return put(tokens, flag) };
    put(tokens, format!("{name}=").as_bytes());
    match (name, value.parse::<i64>()) {
        ("cas", Ok(cas)) => put_token(tokens, names.name(cas as u64)),
        ("exp" | "la", Ok(seconds)) if seconds != -1 => tokens.push(Token::Seconds(seconds)),
        ("cls" | "size", _) => tokens.push(Token::Any),
        _ => put(tokens, value.as_bytes()),
    }
}

fn packet_bytes(input: &[u8]) -> Option<usize> {
    let length = input.get(8..12)?.try_into().expect("four bytes");
    Some(HEADER_BYTES + u32::from_be_bytes(length) as usize)
}

fn packet_tokens(reply: &[u8], names: &mut CasNames, tokens: &mut Vec<Token>) {
    let cas = u64::from_be_bytes(reply[16..24].try_into().expect("eight bytes"));
    let before_value = usize::from(u16::from_be_bytes([reply[2], reply[3]])) + usize::from(reply[4]);
    let value_at = (HEADER_BYTES + before_value).min(reply.len());
    let value = counter_text(&reply[value_at..]);
    put(tokens, &reply[..8]);
    put(tokens, &((before_value + value.len()) as u32).to_be_bytes());
    put(tokens, &reply[12..16]);
    put_token(tokens, names.name(cas));
    put(tokens, &reply[HEADER_BYTES..value_at]);
    put(tokens, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server answers on a fresh connection, up to the separator that is put behind it.
    fn answer(dialect: Dialect, bytes: &[u8]) -> Answer {
        let (mut reader, mut names, mut answers) = (Reader::new(dialect), CasNames::default(), Vec::new());
        // Byte by byte, so that every reply is cut.
        for byte in bytes {
            reader.feed(&[*byte], &mut names, &mut answers);
        }
        assert!(answers.is_empty());
        reader.finish()
    }

    #[track_caller]
    fn check(dialect: Dialect, left: &[u8], right: &[u8], expected: bool) {
        assert_eq!(is_same(&answer(dialect, left), &answer(dialect, right)), expected);
    }

    #[test]
    fn cas_numbers_are_compared_by_the_order_in_which_they_come() {
        let text = |first, second| format!("VALUE a 0 1 {first}\r\nx\r\nHD c{second}\r\n").into_bytes();
        check(Dialect::Meta, &text(7, 9), &text(100, 500), true);
        check(Dialect::Meta, &text(7, 7), &text(100, 500), false);
        check(Dialect::Meta, &text(7, 7), &text(100, 100), true);
        check(Dialect::Meta, &text(7, 9), &text(100, 0), false);
        let packet = |cas: u64| [&b"\x81\x01\0\0\0\0\0\0\0\0\0\0abcd"[..], &cas.to_be_bytes()].concat();
        check(Dialect::Binary, &[packet(1), packet(2)].concat(), &[packet(8), packet(9)].concat(), true);
        check(Dialect::Binary, &[packet(1), packet(2)].concat(), &[packet(8), packet(8)].concat(), false);
        check(Dialect::Binary, &packet(0), &packet(8), false);
    }

    #[test]
    fn times_may_differ_by_two_seconds_and_not_by_three() {
        check(Dialect::Meta, b"HD t100\r\n", b"HD t98\r\n", true);
        check(Dialect::Meta, b"HD t100\r\n", b"HD t97\r\n", false);
        check(Dialect::Meta, b"HD t0\r\n", b"HD t-1\r\n", false);
        check(Dialect::Meta, b"HD l3\r\n", b"HD l6\r\n", false);
        check(Dialect::Meta, b"ME a exp=9 la=0 cas=5\r\n", b"ME a exp=10 la=1 cas=7\r\n", true);
    }

    #[test]
    fn spaces_are_left_out_behind_a_counter_alone() {
        check(Dialect::Text, b"VALUE a 0 1\r\n9\r\n", b"VALUE a 0 2\r\n9 \r\n", true);
        check(Dialect::Text, b"VALUE a 0 1\r\nx\r\n", b"VALUE a 0 2\r\nx \r\n", false);
        check(Dialect::Text, b"VALUE a 0 2\r\n 9\r\n", b"VALUE a 0 1\r\n9\r\n", false);
    }

    #[test]
    fn all_else_is_compared_byte_for_byte() {
        check(Dialect::Text, b"STORED\r\n", b"STORED\n", false);
        check(Dialect::Text, b"VALUE a 0 1\r\nx\r\n", b"VALUE a 1 1\r\nx\r\n", false);
        check(Dialect::Meta, b"HD k1\r\n", b"HD k1 \r\n", false);
        check(Dialect::Meta, b"HD Oc5\r\n", b"HD Oc6\r\n", false);
    }
}
