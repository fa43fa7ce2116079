//! A container checked against its live table: what every command on it needs to know.

mod check;
#[cfg(test)]
pub(crate) mod tests;

use larder_engine::Expiry;

pub use check::{Definition, make};

use crate::dialect::{Column, Dialect, Product};
use crate::model::{CasMode, Container, KeyMatch};
use crate::types::{self, Cell, Kind};

/// A column with its quoted name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// The column.
    pub column: Column,
    /// Its name as SQL.
    pub quoted: String,
}

/// Where the flags are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagsIn {
    /// Always these.
    Constant(u32),
    /// In this column of [`Plan::columns`].
    Column(usize),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The container.
    pub container: Container,
    /// The database it is in.
    pub product: Product,
    /// The table as SQL.
    pub table: String,
    /// The key columns.
    pub keys: Vec<Mapped>,
    /// The mapped columns besides, each once.
    pub columns: Vec<Mapped>,
    /// The value columns, in order of the fields, by their place in `columns`.
    pub values: Vec<usize>,
    /// The counter, likewise.
    pub counter: Option<usize>,
    /// The flags.
    pub flags: FlagsIn,
    /// The CAS.
    pub cas: Option<usize>,
    /// The expiry.
    pub expiry: Option<usize>,
    /// The stale mark and the token.
    pub marks: Option<usize>,
    /// Mapped columns that every INSERT must name.
    pub required: Vec<usize>,
    /// Whether no row can be added, because a column that needs a value is not mapped.
    pub update_only: bool,
    /// Whether one statement may add or change a row without touching any other row.
    pub upserts: bool,
}

impl Plan {
    /// What differs from other databases.
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.product.dialect()
    }

    /// Whether a key column folds and the row found must be compared byte by byte.
    pub fn compares_bytes(&self, mapped: &Mapped) -> bool {
        mapped.column.folds && self.container.options.key_match == KeyMatch::Bytes
    }

    /// Whether several texts may name one row, so that rows and requests cannot be matched by their bytes.
    pub fn has_aliases(&self) -> bool {
        let folds = |mapped: &Mapped| mapped.column.folds && !self.compares_bytes(mapped);
        self.keys.iter().any(|mapped| folds(mapped) || !mapped.column.kind.is_canonical())
    }

    /// Whether it has a text and a number of which one or the other is the value.
    pub fn is_dual(&self) -> bool {
        match (&self.values[..], self.counter) {
            ([value], Some(counter)) => {
                *value != counter && self.columns[*value].column.kind.counter_max().is_none()
            }
            _ => false,
        }
    }

    /// Whether the value is the counter and nothing else.
    pub fn is_pure_counter(&self) -> bool {
        matches!((&self.values[..], self.counter), ([value], Some(counter)) if *value == counter)
    }

    /// Whether the CAS is in a column, or computed from the content.
    pub fn cas_mode(&self) -> CasMode {
        match (self.container.options.cas_mode, self.cas) {
            (CasMode::Column, None) => CasMode::Hash,
            (mode, _) => mode,
        }
    }

    /// `SELECT … FROM table`: key columns, then the mapped ones.
    pub fn select_head(&self) -> String {
        format!("SELECT {} FROM {}", self.read_list(), self.table)
    }

    /// Key columns, then the mapped ones, as they are read.
    pub fn read_list(&self) -> String {
        let dialect = self.dialect();
        let all = self.keys.iter().chain(&self.columns);
        all.map(|mapped| dialect.read(&mapped.quoted, &mapped.column)).collect::<Vec<_>>().join(", ")
    }

    /// Whether the expiry is kept as a number of seconds.
    pub fn expiry_is_number(&self) -> bool {
        self.expiry.is_some_and(|at| matches!(self.columns[at].column.kind, Kind::Integer { .. }))
    }

    /// A second of Unix time as the expiry column keeps it, no later than it can.
    pub fn moment(&self, second: u32) -> Cell {
        let at = self.expiry.expect("asked only where there is an expiry column");
        match &self.columns[at].column.kind {
            Kind::Integer { max, .. } => Cell::Integer(i128::from(second).min(*max)),
            kind => types::moment_of(kind, second),
        }
    }

    /// An expiry as its column keeps it.
    pub fn expiry_cell(&self, expiry: Expiry) -> Cell {
        let at = self.expiry.expect("asked only where there is an expiry column");
        match expiry {
            Expiry::NEVER if self.columns[at].column.nullable => Cell::Null,
            Expiry::NEVER => Cell::Integer(0),
            expiry => self.moment(expiry.raw()),
        }
    }

    /// Bytes as the only key column keeps them.
    pub fn key_bytes(&self, bytes: &[u8]) -> Cell {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        match self.keys[0].column.kind {
            Kind::Binary { .. } => Cell::Blob(bytes),
            _ => Cell::Text(bytes),
        }
    }

    /// A plain number as a parameter.
    pub(crate) fn number(&self, number: i128) -> Cell {
        match self.product {
            Product::Postgres => Cell::text(number.to_string()),
            Product::MySql | Product::Sqlite => Cell::Integer(number),
        }
    }

    /// An expression of the counter as its column's type.
    pub(crate) fn counter_cast(&self, expression: &str) -> String {
        match (self.product, self.counter) {
            (Product::Postgres, Some(at)) => format!("({expression})::{}", self.columns[at].column.declared),
            _ => expression.into(),
        }
    }

    /// What the engine's CAS ids are as cells of the CAS column. A column with a sign keeps ids above its range as
    /// negative numbers.
    pub fn cas_cell(&self, cas: u64) -> Cell {
        let at = self.cas.expect("asked only where there is a CAS column");
        match self.columns[at].column.kind.holds_u64() {
            true => Cell::Integer(i128::from(cas)),
            false => Cell::Integer(i128::from(cas as i64)),
        }
    }
}
