//! Deletes.

use crate::error::ErrorKind;
use crate::kit::checks::Subject;
use crate::kit::command::{delete, delete_with, get_with, set};
use crate::kit::failure::{Verdict, require};
use crate::request::{Delete, Get};
use crate::time::Expiry;

/// A delete removes the item, once.
pub fn deletes_delete(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.refused(delete(b"k"), ErrorKind::NotFound)?;
        driver.stored(set(b"k", b"v"))?;
        driver.stored(set(b"kk", b"neighbour"))?;
        driver.deleted(delete(b"k"))?;
        driver.misses(b"k")?;
        driver.refused(delete(b"k"), ErrorKind::NotFound)?;
        driver.stored(set(b"k", b"again"))?;
        driver.holds(b"k", b"again")?;
        driver.holds(b"kk", b"neighbour").map(drop)
    })
}

/// The forms that mark stale or drop the value keep the item and give it a new CAS.
pub fn gentle_deletes_keep_the_item(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let stale = Delete { mark_stale: true, ..Delete::default() };
        let drop_value = Delete { drop_value: Some(6), ..Delete::default() };
        driver.refused(delete_with(b"k", stale), ErrorKind::NotFound)?;
        driver.refused(delete_with(b"k", drop_value), ErrorKind::NotFound)?;
        let expiry = Expiry::at(driver.now().0 + 1000);
        let sooner = Expiry::at(driver.now().0 + 30);
        let first = driver.stored(set(b"k", b"value").flags(3).expiry(expiry))?.cas;
        driver.refused(delete_with(b"k", Delete { compare: Some(first + 1), ..stale }), ErrorKind::Exists)?;
        let marked = driver.deleted(delete_with(b"k", Delete { expiry: Some(sooner), ..stale }))?.cas;
        require(marked > first, || format!("marking stale gives a new CAS: {marked} after {first}"))?;
        let found = driver.holds(b"k", b"value")?;
        require(found.stale && found.expiry == sooner && found.flags == 3, || {
            format!("mark_stale keeps value and flags, sets the expiry asked for; got {found:?}")
        })?;
        let emptied = driver.deleted(delete_with(b"k", drop_value))?.cas;
        let found = driver.holds(b"k", b"")?;
        require(found.cas == emptied && found.flags == 6 && found.stale && found.expiry == sooner, || {
            format!("drop_value empties the item, sets its flags, keeps stale mark and expiry; got {found:?}")
        })?;
        driver.stored(set(b"k", b"new"))?;
        require(!driver.holds(b"k", b"new")?.stale, || "a store clears the stale mark".into())?;
        // A token that is out comes free when the item is marked stale once more.
        let read = || get_with(b"k", Get { tokens: true, ..Get::plain() });
        driver.deleted(delete_with(b"k", stale))?;
        driver.hit(read())?;
        driver.hit(read())?;
        driver.deleted(delete_with(b"k", stale))?;
        driver.hit(read())?;
        let chosen = Delete { new_cas: Some(42), mark_stale: true, ..drop_value };
        let answer = driver.deleted(delete_with(b"k", chosen))?;
        require(answer.cas == 42, || format!("delete with new_cas=42 answered CAS {}", answer.cas))?;
        driver.deleted(delete_with(b"k", Delete { compare: Some(42), ..Delete::default() }))?;
        driver.misses(b"k")
    })
}
