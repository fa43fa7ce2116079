//! Sizes and bytes of keys and values.

use crate::error::ErrorKind;
use crate::key::KEY_LENGTH_MAX;
use crate::kit::checks::Subject;
use crate::kit::command::{HandOver, delete, increment, set, store};
use crate::kit::failure::{Verdict, require};
use crate::kit::random::Random;
use crate::request::Mode;

/// Empty values, and values of all bytes.
pub fn values_may_be_any_bytes(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let all: Vec<u8> = (0..=255).collect();
        driver.stored(set(b"empty", b"").flags(1))?;
        driver.holds(b"empty", b"")?;
        driver.stored(set(b"all", &all))?;
        driver.holds(b"all", &all)?;
        driver.stored(set(b"lines", b"END\r\nVALUE all 0 1\r\n\0\0"))?;
        driver.stored(set(b"zeros", &[0; 100]))?;
        // From long to empty and back.
        driver.stored(set(b"all", b""))?;
        driver.holds(b"all", b"")?;
        driver.stored(store(Mode::Append, b"all", &all))?;
        driver.holds(b"all", &all).map(drop)
    })
}

/// Keys of 1 to 250 bytes, of all bytes; keys that are alike stay apart.
pub fn keys_may_be_any_bytes(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let mut keys: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        let longest = vec![b'k'; KEY_LENGTH_MAX];
        let mut twin = longest.clone();
        *twin.last_mut().expect("250 bytes") = b'l';
        keys.extend([longest.clone(), twin, longest[..KEY_LENGTH_MAX - 1].to_vec()]);
        keys.extend([vec![255; KEY_LENGTH_MAX], vec![0; KEY_LENGTH_MAX], b"a\0".to_vec(), b"a\0b".to_vec()]);
        keys.extend([
            b"key".to_vec(),
            b"KEY".to_vec(),
            "\u{e9}".into(),
            "e\u{301}".into(),
            b"'; --%_".to_vec(),
        ]);
        for (index, key) in keys.iter().enumerate() {
            driver.stored(set(key, index.to_string().as_bytes()).flags(index as u32))?;
        }
        driver.holds_all()?;
        for (index, key) in keys.iter().enumerate() {
            driver.holds(key, index.to_string().as_bytes())?;
        }
        for key in keys.iter().step_by(2) {
            driver.deleted(delete(key))?;
        }
        for key in keys.iter().skip(1).step_by(2) {
            driver.number(increment(key, 1))?;
        }
        Ok(())
    })
}

/// Values of up to 1 MiB (or what the engine keeps) come back whole.
pub fn large_values_come_back(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let mut random = Random::new(1);
        let longest = driver.value_max().min(1 << 20) as usize;
        let lengths = [4095, 4096, 4097, 65_535, 65_536, 500_000, longest - 1, longest];
        for (index, length) in lengths.into_iter().filter(|length| *length <= longest).enumerate() {
            let value = random.bytes(length);
            let hand_over = [HandOver::Borrowed, HandOver::Owned, HandOver::Reserved][index % 3];
            driver.stored(set(format!("k{length}").as_bytes(), &value).handed(hand_over))?;
            driver.stored(set(b"same", &value).handed(hand_over))?;
            driver.holds(format!("k{length}").as_bytes(), &value)?;
            driver.holds(b"same", &value)?;
        }
        driver.stored(set(b"same", b"small"))?;
        driver.holds(b"same", b"small").map(drop)
    })
}

/// What exceeds the engine's limit is refused; other items stay. Engines whose limit exceeds 16 MiB are asked for one
/// byte more by `reserve` alone.
pub fn too_large_is_refused(subject: &Subject<'_>) -> Verdict {
    const TRIED_MAX: u64 = 16 << 20;
    subject.drive(|driver| {
        let value_max = driver.value_max();
        require(value_max >= 1, || "item_size_max is 0".into())?;
        driver.stored(set(b"other", b"stays"))?;
        driver.stored(set(b"k", b"old"))?;
        if value_max > TRIED_MAX {
            let key = crate::Key::new(b"k");
            let length = usize::try_from(value_max + 1).unwrap_or(usize::MAX);
            let client = driver.client();
            let reply = client.engine().reserve(&client.context(), key, length, 0, crate::Expiry::NEVER);
            let refused =
                matches!(&reply, crate::Reply::Ready(Err(error)) if error.kind() == ErrorKind::TooLarge);
            return require(refused, || format!("reserve of {length} bytes was not refused as too large"));
        }
        let mut value = vec![b'x'; value_max as usize];
        driver.stored(set(b"full", &value))?;
        driver.refused(store(Mode::Append, b"full", b"y"), ErrorKind::NotStored)?;
        driver.refused(store(Mode::Prepend, b"full", b"y"), ErrorKind::NotStored)?;
        driver.holds(b"full", &value)?;
        value.push(b'x');
        for hand_over in [HandOver::Borrowed, HandOver::Owned, HandOver::Reserved] {
            driver.refused(set(b"k", &value).handed(hand_over), ErrorKind::TooLarge)?;
        }
        driver.refused(store(Mode::Add, b"fresh", &value), ErrorKind::TooLarge)?;
        driver.misses(b"fresh")?;
        driver.refused(store(Mode::Append, b"other", &value), ErrorKind::TooLarge)?;
        driver.stored(set(b"k", b"new"))?;
        driver.holds(b"k", b"new").map(drop)
    })
}
