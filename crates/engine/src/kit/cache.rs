//! The checks of caches: what a tier above a store relies on.
//!
//! ```text
//! fn make(_world: &World) -> Opened<dyn Cache> {
//!     Ok(Arc::new(MyCache::new(4 << 20)))
//! }
//!
//! larder_engine::cache_kit_tests!(make);
//! ```
//!
//! The cache under test should be small (a few MiB): the checks fill it until it evicts. As an engine by itself it also
//! runs [`kit_tests!`](crate::kit_tests).

mod checks;
mod concurrent;

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{Cache, Fill, FillContent, Lookup};
use crate::engine::Engine;
use crate::item::{Found, Item};
use crate::key::Key;
use crate::lease::Lease;
use crate::reply::{KeepItem, Reply, Version};
use crate::request::Get;
use crate::time::{Clock, Expiry, Timestamp};

use super::client::Client;
use super::clock::ManualClock;
use super::executor::LocalExecutor;
use super::failure::{Failure, Verdict};
use super::world::{Opened, World};

pub use checks::{
    absence_is_remembered_for_a_while, an_invalidation_refuses_what_is_under_way, copies_become_overdue,
    eviction_forgets_no_newer_write, expired_copies_are_not_served, fills_are_served_as_they_are,
    flushes_refuse_what_is_under_way, its_keys_are_told, late_writes_are_refused,
    leases_are_bounded_and_given_back, memory_stays_bounded, slow_reads_are_refused,
    token_hand_outs_are_referred, what_does_not_fit_leaves_nothing_older,
};
pub use concurrent::no_look_up_returns_what_was_overwritten;

/// Makes a cache.
pub type MakeCache<'a> = &'a (dyn Fn(&World) -> Opened<dyn Cache> + Sync);

/// A check of a cache.
pub type CacheCheck = fn(MakeCache<'_>) -> Verdict;

/// Writes the tests of a cache. See [`crate::kit::cache`].
#[macro_export]
macro_rules! cache_kit_tests {
    (@tests ($make:expr) [$($check:ident)*]) => {
        $(
            #[test]
            fn $check() {
                $crate::kit::cache::must_pass(stringify!($check), $crate::kit::cache::$check, &$make);
            }
        )*
    };
    ($make:expr) => {
        $crate::cache_kit_tests!(@tests ($make) [
            fills_are_served_as_they_are
            absence_is_remembered_for_a_while
            copies_become_overdue
            expired_copies_are_not_served
            token_hand_outs_are_referred
            slow_reads_are_refused
            late_writes_are_refused
            an_invalidation_refuses_what_is_under_way
            flushes_refuse_what_is_under_way
            eviction_forgets_no_newer_write
            what_does_not_fit_leaves_nothing_older
            leases_are_bounded_and_given_back
            memory_stays_bounded
            its_keys_are_told
            no_look_up_returns_what_was_overwritten
        ]);
    };
}

/// Runs one check.
///
/// # Panics
/// With what it found, if anything.
pub fn must_pass(name: &str, check: CacheCheck, make: MakeCache<'_>) {
    if let Err(failure) = check(make) {
        panic!("{name}: {failure}");
    }
}

fn open(make: MakeCache<'_>, world: &World) -> Result<Arc<dyn Cache>, Failure> {
    make(world).map_err(|error| Failure::new(format!("the cache could not be opened: {error}")))
}

/// What a look-up said.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Looked {
    Fresh(Found, Bytes),
    Overdue,
    Absent,
    Refer,
    Unknown,
}

/// Blocking calls to a cache.
struct CacheDriver {
    client: Client,
    cache: Arc<dyn Cache>,
    executor: LocalExecutor,
    clock: Arc<ManualClock>,
}

impl CacheDriver {
    fn new(cache: Arc<dyn Cache>, worker: usize, clock: Arc<ManualClock>) -> Self {
        let executor = LocalExecutor::new(worker);
        let engine: Arc<dyn Engine> = cache.clone();
        let client = Client::new(engine, executor.worker().clone(), clock.clone());
        CacheDriver { client, cache, executor, clock }
    }

