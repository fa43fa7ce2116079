//! A small server without sockets: a decoder, a model of the items, the encoder.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod exchange;
pub mod model;

use larder_protocol::{
    Command, Decoded, Decoder, Form, Limits, OwnedRequest, ProtocolError, Request, Response, Scratch,
    check_trailer, encode,
};

use model::Model;

/// One connection to a [`Model`], fed with pieces of a stream.
pub struct Connection {
    pub model: Model,
    pub is_closed: bool,
    decoder: Decoder,
    scratch: Scratch,
    input: Vec<u8>,
    value: Option<PendingValue>,
    /// The decoder has no use for less input than this.
    input_bytes_min: usize,
}

struct PendingValue {
    request: OwnedRequest,
    value: Vec<u8>,
    value_bytes: usize,
    trailer_bytes: usize,
}

impl Connection {
    pub fn new(limits: Limits) -> Connection {
        Connection {
            model: Model::default(),
            is_closed: false,
            decoder: Decoder::new(limits, Default::default()),
            scratch: Scratch::default(),
            input: Vec::new(),
            value: None,
            input_bytes_min: 0,
        }
    }

    /// Takes a piece of the stream; appends the answers.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.input.extend_from_slice(piece);
        while !self.is_closed && self.step(out) {}
    }

    fn step(&mut self, out: &mut Vec<u8>) -> bool {
        if self.value.is_some() {
            return self.step_value(out);
        }
        if self.input.len() < self.input_bytes_min {
            return false;
        }
        self.input_bytes_min = 0;
        let consumed = match self.decoder.decode(&self.input, &mut self.scratch) {
            Decoded::Request { request, consumed } => {
                assert!(0 < consumed && consumed <= self.input.len());
                self.is_closed = self.model.execute(&request, out);
                consumed
            }
            Decoded::Skipped { consumed } => {
                assert!(0 < consumed && consumed <= self.input.len());
                consumed
            }
            Decoded::Value { request, consumed, value_bytes, trailer_bytes } => {
                let request = request.to_owned();
                self.value = Some(PendingValue { request, value: Vec::new(), value_bytes, trailer_bytes });
                consumed
            }
            Decoded::Incomplete { input_bytes_min } => {
                assert!(input_bytes_min > self.input.len(), "more input is asked for");
                self.input_bytes_min = input_bytes_min;
                return false;
            }
            Decoded::Close { reply, .. } => {
                if let Some((form, error)) = reply {
                    encode(&form, &Response::Error(error), out);
                }
                self.is_closed = true;
                0
            }
        };
        self.input.drain(..consumed);
        true
    }

    fn step_value(&mut self, out: &mut Vec<u8>) -> bool {
        let pending = self.value.as_mut().expect("there is a value under way");
        let missing = pending.value_bytes + pending.trailer_bytes - pending.value.len();
        let now = missing.min(self.input.len());
        pending.value.extend(self.input.drain(..now));
        if now < missing {
            return false;
        }
        let pending = self.value.take().expect("as above");
        let (value, trailer) = pending.value.split_at(pending.value_bytes);
        let mut request = pending.request.borrow();
        match (check_trailer(trailer), &mut request.command) {
            (Ok(()), Command::Store(store)) => store.value = value,
            (Err(error), command) => *command = Command::Invalid(error),
            (Ok(()), other) => panic!("a value of {other:?}"),
        }
        self.is_closed = self.model.execute(&request, out);
        true
    }
}

/// Decodes a whole stream that comes in the given pieces; what comes out, in words.
pub fn decode_all<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut decoder = Decoder::new(limits, Default::default());
    let mut scratch = Scratch::default();
    let mut input = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let decoded = decoder.decode(&input, &mut scratch);
            let consumed = match decoded {
                Decoded::Request { request, consumed } => {
                    check_limits(&request, &limits);
                    events.push(format!("{request:?}"));
                    assert!(0 < consumed && consumed <= input.len());
                    consumed
                }
                Decoded::Skipped { consumed } => {
                    assert!(0 < consumed && consumed <= input.len());
                    consumed
                }
                Decoded::Value { request, consumed, value_bytes, trailer_bytes } => {
                    let have = input.get(consumed..consumed + value_bytes + trailer_bytes);
                    assert!(value_bytes > limits.value_bytes_inline_max as usize);
                    assert!(have.is_none(), "a whole value comes with its request");
                    check_limits(&request, &limits);
                    // A caller would read the value by itself; here the whole request is awaited, and its
                    // value put in place.
                    let _ = (request, trailer_bytes);
                    break;
                }
                Decoded::Incomplete { input_bytes_min } => {
                    assert!(input_bytes_min > input.len());
                    break;
                }
                Decoded::Close { reply, reason } => {
                    events.push(format!("close {reply:?} {reason:?}"));
                    return events;
                }
            };
            input.drain(..consumed);
        }
    }
    events
}

/// What is accepted obeys the limits.
pub fn check_limits(request: &Request<'_>, limits: &Limits) {
    let check_key = |key: &[u8]| assert!((1..=larder_protocol::KEY_BYTES_MAX).contains(&key.len()));
    match request.command {
        Command::Get(get) => get.keys.into_iter().for_each(check_key),
        Command::Lookup(lookup) => check_key(lookup.key),
        Command::Store(store) => {
            check_key(store.key);
            assert!(store.value.len() <= limits.item_bytes_max as usize);
            assert!(store.compare.is_none() || store.mode != larder_protocol::StoreMode::Add);
        }
        Command::TooLarge(refused) => {
            check_key(refused.key);
            assert!(refused.value_bytes > u64::from(limits.item_bytes_max));
        }
        Command::Delete(delete) => check_key(delete.key),
        Command::Arithmetic(change) => check_key(change.key),
        Command::Touch(touch) => check_key(touch.key),
        Command::MetaDebug { key } => check_key(key),
        Command::Raw { key, packet } => {
            assert!(key.len() <= larder_protocol::KEY_BYTES_MAX);
            assert!(packet.len() <= 24 + limits.value_bytes_inline_max as usize);
        }
        Command::Invalid(error) => {
            assert!(error != ProtocolError::UnknownCommand || !matches!(request.form, Form::Meta(_)));
        }
        _ => {}
    }
    // An owned copy is the same request.
    assert_eq!(request.to_owned().borrow(), *request);
    assert_eq!(request.form.to_owned().as_form(), request.form);
}
