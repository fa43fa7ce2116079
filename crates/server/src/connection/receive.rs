//! A large value on its way in: read from the socket straight to the place its engine reserved.
//!
//! Room among the bytes in flight is taken for the whole value, but only once its first [`EARNEST_BYTES`] are here, so that
//! heads alone hold nothing. What holds room must keep a pace while others wait for it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use larder_engine::{EngineError, ErrorKind, Operation, Reply, Writer};
use larder_protocol::{
    Command, Failure, FailureKind, LogCloseReason, OwnedRequest, Request, Response, check_trailer,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::pace::Upload;
use super::queue::{Claim, Parked};
use super::{Life, Session, Stream};
use crate::command::{self, Close, Refused, Turn};
use crate::router::Routes;
use crate::shared::BUDGET_UNIT_BYTES;
use crate::worker::Buffers;
use larder_engine::Timestamp;

/// A value gets room once this many of its bytes came. Until then they are kept as any half request is.
pub(super) const EARNEST_BYTES: usize = 16 << 10;

type Acquire = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>>>>;

/// A storage request whose value is being received.
pub(crate) struct Receiving {
    request: OwnedRequest,
    value_bytes: usize,
    /// Value and trailer bytes received so far.
    received: usize,
    trailer: [u8; 2],
    trailer_bytes: usize,
    place: Place,
    /// Came with the head of the request, before there was a place.
    early: Vec<u8>,
    /// The share of the bytes in flight; held until the engine has answered.
    permit: Option<OwnedSemaphorePermit>,
    /// When its share and its place were there.
    since: Option<Timestamp>,
}

enum Place {
    /// Not enough of the value came yet to hold room for all of it.
    Unearned,
    /// Too much is in flight: nothing is read until there is room.
    Budget(Acquire),
    /// The engine is making a place.
    Reserving(Operation<Writer>),
    Ready(Writer),
    /// There is no place: the value is thrown away, then this is the answer.
    Refused(EngineError),
}

impl Receiving {
    pub(crate) fn new(request: &Request<'_>, value_bytes: usize, trailer_bytes: usize) -> Receiving {
        Receiving {
            request: request.to_owned(),
            value_bytes,
            received: 0,
            trailer: [0; 2],
            trailer_bytes,
            place: Place::Unearned,
            early: Vec::new(),
            permit: None,
            since: None,
        }
    }

    /// Takes what came with the head of the request, to the value's place if it can have one at once; how many bytes.
    pub(crate) fn begin(&mut self, turn: &Turn<'_>, available: &[u8]) -> usize {
        let available = &available[..available.len().min(self.value_bytes + self.trailer_bytes)];
        if available.len() >= EARNEST_BYTES.min(self.value_bytes)
            && let Ok(permit) = turn.shared().budget.clone().try_acquire_many_owned(self.units(turn))
        {
            self.permit = Some(permit);
            self.place = reserve(turn, &self.request.borrow(), self.value_bytes);
        }
        if !matches!(self.place, Place::Ready(_) | Place::Refused(_)) {
            return self.take_early(available);
        }
        self.put_all(available);
        self.since = Some(turn.now);
        available.len()
    }

    /// Takes what came before there is a place; how many bytes.
    fn take_early(&mut self, available: &[u8]) -> usize {
        let count = available.len().min(self.value_bytes + self.trailer_bytes - self.early.len());
        self.early.extend_from_slice(&available[..count]);
        count
    }

    /// How many more bytes must come before there is a place for the value.
    fn unearned(&self) -> usize {
        match self.place {
            Place::Unearned => EARNEST_BYTES.min(self.value_bytes).saturating_sub(self.early.len()),
            _ => 0,
        }
    }

    /// Asks for room for all of the value.
    fn ask(&self, turn: &Turn<'_>) -> Place {
        Place::Budget(Box::pin(turn.shared().budget.clone().acquire_many_owned(self.units(turn))))
    }

    /// How much of the bytes in flight it takes.
    fn units(&self, turn: &Turn<'_>) -> u32 {
        let bytes = self.value_bytes.min(turn.shared().options.bytes_in_flight_max);
        u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES)).unwrap_or(u32::MAX)
    }

    /// How far the value has come, for those who wait for its room.
    fn upload(&self) -> Option<Upload> {
        let since = self.since?;
        Some(Upload { since, value_bytes: self.value_bytes, received: self.received })
    }

    /// Gets a place for the value; `Ready` once it is known where the bytes go.
    fn prepare(&mut self, task: &mut TaskContext<'_>, turn: &Turn<'_>) -> Poll<()> {
        loop {
            self.place = match &mut self.place {
                Place::Unearned => self.ask(turn),
                Place::Budget(acquire) => match std::task::ready!(acquire.as_mut().poll(task)) {
                    Ok(permit) => {
                        self.permit = Some(permit);
                        reserve(turn, &self.request.borrow(), self.value_bytes)
                    }
                    Err(_closed) => Place::Refused(ErrorKind::Unavailable.into()),
                },
                Place::Reserving(operation) => match std::task::ready!(Pin::new(operation).poll(task)) {
                    Ok(writer) => Place::Ready(writer),
                    Err(error) => Place::Refused(error),
                },
                Place::Ready(_) | Place::Refused(_) => break,
            };
        }
        let early = std::mem::take(&mut self.early);
        self.put_all(&early);
        self.since.get_or_insert(turn.now);
        Poll::Ready(())
    }

    fn put_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.put(bytes);
            bytes = &bytes[count..];
        }
    }

    /// Puts bytes where they belong; how many, at least one.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = if self.received < self.value_bytes {
            let count = bytes.len().min(self.value_bytes - self.received);
            if let Place::Ready(writer) = &mut self.place {
                writer.buffer()[self.received..self.received + count].copy_from_slice(&bytes[..count]);
            }
            count
        } else {
            let at = self.received - self.value_bytes;
            let count = bytes.len().min(self.trailer_bytes - at);
            self.trailer[at..at + count].copy_from_slice(&bytes[..count]);
            count
        };
        self.received += count;
        count
    }

    /// Reads once, straight into the value's place where there is one; how many bytes, 0 at the end of the stream.
    fn read(
        &mut self,
        stream: &mut Stream,
        task: &mut TaskContext<'_>,
        spare: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Place::Ready(writer) = &mut self.place
            && self.received < self.value_bytes
        {
            let mut buffer = ReadBuf::new(&mut writer.buffer()[self.received..]);
            std::task::ready!(Pin::new(stream).poll_read(task, &mut buffer))?;
            let count = buffer.filled().len();
            self.received += count;
            return Poll::Ready(Ok(count));
        }
        let wanted = match self.unearned() {
            0 => self.value_bytes + self.trailer_bytes - self.received,
            unearned => unearned,
        };
        let room = wanted.min(spare.len());
        let mut buffer = ReadBuf::new(&mut spare[..room]);
        std::task::ready!(Pin::new(stream).poll_read(task, &mut buffer))?;
        let filled = buffer.filled();
        if matches!(self.place, Place::Unearned) {
            self.take_early(filled);
        } else {
            self.put_all(filled);
        }
        Poll::Ready(Ok(filled.len()))
    }

    fn is_complete(&self) -> bool {
        self.early.is_empty() && self.received == self.value_bytes + self.trailer_bytes
    }
}

