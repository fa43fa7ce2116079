use super::*;
use crate::dialect::Unique;
use crate::model::{Fault, Model};

pub(crate) fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.into(),
        declared: format!("{kind:?}").split([' ', '{']).next().unwrap_or_default().to_lowercase(),
        kind,
        nullable: true,
        has_default: true,
        counts_itself: false,
        generated: false,
        folds: false,
    }
}

fn bytes(most: u64) -> Kind {
    Kind::Binary { bytes_max: Some(most), fixed: false }
}

/// The table of the demo container, as a database would describe it.
pub(crate) fn definition() -> Definition {
    let varchar = Kind::Text { chars_max: Some(250), bytes_max: None, fixed: false, latin1: false };
    let key = Column { nullable: false, has_default: false, ..column("mkey", varchar) };
    Definition {
        columns: vec![
            key,
            column("math_value", Kind::integer(64, true)),
            column("flags", Kind::integer(32, true)),
            column("cas_value", Kind::integer(64, true)),
            column("string_value", bytes(13_500)),
            column("expires", Kind::integer(64, false)),
            column("note", Kind::text()),
        ],
        uniques: vec![Unique { name: "PRIMARY".into(), primary: true, columns: vec!["mkey".into()] }],
    }
}

const DEMO: &str = "key_columns = \"mkey\"\nvalue_columns = \"string_value\"\nflags = \"flags\"\n\
                    increment_column = \"math_value\"\ncas_column = \"cas_value\"\nexpire_time_column = \"expires\"\n";

pub(crate) fn container(words: &str) -> Container {
    let text = format!("[[container]]\nname = \"demo\"\nschema = \"shop\"\ntable = \"demo_table\"\n{words}");
    Model::from_toml(&text).expect("the container can be read").containers[0].clone()
}

/// The demo container on a database.
pub(crate) fn demo(product: Product) -> Plan {
    make(&container(DEMO), product, &definition()).expect("they fit").0
}

#[test]
fn a_container_that_fits_its_table_becomes_a_plan() {
    let (plan, warnings) = make(&container(DEMO), Product::MySql, &definition()).expect("they fit");
    assert_eq!(warnings, []);
    assert!(plan.is_dual() && plan.upserts && !plan.update_only && !plan.has_aliases());
    assert_eq!(plan.table, "`shop`.`demo_table`");
    assert_eq!(plan.cas_mode(), CasMode::Column);
    let hashed = container("key_columns = \"mkey\"\nvalue_columns = \"string_value\"\n");
    assert_eq!(make(&hashed, Product::Sqlite, &definition()).expect("they fit").0.cas_mode(), CasMode::Hash);
    let counter = container("key_columns = \"mkey\"\nincrement_column = \"math_value\"\n");
    assert!(make(&counter, Product::Postgres, &definition()).expect("they fit").0.is_pure_counter());
}

/// Each row: what is wrong with container or table, and what the message must name.
#[test]
fn what_does_not_fit_is_named() {
    let plain = "key_columns = \"mkey\"\nvalue_columns = \"string_value\"\n";
    let with = |words: &str| format!("{plain}{words}\n");
    type Damage = fn(&mut Definition);
    let none: Damage = |_| {};
    let cases: Vec<(String, Damage, &str)> = vec![
        (with(""), |definition| definition.columns.clear(), "demo_table"),
        (with("cas_column = \"cas\""), none, "`cas`"),
        (with("cas_column = \"flags\""), none, "flags"),
        (with("increment_column = \"note\""), none, "note"),
        (with("flags = \"note\""), none, "note"),
        (with("expire_time_column = \"note\""), none, "note"),
        (with(""), |definition| definition.uniques.clear(), "mkey"),
        (with(""), |definition| definition.columns[4].kind = Kind::Unsupported, "string_value"),
        ("key_columns = \"mkey note\"\nvalue_columns = \"string_value\"\n".into(), none, "PRIMARY (mkey)"),
    ];
    for (words, damage, name) in cases {
        let mut definition = definition();
        damage(&mut definition);
        let findings = make(&container(&words), Product::MySql, &definition).expect_err(name);
        let named =
            findings.iter().any(|finding| finding.fault == Fault::Table && finding.text.contains(name));
        assert!(named, "{name}: {findings:?}");
    }
}

#[test]
fn what_an_upsert_could_harm_is_written_in_two_steps() {
    type Damage = fn(&mut Definition);
    let email = |definition: &mut Definition| {
        let unique = Unique { name: "email".into(), primary: false, columns: vec!["note".into()] };
        definition.uniques.push(unique);
    };
    let needs_note: Damage = |definition| definition.columns[6].has_default = false;
    let counts: Damage = |definition| definition.columns[6].counts_itself = true;
    let folds: Damage = |definition| definition.columns[0].folds = true;
    let cases: [(&str, Damage, [bool; 3]); 4] = [
        ("a second unique index", email, [false, true, true]),
        ("a column that needs a value", needs_note, [false, false, false]),
        ("another column that counts", counts, [false, false, false]),
        ("a key that folds", folds, [false, false, false]),
    ];
    for (what, damage, upserts) in cases {
        let mut definition = definition();
        damage(&mut definition);
        for (product, due) in [Product::MySql, Product::Postgres, Product::Sqlite].into_iter().zip(upserts) {
            let (plan, _) = make(&container(DEMO), product, &definition).expect("they fit");
            assert_eq!(plan.upserts, due, "{what} on {product:?}");
        }
    }
}
