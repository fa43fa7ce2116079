//! What is sent: streams of batches of groups of commands.

use std::fmt;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Classic text.
    Text,
    /// Meta commands, with classic text between.
    Meta,
    /// Binary packets.
    Binary,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 3] = [Dialect::Text, Dialect::Meta, Dialect::Binary];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Text => "text",
            Dialect::Meta => "meta",
            Dialect::Binary => "binary",
        }
    }
}

/// A part of a command. What only the moment of sending can tell is filled in then.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// As it is.
    Bytes(Vec<u8>),
    /// One of the CAS numbers that the server has answered in earlier batches, decimal.
    Cas(usize),
    /// The same as eight bytes.
    CasBytes(usize),
    /// A Unix time so many seconds from now, decimal.
    UnixTime(i64),
    /// The same as four bytes.
    UnixTimeBytes(i64),
}

/// One command, with its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command(pub Vec<Piece>);

/// Commands whose answers are compared together: what comes between two separators.
pub type Group = Vec<Command>;

/// Groups that are sent on one connection without waiting for an answer between them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Which of the stream's connections.
    pub connection: usize,
    /// The groups.
    pub groups: Vec<Group>,
    /// Where the bytes are cut into writes, in parts of 65,536 of the whole.
    pub cuts: Vec<u16>,
}

/// What is sent on a few connections in turn.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What each connection speaks.
    pub dialects: Vec<Dialect>,
    /// The batches; each is sent when the one before it has been answered, so that their order is decided.
    pub batches: Vec<Batch>,
    /// The last command makes the server close its connection.
    pub closes: bool,
}

/// What the moment of sending tells.
pub struct Moment<'a> {
    /// CAS numbers that the server has answered so far, in the order of their first appearance.
    pub cas: &'a [u64],
    /// The Unix time in seconds.
    pub unix_seconds: i64,
}

/// The CAS that is used while none is known. No item has it: servers count from 1 and a stream is short.
const CAS_OF_NONE: u64 = 987_654_321_987;

impl Command {
    /// A command that nothing has to be filled in.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Command {
        Command(vec![Piece::Bytes(bytes.into())])
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        if let Some(Piece::Bytes(last)) = self.0.last_mut() {
            last.extend_from_slice(bytes.as_ref());
        } else {
            self.0.push(Piece::Bytes(bytes.as_ref().to_vec()));
        }
    }

    /// Adds what is filled in later.
    pub fn piece(&mut self, piece: Piece) {
        self.0.push(piece);
    }

    /// Appends the command as it is sent at this moment.
    pub fn render(&self, moment: &Moment<'_>, out: &mut Vec<u8>) {
        let cas = |pick: usize| match moment.cas.len() {
            0 => CAS_OF_NONE,
            count => moment.cas[pick % count],
        };
        for piece in &self.0 {
            match *piece {
                Piece::Bytes(ref bytes) => out.extend_from_slice(bytes),
                Piece::Cas(pick) => out.extend_from_slice(cas(pick).to_string().as_bytes()),
                Piece::CasBytes(pick) => out.extend_from_slice(&cas(pick).to_be_bytes()),
                Piece::UnixTime(from_now) => {
                    out.extend_from_slice((moment.unix_seconds + from_now).to_string().as_bytes());
                }
                Piece::UnixTimeBytes(from_now) => {
                    let unix_seconds = (moment.unix_seconds + from_now) as u32;
                    out.extend_from_slice(&unix_seconds.to_be_bytes());
                }
            }
        }
    }
}

impl Stream {
    /// What the connection of a batch speaks.
    pub fn dialect(&self, batch: &Batch) -> Dialect {
        self.dialects[batch.connection]
    }

    /// How many commands it has.
    pub fn command_count(&self) -> usize {
        self.batches.iter().flat_map(|batch| &batch.groups).map(Vec::len).sum()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => formatter.write_str(&shortened(bytes))?,
                Piece::Cas(pick) => write!(formatter, "{{cas {pick}}}")?,
                Piece::CasBytes(pick) => write!(formatter, "{{cas {pick} in 8 bytes}}")?,
                Piece::UnixTime(from_now) => write!(formatter, "{{now+{from_now}}}")?,
                Piece::UnixTimeBytes(from_now) => write!(formatter, "{{now+{from_now} in 4 bytes}}")?,
            }
        }
        Ok(())
    }
}

/// Bytes as they can be printed; the middle of long ones left out.
pub fn shortened(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 700;
    const END_BYTES: usize = 200;
    if bytes.len() <= SHOWN_BYTES_MAX {
        return bytes.escape_ascii().to_string();
    }
    let (start, end) = (&bytes[..END_BYTES], &bytes[bytes.len() - END_BYTES..]);
    let left_out = bytes.len() - 2 * END_BYTES;
    format!("{}[{left_out} bytes]{}", start.escape_ascii(), end.escape_ascii())
}
