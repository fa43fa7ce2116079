//! One connection and its operations in flight.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::arguments::{Address, Protocol};
use crate::poll::Poll;
use crate::tally::Tally;
use crate::wire::{Checker, Decoder, Flight, Step};

const INPUT_BYTES: usize = 64 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn open(address: &Address) -> Result<Self> {
        match address {
            Address::Tcp(name) => {
                let resolved = name
                    .to_socket_addrs()
                    .with_context(|| format!("`{name}` is no address that can be reached"))?;
                let mut last = anyhow!("the name has no address");
                for address in resolved {
                    match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            stream.set_nonblocking(true)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => last = error.into(),
                    }
                }
                Err(last.context(format!("cannot connect to {name}; is the server running there?")))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(|| {
                    format!("cannot connect to {}; is the server listening there?", path.display())
                })?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

pub(crate) struct Connection {
    stream: Stream,
    token: usize,
    decoder: Decoder,
    /// Requests not yet written: the caller appends.
    pub(crate) out: Vec<u8>,
    written: usize,
    waits_to_write: bool,
    input: Vec<u8>,
    /// The part of `input` that holds bytes not yet decoded.
    filled: std::ops::Range<usize>,
    /// Bytes that must be there before decoding is worth a try.
    wanted: usize,
    pub(crate) flights: VecDeque<Flight>,
}

impl Connection {
    pub(crate) fn open(address: &Address, protocol: Protocol, token: usize, poll: &Poll) -> Result<Self> {
        let stream = Stream::open(address)?;
        poll.add(&stream, token)?;
        Ok(Connection {
            stream,
            token,
            decoder: Decoder::new(protocol),
            out: Vec::new(),
            written: 0,
            waits_to_write: false,
            input: vec![0; INPUT_BYTES],
            filled: 0..0,
            wanted: 1,
            flights: VecDeque::new(),
        })
    }

    /// Writes what the socket takes; the rest goes when it is ready.
    pub(crate) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.waits_to_write {
                        self.waits_to_write = true;
                        poll.set_writing(&self.stream, self.token, true)?;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        if self.waits_to_write {
            self.waits_to_write = false;
            poll.set_writing(&self.stream, self.token, false)?;
        }
        Ok(())
    }

    /// Reads what is there, once; `false` at the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.end == self.input.len() {
            self.input.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.wanted > self.input.len() {
            self.input.resize(self.wanted.next_power_of_two(), 0);
        } else if self.filled.end == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        match self.stream.read(&mut self.input[self.filled.end..]) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.filled.end += count;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next operation that what was read completes.
    ///
    /// # Errors
    /// What is wrong with an answer that fits no operation.
    pub(crate) fn completed(
        &mut self,
        checker: &mut Checker,
        tally: &mut Tally,
    ) -> Result<Option<Flight>, String> {
        while self.filled.len() >= self.wanted {
            let Some(flight) = self.flights.front_mut() else {
                return Err("an answer came that nothing was asked for".into());
            };
            let input = &self.input[self.filled.clone()];
            match self.decoder.step(input, flight, checker, tally)? {
                Step::Incomplete { input_bytes_min } => self.wanted = input_bytes_min,
                Step::Part(bytes) => {
                    self.filled.start += bytes;
                    self.wanted = 1;
                }
                Step::Done(bytes) => {
                    self.filled.start += bytes;
                    self.wanted = 1;
                    return Ok(self.flights.pop_front());
                }
            }
        }
        Ok(None)
    }
}
