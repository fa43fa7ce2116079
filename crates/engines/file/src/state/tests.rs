use super::*;

fn state() -> State {
    let mut flushes = Flushes::default();
    flushes.add(b"user:", 17);
    flushes.wait(b"", Timestamp(1_900_000_000));
    let stopped = Stopped { expires_first: 1_800_000_000, shards: vec![(0x0f, 2, 345), (0xff, 1, 99)] };
    State { ids_reserved: 1_000_001, flushes, stopped: Some(stopped) }
}

/// The format of version 1.
#[test]
fn a_state_is_lines_of_text() {
    let expected = "larder-state 1\nids 1000001\nflush 17 prefix=user%3a\nflush-at 1900000000 prefix=\n\
                    stopped expires-first=1800000000\nshard 0f 2 345\nshard ff 1 99\n";
    let sum = format!("sum {:08x}\n", crc32(expected.as_bytes()));
    let encoded = String::from_utf8(state().encode()).unwrap();
    assert_eq!(encoded, [expected, &sum].concat());
    assert_eq!(State::decode(encoded.as_bytes()).unwrap(), state());
    let running = State { stopped: None, ..state() };
    assert_eq!(State::decode(&running.encode()).unwrap(), running);
}

#[test]
fn a_changed_state_is_refused() {
    let sound = state().encode();
    for index in 0..sound.len() {
        let mut changed = sound.clone();
        changed[index] ^= 1;
        State::decode(&changed).unwrap_err();
        State::decode(&sound[..index]).unwrap_err();
    }
    let nonsense = with_sum(format!("{STATE_START}\nids 5\nwhat now\n"));
    let said = State::decode(&nonsense).unwrap_err();
    assert!(said.contains("what now"), "{said}");
}

#[test]
fn warm_keys_keep_their_order() {
    let keys: [Box<[u8]>; 3] = [b"b\n"[..].into(), b"a"[..].into(), b"\xff"[..].into()];
    let encoded = encode_warm(&keys);
    assert_eq!(decode_warm(&encoded).unwrap(), keys.map(Vec::from));
    decode_warm(&encoded[1..]).unwrap_err();
    assert_eq!(decode_warm(&encode_warm(&[])).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn the_format_names_its_version() {
    assert_eq!(read_format(format_text().as_bytes()), Some(VERSION));
    assert_eq!(read_format(b"larder file store, format 99\nwhatever\xff"), Some(99));
    for foreign in ["", "dear diary", "larder file store, format", "larder file store, format x"] {
        assert_eq!(read_format(foreign.as_bytes()), None);
    }
}
