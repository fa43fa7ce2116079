//! Bytes in, replies out.

use crate::Protocol;
use crate::decode::binary::HEADER_BYTES;
use crate::decode::tokens::{parse_u64, split_token};
use crate::encode::binary::MAGIC_RESPONSE;

/// The longest line a server may send, in bytes. Values stand outside of lines.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The longest value or body a server may send, in bytes.
const VALUE_BYTES_MAX: usize = 2 << 30;

/// One reply. A classic retrieval has one for each hit and one for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `VALUE`
    Value {
        /// The key.
        key: &'a [u8],
        /// The client's 32 bits.
        flags: u32,
        /// The CAS, if it was asked for.
        cas: Option<u64>,
        /// The value.
        value: &'a [u8],
    },
    /// `END`
    End,
    /// `STORED`
    Stored,
    /// `NOT_STORED`
    NotStored,
    /// `EXISTS`
    Exists,
    /// `NOT_FOUND`
    NotFound,
    /// `DELETED`
    Deleted,
    /// `TOUCHED`
    Touched,
    /// `OK`
    Ok,
    /// The new number of incr or decr.
    Number(u64),
    /// `STAT`
    Stat {
        /// The name.
        name: &'a [u8],
        /// The value, which may have spaces.
        value: &'a [u8],
    },
    /// `VERSION`
    Version(&'a [u8]),
    /// `ERROR`, `CLIENT_ERROR …`, `SERVER_ERROR …`: the whole line.
    Error(&'a [u8]),
    /// A meta answer.
    Meta(MetaReply<'a>),
    /// A binary packet.
    Binary(BinaryReply<'a>),
    /// Any other line.
    Line(&'a [u8]),
}

/// A meta answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaReply<'a> {
    /// `HD`, `VA`, `EN`, `NF`, `NS`, `EX`, `MN`, `ME`.
    pub code: [u8; 2],
    /// The flags, with spaces between.
    pub flags: &'a [u8],
    /// The value of `VA`.
    pub value: Option<&'a [u8]>,
}

impl<'a> MetaReply<'a> {
    /// The token of a flag, without its letter; empty for one that has none.
    pub fn flag(&self, letter: u8) -> Option<&'a [u8]> {
        let mut rest = self.flags;
        while let Some((token, behind)) = split_token(rest) {
            if token[0] == letter {
                return Some(&token[1..]);
            }
            rest = behind;
        }
        None
    }

    /// The number of a flag.
    pub fn number(&self, letter: u8) -> Option<u64> {
        self.flag(letter).and_then(parse_u64)
    }
}

/// A binary answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryReply<'a> {
    /// The opcode that was asked.
    pub opcode: u8,
    /// 0 is success.
    pub status: u16,
    /// What the client chose.
    pub opaque: u32,
    /// The item's CAS.
    pub cas: u64,
    /// The extras.
    pub extras: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// The value, or the words of an error.
    pub value: &'a [u8],
}

/// What [`ReplyDecoder::decode`] made of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedReply<'a> {
    /// A reply, wholly there.
    Reply {
        /// The reply.
        reply: Reply<'a>,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// The input ends inside a reply. Call again with the same bytes and more behind them.
    Incomplete {
        /// How long the input must at least be to be worth another call, in bytes.
        input_bytes_min: usize,
    },
    /// This is no reply of a memcached server: close the connection.
    Broken(&'static str),
}

/// Decodes the replies of one connection. It holds no bytes.
#[derive(Clone, Debug)]
pub struct ReplyDecoder {
    protocol: Protocol,
    /// How many bytes at the start of the input are known to hold no LF.
    scanned: usize,
}

impl ReplyDecoder {
    /// A decoder of replies in this protocol.
    pub fn new(protocol: Protocol) -> ReplyDecoder {
        ReplyDecoder { protocol, scanned: 0 }
    }

    /// Decodes the reply at the start of `input`. The caller drops `consumed` bytes after each reply; after
    /// `Incomplete` it calls with an input that begins with the same bytes.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> DecodedReply<'a> {
        match self.protocol {
            Protocol::Text => self.decode_text(input),
            Protocol::Binary => decode_binary(input),
        }
    }

    fn decode_text<'a>(&mut self, input: &'a [u8]) -> DecodedReply<'a> {
        let scanned = self.scanned.min(input.len());
        let Some(found) = memchr::memchr(b'\n', &input[scanned..]) else {
            if input.len() > LINE_BYTES_MAX {
                return DecodedReply::Broken("the line is too long");
            }
            self.scanned = input.len();
            return DecodedReply::Incomplete { input_bytes_min: input.len() + 1 };
        };
        let end = scanned + found;
        // The value behind a line may be long in coming.
        self.scanned = end;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let decoded = match line {
            [b'V', b'A', b' ', rest @ ..] => meta_value(rest, input, end + 1),
            [b'V', b'A', b'L', b'U', b'E', b' ', rest @ ..] => classic_value(rest, input, end + 1),
            line => DecodedReply::Reply { reply: short_line(line), consumed: end + 1 },
        };
        if matches!(decoded, DecodedReply::Reply { .. }) {
            self.scanned = 0;
        }
        decoded
    }
}

