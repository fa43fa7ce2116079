//! Commands on their way to the lanes, and their answers on the way back.

use std::sync::Arc;

use larder_engine::completion::{Completer, Wakes};
use larder_engine::{Arithmetic, Delete, EngineError, Expiry, Get, Item, ScanPage};

// What a command brings and who is answered is the same wherever the items are kept.
pub(crate) use larder_engine::durable::{Answer, AnswerTo, StoreCommand};

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
