//! What an exported engine keeps of a connection, and how it asks the engine for it.

use std::any::Any;
use std::ffi::CStr;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_engine::{Connection, Context, Engine, EngineError, ErrorKind, Reply};
use parking_lot::Mutex;

use crate::server::{Cookie, Server};
use crate::workers::Workers;

/// An answer on its way.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, EngineError>>>>;

/// An answer that may be there.
pub(crate) fn settle<T: 'static>(reply: Reply<T>) -> Answer<T> {
    match reply {
        Reply::Ready(answer) => Box::pin(std::future::ready(answer)),
        Reply::Pending(operation) => Box::pin(operation),
    }
}

/// A connection.
pub(crate) struct Guest {
    cookie: Cookie,
    connection: Arc<Connection>,
    call: Mutex<Call>,
    /// What to say of the last error.
    pub(crate) words: Mutex<String>,
}

/// The one call that may be under way for a connection.
#[derive(Default)]
enum Call {
    #[default]
    None,
    Asked,
    /// A `Result<T, EngineError>` for the `T` that was asked for.
    Answered(Box<dyn Any + Send>),
}

/// The engine with what it runs on.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) workers: Workers,
}

impl House {
    /// The guest of a connection, met for the first time or known.
    pub(crate) fn guest(&self, cookie: Cookie) -> Arc<Guest> {
        let own = self.server.own(cookie).cast_const().cast::<Guest>();
        if own.is_null() {
            let guest = Arc::new(Guest::new(self.server, cookie));
            self.server.set_own(cookie, Arc::into_raw(guest.clone()).cast_mut().cast());
            self.tell(&guest, |engine, context| engine.connection_opened(context));
            return guest;
        }
        // SAFETY: nobody but this function hangs something on a cookie, and what it hangs there is this; `part` takes it
        // away again on the thread that calls for this cookie.
        unsafe {
            Arc::increment_strong_count(own);
            Arc::from_raw(own)
        }
    }

    /// The connection is gone.
    pub(crate) fn part(&self, cookie: Cookie) {
        let own = self.server.own(cookie).cast_const().cast::<Guest>();
        if own.is_null() {
            return;
        }
        self.server.set_own(cookie, std::ptr::null_mut());
        // SAFETY: the reference that `guest` hung there, taken away just now.
        let guest = unsafe { Arc::from_raw(own) };
        self.tell(&guest, |engine, context| engine.connection_closed(context));
    }

    /// The connection's client proved who it is.
    pub(crate) fn name(&self, cookie: Cookie) {
        let name = self.server.user(cookie);
        // SAFETY: null, or a text that ends in NUL and stays during the event that this is called in.
        let name =
            (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().as_ref().into());
        *self.guest(cookie).connection.user.lock() = name;
    }

    fn tell(&self, guest: &Arc<Guest>, call: impl FnOnce(&dyn Engine, &Context<'_>) + Send + 'static) {
        let (engine, guest, server) = (self.engine.clone(), guest.clone(), self.server);
        let connection = guest.connection.id;
        self.workers.give(
            connection,
            Box::new(move |worker| {
                let context =
                    Context { connection: &guest.connection, worker, now: server.now(), deadline: None };
                call(&*engine, &context);
                Box::pin(std::future::ready(()))
            }),
        );
    }

    /// The answer of the engine, if it is there. `None`: the server will be notified, and asks again.
    ///
    /// Called twice for one call, `call` is made only once.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        cookie: Cookie,
        call: impl FnOnce(&dyn Engine, &Context<'_>) -> Answer<T> + Send + 'static,
    ) -> Option<Result<T, EngineError>> {
        let guest = self.guest(cookie);
        let mut state = guest.call.lock();
        match std::mem::replace(&mut *state, Call::Asked) {
            Call::Asked => None,
            Call::Answered(answer) => {
                *state = Call::None;
                let answer = answer.downcast::<Result<T, EngineError>>();
                Some(answer.map_or_else(|_| Err(ErrorKind::Internal.into()), |answer| *answer))
            }
            Call::None => {
                drop(state);
                // Without a worker the answer is there already: that it broke off.
                self.give(&guest, call);
                None
            }
        }
    }

    fn give<T: Send + 'static>(
        &self,
        guest: &Arc<Guest>,
        call: impl FnOnce(&dyn Engine, &Context<'_>) -> Answer<T> + Send + 'static,
    ) {
        let (engine, server) = (self.engine.clone(), self.server);
        let connection = guest.connection.id;
        let due = Due { guest: guest.clone(), server, is_over: false, answer: PhantomData };
        self.workers.give(
            connection,
            Box::new(move |worker| {
                let context =
                    Context { connection: &due.guest.connection, worker, now: server.now(), deadline: None };
                let answer = call(&*engine, &context);
                Box::pin(async move {
                    let answer = answer.await;
                    due.give(answer);
                })
            }),
        )
    }
}

/// An answer that a connection waits for. Dropped without one, as when the engine panics, it says that nobody knows.
struct Due<T: Send + 'static> {
    guest: Arc<Guest>,
    server: Server,
    is_over: bool,
    answer: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Due<T> {
    fn give(mut self, answer: Result<T, EngineError>) {
        self.leave(answer);
    }

    fn leave(&mut self, answer: Result<T, EngineError>) {
        self.is_over = true;
        *self.guest.call.lock() = Call::Answered(Box::new(answer));
        self.server.notify(self.guest.cookie);
    }
}

impl<T: Send + 'static> Drop for Due<T> {
    fn drop(&mut self) {
        if !self.is_over {
            self.leave(Err(EngineError::new(ErrorKind::OutcomeUnknown, "the engine broke off")));
        }
    }
}

impl Guest {
    fn new(server: Server, cookie: Cookie) -> Guest {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Guest {
            cookie,
            connection: Connection::new(id, "module".into(), server.socket(cookie)),
            call: Mutex::default(),
            words: Mutex::default(),
        }
    }
}
