use super::*;
use crate::dialect::Product;
use crate::plan::tests::{container, definition, demo};

fn plan(words: &str) -> Plan {
    crate::plan::make(&container(words), Product::Sqlite, &definition()).expect("they fit").0
}

fn next(value: NextValue<'_>) -> Next<'_> {
    Next { flags: 5, cas: 9, expiry: Expiry::at(100), stale: false, token_taken: false, value }
}

/// The row that assignments make of an empty one.
fn row_of(plan: &Plan, assignments: Vec<Assignment>) -> Row {
    let mut row = vec![Cell::Null; plan.columns.len()];
    for (at, cell) in assignments {
        row[at] = cell;
    }
    row
}

#[test]
fn fields_between_separators_may_be_empty() {
    assert_eq!(split(b"a||3", b"|"), [&b"a"[..], b"", b"3"]);
    assert_eq!(split(b"", b"|"), [b""]);
    assert_eq!(split(b"a::b:", b"::"), [&b"a"[..], b"b:"]);
    assert_eq!(split(b"||", b"|"), [b"", b"", b""]);
}

#[test]
fn an_item_comes_back_from_the_cells_it_was_written_to() {
    for product in [Product::MySql, Product::Postgres, Product::Sqlite] {
        let plan = demo(product);
        let value = Bytes::from_static(b"value");
        let row = row_of(&plan, assign(&plan, &next(NextValue::Given), &value).expect("it fits"));
        let held = held(&plan, &row);
        assert_eq!((held.flags, held.cas, held.expiry), (5, 9, Expiry::at(100)), "{product:?}");
        assert_eq!((held.value, held.number), (Some(value), Bytes::new()), "{product:?}");
    }
}

/// A text and a number beside it: digits are both, anything else is text alone.
#[test]
fn a_dual_container_keeps_digits_as_a_number_too() {
    let plan = demo(Product::MySql);
    let number = plan.counter.expect("it counts");
    let text = plan.values[0];
    for (value, due) in [
        (&b"41"[..], Cell::Integer(41)),
        (b"007", Cell::Integer(7)),
        (b"abc", Cell::Null),
        (b"18446744073709551616", Cell::Null),
        (b"", Cell::Null),
    ] {
        let value = Bytes::copy_from_slice(value);
        let row = row_of(&plan, assign(&plan, &next(NextValue::Given), &value).expect("it fits"));
        assert_eq!((&row[number], &row[text]), (&due, &Cell::Blob(value)));
    }
    let counted = NextValue::Decimal(larder_engine::semantics::Decimal::new(42));
    let row = row_of(&plan, assign(&plan, &next(counted), &Bytes::new()).expect("it fits"));
    assert_eq!((&row[number], &row[text]), (&Cell::Integer(42), &Cell::Null));
    assert_eq!(held(&plan, &row).value.as_deref(), Some(&b"42"[..]));
}

#[test]
fn the_content_makes_a_cas_where_no_column_keeps_one() {
    let plan = plan("key_columns = \"mkey\"\nvalue_columns = \"string_value\"\nflags = \"flags\"\n");
    let row = |value: &'static [u8], flags: i128| {
        let mut row = vec![Cell::Null; plan.columns.len()];
        row[plan.values[0]] = Cell::Blob(Bytes::from_static(value));
        if let FlagsIn::Column(at) = plan.flags {
            row[at] = Cell::Integer(flags);
        }
        held(&plan, &row).cas
    };
    assert_eq!(row(b"a", 1), row(b"a", 1));
    assert_ne!(row(b"a", 1), row(b"b", 1));
    assert_ne!(row(b"a", 1), row(b"a", 2));
    assert!(row(b"a", 1) >= 1 << 63);
}

#[test]
fn a_key_that_no_row_can_have_is_none() {
    let two = "key_columns = \"mkey flags\"\nvalue_columns = \"string_value\"\n";
    let mut definition = definition();
    definition.uniques[0].columns.push("flags".into());
    let plan = crate::plan::make(&container(two), Product::Postgres, &definition).expect("they fit").0;
    let cells = |suffix: &[u8]| suffix_cells(&plan, suffix);
    assert_eq!(cells(b"eu\t17"), Some([Cell::text("eu"), Cell::Integer(17)].into()));
    for odd in [&b"eu"[..], b"eu\t17\t1", b"eu\tx", b"eu\t017", b"\xff\t1", b"a\0\t1", b""] {
        assert_eq!(cells(odd), None, "{odd:?}");
    }
    assert_eq!(key_text(&plan, &cells(b"eu\t17").expect("a key")), b"eu\t17");
}
