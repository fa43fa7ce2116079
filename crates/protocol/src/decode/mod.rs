//! Bytes in, requests out: one request at a time from a contiguous buffer.

use crate::{KEY_BYTES_MAX, ProtocolError, Request};

mod admin;
pub(crate) mod binary;
mod credentials;
mod meta;
mod storage;
mod text;
pub(crate) mod tokens;

#[cfg(test)]
mod tests;

pub use credentials::{CREDENTIALS_BYTES_MAX, Credentials, decode_credentials};
pub(crate) use text::parse_keys;
pub(crate) use tokens::split_token;

/// Bounds of a [`Decoder`] that are a matter of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest value, in bytes; a longer one is thrown away and answered as too large.
    pub item_bytes_max: u32,
    /// The longest retrieval line, in bytes; a longer one closes the connection with an error.
    pub multiget_line_bytes_max: u32,
    /// Values longer than this, in bytes, that are not wholly in the input come as [`Decoded::Value`];
    /// shorter ones as [`Decoded::Incomplete`] until they are.
    pub value_bytes_inline_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { item_bytes_max: 1 << 20, multiget_line_bytes_max: 8 << 20, value_bytes_inline_max: 16 << 10 }
    }
}

/// Which protocol a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// Its first byte decides for good: `0x80` is binary, any other text.
    #[default]
    Auto,
    /// Classic text and meta.
    Text,
    /// Binary; a wrong magic byte closes the connection.
    Binary,
}

/// The protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Classic text and meta, freely mixed.
    Text,
    /// Binary.
    Binary,
}

/// Where a base64 key is decoded to; a request with such a key borrows from it. One for each request
/// that is held at the same time, so usually one for each worker.
#[derive(Clone, Debug)]
pub struct Scratch([u8; KEY_BYTES_MAX + 2]);

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch([0; KEY_BYTES_MAX + 2])
    }
}

/// What [`Decoder::decode`] made of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A request, wholly there. Its bytes are the first `consumed` of the input.
    Request {
        /// The request.
        request: Request<'a>,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// A storage request ([`Command::Store`](crate::Command) with an empty value) whose long value is not
    /// wholly there. The value begins at `input[consumed]`; the caller takes `value_bytes` bytes of the
    /// stream to their final place, then `trailer_bytes` more, which it gives to [`check_trailer`]: if
    /// that fails, it drops the value and answers the error. Then decoding goes on behind the trailer.
    Value {
        /// The request without its value.
        request: Request<'a>,
        /// How many bytes of the input stand before the value.
        consumed: usize,
        /// The value's length in bytes.
        value_bytes: usize,
        /// How many bytes follow the value: 2 in text, 0 in binary.
        trailer_bytes: usize,
    },
    /// The input ends inside a request. Call again with the same bytes and more behind them.
    Incomplete {
        /// How long the input must at least be to be worth another call, in bytes: always more than now.
        input_bytes_min: usize,
    },
    /// Bytes that belong to a refused request were thrown away; there may be more of them to come.
    Skipped {
        /// How many bytes of the input. Never 0.
        consumed: usize,
    },
    /// The connection must be closed, after the answers before it and this one, if any, are sent.
    Close {
        /// The error to send first, in the form that goes with it.
        reply: Option<(crate::Form<'a>, ProtocolError)>,
        /// Why.
        reason: CloseReason,
    },
}

/// Why the decoder wants the connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// A line is longer than it may be.
    LineTooLong,
    /// A browser speaks HTTP.
    Http,
    /// A packet does not begin with the magic byte.
    BadMagic,
    /// A packet's lengths contradict each other, do not fit the opcode, or are out of bounds.
    BadPacket,
}

/// Decodes the requests of one connection. Small, so that an idle connection costs little.
///
/// It holds no bytes: the caller keeps the input from call to call while it is incomplete. Where the
/// stream is cut makes no difference to the requests that come out.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    choice: Choice,
    /// Known from the first byte on.
    protocol: Option<Protocol>,
    /// How many bytes at the start of the input are known to hold no LF.
    scanned: usize,
    /// How many bytes of a refused request's data are still to be thrown away.
    swallow: u64,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: Limits, choice: Choice) -> Decoder {
        Decoder { limits, choice, protocol: None, scanned: 0, swallow: 0 }
    }

    /// The protocol the connection speaks; `None` before its first byte.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// Decodes the request at the start of `input`.
    ///
    /// The caller drops `consumed` bytes from the front of its input after each answer that says so. After
    /// `Incomplete` it must call with an input that begins with the same bytes. An empty input is
    /// `Incomplete`. After `Close` there is nothing more to decode.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8], scratch: &'a mut Scratch) -> Decoded<'a> {
        if self.swallow > 0 {
            return self.skip(input);
        }
        let Some(&first) = input.first() else {
            return Decoded::Incomplete { input_bytes_min: 1 };
        };
        let protocol = match self.protocol {
            Some(protocol) => protocol,
            None => self.choose(first),
        };
        match protocol {
            Protocol::Text => self.decode_text(input, scratch),
            Protocol::Binary => self.decode_binary(input),
        }
    }

    #[cold]
    fn choose(&mut self, first: u8) -> Protocol {
        let protocol = match self.choice {
            Choice::Binary => Protocol::Binary,
            Choice::Auto if first == binary::MAGIC_REQUEST => Protocol::Binary,
            Choice::Auto | Choice::Text => Protocol::Text,
        };
        self.protocol = Some(protocol);
        protocol
    }

    #[cold]
    fn skip<'a>(&mut self, input: &[u8]) -> Decoded<'a> {
        if input.is_empty() {
            return Decoded::Incomplete { input_bytes_min: 1 };
        }
        let consumed = self.swallow.min(input.len() as u64);
        self.swallow -= consumed;
        Decoded::Skipped { consumed: consumed as usize }
    }

    /// A refused request: its head is the first `head` bytes of the input, then come `data` bytes that are
    /// to be thrown away, now or as they arrive.
    fn refuse<'a>(&mut self, input: &[u8], request: Request<'a>, head: usize, data: u64) -> Decoded<'a> {
        let now = data.min((input.len() - head) as u64);
        self.swallow = data - now;
        Decoded::Request { request, consumed: head + now as usize }
    }

    /// Takes changed limits; they apply from the next request on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}

/// Judges what follows a value that the caller read itself: CRLF in text, nothing in binary.
#[inline]
pub fn check_trailer(trailer: &[u8]) -> Result<(), ProtocolError> {
    match trailer {
        b"" | b"\r\n" => Ok(()),
        _ => Err(ProtocolError::BadDataChunk),
    }
}
