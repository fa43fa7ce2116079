//! Requests over UDP. A datagram is served as a connection that says one thing: what it says is all that is read, and
//! what is answered goes back in datagrams once it is whole.
//!
//! Whoever sends a datagram may write any address as its sender's, so nobody listens here unless asked to.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};

use larder_engine::Connection;
use larder_protocol::{Form, Response, TextForm, decode_frame, encode, encode_frames};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{self, Guest, Stream};
use crate::shared::Phase;
use crate::watch::Visit;
use crate::worker::WorkerState;

/// No datagram is longer, in bytes.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// Datagrams of one socket that are served at a time; others wait in the kernel, which drops those it has no room for.
const SERVED_MAX: usize = 32;

/// Longest answer in bytes. It is held whole, since each of its datagrams says how many there are.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// The ids of datagrams start here, those of connections at 1.
const IDS_FROM: u64 = 1 << 63;

/// The first byte of a request that is not text.
const BINARY_MAGIC: u8 = 0x80;

/// A bound socket.
pub(crate) struct UdpListener {
    socket: std::net::UdpSocket,
    pub(crate) address: SocketAddr,
}

impl UdpListener {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket: std::net::UdpSocket = socket.into();
        let address = socket.local_addr()?;
        Ok(UdpListener { socket, address })
    }

    /// The address as it is shown: `udp:127.0.0.1:11211`.
    pub(crate) fn name(&self) -> String {
        format!("udp:{}", self.address)
    }
}

/// Serves datagrams until the server drains.
pub(crate) async fn serve(state: Rc<WorkerState>, listener: UdpListener) {
    let name: Arc<str> = listener.name().into();
    let mut phase = state.shared.phase.subscribe();
    tokio::select! {
        end = receive(&state, listener, &name) => {
            if let Err(error) = end {
                tracing::error!("listener {name}: {error}; it takes no more datagrams");
            }
        }
        // An error would mean that the server itself is gone.
        _ = phase.wait_for(|phase| *phase == Phase::Draining) => {}
    }
}

async fn receive(state: &Rc<WorkerState>, listener: UdpListener, name: &Arc<str>) -> io::Result<()> {
    let own_port = listener.address.port();
    let socket = Rc::new(UdpSocket::from_std(listener.socket)?);
    let places = Arc::new(Semaphore::new(SERVED_MAX));
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (count, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An earlier answer did not arrive.
            Err(error) => {
                tracing::debug!("listener {name}: {error}");
                continue;
            }
        };
        // Another server, made to believe that this one is its client, would answer answers for ever.
        if peer.port() == own_port {
            continue;
        }
        let Some(request) = decode_frame(&buffer[..count]) else { continue };
        let served = Served { state: state.clone(), socket: socket.clone(), peer, id: request.id, place };
        if request.is_whole {
            tokio::task::spawn_local(served.answer(name.clone(), request.bytes.to_vec()));
        } else {
            tokio::task::spawn_local(served.refuse());
        }
    }
}

/// A request on its way.
struct Served {
    state: Rc<WorkerState>,
    socket: Rc<UdpSocket>,
    peer: SocketAddr,
    /// The client's name for the request.
    id: u16,
    /// Held until the answer is sent.
    place: OwnedSemaphorePermit,
}

impl Served {
    async fn answer(self, name: Arc<str>, request: Vec<u8>) {
        let is_text = request.first() != Some(&BINARY_MAGIC);
        let descriptor = self.socket.as_raw_fd();
        let id = IDS_FROM + self.state.shared.datagrams.fetch_add(1, Ordering::Relaxed);
        let answer = Rc::new(RefCell::new(Answer::default()));
        let stream = Datagram { request, taken: 0, descriptor, answer: answer.clone() };
        let guest = Guest {
            connection: Connection::new(id, name, descriptor),
            stream: Stream::Datagram(Box::new(stream)),
            visit: Visit::unseen(&self.state, descriptor),
            seat: None,
        };
        connection::serve(&self.state, guest, Vec::new()).await;
        let Answer { mut bytes, is_too_long, is_cut_off } = answer.take();
        if is_too_long {
            bytes.clear();
            if is_text {
                say(b"SERVER_ERROR the answer is too long for UDP", &mut bytes);
            }
        } else if is_cut_off && is_text {
            say(NOT_WHOLE, &mut bytes);
        }
        self.send(&bytes).await;
    }

    async fn refuse(self) {
        let mut bytes = Vec::new();
        say(NOT_WHOLE, &mut bytes);
        self.send(&bytes).await;
    }

    async fn send(self, answer: &[u8]) {
        for datagram in encode_frames(self.id, answer) {
            if let Err(error) = self.socket.send_to(&datagram, self.peer).await {
                return tracing::debug!("datagram to {}: {error}", self.peer);
            }
        }
        drop(self.place);
    }
}

/// The answer to a request of several datagrams, or one that ends before it is whole.
const NOT_WHOLE: &[u8] = b"SERVER_ERROR multi-packet request not supported";

fn say(line: &'static [u8], bytes: &mut Vec<u8>) {
    encode(&Form::Text(TextForm::default()), &Response::Line(line), bytes);
}

/// What has been answered so far.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    is_too_long: bool,
    /// The request ended before it was whole.
    is_cut_off: bool,
}

/// A datagram as a client's stream: what it holds can be read, then its end.
pub(crate) struct Datagram {
    request: Vec<u8>,
    taken: usize,
    descriptor: i32,
    answer: Rc<RefCell<Answer>>,
}

impl Datagram {
    pub(crate) fn descriptor(&self) -> i32 {
        self.descriptor
    }

    /// Remembers that the request ended before it was whole.
    pub(crate) fn note_cut_off(&self) {
        self.answer.borrow_mut().is_cut_off = true;
    }
}

impl AsyncRead for Datagram {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.request[self.taken..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Datagram {
    fn poll_write(
        self: Pin<&mut Self>,
        _task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut answer = self.answer.borrow_mut();
        if answer.bytes.len() + bytes.len() > ANSWER_BYTES_MAX {
            answer.is_too_long = true;
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        answer.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const _: () = assert!(ANSWER_BYTES_MAX <= larder_protocol::FRAMED_ANSWER_BYTES_MAX);
