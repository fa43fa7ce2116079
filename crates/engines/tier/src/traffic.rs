//! The keys that are on their way to the store: one read each, and how many writes.
//!
//! A *flight* is a read of the store on behalf of every reader that comes while it lasts. Two things must not happen:
//! a reader that begins after a write was acknowledged joins a flight that asked before that write; and one reader is
//! shown a write that is still on its way, while the next is shown what was there before it. Hence
//!
//! * a write is registered from before the store is asked until the cache knows the outcome, and when the outcome is
//!   known the key's flight is *detached*: it serves those it has, later readers start another;
//! * an answer that comes back while writes are on their way cannot be placed before or after them: the cache is made
//!   to forget the key instead of being filled (`quiet` says which it is).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use larder_engine::completion::{Completer, Completion, completion};
use larder_engine::{EngineError, Item, Scope, Worker};
use parking_lot::Mutex;

const SHARDS: usize = 64;

type Hasher = foldhash::fast::RandomState;
type Shard = HashMap<Vec<u8>, Way, Hasher>;

/// What a flight brings.
pub(crate) type Answer = Result<Option<Item>, EngineError>;

/// The same answer for another reader.
pub(crate) fn repeat(answer: &Answer) -> Answer {
    match answer {
        Ok(item) => Ok(item.clone()),
        Err(error) => Err(error.repeat()),
    }
}

/// Keys on their way, shared by all workers. A shard's lock protects its map; no other lock but a flight's is taken
/// under it.
pub(crate) struct Traffic {
    hasher: Hasher,
    shards: Box<[Mutex<Shard>]>,
    flushes: AtomicUsize,
}

#[derive(Default)]
struct Way {
    flight: Option<Arc<Flight>>,
    writes: u32,
}

impl Way {
    fn is_idle(&self) -> bool {
        self.flight.is_none() && self.writes == 0
    }
}

#[derive(Default)]
struct Flight {
    waiters: Mutex<Vec<Completer<Option<Item>>>>,
}

/// The part a reader plays.
pub(crate) enum Role {
    /// It must ask the store and [`Leader::land`].
    Leads(Leader),
    /// It gets the answer of the one that asked.
    Waits(Completion<Option<Item>>),
}

/// The reader that asks the store for all. Dropped without an answer it tells the waiters that there is none.
pub(crate) struct Leader {
    traffic: Arc<Traffic>,
    name: Box<[u8]>,
    flight: Arc<Flight>,
    left: bool,
}

/// A write on its way. Dropping it ends the registration.
pub(crate) struct Writing {
    traffic: Arc<Traffic>,
    name: Box<[u8]>,
}

/// A flush on its way. Dropping it ends the registration.
pub(crate) struct Flushing(Arc<Traffic>);

impl Traffic {
    pub fn new() -> Arc<Self> {
        Arc::new(Traffic {
            hasher: Hasher::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            flushes: AtomicUsize::new(0),
        })
    }

    fn shard(&self, name: &[u8]) -> &Mutex<Shard> {
        &self.shards[(self.hasher.hash_one(name) >> 32) as usize % SHARDS]
    }

    /// Joins the flight of a key or begins one.
    pub fn join(self: &Arc<Self>, name: &[u8], worker: &Worker) -> Role {
        let mut shard = self.shard(name).lock();
        let way = shard.entry_ref(name).or_default();
        if let Some(flight) = &way.flight {
            let (completer, completion) = completion(worker);
            flight.waiters.lock().push(completer);
            return Role::Waits(completion);
        }
        let flight = Arc::<Flight>::default();
        way.flight = Some(flight.clone());
        Role::Leads(Leader { traffic: self.clone(), name: name.into(), flight, left: false })
    }

    /// Registers a write that is about to ask the store.
    pub fn write(self: &Arc<Self>, name: &[u8]) -> Writing {
        self.shard(name).lock().entry_ref(name).or_default().writes += 1;
        Writing { traffic: self.clone(), name: name.into() }
    }

    /// Registers a flush that is about to ask the store.
    pub fn flush(self: &Arc<Self>) -> Flushing {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Flushing(self.clone())
    }

    fn change(&self, name: &[u8], change: impl FnOnce(&mut Way)) {
        let mut shard = self.shard(name).lock();
        let Some(way) = shard.get_mut(name) else { return };
        change(way);
        if way.is_idle() {
            shard.remove(name);
        }
    }

    fn writes(&self, name: &[u8]) -> u32 {
        self.shard(name).lock().get(name).map_or(0, |way| way.writes)
    }

    fn flushing(&self) -> bool {
        self.flushes.load(Ordering::SeqCst) != 0
    }

    /// Whether no write of the key and no flush is on its way.
    pub fn is_quiet(&self, name: &[u8]) -> bool {
        self.writes(name) == 0 && !self.flushing()
    }

    /// Detaches every flight of the scope.
    fn detach_all(&self, scope: Scope<'_>) {
        for shard in &self.shards {
            shard.lock().retain(|name, way| {
                if covers(scope, name) {
                    way.flight = None;
                }
                !way.is_idle()
            });
        }
    }

    /// Keys on their way.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Whether a flush of `scope` takes the key.
pub(crate) fn covers(scope: Scope<'_>, name: &[u8]) -> bool {
    match scope {
        Scope::All => true,
        Scope::Prefix(prefix) => name.starts_with(prefix),
    }
}

impl Leader {
    /// Whether no write or flush is on its way, so that the answer may be kept.
    pub fn quiet(&self) -> bool {
        self.traffic.is_quiet(&self.name)
    }

    /// Ends the flight, after the cache was filled, and answers those who waited.
    pub fn land(mut self, answer: &Answer) {
        self.leave();
        let waiters = std::mem::take(&mut *self.flight.waiters.lock());
        for waiter in waiters {
            waiter.complete(repeat(answer));
        }
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        self.traffic.change(&self.name, |way| {
            way.flight.take_if(|flight| Arc::ptr_eq(flight, &self.flight));
        });
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Writing {
    /// Detaches the key's flight: it may have asked the store before this write.
    pub fn detach(&self) {
        self.traffic.change(&self.name, |way| way.flight = None);
    }

    /// Whether no other write and no flush is on its way.
    pub fn alone(&self) -> bool {
        self.traffic.writes(&self.name) == 1 && !self.traffic.flushing()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.traffic.change(&self.name, |way| way.writes -= 1);
    }
}

impl Flushing {
    /// Detaches the flights of the flushed keys: they may have asked the store before.
    pub fn detach(&self, scope: Scope<'_>) {
        self.0.detach_all(scope);
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.0.flushes.fetch_sub(1, Ordering::SeqCst);
    }
}
