//! One client connection: reads, executes, answers.
//!
//! A turn reads once into the worker's buffer, executes every request in it and writes once. A connection between
//! requests holds no buffer; it keeps only what was cut off.

mod admit;
mod ahead;
mod input;
mod job;
mod linger;
mod long;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod queue;
mod receive;
mod replies;
mod stream;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use larder_engine::{Connection, Timestamp};
use larder_protocol::{Decoder, Form, Limits, LogCloseReason, Request, Response};
use tokio::io::AsyncWrite;

use crate::command::{self, Close, Job, Needs, Start, Turn};
use crate::rest::{self, Rested};
use crate::router::Routes;
use crate::shared::Setup;
use crate::tell;
use crate::watch::Visit;
use crate::worker::{Buffers, Entry, Seat, WorkerState};
pub(crate) use admit::admit;
use linger::Linger;
use long::LongLine;
use output::Output;
use queue::{Claim, Parked, Queue};
use receive::Receiving;
pub(crate) use replies::Replies;
use replies::is_ordered_by_connection;
pub(crate) use stream::Stream;

/// How far a connection's life has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Reading and answering.
    Open,
    /// Nothing more is read or executed; what was asked is answered, then the connection is closed.
    Finishing,
}

struct Session {
    state: Rc<WorkerState>,
    connection: Arc<Connection>,
    entry: Rc<Entry>,
    stream: Stream,
    decoder: Decoder,
    /// The limit the decoder was given last.
    item_size_max: u32,
    /// Read but not executed: cut off, or behind something that must be answered first.
    input: Vec<u8>,
    /// The input holds something that may be executed as soon as nothing blocks it.
    input_waits: bool,
    /// The log has the request that the input begins with.
    is_told: bool,
    /// The last request stored a large value.
    sends_large_values: bool,
    receiving: Option<Box<Receiving>>,
    long: Option<Box<LongLine>>,
    replies: Replies,
    life: Life,
    visit: Visit,
    /// What it does instead of answering requests.
    job: Option<Box<Job>>,
    /// Requests since the last time others got their turn.
    requests: u32,
    /// All is answered; what the client still says is thrown away.
    linger: Option<Linger>,
    /// Something that was read is not executed and never will be.
    dropped_input: bool,
    /// It did as much as may be done in a turn, whatever the number of requests.
    did_enough: bool,
    /// What it has added to the unsent bytes of all connections.
    unsent_told: usize,
    /// Its place, if it is one of those that are limited.
    seat: Option<Seat>,
}

/// A client that is to be served, and its socket.
pub(crate) struct Guest<S = Stream> {
    pub(crate) connection: Arc<Connection>,
    pub(crate) stream: S,
    pub(crate) visit: Visit,
    /// Its place, if it is one of those that are limited.
    pub(crate) seat: Option<Seat>,
}

/// Serves a connection until it is closed. `input` was read from it before, and comes first.
pub(crate) fn serve(
    state: &Rc<WorkerState>,
    guest: Guest,
    input: Vec<u8>,
) -> impl Future<Output = ()> + use<> {
    let setup = state.setup();
    for engine in command::engines(&setup.routes) {
        engine.connection_opened(&state.context(&guest.connection, state.shared.clock.now()));
    }
    let decoder = Decoder::new(limits(setup.tunables.item_size_max), state.shared.options.protocol);
    run(Session::new(state, guest, decoder, input))
}

/// Serves a connection again that was at rest.
pub(crate) fn resume(
    state: &Rc<WorkerState>,
    guest: Guest,
    decoder: Decoder,
) -> impl Future<Output = ()> + use<> {
    run(Session::new(state, guest, decoder, Vec::new()))
}

/// How the task of a session ends.
enum End {
    /// With the connection.
    Over,
    /// There is nothing to do for it.
    Rest,
}

async fn run(mut session: Session) {
    match std::future::poll_fn(|task| session.poll(task)).await {
        Ok(End::Rest) => return session.rest(),
        Ok(End::Over) => {}
        Err(error) => {
            session.visit.reason = LogCloseReason::Error;
            admit::count_tls_error(&session.state, &session.stream, &error);
            tracing::debug!("connection {}: {error}", session.connection.id);
        }
    }
    session.stream.say_goodbye();
    session.close();
}

fn limits(item_size_max: u32) -> Limits {
    Limits { item_bytes_max: item_size_max, ..Limits::default() }
}

impl Session {
    fn new(state: &Rc<WorkerState>, guest: Guest, decoder: Decoder, input: Vec<u8>) -> Session {
        let Guest { connection, stream, visit, seat } = guest;
        Session {
            entry: state.register(connection.id),
            decoder,
            // None is 0: it is given before anything is decoded.
            item_size_max: 0,
            input_waits: !input.is_empty(),
            input,
            is_told: false,
            sends_large_values: false,
            receiving: None,
            long: None,
            replies: Replies::default(),
            life: Life::Open,
            visit,
            job: None,
            requests: 0,
            linger: None,
            dropped_input: false,
            did_enough: false,
            unsent_told: 0,
            stream,
            connection,
            state: state.clone(),
            seat,
        }
    }

