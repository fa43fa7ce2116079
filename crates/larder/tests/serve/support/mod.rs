//! What the tests share: servers under test, clients of them, conversations.

pub mod certificates;
pub mod client;
pub mod conversation;
pub mod outside;
pub mod process;
pub mod random;
pub mod stacks;
pub mod system;
pub mod wait;

pub use client::Client;
pub use process::{Launch, Server};