fn reserve(turn: &Turn<'_>, request: &Request<'_>, value_bytes: usize) -> Place {
    let Command::Store(store) = &request.command else { unreachable!("only a store has a value") };
    let Some((stack, key)) = turn.routes.route(store.key) else {
        return Place::Refused(EngineError::new(
            ErrorKind::Unavailable,
            "no store is configured for this key's prefix",
        ));
    };
    let expiry = command::expiry(store.exptime, turn.now);
    match stack.engine.reserve(&turn.context(), key, value_bytes, store.flags, expiry) {
        Reply::Ready(Ok(writer)) => Place::Ready(writer),
        Reply::Ready(Err(error)) => Place::Refused(error),
        Reply::Pending(operation) => Place::Reserving(operation),
    }
}

impl Session {
    /// Receives more of the value; once it is whole, executes its request.
    pub(super) fn receive(
        &mut self,
        task: &mut TaskContext<'_>,
        routes: &Routes,
        now: Timestamp,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        let receiving = self.receiving.as_mut().expect("called while a value is received");
        let end = loop {
            if receiving.unearned() == 0 {
                std::task::ready!(receiving.prepare(task, &turn));
                self.entry.upload.set(receiving.upload());
                if receiving.is_complete() {
                    break Life::Open;
                }
            }
            let count = std::task::ready!(receiving.read(&mut self.stream, task, &mut buffers.read))?;
            if count == 0 {
                // The client left in the middle of a value: it was never asked for.
                break Life::Finishing;
            }
            self.state.counters.bytes_read.add(count as u64);
            self.entry.last_command.set(now);
        };
        self.entry.upload.set(None);
        let receiving = self.receiving.take().expect("seen above");
        if end == Life::Finishing {
            self.stream.note_cut_off();
            self.finish(LogCloseReason::Normal);
            return Poll::Ready(Ok(()));
        }
        self.requests += 1;
        self.input_waits = !self.input.is_empty();
        self.state.look_for_watchers();
        if self.execute_received(*receiving, routes, now).is_err() {
            self.finish(LogCloseReason::Normal);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives up a value that comes too slowly while others wait for its room: its client is told, then closed.
    pub(super) fn drop_slow_upload(&mut self, now: Timestamp) {
        self.entry.upload.set(None);
        let Some(receiving) = self.receiving.take() else { return self.drop_slow_line() };
        let text = format!(
            "the value came too slowly while others waited: {} of {} bytes in {} s",
            receiving.received,
            receiving.value_bytes,
            receiving.since.map_or(0, |since| now.seconds_since(since))
        );
        self.state.counters.slow_uploads.add(1);
        tracing::info!("connection {}: closed: {text}", self.connection.id);
        let failure = Failure { kind: FailureKind::TimedOut, text: &text };
        command::respond(&receiving.request.borrow().form, &Response::Failure(failure), self.replies.tail());
        self.finish(LogCloseReason::Error);
    }

    fn execute_received(
        &mut self,
        receiving: Receiving,
        routes: &Routes,
        now: Timestamp,
    ) -> Result<(), Close> {
        let request = receiving.request.borrow();
        let Command::Store(store) = &request.command else { unreachable!("only a store has a value") };
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        let replies = &mut self.replies;
        if let Err(error) = check_trailer(&receiving.trailer[..receiving.trailer_bytes]) {
            command::respond(&request.form, &Response::Error(error), replies.tail());
            return Ok(());
        }
        let claim = Claim { key_hash: replies.hash(store.key), writes: true };
        let writer = match receiving.place {
            Place::Ready(writer) => writer,
            Place::Refused(error) => {
                let value_bytes = receiving.value_bytes as u64;
                let refused = Refused { key: store.key, mode: store.mode, value_bytes };
                let pending = command::refuse_store(&turn, &request.form, &refused, error, replies.tail())?;
                if let Some(pending) = pending {
                    replies.queue.wait(claim, pending);
                }
                return Ok(());
            }
            Place::Unearned | Place::Budget(_) | Place::Reserving(_) => {
                unreachable!("a complete value has a place")
            }
        };
        if replies.queue.conflicts(claim) {
            let Receiving { request, permit, .. } = receiving;
            replies.queue.park(claim, Parked { request, writer: Some(writer), room: permit });
        } else if let Some(pending) = command::execute(&turn, &request, Some(writer), replies.tail())? {
            replies.queue.wait(claim, pending.holding(receiving.permit));
        }
        Ok(())
    }
}
