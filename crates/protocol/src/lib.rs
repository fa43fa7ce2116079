//! The memcached protocols (classic text, meta, binary) as sans-IO codecs.
//!
//! Bytes in, requests out; replies in, bytes out. Nothing here reads a socket, a clock or a store.
//! The rules are written down in `docs/reference/protocol.md`.
//!
//! A server gives what it has read to [`Decoder::decode`] until that says [`Decoded::Incomplete`], executes
//! each [`Request`], and spells what came of it with [`encode`] in the request's own [`Form`]. The same
//! [`Command`] comes out of all three protocols, so there is one set of commands to execute.
//!
//! [`client`] is the other side: requests in, bytes out; bytes in, replies out.

pub mod client;
mod decode;
mod encode;
mod error;
mod exptime;
mod form;
mod owned;
mod request;
mod response;
mod skim;
mod udp;

pub use decode::{
    CREDENTIALS_BYTES_MAX, Choice, CloseReason, Credentials, Decoded, Decoder, Limits, Protocol, Scratch,
    check_trailer, decode_credentials,
};
pub use encode::log::{
    DumpedItem, FetchStatus, LogCloseReason, LogEvent, LogHead, LogPeer, StoreStatus, encode_dump_end,
    encode_dumped_item, encode_log_line, encode_skipped_line,
};
pub use encode::{encode, encode_after_value, encode_too_many_connections};
pub use error::{Failure, FailureKind, ProtocolError};
pub use exptime::{ExpTime, Expiry};
pub use form::{BinaryForm, FlagSet, Form, MetaCommand, MetaForm, Opcode, TextForm};
pub use owned::{OwnedForm, OwnedRequest};
pub use request::{
    Admin, Arithmetic, ClockChange, Command, CrawlerCommand, Delete, Direction, Dump, Get, Keys, KeysIter,
    Lookup, LruCommand, Request, Sasl, ShutdownMode, SlabsCommand, Store, StoreMode, TooLarge, Touch,
    WatchStreams,
};
pub use response::{Debug, Hit, Number, Raw, Response, Stored, Ttl, Value};
pub use skim::{Skimmed, skim};

/// The longest key, in bytes, in every protocol; for a base64 key it bounds the decoded key.
pub const KEY_BYTES_MAX: usize = 250;

/// The longest command line without its line end, in bytes. Only `get`, `gets`, `gat` and `gats` may be
/// longer, up to [`Limits::multiget_line_bytes_max`].
pub const LINE_BYTES_MAX: usize = 2048;
pub use udp::{
    DATAGRAM_BYTES_MAX, FRAME_HEAD_BYTES, FRAMED_ANSWER_BYTES_MAX, FramedRequest, decode_frame, encode_frames,
};
