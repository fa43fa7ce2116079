//! Several workers between a cache and a store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cache::FillContent;
use crate::kit::failure::{Failure, Verdict};
use crate::kit::random::Random;
use crate::kit::world::World;

use super::{CacheDriver, Looked, MakeCache, content, open};

const KEYS: usize = 6;
const THREADS: usize = 4;
const STEPS: usize = 3000;

/// A store in memory: each key's value and the version of its last write. A deleted key has a version and no value.
#[derive(Default)]
struct TrueStore {
    items: Mutex<HashMap<usize, (u64, bool)>>,
    last_version: AtomicU64,
    /// Of each key, the newest version whose write was acknowledged.
    acknowledged: [AtomicU64; KEYS],
}

impl TrueStore {
    fn read(&self, key: usize) -> (u64, bool) {
        self.items.lock().get(&key).copied().unwrap_or_default()
    }

    fn write(&self, key: usize, there: bool) -> u64 {
        let mut items = self.items.lock();
        let version = self.last_version.fetch_add(1, Ordering::SeqCst) + 1;
        items.insert(key, (version, there));
        version
    }
}

fn name(key: usize) -> Vec<u8> {
    format!("key {key}").into()
}

fn answer((version, there): (u64, bool)) -> FillContent {
    // The value is the version, padded so that the cache must evict now and then.
    match there {
        true => content(format!("{version:0>5000}").as_bytes(), version),
        false => FillContent::Absent,
    }
}

/// Workers read through and write through the cache: once a write is acknowledged, nobody sees what was before it.
pub fn no_look_up_returns_what_was_overwritten(make: MakeCache<'_>) -> Verdict {
    let world = World::new();
    let cache = open(make, &world)?;
    let store = TrueStore::default();
    let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, cache, clock) = (&store, cache.clone(), world.clock().clone());
                scope.spawn(move || {
                    let driver = CacheDriver::new(cache, thread, clock);
                    let mut random = Random::part(21, thread as u64);
                    (0..STEPS).try_for_each(|_| step(&driver, store, &mut random))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect()
    });
    verdicts.into_iter().collect::<Verdict>()?;
    crate::kit::checks::close(&*cache)
}

/// The turn of another worker, at the moments where it hurts.
fn dawdle(random: &mut Random) {
    if random.chance(1, 3) {
        std::thread::yield_now();
    }
}

fn step(driver: &CacheDriver, store: &TrueStore, random: &mut Random) -> Verdict {
    let key = random.below(KEYS as u64) as usize;
    if random.chance(1, 4) { write(driver, store, key, random) } else { read(driver, store, key, random) }
}

fn write(driver: &CacheDriver, store: &TrueStore, key: usize, random: &mut Random) -> Verdict {
    let lease = driver.cache.lease(crate::Key::new(&name(key)));
    dawdle(random);
    let there = random.chance(3, 4);
    let version = store.write(key, there);
    dawdle(random);
    let filled = match lease.filter(|_| random.chance(7, 8)) {
        Some(lease) => driver.fill(&lease, answer((version, there)), version)?,
        None => false,
    };
    if !filled {
        driver.invalidate(&name(key))?;
    }
    store.acknowledged[key].fetch_max(version, Ordering::SeqCst);
    Ok(())
}

fn read(driver: &CacheDriver, store: &TrueStore, key: usize, random: &mut Random) -> Verdict {
    let acknowledged = store.acknowledged[key].load(Ordering::SeqCst);
    let seen = match driver.look(&name(key))? {
        Looked::Fresh(found, _) => found.cas,
        Looked::Absent => {
            // Absence carries no version. It is right if the key was deleted, or never written, at some moment since the
            // acknowledged write; the store's own state tells at least the case that nobody has touched it since.
            let (version, there) = store.read(key);
            if there && version == acknowledged {
                return Err(Failure::new(format!(
                    "look-up of \"key {key}\": said to be absent, but write {version} was acknowledged before, \
                     and nothing came after it"
                )));
            }
            return Ok(());
        }
        Looked::Overdue | Looked::Refer | Looked::Unknown => {
            let Some(lease) = driver.cache.lease(crate::Key::new(&name(key))) else { return Ok(()) };
            let found = store.read(key);
            dawdle(random);
            driver.fill(&lease, answer(found), 0)?;
            return Ok(());
        }
    };
    if seen < acknowledged {
        return Err(Failure::new(format!(
            "look-up of \"key {key}\": served write {seen}, but write {acknowledged} was acknowledged before"
        )));
    }
    Ok(())
}
