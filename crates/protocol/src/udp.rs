//! Frames of UDP: eight bytes before every datagram.
//!
//! Request id, sequence number, number of datagrams, and 0, two bytes each, big-endian. A request is one datagram. Its
//! answer repeats the id and is cut into as many as it takes, numbered from 0.

/// Length of a frame's head in bytes.
pub const FRAME_HEAD_BYTES: usize = 8;

/// Largest datagram of an answer in bytes, its head included.
pub const DATAGRAM_BYTES_MAX: usize = 1400;

/// Bytes of an answer in one datagram.
const PIECE_BYTES: usize = DATAGRAM_BYTES_MAX - FRAME_HEAD_BYTES;

/// Longest answer in bytes: its datagrams are counted in 16 bits.
pub const FRAMED_ANSWER_BYTES_MAX: usize = PIECE_BYTES * u16::MAX as usize;

/// A request as its datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramedRequest<'a> {
    /// Chosen by the client, repeated in the answer.
    pub id: u16,
    /// Whether the request is whole; otherwise it goes on in other datagrams, which nobody puts together.
    pub is_whole: bool,
    /// What follows the head.
    pub bytes: &'a [u8],
}

/// Reads a datagram; `None` if it is too short to have a head.
pub fn decode_frame(datagram: &[u8]) -> Option<FramedRequest<'_>> {
    let (head, bytes) = datagram.split_at_checked(FRAME_HEAD_BYTES)?;
    let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    Some(FramedRequest { id: number(0), is_whole: number(4) == 1, bytes })
}

/// Cuts an answer into datagrams. An empty one makes none.
///
/// # Panics
/// If the answer is longer than [`FRAMED_ANSWER_BYTES_MAX`].
pub fn encode_frames(id: u16, answer: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    assert!(answer.len() <= FRAMED_ANSWER_BYTES_MAX, "{} bytes do not fit in frames", answer.len());
    let count = answer.len().div_ceil(PIECE_BYTES) as u16;
    answer.chunks(PIECE_BYTES).zip(0u16..).map(move |(piece, sequence)| {
        let mut datagram = Vec::with_capacity(FRAME_HEAD_BYTES + piece.len());
        for number in [id, sequence, count, 0] {
            datagram.extend_from_slice(&number.to_be_bytes());
        }
        datagram.extend_from_slice(piece);
        datagram
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_datagram() {
        let read = |datagram| decode_frame(datagram);
        assert_eq!(
            read(b"\x12\x34\0\0\0\x01\0\0version\r\n"),
            Some(FramedRequest { id: 0x1234, is_whole: true, bytes: b"version\r\n" })
        );
        for parts in [b"\0\x01\0\0\0\0\0\0", b"\0\x01\0\0\0\x02\0\0", b"\0\x01\0\0\x01\x01\0\0"] {
            assert_eq!(read(parts), Some(FramedRequest { id: 1, is_whole: false, bytes: b"" }));
        }
        for length in 0..FRAME_HEAD_BYTES {
            assert_eq!(read(&[0; FRAME_HEAD_BYTES][..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn an_answer_is_cut_and_numbered() {
        assert_eq!(encode_frames(7, b"").count(), 0);
        assert_eq!(encode_frames(0xabcd, b"END\r\n").collect::<Vec<_>>(), [b"\xab\xcd\0\0\0\x01\0\0END\r\n"]);
        for length in [1, PIECE_BYTES, PIECE_BYTES + 1, 300 * PIECE_BYTES, FRAMED_ANSWER_BYTES_MAX] {
            let answer: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            let datagrams: Vec<_> = encode_frames(9, &answer).collect();
            let mut joined = Vec::new();
            for (sequence, datagram) in datagrams.iter().enumerate() {
                assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
                assert_eq!(datagram[..2], [0, 9]);
                assert_eq!(datagram[2..4], (sequence as u16).to_be_bytes());
                assert_eq!(datagram[4..6], (datagrams.len() as u16).to_be_bytes());
                assert_eq!(datagram[6..8], [0, 0]);
                joined.extend_from_slice(&datagram[FRAME_HEAD_BYTES..]);
            }
            assert!(joined == answer, "{length} bytes");
        }
    }
}
