//! PostgreSQL.
//!
//! Values go as text with a cast to the column's type, except numbers and bytes, and come back as text likewise: so every
//! type that has a text form works without the driver knowing it.

use super::{Class, Column, Dialect, arguments, flag, word};
use crate::types::{Cell, Kind};

pub(super) struct Postgres;

/// From the first day of the year 1 to the last of 9999.
const TIMESTAMP_RANGE: (i64, i64) = (-62_135_596_800, 253_402_300_799);

impl Dialect for Postgres {
    fn quote(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn placeholder(&self, number: usize, column: &Column) -> String {
        match &column.kind {
            Kind::Integer { .. } => format!("${number}::int8"),
            Kind::Binary { .. } => format!("${number}::bytea"),
            Kind::Text { fixed: false, .. } => format!("${number}::text"),
            _ => format!("${number}::text::{}", column.declared),
        }
    }

    fn number_placeholder(&self, number: usize) -> String {
        format!("${number}::text::numeric")
    }

    fn read(&self, name: &str, column: &Column) -> String {
        match &column.kind {
            Kind::Integer { .. } => format!("{name}::int8"),
            Kind::Binary { .. } => name.into(),
            Kind::Bit(_) => format!("{name}::int8"),
            _ => format!("{name}::text"),
        }
    }

    fn bind(&self, column: &Column, cell: Cell) -> Cell {
        match (&column.kind, cell) {
            (Kind::Integer { .. } | Kind::Binary { .. }, cell) => cell,
            (_, Cell::Integer(number)) => Cell::text(number.to_string()),
            (_, Cell::Blob(bytes)) => Cell::Text(bytes),
            (_, cell) => cell,
        }
    }

    fn same_bytes(&self, name: &str, placeholder: &str) -> String {
        format!("convert_to({name}::text, 'UTF8') = convert_to({placeholder}::text, 'UTF8')")
    }

    fn begin(&self) -> &'static str {
        "BEGIN ISOLATION LEVEL READ COMMITTED"
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn returning(&self) -> bool {
        true
    }

    fn on_conflict(&self, key_columns: &[String]) -> Option<String> {
        Some(format!(" ON CONFLICT ({}) DO UPDATE SET ", key_columns.join(", ")))
    }

    fn columns_query(&self) -> &'static str {
        "SELECT a.attname::text, t.typname::text, format_type(a.atttypid, a.atttypmod)::text, \
         (NOT a.attnotnull)::text, (a.atthasdef OR a.attidentity <> '')::text, \
         (a.attidentity <> '' OR COALESCE(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false))::text, \
         (a.attgenerated <> '')::text, (NOT COALESCE(l.collisdeterministic, true))::text, t.typtype::text, \
         (SELECT string_agg(e.enumlabel, E'\\n' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), \
         t.typcategory::text \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE (n.nspname = $1::text OR ($1::text = '' AND pg_table_is_visible(c.oid))) AND c.relname = $2::text \
         AND c.relkind IN ('r', 'p', 'v', 'f') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    }

    fn column(&self, row: &[Cell]) -> Option<Column> {
        let (type_name, declared) = (word(row, 1), word(row, 2));
        let nullable = flag(row, 3);
        let has_default = flag(row, 4);
        let labels = word(row, 9);
        let kind = match word(row, 8).as_str() {
            "e" => Kind::Enum(labels.split('\n').map(String::from).collect()),
            "d" | "r" => Kind::Native,
            _ => kind(&type_name, &declared, &word(row, 10)),
        };
        let folds = flag(row, 7) || type_name == "citext" || matches!(kind, Kind::Text { fixed: true, .. });
        Some(Column {
            name: word(row, 0),
            kind,
            declared,
            nullable,
            has_default: nullable || has_default,
            counts_itself: flag(row, 5),
            generated: flag(row, 6),
            folds,
        })
    }

    fn unique_query(&self) -> &'static str {
        "SELECT i.relname::text, x.indisprimary::text, a.attname::text, 'f' \
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace, \
         unnest(x.indkey) WITH ORDINALITY AS k(attnum, ord) JOIN pg_attribute a ON a.attnum = k.attnum \
         WHERE a.attrelid = x.indrelid AND x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL \
         AND k.ord <= x.indnkeyatts AND (n.nspname = $1::text OR ($1::text = '' AND pg_table_is_visible(c.oid))) \
         AND c.relname = $2::text ORDER BY i.relname, k.ord"
    }

    fn classify(&self, code: &str) -> Class {
        match code {
            "23505" => Class::Duplicate,
            "22001" | "22003" | "54000" => Class::TooLarge,
            "22P02" | "22007" | "22008" | "22021" | "22P05" | "22023" => Class::BadValue,
            "42501" | "25006" => Class::Denied,
            "40001" | "40P01" => Class::Conflict,
            "55P03" => Class::LockWait,
            "53300" | "57014" | "53200" => Class::Busy,
            "57P01" | "57P02" | "57P03" | "57P05" => Class::Lost,
            "42P01" | "42703" | "0A000" | "42P17" | "3F000" => Class::SchemaChanged,
            code if code.starts_with("08") => Class::Lost,
            code if code.starts_with("23") || code == "P0001" => Class::Constraint,
            _ => Class::Other,
        }
    }

    fn session(&self, lock_wait_ms: u64, statement_timeout_ms: u64) -> Vec<String> {
        vec![
            "SET TIME ZONE 'UTC'".into(),
            "SET client_encoding = 'UTF8'".into(),
            "SET DateStyle = 'ISO, YMD'".into(),
            "SET extra_float_digits = 1".into(),
            "SET bytea_output = 'hex'".into(),
            format!("SET lock_timeout = {lock_wait_ms}"),
            format!("SET statement_timeout = {statement_timeout_ms}"),
        ]
    }

    fn raised(&self, counter: &str, delta: &str, wraps: bool) -> String {
        if wraps {
            format!("mod({counter} + {delta}, 18446744073709551616)")
        } else {
            format!("{counter} + {delta}")
        }
    }

    fn lowered(&self, counter: &str, delta: &str) -> String {
        format!("GREATEST({counter} - {delta}, 0)")
    }
}

fn kind(type_name: &str, declared: &str, category: &str) -> Kind {
    let given = arguments(declared);
    let first = given.first().copied();
    let digits = first.unwrap_or(6) as u32;
    match type_name {
        "int2" => Kind::integer(16, false),
        "int4" => Kind::integer(32, false),
        "int8" => Kind::integer(64, false),
        "bool" => Kind::Boolean,
        "numeric" => match given[..] {
            [precision, scale] => Kind::Decimal { precision: precision as u32, scale: scale as u32 },
            [precision] => Kind::Decimal { precision: precision as u32, scale: 0 },
            _ => Kind::Native,
        },
        "float4" => Kind::Float { double: false },
        "float8" => Kind::Float { double: true },
        "text" | "citext" => Kind::text(),
        "varchar" => Kind::Text { chars_max: first, bytes_max: None, fixed: false, latin1: false },
        "bpchar" => Kind::Text { chars_max: first, bytes_max: None, fixed: true, latin1: false },
        "bytea" => Kind::Binary { bytes_max: None, fixed: false },
        "date" => Kind::Date,
        "time" => Kind::Time { digits, span: false },
        "timestamp" => Kind::DateTime { digits },
        "timestamptz" => Kind::Timestamp { digits, range: TIMESTAMP_RANGE },
        "json" | "jsonb" => Kind::Json,
        "uuid" | "inet" | "cidr" | "macaddr" => Kind::Native,
        _ if category == "A" => Kind::Native,
        _ => Kind::Unsupported,
    }
}
