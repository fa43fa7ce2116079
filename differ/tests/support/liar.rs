//! A proxy that changes answers: a server that is wrong on purpose.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Puts other bytes in place of certain ones in all that a server answers.
pub struct Liar {
    address: SocketAddr,
    lies: Arc<AtomicU64>,
}

impl Liar {
    /// Listens, and passes everything on to `server`; its threads end with the process.
    pub fn start(server: SocketAddr, truth: &'static [u8], lie: &'static [u8]) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let lies = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lies);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let Ok(server) = TcpStream::connect(server) else { return };
                for socket in [&client, &server] {
                    socket.set_nodelay(true).expect("TCP_NODELAY");
                }
                let back = (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
                std::thread::spawn(move || pass(client, server, &[], &[], &AtomicU64::new(0)));
                let count = Arc::clone(&count);
                std::thread::spawn(move || pass(back.0, back.1, truth, lie, &count));
            }
        });
        Liar { address, lies }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many answers it has changed.
    pub fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }
}

/// Copies until the end, with `lie` in place of `truth`. The server's answers to one write come in one read, so that a
/// place that is cut by two reads is not looked for.
fn pass(mut from: TcpStream, mut to: TcpStream, truth: &[u8], lie: &[u8], count: &AtomicU64) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut bytes = Vec::new();
        let mut rest = &buffer[..length];
        while let Some(place) = find(rest, truth) {
            count.fetch_add(1, Ordering::Relaxed);
            bytes.extend_from_slice(&rest[..place]);
            bytes.extend_from_slice(lie);
            rest = &rest[place + truth.len()..];
        }
        bytes.extend_from_slice(rest);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The end is passed on; a socket that is gone needs none.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
