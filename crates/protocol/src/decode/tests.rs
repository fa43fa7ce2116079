use super::*;
use crate::request::*;
use crate::{Form, LINE_BYTES_MAX, TextForm};

const LIMITS: Limits =
    Limits { item_bytes_max: 1000, multiget_line_bytes_max: 8000, value_bytes_inline_max: 100 };

fn decoder() -> Decoder {
    Decoder::new(LIMITS, Choice::Auto)
}

#[test]
fn an_empty_input_is_incomplete_and_decides_nothing() {
    let mut decoder = decoder();
    assert_eq!(decoder.decode(b"", &mut Scratch::default()), Decoded::Incomplete { input_bytes_min: 1 });
    assert_eq!(decoder.protocol(), None);
}

#[test]
fn the_first_byte_decides_for_good() {
    let mut decoder = decoder();
    decoder.decode(b"\x80", &mut Scratch::default());
    assert_eq!(decoder.protocol(), Some(Protocol::Binary));
    let closed = Decoded::Close { reply: None, reason: CloseReason::BadMagic };
    assert_eq!(decoder.decode(b"get a\r\n", &mut Scratch::default()), closed);
}

#[test]
fn a_fixed_protocol_is_kept() {
    let mut text = Decoder::new(LIMITS, Choice::Text);
    let mut scratch = Scratch::default();
    let Decoded::Request { request, .. } = text.decode(b"\x80\x00\r\n", &mut scratch) else {
        panic!("a line is a line");
    };
    assert_eq!(request.command, Command::Invalid(ProtocolError::UnknownCommand));

    let mut binary = Decoder::new(LIMITS, Choice::Binary);
    let closed = Decoded::Close { reply: None, reason: CloseReason::BadMagic };
    assert_eq!(binary.decode(b"get a\r\n", &mut Scratch::default()), closed);
}

