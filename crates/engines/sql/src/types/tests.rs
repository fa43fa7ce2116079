use super::*;

const UNIX32: (i64, i64) = (1, 2_147_483_647);

/// Each row: type, text of the client, and the text that comes back, or why not.
#[test]
fn texts_become_values_of_their_type_or_are_refused() {
    use Misfit::{Form, Size};
    let tiny = Kind::integer(8, false);
    let big = Kind::integer(64, true);
    let decimal = Kind::Decimal { precision: 10, scale: 3 };
    let varchar = Kind::Text { chars_max: Some(4), bytes_max: None, fixed: false, latin1: false };
    let char5 = Kind::Text { chars_max: Some(5), bytes_max: None, fixed: true, latin1: false };
    let binary4 = Kind::Binary { bytes_max: Some(4), fixed: true };
    let stamp = Kind::Timestamp { digits: 2, range: UNIX32 };
    let time = Kind::Time { digits: 0, span: true };
    let cases: Vec<(&Kind, &str, Result<&str, Misfit>)> = vec![
        (&tiny, "-128", Ok("-128")),
        (&tiny, "127", Ok("127")),
        (&tiny, "-129", Err(Size)),
        (&tiny, "128", Err(Size)),
        (&tiny, "1.5", Err(Form)),
        (&tiny, "abc", Err(Form)),
        (&tiny, "", Err(Form)),
        (&tiny, " 1", Err(Form)),
        (&tiny, "1 ", Err(Form)),
        (&tiny, "+1", Err(Form)),
        (&tiny, "999999999999999999999999999999999999999999", Err(Size)),
        (&big, "18446744073709551615", Ok("18446744073709551615")),
        (&big, "18446744073709551616", Err(Size)),
        (&big, "-1", Err(Size)),
        (&decimal, "7", Ok("7.000")),
        (&decimal, "-0.5", Ok("-0.500")),
        (&decimal, "1234567.891", Ok("1234567.891")),
        (&decimal, "0", Ok("0.000")),
        (&decimal, "-0", Ok("0.000")),
        (&decimal, "12345678", Err(Size)),
        (&decimal, "1.2345", Err(Size)),
        (&decimal, "1.2340", Ok("1.234")),
        (&decimal, "1,5", Err(Form)),
        (&decimal, ".", Err(Form)),
        (&Kind::Float { double: true }, "0.1", Ok("0.1")),
        (&Kind::Float { double: true }, "-2.5E-7", Ok("-0.00000025")),
        (&Kind::Float { double: true }, "1e400", Err(Size)),
        (&Kind::Float { double: true }, "inf", Err(Form)),
        (&Kind::Float { double: false }, "0.1", Ok("0.1")),
        (&varchar, "\u{20ac}\u{20ac}\u{20ac}\u{20ac}", Ok("\u{20ac}\u{20ac}\u{20ac}\u{20ac}")),
        (&varchar, "12345", Err(Size)),
        (&char5, "ab  ", Ok("ab")),
        (&binary4, "ab", Ok("ab\0\0")),
        (&binary4, "abcde", Err(Size)),
        (&Kind::Date, "2024-02-29", Ok("2024-02-29")),
        (&Kind::Date, "20240229", Ok("2024-02-29")),
        (&Kind::Date, "2023-02-29", Err(Form)),
        (&Kind::DateTime { digits: 6 }, "2024-01-02T03:04:05.678901", Ok("2024-01-02 03:04:05.678901")),
        (&Kind::DateTime { digits: 0 }, "2024-01-02 03:04:05.9", Ok("2024-01-02 03:04:05")),
        (&stamp, "1700000000.25", Ok("1700000000.25")),
        (&stamp, "2023-11-14 22:13:20.25", Ok("1700000000.25")),
        (&stamp, "4294967295", Err(Size)),
        (&time, "-12:30:05", Ok("-12:30:05")),
        (&time, "100:00:00", Ok("100:00:00")),
        (&time, "12:30", Ok("12:30:00")),
        (&time, "839:00:00", Err(Size)),
        (&Kind::Time { digits: 0, span: false }, "24:00:01", Err(Size)),
        (&Kind::Year, "1901", Ok("1901")),
        (&Kind::Year, "1900", Err(Size)),
        (&Kind::Year, "2156", Err(Size)),
        (&Kind::Year, "70", Err(Form)),
        (&Kind::Bit(5), "31", Ok("31")),
        (&Kind::Bit(5), "32", Err(Size)),
        (&Kind::Boolean, "true", Ok("1")),
        (&Kind::Boolean, "yes", Err(Form)),
    ];
    let options = ContainerOptions::default();
    for (kind, text, due) in cases {
        let read = read_text(kind, &options, &Bytes::copy_from_slice(text.as_bytes()));
        let shown = read.map(|cell| String::from_utf8_lossy(&show(kind, &options, &cell)).into_owned());
        assert_eq!(shown, due.map(String::from), "{kind:?} of {text:?}");
    }
    let labels = Kind::Enum(vec!["1".into(), "0".into()]);
    assert_eq!(read_text(&labels, &options, &Bytes::from_static(b"0")), Ok(Cell::text("0")));
    assert_eq!(read_text(&labels, &options, &Bytes::from_static(b"2")), Err(Form));
    assert_eq!(read_text(&Kind::text(), &options, &Bytes::from_static(b"\xff")), Err(Form));
}

