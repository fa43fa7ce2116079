//! A worker: one thread, one event loop, its own connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use larder_engine::{Connection, Context, Timestamp, Worker};
use larder_protocol::{LogCloseReason, LogPeer, Scratch};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;

use crate::command;
use crate::connection::pace::Upload;
use crate::connection::{self, Guest, Stream};
use crate::counters::Counters;
use crate::guard::Authentication;
use crate::rest::{self, REST_AFTER_SECONDS, Resting};
use crate::shared::{Phase, Setup, Shared};
use crate::tls::ClientCertificates;
use crate::udp::{self, UdpListener};
use crate::watch::{Streams, Visit};

/// Stack size of a worker's thread in bytes, as foreign engines called on it expect.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// Size of the buffer that all connections of a worker are read with, in bytes.
pub(crate) const READ_BUFFER_BYTES: usize = 64 << 10;

/// An output buffer that grew beyond this is given back to the system, in bytes.
const SPARE_OUTPUT_BYTES_MAX: usize = 1 << 20;

const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(1);

/// A connection on its way from the acceptor to its worker.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) peer: LogPeer,
    pub(crate) listener: Arc<str>,
    pub(crate) id: u64,
    /// Counts the connection for as long as it lives.
    pub(crate) seat: Seat,
}

/// An accepted socket, not yet tied to an event loop.
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Tls(std::net::TcpStream, ClientCertificates),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Its descriptor, which stays the same when it is tied to an event loop.
    pub(crate) fn descriptor(&self) -> i32 {
        match self {
            Socket::Tcp(socket) | Socket::Tls(socket, _) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// One of the places for connections; dropping it makes the place free.
pub(crate) struct Seat(pub(crate) Arc<Shared>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        if !self.0.options.refuse_connections_fast {
            self.0.door.look_again();
        }
    }
}

/// What the connections of one worker share.
pub(crate) struct WorkerState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: Worker,
    pub(crate) counters: Arc<Counters>,
    pub(crate) buffers: RefCell<Buffers>,
    setup: RefCell<(u64, Arc<Setup>)>,
    /// What anybody watched when a connection was last read.
    pub(crate) watched: Cell<Streams>,
    /// Set once the server stops: connections finish what they have.
    pub(crate) draining: Cell<bool>,
    entries: RefCell<HashMap<u64, Rc<Entry>>>,
    pub(crate) resting: Resting,
    /// Operations whose clients left, still under way.
    detached: Rc<Cell<usize>>,
}

/// Buffers used by whichever connection has its turn.
pub(crate) struct Buffers {
    pub(crate) read: Box<[u8]>,
    pub(crate) scratch: Scratch,
    spare_output: Vec<u8>,
}

impl Buffers {
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare_output)
    }

    pub(crate) fn give_output(&mut self, mut spare: Vec<u8>) {
        if spare.capacity() <= SPARE_OUTPUT_BYTES_MAX && spare.capacity() > self.spare_output.capacity() {
            spare.clear();
            self.spare_output = spare;
        }
    }
}

/// A connection as its worker sees it from outside.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) waker: RefCell<Option<Waker>>,
    pub(crate) last_command: Cell<Timestamp>,
    /// Silent for too long.
    pub(crate) kicked: Cell<bool>,
    /// Silent for long enough to need no task.
    pub(crate) may_rest: Cell<bool>,
    /// The value it is sending, if that holds room others may wait for.
    pub(crate) upload: Cell<Option<Upload>>,
    /// That value came too slowly while others waited.
    pub(crate) too_slow: Cell<bool>,
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl WorkerState {
    /// What is in force at this moment.
    pub(crate) fn setup(&self) -> Arc<Setup> {
        let mut setup = self.setup.borrow_mut();
        let generation = self.shared.setup_generation();
        if setup.0 != generation {
            *setup = (generation, self.shared.setup());
        }
        setup.1.clone()
    }

    /// What was in force when the turn under way began.
    pub(crate) fn setup_of_this_turn(&self) -> Arc<Setup> {
        self.setup.borrow().1.clone()
    }

    /// Looks what anybody watches.
    #[inline]
    pub(crate) fn look_for_watchers(&self) {
        self.watched.set(self.shared.watchers.wanted());
    }

    pub(crate) fn context<'a>(&'a self, connection: &'a Arc<Connection>, now: Timestamp) -> Context<'a> {
        Context { connection, worker: &self.worker, now, deadline: None }
    }

    /// Tells the engines that a connection is gone.
    pub(crate) fn tell_closed(&self, connection: &Arc<Connection>) {
        let now = self.shared.clock.now();
        for engine in command::engines(&self.setup().routes) {
            engine.connection_closed(&self.context(connection, now));
        }
    }

    pub(crate) fn register(&self, id: u64) -> Rc<Entry> {
        let entry = Rc::new(Entry::default());
        entry.last_command.set(self.shared.clock.now());
        self.entries.borrow_mut().insert(id, entry.clone());
        entry
    }

    pub(crate) fn unregister(&self, id: u64) {
        self.entries.borrow_mut().remove(&id);
    }

    fn wake_all(&self) {
        for entry in self.entries.borrow().values() {
            entry.wake();
        }
    }

    /// Asks those who are silent whether they need their tasks.
    fn put_to_rest(&self) {
        let now = self.shared.clock.now();
        for entry in self.entries.borrow().values() {
            if now.seconds_since(entry.last_command.get()) >= REST_AFTER_SECONDS
                && !entry.may_rest.replace(true)
            {
                entry.wake();
            }
        }
    }

    fn kick_idle(&self, timeout: Duration) {
        let now = self.shared.clock.now();
        let is_too_long = |seconds: u32| u64::from(seconds) >= timeout.as_secs();
        let kicked = self.resting.close(self, is_too_long, LogCloseReason::IdleTimeout);
        self.counters.idle_kicks.add(kicked as u64);
        for entry in self.entries.borrow().values() {
            if is_too_long(now.seconds_since(entry.last_command.get())) {
                entry.kicked.set(true);
                entry.wake();
            }
        }
    }

    /// While the room for values is used up: frees what those hold who send too slowly.
    fn stop_slow_uploads(&self) {
        if self.shared.budget.available_permits() > 0 {
            return;
        }
        let now = self.shared.clock.now();
        for entry in self.entries.borrow().values() {
            if entry.upload.get().is_some_and(|upload| upload.is_too_slow(now)) {
                entry.too_slow.set(true);
                entry.wake();
            }
        }
    }

    fn is_done(&self) -> bool {
        self.entries.borrow().is_empty() && self.resting.is_empty() && self.detached.get() == 0
    }
}

