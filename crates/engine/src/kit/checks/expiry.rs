//! Expiry, to the second.

use crate::error::ErrorKind;
use crate::kit::checks::Subject;
use crate::kit::command::{Outcome, delete, delete_with, get, get_with, increment, set, store, touch};
use crate::kit::driver::Driver;
use crate::kit::failure::{Verdict, require};
use crate::request::{Delete, Get, Mode};
use crate::time::Expiry;

fn seconds(driver: &Driver, count: u32) -> Expiry {
    Expiry::at(driver.now().0 + count)
}

/// With n seconds left an item is there until second n - 1 and gone at second n.
pub fn items_expire_at_their_second(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        for (key, count) in [(b"k1", 1u32), (b"k2", 2), (b"k5", 5)] {
            let expiry = seconds(driver, count);
            driver.stored(set(key, b"v").expiry(expiry))?;
        }
        driver.stored(set(b"forever", b"v"))?;
        driver.stored(set(b"past", b"v").expiry(Expiry::PAST))?;
        driver.misses(b"past")?;
        let this_second = Expiry::at(driver.now().0);
        driver.stored(set(b"now", b"v").expiry(this_second))?;
        driver.misses(b"now")?;
        for second in 0..6u32 {
            for (key, count) in [(b"k1", 1u32), (b"k2", 2), (b"k5", 5)] {
                let due = second < count;
                let outcome = driver.run(get(key))?;
                require((outcome != Outcome::Missing) == due, || {
                    format!("an item with {count} seconds to live, {second} seconds later: got {outcome}")
                })?;
            }
            driver.clock().advance(1);
        }
        driver.clock().advance(100_000_000);
        driver.holds(b"forever", b"v").map(drop)
    })
}

/// An expired item counts as missing, whatever is asked.
pub fn expired_items_are_missing_for_every_command(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let keys: [&[u8]; 12] = [
            b"get", b"add", b"replace", b"append", b"prepend", b"cas", b"delete", b"mark", b"incr", b"touch",
            b"gat", b"many",
        ];
        let expiry = seconds(driver, 3);
        let mut cas = 0;
        for key in keys {
            cas = driver.stored(set(key, b"1").expiry(expiry))?.cas;
        }
        driver.clock().advance(3);
        let later = seconds(driver, 1000);
        driver.misses(b"get")?;
        driver.stored(store(Mode::Add, b"add", b"2"))?;
        driver.refused(store(Mode::Replace, b"replace", b"2"), ErrorKind::NotStored)?;
        driver.refused(store(Mode::Append, b"append", b"2"), ErrorKind::NotStored)?;
        driver.refused(store(Mode::Prepend, b"prepend", b"2"), ErrorKind::NotStored)?;
        driver.refused(set(b"cas", b"2").compare(cas), ErrorKind::NotFound)?;
        driver.refused(delete(b"delete"), ErrorKind::NotFound)?;
        let mark = Delete { mark_stale: true, ..Delete::default() };
        driver.refused(delete_with(b"mark", mark), ErrorKind::NotFound)?;
        driver.refused(increment(b"incr", 1), ErrorKind::NotFound)?;
        driver.refused(touch(b"touch", later), ErrorKind::NotFound)?;
        driver.run(get_with(b"gat", Get { touch: Some(later), ..Get::plain() }))?;
        let many = driver.executor().block_on(driver.client().get_many(&[b"many"], &Get::plain()));
        require(many == [Outcome::Missing], || format!("get_many of an expired item gave {}", many[0]))?;
        for key in keys.iter().filter(|key| ***key != b"add"[..]) {
            driver.misses(key)?;
        }
        driver.stored(set(b"get", b"again"))?;
        driver.holds(b"get", b"again").map(drop)
    })
}

/// touch and get-and-touch set the expiry, forward, backward and to never.
pub fn touch_moves_the_expiry(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let soon = seconds(driver, 5);
        driver.refused(touch(b"k", soon), ErrorKind::NotFound)?;
        driver.misses(b"k")?;
        for key in [b"a", b"b", b"c", b"d"] {
            driver.stored(set(key, b"v").flags(2).expiry(soon))?;
        }
        let later = seconds(driver, 50);
        driver.run(touch(b"a", later))?;
        driver.run(touch(b"b", Expiry::NEVER))?;
        let read = driver.hit(get_with(b"c", Get { touch: Some(later), ..Get::plain() }))?.0;
        require(read.expiry == later, || {
            format!("get with touch answers the new expiry; got {:?}", read.expiry)
        })?;
        driver.run(touch(b"d", Expiry::PAST))?;
        driver.misses(b"d")?;
        driver.clock().advance(49);
        driver.holds(b"a", b"v")?;
        driver.holds(b"c", b"v")?;
        driver.clock().advance(1);
        driver.misses(b"a")?;
        driver.misses(b"c")?;
        driver.clock().advance(1_000_000);
        driver.holds(b"b", b"v")?;
        driver.run(get_with(b"b", Get { touch: Some(Expiry::PAST), ..Get::plain() }))?;
        driver.misses(b"b")
    })
}
