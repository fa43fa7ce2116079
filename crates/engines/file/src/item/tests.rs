use larder_engine::disk::LocalDisk;
use proptest::prelude::*;

use super::*;

fn kept(value: &[u8]) -> Kept {
    Kept {
        version: 12,
        cas: 7,
        expiry: Expiry::at(1_900_000_000),
        flags: 5,
        stale: true,
        token_taken: false,
        value: Bytes::copy_from_slice(value),
    }
}

/// The format of version 1, byte for byte.
#[test]
fn a_file_is_the_value_and_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let length = write(&LocalDisk, &path, b"user:1", &kept(b"hello")).unwrap();
    let content = std::fs::read(&path).unwrap();
    let expected = "hello\nlarder-item 1 bytes=5 crc=3610a686 flags=5 expires=1900000000 cas=7 version=12 \
                    state=stale key=user%3a1 sum=";
    let (start, sum) = content.split_at(expected.len());
    assert_eq!(start.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
    assert_eq!(sum, format!("{:08x}\n", crc32(&expected.as_bytes()[6..expected.len() - 5])).as_bytes());
    assert_eq!(length, content.len() as u64);
    assert_eq!(read_of(&LocalDisk, &path, b"user:1").unwrap(), Some(kept(b"hello")));
    assert!(matches!(read_of(&LocalDisk, &path, b"user:2"), Err(Problem::Damaged(_))));
    assert!(read(&LocalDisk, &folder.path().join("none")).unwrap().is_none());
}

#[test]
fn any_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&LocalDisk, &path, b"k", &kept(b"value\nwith\nlines\n")).unwrap();
    let sound = std::fs::read(&path).unwrap();
    for index in 0..sound.len() {
        let mut changed = sound.clone();
        changed[index] ^= 4;
        std::fs::write(&path, &changed).unwrap();
        assert!(matches!(read(&LocalDisk, &path), Err(Problem::Damaged(_))), "byte {index}");
    }
    for length in 0..sound.len() {
        std::fs::write(&path, &sound[..length]).unwrap();
        assert!(matches!(read(&LocalDisk, &path), Err(Problem::Damaged(_))), "cut to {length}");
    }
    std::fs::write(&path, [&sound[..], b"\n"].concat()).unwrap();
    assert!(matches!(read(&LocalDisk, &path), Err(Problem::Damaged(_))));
}

proptest! {
    #[test]
    fn items_are_read_back_as_they_were(
        key in prop::collection::vec(any::<u8>(), 1..=250),
        value in prop::collection::vec(any::<u8>(), 0..3000),
        numbers in any::<(u64, u64, u32, u32, bool, bool)>(),
    ) {
        let (version, cas, flags, expiry, stale, token_taken) = numbers;
        let expiry = Expiry::from_raw(expiry);
        let kept = Kept { version, cas, expiry, flags, stale, token_taken, value: value.into() };
        let tail = Line::of(&key, &kept).tail();
        prop_assert!(tail.len() <= TAIL_BYTES_MAX);
        let content = [&kept.value[..], tail.as_bytes()].concat();
        let start = content.len().saturating_sub(TAIL_BYTES_MAX);
        let line = Line::read(&content[start..], content.len() as u64).unwrap();
        prop_assert_eq!(line, Line::of(&key, &kept));
    }
}
