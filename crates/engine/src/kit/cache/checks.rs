//! One client at a time.

use crate::cache::FillContent;
use crate::item::Token;
use crate::key::Key;
use crate::kit::command::{Outcome, flush_all, get, shown};
use crate::kit::failure::{Failure, Verdict, require};
use crate::request::Get;
use crate::time::{Expiry, Timestamp};

use super::{CacheDriver, Looked, MakeCache, content, expiring, item};

/// Evicting checks give up on caches larger than this.
const LIMIT_MAX: u64 = 256 << 20;

fn serves(driver: &CacheDriver, key: &[u8], value: &[u8]) -> Verdict {
    match driver.look(key)? {
        Looked::Fresh(_, got) if got == value => Ok(()),
        other => Err(Failure::new(format!(
            "look-up of {}\n  expected: a fresh copy {}\n  got:      {other:?}",
            shown(key),
            shown(value)
        ))),
    }
}

fn says(driver: &CacheDriver, key: &[u8], due: &Looked) -> Verdict {
    let got = driver.look(key)?;
    require(got == *due, || format!("look-up of {}\n  expected: {due:?}\n  got:      {got:?}", shown(key)))
}

fn accepted(filled: bool, what: &str) -> Verdict {
    require(filled, || format!("{what} was refused"))
}

fn refused(filled: bool, what: &str) -> Verdict {
    require(!filled, || format!("{what} was taken; it must be refused"))
}

/// What the store said comes back unchanged: value, flags, CAS, expiry, stale mark, token.
pub fn fills_are_served_as_they_are(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        says(driver, b"k", &Looked::Unknown)?;
        let expiry = Expiry::at(driver.now().0 + 100);
        for (version, stale, token) in
            [(0, false, Token::Free), (7, true, Token::Taken), (9, false, Token::Taken)]
        {
            for value in [&b""[..], b"value", &[0xff; 3000], &[7; 100_000]] {
                let mut filled = item(value, 1 << 40);
                filled.found.expiry = expiry;
                filled.found.expiry_before = expiry;
                filled.found.stale = stale;
                filled.found.token = token;
                let lease = driver.lease(b"k")?;
                accepted(driver.fill(&lease, FillContent::Item(filled.clone()), version)?, "a fill")?;
                let Looked::Fresh(found, got) = driver.look(b"k")? else {
                    return Err(Failure::new("what was filled is not served"));
                };
                let told = (found.flags, found.cas, found.expiry, found.stale, found.token);
                require(got == value && told == (5, 1 << 40, expiry, stale, token), || {
                    format!("filled: {:?}\n  served: {found:?} {}", filled.found, shown(&got))
                })?;
            }
        }
        let outcome = driver.executor.block_on(driver.client.run(&get(b"k")));
        require(matches!(outcome, Outcome::Found(..)), || format!("get of a filled item: {outcome}"))
    })
}

/// That the store has nothing is remembered until its second, and never hides a write.
pub fn absence_is_remembered_for_a_while(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let until = Timestamp(driver.now().0 + 3);
        let lease = driver.lease(b"k")?;
        accepted(driver.fill_until(&lease, FillContent::Absent, 0, Some(until))?, "a fill")?;
        drop(lease);
        says(driver, b"k", &Looked::Absent)?;
        let outcome = driver.executor.block_on(driver.client.run(&get(b"k")));
        require(outcome == Outcome::Missing, || format!("get of a key known to be absent: {outcome}"))?;
        driver.clock.advance(2);
        says(driver, b"k", &Looked::Absent)?;
        driver.clock.advance(1);
        let late = driver.look(b"k")?;
        require(late != Looked::Absent, || {
            "absence is still said at the second it was to be doubted".into()
        })?;
        let lease = driver.lease(b"k")?;
        driver.fill_until(&lease, FillContent::Absent, 0, Some(Timestamp(driver.now().0 + 100)))?;
        let write = driver.lease(b"k")?;
        accepted(driver.fill(&write, content(b"written", 3), 4)?, "a write's fill")?;
        serves(driver, b"k", b"written")?;
        // A delete is a write that leaves nothing.
        let delete = driver.lease(b"k")?;
        driver.fill_until(&delete, FillContent::Absent, 5, Some(Timestamp(driver.now().0 + 100)))?;
        let after = driver.look(b"k")?;
        require(matches!(after, Looked::Absent | Looked::Unknown), || {
            format!("look-up after a delete: {after:?}")
        })
    })
}