#[test]
fn a_line_is_scanned_once() {
    let mut decoder = decoder();
    let line = [b"get ".as_slice(), &b"key ".repeat(1000), b"\r\n"].concat();
    for end in 1..line.len() {
        let incomplete = Decoded::Incomplete { input_bytes_min: end + 1 };
        assert_eq!(decoder.decode(&line[..end], &mut Scratch::default()), incomplete);
        assert_eq!(decoder.scanned, end);
    }
    let mut scratch = Scratch::default();
    match decoder.decode(&line, &mut scratch) {
        Decoded::Request { request: Request { command: Command::Get(get), .. }, consumed } => {
            assert_eq!(consumed, line.len());
            assert_eq!(get.keys.into_iter().count(), 1000);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(decoder.scanned, 0);
}

#[test]
fn lines_have_bounds() {
    let too_long = CloseReason::LineTooLong;
    let line = |name: &str, length: usize| [name.as_bytes(), &vec![b'k'; length - name.len()]].concat();
    let verdict = |bytes: &[u8]| match decoder().decode(bytes, &mut Scratch::default()) {
        Decoded::Close { reply, reason } => Some((reply.map(|(_, error)| error), reason)),
        _ => None,
    };
    let bound = LIMITS.multiget_line_bytes_max as usize;
    for name in ["get ", "gets ", "gat 0 ", "gats 0 ", "   get "] {
        for (length, expected) in
            [(bound, None), (bound + 1, Some((Some(ProtocolError::LineTooLong), too_long)))]
        {
            let unended = line(name, length);
            assert_eq!(verdict(&unended), expected, "{name} {length}");
            assert_eq!(verdict(&[unended, b"\n".to_vec()].concat()), expected, "{name} {length}");
        }
    }
    let spaces = " ".repeat(101) + "get ";
    for name in ["set ", "mg ", "getx", "", &spaces] {
        for (length, expected) in [(LINE_BYTES_MAX, None), (LINE_BYTES_MAX + 1, Some((None, too_long)))] {
            let unended = line(name, length);
            assert_eq!(verdict(&unended), expected, "{name} {length}");
            assert_eq!(verdict(&[unended, b"\n".to_vec()].concat()), expected, "{name} {length}");
        }
    }
}

#[test]
fn a_long_value_is_left_to_the_caller() {
    let mut decoder = decoder();
    let line = b"set a 1 2 101 noreply\r\n";
    let store = Store {
        key: b"a",
        mode: StoreMode::Set,
        flags: 1,
        exptime: crate::ExpTime(2),
        compare: None,
        new_cas: None,
        older_marks_stale: false,
        vivify: None,
        value: b"",
    };
    let form = Form::Text(TextForm { noreply: true, with_cas: false });
    let expected = Decoded::Value {
        request: Request { command: Command::Store(store), form },
        consumed: line.len(),
        value_bytes: 101,
        trailer_bytes: 2,
    };
    let input = [line.as_slice(), &[b'v'; 102]].concat();
    assert_eq!(decoder.decode(line, &mut Scratch::default()), expected);
    assert_eq!(decoder.decode(&input, &mut Scratch::default()), expected);

    // Wholly there, or short: it comes with its request.
    let input = [line.as_slice(), &[b'v'; 101], b"\r\n"].concat();
    match decoder.decode(&input, &mut Scratch::default()) {
        Decoded::Request { request: Request { command: Command::Store(store), .. }, consumed } => {
            assert_eq!((store.value, consumed), ([b'v'; 101].as_slice(), input.len()));
        }
        other => panic!("{other:?}"),
    }
    let short = b"set a 1 2 100\r\nx";
    let expected = Decoded::Incomplete { input_bytes_min: 15 + 100 + 2 };
    assert_eq!(decoder.decode(short, &mut Scratch::default()), expected);
}

#[test]
fn a_long_binary_value_has_no_trailer() {
    let mut decoder = decoder();
    let mut packet = [0; 33];
    (packet[0], packet[1], packet[3], packet[4]) = (0x80, 0x01, 1, 8);
    packet[8..12].copy_from_slice(&(8 + 1 + 101u32).to_be_bytes());
    packet[32] = b'a';
    let expected = Decoded::Incomplete { input_bytes_min: 33 };
    assert_eq!(decoder.decode(&packet[..32], &mut Scratch::default()), expected);
    match decoder.decode(&packet, &mut Scratch::default()) {
        Decoded::Value { request, consumed: 33, value_bytes: 101, trailer_bytes: 0 } => {
            assert!(matches!(request.command, Command::Store(Store { key: b"a", .. })));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_too_large_is_thrown_away_as_it_comes() {
    let mut decoder = decoder();
    let mut scratch = Scratch::default();
    match decoder.decode(b"set a 0 0 1001\r\nxxx", &mut scratch) {
        Decoded::Request { request: Request { command: Command::TooLarge(refused), .. }, consumed: 19 } => {
            assert_eq!(
                (refused.key, refused.removes_old, refused.value_bytes),
                (b"a".as_slice(), true, 1001)
            );
        }
        other => panic!("{other:?}"),
    }
    let more = [b'x'; 600];
    assert_eq!(decoder.decode(&more, &mut Scratch::default()), Decoded::Skipped { consumed: 600 });
    assert_eq!(decoder.decode(b"", &mut Scratch::default()), Decoded::Incomplete { input_bytes_min: 1 });
    assert_eq!(decoder.decode(&more, &mut Scratch::default()), Decoded::Skipped { consumed: 400 });
    match decoder.decode(b"mn\r\n", &mut scratch) {
        Decoded::Request { request, consumed: 4 } => assert_eq!(request.command, Command::Noop),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_at_the_limit_is_taken() {
    let input = [b"set a 0 0 1000\r\n".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
    let mut scratch = Scratch::default();
    match decoder().decode(&input, &mut scratch) {
        Decoded::Request { request: Request { command: Command::Store(store), .. }, .. } => {
            assert_eq!(store.value.len(), 1000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn trailers() {
    assert_eq!(check_trailer(b"\r\n"), Ok(()));
    assert_eq!(check_trailer(b""), Ok(()));
    for trailer in [b"\n\n", b"\rn", b"xx"] {
        assert_eq!(check_trailer(trailer), Err(ProtocolError::BadDataChunk));
    }
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 32, "{} bytes for each idle connection", size_of::<Decoder>());
}

#[test]
fn numbers() {
    use super::tokens::{parse_i64, parse_u64};
    for (text, number) in [
        ("0", Some(0)),
        ("007", Some(7)),
        ("+7", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("0000000000000000000000000001", Some(1)),
        ("18446744073709551616", None),
        ("99999999999999999999", None),
        ("", None),
        ("+", None),
        ("-1", None),
        ("1x", None),
        ("1.5", None),
        ("++1", None),
    ] {
        assert_eq!(parse_u64(text.as_bytes()), number, "{text}");
    }
    for (text, number) in [
        ("-1", Some(-1)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("-9223372036854775809", None),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("-", None),
        ("--1", None),
        ("-+1", None),
        ("+1", Some(1)),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), number, "{text}");
    }
}

#[test]
fn tokens_of_every_length() {
    for length in 1..40 {
        let token = vec![b'!'; length];
        let line = [b"  ".as_slice(), &token, b" ", &token].concat();
        assert_eq!(split_token(&line), Some((token.as_slice(), &line[2 + length..])));
        assert_eq!(split_token(&token), Some((token.as_slice(), b"".as_slice())));
    }
    assert_eq!(split_token(b"   "), None);
    // Bytes that differ from a space by a borrow.
    let line = b"\x21\x1f\xa0\x20\x21";
    assert_eq!(split_token(line), Some((&line[..3], &line[3..])));
}
