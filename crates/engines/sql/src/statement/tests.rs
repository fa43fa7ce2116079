use super::*;
use crate::dialect::Product;
use crate::plan::tests::demo;

fn key() -> Vec<Cell> {
    vec![Cell::text("k")]
}

/// Each row: what the statement is for, and its text on MySQL, PostgreSQL and SQLite.
#[test]
fn statements_have_these_texts() {
    type Make = fn(&Plan) -> Query;
    let value = |plan: &Plan| vec![(plan.values[0], Cell::Blob("v".into()))];
    let cases: Vec<(&str, Make, [&str; 3])> = vec![
        (
            "a read of one key",
            |plan| select(plan, &[&key()], false),
            [
                "SELECT `mkey`, `string_value`, `math_value`, `flags`, `cas_value`, `expires` FROM `shop`.`demo_table` \
                 WHERE `mkey` = ?",
                "SELECT \"mkey\"::text, \"string_value\", \"math_value\"::int8, \"flags\"::int8, \"cas_value\"::int8, \
                 \"expires\"::int8 FROM \"shop\".\"demo_table\" WHERE \"mkey\" = $1::text",
                "SELECT \"mkey\", \"string_value\", \"math_value\", \"flags\", \"cas_value\", \"expires\" \
                 FROM \"shop\".\"demo_table\" WHERE \"mkey\" = ?1",
            ],
        ),
        (
            "a locked read of three keys, filled up to four",
            |plan| select(plan, &[&key(), &key(), &key()], true),
            [
                "SELECT `mkey`, `string_value`, `math_value`, `flags`, `cas_value`, `expires` FROM `shop`.`demo_table` \
                 WHERE `mkey` IN (?, ?, ?, ?) FOR UPDATE",
                "SELECT \"mkey\"::text, \"string_value\", \"math_value\"::int8, \"flags\"::int8, \"cas_value\"::int8, \
                 \"expires\"::int8 FROM \"shop\".\"demo_table\" WHERE \"mkey\" IN ($1::text, $2::text, $3::text, \
                 $4::text) FOR UPDATE",
                "SELECT \"mkey\", \"string_value\", \"math_value\", \"flags\", \"cas_value\", \"expires\" \
                 FROM \"shop\".\"demo_table\" WHERE \"mkey\" IN (?1, ?2, ?3, ?4)",
            ],
        ),
        (
            "an upsert",
            |plan| upsert(plan, &key(), &[(plan.values[0], Cell::Blob("v".into()))]),
            [
                "INSERT INTO `shop`.`demo_table` (`mkey`, `string_value`) VALUES (?, ?) \
                 ON DUPLICATE KEY UPDATE `string_value` = ?",
                "INSERT INTO \"shop\".\"demo_table\" (\"mkey\", \"string_value\") VALUES ($1::text, $2::bytea) \
                 ON CONFLICT (\"mkey\") DO UPDATE SET \"string_value\" = $3::bytea",
                "INSERT INTO \"shop\".\"demo_table\" (\"mkey\", \"string_value\") VALUES (?1, ?2) \
                 ON CONFLICT (\"mkey\") DO UPDATE SET \"string_value\" = ?3",
            ],
        ),
        (
            "an increment of a counter of 64 bits",
            |plan| step(plan, &key(), Step::Up(2), 100, &[]),
            [
                "UPDATE `shop`.`demo_table` SET `math_value` = LAST_INSERT_ID(CASE WHEN `math_value` > \
                 18446744073709551615 - ? THEN ? - (18446744073709551615 - `math_value`) - 1 ELSE `math_value` + ? END) \
                 WHERE `mkey` = ? AND (`expires` IS NULL OR `expires` = 0 OR `expires` > ?) AND `math_value` >= 0",
                "UPDATE \"shop\".\"demo_table\" SET \"math_value\" = (mod(\"math_value\" + $1::text::numeric, \
                 18446744073709551616))::integer WHERE \"mkey\" = $2::text AND (\"expires\" IS NULL OR \
                 \"expires\" = 0 OR \"expires\" > $3::int8) AND \"math_value\" >= 0 RETURNING \"mkey\"::text, \
                 \"string_value\", \"math_value\"::int8, \"flags\"::int8, \"cas_value\"::int8, \"expires\"::int8",
                "UPDATE \"shop\".\"demo_table\" SET \"math_value\" = \"math_value\" + ?1 WHERE \"mkey\" = ?2 AND \
                 (\"expires\" IS NULL OR \"expires\" = 0 OR \"expires\" > ?3) AND \"math_value\" >= 0 RETURNING \
                 \"mkey\", \"string_value\", \"math_value\", \"flags\", \"cas_value\", \"expires\"",
            ],
        ),
        (
            "a flush of some keys",
            |plan| flush(plan, b"a\xff"),
            [
                "DELETE FROM `shop`.`demo_table` WHERE `mkey` >= ? AND `mkey` < ?",
                "DELETE FROM \"shop\".\"demo_table\" WHERE \"mkey\" >= $1::text AND \"mkey\" < $2::text",
                "DELETE FROM \"shop\".\"demo_table\" WHERE \"mkey\" >= ?1 AND \"mkey\" < ?2",
            ],
        ),
        (
            "a change",
            |plan| update(plan, &key(), &[(plan.values[0], Cell::Null)]),
            [
                "UPDATE `shop`.`demo_table` SET `string_value` = ? WHERE `mkey` = ?",
                "UPDATE \"shop\".\"demo_table\" SET \"string_value\" = $1::bytea WHERE \"mkey\" = $2::text",
                "UPDATE \"shop\".\"demo_table\" SET \"string_value\" = ?1 WHERE \"mkey\" = ?2",
            ],
        ),
    ];
    for (what, make, texts) in cases {
        for (product, due) in [Product::MySql, Product::Postgres, Product::Sqlite].into_iter().zip(texts) {
            let plan = demo(product);
            let query = make(&plan);
            assert_eq!(query.text, due, "{what} on {product:?}");
        }
    }
    let plan = demo(Product::MySql);
    assert_eq!(upsert(&plan, &key(), &value(&plan)).parameters.len(), 3, "the value is bound twice");
}

#[test]
fn a_flush_ends_behind_the_last_key_that_begins_so() {
    assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(after_prefix(b"\xff"), None);
}
