//! The built server, over real sockets: conversations, clients, bad input, crashes, operation.
//!
//! Every test starts servers of its own on free ports and in temporary folders, so they run beside each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod authentication;
mod bad_input;
mod clients;
mod command_line;
mod conversations;
mod crowds;
mod datagrams;
mod disk_full;
mod dumps;
mod durability;
mod encryption;
mod main_job;
mod malicious;
mod module_campaign;
mod modules;
mod operating;
mod ordering;
mod refusals;
mod reload;
mod resting;
mod statistics;
mod suites;
#[cfg(feature = "sql")]
mod tables;
mod time;
mod warming;
mod watchers;