/// A reply that is one line.
fn short_line(line: &[u8]) -> Reply<'_> {
    match line {
        b"END" => Reply::End,
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::NotStored,
        b"EXISTS" => Reply::Exists,
        b"NOT_FOUND" => Reply::NotFound,
        b"DELETED" => Reply::Deleted,
        b"TOUCHED" => Reply::Touched,
        b"OK" => Reply::Ok,
        [b'H', b'D', rest @ ..]
        | [b'E', b'N' | b'X', rest @ ..]
        | [b'N', b'F' | b'S', rest @ ..]
        | [b'M', b'N' | b'E', rest @ ..]
            if rest.first().is_none_or(|&byte| byte == b' ') =>
        {
            Reply::Meta(MetaReply { code: [line[0], line[1]], flags: rest.trim_ascii_start(), value: None })
        }
        line if line.starts_with(b"STAT ") => {
            let (name, value) = split_token(&line[5..]).unwrap_or_default();
            Reply::Stat { name, value: value.strip_prefix(b" ").unwrap_or(value) }
        }
        line if line.starts_with(b"VERSION ") => Reply::Version(&line[8..]),
        line if [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"]
            .iter()
            .any(|word| line.starts_with(word)) =>
        {
            Reply::Error(line)
        }
        [b'0'..=b'9', ..] => parse_u64(line.trim_ascii_end()).map_or(Reply::Line(line), Reply::Number),
        line => Reply::Line(line),
    }
}

/// The value that begins at `start`, and where the next reply begins.
fn value_at(
    length: &[u8],
    input: &[u8],
    start: usize,
) -> Result<(std::ops::Range<usize>, usize), DecodedReply<'static>> {
    let length = parse_u64(length).and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|&length| length <= VALUE_BYTES_MAX) else {
        return Err(DecodedReply::Broken("the value's length is no number"));
    };
    let end = start + length;
    match input.get(end..end + 2) {
        None => Err(DecodedReply::Incomplete { input_bytes_min: end + 2 }),
        Some(b"\r\n") => Ok((start..end, end + 2)),
        Some(_) => Err(DecodedReply::Broken("the value does not end with CRLF")),
    }
}

/// `VA <bytes> <flags>` and the value.
fn meta_value<'a>(rest: &'a [u8], input: &'a [u8], start: usize) -> DecodedReply<'a> {
    let Some((length, flags)) = split_token(rest) else {
        return DecodedReply::Broken("the value has no length");
    };
    match value_at(length, input, start) {
        Ok((value, consumed)) => {
            let flags = flags.trim_ascii_start();
            let reply = Reply::Meta(MetaReply { code: *b"VA", flags, value: Some(&input[value]) });
            DecodedReply::Reply { reply, consumed }
        }
        Err(decoded) => decoded,
    }
}

/// `VALUE <key> <flags> <bytes>[ <cas>]` and the value.
fn classic_value<'a>(rest: &'a [u8], input: &'a [u8], start: usize) -> DecodedReply<'a> {
    let parts = || {
        let (key, rest) = split_token(rest)?;
        let (flags, rest) = split_token(rest)?;
        let (length, rest) = split_token(rest)?;
        let cas = match split_token(rest) {
            Some((cas, _)) => Some(parse_u64(cas)?),
            None => None,
        };
        let flags = u32::try_from(parse_u64(flags)?).ok()?;
        Some((key, flags, length, cas))
    };
    let Some((key, flags, length, cas)) = parts() else {
        return DecodedReply::Broken("the VALUE line is malformed");
    };
    match value_at(length, input, start) {
        Ok((value, consumed)) => {
            DecodedReply::Reply { reply: Reply::Value { key, flags, cas, value: &input[value] }, consumed }
        }
        Err(decoded) => decoded,
    }
}

fn decode_binary(input: &[u8]) -> DecodedReply<'_> {
    if input.first().is_some_and(|&magic| magic != MAGIC_RESPONSE) {
        return DecodedReply::Broken("the packet does not begin with the magic byte of an answer");
    }
    let Some((header, body)) = input.split_first_chunk::<HEADER_BYTES>() else {
        return DecodedReply::Incomplete { input_bytes_min: HEADER_BYTES };
    };
    let [_, opcode, k0, k1, extras_bytes, _, s0, s1, b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = *header;
    let body_bytes = u32::from_be_bytes([b0, b1, b2, b3]) as usize;
    let (extras_bytes, key_bytes) = (usize::from(extras_bytes), usize::from(u16::from_be_bytes([k0, k1])));
    if extras_bytes + key_bytes > body_bytes || body_bytes > VALUE_BYTES_MAX {
        return DecodedReply::Broken("the packet's lengths contradict each other");
    }
    let Some(body) = body.get(..body_bytes) else {
        return DecodedReply::Incomplete { input_bytes_min: HEADER_BYTES + body_bytes };
    };
    let (extras, rest) = body.split_at(extras_bytes);
    let (key, value) = rest.split_at(key_bytes);
    let reply = Reply::Binary(BinaryReply {
        opcode,
        status: u16::from_be_bytes([s0, s1]),
        opaque: u32::from_be_bytes([o0, o1, o2, o3]),
        cas: u64::from_be_bytes(cas),
        extras,
        key,
        value,
    });
    DecodedReply::Reply { reply, consumed: HEADER_BYTES + body_bytes }
}
