//! Store commands.

use crate::error::ErrorKind;
use crate::kit::checks::Subject;
use crate::kit::command::{HandOver, StoreCommand, delete, get, get_with, increment, set, store, touch};
use crate::kit::failure::{Verdict, require};
use crate::request::{Get, Mode, Older};
use crate::time::Expiry;

/// set, add and replace by what is there; the others' keys stay.
pub fn modes_look_at_what_is_there(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.misses(b"a")?;
        driver.stored(set(b"a", b"one").flags(7))?;
        driver.stored(set(b"b", b"other").flags(1))?;
        require(driver.holds(b"a", b"one")?.flags == 7, || {
            "get \"a\": the flags 7 did not come back".into()
        })?;
        driver.stored(set(b"a", b"two").flags(u32::MAX))?;
        driver.holds(b"a", b"two")?;
        driver.refused(store(Mode::Add, b"a", b"three"), ErrorKind::NotStored)?;
        driver.holds(b"a", b"two")?;
        driver.stored(store(Mode::Add, b"c", b"added").flags(3))?;
        driver.refused(store(Mode::Replace, b"d", b"nothing"), ErrorKind::NotStored)?;
        driver.misses(b"d")?;
        driver.stored(store(Mode::Replace, b"c", b"replaced").flags(4))?;
        driver.holds(b"c", b"replaced")?;
        driver.holds(b"b", b"other").map(drop)
    })
}

/// append and prepend join values and keep flags and expiry.
pub fn append_and_prepend_join(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let expiry = Expiry::at(driver.now().0 + 100);
        for mode in [Mode::Append, Mode::Prepend] {
            driver.refused(store(mode, b"none", b"x"), ErrorKind::NotStored)?;
            driver.refused(store(mode, b"none", b"x").compare(1), ErrorKind::NotStored)?;
        }
        driver.stored(set(b"k", b"middle").flags(9).expiry(expiry))?;
        driver.stored(store(Mode::Append, b"k", b"-end").flags(1))?;
        driver.stored(store(Mode::Prepend, b"k", b"start-").flags(2))?;
        let found = driver.holds(b"k", b"start-middle-end")?;
        require((found.flags, found.expiry) == (9, expiry), || {
            "append and prepend must leave flags and expiry as they are".into()
        })?;
        driver.stored(store(Mode::Append, b"k", b""))?;
        driver.stored(set(b"empty", b""))?;
        driver.stored(store(Mode::Append, b"empty", b"x"))?;
        driver.stored(store(Mode::Prepend, b"empty", b"w"))?;
        driver.holds(b"empty", b"wx")?;
        let cas = driver.holds(b"k", b"start-middle-end")?.cas;
        driver.refused(store(Mode::Append, b"k", b"!").compare(cas + 1), ErrorKind::Exists)?;
        driver.stored(store(Mode::Append, b"k", b"!").compare(cas))?;
        let vivified = Expiry::at(driver.now().0 + 50);
        for (mode, key) in [(Mode::Append, b"va"), (Mode::Prepend, b"vp")] {
            driver.stored(StoreCommand { vivify: Some(vivified), ..store(mode, key, b"new").flags(5) })?;
            let found = driver.holds(key, b"new")?;
            require((found.flags, found.expiry) == (5, vivified), || {
                "append or prepend that creates an item gives it its flags and the expiry of vivify".into()
            })?;
        }
        Ok(())
    })
}

/// A store with a CAS to compare succeeds only on an item that has it.
pub fn compare_guards_stores(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.refused(set(b"k", b"x").compare(1), ErrorKind::NotFound)?;
        driver.refused(store(Mode::Replace, b"k", b"x").compare(1), ErrorKind::NotFound)?;
        let first = driver.stored(set(b"k", b"one"))?.cas;
        driver.refused(set(b"k", b"x").compare(first + 1), ErrorKind::Exists)?;
        driver.refused(set(b"k", b"x").compare(0), ErrorKind::Exists)?;
        driver.refused(set(b"k", b"x").compare(u64::MAX), ErrorKind::Exists)?;
        driver.holds(b"k", b"one")?;
        let second = driver.stored(set(b"k", b"two").compare(first))?.cas;
        driver.refused(set(b"k", b"x").compare(first), ErrorKind::Exists)?;
        let third = driver.stored(store(Mode::Replace, b"k", b"three").compare(second))?.cas;
        // add does not look at the CAS.
        driver.refused(store(Mode::Add, b"k", b"x").compare(third), ErrorKind::NotStored)?;
        driver.stored(store(Mode::Add, b"fresh", b"x").compare(12345))?;
        driver.refused(delete_if(b"k", first), ErrorKind::Exists)?;
        driver.deleted(delete_if(b"k", third))?;
        driver.refused(set(b"k", b"x").compare(third), ErrorKind::NotFound)
    })
}

fn delete_if(key: &[u8], cas: u64) -> crate::kit::Command {
    crate::kit::command::delete_with(key, crate::Delete { compare: Some(cas), ..Default::default() })
}

