//! What requests tell watchers. Called only where somebody wants to hear it.

use larder_engine::{
    Durability, EngineError, ErrorKind, Found, Get, Key, Missed, Reply, Sink, Stored as EngineStored,
};
use larder_protocol::{FetchStatus, LogEvent, Store, StoreMode, StoreStatus};

use super::Streams;
use crate::command::{Refused, Turn};
use crate::router::Stack;

/// A key was looked up; the length of its value if it was found.
#[cold]
pub(crate) fn fetched(turn: &Turn<'_>, key: &[u8], value_bytes: Option<usize>, missed: Option<Missed>) {
    let status = match (value_bytes, missed) {
        (Some(_), _) => FetchStatus::Found,
        (None, Some(Missed::Expired)) => FetchStatus::Expired,
        (None, Some(Missed::Flushed)) => FetchStatus::Flushed,
        (None, None) => FetchStatus::NotFound,
    };
    let value_bytes = value_bytes.unwrap_or(0) as u64;
    let event = LogEvent::ItemGet { key, status, socket: turn.connection.socket, value_bytes };
    turn.shared().watchers.tell(Streams::FETCHERS, &event);
}

/// What watchers will be told of a storage command once it is decided.
pub(crate) struct StoreNote {
    key: Box<[u8]>,
    mode: StoreMode,
    compares: bool,
    ttl_seconds: u32,
    value_bytes: usize,
    /// Length of the value that was there, if there was one; `None` where that is not known.
    before: Option<Option<usize>>,
}

impl StoreNote {
    /// Takes note, and a look at what is there: memcached's storage commands look their key up, and its watchers see it.
    #[cold]
    pub(crate) fn new(
        turn: &Turn<'_>,
        (stack, key): (&Stack, Key<'_>),
        store: &Store<'_>,
        value_bytes: usize,
        ttl_seconds: u32,
    ) -> Box<StoreNote> {
        Box::new(StoreNote {
            key: key.bytes().into(),
            mode: store.mode,
            compares: store.compare.is_some(),
            ttl_seconds,
            value_bytes,
            before: peek(turn, stack, key),
        })
    }

    fn command(&self) -> &'static str {
        command(self.mode, self.compares)
    }

    /// What the look-up of the command itself found, as far as its outcome tells: never for a `set`. The length of what
    /// was there is not told by an outcome, and taken as 0.
    fn before(&self, status: StoreStatus) -> Option<Option<usize>> {
        let told = || match (self.mode, status) {
            _ if self.compares => match status {
                StoreStatus::Stored | StoreStatus::Exists => Some(Some(0)),
                StoreStatus::NotFound => Some(None),
                _ => None,
            },
            (StoreMode::Add, StoreStatus::Stored) => Some(None),
            (StoreMode::Add, StoreStatus::NotStored) => Some(Some(0)),
            (StoreMode::Replace | StoreMode::Append | StoreMode::Prepend, StoreStatus::Stored) => {
                Some(Some(0))
            }
            (StoreMode::Replace | StoreMode::Append | StoreMode::Prepend, StoreStatus::NotStored) => {
                Some(None)
            }
            _ => None,
        };
        self.before.or_else(told)
    }
}

fn command(mode: StoreMode, compares: bool) -> &'static str {
    match mode {
        StoreMode::Set | StoreMode::Replace if compares => "cas",
        StoreMode::Set => "set",
        StoreMode::Add => "add",
        StoreMode::Replace => "replace",
        StoreMode::Append => "append",
        StoreMode::Prepend => "prepend",
    }
}

/// A storage command was decided.
#[cold]
pub(crate) fn stored(turn: &Turn<'_>, note: &StoreNote, answer: &Result<EngineStored, EngineError>) {
    let Some(status) = status(answer.as_ref().map(|_| ()).map_err(EngineError::kind)) else { return };
    let wanted = turn.watched();
    if wanted.intersects(Streams::FETCHERS)
        && let Some(before) = note.before(status)
    {
        fetched(turn, &note.key, before, None);
    }
    if wanted.intersects(Streams::MUTATIONS) {
        let value_bytes = answer.as_ref().map_or(note.value_bytes, |stored| stored.size) as u64;
        let event = LogEvent::ItemStore {
            key: &note.key,
            status,
            command: note.command(),
            ttl_seconds: note.ttl_seconds,
            socket: turn.connection.socket,
            value_bytes,
        };
        turn.shared().watchers.tell(Streams::MUTATIONS, &event);
    }
}

/// A storage command was refused before its value reached a store.
#[cold]
pub(crate) fn refused(turn: &Turn<'_>, refused: &Refused<'_>, error: ErrorKind) {
    let Some(status) = status(Err(error)) else { return };
    let event = LogEvent::ItemStore {
        key: refused.key,
        status,
        command: command(refused.mode, false),
        ttl_seconds: 0,
        socket: turn.connection.socket,
        value_bytes: refused.value_bytes,
    };
    turn.shared().watchers.tell(Streams::MUTATIONS, &event);
}

/// What a watcher calls the outcome; `None` for one that decided nothing, as when the store cannot be reached.
fn status(answer: Result<(), ErrorKind>) -> Option<StoreStatus> {
    match answer {
        Ok(()) => Some(StoreStatus::Stored),
        Err(ErrorKind::NotStored) => Some(StoreStatus::NotStored),
        Err(ErrorKind::Exists) => Some(StoreStatus::Exists),
        Err(ErrorKind::NotFound) => Some(StoreStatus::NotFound),
        Err(ErrorKind::TooLarge) => Some(StoreStatus::TooLarge),
        Err(ErrorKind::OutOfMemory) => Some(StoreStatus::NoMemory),
        Err(_) => None,
    }
}

/// What watchers will be told of a deletion if there is something to delete.
pub(crate) struct DeleteNote {
    key: Box<[u8]>,
    command: &'static str,
    value_bytes: usize,
}

impl DeleteNote {
    #[cold]
    pub(crate) fn new(
        turn: &Turn<'_>,
        stack: &Stack,
        key: Key<'_>,
        command: &'static str,
    ) -> Box<DeleteNote> {
        let value_bytes = peek(turn, stack, key).flatten().unwrap_or(0);
        Box::new(DeleteNote { key: key.bytes().into(), command, value_bytes })
    }
}

/// An item was deleted.
#[cold]
pub(crate) fn deleted(turn: &Turn<'_>, note: &DeleteNote) {
    let event =
        LogEvent::Deleted { key: &note.key, command: note.command, value_bytes: note.value_bytes as u64 };
    turn.shared().watchers.tell(Streams::DELETIONS, &event);
}

/// The length of the value under a key, if there is one. `None` where only a store could tell: no store is asked for a
/// watcher's sake.
fn peek(turn: &Turn<'_>, stack: &Stack, key: Key<'_>) -> Option<Option<usize>> {
    if stack.description.level != Durability::Ram {
        return None;
    }
    let get = Get { bump: false, ..Get::plain() };
    let mut length = Length(0);
    match stack.engine.get(&turn.context(), key, &get, &mut length) {
        Reply::Ready(Ok(found)) => Some(found.map(|_| length.0)),
        _ => None,
    }
}

/// Keeps the length alone.
struct Length(usize);

impl Sink for Length {
    fn hit(&mut self, _found: &Found, pieces: &[&[u8]]) {
        self.0 = pieces.iter().map(|piece| piece.len()).sum();
    }
}
