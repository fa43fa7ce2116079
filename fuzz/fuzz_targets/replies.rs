//! What a server answers, as clients read it: the cutting makes no difference, and nothing is consumed that is not
//! there.

#![no_main]

use larder_protocol::Protocol;
use larder_protocol::client::{DecodedReply, ReplyDecoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[selector, cut], stream)) = data.split_first_chunk() else { return };
    let protocol = if selector % 2 == 0 { Protocol::Text } else { Protocol::Binary };
    let cut = usize::from(cut) % (stream.len() + 1);
    let whole = decode_all(protocol, &[stream]);
    let pieces = decode_all(protocol, &[&stream[..cut], &stream[cut..]]);
    assert_eq!(whole, pieces, "cut at {cut}");
});

/// All replies of the stream, in words.
fn decode_all(protocol: Protocol, pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = ReplyDecoder::new(protocol);
    let mut input = Vec::new();
    let mut replies = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let consumed = match decoder.decode(&input) {
                DecodedReply::Reply { reply, consumed } => {
                    replies.push(format!("{reply:?}"));
                    consumed
                }
                DecodedReply::Incomplete { input_bytes_min } => {
                    assert!(input_bytes_min > input.len());
                    break;
                }
                DecodedReply::Broken(why) => {
                    replies.push(why.to_owned());
                    return replies;
                }
            };
            assert!(0 < consumed && consumed <= input.len());
            input.drain(..consumed);
        }
    }
    replies
}
