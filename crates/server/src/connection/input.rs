//! What a client sent, on its way through the decoder.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use larder_engine::Timestamp;
use larder_protocol::{Decoded, LogCloseReason, Response, Scratch};
use tokio::io::{AsyncRead, ReadBuf};

use super::ahead::Ahead;
use super::receive::{EARNEST_BYTES, Receiving};
use super::{Life, Session};
use crate::command::{Close, Turn};
use crate::router::Routes;
use crate::tell;
use crate::worker::{Buffers, READ_BUFFER_BYTES};

/// Half a request up to this many bytes is joined with what follows in its worker's buffer. It is half of that.
const CARRIED_BYTES_MAX: usize = READ_BUFFER_BYTES / 2;

/// What is read of a request that may have a large value: enough for the value to get its place.
const LARGE_HEAD_BYTES: usize = EARNEST_BYTES + (1 << 10);

/// What is left of some input is kept in as little memory as it needs, unless it needs little anyway.
const SPARE_INPUT_BYTES: usize = 1 << 10;

/// Why executing the input stopped before its end.
enum Halt {
    /// The rest is cut off: more must be read.
    Incomplete,
    /// An earlier answer must come first.
    Blocked,
    /// Nothing behind this point is executed.
    Finish,
}

impl Session {
    /// Executes what was read earlier and had to wait.
    pub(super) fn execute_waiting(&mut self, routes: &Routes, now: Timestamp, scratch: &mut Scratch) -> bool {
        if !self.input_waits || self.life == Life::Finishing || self.is_blocked() {
            return false;
        }
        self.state.look_for_watchers();
        let input = std::mem::take(&mut self.input);
        self.execute_kept(input, routes, now, scratch) > 0
    }

    /// Executes input and keeps what is left of it; how many bytes are done with.
    fn execute_kept(
        &mut self,
        mut input: Vec<u8>,
        routes: &Routes,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> usize {
        let (consumed, wanted) = self.execute_input(&input, routes, now, scratch);
        input.drain(..consumed);
        let room = wanted.max(input.len());
        if room > input.capacity() {
            input.reserve_exact(room - input.len());
        } else if room.max(SPARE_INPUT_BYTES) < input.capacity() / 4 {
            // Much stood before what is left.
            input.shrink_to(room);
        }
        self.keep_input(input);
        self.hold_input(now);
        consumed
    }

    pub(super) fn keep_input(&mut self, input: Vec<u8>) {
        if self.life == Life::Open && !input.is_empty() {
            self.input = input;
        } else {
            self.dropped_input |= !input.is_empty();
            self.input = Vec::new();
            self.input_waits = false;
        }
    }

    /// Reads once and executes what came. `Ready` if anything happened.
    pub(super) fn read(
        &mut self,
        task: &mut TaskContext<'_>,
        routes: &Routes,
        now: Timestamp,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        if self.receiving.is_some() {
            return self.receive(task, routes, now, buffers);
        }
        // What was cut off goes before what comes, so that no connection needs a buffer to join them in.
        let carried = Some(self.input.len()).filter(|length| *length <= CARRIED_BYTES_MAX);
        let mut free = &mut buffers.read[carried.unwrap_or(0)..];
        if std::mem::take(&mut self.sends_large_values) {
            // Where the last value was large the next may be: what is not read here is read to its place.
            free = &mut free[..LARGE_HEAD_BYTES];
        }
        let mut buffer = ReadBuf::new(free);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer))?;
        let count = buffer.filled().len();
        if count == 0 {
            // The client says no more; it still gets its answers.
            if !self.input.is_empty() {
                self.stream.note_cut_off();
            }
            self.finish(LogCloseReason::Normal);
            self.keep_input(Vec::new());
            return Poll::Ready(Ok(()));
        }
        self.state.counters.bytes_read.add(count as u64);
        self.entry.last_command.set(now);
        // There may be more where this came from; others come first.
        self.did_enough |= carried.unwrap_or(0) + count == buffers.read.len();
        // After the read: who began to watch before this was sent is seen.
        self.state.look_for_watchers();
        let mut input = std::mem::take(&mut self.input);
        if let Some(carried) = carried {
            buffers.read[..carried].copy_from_slice(&input);
            drop(input);
            let all = carried + count;
            let (consumed, _) = self.execute_input(&buffers.read[..all], routes, now, &mut buffers.scratch);
            self.keep_input(buffers.read[consumed..all].to_vec());
            self.hold_input(now);
        } else {
            input.extend_from_slice(&buffers.read[..count]);
            self.execute_kept(input, routes, now, &mut buffers.scratch);
        }
        Poll::Ready(Ok(()))
    }

    /// Executes request after request; how many bytes of `input` are done with, and how many the request at its end
    /// will have as far as that is known.
    fn execute_input(
        &mut self,
        input: &[u8],
        routes: &Routes,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> (usize, usize) {
        let (mut done, mut wanted) = (0, 0);
        let mut ahead = Ahead::default();
        let halt = loop {
            if self.is_blocked() {
                break Halt::Blocked;
            }
            ahead.look(self.decoder.protocol(), input, done, routes);
            match self.decoder.decode(&input[done..], scratch) {
                Decoded::Request { request, consumed } => {
                    if !std::mem::take(&mut self.is_told) {
                        tell::request(&request, &input[done..]);
                    }
                    match self.execute(&request, routes, now) {
                        Ok(true) => {
                            self.requests += 1;
                            done += consumed;
                        }
                        Ok(false) => {
                            self.is_told = true;
                            break Halt::Blocked;
                        }
                        Err(Close) => break Halt::Finish,
                    }
                }
                Decoded::Value { request, consumed, value_bytes, trailer_bytes } => {
                    tell::request(&request, &input[done..]);
                    done += consumed;
                    let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
                    let mut receiving = Receiving::new(&request, value_bytes, trailer_bytes);
                    done += receiving.begin(&turn, &input[done..]);
                    self.sends_large_values = true;
                    self.receiving = Some(Box::new(receiving));
                }
                Decoded::Skipped { consumed } => done += consumed,
                Decoded::Incomplete { input_bytes_min } => {
                    wanted = input_bytes_min;
                    break Halt::Incomplete;
                }
                Decoded::Close { reply, reason } => {
                    if let Some((form, error)) = reply {
                        self.answer_last(&form, &Response::Error(error));
                    }
                    tracing::debug!("connection {}: closed for {reason:?}", self.connection.id);
                    self.visit.reason = LogCloseReason::Error;
                    break Halt::Finish;
                }
            }
        };
        self.input_waits = matches!(halt, Halt::Blocked);
        if matches!(halt, Halt::Finish) {
            self.life = Life::Finishing;
        }
        (done, wanted)
    }
}