    /// Runs turns until there is nothing to do; `Ready` when the task is to end.
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<End>> {
        if self.entry.waker.borrow().as_ref().is_none_or(|waker| !waker.will_wake(task.waker())) {
            *self.entry.waker.borrow_mut() = Some(task.waker().clone());
        }
        if self.entry.kicked.get() && !self.is_watching() {
            self.state.counters.idle_kicks.add(1);
            self.visit.reason = LogCloseReason::IdleTimeout;
            return Poll::Ready(Ok(End::Over));
        }
        if self.entry.may_rest.take() && self.is_at_rest() {
            return Poll::Ready(Ok(End::Rest));
        }
        let state = self.state.clone();
        let setup = state.setup();
        let now = state.shared.clock.now();
        if setup.tunables.item_size_max != self.item_size_max {
            self.item_size_max = setup.tunables.item_size_max;
            self.decoder.set_limits(limits(self.item_size_max));
        }
        if self.entry.too_slow.take() {
            self.drop_slow_upload(now);
        }
        tell::begin(state.shared.verbosity.load(std::sync::atomic::Ordering::Relaxed), self.connection.id);
        let mut buffers = state.buffers.borrow_mut();
        if self.replies.output.bytes.capacity() == 0 {
            self.replies.output.bytes = buffers.take_output();
        }
        self.replies.are_scarce = state.shared.are_answers_scarce();
        let end = self.turns(task, &setup, now, &mut buffers);
        self.tell_unsent();
        if self.replies.output.is_empty() {
            buffers.give_output(std::mem::take(&mut self.replies.output.bytes));
        }
        end.map_ok(|()| End::Over)
    }

