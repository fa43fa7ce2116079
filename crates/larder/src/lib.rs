//! The parts of the `larder` program: its command line and its configuration.

pub mod cli;
pub mod config;
