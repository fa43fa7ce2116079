//! What an engine says of itself, and the rules of the interface itself.

use crate::engine::{MemoryUse, StatsSink};
use crate::item::Found;
use crate::kit::checks::{Subject, wait_until};
use crate::kit::command::{get, get_with, set};
use crate::kit::diagnosis::Diagnosis;
use crate::kit::driver::Driver;
use crate::kit::failure::{Failure, Verdict, require};
use crate::request::Get;

/// The description is sane and does not change.
pub fn it_describes_itself(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let before = driver.engine().describe();
        require(!before.name.is_empty(), || "the name is empty".into())?;
        require(before.item_size_max > 0, || "item_size_max is 0".into())?;
        driver.engine().ready().map_err(|error| Failure::new(format!("ready: {error:?}")))?;
        driver.stored(set(b"k", b"v"))?;
        let after = driver.engine().describe();
        require(format!("{before:?}") == format!("{after:?}"), || {
            format!("the description changed from {before:?} to {after:?}")
        })?;
        let key = crate::Key::routed(b"prefix:k", 7);
        let named = driver.engine().cache_key(&key);
        require(named == driver.engine().cache_key(&key), || "cache_key changes from call to call".into())?;
        require(after.renames_keys || named == key.bytes(), || {
            "cache_key names another key, but renames_keys is false".into()
        })
    })
}

/// An operation that is dropped before its answer is carried out all the same.
pub fn abandoned_stores_are_carried_out(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let stores: Vec<_> =
            (0..50u32).map(|number| set(format!("k{number}").as_bytes(), b"left alone")).collect();
        for store in &stores {
            driver
                .executor()
                .block_on(driver.client().start_and_leave(store))
                .map_err(|error| Failure::new(format!("{store}: {error:?}")))?;
        }
        driver.executor().finish();
        for store in &stores {
            wait_until(&format!("the abandoned {store} was carried out"), || {
                let outcome = driver.executor().block_on(driver.client().run(&get(&store.key)));
                Ok(matches!(outcome, crate::kit::Outcome::Found(_, value) if value == store.value))
            })
            .map_err(|failure| failure.because(Diagnosis::Abandoned))?;
        }
        Ok(())
    })
}

/// `fetched` and `last_access` tell of the reads before; a read that does not count leaves no trace.
pub fn reads_are_remembered(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let quiet = || get_with(b"k", Get { bump: false, ..Get::plain() });
        driver.stored(set(b"k", b"v"))?;
        if !driver.engine().describe().tracks_access {
            let found = driver.hit(get(b"k"))?.0;
            return require(found.last_access.is_none(), || {
                "the engine says it does not track access, but last_access is given".into()
            });
        }
        let mut before: Option<Found> = None;
        for _ in 0..3 {
            driver.clock().advance(10);
            let found = driver.hit(quiet())?.0;
            // A cache learns of an item from the first look, and may know from when on.
            let known = before.and_then(|before| before.last_access);
            let stays = known.is_none_or(|at| found.last_access == Some(at));
            require(!found.fetched && stays, || {
                format!("not read yet, only looked at without counting; got {found:?}, before it {before:?}")
            })?;
            before = Some(found);
        }
        let first = driver.hit(get(b"k"))?.0;
        require(!first.fetched, || "the first read must not see itself as an earlier one".into())?;
        let read_at = driver.now();
        driver.clock().advance(7);
        let second = driver.hit(get(b"k"))?.0;
        require(second.fetched && second.last_access == Some(read_at), || {
            format!("read 7 seconds ago, at {}; got {second:?}", read_at.0)
        })?;
        driver.stored(set(b"k", b"new"))?;
        let fresh = driver.hit(get(b"k"))?.0;
        require(!fresh.fetched, || "a store makes the item unread again".into())
    })
}

struct Lines(Vec<(String, String)>);

impl StatsSink for Lines {
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
        self.0.push((name.into(), value.to_string()));
    }
}

fn memory_use(driver: &Driver) -> Result<MemoryUse, Failure> {
    let memory = driver.engine().memory_use();
    require(memory.bytes_limit == 0 || memory.bytes <= memory.bytes_limit, || {
        format!("{} bytes are used, above the limit of {}", memory.bytes, memory.bytes_limit)
    })?;
    Ok(memory)
}

/// Items and bytes are counted, statistics have names and values, a reset spares what is held.
pub fn statistics_make_sense(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        for number in 0..100u32 {
            driver.stored(set(format!("k{number}").as_bytes(), &[7; 1000]))?;
        }
        let memory = memory_use(driver)?;
        require(memory.items >= 100, || {
            format!("100 items were stored, memory_use counts {}", memory.items)
        })?;
        require(memory.bytes > 0, || "100 items were stored, memory_use says 0 bytes".into())?;
        let mut lines = Lines(Vec::new());
        driver.engine().stats(&mut lines);
        for (name, value) in &lines.0 {
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            require(plain, || format!("the statistic {name:?} has a name that is not one plain word"))?;
            require(!value.contains(['\r', '\n']), || format!("the statistic {name} has a line end in it"))?;
        }
        let mut names: Vec<&String> = lines.0.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        require(names.len() == lines.0.len(), || "a statistic is given twice".into())?;
        driver.engine().reset_stats();
        let memory = memory_use(driver)?;
        require(memory.items >= 100, || "reset_stats reset the number of items, which is no counter".into())?;
        require(memory.evictions == 0 && memory.reclaimed == 0 && memory.out_of_memory == 0, || {
            format!("after reset_stats counters of events remain: {memory:?}")
        })?;
        driver.holds_all()
    })
}