    fn turns(
        &mut self,
        task: &mut TaskContext<'_>,
        setup: &Setup,
        now: Timestamp,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        let routes = &setup.routes;
        self.requests = 0;
        self.did_enough = false;
        loop {
            let mut progress = self.advance_queue(task, routes, now);
            progress |= self.answer_more(routes, now);
            if self.state.draining.get() && self.life == Life::Open && self.receiving.is_none() {
                // What was read whole is still answered; what is cut off will never be.
                progress |= self.execute_waiting(routes, now, &mut buffers.scratch);
                if !self.input_waits && !self.is_answering() {
                    self.finish(LogCloseReason::Shutdown);
                }
            }
            progress |= self.execute_waiting(routes, now, &mut buffers.scratch);
            if self.may_read() {
                match self.read(task, routes, now, buffers) {
                    Poll::Ready(Ok(())) => progress = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            progress |= self.work(task, setup, now, buffers)?;
            let unsent = self.replies.output.unsent();
            // Room for more, once it is sent.
            let was_full = unsent > 0 && (self.job.is_some() || self.replies.are_enough());
            if let Poll::Ready(sent) = self.send(task) {
                sent?;
                if self.life == Life::Finishing
                    && self.replies.queue.is_empty()
                    && self.replies.output.is_empty()
                {
                    return self.take_leave(task, buffers);
                }
                progress |= was_full;
            }
            if !progress {
                return Poll::Pending;
            }
            if self.did_enough || self.requests >= setup.tunables.requests_per_turn {
                self.give_way(task);
                return Poll::Pending;
            }
        }
    }

    /// Lets others have their turns.
    fn give_way(&self, task: &mut TaskContext<'_>) {
        self.state.counters.conn_yields.add(1);
        if self.did_enough {
            // Woken at once, this task could have sixty more turns before the worker looks what came for others.
            let yielded = std::pin::pin!(tokio::task::yield_now()).poll(task);
            debug_assert!(yielded.is_pending(), "the runtime wakes the task itself");
        } else {
            task.waker().wake_by_ref();
        }
    }

    /// Tells the others how much more or less is unsent here.
    fn tell_unsent(&mut self) {
        let unsent = self.replies.bytes();
        if unsent != self.unsent_told {
            self.state.shared.change_unsent(self.unsent_told, unsent);
            self.unsent_told = unsent;
        }
    }

    fn advance_queue(&mut self, task: &mut TaskContext<'_>, routes: &Routes, now: Timestamp) -> bool {
        if self.replies.queue.is_empty() {
            return false;
        }
        self.state.look_for_watchers();
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        match self.replies.queue.advance(task, &turn, &mut self.replies.output) {
            Ok(progress) => progress,
            Err(Close) => {
                self.replies.queue = Queue::default();
                self.forget_line();
                self.finish(LogCloseReason::Normal);
                true
            }
        }
    }

    fn send(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let poll = self.replies.output.send(Pin::new(&mut self.stream), task, &mut sent);
        self.state.counters.bytes_written.add(sent);
        match &mut self.stream {
            // It may have taken the answers and hold them still.
            Stream::Tls(stream) if poll.is_ready() => {
                std::task::ready!(poll)?;
                Pin::new(stream).poll_flush(task)
            }
            _ => poll,
        }
    }

    /// Whether more may be executed at this moment.
    fn is_blocked(&self) -> bool {
        self.receiving.is_some()
            || self.job.is_some()
            || self.is_answering()
            || self.replies.queue.is_barred()
            || self.replies.are_enough()
    }

    /// Whether a long retrieval is being answered.
    #[inline]
    fn is_answering(&self) -> bool {
        self.long.as_ref().is_some_and(|long| long.is_whole())
    }

    fn may_read(&self) -> bool {
        if self.life == Life::Finishing {
            return false;
        }
        self.receiving.is_some() || (!self.is_blocked() && !self.input_waits)
    }

    /// Lets no more be read or executed.
    fn finish(&mut self, reason: LogCloseReason) {
        if self.life == Life::Open {
            self.life = Life::Finishing;
            self.visit.reason = reason;
        }
    }

    fn answer_last(&mut self, form: &Form<'_>, response: &Response<'_>) {
        self.replies.tail().answer(form, response);
    }

    /// Executes one request. `false`: it must wait for what is before it, and was not touched.
    fn execute(&mut self, request: &Request<'_>, routes: &Routes, now: Timestamp) -> Result<bool, Close> {
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        let replies = &mut self.replies;
        let (key, writes) = match command::needs(&request.command) {
            Needs::Key(key, writes) => (key, writes),
            Needs::Nothing => {
                command::execute(&turn, request, None, replies.tail())?;
                return Ok(true);
            }
            Needs::Keys => return Ok(self.retrieve(request, routes, now)),
            Needs::Barrier if !replies.queue.is_empty() => return Ok(false),
            Needs::Barrier => {
                let start = if self.stream.lasts() { command::start } else { command::refuse_start };
                match start(&turn, &request.form, &request.command, &mut replies.output) {
                    Start::Other => {}
                    Start::Answered => return Ok(true),
                    Start::Job(job) => {
                        self.job = Some(Box::new(job));
                        return Ok(true);
                    }
                }
                let pending =
                    command::execute_keyless(&turn, &request.form, &request.command, &mut replies.output)?;
                if let Some(pending) = pending {
                    replies.queue.wait_for_all(pending);
                }
                return Ok(true);
            }
        };
        if replies.queue.is_empty() {
            if let Some(pending) = command::execute(&turn, request, None, &mut replies.output)? {
                replies.queue.wait(Claim { key_hash: replies.hash(key), writes }, pending);
            }
            return Ok(true);
        }
        if is_ordered_by_connection(routes, key) {
            return Ok(false);
        }
        let claim = Claim { key_hash: replies.hash(key), writes };
        if replies.queue.conflicts(claim) {
            replies.queue.park(claim, Parked { request: request.to_owned(), writer: None, room: None });
        } else if let Some(pending) = command::execute(&turn, request, None, replies.queue.tail())? {
            replies.queue.wait(claim, pending);
        }
        Ok(true)
    }

    /// Whether nothing of it is read, executed or to be sent.
    fn is_at_rest(&self) -> bool {
        self.life == Life::Open
            && self.input.is_empty()
            && self.receiving.is_none()
            && self.job.is_none()
            && self.long.is_none()
            && self.replies.queue.is_empty()
            && self.replies.output.is_empty()
            && self.stream.may_rest()
            && !self.state.draining.get()
    }

    /// Gives the connection to those at rest; what was sent meanwhile wakes it at once.
    fn rest(self) {
        let Session { state, connection, stream, visit, seat, decoder, entry, .. } = self;
        let id = connection.id;
        let last_command = entry.last_command.get();
        state.unregister(id);
        let stream = match stream.detach() {
            Ok(stream) => stream,
            Err(error) => {
                state.tell_closed(&connection);
                return tracing::warn!("connection {id}: cannot be served any more: {error}");
            }
        };
        let rested = Rested { guest: Guest { connection, stream, visit, seat }, decoder, last_command };
        state.counters.rested.add(1);
        if let Err((rested, error)) = state.resting.take_in(rested) {
            tracing::debug!("connection {id}: is kept awake: {error}");
            rest::resume(&state, rested);
        }
    }

    /// Tells the engines that the connection is gone.
    fn close(mut self) {
        // Operations under way are detached before the engines hear of the end.
        self.replies = Replies::default();
        self.tell_unsent();
        self.state.tell_closed(&self.connection);
        self.state.unregister(self.connection.id);
    }
}

// The future of a connection lives as long as its client: it should stay small.
const _: () = assert!(std::mem::size_of::<Session>() <= 640);