/// From its second on a copy is overdue: not served by a look-up, but kept for `get`.
pub fn copies_become_overdue(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let until = Timestamp(driver.now().0 + 3);
        let lease = driver.lease(b"k")?;
        accepted(driver.fill_until(&lease, content(b"v", 1), 0, Some(until))?, "a fill")?;
        drop(lease);
        driver.clock.advance(2);
        serves(driver, b"k", b"v")?;
        driver.clock.advance(1);
        says(driver, b"k", &Looked::Overdue)?;
        let outcome = driver.executor.block_on(driver.client.run(&get(b"k")));
        require(matches!(&outcome, Outcome::Found(_, value) if value == "v"), || {
            format!("get of an overdue copy\n  expected: the copy\n  got:      {outcome}")
        })?;
        let lease = driver.lease(b"k")?;
        accepted(driver.fill(&lease, content(b"again", 2), 0)?, "a fill over an overdue copy")?;
        serves(driver, b"k", b"again")
    })
}

/// A copy ends with its item, to the second, and one that has ended is not taken.
pub fn expired_copies_are_not_served(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let expiry = Expiry::at(driver.now().0 + 2);
        let until = Some(Timestamp(driver.now().0 + 1));
        for (key, fresh_until) in [(&b"fresh"[..], None), (b"overdue", until)] {
            let lease = driver.lease(key)?;
            driver.fill_until(&lease, expiring(b"v", 1, expiry), 0, fresh_until)?;
        }
        driver.clock.advance(1);
        serves(driver, b"fresh", b"v")?;
        driver.clock.advance(1);
        says(driver, b"fresh", &Looked::Unknown)?;
        says(driver, b"overdue", &Looked::Unknown)?;
        let lease = driver.lease(b"late")?;
        driver.fill(&lease, expiring(b"v", 1, expiry), 0)?;
        says(driver, b"late", &Looked::Unknown)
    })
}

/// A read that is to be given a token goes to the store.
pub fn token_hand_outs_are_referred(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let mut stale = item(b"v", 1);
        stale.found.stale = true;
        let lease = driver.lease(b"stale")?;
        driver.fill(&lease, FillContent::Item(stale.clone()), 0)?;
        let tokens = Get { tokens: true, ..Get::plain() };
        require(driver.look_with(b"stale", &tokens)? == Looked::Refer, || {
            "a stale copy whose token is free: a reader that takes part must be referred to the store".into()
        })?;
        serves(driver, b"stale", b"v")?;
        stale.found.token = Token::Taken;
        let lease = driver.lease(b"stale")?;
        driver.fill(&lease, FillContent::Item(stale), 0)?;
        require(matches!(driver.look_with(b"stale", &tokens)?, Looked::Fresh(..)), || {
            "a stale copy whose token is out needs no store".into()
        })?;
        let lease = driver.lease(b"soon")?;
        driver.fill(&lease, expiring(b"v", 1, Expiry::at(driver.now().0 + 10)), 0)?;
        let recache = |below| Get { recache_below: Some(below), ..tokens };
        require(driver.look_with(b"soon", &recache(11))? == Looked::Refer, || {
            "10 seconds left, recache below 11: the reader must be referred to the store".into()
        })?;
        require(matches!(driver.look_with(b"soon", &recache(10))?, Looked::Fresh(..)), || {
            "10 seconds left, recache below 10: nothing to hand out".into()
        })
    })
}

/// The answer to a read that began before a write was filled is refused.
pub fn slow_reads_are_refused(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        for (key, written) in [(&b"set"[..], content(b"new", 2)), (b"deleted", FillContent::Absent)] {
            let read = driver.lease(key)?;
            let write = driver.lease(key)?;
            accepted(driver.fill(&write, written, 8)?, "a write's fill")?;
            let served = driver.look(key)?;
            drop(write);
            refused(driver.fill(&read, content(b"old", 1), 0)?, "a read that began before a write")?;
            refused(driver.fill(&read, FillContent::Absent, 0)?, "a read that began before a write")?;
            let same = match (driver.look(key)?, served) {
                (Looked::Fresh(now, value), Looked::Fresh(before, was)) => {
                    (now.cas, value) == (before.cas, was)
                }
                (now, before) => now == before,
            };
            require(same, || "a refused fill changed the copy".into())?;
            drop(read);
            let later = driver.lease(key)?;
            accepted(driver.fill(&later, content(b"newer", 3), 0)?, "a read that began after the write")?;
        }
        Ok(())
    })
}

