//! A durable store of larder with one file a key, readable with ordinary tools.
//!
//! An item is a file: its value, then a line of text with all that is known of it. A new value is written to a file of
//! its own, synced, and given the name in one step; then the folder is synced, and only then the command is
//! acknowledged or anybody shown the change. One thread decides and names; others write, sync and read.
//!
//! # Map
//!
//! | module | subject |
//! |---|---|
//! | [`FileEngine`] | what callers see |
//! | `running` | threads, from start to stop |
//! | `names`, `item`, `state`, `layout` | the format of the folder |
//! | `opening` | what a folder is, and the making of one |
//! | `writer`, `hands` | deciding; writing and syncing side by side |
//! | `in_flight` | changes that are named but not durable, which nobody may see |
//! | `reader`, `scan` | look-ups, and walks through all items |
//! | `purge` | what removes dead items |
//! | [`check()`] | looking at a store from outside |

mod check;
mod counters;
mod engine;
mod error;
mod hands;
mod in_flight;
mod item;
mod layout;
mod names;
mod opening;
mod options;
mod purge;
mod reader;
mod running;
mod scan;
mod shared;
mod state;
mod stats;
mod writer;

pub use check::{CheckReport, check, is_store};
pub use engine::FileEngine;
pub use error::OpenError;
pub use options::FileOptions;
#[cfg(feature = "planted-bugs")]
pub use options::Planted;
