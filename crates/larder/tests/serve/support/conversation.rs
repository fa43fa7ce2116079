//! Reads conversations: `tests/conversations/*.txt` here, and the protocol's own tables of exchanges.
//!
//! ```text
//! # a comment
//! == the name of a conversation: an empty server and a new connection
//! ==larder one that only larder answers so; memcached is not asked
//! > set a 0 0 1\r\n        bytes to send; several lines are one request after the other
//! > x\r\n
//! < STORED\r\n             bytes that come back for all sent since the last answer
//! <close                   the server closes the connection
//! ```
//!
//! In the bytes, `\r \n \0 \\ \s` (space) and `\xNN` are escapes, `{250*k}` repeats a byte, and in answers `{n}`
//! stands for any decimal number. `{name:n}` stands for one too, and keeps it: from then on `{name}` is that number, in
//! answers and in requests. Spaces at a line's end do not count; the marker is followed by one space.
//! `>p OPCODE name=…` sends a binary packet, `<p OPCODE name=…` expects one: opcode in hex, and of key,
//! extras (hex), value, cas (decimal; `*` any), opaque (hex), status (hex), and, to send nonsense, magic, keylen,
//! bodylen what is not 0 or empty or right.

use std::collections::HashMap;
use std::path::Path;

/// A part of a request or an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// A decimal number, at least one digit, kept under a name.
    Number(Option<String>),
    /// The number kept under this name.
    Kept(String),
    /// This many bytes of any kind.
    Any(usize),
}

/// What is sent and what comes back for it.
#[derive(Default)]
pub struct Step {
    pub sent: Vec<Piece>,
    pub expected: Vec<Piece>,
}

pub struct Conversation {
    /// File and name, for messages.
    pub name: String,
    pub steps: Vec<Step>,
    pub closes: bool,
    /// memcached 1.6.18 answers otherwise.
    pub is_larders_own: bool,
}

/// Numbers kept so far.
pub type Kept = HashMap<String, Vec<u8>>;

impl Conversation {
    /// Whether a request needs a number of an earlier answer.
    pub fn is_stepwise(&self) -> bool {
        self.steps.iter().any(|step| step.sent.iter().any(|piece| matches!(piece, Piece::Kept(_))))
    }

    /// All requests of a conversation that is not stepwise, without anything between.
    pub fn sent_at_once(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|step| request(&step.sent, &Kept::new())).collect()
    }

    pub fn expected_at_once(&self) -> Vec<Piece> {
        self.steps.iter().flat_map(|step| step.expected.iter().cloned()).collect()
    }
}

/// The bytes of a request.
pub fn request(pieces: &[Piece], kept: &Kept) -> Vec<u8> {
    let bytes = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => bytes.clone(),
        Piece::Kept(name) => kept.get(name).unwrap_or_else(|| panic!("nothing is kept as {name}")).clone(),
        Piece::Number(_) | Piece::Any(_) => panic!("only bytes can be sent"),
    };
    pieces.iter().flat_map(bytes).collect()
}

/// How an answer compares with what is expected.
#[derive(Debug, PartialEq)]
pub enum Match {
    /// So many bytes are the whole answer.
    Whole(usize),
    /// Right so far, but there must be more.
    Partial,
    Differs,
}

/// Compares the start of what was received, and keeps the numbers that have a name.
pub fn compare(expected: &[Piece], received: &[u8], kept: &mut Kept) -> Match {
    let mut at = 0;
    for piece in expected {
        let rest = &received[at..];
        let wanted = match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Kept(name) => kept[name].clone(),
            Piece::Any(count) if rest.len() < *count => return Match::Partial,
            Piece::Any(count) => rest[..*count].to_vec(),
            Piece::Number(name) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                match digits {
                    _ if digits == rest.len() => return Match::Partial,
                    0 => return Match::Differs,
                    _ => {}
                }
                if let Some(name) = name {
                    kept.insert(name.clone(), rest[..digits].to_vec());
                }
                rest[..digits].to_vec()
            }
        };
        let common = wanted.len().min(rest.len());
        if wanted[..common] != rest[..common] {
            return Match::Differs;
        }
        if common < wanted.len() {
            return Match::Partial;
        }
        at += common;
    }
    Match::Whole(at)
}

/// What is expected, as text.
pub fn describe(expected: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => super::client::shortened(bytes),
        Piece::Number(_) => "{n}".to_owned(),
        Piece::Kept(name) => format!("{{{name}}}"),
        Piece::Any(count) => format!("{{any {count}}}"),
    };
    expected.iter().map(text).collect()
}

/// All conversations of the files in a folder.
pub fn load(folder: &Path) -> Vec<Conversation> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let mut conversations = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        parse(&file, &text, &mut conversations);
    }
    conversations
}

fn parse(file: &str, text: &str, conversations: &mut Vec<Conversation>) {
    let mut is_answered = true;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("{file}:{}", index + 1);
        let (marker, rest) = line.split_once(' ').unwrap_or((line, ""));
        if marker.starts_with("==") {
            conversations.push(Conversation {
                name: format!("{at}: {rest}"),
                steps: Vec::new(),
                closes: false,
                is_larders_own: match marker {
                    "==" => false,
                    "==larder" => true,
                    _ => panic!("{at}: {marker} is no known marker"),
                },
            });
            is_answered = true;
            continue;
        }
        let conversation = conversations.last_mut().unwrap_or_else(|| panic!("{at}: no `==` before"));
        let pieces = match marker {
            ">" | "<" => bytes(rest),
            ">p" => packet(0x80, rest),
            "<p" => packet(0x81, rest),
            "<close" => {
                conversation.closes = true;
                continue;
            }
            _ => panic!("{at}: {marker} is no known marker"),
        };
        if marker.starts_with('>') {
            if is_answered {
                conversation.steps.push(Step::default());
                is_answered = false;
            }
            conversation.steps.last_mut().expect("just made").sent.extend(pieces);
        } else {
            is_answered = true;
            let step = conversation.steps.last_mut().unwrap_or_else(|| panic!("{at}: nothing was sent"));
            step.expected.extend(pieces);
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
                if let Some((count, text)) = inside.split_once('*') {
                    current.extend(text.as_bytes().repeat(count.parse().unwrap()));
                    continue;
                }
                pieces.push(Piece::Bytes(std::mem::take(&mut current)));
                pieces.push(match inside.strip_suffix(":n") {
                    Some(name) => Piece::Number(Some(name.to_owned())),
                    None if inside == "n" => Piece::Number(None),
                    None => Piece::Kept(inside.to_owned()),
                });
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
