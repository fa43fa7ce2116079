//! The durable local store of larder: one SQLite file a store.
//!
//! A command is acknowledged once its transaction is synced to the disk. One thread writes, in natural batches; the
//! outcome of a batch is written to a journal in the same file, its newest states are kept in memory, and it is folded
//! into the table of items in the background, in key order. Readers look in memory first, then in the table.
//!
//! # Map
//!
//! | module | subject |
//! |---|---|
//! | [`SqliteEngine`] | what callers see |
//! | `running` | threads, from start to stop |
//! | `writer` | deciding, committing, folding |
//! | `reader`, `scan` | point reads in batches; scans |
//! | `overlay` | what is journalled but not folded |
//! | `journal`, `record`, `schema`, `header` | the format of the file |
//! | `purge` | what removes dead rows |
//! | `checkpoint` | the write-ahead log's way into the file |
//! | `wal` | whether a log that is needed is there and whole |
//! | [`check()`], [`backup()`] | looking at a store from outside |

mod backup;
mod check;
mod checkpoint;
mod counters;
mod database;
mod engine;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod header;
mod journal;
mod kept;
mod options;
mod overlay;
#[cfg(feature = "power-cut")]
pub mod power_cut;
mod purge;
mod reader;
mod record;
mod running;
mod scan;
mod schema;
mod shared;
mod stats;
mod wal;
mod writer;

pub use backup::{BackupReport, backup};
pub use check::{CheckReport, check, stores_in};
pub use engine::SqliteEngine;
pub use error::OpenError;
pub use larder_engine::durable::{OnProgress, Progress};
#[cfg(feature = "planted-bugs")]
pub use options::Planted;
pub use options::SqliteOptions;
