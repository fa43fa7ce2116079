//! The chassis of larder: listeners, workers, connections, the prefix router, statistics, reload.
//!
//! It knows protocols and the engine interface, and no engine by name. [`Server::start`] takes ready-made stacks in a
//! routing table; [`Shared::swap_setup`] puts another in force under traffic.
//!
//! The way of a request: a worker reads a buffer, decodes every request in it, routes each by longest prefix, and
//! hands it to its stack. Replies that are ready are encoded at once; pending ones wait in the connection's queue, so
//! that replies leave in the order of the requests.

pub mod accepted;
mod command;
mod connection;
pub mod counters;
mod detail;
mod door;
mod dump;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod listen;
pub mod options;
mod rest;
pub mod router;
mod sasl;
mod secret;
mod server;
mod shared;
mod stats;
mod tell;
pub mod tls;
mod udp;
mod users;
mod watch;
mod worker;

pub use accepted::Accepted;
pub use guard::{Authentication, Known};
pub use larder_protocol::Choice;
pub use options::{ListenAddress, Options, Tunables};
pub use router::{Routes, Stack};
pub use server::{Bound, Server, StartError, StopRequest};
pub use shared::{Phase, Setup, Shared};
pub use tls::{ClientCertificates, TlsOptions};
