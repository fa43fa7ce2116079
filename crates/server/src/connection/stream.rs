//! The socket of a client.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::udp::Datagram;
use crate::worker::Socket;

/// A client's socket on its worker's event loop.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Boxed, so that the others stay small.
    Tls(Box<TlsStream<TcpStream>>),
    /// Boxed too.
    Datagram(Box<Datagram>),
}

impl Stream {
    /// Ties an accepted socket to the event loop of this thread. One that is to be encrypted is not attached but
    /// shakes hands.
    pub(crate) fn attach(socket: Socket) -> io::Result<Stream> {
        match socket {
            Socket::Tls(..) => Err(io::Error::new(io::ErrorKind::Unsupported, "no handshake was made")),
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                // A pipelined client would wait 40 ms for each batch otherwise.
                socket.set_nodelay(true)?;
                Ok(Stream::Tcp(TcpStream::from_std(socket)?))
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Stream::Unix(UnixStream::from_std(socket)?))
            }
        }
    }

    pub(crate) fn descriptor(&self) -> i32 {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Tls(stream) => stream.as_raw_fd(),
            Stream::Datagram(datagram) => datagram.descriptor(),
        }
    }

    /// Whether it can be taken off the event loop, and tied to it again.
    pub(crate) fn may_rest(&self) -> bool {
        matches!(self, Stream::Tcp(_) | Stream::Unix(_))
    }

    /// Takes the socket off the event loop.
    pub(crate) fn detach(self) -> io::Result<Socket> {
        match self {
            Stream::Tcp(stream) => Ok(Socket::Tcp(stream.into_std()?)),
            Stream::Unix(stream) => Ok(Socket::Unix(stream.into_std()?)),
            Stream::Tls(_) | Stream::Datagram(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "it is more than a socket"))
            }
        }
    }

    /// Whether answers may go on without an end.
    pub(crate) fn lasts(&self) -> bool {
        !matches!(self, Stream::Datagram(_))
    }

    /// A request ended before it was whole, and will never be.
    pub(crate) fn note_cut_off(&self) {
        if let Stream::Datagram(datagram) = self {
            datagram.note_cut_off();
        }
    }

    /// Tells the other side of an encrypted connection that this is its end, if that takes no waiting.
    pub(crate) fn say_goodbye(&mut self) {
        if let Stream::Tls(stream) = self {
            let mut task = TaskContext::from_waker(std::task::Waker::noop());
            // A client that does not listen any more need not be told.
            let _ = Pin::new(stream).poll_shutdown(&mut task);
        }
    }
}

/// Many clients end a connection without the word that TLS has for it; that is no more than an end.
fn read_tls(
    stream: &mut TlsStream<TcpStream>,
    task: &mut TaskContext<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    match std::task::ready!(Pin::new(stream).poll_read(task, buffer)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => Poll::Ready(read),
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(task, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(task, buffer),
            Stream::Tls(stream) => read_tls(stream, task, buffer),
            Stream::Datagram(datagram) => Pin::new(datagram.as_mut()).poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, task: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Datagram(datagram) => Pin::new(datagram.as_mut()).poll_write(task, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(task, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(task, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(task, slices),
            Stream::Datagram(datagram) => Pin::new(datagram.as_mut()).poll_write_vectored(task, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(task),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(task),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(task),
            Stream::Datagram(datagram) => Pin::new(datagram.as_mut()).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(task),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(task),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(task),
            Stream::Datagram(datagram) => Pin::new(datagram.as_mut()).poll_shutdown(task),
        }
    }
}
