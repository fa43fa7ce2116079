//! Commands on their way to the writer, and their answers on the way back.

use std::ops::Range;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;

use super::kept::KeyBytes;
use crate::completion::{Completer, Wakes};
use crate::{
    Arithmetic, Delete, Deleted, EngineError, Expiry, Flushed, Get, Item, Key, Mode, Number, Older, Payload,
    Store, Stored, Timestamp, Touched,
};

/// What a command weighs besides its key and value.
const WRITE_BYTES: usize = 160;

/// A command for the writer.
pub struct Write {
    /// What to do.
    pub command: Command,
    /// Who waits for it.
    pub answer_to: AnswerTo,
}

/// What to do.
#[allow(missing_docs, reason = "the fields are those of the engine interface")]
pub enum Command {
    /// Store a value.
    Store(StoreCommand),
    /// Delete, or one of the gentler forms.
    Delete { key: KeyBytes, delete: Delete },
    /// Count.
    Arithmetic { key: KeyBytes, arithmetic: Arithmetic },
    /// A look-up that may change the item.
    Get { key: KeyBytes, get: Get },
    /// Give another expiry.
    Touch { key: KeyBytes, expiry: Expiry },
    /// Flush what begins with `prefix`.
    Flush { prefix: Box<[u8]>, when: Option<Timestamp> },
    /// Take ids out of the counter.
    ReserveIds { count: u64 },
    /// Keep the keys a cache held. Not for the decider.
    KeepWarmList { keys: Vec<Box<[u8]>> },
    /// Flushes up to this id have no dead item left.
    ForgetFlushes { version: u64 },
}

/// A store command that owns what it brings.
#[allow(missing_docs, reason = "the fields are those of `Store`")]
pub struct StoreCommand {
    pub mode: Mode,
    pub key: KeyBytes,
    pub flags: u32,
    pub expiry: Expiry,
    pub compare: Option<u64>,
    pub new_cas: Option<u64>,
    pub older: Older,
    pub vivify: Option<Expiry>,
    pub stale: bool,
    pub token_taken: bool,
    pub value: Bytes,
}

impl StoreCommand {
    /// Takes the value over, or copies what is only lent.
    pub fn new(store: Store<'_>) -> Self {
        StoreCommand {
            mode: store.mode,
            key: store.key.bytes().into(),
            flags: store.flags,
            expiry: store.expiry,
            compare: store.compare,
            new_cas: store.new_cas,
            older: store.older,
            vivify: store.vivify,
            stale: store.stale,
            token_taken: store.token_taken,
            value: store.value.into_bytes(),
        }
    }

    /// The command as it was given.
    pub fn lent(&self) -> Store<'_> {
        Store {
            mode: self.mode,
            key: Key::new(&self.key),
            flags: self.flags,
            expiry: self.expiry,
            compare: self.compare,
            new_cas: self.new_cas,
            older: self.older,
            vivify: self.vivify,
            stale: self.stale,
            token_taken: self.token_taken,
            value: Payload::Borrowed(&self.value),
        }
    }

    /// Whether it is decided without looking at what is there.
    pub fn is_unconditional(&self) -> bool {
        self.mode == Mode::Set && self.compare.is_none()
    }
}

impl Command {
    /// What it weighs in the queue.
    pub fn weight(&self) -> usize {
        WRITE_BYTES
            + match self {
                Command::Store(store) => store.key.len() + store.value.len(),
                Command::Delete { key, .. }
                | Command::Arithmetic { key, .. }
                | Command::Get { key, .. }
                | Command::Touch { key, .. } => key.len(),
                Command::Flush { prefix, .. } => prefix.len(),
                Command::ReserveIds { .. } | Command::ForgetFlushes { .. } => 0,
                Command::KeepWarmList { keys } => keys.iter().map(|key| key.len()).sum(),
            }
    }

    /// The key it is about; `None`: none, or many.
    pub fn key(&self) -> Option<&KeyBytes> {
        match self {
            Command::Store(store) => Some(&store.key),
            Command::Delete { key, .. }
            | Command::Arithmetic { key, .. }
            | Command::Get { key, .. }
            | Command::Touch { key, .. } => Some(key),
            Command::Flush { .. }
            | Command::ReserveIds { .. }
            | Command::KeepWarmList { .. }
            | Command::ForgetFlushes { .. } => None,
        }
    }

    /// Bytes of value it brings.
    pub fn value_length(&self) -> usize {
        match self {
            Command::Store(store) => store.value.len(),
            _ => 0,
        }
    }
}

/// Who waits for the answer.
#[allow(missing_docs, reason = "a variant is named by what it waits for")]
pub enum AnswerTo {
    Stored(Completer<Stored>),
    Deleted(Completer<Deleted>),
    Number(Completer<Number>),
    Item(Completer<Option<Item>>),
    Touched(Completer<Touched>),
    Flushed(Completer<Flushed>),
    Ids(Completer<Range<u64>>),
    WarmList(SyncSender<Result<(), EngineError>>),
    Nobody,
}

/// What to answer, once it is true.
#[derive(Debug)]
#[allow(missing_docs, reason = "a variant is named by what it holds")]
pub enum Answer {
    Stored(Stored),
    Deleted(Deleted),
    Number(Number),
    Item(Option<Item>),
    Touched(Touched),
    Flushed(Flushed),
    Ids(Range<u64>),
    WarmList,
    Nothing,
}

impl AnswerTo {
    /// Answers; `wakes` wakes whoever waits.
    pub fn give(self, answer: Result<Answer, EngineError>, wakes: &mut Wakes) {
        match (self, answer) {
            (AnswerTo::Stored(to), Ok(Answer::Stored(stored))) => to.complete_with(Ok(stored), wakes),
            (AnswerTo::Deleted(to), Ok(Answer::Deleted(deleted))) => to.complete_with(Ok(deleted), wakes),
            (AnswerTo::Number(to), Ok(Answer::Number(number))) => to.complete_with(Ok(number), wakes),
            (AnswerTo::Item(to), Ok(Answer::Item(item))) => to.complete_with(Ok(item), wakes),
            (AnswerTo::Touched(to), Ok(Answer::Touched(touched))) => to.complete_with(Ok(touched), wakes),
            (AnswerTo::Flushed(to), Ok(Answer::Flushed(flushed))) => to.complete_with(Ok(flushed), wakes),
            (AnswerTo::Ids(to), Ok(Answer::Ids(ids))) => to.complete_with(Ok(ids), wakes),
            // The receiver waits for as long as it takes; if its thread is gone nobody misses the answer.
            (AnswerTo::WarmList(to), Ok(Answer::WarmList)) => drop(to.send(Ok(()))),
            (AnswerTo::Nobody, _) => {}
            (to, Err(error)) => to.fail(error, wakes),
            (_, Ok(answer)) => unreachable!("a command was decided as another kind: {answer:?}"),
        }
    }

    /// Answers with an error; `wakes` wakes whoever waits.
    pub fn fail(self, error: EngineError, wakes: &mut Wakes) {
        match self {
            AnswerTo::Stored(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Deleted(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Number(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Item(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Touched(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Flushed(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Ids(to) => to.complete_with(Err(error), wakes),
            AnswerTo::WarmList(to) => drop(to.send(Err(error))),
            AnswerTo::Nobody => {}
        }
    }
}
