//! Connections that have been silent for a while, in as little memory as they need.
//!
//! A task on the event loop and its registration there take more than a kilobyte. A connection at rest has neither: its
//! socket is watched by a poll of its own, which all of a worker's connections at rest share, and which the event loop
//! watches in turn. The first sign of life gives it a task again.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use hashbrown::HashMap;
use larder_engine::Timestamp;
use larder_protocol::{Decoder, LogCloseReason};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use tokio::io::unix::AsyncFd;

use crate::connection::{self, Guest, Stream};
use crate::worker::{Socket, WorkerState};

/// A connection rests after this many seconds of silence, or one more.
pub(crate) const REST_AFTER_SECONDS: u32 = 2;

/// Connections woken at a time.
const EVENTS_MAX: usize = 64;

/// A connection at rest: nothing of it is read, executed or to be sent.
pub(crate) struct Rested {
    pub(crate) guest: Guest<Socket>,
    pub(crate) decoder: Decoder,
    pub(crate) last_command: Timestamp,
}

/// The connections of a worker that are at rest.
pub(crate) struct Resting {
    registry: Registry,
    rested: RefCell<HashMap<Token, Box<Rested>, foldhash::fast::RandomState>>,
}

impl Resting {
    /// Nobody yet, and the poll that tells of signs of life. For [`watch`].
    pub(crate) fn new() -> io::Result<(Resting, Poll)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok((Resting { registry, rested: RefCell::default() }, poll))
    }

    /// Takes a connection in; gives it back if the system does not watch one more socket.
    pub(crate) fn take_in(&self, rested: Rested) -> Result<(), (Rested, io::Error)> {
        let token = token(&rested);
        let descriptor = rested.guest.stream.descriptor();
        match self.registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE) {
            Ok(()) => {
                self.rested.borrow_mut().insert(token, Box::new(rested));
                Ok(())
            }
            Err(error) => Err((rested, error)),
        }
    }

    /// Takes a connection out.
    fn take_out(&self, token: Token) -> Option<Rested> {
        let rested = *self.rested.borrow_mut().remove(&token)?;
        let descriptor = rested.guest.stream.descriptor();
        if let Err(error) = self.registry.deregister(&mut SourceFd(&descriptor)) {
            // It closes with its socket at the latest.
            tracing::debug!("connection {}: still watched: {error}", rested.guest.connection.id);
        }
        Some(rested)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rested.borrow().is_empty()
    }

    /// Closes those whose silence of so many seconds is too long; how many.
    pub(crate) fn close(
        &self,
        state: &WorkerState,
        is_too_long: impl Fn(u32) -> bool,
        reason: LogCloseReason,
    ) -> usize {
        let now = state.shared.clock.now();
        let silent: Vec<Token> = {
            let rested = self.rested.borrow();
            let is_silent = |rested: &Rested| is_too_long(now.seconds_since(rested.last_command));
            rested.iter().filter(|(_, rested)| is_silent(rested)).map(|(token, _)| *token).collect()
        };
        let count = silent.len();
        for Rested { mut guest, .. } in silent.into_iter().filter_map(|token| self.take_out(token)) {
            guest.visit.reason = reason;
            state.tell_closed(&guest.connection);
        }
        count
    }
}

fn token(rested: &Rested) -> Token {
    Token(rested.guest.connection.id as usize)
}

/// Gives connections a task again when there is something to read from them, or nothing more ever.
pub(crate) async fn watch(state: Rc<WorkerState>, poll: Poll) -> io::Result<()> {
    // SAFETY: the poll owns its descriptor and keeps it until it is dropped, which its owner here does last.
    let mut poll = unsafe { AsyncFd::register(poll)? };
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        let mut ready = poll.readable_mut().await?;
        match ready.get_inner_mut().poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if events.is_empty() {
            ready.clear_ready();
            continue;
        }
        for event in &events {
            if let Some(rested) = state.resting.take_out(event.token()) {
                resume(&state, rested);
            }
        }
        // Many may wake at once; others get their turn in between.
        tokio::task::yield_now().await;
    }
}

/// Gives a connection a task again.
pub(crate) fn resume(state: &Rc<WorkerState>, rested: Rested) {
    let Rested { guest, decoder, last_command: _ } = rested;
    let Guest { connection, stream, visit, seat } = guest;
    let id = connection.id;
    match Stream::attach(stream) {
        Ok(stream) => {
            let guest = Guest { connection, stream, visit, seat };
            tokio::task::spawn_local(connection::resume(state, guest, decoder));
        }
        Err(error) => {
            state.tell_closed(&connection);
            tracing::warn!("connection {id}: cannot be served any more: {error}");
        }
    }
}
