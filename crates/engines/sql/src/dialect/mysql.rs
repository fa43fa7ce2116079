//! MySQL and MariaDB.

use super::{Class, Column, Dialect, arguments, flag, number, word};
use crate::types::{Cell, Kind};

pub(super) struct MySql;

/// A 32-bit moment, which begins at second 1.
const TIMESTAMP_RANGE: (i64, i64) = (1, 2_147_483_647);

impl Dialect for MySql {
    fn quote(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn placeholder(&self, _number: usize, _column: &Column) -> String {
        "?".into()
    }

    fn number_placeholder(&self, _number: usize) -> String {
        "?".into()
    }

    fn read(&self, name: &str, column: &Column) -> String {
        match column.kind {
            Kind::Date | Kind::Time { .. } | Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Year => {
                format!("CAST({name} AS CHAR)")
            }
            Kind::Bit(_) => format!("({name} + 0)"),
            Kind::Native => format!("CAST({name} AS CHAR)"),
            _ => name.into(),
        }
    }

    fn bind(&self, _column: &Column, cell: Cell) -> Cell {
        cell
    }

    fn same_bytes(&self, name: &str, placeholder: &str) -> String {
        format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY) = CAST({placeholder} AS BINARY)")
    }

    fn begin(&self) -> &'static str {
        "START TRANSACTION"
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn returning(&self) -> bool {
        false
    }

    fn on_conflict(&self, _key_columns: &[String]) -> Option<String> {
        Some(" ON DUPLICATE KEY UPDATE ".into())
    }

    fn columns_query(&self) -> &'static str {
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, \
         NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, IS_NULLABLE, COLUMN_DEFAULT IS NOT NULL, EXTRA, \
         COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION"
    }

    fn column(&self, row: &[Cell]) -> Option<Column> {
        let (data_type, declared) = (word(row, 1).to_lowercase(), word(row, 2));
        let (extra, collation) = (word(row, 10).to_lowercase(), word(row, 11).to_lowercase());
        let nullable = flag(row, 8);
        let counts_itself = extra.contains("auto_increment");
        let is_binary_collation = collation.ends_with("nopad_bin") || collation == "utf8mb4_0900_bin";
        Some(Column {
            name: word(row, 0),
            kind: kind(&data_type, &declared, row),
            nullable,
            has_default: nullable || counts_itself || flag(row, 9),
            counts_itself,
            generated: extra.contains("generated")
                || extra.contains("virtual")
                || extra.contains("persistent"),
            folds: !collation.is_empty() && !is_binary_collation,
            declared,
        })
    }

    fn unique_query(&self) -> &'static str {
        "SELECT INDEX_NAME, INDEX_NAME = 'PRIMARY', COLUMN_NAME, 0 FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
         AND SUB_PART IS NULL ORDER BY INDEX_NAME, SEQ_IN_INDEX"
    }

    fn classify(&self, code: &str) -> Class {
        match code {
            "1062" | "1586" => Class::Duplicate,
            "1048" | "1364" | "1451" | "1452" | "1216" | "1217" | "3819" | "4025" | "1644" => {
                Class::Constraint
            }
            "1406" | "1264" | "1690" | "1118" | "1153" => Class::TooLarge,
            "1366" | "1292" | "1265" | "1411" | "1300" | "3140" => Class::BadValue,
            "1044" | "1142" | "1143" | "1227" | "1290" | "1370" | "1792" | "1836" => Class::Denied,
            "1213" | "1297" | "1412" | "1020" => Class::Conflict,
            "1205" => Class::LockWait,
            "1040" | "1203" | "1226" | "1969" | "3024" | "1317" => Class::Busy,
            "1047" | "1053" | "1927" | "1077" | "1079" | "3169" => Class::Lost,
            "1146" | "1054" | "1615" | "1243" | "1049" => Class::SchemaChanged,
            _ => Class::Other,
        }
    }

    fn session(&self, lock_wait_ms: u64, _statement_timeout_ms: u64) -> Vec<String> {
        vec![
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'"
                .into(),
            "SET SESSION time_zone = '+00:00'".into(),
            "SET NAMES utf8mb4".into(),
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".into(),
            format!("SET SESSION innodb_lock_wait_timeout = {}", lock_wait_ms.div_ceil(1000).max(1)),
        ]
    }

    fn raised(&self, counter: &str, delta: &str, wraps: bool) -> String {
        if !wraps {
            return format!("{counter} + {delta}");
        }
        // Nothing between may exceed 64 bits: 2^64 - 1 is taken off before the rest is added.
        format!(
            "CASE WHEN {counter} > 18446744073709551615 - {delta} \
             THEN {delta} - (18446744073709551615 - {counter}) - 1 ELSE {counter} + {delta} END"
        )
    }

    fn lowered(&self, counter: &str, delta: &str) -> String {
        format!("CASE WHEN {counter} < {delta} THEN 0 ELSE {counter} - {delta} END")
    }
}

fn kind(data_type: &str, declared: &str, row: &[Cell]) -> Kind {
    let unsigned = declared.to_lowercase().contains("unsigned");
    let digits = number(row, 7).unwrap_or(0) as u32;
    let (chars, octets) = (number(row, 3), number(row, 4));
    match data_type {
        "tinyint" => Kind::integer(8, unsigned),
        "smallint" => Kind::integer(16, unsigned),
        "mediumint" => Kind::integer(24, unsigned),
        "int" => Kind::integer(32, unsigned),
        "bigint" => Kind::integer(64, unsigned),
        "decimal" => Kind::Decimal {
            precision: number(row, 5).unwrap_or(10) as u32,
            scale: number(row, 6).unwrap_or(0) as u32,
        },
        "float" => Kind::Float { double: false },
        "double" => Kind::Float { double: true },
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text {
            chars_max: if data_type.ends_with("char") { chars } else { None },
            bytes_max: octets,
            fixed: data_type == "char",
            latin1: word(row, 12) == "latin1",
        },
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            Kind::Binary { bytes_max: octets, fixed: data_type == "binary" }
        }
        "date" => Kind::Date,
        "time" => Kind::Time { digits, span: true },
        "datetime" => Kind::DateTime { digits },
        "timestamp" => Kind::Timestamp { digits, range: TIMESTAMP_RANGE },
        "year" => Kind::Year,
        "enum" => Kind::Enum(labels(declared)),
        "json" => Kind::Json,
        "bit" => Kind::Bit(arguments(declared).first().copied().unwrap_or(1) as u32),
        "set" | "uuid" | "inet4" | "inet6" => Kind::Native,
        _ => Kind::Unsupported,
    }
}

/// The labels of `enum('a','b')`; a quote inside one is doubled.
fn labels(declared: &str) -> Vec<String> {
    let inside = declared.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
    let quoted = inside.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or_default();
    quoted.split("','").map(|label| label.replace("''", "'")).collect()
}
