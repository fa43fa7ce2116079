//! Everything in which the databases differ, one small file for each.
//!
//! Above this, statements are built once for all of them: see [`crate::statement`].

mod mysql;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use crate::types::{Cell, Kind};

/// The product family a cluster speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    /// MySQL and MariaDB, and what speaks their protocol.
    MySql,
    /// PostgreSQL.
    Postgres,
    /// SQLite, in this process.
    Sqlite,
}

impl Product {
    /// Its dialect.
    pub fn dialect(self) -> &'static dyn Dialect {
        match self {
            Product::MySql => &mysql::MySql,
            Product::Postgres => &postgres::Postgres,
            Product::Sqlite => &sqlite::Sqlite,
        }
    }
}

/// A column as the database describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its type as the database writes it, for casts and messages.
    pub declared: String,
    /// Whether NULL may stand in it.
    pub nullable: bool,
    /// Whether an INSERT may leave it out: it has a default, counts by itself, or may be NULL.
    pub has_default: bool,
    /// Whether it counts by itself.
    pub counts_itself: bool,
    /// Whether the database computes it.
    pub generated: bool,
    /// Whether its comparison takes different texts for the same.
    pub folds: bool,
}

/// A unique index, or the primary key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unique {
    /// Its name.
    pub name: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// What an error of the database means for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A row with such a unique value is there.
    Duplicate,
    /// Another rule of the table forbids it.
    Constraint,
    /// A value is too long or out of range.
    TooLarge,
    /// A value cannot be converted.
    BadValue,
    /// The database user may not, or the server only reads.
    Denied,
    /// A deadlock or a failed serialization: nothing happened, and a repetition may succeed.
    Conflict,
    /// A row lock was not had in time: nothing happened.
    LockWait,
    /// Too busy, or a statement took too long: nothing happened.
    Busy,
    /// The connection is gone, or there was none.
    Lost,
    /// The table is not as it was, or not there.
    SchemaChanged,
    /// None of these.
    Other,
}

/// What differs.
pub trait Dialect: Send + Sync {
    /// A name in quotes.
    fn quote(&self, name: &str) -> String;

    /// What stands for parameter `number` (from 1) of a value for `column`.
    fn placeholder(&self, number: usize, column: &Column) -> String;

    /// What stands for parameter `number` (from 1) of a plain 64-bit number.
    fn number_placeholder(&self, number: usize) -> String;

    /// How a column is read; `name` is quoted.
    fn read(&self, name: &str, column: &Column) -> String;

    /// A cell as the driver is to bind it for `column`.
    fn bind(&self, column: &Column, cell: Cell) -> Cell;

    /// A condition that holds only where the bytes are the same; `name` and `placeholder` are SQL.
    fn same_bytes(&self, name: &str, placeholder: &str) -> String;

    /// Begins a transaction that writes.
    fn begin(&self) -> &'static str;

    /// What makes a SELECT lock its rows.
    fn for_update(&self) -> &'static str;

    /// Whether an UPDATE can answer with what it wrote.
    fn returning(&self) -> bool;

    /// Text of the upsert between the inserted values and the assignments, or `None` where an upsert cannot name the
    /// key it is about.
    fn on_conflict(&self, key_columns: &[String]) -> Option<String>;

    /// The query for the columns of a table. Its rows go to [`Dialect::column`].
    fn columns_query(&self) -> &'static str;

    /// A row of [`Dialect::columns_query`].
    fn column(&self, row: &[Cell]) -> Option<Column>;

    /// The query for unique indexes: name, whether primary, column, whether the column's comparison folds; in order.
    fn unique_query(&self) -> &'static str;

    /// What an error code means: a number or an SQLSTATE.
    fn classify(&self, code: &str) -> Class;

    /// Statements a new connection begins with.
    fn session(&self, lock_wait_ms: u64, statement_timeout_ms: u64) -> Vec<String>;

    /// The expression of a counter raised by `delta`, and the condition under which it may be; see
    /// [`crate::statement`].
    fn raised(&self, counter: &str, delta: &str, wraps: bool) -> String;

    /// The expression of a counter lowered by `delta`, not below 0.
    fn lowered(&self, counter: &str, delta: &str) -> String;
}

/// A cell of a catalogue as text; NULL is empty.
pub(crate) fn word(row: &[Cell], at: usize) -> String {
    match row.get(at) {
        Some(Cell::Integer(number)) => number.to_string(),
        Some(Cell::Text(text) | Cell::Blob(text)) => String::from_utf8_lossy(text).into_owned(),
        Some(Cell::Null) | None => String::new(),
    }
}

fn number(row: &[Cell], at: usize) -> Option<u64> {
    word(row, at).parse().ok()
}

fn flag(row: &[Cell], at: usize) -> bool {
    matches!(word(row, at).as_str(), "1" | "t" | "true" | "YES" | "yes")
}

/// The numbers in the brackets of a declared type, as in `decimal(10,3)`.
fn arguments(declared: &str) -> Vec<u64> {
    let Some((_, rest)) = declared.split_once('(') else { return Vec::new() };
    let Some((inside, _)) = rest.split_once(')') else { return Vec::new() };
    inside.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}