    /// Opens a fresh cache, runs `check` and closes the cache.
    fn drive(make: MakeCache<'_>, check: impl FnOnce(&CacheDriver) -> Verdict) -> Verdict {
        let world = World::new();
        let cache = open(make, &world)?;
        let driver = CacheDriver::new(cache.clone(), 0, world.clock().clone());
        let verdict = check(&driver);
        driver.executor.finish();
        drop(driver);
        verdict.and(super::checks::close(&*cache))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn settle<T, P: 'static>(
        &self,
        reply: Reply<T, P>,
        ready: impl FnOnce(T) -> Result<P, Failure>,
    ) -> Result<P, Failure> {
        let failed = |error| Failure::new(format!("the cache failed: {error:?}"));
        match reply {
            Reply::Ready(answer) => ready(answer.map_err(failed)?),
            Reply::Pending(operation) => self.executor.block_on(operation).map_err(failed),
        }
    }

    fn look_with(&self, key: &[u8], get: &Get) -> Result<Looked, Failure> {
        let mut kept = KeepItem::default();
        let reply = self.cache.lookup(&self.client.context(), Key::new(key), get, &mut kept);
        let looked = self.settle(reply, |lookup| ready(lookup, kept.0))?;
        Ok(match looked {
            Lookup::Fresh(item) => Looked::Fresh(item.found, item.value.whole()),
            Lookup::Overdue(_) => Looked::Overdue,
            Lookup::Absent => Looked::Absent,
            Lookup::Refer => Looked::Refer,
            Lookup::Unknown => Looked::Unknown,
        })
    }

    fn look(&self, key: &[u8]) -> Result<Looked, Failure> {
        self.look_with(key, &Get::plain())
    }

    fn lease(&self, key: &[u8]) -> Result<Lease, Failure> {
        let none = || Failure::new("lease gave none, though hardly any are out");
        self.cache.lease(Key::new(key)).ok_or_else(none)
    }

    fn fill(&self, lease: &Lease, content: FillContent, version: Version) -> Result<bool, Failure> {
        self.fill_until(lease, content, version, None)
    }

    fn fill_until(
        &self,
        lease: &Lease,
        content: FillContent,
        version: Version,
        fresh_until: Option<Timestamp>,
    ) -> Result<bool, Failure> {
        let fill = Fill { content, version, fresh_until };
        let reply = self.cache.fill(&self.client.context(), Key::new(lease.key()), lease, fill);
        self.settle(reply, Ok)
    }

    fn invalidate(&self, key: &[u8]) -> Verdict {
        self.settle(self.cache.invalidate(&self.client.context(), Key::new(key)), Ok)
    }
}

fn ready(lookup: Lookup<Found>, kept: Option<Item>) -> Result<Lookup<Item>, Failure> {
    let breach = |text: &str| Err(Failure::new(format!("a breach of the interface: {text}")));
    match (lookup, kept) {
        (Lookup::Fresh(found), Some(item)) if item.found == found => Ok(Lookup::Fresh(item)),
        (Lookup::Fresh(_), Some(_)) => breach("sink and caller were told different things"),
        (Lookup::Fresh(_), None) => breach("a fresh copy did not call the sink"),
        (_, Some(_)) => breach("the sink was called, though there is no fresh copy"),
        (Lookup::Overdue(found), None) => Ok(Lookup::Overdue(Item { found, ..Item::default() })),
        (Lookup::Absent, None) => Ok(Lookup::Absent),
        (Lookup::Refer, None) => Ok(Lookup::Refer),
        (Lookup::Unknown, None) => Ok(Lookup::Unknown),
    }
}

fn item(value: &[u8], cas: u64) -> Item {
    let found = Found { flags: 5, cas, ..Found::default() };
    Item { found, value: Bytes::copy_from_slice(value).into() }
}

fn content(value: &[u8], cas: u64) -> FillContent {
    FillContent::Item(item(value, cas))
}

fn expiring(value: &[u8], cas: u64, expiry: Expiry) -> FillContent {
    let mut item = item(value, cas);
    item.found.expiry = expiry;
    item.found.expiry_before = expiry;
    FillContent::Item(item)
}

#[cfg(test)]
mod tests;
