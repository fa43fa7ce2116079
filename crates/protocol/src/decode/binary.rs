//! Binary packets: a header of 24 bytes, then extras, key and value.

use crate::request::*;
use crate::{BinaryForm, ExpTime, Form, KEY_BYTES_MAX, Opcode, ProtocolError};

use super::{CREDENTIALS_BYTES_MAX, CloseReason, Decoded, Decoder};

/// The first byte of a request.
pub(crate) const MAGIC_REQUEST: u8 = 0x80;

/// The header's length in bytes.
pub(crate) const HEADER_BYTES: usize = 24;

/// The largest body a packet may announce, in bytes.
const BODY_BYTES_MAX: u32 = 1 << 30;

/// The expiry in an incr or decr that says: do not create a missing item.
pub(crate) const EXPTIME_NO_VIVIFY: u32 = u32::MAX;

/// What a request's header says.
#[derive(Clone, Copy)]
struct Header {
    opcode: u8,
    key_bytes: usize,
    extras_bytes: usize,
    body_bytes: u32,
    opaque: u32,
    cas: u64,
}

/// What may follow the header of an opcode's packet.
struct Shape {
    /// The length of the extras.
    extras_bytes: usize,
    /// Whether there may also be no extras.
    extras_optional: bool,
    key: KeyShape,
    value: ValueShape,
}

#[derive(PartialEq)]
enum KeyShape {
    Required,
    Optional,
    None,
}

#[derive(PartialEq)]
enum ValueShape {
    /// Stored; bounded by the item size.
    Item,
    /// Kept for a moment.
    Credentials,
    None,
}

