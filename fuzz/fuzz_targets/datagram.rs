//! Datagrams: the frame, then what it holds as a stream that ends; and an answer cut into frames and joined again.

#![no_main]

use larder_fuzz::check_stream;
use larder_protocol::{Choice, DATAGRAM_BYTES_MAX, FRAME_HEAD_BYTES, decode_frame, encode_frames};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(request) = decode_frame(data) else {
        assert!(data.len() < FRAME_HEAD_BYTES);
        return;
    };
    assert_eq!(request.bytes.len() + FRAME_HEAD_BYTES, data.len());
    check_stream(Choice::Auto, request.bytes, usize::from(request.id));

    let is_one = request.bytes.len() <= DATAGRAM_BYTES_MAX - FRAME_HEAD_BYTES;
    let mut joined = Vec::new();
    for datagram in encode_frames(request.id, request.bytes) {
        assert!(FRAME_HEAD_BYTES < datagram.len() && datagram.len() <= DATAGRAM_BYTES_MAX);
        let piece = decode_frame(&datagram).expect("a frame has a head");
        assert_eq!((piece.id, piece.is_whole), (request.id, is_one));
        joined.extend_from_slice(piece.bytes);
    }
    assert_eq!(joined, request.bytes);
});