/// Of writes that come back out of order the newest stays.
pub fn late_writes_are_refused(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let (first, second, third) = (driver.lease(b"k")?, driver.lease(b"k")?, driver.lease(b"k")?);
        accepted(driver.fill(&second, content(b"second", 20), 20)?, "a write's fill")?;
        refused(driver.fill(&first, content(b"first", 10), 10)?, "a write older than one that was filled")?;
        serves(driver, b"k", b"second")?;
        accepted(driver.fill(&third, FillContent::Absent, 30)?, "a newer write's fill")?;
        let after = driver.look(b"k")?;
        require(matches!(after, Looked::Absent | Looked::Unknown), || format!("after a delete: {after:?}"))?;
        refused(driver.fill(&first, content(b"first", 10), 10)?, "a write older than a delete")
    })
}

/// After an invalidation nothing is known, and no answer to an earlier question is taken.
pub fn an_invalidation_refuses_what_is_under_way(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        driver.invalidate(b"never seen")?;
        let lease = driver.lease(b"k")?;
        driver.fill(&lease, content(b"v", 1), 1)?;
        drop(lease);
        let (read, write) = (driver.lease(b"k")?, driver.lease(b"k")?);
        driver.invalidate(b"k")?;
        says(driver, b"k", &Looked::Unknown)?;
        refused(driver.fill(&read, content(b"old", 1), 0)?, "a read that began before an invalidation")?;
        refused(driver.fill(&write, content(b"old", 2), 2)?, "a write that began before an invalidation")?;
        says(driver, b"k", &Looked::Unknown)?;
        drop((read, write));
        let after = driver.lease(b"k")?;
        accepted(driver.fill(&after, content(b"new", 3), 0)?, "a read that began after the invalidation")?;
        serves(driver, b"k", b"new")
    })
}

/// A flush is a write of every key.
pub fn flushes_refuse_what_is_under_way(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let lease = driver.lease(b"k")?;
        driver.fill(&lease, content(b"v", 1), 1)?;
        drop(lease);
        let (read, other) = (driver.lease(b"k")?, driver.lease(b"never filled")?);
        let outcome = driver.executor.block_on(driver.client.run(&flush_all()));
        require(outcome.is_success(), || format!("flush: {outcome}"))?;
        says(driver, b"k", &Looked::Unknown)?;
        refused(driver.fill(&read, content(b"old", 1), 0)?, "a read that began before a flush")?;
        refused(driver.fill(&other, content(b"old", 1), 0)?, "a read that began before a flush")?;
        says(driver, b"k", &Looked::Unknown)?;
        drop((read, other));
        let after = driver.lease(b"k")?;
        accepted(driver.fill(&after, content(b"new", 2), 0)?, "a read that began after the flush")
    })
}

/// Fills other keys until three times the limit has gone through.
fn overfill(driver: &CacheDriver, mut each: impl FnMut(u64) -> Verdict) -> Verdict {
    const VALUE_BYTES: u64 = 20_000;
    let limit = driver.cache.memory_use().bytes_limit;
    require(limit > 0 && limit <= LIMIT_MAX, || {
        format!("the cache under test has a limit of {limit} bytes; make it with one of a few MiB")
    })?;
    for number in 0..3 * limit / VALUE_BYTES + 10 {
        let lease = driver.lease(format!("other {number}").as_bytes())?;
        driver.fill(&lease, content(&[number as u8; VALUE_BYTES as usize], number + 1), 0)?;
        drop(lease);
        each(number)?;
    }
    Ok(())
}