impl Header {
    #[inline]
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Header {
        let [_, opcode, key_high, key_low, extras, _, _, _, rest @ ..] = *bytes;
        let [b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = rest;
        Header {
            opcode,
            key_bytes: usize::from(u16::from_be_bytes([key_high, key_low])),
            extras_bytes: usize::from(extras),
            body_bytes: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
            cas: u64::from_be_bytes(cas),
        }
    }

    /// The CAS to compare with: 0 is none.
    #[inline]
    fn compare(&self) -> Option<u64> {
        (self.cas != 0).then_some(self.cas)
    }

    #[inline]
    fn form<'a>(&self) -> Form<'a> {
        Form::Binary(BinaryForm { opcode: self.opcode, opaque: self.opaque })
    }
}

/// The shape of an opcode's packets; `None` for an unknown one.
#[inline]
fn shape(opcode: u8) -> Option<Shape> {
    use Opcode::*;
    let (extras_bytes, key, value) = match opcode {
        GET | GET_QUIET | GET_KEY | GET_KEY_QUIET => (0, KeyShape::Required, ValueShape::None),
        SET | SET_QUIET | ADD | ADD_QUIET | REPLACE | REPLACE_QUIET => {
            (8, KeyShape::Required, ValueShape::Item)
        }
        DELETE | DELETE_QUIET => (0, KeyShape::Required, ValueShape::None),
        INCREMENT | INCREMENT_QUIET | DECREMENT | DECREMENT_QUIET => {
            (20, KeyShape::Required, ValueShape::None)
        }
        APPEND | APPEND_QUIET | PREPEND | PREPEND_QUIET => (0, KeyShape::Required, ValueShape::Item),
        TOUCH | GET_TOUCH | GET_TOUCH_QUIET | GET_TOUCH_KEY | GET_TOUCH_KEY_QUIET => {
            (4, KeyShape::Required, ValueShape::None)
        }
        FLUSH | FLUSH_QUIET => (4, KeyShape::None, ValueShape::None),
        QUIT | QUIT_QUIET | NOOP | VERSION | SASL_LIST => (0, KeyShape::None, ValueShape::None),
        STAT => (0, KeyShape::Optional, ValueShape::None),
        SASL_AUTH | SASL_STEP => (0, KeyShape::Required, ValueShape::Credentials),
        _ => return None,
    };
    let extras_optional = matches!(opcode, FLUSH | FLUSH_QUIET);
    Some(Shape { extras_bytes, extras_optional, key, value })
}

impl Shape {
    #[inline]
    fn fits(&self, header: &Header, value_bytes: usize) -> bool {
        let extras =
            header.extras_bytes == self.extras_bytes || (self.extras_optional && header.extras_bytes == 0);
        let key = match self.key {
            KeyShape::Required => (1..=KEY_BYTES_MAX).contains(&header.key_bytes),
            KeyShape::Optional => header.key_bytes <= KEY_BYTES_MAX,
            KeyShape::None => header.key_bytes == 0,
        };
        let value = match self.value {
            ValueShape::Item => true,
            ValueShape::Credentials => value_bytes <= CREDENTIALS_BYTES_MAX,
            ValueShape::None => value_bytes == 0,
        };
        extras && key && value
    }
}

impl Decoder {
    /// Decodes a packet.
    #[inline]
    pub(super) fn decode_binary<'a>(&mut self, input: &'a [u8]) -> Decoded<'a> {
        if input.first().is_some_and(|&magic| magic != MAGIC_REQUEST) {
            return Decoded::Close { reply: None, reason: CloseReason::BadMagic };
        }
        let Some((bytes, body)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return Decoded::Incomplete { input_bytes_min: HEADER_BYTES };
        };
        let header = Header::parse(bytes);
        let body_bytes = header.body_bytes as usize;
        let before_value = header.extras_bytes + header.key_bytes;
        if before_value > body_bytes {
            return close(&header, ProtocolError::UnknownCommand);
        }
        if header.body_bytes > BODY_BYTES_MAX {
            return close(&header, ProtocolError::InvalidArguments);
        }
        let value_bytes = body_bytes - before_value;
        let Some(shape) = shape(header.opcode) else {
            return self.foreign_packet(input, &header, body_bytes);
        };
        if !shape.fits(&header, value_bytes) {
            return close(&header, ProtocolError::InvalidArguments);
        }
        let consumed = HEADER_BYTES + body_bytes;
        let Some(body) = body.get(..body_bytes) else {
            return self.partial_packet(input, &header, before_value, value_bytes);
        };
        let (extras, rest) = body.split_at(header.extras_bytes);
        let (key, value) = rest.split_at(header.key_bytes);
        if shape.value == ValueShape::Item && value_bytes > self.limits.item_bytes_max as usize {
            let request = too_large(&header, key, value_bytes);
            return Decoded::Request { request, consumed };
        }
        let command = command(&header, extras, key, value);
        Decoded::Request { request: Request { command, form: header.form() }, consumed }
    }

    /// A packet of an unknown opcode: whole, for whoever knows it, or skipped where it is too large for that.
    fn foreign_packet<'a>(&mut self, input: &'a [u8], header: &Header, body_bytes: usize) -> Decoded<'a> {
        let form = header.form();
        let is_short = body_bytes <= self.limits.value_bytes_inline_max as usize;
        if !is_short || header.key_bytes > KEY_BYTES_MAX {
            let command = Command::Invalid(ProtocolError::UnknownCommand);
            return self.refuse(input, Request { command, form }, HEADER_BYTES, u64::from(header.body_bytes));
        }
        let consumed = HEADER_BYTES + body_bytes;
        let Some(packet) = input.get(..consumed) else {
            return Decoded::Incomplete { input_bytes_min: consumed };
        };
        let key = &packet[HEADER_BYTES + header.extras_bytes..][..header.key_bytes];
        Decoded::Request { request: Request { command: Command::Raw { key, packet }, form }, consumed }
    }

    /// A packet that is not wholly there.
    fn partial_packet<'a>(
        &mut self,
        input: &'a [u8],
        header: &Header,
        before_value: usize,
        value_bytes: usize,
    ) -> Decoded<'a> {
        let head = HEADER_BYTES + before_value;
        let is_item = shape(header.opcode).is_some_and(|shape| shape.value == ValueShape::Item);
        let is_too_large = is_item && value_bytes > self.limits.item_bytes_max as usize;
        let is_long = is_item && value_bytes > self.limits.value_bytes_inline_max as usize;
        if !is_too_large && !is_long {
            return Decoded::Incomplete { input_bytes_min: head + value_bytes };
        }
        let Some(body) = input.get(HEADER_BYTES..head) else {
            return Decoded::Incomplete { input_bytes_min: head };
        };
        let (extras, key) = body.split_at(header.extras_bytes);
        if is_too_large {
            let request = too_large(header, key, value_bytes);
            return self.refuse(input, request, head, value_bytes as u64);
        }
        let request = Request { command: command(header, extras, key, &[]), form: header.form() };
        Decoded::Value { request, consumed: head, value_bytes, trailer_bytes: 0 }
    }
}

#[cold]
fn close<'a>(header: &Header, error: ProtocolError) -> Decoded<'a> {
    Decoded::Close { reply: Some((header.form(), error)), reason: CloseReason::BadPacket }
}

