//! One stream, on connections to each server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::differences;
use crate::explained::Explained;
use crate::reply::{Answer, BINARY_SEPARATOR, CasNames, Reader, TEXT_SEPARATOR, is_same};
use crate::servers::Addresses;
use crate::stream::{Batch, Dialect, Group, Moment, Stream, shortened};

/// Longer than any batch takes; a server that says nothing for so long waits for more.
pub const SILENCE: Duration = Duration::from_secs(10);

/// A write up to this long fits into the kernel's buffers, so that it never waits for the server.
const WRITE_BYTES_AT_ONCE: usize = 16 << 10;

/// A difference that nothing explains.
#[derive(Debug)]
pub struct Mismatch {
    /// The commands of one group.
    pub group: Group,
    /// What larder answered.
    pub larder: Vec<u8>,
    /// What memcached answered.
    pub memcached: Vec<u8>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "answers differ for")?;
        for command in &self.group {
            writeln!(formatter, "  {command}")?;
        }
        writeln!(formatter, "larder:    {}", shortened(&self.larder))?;
        write!(formatter, "memcached: {}", shortened(&self.memcached))
    }
}

/// What came of a batch or a stream in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// All answers are the same or explained.
    Same,
    /// The servers keep different items since a difference with a reason: no more can be compared.
    Parted,
}

/// The connections of one stream, to both servers.
pub struct Session {
    dialects: Vec<Dialect>,
    larder: Peer,
    memcached: Peer,
}

/// One of the two servers.
struct Peer {
    names: CasNames,
    connections: Vec<Connection>,
}

struct Connection {
    socket: TcpStream,
    reader: Reader,
}

/// What is sent on a connection.
struct Sending<'a> {
    socket: TcpStream,
    bytes: Vec<u8>,
    cuts: &'a [u16],
}

/// How one server answered a batch.
struct Heard {
    answers: Vec<Answer>,
    /// What came after the last whole group, if the server closed the connection or fell silent before all had come.
    rest: Option<Vec<u8>>,
}

impl Session {
    /// Opens a connection for each dialect to both servers, which may take `silence` between two parts of an answer.
    ///
    /// # Errors
    /// If one does not take the connection.
    pub fn open(servers: &Addresses, dialects: &[Dialect], silence: Duration) -> Result<Session> {
        let larder = Peer::connect(servers.larder, dialects, silence)?;
        let memcached = Peer::connect(servers.memcached, dialects, silence)?;
        Ok(Session { dialects: dialects.to_vec(), larder, memcached })
    }

    /// Sends a batch and compares the answers; `closes` if its last command ends the connection.
    ///
    /// # Errors
    /// The first group whose answers differ without a reason.
    pub fn batch(
        &mut self,
        batch: &Batch,
        closes: bool,
        explained: &mut Explained,
    ) -> Result<Compared, Box<Mismatch>> {
        let dialect = self.dialects[batch.connection];
        let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        let sendings = [&self.larder, &self.memcached].map(|peer| {
            let moment = Moment { cas: &peer.names.seen, unix_seconds };
            let socket = peer.connections[batch.connection].second_handle();
            Sending { socket, bytes: render(batch, dialect, closes, &moment), cuts: &batch.cuts }
        });
        let [larder, memcached] = std::thread::scope(|scope| {
            for mut sending in sendings {
                if sending.bytes.len() <= WRITE_BYTES_AT_ONCE {
                    sending.send();
                } else {
                    scope.spawn(move || sending.send());
                }
            }
            [&mut self.larder, &mut self.memcached].map(|peer| peer.hear(batch, dialect, closes))
        });
        compare(batch, dialect, &larder, &memcached, explained)
    }
}

/// The bytes of a batch, with a separator behind each group; none behind what closes the connection.
fn render(batch: &Batch, dialect: Dialect, closes: bool, moment: &Moment<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, group) in batch.groups.iter().enumerate() {
        for command in group {
            command.render(moment, &mut bytes);
        }
        if !(closes && index + 1 == batch.groups.len()) {
            bytes.extend_from_slice(match dialect {
                Dialect::Text | Dialect::Meta => TEXT_SEPARATOR,
                Dialect::Binary => BINARY_SEPARATOR,
            });
        }
    }
    bytes
}

