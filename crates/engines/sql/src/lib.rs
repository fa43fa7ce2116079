//! Items as rows of tables in an SQL database that others use too.
//!
//! A *container* maps a table: which columns make the key, which the value, and which keep flags, CAS, expiry and a counter.
//! The rows are the truth: nothing is kept here, a write is acknowledged once it is committed, and whatever other clients
//! of the database do is seen at once.
//!
//! # Map
//!
//! | module | subject |
//! |---|---|
//! | [`model`] | containers, prefixes, policies, clusters, roles as data; what is wrong with them |
//! | [`plan`] | a container checked against its live table |
//! | [`types`] | what text a column holds |
//! | [`dialect`] | what differs between the databases |
//! | [`stored`] | a mapping kept in tables, also in those of the NDB engine and the InnoDB plugin |
//! | [`statement`] | the statements, as text and parameters |
//! | [`driver`] | connections |
//! | `row` | between an item and the cells of its row |
//! | `lane` | threads with a connection each; batches, transactions, failures |
//! | [`Cluster`], [`SqlEngine`] | what callers see |

mod check;
mod cluster;
mod command;
mod counters;
mod describe;
pub mod dialect;
pub mod driver;
mod engine;
mod explain;
mod failure;
mod lane;
pub mod model;
pub mod plan;
mod row;
pub mod statement;
pub mod stored;
mod table;
pub mod types;

pub use check::{Checked, Served, check};
pub use cluster::{Cluster, ContainerSettings, OpenError};
pub use describe::definition;
pub use engine::SqlEngine;
pub use explain::{Explained, explain};
