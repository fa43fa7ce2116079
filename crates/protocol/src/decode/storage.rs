//! Classic storage commands: a line, then data.

use crate::request::*;
use crate::{ExpTime, Form, KEY_BYTES_MAX, ProtocolError, TextForm};

use super::text::{invalid, text};
use super::tokens::{Arguments, parse_i64, parse_u64, split_token};
use super::{Decoded, Decoder};

/// The largest byte count a line may name.
const VALUE_BYTES_MAX: u64 = i32::MAX as u64 - 2;

/// The CRLF behind a data block, in bytes.
pub(super) const TRAILER_BYTES: usize = 2;

/// A byte count, if it can be read and is in bounds.
#[inline]
pub(super) fn parse_value_bytes(token: &[u8]) -> Option<usize> {
    parse_u64(token).filter(|&count| count <= VALUE_BYTES_MAX).map(|count| count as usize)
}

impl Decoder {
    /// `<name> <key> <flags> <exptime> <bytes> [<cas>] [noreply]`, `rest` being what follows the name, and
    /// the data that begins at `head`.
    #[inline]
    pub(super) fn storage<'a>(
        &mut self,
        input: &'a [u8],
        head: usize,
        mode: StoreMode,
        is_cas: bool,
        rest: &'a [u8],
    ) -> Decoded<'a> {
        match parse_line(mode, is_cas, rest) {
            Some((store, value_bytes, noreply)) => {
                let form = Form::Text(TextForm { noreply, with_cas: false });
                let removes_old = mode == StoreMode::Set && !is_cas;
                self.finish_store(input, head, store, form, value_bytes, removes_old)
            }
            None => self.refuse_line(input, head, rest),
        }
    }

    /// A correct storage request of text or meta, with its data as far as it is there.
    #[inline]
    pub(super) fn finish_store<'a>(
        &mut self,
        input: &'a [u8],
        head: usize,
        mut store: Store<'a>,
        form: Form<'a>,
        value_bytes: usize,
        removes_old: bool,
    ) -> Decoded<'a> {
        let data = value_bytes + TRAILER_BYTES;
        if value_bytes > self.limits.item_bytes_max as usize {
            let value_bytes = value_bytes as u64;
            let refused = TooLarge { key: store.key, mode: store.mode, removes_old, value_bytes };
            let request = Request { command: Command::TooLarge(refused), form };
            return self.refuse(input, request, head, data as u64);
        }
        let consumed = head + data;
        let Some(block) = input.get(head..consumed) else {
            if value_bytes > self.limits.value_bytes_inline_max as usize {
                let request = Request { command: Command::Store(store), form };
                return Decoded::Value { request, consumed: head, value_bytes, trailer_bytes: TRAILER_BYTES };
            }
            return Decoded::Incomplete { input_bytes_min: consumed };
        };
        let [value @ .., b'\r', b'\n'] = block else {
            let noreply = matches!(form, Form::Text(TextForm { noreply: true, .. }));
            return Decoded::Request { request: invalid(ProtocolError::BadDataChunk, noreply), consumed };
        };
        store.value = value;
        Decoded::Request { request: Request { command: Command::Store(store), form }, consumed }
    }

    /// A wrong storage line. If its byte count can be read, the data is thrown away with it.
    #[cold]
    fn refuse_line<'a>(&mut self, input: &'a [u8], head: usize, rest: &'a [u8]) -> Decoded<'a> {
        let arguments = Arguments::parse(rest, 1);
        let request = text(Command::Invalid(ProtocolError::BadCommandLine), arguments.noreply);
        let value_bytes = arguments.get(3).and_then(parse_value_bytes);
        let data = value_bytes.map_or(0, |count| (count + TRAILER_BYTES) as u64);
        self.refuse(input, request, head, data)
    }
}

/// The line's store without its value, the value's length, and whether there is `noreply`; `None` if
/// anything is wrong.
#[inline]
fn parse_line<'a>(mode: StoreMode, is_cas: bool, rest: &'a [u8]) -> Option<(Store<'a>, usize, bool)> {
    let (key, rest) = split_token(rest)?;
    let (flags, rest) = split_token(rest)?;
    let (exptime, rest) = split_token(rest)?;
    let (value_bytes, mut rest) = split_token(rest)?;
    if key.len() > KEY_BYTES_MAX {
        return None;
    }
    // Flags of more than 32 bits lose what is above.
    let flags = parse_u64(flags)? as u32;
    let exptime = ExpTime(parse_i64(exptime)?);
    let value_bytes = parse_value_bytes(value_bytes)?;
    let mut compare = None;
    if is_cas {
        let (cas, behind) = split_token(rest)?;
        compare = Some(parse_u64(cas)?);
        rest = behind;
    }
    let noreply = !rest.is_empty() && super::tokens::last_token(rest) == b"noreply";
    let store = Store {
        key,
        mode,
        flags,
        exptime,
        compare,
        new_cas: None,
        older_marks_stale: false,
        vivify: None,
        value: &[],
    };
    Some((store, value_bytes, noreply))
}