fn compare(
    batch: &Batch,
    dialect: Dialect,
    larder: &Heard,
    memcached: &Heard,
    explained: &mut Explained,
) -> Result<Compared, Box<Mismatch>> {
    for (index, group) in batch.groups.iter().enumerate() {
        let (ours, theirs) = match (larder.answers.get(index), memcached.answers.get(index)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (ours, theirs) => {
                let (larder, memcached) = (larder.shown(ours), memcached.shown(theirs));
                return Err(Box::new(Mismatch { group: group.clone(), larder, memcached }));
            }
        };
        if is_same(ours, theirs) {
            explained.count_answer(dialect, theirs);
            continue;
        }
        let entry = match &group[..] {
            [command] => differences::explain(dialect, command, ours, theirs),
            _ => None,
        };
        let Some(entry) = entry else {
            let (larder, memcached) = (ours.raw.clone(), theirs.raw.clone());
            return Err(Box::new(Mismatch { group: group.clone(), larder, memcached }));
        };
        explained.count_difference(entry);
        if entry.ends_stream() {
            return Ok(Compared::Parted);
        }
    }
    Ok(Compared::Same)
}

/// The bytes, cut where the batch says.
fn pieces<'a>(bytes: &'a [u8], cuts: &[u16]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut bounds: Vec<usize> = cuts.iter().map(|&cut| bytes.len() * usize::from(cut) / 65_536).collect();
    bounds.extend([0, bytes.len()]);
    bounds.sort_unstable();
    bounds.dedup();
    let pairs: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().map(move |(start, end)| &bytes[start..end])
}

impl Sending<'_> {
    fn send(&mut self) {
        for piece in pieces(&self.bytes, self.cuts) {
            // A server that has closed takes no more; its answers show it.
            if self.socket.write_all(piece).is_err() {
                break;
            }
        }
    }
}

impl Peer {
    fn connect(address: SocketAddr, dialects: &[Dialect], silence: Duration) -> Result<Peer> {
        let connect = |dialect: &Dialect| -> Result<Connection> {
            let socket =
                TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
            socket.set_nodelay(true).context("cannot set TCP_NODELAY")?;
            socket.set_read_timeout(Some(silence)).context("cannot set a timeout")?;
            Ok(Connection { socket, reader: Reader::new(*dialect) })
        };
        let connections = dialects.iter().map(connect).collect::<Result<_>>()?;
        Ok(Peer { names: CasNames::default(), connections })
    }

    /// Reads until all groups of the batch are answered and, if it `closes`, the connection is closed.
    fn hear(&mut self, batch: &Batch, dialect: Dialect, closes: bool) -> Heard {
        let connection = &mut self.connections[batch.connection];
        let expected = batch.groups.len() - usize::from(closes);
        let mut heard = Heard { answers: Vec::new(), rest: None };
        let mut is_closed = false;
        let mut buffer = [0; 64 << 10];
        while heard.answers.len() < expected || closes {
            match connection.socket.read(&mut buffer) {
                Ok(0) => is_closed = true,
                Ok(count) => connection.reader.feed(&buffer[..count], &mut self.names, &mut heard.answers),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A close with unread input resets the connection.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => is_closed = true,
                Err(_) => {
                    heard.rest = Some([b"(then silence) ", &connection.reader.rest()[..]].concat());
                    break;
                }
            }
            if is_closed {
                break;
            }
        }
        if is_closed && closes && heard.answers.len() == expected {
            let reader = std::mem::replace(&mut connection.reader, Reader::new(dialect));
            heard.answers.push(reader.finish());
        } else if is_closed {
            heard.rest = Some([b"(then closed) ", &connection.reader.rest()[..]].concat());
        }
        if heard.rest.is_some() {
            // Frees the thread that may still be writing; whether the other side is gone already does not matter.
            let _ = connection.socket.shutdown(std::net::Shutdown::Both);
        }
        heard
    }
}

impl Connection {
    fn second_handle(&self) -> TcpStream {
        self.socket.try_clone().expect("the process may have so many descriptors")
    }
}

impl Heard {
    /// An answer, or what came in its place.
    fn shown(&self, answer: Option<&Answer>) -> Vec<u8> {
        answer.map_or_else(|| self.rest.clone().unwrap_or_default(), |answer| answer.raw.clone())
    }
}

/// Runs a stream on fresh connections to servers emptied before.
///
/// # Errors
/// The outer one if a server cannot be reached; the inner one is the first difference without a reason.
pub fn run(
    servers: &Addresses,
    stream: &Stream,
    silence: Duration,
    explained: &mut Explained,
) -> Result<Result<Compared, Box<Mismatch>>> {
    let mut session = Session::open(servers, &stream.dialects, silence)?;
    servers.flush("flush_all")?;
    for (index, batch) in stream.batches.iter().enumerate() {
        let closes = stream.closes && index + 1 == stream.batches.len();
        let compared = session.batch(batch, closes, explained);
        if !matches!(compared, Ok(Compared::Same)) {
            return Ok(compared);
        }
    }
    Ok(Ok(Compared::Same))
}
