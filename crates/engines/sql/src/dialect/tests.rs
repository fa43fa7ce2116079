use super::*;

/// Each row: product, code of the database, what it means.
#[test]
fn error_codes_have_a_meaning() {
    use Product::{MySql, Postgres, Sqlite};
    let cases = [
        (MySql, "1062", Class::Duplicate),
        (MySql, "1452", Class::Constraint),
        (MySql, "1406", Class::TooLarge),
        (MySql, "1366", Class::BadValue),
        (MySql, "1142", Class::Denied),
        (MySql, "1213", Class::Conflict),
        (MySql, "1205", Class::LockWait),
        (MySql, "1040", Class::Busy),
        (MySql, "1047", Class::Lost),
        (MySql, "1146", Class::SchemaChanged),
        (MySql, "9999", Class::Other),
        (Postgres, "23505", Class::Duplicate),
        (Postgres, "23514", Class::Constraint),
        (Postgres, "P0001", Class::Constraint),
        (Postgres, "22001", Class::TooLarge),
        (Postgres, "22P02", Class::BadValue),
        (Postgres, "42501", Class::Denied),
        (Postgres, "40P01", Class::Conflict),
        (Postgres, "55P03", Class::LockWait),
        (Postgres, "57014", Class::Busy),
        (Postgres, "08006", Class::Lost),
        (Postgres, "0A000", Class::SchemaChanged),
        (Sqlite, "1555", Class::Duplicate),
        (Sqlite, "2067", Class::Duplicate),
        (Sqlite, "787", Class::Constraint),
        (Sqlite, "1299", Class::Constraint),
        (Sqlite, "18", Class::TooLarge),
        (Sqlite, "8", Class::Denied),
        (Sqlite, "5", Class::LockWait),
        (Sqlite, "17", Class::SchemaChanged),
    ];
    for (product, code, due) in cases {
        assert_eq!(product.dialect().classify(code), due, "{product:?} {code}");
    }
}

#[test]
fn names_are_quoted_whatever_is_in_them() {
    assert_eq!(Product::MySql.dialect().quote("a`b"), "`a``b`");
    assert_eq!(Product::Postgres.dialect().quote("a\"b"), "\"a\"\"b\"");
    assert_eq!(Product::Sqlite.dialect().quote("a\"b; --"), "\"a\"\"b; --\"");
}

fn row(words: &[&str]) -> Vec<Cell> {
    let cell = |word: &&str| if *word == "NULL" { Cell::Null } else { Cell::text(*word) };
    words.iter().map(cell).collect()
}

#[test]
fn catalogues_are_read() {
    let mysql = |data_type: &str, declared: &str, collation: &str| {
        let row = row(&[
            "c", data_type, declared, "10", "40", "10", "3", "6", "YES", "0", "", collation, "utf8mb4",
        ]);
        Product::MySql.dialect().column(&row).expect("a column")
    };
    assert_eq!(mysql("int", "int(10) unsigned", "NULL").kind, Kind::integer(32, true));
    assert_eq!(mysql("decimal", "decimal(10,3)", "NULL").kind, Kind::Decimal { precision: 10, scale: 3 });
    assert_eq!(mysql("bit", "bit(5)", "NULL").kind, Kind::Bit(5));
    assert_eq!(mysql("enum", "enum('a','it''s')", "NULL").kind, Kind::Enum(vec!["a".into(), "it's".into()]));
    assert_eq!(mysql("geometry", "geometry", "NULL").kind, Kind::Unsupported);
    for (collation, folds) in [
        ("utf8mb4_general_ci", true),
        ("utf8mb4_bin", true),
        ("utf8mb4_nopad_bin", false),
        ("utf8mb4_0900_bin", false),
    ] {
        assert_eq!(mysql("varchar", "varchar(10)", collation).folds, folds, "{collation}");
    }
    let sqlite = |declared: &str| {
        let row = row(&["c", declared, "0", "0", "0", "0", "0"]);
        Product::Sqlite.dialect().column(&row).expect("a column").kind
    };
    assert_eq!(sqlite("SMALLINT"), Kind::integer(16, false));
    assert_eq!(sqlite("BIGINT UNSIGNED"), Kind::Integer { min: 0, max: i64::MAX.into() });
    assert_eq!(
        sqlite("varchar(10)"),
        Kind::Text { chars_max: Some(10), bytes_max: None, fixed: false, latin1: false }
    );
    assert_eq!(sqlite("blob"), Kind::Binary { bytes_max: None, fixed: false });
}
