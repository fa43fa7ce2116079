//! Reads the tables of exchanges: `tests/exchanges/*.txt`.
//!
//! ```text
//! # a comment
//! == the name of an exchange: a fresh server and a fresh connection
//!                          (`==larder` if memcached, in some version, answers otherwise)
//! > set a 0 0 1\r\n        bytes to send; several lines are one request after the other
//! > x\r\n
//! < STORED\r\n             bytes that come back for all sent since the last answer
//! <close                   the server closes the connection
//! ```
//!
//! In the bytes, `\r \n \0 \\ \s` (space) and `\xNN` are escapes, `{250*k}` repeats a byte, and in answers `{n}`
//! stands for any decimal number. Spaces at a line's end do not count; the marker is followed by one space.
//! `>p OPCODE name=…` sends a binary packet, `<p OPCODE name=…` expects one: opcode in hex, and of key,
//! extras (hex), value, cas (decimal; `*` any), opaque (hex), status (hex), and, to send nonsense, magic, keylen,
//! bodylen what is not 0 or empty or right.

use std::path::PathBuf;

/// What is sent and what comes back for it.
pub struct Step {
    pub sent: Vec<u8>,
    pub expected: Vec<Piece>,
}

/// A part of an expected answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// A decimal number, at least one digit.
    Number,
    /// This many bytes of any kind.
    Any(usize),
}

pub struct Exchange {
    /// File and name, for messages.
    pub name: String,
    pub steps: Vec<Step>,
    pub closes: bool,
    /// memcached answers otherwise, in some version at least.
    pub is_larders_own: bool,
}

/// All exchanges of all tables.
pub fn load() -> Vec<Exchange> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut exchanges = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        parse(&file, &text, &mut exchanges);
    }
    assert!(exchanges.len() > 100, "the tables are there");
    exchanges
}

fn parse(file: &str, text: &str, exchanges: &mut Vec<Exchange>) {
    let mut is_answered = true;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("==") {
            let (mark, name) = title.split_once(' ').unwrap_or((title, ""));
            exchanges.push(Exchange {
                name: format!("{file}: {name}"),
                steps: Vec::new(),
                closes: false,
                is_larders_own: mark == "larder",
            });
            is_answered = true;
            continue;
        }
        let exchange = exchanges.last_mut().unwrap_or_else(|| panic!("{file}:{number}: no `==` before"));
        let (marker, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pieces = match marker {
            ">" | "<" => bytes(rest),
            ">p" => packet(0x80, rest),
            "<p" => packet(0x81, rest),
            "<close" => {
                exchange.closes = true;
                continue;
            }
            _ => panic!("{file}:{}: {line:?} begins with no known marker", number + 1),
        };
        if marker.starts_with('>') {
            if is_answered {
                exchange.steps.push(Step { sent: Vec::new(), expected: Vec::new() });
                is_answered = false;
            }
            let step = exchange.steps.last_mut().unwrap();
            for piece in pieces {
                let Piece::Bytes(bytes) = piece else {
                    panic!("{file}:{}: only bytes can be sent", number + 1)
                };
                step.sent.extend(bytes);
            }
        } else {
            is_answered = true;
            exchange.steps.last_mut().expect("something was sent").expected.extend(pieces);
        }
    }
}

fn bytes(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'\\' => {
                let (&letter, behind) = rest.split_first().expect("something is escaped");
                rest = behind;
                current.push(match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b'0' => 0,
                    b's' => b' ',
                    b'\\' => b'\\',
                    b'x' => {
                        let digits = std::str::from_utf8(&rest[..2]).unwrap();
                        rest = &rest[2..];
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    other => panic!("no escape: {}", char::from(other)),
                });
            }
            b'{' => {
                let end = rest.iter().position(|&byte| byte == b'}').expect("a closing brace");
                let inside = std::str::from_utf8(&rest[..end]).unwrap();
                rest = &rest[end + 1..];
                if inside == "n" {
                    pieces.push(Piece::Bytes(std::mem::take(&mut current)));
                    pieces.push(Piece::Number);
                } else {
                    let (count, text) = inside.split_once('*').unwrap();
                    current.extend(text.as_bytes().repeat(count.parse().unwrap()));
                }
            }
            byte => current.push(byte),
        }
    }
    pieces.push(Piece::Bytes(current));
    pieces
}

fn packet(magic: u8, text: &str) -> Vec<Piece> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let opcode = u8::from_str_radix(words.next().expect("an opcode"), 16).unwrap();
    let (mut key, mut extras, mut value) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cas, mut opaque, mut status, mut magic) = (Some(0u64), 0x0102_0304u32, 0u16, magic);
    let (mut key_bytes, mut body_bytes) = (None, None);
    for word in words {
        let (name, text) = word.split_once('=').unwrap_or_else(|| panic!("{word} is no name=value"));
        match name {
            "key" => key = flat(text),
            "value" => value = flat(text),
            "extras" => {
                let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'.').collect();
                extras = digits
                    .chunks(2)
                    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                    .collect();
            }
            "cas" => cas = if text == "*" { None } else { Some(text.parse().unwrap()) },
            "opaque" => opaque = u32::from_str_radix(text, 16).unwrap(),
            "status" => status = u16::from_str_radix(text, 16).unwrap(),
            "magic" => magic = u8::from_str_radix(text, 16).unwrap(),
            "keylen" => key_bytes = Some(text.parse().unwrap()),
            "bodylen" => body_bytes = Some(text.parse().unwrap()),
            _ => panic!("no part of a packet: {name}"),
        }
    }
    let body = [extras.as_slice(), &key, &value].concat();
    let mut head = vec![magic, opcode];
    head.extend(key_bytes.unwrap_or(key.len() as u16).to_be_bytes());
    head.extend([extras.len() as u8, 0]);
    head.extend(status.to_be_bytes());
    head.extend(body_bytes.unwrap_or(body.len() as u32).to_be_bytes());
    head.extend(opaque.to_be_bytes());
    let cas = cas.map_or(Piece::Any(8), |cas| Piece::Bytes(cas.to_be_bytes().to_vec()));
    vec![Piece::Bytes(head), cas, Piece::Bytes(body)]
}

fn flat(text: &str) -> Vec<u8> {
    match bytes(text).as_slice() {
        [Piece::Bytes(bytes)] => bytes.clone(),
        _ => panic!("only bytes stand here"),
    }
}

/// Compares; panics with both sides where they differ.
pub fn assert_answer(name: &str, how: &str, expected: &[Piece], answer: &[u8]) {
    let mut rest = answer;
    for piece in expected {
        let length = match piece {
            Piece::Bytes(bytes) if rest.starts_with(bytes) => bytes.len(),
            Piece::Number => match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
                0 => usize::MAX,
                digits => digits,
            },
            Piece::Any(count) => *count,
            Piece::Bytes(_) => usize::MAX,
        };
        rest = rest.get(length..).unwrap_or_else(|| mismatch(name, how, expected, answer));
    }
    if !rest.is_empty() {
        mismatch(name, how, expected, answer)
    }
}

fn mismatch(name: &str, how: &str, expected: &[Piece], answer: &[u8]) -> ! {
    let expected: String = expected
        .iter()
        .map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.escape_ascii().to_string(),
            Piece::Number => "{n}".to_owned(),
            Piece::Any(count) => format!("{{any {count}}}"),
        })
        .collect();
    panic!("{name} ({how})\n expected {expected}\n answered {}", answer.escape_ascii())
}
