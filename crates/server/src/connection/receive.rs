//! A large value on its way in: read from the socket straight to the place its engine reserved.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use larder_engine::{EngineError, ErrorKind, Operation, Reply, Writer};
use larder_protocol::{Command, OwnedRequest, Request, Response, check_trailer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::queue::{Claim, Parked};
use super::{Life, Session};
use crate::command::{self, Close, Turn};
use crate::router::Routes;
use crate::shared::BUDGET_UNIT_BYTES;
use crate::worker::Buffers;
use larder_engine::Timestamp;

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
    /// The share of the bytes in flight; held until the value is handed over.
    permit: Option<OwnedSemaphorePermit>,
}

enum Place {
    /// Too much is in flight: nothing is read until there is room.
    Budget(Acquire),
    /// The engine is making a place.
    Reserving(Operation<Writer>),
    Ready(Writer),
    /// There is no place: the value is thrown away, then this is the answer.
    Refused(EngineError),
}

impl Receiving {
    pub(crate) fn new(
        request: &Request<'_>,
        value_bytes: usize,
        trailer_bytes: usize,
        turn: &Turn<'_>,
    ) -> Receiving {
        let options = &turn.shared().options;
        let units = value_bytes.min(options.bytes_in_flight_max).div_ceil(BUDGET_UNIT_BYTES);
        let acquire =
            turn.shared().budget.clone().acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
        Receiving {
            request: request.to_owned(),
            value_bytes,
            received: 0,
            trailer: [0; 2],
            trailer_bytes,
            place: Place::Budget(Box::pin(acquire)),
            early: Vec::new(),
            permit: None,
        }
    }

    /// Takes what of the value came with its head; how many bytes.
    pub(crate) fn take_early(&mut self, available: &[u8]) -> usize {
        let count = available.len().min(self.value_bytes + self.trailer_bytes);
        self.early = available[..count].to_vec();
        count
    }

    /// Gets a place for the value; `Ready` once it is known where the bytes go.
    fn prepare(&mut self, task: &mut TaskContext<'_>, turn: &Turn<'_>) -> Poll<()> {
        loop {
            self.place = match &mut self.place {
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
        let mut rest = &early[..];
        while !rest.is_empty() {
            let count = self.put(rest);
            rest = &rest[count..];
        }
        Poll::Ready(())
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
        std::task::ready!(receiving.prepare(task, &turn));
        while !receiving.is_complete() {
            let left = receiving.value_bytes.saturating_sub(receiving.received);
            let count = match &mut receiving.place {
                Place::Ready(writer) if left > 0 => {
                    let at = receiving.received;
                    let mut buffer = ReadBuf::new(&mut writer.buffer()[at..]);
                    std::task::ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer))?;
                    let count = buffer.filled().len();
                    receiving.received += count;
                    count
                }
                _ => {
                    let wanted = receiving.value_bytes + receiving.trailer_bytes - receiving.received;
                    let room = wanted.min(buffers.read.len());
                    let mut buffer = ReadBuf::new(&mut buffers.read[..room]);
                    std::task::ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer))?;
                    let mut rest = buffer.filled();
                    let count = rest.len();
                    while !rest.is_empty() {
                        let taken = receiving.put(rest);
                        rest = &rest[taken..];
                    }
                    count
                }
            };
            if count == 0 {
                // The client left in the middle of a value: it was never asked for.
                self.receiving = None;
                self.life = Life::Finishing;
                return Poll::Ready(Ok(()));
            }
            self.state.counters.bytes_read.add(count as u64);
            self.entry.last_command.set(now);
        }
        let receiving = self.receiving.take().expect("seen above");
        self.requests += 1;
        self.input_waits = !self.input.is_empty();
        if self.execute_received(*receiving, routes, now).is_err() {
            self.life = Life::Finishing;
        }
        Poll::Ready(Ok(()))
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
                let pending = command::refuse_store(
                    &turn,
                    &request.form,
                    store.key,
                    store.mode,
                    error,
                    replies.tail(),
                )?;
                if let Some(pending) = pending {
                    replies.queue.wait(claim, pending);
                }
                return Ok(());
            }
            Place::Budget(_) | Place::Reserving(_) => unreachable!("a complete value has a place"),
        };
        if replies.queue.conflicts(claim) {
            replies.queue.park(claim, Parked { request: receiving.request, writer: Some(writer) });
        } else if let Some(pending) = command::execute(&turn, &request, Some(writer), replies.tail())? {
            replies.queue.wait(claim, pending);
        }
        Ok(())
    }
}