#[cold]
fn too_large<'a>(header: &Header, key: &'a [u8], value_bytes: usize) -> Request<'a> {
    let mode = store_mode(header.opcode);
    let removes_old = mode == StoreMode::Set;
    let refused = TooLarge { key, mode, removes_old, value_bytes: value_bytes as u64 };
    Request { command: Command::TooLarge(refused), form: header.form() }
}

#[inline]
fn store_mode(opcode: u8) -> StoreMode {
    match opcode {
        Opcode::ADD | Opcode::ADD_QUIET => StoreMode::Add,
        Opcode::REPLACE | Opcode::REPLACE_QUIET => StoreMode::Replace,
        Opcode::APPEND | Opcode::APPEND_QUIET => StoreMode::Append,
        Opcode::PREPEND | Opcode::PREPEND_QUIET => StoreMode::Prepend,
        _ => StoreMode::Set,
    }
}

/// Four bytes of the extras. The shape has been checked, so they are there; absent extras are zeros.
#[inline]
fn extra_u32(extras: &[u8], offset: usize) -> u32 {
    extras.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Eight bytes of the extras, likewise.
#[inline]
fn extra_u64(extras: &[u8], offset: usize) -> u64 {
    extras.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The command of a packet whose shape has been checked.
#[inline]
fn command<'a>(header: &Header, extras: &'a [u8], key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    use Opcode::*;
    let exptime = |offset| ExpTime(i64::from(extra_u32(extras, offset)));
    match header.opcode {
        GET | GET_QUIET | GET_KEY | GET_KEY_QUIET => lookup(key, None, true),
        GET_TOUCH | GET_TOUCH_QUIET | GET_TOUCH_KEY | GET_TOUCH_KEY_QUIET => {
            lookup(key, Some(exptime(0)), true)
        }
        TOUCH => lookup(key, Some(exptime(0)), false),
        SET | SET_QUIET | ADD | ADD_QUIET | REPLACE | REPLACE_QUIET => {
            store(header, key, extra_u32(extras, 0), exptime(4), value)
        }
        APPEND | APPEND_QUIET | PREPEND | PREPEND_QUIET => store(header, key, 0, ExpTime::NEVER, value),
        DELETE | DELETE_QUIET => Command::Delete(Delete {
            key,
            compare: header.compare(),
            new_cas: None,
            mark_stale: false,
            drop_value: false,
            flags: 0,
            touch: None,
        }),
        INCREMENT | INCREMENT_QUIET => arithmetic(header, extras, key, Direction::Increment),
        DECREMENT | DECREMENT_QUIET => arithmetic(header, extras, key, Direction::Decrement),
        QUIT | QUIT_QUIET => Command::Quit,
        FLUSH | FLUSH_QUIET => Command::Flush { delay: exptime(0) },
        NOOP => Command::Noop,
        VERSION => Command::Version,
        STAT => Command::Stats { argument: key },
        SASL_LIST => Command::Sasl(Sasl::List),
        SASL_AUTH => Command::Sasl(Sasl::Auth { mechanism: key, data: value }),
        SASL_STEP => Command::Sasl(Sasl::Step { mechanism: key, data: value }),
        _ => Command::Invalid(ProtocolError::UnknownCommand),
    }
}

#[inline]
fn lookup<'a>(key: &'a [u8], touch: Option<ExpTime>, value: bool) -> Command<'a> {
    Command::Lookup(Lookup {
        key,
        touch,
        vivify: None,
        recache_seconds: None,
        new_cas: None,
        unless_cas: None,
        bump: true,
        value,
    })
}

#[inline]
fn store<'a>(header: &Header, key: &'a [u8], flags: u32, exptime: ExpTime, value: &'a [u8]) -> Command<'a> {
    let compare = header.compare();
    // A CAS in the header makes a cas of an add, too.
    let mode = match store_mode(header.opcode) {
        StoreMode::Add if compare.is_some() => StoreMode::Set,
        mode => mode,
    };
    Command::Store(Store {
        key,
        mode,
        flags,
        exptime,
        compare,
        new_cas: None,
        older_marks_stale: false,
        vivify: None,
        value,
    })
}

#[inline]
fn arithmetic<'a>(header: &Header, extras: &[u8], key: &'a [u8], direction: Direction) -> Command<'a> {
    let exptime = extra_u32(extras, 16);
    let vivify = (exptime != EXPTIME_NO_VIVIFY).then(|| (extra_u64(extras, 8), ExpTime(i64::from(exptime))));
    Command::Arithmetic(Arithmetic {
        key,
        direction,
        delta: extra_u64(extras, 0),
        vivify,
        compare: header.compare(),
        new_cas: None,
        touch: None,
    })
}
