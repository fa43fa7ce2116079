//! Executes requests on engines and answers them.

mod admin;
mod hit;
mod job;
mod map;
mod pending;
mod retrieve;
mod under_way;
mod write;

use std::sync::Arc;

use larder_engine::{Connection, Context, Engine, ErrorKind, Operation, Timestamp, Writer};
use larder_protocol::{Command, Form, Request, Response};

use crate::connection::output::Output;
use crate::counters::Counters;
use crate::options::Tunables;
use crate::router::{Routes, Stack};
use crate::shared::Shared;
use crate::watch::Streams;
use crate::worker::WorkerState;

pub(crate) use admin::execute_keyless;
pub(crate) use job::{Job, Start, refuse_start, start};
pub(crate) use map::expiry;
pub(crate) use pending::{Fate, Group, Pending};
pub(crate) use retrieve::get_many;
use under_way::UnderWay;
pub(crate) use write::{Refused, refuse_store};

/// The connection must be closed; what is answered so far is still sent.
#[derive(Debug)]
pub(crate) struct Close;

/// What a request is executed with. One second, one routing table for a whole turn.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a WorkerState,
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) routes: &'a Routes,
    pub(crate) now: Timestamp,
}

impl<'a> Turn<'a> {
    pub(crate) fn context(&self) -> Context<'_> {
        self.state.context(self.connection, self.now)
    }

    /// An operation that was started in this turn.
    fn under_way<T>(&self, operation: Operation<T>) -> UnderWay<T> {
        UnderWay::new(self, operation)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.state.counters
    }

    pub(crate) fn tunables(&self) -> Tunables {
        self.shared().setup().tunables.clone()
    }

    /// Whether clients see the CAS of items.
    #[inline]
    pub(crate) fn shows_cas(&self) -> bool {
        self.state.shared.options.cas
    }

    /// What anybody watches, as it was when the request was read.
    #[inline]
    pub(crate) fn watched(&self) -> Streams {
        self.state.watched.get()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.state.shared
    }
}

/// What a command needs of the chassis.
pub(crate) enum Needs<'a> {
    /// One key; whether the command may change it.
    Key(&'a [u8], bool),
    /// Several keys of a retrieval line.
    Keys,
    /// All replies before it sent, or at least known.
    Barrier,
    /// Nothing.
    Nothing,
}

/// What must be true before a command is executed.
#[inline]
pub(crate) fn needs<'a>(command: &Command<'a>) -> Needs<'a> {
    match command {
        Command::Get(get) if get.keys.is_single() => Needs::Key(get.keys.first(), get.touch.is_some()),
        Command::Get(_) => Needs::Keys,
        // Any of them may take the token of a stale item: the first to ask must be the first to be served.
        Command::Lookup(lookup) => Needs::Key(lookup.key, true),
        Command::Store(store) => Needs::Key(store.key, true),
        Command::TooLarge(too_large) => Needs::Key(too_large.key, true),
        Command::Delete(delete) => Needs::Key(delete.key, true),
        Command::Arithmetic(arithmetic) => Needs::Key(arithmetic.key, true),
        Command::Touch(touch) => Needs::Key(touch.key, true),
        Command::MetaDebug { key } => Needs::Key(key, false),
        Command::Invalid(_) => Needs::Nothing,
        _ => Needs::Barrier,
    }
}

/// Executes a command on one key, or one that needs nothing. The answer goes to `out`, unless the engine answers later.
pub(crate) fn execute(
    turn: &Turn<'_>,
    request: &Request<'_>,
    writer: Option<Writer>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let form = &request.form;
    match &request.command {
        Command::Get(get) => retrieve::get_one(turn, form, get, out),
        Command::Lookup(lookup) => retrieve::lookup(turn, form, lookup, out),
        Command::MetaDebug { key } => retrieve::debug(turn, form, key, out),
        Command::Store(store) => write::store(turn, form, store, writer, out),
        Command::TooLarge(too_large) => write::too_large(turn, form, too_large, out),
        Command::Delete(delete) => write::delete(turn, form, delete, out),
        Command::Arithmetic(arithmetic) => write::arithmetic(turn, form, arithmetic, out),
        Command::Touch(touch) => write::touch(turn, form, touch, out),
        Command::Invalid(error) => {
            respond(form, &Response::Error(*error), out);
            Ok(None)
        }
        _ => unreachable!("a command without a key is executed at a barrier"),
    }
}

/// Encodes an answer without a detached value.
#[inline]
pub(crate) fn respond(form: &Form<'_>, response: &Response<'_>, out: &mut Output) {
    out.answer(form, response);
}

/// Encodes an engine's error.
pub(crate) fn respond_error(form: &Form<'_>, error: &larder_engine::EngineError, out: &mut Output) {
    respond(form, &map::response(error), out);
}

/// The stack for a key, or the error a client gets where no prefix matches.
fn stack<'t, 'k>(
    turn: &'t Turn<'_>,
    key: &'k [u8],
) -> Result<(&'t Stack, larder_engine::Key<'k>), larder_engine::EngineError> {
    match turn.routes.route(key) {
        Some((stack, key)) => Ok((stack, key)),
        None => Err(larder_engine::EngineError::new(
            ErrorKind::Unavailable,
            "no store is configured for this key's prefix",
        )),
    }
}

/// Answers an engine's error, and counts it.
pub(crate) fn fail(
    turn: &Turn<'_>,
    form: &Form<'_>,
    error: &larder_engine::EngineError,
    out: &mut Output,
) -> Result<(), Close> {
    if error.kind() == ErrorKind::Disconnect {
        return Err(Close);
    }
    if !error.kind().is_state() {
        match error.kind() {
            ErrorKind::TooLarge => turn.counters().store_too_large.add(1),
            ErrorKind::OutOfMemory => turn.counters().store_no_memory.add(1),
            ErrorKind::NotNumeric | ErrorKind::BadArgument => {}
            _ => turn.counters().store_errors.add(1),
        }
    }
    respond(form, &map::response(error), out);
    Ok(())
}

/// Whether `engine` is asked to remove what is under a key whose new value it could not take.
fn leaves_stale_value(error: &larder_engine::EngineError, mode: larder_protocol::StoreMode) -> bool {
    mode == larder_protocol::StoreMode::Set
        && matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::OutOfMemory)
}

/// The engines of all stacks, each once.
pub(crate) fn engines(routes: &Routes) -> impl Iterator<Item = &Arc<dyn Engine>> {
    let mut seen: Vec<*const ()> = Vec::new();
    routes.stacks().iter().map(|stack| &stack.engine).filter(move |engine| {
        let address = Arc::as_ptr(engine).cast::<()>();
        let is_new = !seen.contains(&address);
        seen.push(address);
        is_new
    })
}

#[cfg(test)]
mod tests;