/// Runs worker `id` until the server drains and its last connection is gone.
pub(crate) fn run(
    id: usize,
    shared: Arc<Shared>,
    arrivals: UnboundedReceiver<Arrival>,
    datagrams: Vec<UdpListener>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let local = LocalSet::new();
    let detached = Rc::new(Cell::new(0));
    let worker = Worker::new(id, {
        let detached = detached.clone();
        move |future| {
            detached.set(detached.get() + 1);
            let detached = detached.clone();
            tokio::task::spawn_local(async move {
                future.await;
                detached.set(detached.get() - 1);
            });
        }
    });
    let (resting, signs_of_life) = Resting::new()?;
    let state = Rc::new(WorkerState {
        counters: shared.counters[id].clone(),
        worker,
        buffers: RefCell::new(Buffers {
            read: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            scratch: Scratch::default(),
            spare_output: Vec::new(),
        }),
        setup: RefCell::new((shared.setup_generation(), shared.setup())),
        watched: Cell::default(),
        draining: Cell::new(false),
        entries: RefCell::default(),
        resting,
        detached,
        shared,
    });
    local.block_on(&runtime, serve(state, arrivals, datagrams, signs_of_life));
    Ok(())
}

async fn serve(
    state: Rc<WorkerState>,
    mut arrivals: UnboundedReceiver<Arrival>,
    datagrams: Vec<UdpListener>,
    signs_of_life: mio::Poll,
) {
    for listener in datagrams {
        tokio::task::spawn_local(udp::serve(state.clone(), listener));
    }
    tokio::task::spawn_local(state.worker.mailbox().clone().deliver());
    tokio::task::spawn_local({
        let state = state.clone();
        async move {
            let id = state.worker.id();
            if let Err(error) = rest::watch(state, signs_of_life).await {
                tracing::error!("worker {id}: connections at rest are not woken any more: {error}");
            }
        }
    });
    tokio::task::spawn_local({
        let state = state.clone();
        async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING_PERIOD).await;
                // Also lets go of a setup that a reload replaced while this worker had nothing to do.
                if let Some(timeout) = state.setup().tunables.idle_timeout {
                    state.kick_idle(timeout);
                }
                state.stop_slow_uploads();
                state.put_to_rest();
            }
        }
    });
    let mut phase = state.shared.phase.subscribe();
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => welcome(&state, arrival),
                // The acceptor is gone: the server stops.
                None => break,
            },
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
        }
    }
    drain(&state).await;
}

fn welcome(state: &Rc<WorkerState>, arrival: Arrival) {
    let is_open = *state.shared.guard.authentication() == Authentication::None;
    if !is_open || matches!(arrival.socket, Socket::Tls(..)) {
        tokio::task::spawn_local(connection::admit(state.clone(), arrival));
        return;
    }
    match Stream::attach(arrival.socket) {
        Ok(stream) => {
            let connection = Connection::new(arrival.id, arrival.listener, stream.descriptor());
            let visit = Visit::begin(state, arrival.peer, stream.descriptor());
            let guest = Guest { connection, stream, visit, seat: Some(arrival.seat) };
            tokio::task::spawn_local(connection::serve(state, guest, Vec::new()));
        }
        Err(error) => tracing::warn!("connection {}: cannot be served: {error}", arrival.id),
    }
}

async fn drain(state: &Rc<WorkerState>) {
    state.draining.set(true);
    state.resting.close(state, |_| true, LogCloseReason::Shutdown);
    state.wake_all();
    let patience = state.shared.options.drain_patience;
    let drained = tokio::time::timeout(patience, async {
        while !state.is_done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    if drained.await.is_err() {
        let left = state.entries.borrow().len();
        tracing::warn!(
            "worker {}: {left} connections did not take their answers within {} s and are dropped",
            state.worker.id(),
            patience.as_secs()
        );
    }
}