/// A slow read does not come back though the newer write was evicted meanwhile.
pub fn eviction_forgets_no_newer_write(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let read = driver.lease(b"k")?;
        let write = driver.lease(b"k")?;
        accepted(driver.fill(&write, content(b"new", 2), 2)?, "a write's fill")?;
        drop(write);
        overfill(driver, |_| Ok(()))?;
        refused(
            driver.fill(&read, content(b"old", 1), 0)?,
            "a read that began before a write, since evicted,",
        )?;
        let after = driver.look(b"k")?;
        require(!matches!(&after, Looked::Fresh(_, value) if value == "old"), || {
            "the value from before the write is served".into()
        })
    })
}

/// A write whose outcome cannot be kept takes the older copy away.
pub fn what_does_not_fit_leaves_nothing_older(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let limit = driver.cache.memory_use().bytes_limit;
        let length = driver.cache.describe().item_size_max.min(limit.max(1)).saturating_add(1);
        require(length <= LIMIT_MAX, || format!("make the cache under test smaller than {length} bytes"))?;
        let lease = driver.lease(b"k")?;
        driver.fill(&lease, content(b"old", 1), 1)?;
        drop(lease);
        let lease = driver.lease(b"k")?;
        let filled = driver.fill(&lease, content(&vec![1; length as usize], 2), 2)?;
        let after = driver.look(b"k")?;
        require(!filled || matches!(&after, Looked::Fresh(..)), || "the fill was said to be kept".into())?;
        require(!matches!(&after, Looked::Fresh(_, value) if value == "old"), || {
            format!("a newer value of {length} bytes did not fit, and the older one is still served")
        })
    })
}

/// Leases may run out, and are there again once given back.
pub fn leases_are_bounded_and_given_back(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let key = |number: u32| number.to_be_bytes();
        let mut leases = Vec::new();
        for number in 0..300_000u32 {
            match driver.cache.lease(Key::new(&key(number))) {
                Some(lease) => leases.push(lease),
                None => break,
            }
        }
        if let Some(first) = leases.first() {
            accepted(driver.fill(first, content(b"v", 1), 0)?, "a fill with many leases out")?;
        }
        // An invalidation needs no lease.
        driver.invalidate(&key(0))?;
        says(driver, &key(0), &Looked::Unknown)?;
        drop(leases);
        for number in 0..1000u32 {
            driver
                .lease(&key(number))
                .map_err(|failure| failure.within("after all leases were given back"))?;
        }
        Ok(())
    })
}

/// However much is filled, memory stays within the limit, and what is held is served.
pub fn memory_stays_bounded(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        let had_room = driver.cache.has_room();
        overfill(driver, |number| {
            let memory = driver.cache.memory_use();
            require(memory.bytes <= memory.bytes_limit, || {
                format!("{} bytes are used, above the limit of {}", memory.bytes, memory.bytes_limit)
            })?;
            match driver.look(format!("other {number}").as_bytes())? {
                Looked::Fresh(found, _) => require(found.cas == number + 1, || "another key's copy".into()),
                Looked::Unknown => Ok(()),
                other => Err(Failure::new(format!("look-up of what was just filled: {other:?}"))),
            }
        })?;
        require(driver.cache.memory_use().evictions > 0, || "three times the limit, and no eviction".into())?;
        require(had_room && !driver.cache.has_room(), || {
            "has_room must be true of an empty cache and false of a full one".into()
        })
    })
}

/// The keys it names are keys it holds, the newest among them, no more than asked for.
pub fn its_keys_are_told(make: MakeCache<'_>) -> Verdict {
    CacheDriver::drive(make, |driver| {
        require(driver.cache.newest_keys(10).is_empty(), || "an empty cache names keys".into())?;
        for number in 0..100u32 {
            let lease = driver.lease(format!("k{number}").as_bytes())?;
            driver.fill(&lease, content(b"v", 1), 0)?;
        }
        let lease = driver.lease(b"absent")?;
        driver.fill_until(&lease, FillContent::Absent, 0, Some(Timestamp(driver.now().0 + 100)))?;
        for count in [0, 10, 1000] {
            let keys = driver.cache.newest_keys(count);
            require(keys.len() <= count.min(100), || {
                format!("asked for {count} keys of 100, got {}", keys.len())
            })?;
            for key in &keys {
                require(matches!(driver.look(key)?, Looked::Fresh(..)), || {
                    format!("{} is named, but not held", shown(key))
                })?;
            }
        }
        Ok(())
    })
}
