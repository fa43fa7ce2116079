//! Scans.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::item::Found;
use crate::kit::checks::{Subject, close};
use crate::kit::client::Client;
use crate::kit::clients::joined;
use crate::kit::command::{delete, set, shown};
use crate::kit::driver::Driver;
use crate::kit::executor::LocalExecutor;
use crate::kit::failure::{Failure, Verdict, require};
use crate::kit::random::Random;
use crate::kit::world::World;
use crate::request::ScanOrder;
use crate::time::Expiry;

/// Pages after which a scan that does not end is given up.
const PAGES_MAX: usize = 100_000;

type Scanned = BTreeMap<Vec<u8>, (Found, Bytes)>;

fn scan(client: &Client, executor: &LocalExecutor, bytes_max: usize) -> Result<Scanned, Failure> {
    let in_order = client.engine().describe().scan_in_key_order;
    let mut seen = Scanned::new();
    let mut cursor: Option<Vec<u8>> = None;
    let mut last_key: Option<Box<[u8]>> = None;
    for _ in 0..PAGES_MAX {
        let page = executor
            .block_on(client.scan(ScanOrder::Any, cursor.as_deref(), bytes_max))
            .map_err(|error| Failure::new(format!("scan failed: {error:?}")))?;
        for (key, item) in page.items {
            require(!in_order || last_key.as_ref().is_none_or(|last| *last < key), || {
                format!("the scan is said to be in key order, but {} came late", shown(&key))
            })?;
            seen.insert(key.to_vec(), (item.found, item.value.whole()));
            last_key = Some(key);
        }
        match page.next {
            None => return Ok(seen),
            next => cursor = next,
        }
    }
    Err(Failure::new(format!("the scan did not end after {PAGES_MAX} pages")))
}

fn compare(driver: &mut Driver, seen: &Scanned) -> Verdict {
    let live = driver.live_keys();
    for key in &live {
        let (found, value) = driver.hit(crate::kit::command::get(key))?;
        let Some((scanned, scanned_value)) = seen.get(key) else {
            return Err(Failure::new(format!(
                "the scan left out {}, which was there all the time",
                shown(key)
            )));
        };
        let alike = |found: &Found| (found.flags, found.cas, found.expiry, found.stale, found.token);
        require(alike(&found) == alike(scanned) && value == *scanned_value, || {
            format!("the scan shows {} as {scanned:?} {}", shown(key), shown(scanned_value))
        })?;
    }
    match seen.keys().find(|key| !live.contains(*key)) {
        Some(extra) => Err(Failure::new(format!("the scan shows {}, which is not there", shown(extra)))),
        None => Ok(()),
    }
}

/// Every item comes with all it has; expired and deleted ones do not; whatever the size of a page.
pub fn scan_finds_everything(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let empty = scan(driver.client(), driver.executor(), 1000)?;
        require(empty.is_empty(), || "the scan of an empty engine shows items".into())?;
        let mut random = Random::new(2);
        let soon = Expiry::at(driver.now().0 + 1);
        for number in 0..300u32 {
            let key_length = 1 + random.below(30) as usize;
            let key = random.bytes(key_length);
            let expiry = *random.pick(&[Expiry::NEVER, soon, Expiry::at(driver.now().0 + 50)]);
            let value = vec![number as u8; random.below(300) as usize];
            driver.stored(set(&key, &value).flags(number).expiry(expiry))?;
            if number % 5 == 0 {
                driver.deleted(delete(&key))?;
            }
        }
        driver.stored(set(b"large", &[1; 100_000]))?;
        driver.clock().advance(1);
        for bytes_max in [1, 500, 5_000, usize::MAX] {
            let seen = scan(driver.client(), driver.executor(), bytes_max)?;
            compare(driver, &seen)
                .map_err(|failure| failure.within(&format!("pages of {bytes_max} bytes")))?;
        }
        // Newest first may leave items out, but shows none that is not there, and ends.
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let page = driver
                .executor()
                .block_on(driver.client().scan(ScanOrder::Newest, cursor.as_deref(), 1000))
                .map_err(|error| Failure::new(format!("scan newest first failed: {error:?}")))?;
            let live = driver.live_keys();
            require(page.items.iter().all(|(key, _)| live.contains(&key.to_vec())), || {
                "the scan newest first shows an item that is not there".into()
            })?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(Failure::new("the scan newest first did not end"))
    })
}

/// While others write and delete around them, items that stay come at least once.
pub fn scan_finds_what_stays_while_others_change(subject: &Subject<'_>) -> Verdict {
    let world = World::new();
    let engine = subject.open(&world)?;
    let mut driver = Driver::new(engine.clone(), world.clock().clone());
    let staying: Vec<Vec<u8>> = (0..200u32).map(|number| format!("{:03}-stays", number * 5).into()).collect();
    for key in &staying {
        driver.stored(set(key, b"stays"))?;
    }
    let stop = AtomicBool::new(false);
    let verdict = std::thread::scope(|scope| {
        let (stop, engine, world) = (&stop, &engine, &world);
        let writer = scope.spawn(move || {
            let executor = LocalExecutor::new(1);
            let client = Client::new(engine.clone(), executor.worker().clone(), world.clock().clone());
            let mut random = Random::new(3);
            while !stop.load(Ordering::Relaxed) {
                let key = format!("{:03}-moves", random.below(1000));
                let command = match random.chance(2, 3) {
                    true => set(key.as_bytes(), b"moves").into(),
                    false => delete(key.as_bytes()),
                };
                executor.block_on(client.run(&command));
            }
        });
        let verdict = (0..20).try_for_each(|round| {
            let seen = scan(driver.client(), driver.executor(), [200, 1000][round % 2])?;
            match staying.iter().find(|key| !seen.contains_key(*key)) {
                Some(missing) => Err(Failure::new(format!(
                    "the scan left out {}, which was there all the time while others changed",
                    shown(missing)
                ))),
                None => Ok(()),
            }
        });
        stop.store(true, Ordering::Relaxed);
        joined(writer);
        verdict
    });
    let verdict = verdict.and_then(|()| driver.holds_all());
    drop(driver);
    verdict.and(close(&*engine))
}
