//! SQLite. Types are what a column declares, by SQLite's own rules of affinity; ranges and lengths are enforced here.

use super::{Class, Column, Dialect, arguments, flag, word};
use crate::types::{Cell, Kind};

pub(super) struct Sqlite;

const TIMESTAMP_RANGE: (i64, i64) = (0, 253_402_300_799);

impl Dialect for Sqlite {
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn placeholder(&self, number: usize, _column: &Column) -> String {
        format!("?{number}")
    }

    fn number_placeholder(&self, number: usize) -> String {
        format!("?{number}")
    }

    fn read(&self, name: &str, _column: &Column) -> String {
        name.into()
    }

    fn bind(&self, column: &Column, cell: Cell) -> Cell {
        // Text and bytes never compare equal: each goes as what its column keeps.
        match (&column.kind, cell) {
            (Kind::Binary { .. }, Cell::Text(bytes)) => Cell::Blob(bytes),
            (Kind::Binary { .. }, cell) => cell,
            (Kind::Boolean, Cell::Text(text)) => Cell::Integer(i128::from(&*text == b"1")),
            (_, Cell::Blob(bytes)) => Cell::Text(bytes),
            (_, cell) => cell,
        }
    }

    fn same_bytes(&self, name: &str, placeholder: &str) -> String {
        format!("{name} = {placeholder} COLLATE BINARY")
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn for_update(&self) -> &'static str {
        ""
    }

    fn returning(&self) -> bool {
        true
    }

    fn on_conflict(&self, key_columns: &[String]) -> Option<String> {
        Some(format!(" ON CONFLICT ({}) DO UPDATE SET ", key_columns.join(", ")))
    }

    fn columns_query(&self) -> &'static str {
        "SELECT x.name, x.type, x.\"notnull\", x.dflt_value IS NOT NULL, x.pk, x.hidden, \
         (SELECT count(*) FROM pragma_table_xinfo(?2, NULLIF(?1, '')) p WHERE p.pk > 0) \
         FROM pragma_table_xinfo(?2, NULLIF(?1, '')) x WHERE x.hidden <> 1 ORDER BY x.cid"
    }

    fn column(&self, row: &[Cell]) -> Option<Column> {
        let declared = word(row, 1);
        // An INTEGER PRIMARY KEY is the row's number, which counts by itself.
        let counts_itself =
            declared.eq_ignore_ascii_case("integer") && word(row, 4) == "1" && word(row, 6) == "1";
        let nullable = !flag(row, 2) && word(row, 4) == "0";
        Some(Column {
            name: word(row, 0),
            kind: kind(&declared),
            nullable,
            has_default: nullable || counts_itself || flag(row, 3),
            counts_itself,
            generated: matches!(word(row, 5).as_str(), "2" | "3"),
            folds: false,
            declared,
        })
    }

    fn unique_query(&self) -> &'static str {
        "SELECT l.name, l.origin = 'pk', i.name, i.coll <> 'BINARY' \
         FROM pragma_index_list(?2, NULLIF(?1, '')) l, pragma_index_xinfo(l.name, NULLIF(?1, '')) i \
         WHERE l.\"unique\" = 1 AND l.partial = 0 AND i.key = 1 AND i.cid >= 0 \
         UNION ALL SELECT 'PRIMARY', 1, x.name, 0 FROM pragma_table_xinfo(?2, NULLIF(?1, '')) x WHERE x.pk > 0 \
         AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?2, NULLIF(?1, '')) p WHERE p.origin = 'pk') \
         ORDER BY 1"
    }

    /// Codes are SQLite's extended result codes.
    fn classify(&self, code: &str) -> Class {
        let extended: i32 = code.parse().unwrap_or(0);
        match (extended, extended & 0xff) {
            (1555 | 2067 | 2579, _) => Class::Duplicate,
            (_, 19) => Class::Constraint,
            (_, 18) => Class::TooLarge,
            (_, 20) => Class::BadValue,
            (_, 3 | 8 | 23) => Class::Denied,
            (_, 5 | 6) => Class::LockWait,
            (_, 17) => Class::SchemaChanged,
            (_, 14) => Class::Lost,
            _ => Class::Other,
        }
    }

    fn session(&self, lock_wait_ms: u64, _statement_timeout_ms: u64) -> Vec<String> {
        vec![
            "PRAGMA journal_mode = WAL".into(),
            "PRAGMA synchronous = FULL".into(),
            "PRAGMA foreign_keys = ON".into(),
            format!("PRAGMA busy_timeout = {lock_wait_ms}"),
        ]
    }

    fn raised(&self, counter: &str, delta: &str, _wraps: bool) -> String {
        format!("{counter} + {delta}")
    }

    fn lowered(&self, counter: &str, delta: &str) -> String {
        format!("max({counter} - {delta}, 0)")
    }
}

fn kind(declared: &str) -> Kind {
    let given = arguments(declared);
    let first = given.first().copied();
    let lower = declared.to_lowercase();
    let name = lower.split(['(', ' ']).next().unwrap_or_default();
    // Integers are 64 bits with sign, whatever is declared; a declared range is kept here.
    let integer = |bits: u32| match Kind::integer(bits, lower.contains("unsigned")) {
        Kind::Integer { min, max } => Kind::Integer { min, max: max.min(i128::from(i64::MAX)) },
        other => other,
    };
    match name {
        "tinyint" => integer(8),
        "smallint" | "int2" => integer(16),
        "mediumint" => integer(24),
        "int4" => integer(32),
        "int" if lower.contains("unsigned") => integer(32),
        "integer" | "int" | "bigint" | "int8" | "unsigned" => integer(64),
        "boolean" | "bool" => Kind::Boolean,
        "decimal" | "numeric" => match given[..] {
            [precision, scale] => Kind::Decimal { precision: precision as u32, scale: scale as u32 },
            [precision] => Kind::Decimal { precision: precision as u32, scale: 0 },
            _ => Kind::Native,
        },
        "float" => Kind::Float { double: false },
        "real" | "double" => Kind::Float { double: true },
        "char" | "character" | "varchar" | "nchar" | "nvarchar" | "text" | "clob" => {
            Kind::Text { chars_max: first, bytes_max: None, fixed: name == "char", latin1: false }
        }
        "binary" | "varbinary" | "blob" | "bytea" | "" => {
            Kind::Binary { bytes_max: first, fixed: name == "binary" }
        }
        "date" => Kind::Date,
        "time" => Kind::Time { digits: first.unwrap_or(0) as u32, span: true },
        "datetime" => Kind::DateTime { digits: first.unwrap_or(0) as u32 },
        "timestamp" => Kind::Timestamp { digits: first.unwrap_or(0) as u32, range: TIMESTAMP_RANGE },
        "year" => Kind::Year,
        "json" => Kind::Json,
        _ => Kind::Unsupported,
    }
}
