use super::*;
use crate::*;

fn reply(bytes: &[u8]) -> Reply<'_> {
    match ReplyDecoder::new(Protocol::Text).decode(bytes) {
        DecodedReply::Reply { reply, consumed } if consumed == bytes.len() => reply,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

#[test]
fn lines() {
    for (line, expected) in [
        (&b"END\r\n"[..], Reply::End),
        (b"STORED\r\n", Reply::Stored),
        (b"NOT_STORED\r\n", Reply::NotStored),
        (b"EXISTS\r\n", Reply::Exists),
        (b"NOT_FOUND\r\n", Reply::NotFound),
        (b"DELETED\r\n", Reply::Deleted),
        (b"TOUCHED\r\n", Reply::Touched),
        (b"OK\r\n", Reply::Ok),
        (b"15\r\n", Reply::Number(15)),
        // memcached pads a number that became shorter.
        (b"9 \r\n", Reply::Number(9)),
        (b"VERSION 1.6.45\r\n", Reply::Version(b"1.6.45")),
        (b"STAT pid 7\r\n", Reply::Stat { name: b"pid", value: b"7" }),
        (b"STAT domain_socket a b\r\n", Reply::Stat { name: b"domain_socket", value: b"a b" }),
        (b"ERROR\r\n", Reply::Error(b"ERROR")),
        (b"SERVER_ERROR gone\r\n", Reply::Error(b"SERVER_ERROR gone")),
        (b"CLIENT_ERROR bad data chunk\r\n", Reply::Error(b"CLIENT_ERROR bad data chunk")),
        (b"RESET\r\n", Reply::Line(b"RESET")),
        (b"MN\r\n", Reply::Meta(MetaReply { code: *b"MN", flags: b"", value: None })),
        (b"EN ka O1\r\n", Reply::Meta(MetaReply { code: *b"EN", flags: b"ka O1", value: None })),
        (b"VA 1 W\r\nx\r\n", Reply::Meta(MetaReply { code: *b"VA", flags: b"W", value: Some(b"x") })),
    ] {
        assert_eq!(reply(line), expected);
    }
}

#[test]
fn what_is_no_reply_is_broken() {
    for bytes in [
        &b"VALUE a\r\n"[..],
        b"VALUE a 0 x\r\n",
        b"VALUE a 0 1\r\nxyz",
        b"VA x\r\n",
        b"VA \r\n",
        &[b'x'; 70_000],
    ] {
        assert!(matches!(ReplyDecoder::new(Protocol::Text).decode(bytes), DecodedReply::Broken(_)));
    }
    assert!(matches!(ReplyDecoder::new(Protocol::Binary).decode(b"ERROR\r\n"), DecodedReply::Broken(_)));
}

#[test]
fn what_a_form_cannot_say_leaves_no_trace() {
    let key = b"key";
    let delete = Delete {
        key,
        compare: Some(5),
        new_cas: None,
        mark_stale: false,
        drop_value: false,
        flags: 0,
        touch: None,
    };
    let mut out = b"before".to_vec();
    assert_eq!(Dialect::Text.encode(&Command::Delete(delete), 0, &mut out), Err(NotInForm));
    assert_eq!(Dialect::Binary.encode(&Command::MetaDebug { key }, 0, &mut out), Err(NotInForm));
    let spaced = Delete { key: b"a b", compare: None, ..delete };
    assert_eq!(Dialect::Text.encode(&Command::Delete(spaced), 0, &mut out), Err(NotInForm));
    assert_eq!(out, b"before");
    Dialect::Meta.encode(&Command::Delete(spaced), 3, &mut out).unwrap();
    assert_eq!(out, b"beforemd YSBi O3 b\r\n");
}
