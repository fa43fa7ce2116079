//! The built server, over real sockets: conversations, clients, bad input, crashes, operation.
//!
//! Every test starts servers of its own on free ports and in temporary folders, so they run beside each other.

mod support;

mod clients;
mod conversations;
mod statistics;
mod time;
