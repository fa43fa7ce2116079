//! Listening sockets, and the thread that deals their connections to the workers.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_protocol::{LogPeer, encode_too_many_connections};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;

use crate::door::wait_for_room;
use crate::options::ListenAddress;
use crate::shared::{Phase, Shared};
use crate::tls::ClientCertificates;
use crate::worker::{Arrival, Seat, Socket};

/// A bound listening socket.
pub(crate) enum Listener {
    Tcp(std::net::TcpListener, SocketAddr),
    Tls(std::net::TcpListener, SocketAddr, ClientCertificates),
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

impl Listener {
    /// Binds and listens.
    pub(crate) fn bind(address: &ListenAddress, backlog: i32) -> io::Result<Listener> {
        match address {
            ListenAddress::Tcp(address) => {
                let (listener, bound) = bind_tcp(*address, backlog)?;
                Ok(Listener::Tcp(listener, bound))
            }
            ListenAddress::Tls(address, clients) => {
                let (listener, bound) = bind_tcp(*address, backlog)?;
                Ok(Listener::Tls(listener, bound, *clients))
            }
            ListenAddress::Unix { path, mode } => {
                remove_stale_socket(path)?;
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))?;
                listener.set_nonblocking(true)?;
                Ok(Listener::Unix(listener, path.clone()))
            }
        }
    }

    /// The TCP address, if it is one.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(_, address) | Listener::Tls(_, address, _) => Some(*address),
            Listener::Unix(..) => None,
        }
    }

    /// The address as it is shown: `127.0.0.1:11211`, `unix:/run/larder.sock`.
    pub(crate) fn name(&self) -> String {
        match self {
            Listener::Tcp(_, address) | Listener::Tls(_, address, _) => address.to_string(),
            Listener::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    let listener: std::net::TcpListener = socket.into();
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Removes a socket file nobody answers on; one that is answered is left to `bind` to complain about.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name that is not a socket",
        )),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Ok(()),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

/// Accepts on all listeners until the server drains, and deals the connections to the workers in turn.
pub(crate) fn run(
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    workers: Vec<UnboundedSender<Arrival>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let workers = Arc::new(workers);
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            let (shared, workers) = (shared.clone(), workers.clone());
            accepting.spawn(async move {
                let name: Arc<str> = listener.name().into();
                if let Err(error) = accept_all(listener, &name, &shared, &workers).await {
                    tracing::error!("listener {name}: {error}; it accepts no more connections");
                }
            });
        }
        drop(workers);
        let mut phase = shared.phase.subscribe();
        // An error would mean that the server itself is gone.
        let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
        accepting.shutdown().await;
    });
    Ok(())
}

async fn accept_all(
    listener: Listener,
    name: &Arc<str>,
    shared: &Arc<Shared>,
    workers: &[UnboundedSender<Arrival>],
) -> io::Result<()> {
    match listener {
        Listener::Tcp(listener, _) => {
            let listener = TcpListener::from_std(listener)?;
            loop {
                wait_for_room(shared).await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let peer = LogPeer::Tcp(peer.ip(), peer.port());
                        deal(Socket::Tcp(stream.into_std()?), peer, name, shared, workers);
                    }
                    Err(error) => pause_after(error, name).await,
                }
            }
        }
        Listener::Tls(listener, _, clients) => {
            let listener = TcpListener::from_std(listener)?;
            loop {
                wait_for_room(shared).await;
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let peer = LogPeer::Tcp(peer.ip(), peer.port());
                        deal(Socket::Tls(stream.into_std()?, clients), peer, name, shared, workers);
                    }
                    Err(error) => pause_after(error, name).await,
                }
            }
        }
        Listener::Unix(listener, path) => {
            let _file = SocketFile(path);
            let listener = UnixListener::from_std(listener)?;
            loop {
                wait_for_room(shared).await;
                match listener.accept().await {
                    Ok((stream, _)) => {
                        deal(Socket::Unix(stream.into_std()?), LogPeer::Local, name, shared, workers);
                    }
                    Err(error) => pause_after(error, name).await,
                }
            }
        }
    }
}

/// Removes a unix socket's file when its listener ends.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!("{}: cannot be removed: {error}", self.0.display());
        }
    }
}

/// Out of descriptors or memory: says so and tries again, instead of spinning.
async fn pause_after(error: io::Error, name: &str) {
    tracing::warn!("listener {name}: cannot accept: {error}; trying again");
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

fn deal(
    socket: Socket,
    peer: LogPeer,
    name: &Arc<str>,
    shared: &Arc<Shared>,
    workers: &[UnboundedSender<Arrival>],
) {
    let is_full =
        shared.connections.fetch_add(1, Ordering::Relaxed) >= shared.setup().tunables.connections_max;
    // Two listeners may have found the same place free; then both have taken a client, who is served.
    if is_full && shared.options.refuse_connections_fast {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        shared.connections_rejected.fetch_add(1, Ordering::Relaxed);
        refuse(socket);
        return;
    }
    let seat = Seat(shared.clone());
    let id = shared.connections_total.fetch_add(1, Ordering::Relaxed) + 1;
    let worker = &workers[id as usize % workers.len()];
    let arrival = Arrival { socket, peer, listener: name.clone(), id, seat };
    if worker.send(arrival).is_err() {
        tracing::debug!("connection {id}: its worker has stopped");
    }
}

/// Tells a client that there is no room; it need not be able to hear.
fn refuse(socket: Socket) {
    let mut text = Vec::new();
    encode_too_many_connections(&mut text);
    let told = match socket {
        Socket::Tcp(mut socket) => io::Write::write_all(&mut socket, &text),
        // Nothing can be said before a handshake.
        Socket::Tls(..) => Ok(()),
        Socket::Unix(mut socket) => io::Write::write_all(&mut socket, &text),
    };
    if let Err(error) = told {
        tracing::debug!("a refused connection could not be told: {error}");
    }
}
