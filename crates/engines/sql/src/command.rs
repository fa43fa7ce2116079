//! Commands on their way to the lanes, and their answers on the way back.

use std::sync::Arc;

use bytes::Bytes;
use larder_engine::completion::{Completer, Wakes};
use larder_engine::{
    Arithmetic, Delete, Deleted, EngineError, Expiry, Flushed, Get, Item, Key, Mode, Number, Older, Payload,
    ScanPage, Store, Stored, Touched,
};

use crate::row::KeyCells;
use crate::table::Table;

/// What a command weighs besides its key and value.
const COMMAND_BYTES: usize = 200;

/// A command that may change a row.
pub(crate) struct Write {
    pub table: Arc<Table>,
    pub key: KeyCells,
    pub command: Command,
    pub answer_to: AnswerTo,
}

/// A read that changes nothing.
pub(crate) struct Read {
    pub table: Arc<Table>,
    pub what: ReadWhat,
}

/// What to read.
pub(crate) enum ReadWhat {
    Row {
        key: KeyCells,
        get: Get,
        done: Completer<Option<Item>>,
    },
    /// The keys of its items begin with `prefix`.
    Page {
        prefix: Arc<[u8]>,
        after: Option<KeyCells>,
        rows_max: usize,
        done: Completer<ScanPage>,
    },
}

/// What to do.
pub(crate) enum Command {
    Store(StoreCommand),
    Delete(Delete),
    Arithmetic(Arithmetic),
    Get(Get),
    Touch(Expiry),
    /// Of the rows whose key begins so.
    Flush(Box<[u8]>),
    /// Of a row that was seen expired.
    RemoveExpired,
}

/// A store command that owns what it brings.
pub(crate) struct StoreCommand {
    pub mode: Mode,
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
    pub fn new(store: Store<'_>) -> Self {
        StoreCommand {
            mode: store.mode,
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

    /// The command as it was given, but for its key, on which no rule depends.
    pub fn lent(&self) -> Store<'_> {
        Store {
            mode: self.mode,
            key: Key::new(b"-"),
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
}

impl Write {
    /// What it weighs in the queue.
    pub fn weight(&self) -> usize {
        let value = match &self.command {
            Command::Store(store) => store.value.len(),
            _ => 0,
        };
        COMMAND_BYTES + value + key_weight(&self.key)
    }
}

impl Read {
    /// What it weighs in the queue.
    pub fn weight(&self) -> usize {
        COMMAND_BYTES
            + match &self.what {
                ReadWhat::Row { key, .. } => key_weight(key),
                ReadWhat::Page { .. } => 0,
            }
    }

    pub fn fail(self, error: EngineError, wakes: &mut Wakes) {
        match self.what {
            ReadWhat::Row { done, .. } => done.complete_with(Err(error), wakes),
            ReadWhat::Page { done, .. } => done.complete_with(Err(error), wakes),
        }
    }
}

fn key_weight(key: &KeyCells) -> usize {
    key.iter().map(crate::types::Cell::weight).sum()
}

/// Who waits for the answer.
pub(crate) enum AnswerTo {
    Stored(Completer<Stored>),
    Deleted(Completer<Deleted>),
    Number(Completer<Number>),
    Item(Completer<Option<Item>>),
    Touched(Completer<Touched>),
    Flushed(Completer<Flushed>),
    Nobody,
}

/// What to answer, once it is true.
#[derive(Debug)]
pub(crate) enum Answer {
    Stored(Stored),
    Deleted(Deleted),
    Number(Number),
    Item(Option<Item>),
    Touched(Touched),
    Flushed(Flushed),
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
            (AnswerTo::Nobody, _) => {}
            (to, Err(error)) => to.fail(error, wakes),
            (_, Ok(answer)) => unreachable!("a command was decided as another kind: {answer:?}"),
        }
    }

    fn fail(self, error: EngineError, wakes: &mut Wakes) {
        match self {
            AnswerTo::Stored(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Deleted(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Number(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Item(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Touched(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Flushed(to) => to.complete_with(Err(error), wakes),
            AnswerTo::Nobody => {}
        }
    }
}
