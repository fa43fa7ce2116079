//! For whom, and where, a call is made.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::completion::Mailbox;
use crate::reply::Work;
use crate::time::Timestamp;

/// Comes with every call.
pub struct Context<'a> {
    /// For whom.
    pub connection: &'a Arc<Connection>,
    /// Where: operations made in this call are polled there.
    pub worker: &'a Worker,
    /// The second this turn began; all of a turn sees one time.
    pub now: Timestamp,
    /// When the caller stops waiting, on [`crate::Clock::elapsed`]'s scale. An engine may give up earlier with
    /// `TimedOut` if nothing was changed, `OutcomeUnknown` if it cannot tell.
    pub deadline: Option<Duration>,
}

/// A client connection as engines see it.
///
/// Kept alive by whoever holds it (`Arc`): an engine that must see it after the client left keeps a clone.
/// [`Engine::connection_closed`](crate::Engine::connection_closed) is called once, on the connection's worker.
pub struct Connection {
    /// Unique during the process.
    pub id: u64,
    /// The address of the listener it came by.
    pub listener: Arc<str>,
    /// Who it is, once authenticated.
    pub user: Mutex<Option<Arc<str>>>,
    /// The descriptor of its socket; -1 if it has none.
    pub socket: i32,
    /// One value private to the engine that serves this connection.
    pub slot: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Connection {
    /// A connection nobody has authenticated on.
    pub fn new(id: u64, listener: Arc<str>, socket: i32) -> Arc<Self> {
        Arc::new(Connection { id, listener, user: Mutex::new(None), socket, slot: Mutex::new(None) })
    }
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The worker a call runs on: one thread, one event loop. Cloning names the same worker.
#[derive(Clone)]
pub struct Worker {
    id: usize,
    spawn: Rc<dyn Fn(LocalFuture)>,
    mailbox: Arc<Mailbox>,
}

impl Worker {
    /// A worker whose event loop runs what `spawn` is given, on this thread, to its end.
    /// The loop must also run [`Mailbox::deliver`] of [`Worker::mailbox`] for as long as it lives.
    pub fn new(id: usize, spawn: impl Fn(LocalFuture) + 'static) -> Self {
        Worker { id, spawn: Rc::new(spawn), mailbox: Arc::new(Mailbox::default()) }
    }

    /// From 0, below the number of workers.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Runs a future to its end on this worker.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        (self.spawn)(Box::pin(future));
    }

    /// Where other threads leave wake-ups for this worker.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Takes over an operation whose caller went away.
    pub(crate) fn finish<T: 'static>(&self, work: Work<T>) {
        self.spawn(async move {
            // Nobody is left to hear of the outcome; the work itself was what mattered.
            drop(work.await);
        });
    }
}
