use proptest::prelude::*;

use super::*;

#[test]
fn names_are_readable_where_keys_are() {
    for (key, name) in [
        ("user-1_a.b", "user-1_a.b"),
        ("user:1", "user%3a1"),
        ("User", "%55ser"),
        (".", "%2e"),
        ("..", "%2e%2e"),
        (".hidden", "%2ehidden"),
        ("ends.", "ends%2e"),
        ("a/b", "a%2fb"),
        ("50%", "50%25"),
        ("sp ace\n", "sp%20ace%0a"),
        ("ä", "%c3%a4"),
    ] {
        assert_eq!(name_of(key.as_bytes()), name);
        assert_eq!(read(name), Some(Named::Key(key.into())));
    }
}

#[test]
fn long_keys_have_names_that_fit_and_differ() {
    let long = |last: u8| [vec![b'A'; 249], vec![last]].concat();
    let (one, other) = (name_of(&long(b'x')), name_of(&long(b'y')));
    assert_ne!(one, other);
    for name in [&one, &other] {
        assert!(name.len() <= NAME_BYTES_MAX && name.starts_with("%41%41"), "{name}");
        assert_eq!(read(name), Some(Named::Long));
    }
    // As long as a name may be, and no longer: 250 letters fit, of which two are escaped.
    let just = [vec![b'a'; 248], vec![b'A', b'B']].concat();
    assert_eq!(read(&name_of(&just)), Some(Named::Key(just)));
    let over = [vec![b'a'; 247], vec![b'A'; 3]].concat();
    assert_eq!(read(&name_of(&over)), Some(Named::Long));
}

#[test]
fn other_names_are_nobodys() {
    let strange = [
        "",
        ".",
        "..",
        ".DS_Store",
        "README",
        "a b",
        "a%3A",
        "a%3",
        "a%zz",
        "%61",
        "x%-abc",
        "a~",
        "Thumbs.db",
    ];
    for name in strange {
        assert_eq!(read(name), None, "{name}");
    }
    assert_eq!(read_shard("0f"), Some(15));
    for name in ["f", "0F", "00f", "xx", "+1"] {
        assert_eq!(read_shard(name), None, "{name}");
    }
}

/// Keys that collide easily: few letters, both cases, dots, signs.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"aAbB.%-2e/".to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 1..=KEY_LENGTH_MAX)
}

proptest! {
    #[test]
    fn any_key_has_a_name_that_reads_back(key in key()) {
        let name = name_of(&key);
        prop_assert!(name.len() <= NAME_BYTES_MAX);
        prop_assert_eq!(name.to_ascii_lowercase(), name.as_str());
        match read(&name) {
            Some(Named::Key(read)) => prop_assert_eq!(read, key),
            named => prop_assert_eq!(named, Some(Named::Long)),
        }
    }

    #[test]
    fn keys_that_differ_have_names_that_differ(one in key(), other in key()) {
        prop_assume!(one != other);
        prop_assert_ne!(name_of(&one), name_of(&other));
    }

    #[test]
    fn text_is_read_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(from_text(&to_text(&bytes)), Some(bytes));
    }
}
