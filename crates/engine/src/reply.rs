//! What an engine answers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use crate::context::Worker;
use crate::error::EngineError;
use crate::item::{Found, Item};
use crate::time::Expiry;

/// What a success survives. Levels are ordered; a higher one includes the lower.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Durability {
    /// In this process's memory: nothing.
    Ram,
    /// Queued for a store under bounds of bytes and age: nothing yet.
    Queued,
    /// Fsynced on this machine: a crash of the process, of the system, a power cut.
    Local,
    /// Acknowledged by the cluster or the object store: the loss of this machine.
    Committed,
}

impl Durability {
    /// The word used in statistics and plans.
    pub fn word(self) -> &'static str {
        match self {
            Durability::Ram => "ram",
            Durability::Queued => "queued",
            Durability::Local => "local",
            Durability::Committed => "committed",
        }
    }
}

/// A place in the order in which one engine applied its changes; grows with every change, 0 is unknown.
///
/// Unlike a CAS no client can choose it, so a tier orders by it what came back out of order.
pub type Version = u64;

/// An answer: now, or later.
///
/// `T` is what a `Ready` answer says, `P` what a `Pending` one yields (for look-ups an owned item, since the
/// sink is gone by then).
pub enum Reply<T, P: 'static = T> {
    /// The command is done.
    Ready(Result<T, EngineError>),
    /// The command is under way.
    Pending(Operation<P>),
}

impl<T, P: 'static> Reply<T, P> {
    /// A success, now.
    pub fn done(value: T) -> Self {
        Reply::Ready(Ok(value))
    }

    /// An error, now.
    pub fn failed(error: impl Into<EngineError>) -> Self {
        Reply::Ready(Err(error.into()))
    }
}

/// Answer of a look-up: `None` is a miss.
pub type GetReply = Reply<Option<Found>, Option<Item>>;

/// The boxed work of an operation.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T, EngineError>>>>;

/// Work under way. Polled only on the worker that made it; may be woken from any thread, early or twice.
///
/// Dropping it detaches the work, which then runs to its end.
pub struct Operation<T: 'static> {
    future: Option<Work<T>>,
    /// Set when the future is itself the work: the worker takes it over if the operation is dropped.
    driver: Option<Worker>,
}

impl<T: 'static> Operation<T> {
    /// Waits for work that proceeds elsewhere, on the engine's own threads.
    pub fn waiting(future: impl Future<Output = Result<T, EngineError>> + 'static) -> Self {
        Operation { future: Some(Box::pin(future)), driver: None }
    }

    /// The future is the work: `worker` finishes it when the operation is dropped.
    pub fn driven(worker: &Worker, future: impl Future<Output = Result<T, EngineError>> + 'static) -> Self {
        Operation { future: Some(Box::pin(future)), driver: Some(worker.clone()) }
    }
}

impl<T: 'static> Future for Operation<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("an operation is not polled after its answer");
        let answer = std::task::ready!(future.as_mut().poll(task));
        self.future = None;
        Poll::Ready(answer)
    }
}

impl<T: 'static> Drop for Operation<T> {
    fn drop(&mut self) {
        let (Some(future), Some(worker)) = (self.future.take(), self.driver.take()) else { return };
        worker.finish(future);
    }
}

/// Success of a store command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The CAS of the item now.
    pub cas: u64,
    /// Length of the whole stored value in bytes.
    pub size: usize,
    /// What it survives.
    pub level: Durability,
    /// Its place in the engine's order.
    pub version: Version,
}

/// Success of a delete command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deleted {
    /// The CAS of an item that stays, else 0.
    pub cas: u64,
    /// What it survives.
    pub level: Durability,
    /// Its place in the engine's order.
    pub version: Version,
}

/// Success of an incr or decr command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// The value now.
    pub value: u64,
    /// The CAS of the item now.
    pub cas: u64,
    /// Its flags.
    pub flags: u32,
    /// When it expires.
    pub expiry: Expiry,
    /// When it expired before the command; the same unless the command set another expiry.
    pub expiry_before: Expiry,
    /// Whether it was created by this command.
    pub created: bool,
    /// Whether the item is marked stale.
    pub stale: bool,
    /// Whether its token is out.
    pub token_taken: bool,
    /// What it survives.
    pub level: Durability,
    /// Its place in the engine's order.
    pub version: Version,
}

/// Success of a touch command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touched {
    /// The item's CAS, which a touch leaves.
    pub cas: u64,
    /// Its flags.
    pub flags: u32,
    /// What it survives.
    pub level: Durability,
    /// Its place in the engine's order.
    pub version: Version,
}

/// Success of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flushed {
    /// What it survives.
    pub level: Durability,
}

/// Takes a value that is ready. Called at most once for a look-up, before the engine returns, with locks of the
/// engine possibly held: it copies or keeps, it does not call back.
pub trait Sink {
    /// A hit whose pieces are lent for the time of the call.
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]);

    /// A hit whose value the sink may keep; engines use it for large values.
    fn hit_shared(&mut self, found: &Found, value: &Bytes) {
        self.hit(found, &[value]);
    }

    /// There was an item under the key, but it is over. Says why a miss is one; called before the miss is answered, by
    /// engines that find out at no cost to a hit. A tier lets its cache tell, and may still answer a hit.
    fn missed(&mut self, _why: Missed) {}
}

/// Why an item that is still there is not returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// Its time was over.
    Expired,
    /// It was flushed.
    Flushed,
}

/// Takes the answers of a multi-get, in ascending order of index.
pub trait ManySink {
    /// The sink for a hit of key `index`.
    fn sink(&mut self, index: usize) -> &mut dyn Sink;

    /// The answer for key `index`; after a `Ready` hit its sink has been called.
    fn answer(&mut self, index: usize, reply: GetReply);
}

/// A sink that drops what it is given, for requests that want no value.
pub struct NoValue;

impl Sink for NoValue {
    fn hit(&mut self, _found: &Found, _pieces: &[&[u8]]) {}
}

/// A sink that keeps an owned copy.
#[derive(Default)]
pub struct KeepItem(pub Option<Item>);

impl Sink for KeepItem {
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]) {
        self.0 = Some(Item { found: *found, value: Bytes::from(pieces.concat()).into() });
    }

    fn hit_shared(&mut self, found: &Found, value: &Bytes) {
        self.0 = Some(Item { found: *found, value: value.clone().into() });
    }
}