/// Every change of a value gives a higher CAS; touch and reads leave it; no two items share one.
pub fn cas_ids_grow_and_differ(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let mut last = 0;
        let mut grows = |cas: u64, what: &str| {
            let grown = cas > last;
            let text = format!("{what}: CAS {cas} does not exceed {last}, given before");
            last = cas;
            require(grown, || text)
        };
        grows(driver.stored(set(b"k", b"5"))?.cas, "set")?;
        grows(driver.stored(set(b"other", b"5"))?.cas, "set of another key")?;
        grows(driver.stored(set(b"k", b"5"))?.cas, "set of the same value")?;
        grows(driver.stored(store(Mode::Append, b"k", b"1"))?.cas, "append")?;
        grows(driver.number(increment(b"k", 1))?.cas, "incr")?;
        grows(driver.number(increment(b"k", 0))?.cas, "incr by 0")?;
        let before = driver.hit(get(b"k"))?.0.cas;
        driver.run(touch(b"k", Expiry::at(driver.now().0 + 10)))?;
        driver.run(get_with(b"k", Get { touch: Some(Expiry::NEVER), ..Get::plain() }))?;
        require(driver.hit(get(b"k"))?.0.cas == before, || "touch must leave the CAS".into())?;
        driver.deleted(delete(b"k"))?;
        grows(driver.stored(set(b"k", b"again"))?.cas, "set after a delete")
    })
}

/// A CAS the client chooses is the item's; the engine's own go on growing.
pub fn chosen_cas_ids_are_kept(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        for cas in [1, 77, u64::MAX] {
            let stored = driver.stored(set(b"k", b"10").new_cas(cas))?;
            require(stored.cas == cas, || format!("set with new_cas={cas} answered CAS {}", stored.cas))?;
            driver.holds(b"k", b"10")?;
            driver.stored(set(b"k", b"11").compare(cas))?;
        }
        driver.stored(store(Mode::Append, b"k", b"1").new_cas(500))?;
        let counted = crate::Arithmetic {
            new_cas: Some(600),
            ..crate::kit::command::step(crate::Direction::Increment, 1)
        };
        driver.number(crate::kit::command::arithmetic(b"k", counted))?;
        let found = driver.holds(b"k", b"112")?;
        require(found.cas == 600, || format!("incr with new_cas=600 left CAS {}", found.cas))?;
        driver.stored(set(b"k", b"x")).map(drop)
    })
}

/// With [`Older::MarkStale`] a store that comes late with an older CAS is taken and marked.
pub fn older_cas_may_mark_stale(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let expiry = Expiry::at(driver.now().0 + 100);
        let mark = |value: &[u8], cas| StoreCommand { older: Older::MarkStale, ..set(b"k", value).compare(cas) };
        driver.refused(mark(b"x", 1), ErrorKind::NotFound)?;
        let old = driver.stored(set(b"k", b"one"))?.cas;
        let new = driver.stored(set(b"k", b"two").expiry(expiry))?.cas;
        driver.refused(mark(b"x", new + 1), ErrorKind::Exists)?;
        driver.stored(mark(b"late", old).flags(3))?;
        let found = driver.holds(b"k", b"late")?;
        require(found.stale && found.expiry == expiry && found.flags == 3, || {
            format!("a store with an older CAS takes value and flags, keeps the expiry, marks stale; got {found:?}")
        })?;
        driver.stored(mark(b"right", found.cas))?;
        require(!driver.holds(b"k", b"right")?.stale, || {
            "a store whose CAS is the item's clears the stale mark".into()
        })?;
        driver.stored(StoreCommand { stale: true, ..set(b"s", b"carried") })?;
        require(driver.holds(b"s", b"carried")?.stale, || "a store may bring the stale mark with it".into())
    })
}

/// Borrowed, owned, and written into memory the engine reserved: the value is the same.
pub fn values_may_be_handed_over_in_any_way(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        for (index, hand_over) in
            [HandOver::Borrowed, HandOver::Owned, HandOver::Reserved].into_iter().enumerate()
        {
            for length in [0usize, 1, 100, 3000, 70_000] {
                let key = format!("{index}-{length}");
                let value: Vec<u8> = (0..length).map(|at| (at * 7 + index) as u8).collect();
                driver.stored(set(key.as_bytes(), &value).flags(length as u32).handed(hand_over))?;
                driver.holds(key.as_bytes(), &value)?;
            }
        }
        // A place that is never used, and one for a store that is refused, leave no trace.
        let unused = set(b"0-1", b"unused");
        drop(driver.executor().block_on(driver.client().reserve(&unused)));
        driver.refused(store(Mode::Add, b"0-1", b"x").handed(HandOver::Reserved), ErrorKind::NotStored)?;
        driver.stored(store(Mode::Append, b"0-100", b"tail").handed(HandOver::Reserved)).map(drop)
    })
}
