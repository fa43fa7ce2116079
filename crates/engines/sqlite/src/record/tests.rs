use super::*;

fn kept() -> Kept {
    Kept {
        version: 7,
        cas: 7,
        expiry: Expiry::NEVER,
        flags: 0,
        stale: false,
        token_taken: false,
        value: "value".into(),
    }
}

fn full() -> Kept {
    Kept {
        version: 0x0102_0304_0506_0708,
        cas: u64::MAX,
        expiry: Expiry::at(1_700_000_000),
        flags: 0xDEAD_BEEF,
        stale: true,
        token_taken: true,
        value: vec![0, 255, 10].into(),
    }
}

fn sample() -> Vec<u8> {
    let mut encoder = Encoder::new(vec![9; 100]);
    encoder.latest(b"a", &Latest::Item(kept()));
    encoder.latest(b"\0bin", &Latest::Item(full()));
    encoder.latest(b"gone", &Latest::Gone(9));
    encoder.in_table(b"large", 10);
    encoder.finish()
}

fn decode_all(blob: &[u8]) -> Result<Vec<(Vec<u8>, Record)>, String> {
    let mut records = Vec::new();
    decode(blob, |key, record| {
        records.push((key.to_vec(), record));
        Ok(())
    })?;
    Ok(records)
}

#[test]
fn what_is_written_is_read() {
    let records = decode_all(&sample()).unwrap();
    assert_eq!(
        records,
        [
            (b"a".to_vec(), Record::Latest(Latest::Item(kept()))),
            (b"\0bin".to_vec(), Record::Latest(Latest::Item(full()))),
            (b"gone".to_vec(), Record::Latest(Latest::Gone(9))),
            (b"large".to_vec(), Record::InTable(10)),
        ]
    );
}

#[test]
fn the_form_on_disk_stays_as_documented() {
    let hex: String = sample().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = concat!(
    "016f2f7648",
    "01010700000000000000050000006176616c7565",
    "7d040807060504030201efbeadde00f15365ffffffffffffffff030000000062696e00ff0a",
    "02040900000000000000676f6e65",
    "03050a000000000000006c61726765"
);

#[test]
fn any_damaged_byte_is_found() {
    let blob = sample();
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x10;
        assert!(decode_all(&damaged).is_err(), "byte {at}");
    }
    for length in 0..blob.len() {
        assert!(decode_all(&blob[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn nonsense_with_a_right_checksum_is_an_error() {
    for body in
        [&b"\x01"[..], &[0; 12], &[KIND_PUT, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[KIND_PUT, 255, 0], &[0x81; 40]]
    {
        let mut blob = vec![FORMAT_VERSION];
        blob.extend_from_slice(&crc32(body).to_le_bytes());
        blob.extend_from_slice(body);
        assert!(decode_all(&blob).is_err(), "{body:?}");
    }
}
