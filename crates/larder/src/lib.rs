//! The parts of the `larder` program: its command line, its configuration, and running what they describe.

pub mod build;
pub mod cli;
mod closing;
pub mod config;
pub mod engine_check;
mod guard;
mod log;
mod metrics;
pub mod modules;
mod owners;
mod process;
pub mod run;
#[cfg(feature = "sql")]
pub mod sql;
pub mod stores;
#[cfg_attr(not(feature = "sql"), path = "no_tables.rs")]
mod tables;
