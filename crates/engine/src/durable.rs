//! What durable stores have in common: how commands wait for a writer, how a batch of them is decided, what flushes
//! make dead, and smaller parts.
//!
//! A store of this kind has one thread that writes. It takes the commands that have arrived ([`Write`]s of a
//! [`crate::batch::BatchQueue`]), lets a [`Decider`] work out what they change, makes that durable in its own way, shows
//! it to readers and gives the answers; meanwhile the next batch collects.

mod counters;
mod crc;
mod decide;
mod flushes;
mod health;
mod kept;
mod progress;
mod write;

pub use counters::Counter;
pub use crc::crc32;
pub use decide::{Decided, Decider, Ids, Newest, Plan};
pub use flushes::{Board, Flush, Flushes, Waiting};
pub use health::Health;
pub use kept::{Kept, KeyBytes, Latest, is_alive};
pub use progress::{OnProgress, Progress};
pub use write::{Answer, AnswerTo, Command, StoreCommand, Write};