#[test]
fn options_change_how_texts_are_read_and_shown() {
    let ndb = ContainerOptions {
        time_input: TimeInput::Ndb,
        timestamp_format: TimestampFormat::Iso,
        decimal_round: true,
        pad_char: true,
        ..ContainerOptions::default()
    };
    let shown = |kind: &Kind, text: &str| {
        let cell = read_text(kind, &ndb, &Bytes::copy_from_slice(text.as_bytes())).expect("it can be read");
        String::from_utf8(show(kind, &ndb, &cell).to_vec()).expect("text")
    };
    assert_eq!(shown(&Kind::Time { digits: 0, span: true }, "12:30"), "00:12:30");
    assert_eq!(shown(&Kind::Timestamp { digits: 0, range: UNIX32 }, "1700000000"), "2023-11-14 22:13:20Z");
    assert_eq!(shown(&Kind::Decimal { precision: 5, scale: 2 }, "9.995"), "10.00");
    assert_eq!(shown(&Kind::Decimal { precision: 5, scale: 2 }, "-0.005"), "-0.01");
    let char5 = Kind::Text { chars_max: Some(5), bytes_max: None, fixed: true, latin1: false };
    assert_eq!(shown(&char5, "ab"), "ab   ");
}

/// A key has one spelling, so that no two keys name one row.
#[test]
fn keys_have_one_spelling() {
    let options = ContainerOptions::default();
    let int = Kind::integer(32, false);
    let read =
        |kind: &Kind, text: &str| read_key_part(kind, &options, &Bytes::copy_from_slice(text.as_bytes()));
    assert_eq!(read(&int, "7"), Ok(Cell::Integer(7)));
    assert_eq!(read(&int, "-7"), Ok(Cell::Integer(-7)));
    for odd in ["07", "+7", " 7", "7 ", "-0", ""] {
        assert_eq!(read(&int, odd), Err(Misfit::Form), "{odd:?}");
    }
    assert_eq!(read(&int, "4294967303"), Err(Misfit::Size), "it must not wrap onto row 7");
    assert_eq!(read(&Kind::text(), ""), Ok(Cell::text("")));
    assert_eq!(read(&Kind::Date, ""), Err(Misfit::Form));
}

#[test]
fn what_drivers_read_compares_with_what_clients_write() {
    let cases = [
        (Kind::integer(32, false), Cell::Blob(Bytes::from_static(b"12")), Cell::Integer(12)),
        (
            Kind::Binary { bytes_max: None, fixed: false },
            Cell::text("x"),
            Cell::Blob(Bytes::from_static(b"x")),
        ),
        (Kind::text(), Cell::Blob(Bytes::from_static(b"x")), Cell::text("x")),
        (Kind::Decimal { precision: 5, scale: 2 }, Cell::Integer(4), Cell::text("4.00")),
        (Kind::Boolean, Cell::text("true"), Cell::text("1")),
        (Kind::text(), Cell::Null, Cell::Null),
    ];
    for (kind, read, due) in cases {
        assert_eq!(settle(&kind, read.clone()), due, "{kind:?} of {read:?}");
    }
}

#[test]
fn moments_are_seconds_rounded_up_and_clamped() {
    assert_eq!(second_of(&Cell::text("1970-01-01 00:00:10")), Some(10));
    assert_eq!(second_of(&Cell::text("1970-01-01 00:00:10.001")), Some(11));
    assert_eq!(second_of(&Cell::text("1970-01-01 00:00:10.000")), Some(10));
    assert_eq!(second_of(&Cell::text("2000-02-29 12:00:00+00")), Some(951_825_600));
    assert_eq!(second_of(&Cell::text("0000-00-00")), None);
    let narrow = Kind::Timestamp { digits: 0, range: UNIX32 };
    assert_eq!(moment_of(&narrow, u32::MAX), Cell::text("2038-01-19 03:14:07"));
    assert_eq!(moment_of(&Kind::DateTime { digits: 0 }, 86_400), Cell::text("1970-01-02 00:00:00"));
    for second in [0, 951_782_400, 1_709_164_800, 4_102_444_799u32] {
        let cell = moment_of(&Kind::DateTime { digits: 0 }, second);
        assert_eq!(second_of(&cell), Some(i64::from(second)));
    }
}
