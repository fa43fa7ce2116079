//! Flushes.

use crate::kit::checks::Subject;
use crate::kit::command::{Command, flush_all, set};
use crate::kit::failure::Verdict;
use crate::time::Timestamp;

fn flush_prefix(prefix: &[u8]) -> Command {
    Command::Flush { prefix: Some(prefix.into()), when: None }
}

fn flush_at(prefix: Option<&[u8]>, second: u32) -> Command {
    Command::Flush { prefix: prefix.map(<[u8]>::to_vec), when: Some(Timestamp(second)) }
}

/// What is there is gone at once; what is stored after, in the same second, stays.
pub fn flush_removes_what_was_there(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.run(flush_all())?;
        let keys: [&[u8]; 6] = [b"a:1", b"a:2", b"a", b"ab", b"b:1", b"\xff\xff"];
        for key in keys {
            driver.stored(set(key, b"v"))?;
        }
        if subject.words(driver).prefix_flushes {
            driver.run(flush_prefix(b"a:"))?;
            driver.misses(b"a:1")?;
            driver.holds(b"a", b"v")?;
            driver.stored(set(b"a:1", b"after"))?;
            driver.holds_all()?;
            driver.run(flush_prefix(b"\xff"))?;
            driver.misses(b"\xff\xff")?;
            driver.run(flush_prefix(b"nobody"))?;
            driver.holds_all()?;
        }
        driver.run(flush_all())?;
        for key in keys {
            driver.misses(key)?;
        }
        driver.stored(set(b"a", b"after"))?;
        driver.holds(b"a", b"after")?;
        driver.clock().advance(1);
        driver.holds(b"a", b"after").map(drop)
    })
}

/// A flush for a second to come takes place at that second, and takes what was written meanwhile too.
pub fn flush_waits_for_its_second(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let start = driver.now().0;
        driver.stored(set(b"a:1", b"before"))?;
        driver.stored(set(b"b:1", b"before"))?;
        driver.run(flush_at(None, start + 5))?;
        driver.stored(set(b"a:2", b"meanwhile"))?;
        driver.clock().advance(4);
        driver.stored(set(b"a:3", b"meanwhile"))?;
        driver.holds(b"a:1", b"before")?;
        driver.clock().advance(1);
        driver.misses(b"a:1")?;
        driver.stored(set(b"a:2", b"after"))?;
        driver.misses(b"a:3")?;
        driver.misses(b"b:1")?;
        driver.clock().advance(5);
        driver.holds(b"a:2", b"after")?;
        // A later flush of the same scope replaces the one that waits.
        let now = driver.now().0;
        driver.run(flush_at(None, now + 2))?;
        driver.run(flush_at(None, now + 6))?;
        driver.clock().advance(3);
        driver.holds(b"a:2", b"after")?;
        driver.clock().advance(3);
        driver.misses(b"a:2")?;
        // So does one that does not wait.
        let now = driver.now().0;
        driver.run(flush_at(None, now + 2))?;
        driver.run(flush_all())?;
        driver.stored(set(b"a:2", b"later"))?;
        driver.clock().advance(2);
        driver.holds(b"a:2", b"later")?;
        if !subject.words(driver).prefix_flushes {
            return Ok(());
        }
        // A flush of one prefix leaves the others.
        driver.stored(set(b"a:1", b"v"))?;
        driver.stored(set(b"b:1", b"v"))?;
        let now = driver.now().0;
        driver.run(flush_at(Some(b"b:"), now + 2))?;
        driver.clock().advance(2);
        driver.misses(b"b:1")?;
        driver.holds(b"a:1", b"v")?;
        driver.stored(set(b"b:1", b"after"))?;
        driver.clock().advance(1);
        driver.holds(b"b:1", b"after").map(drop)
    })
}
