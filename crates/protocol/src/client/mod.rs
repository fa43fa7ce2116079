//! The client's side: requests in, bytes out; bytes in, replies out.
//!
//! [`encode_request`] spells a [`Request`](crate::Request) exactly as its form says. [`Dialect::encode`] spells a
//! [`Command`](crate::Command) in a protocol of the caller's choice, for programs that do the same thing in
//! all three. [`ReplyDecoder`] reads the answers.

mod dialect;
mod reply;
mod request;

#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use reply::{BinaryReply, DecodedReply, MetaReply, Reply, ReplyDecoder};
pub use request::{NotInForm, encode_request};
