//! The kill campaign: a real server under load is killed at random moments, started again on the same data, and
//! audited.
//!
//! Clients of all three protocols ([`client`]) record every request with the moments before it was sent and after its
//! answer was read ([`operation`]). The audit ([`checker`]) searches, key by key, for an order of the operations that
//! explains all answers, by rules of its own ([`model`]), and so knows what may be true of the key after the kill: what
//! was acknowledged is there, what was under way may be. After the restart it looks. [`explain`] turns a contradiction
//! into words, [`campaign`] runs the rounds, [`server`] starts and ends the process.

pub mod campaign;
pub mod checker;
pub mod client;
pub mod explain;
pub mod identities;
pub mod model;
pub mod operation;
pub mod plan;
pub mod random;
pub mod server;
pub mod value;
mod wire;

#[cfg(test)]
mod tests;
