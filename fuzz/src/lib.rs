//! What every fuzz target of the protocols checks: nothing panics, what is accepted and kept obeys the limits, the
//! cutting of the stream makes no difference, and an accepted request says the same when it is said again.

use larder_protocol::client::encode_request;
use larder_protocol::{
    CREDENTIALS_BYTES_MAX, Choice, Command, Decoded, Decoder, KEY_BYTES_MAX, LINE_BYTES_MAX, Limits, Request,
    Response, Scratch, Store, encode,
};

/// Small, so that short inputs reach them.
pub const LIMITS: Limits =
    Limits { item_bytes_max: 200, multiget_line_bytes_max: 3000, value_bytes_inline_max: 50 };

/// No request that is cut off makes a server keep more, in bytes.
const KEPT_BYTES_MAX: usize = CREDENTIALS_BYTES_MAX + LINE_BYTES_MAX;

/// Decodes the stream whole and in two pieces, and compares.
pub fn check_stream(choice: Choice, stream: &[u8], cut: usize) {
    let cut = cut % (stream.len() + 1);
    let whole = decode_all(choice, &[stream]);
    let pieces = decode_all(choice, &[&stream[..cut], &stream[cut..]]);
    assert_eq!(whole, pieces, "cut at {cut}");
}

/// All that comes out of the stream, in words.
fn decode_all(choice: Choice, pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(LIMITS, choice);
    let mut scratch = Scratch::default();
    let mut input = Vec::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let consumed = match decoder.decode(&input, &mut scratch) {
                Decoded::Request { request, consumed } => {
                    check_request(choice, &request);
                    events.push(format!("{request:?}"));
                    consumed
                }
                Decoded::Skipped { consumed } => consumed,
                // A server would read the value by itself; here the whole request is awaited.
                Decoded::Value { request, consumed, value_bytes, trailer_bytes } => {
                    check_request(choice, &request);
                    assert!(value_bytes > LIMITS.value_bytes_inline_max as usize);
                    assert!(consumed + value_bytes + trailer_bytes > input.len());
                    break;
                }
                Decoded::Incomplete { input_bytes_min } => {
                    assert!(input.len() < input_bytes_min && input_bytes_min <= KEPT_BYTES_MAX);
                    break;
                }
                Decoded::Close { reply, reason } => {
                    events.push(format!("close {reply:?} {reason:?}"));
                    return events;
                }
            };
            assert!(0 < consumed && consumed <= input.len());
            input.drain(..consumed);
        }
    }
    events
}

fn check_request(choice: Choice, request: &Request<'_>) {
    check_limits(&request.command);
    let owned = request.to_owned();
    assert_eq!(owned.borrow(), *request);
    let mut out = Vec::new();
    for response in [Response::NotFound, Response::Miss { key: b"k" }, Response::Deleted, Response::End] {
        encode(&request.form, &response, &mut out);
    }
    check_said_again(choice, request);
}

fn check_limits(command: &Command<'_>) {
    let check_key = |key: &[u8]| assert!((1..=KEY_BYTES_MAX).contains(&key.len()));
    match command {
        Command::Get(get) => get.keys.into_iter().for_each(check_key),
        Command::Lookup(lookup) => check_key(lookup.key),
        Command::Store(store) => {
            check_key(store.key);
            assert!(store.value.len() <= LIMITS.item_bytes_max as usize);
        }
        Command::TooLarge(refused) => {
            check_key(refused.key);
            assert!(refused.value_bytes > u64::from(LIMITS.item_bytes_max));
        }
        Command::Delete(delete) => check_key(delete.key),
        Command::Arithmetic(change) => check_key(change.key),
        Command::Touch(touch) => check_key(touch.key),
        Command::MetaDebug { key } => check_key(key),
        _ => {}
    }
}

/// A request that the client's side can say is read as the same request.
fn check_said_again(choice: Choice, request: &Request<'_>) {
    let mut bytes = Vec::new();
    if encode_request(request, &mut bytes).is_err() {
        return;
    }
    // The header of a long value was decoded without it.
    if let Command::Store(Store { value: b"", .. }) = request.command {
        return;
    }
    let mut scratch = Scratch::default();
    match Decoder::new(LIMITS, choice).decode(&bytes, &mut scratch) {
        Decoded::Request { request: again, consumed } => {
            assert_eq!(consumed, bytes.len());
            assert_eq!(again, *request);
        }
        // A line may have become longer by a zero or a sign less; no longer than a line may be.
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}
