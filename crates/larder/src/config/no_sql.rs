//! In place of tables in databases, where larder is built without them: what names one is refused.

use std::fmt;

use super::draft::{Placed, PlacedPrefix};
use super::plan::Layer;
use super::report::{Objection, Report, objection};

/// What is wrong and what to do.
pub const PROBLEM: &str = "this larder is built without SQL tables";
/// What to do about it.
pub const ADVICE: &str = "build it with `cargo build --release --features sql`";

/// There is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SqlTable {}

impl fmt::Display for SqlTable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// The layer of the engine `sql`.
pub fn layer(_container: Option<&str>) -> Result<Layer, Objection> {
    Err(objection(PROBLEM, ADVICE))
}

/// What a flush does to a table.
pub const FLUSH_WORDS: &[&str] = &["keep", "empty"];

/// Without a layer nothing is said about it.
pub fn set_cluster(_layer: &mut Layer, _name: &str) -> Result<(), Objection> {
    Err(objection(PROBLEM, ADVICE))
}

/// Without a layer nothing is said about it.
pub fn set_flush(_layer: &mut Layer, _word: &str) -> Result<(), Objection> {
    Err(objection(PROBLEM, ADVICE))
}

/// There is none.
#[derive(Debug)]
pub enum SqlDraft {}

impl SqlDraft {
    /// Never called.
    pub fn check(
        &mut self,
        _role: Option<&Placed<String>>,
        _written: &mut Vec<PlacedPrefix>,
        _notes: &mut Vec<String>,
        _report: &mut Report,
    ) {
        match *self {}
    }
}

/// No stack has a table.
pub fn settle(_prefixes: &mut [PlacedPrefix], _tables: Option<&SqlDraft>, _report: &mut Report) {}

/// A role is one of those that describe tables.
pub fn refuse_role(role: &Placed<String>, report: &mut Report) {
    report.push(role.place, PROBLEM, ADVICE);
}
