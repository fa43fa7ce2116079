//! Answers that engines give later.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use larder_engine::engine::RawResponse;
use larder_engine::{Deleted, EngineError, Item, Number, StatLines, Stored, Touched};
use larder_protocol::{Form, OwnedForm, Response};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::retrieve::{Asked, Shape};
use super::write::{self, ArithmeticCount, StoreCount};
use super::{Close, Turn, UnderWay, admin, fail, map, respond};
use crate::connection::output::Output;
use crate::stats;
use crate::watch::{DeleteNote, StoreNote};

/// How a pending answer ended.
pub(crate) enum Fate {
    /// The answer is encoded.
    Answered,
    /// The engine wants the connection closed.
    Close,
}

/// A request whose engine has not answered yet.
pub(crate) struct Pending {
    form: OwnedForm,
    kind: Kind,
    /// The share of the bytes in flight that the value takes until its engine has answered.
    room: Option<OwnedSemaphorePermit>,
}

/// What is under way.
pub(crate) enum Kind {
    Get {
        key: Box<[u8]>,
        asked: Asked,
        operation: UnderWay<Option<Item>>,
    },
    Store {
        count: StoreCount,
        /// For those who watch, if anybody does.
        note: Option<Box<StoreNote>>,
        operation: UnderWay<Stored>,
    },
    /// The old item is removed, because its new value was too large or found no memory.
    Evict {
        error: EngineError,
        operation: UnderWay<Deleted>,
    },
    Delete {
        note: Option<Box<DeleteNote>>,
        operation: UnderWay<Deleted>,
    },
    Arithmetic {
        count: ArithmeticCount,
        operation: UnderWay<Number>,
    },
    Touch(UnderWay<Touched>),
    Flush(UnderWay<()>),
    Stats {
        /// Whether the server's own numbers come before the engines'.
        is_general: bool,
        operation: UnderWay<StatLines>,
    },
    Raw(UnderWay<Vec<RawResponse>>),
    /// Certificates are being read again.
    Refresh(oneshot::Receiver<Result<(), String>>),
}

impl Kind {
    pub(crate) fn get(key: &[u8], asked: Asked, operation: UnderWay<Option<Item>>) -> Kind {
        Kind::Get { key: key.into(), asked, operation }
    }
}

impl Pending {
    pub(crate) fn new(form: &Form<'_>, kind: Kind) -> Pending {
        Pending { form: form.to_owned(), kind, room: None }
    }

    /// Keeps the room its value takes.
    pub(crate) fn holding(self, room: Option<OwnedSemaphorePermit>) -> Pending {
        Pending { room, ..self }
    }

    /// Whether it may bring a value.
    pub(crate) fn is_look_up(&self) -> bool {
        matches!(self.kind, Kind::Get { .. })
    }

    /// Bytes of its value, unless it has room among the bytes in flight.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.kind {
            Kind::Store { count, .. } if self.room.is_none() => count.value_bytes(),
            _ => 0,
        }
    }

    /// Encodes the answer once it is there.
    pub(crate) fn poll(
        &mut self,
        task: &mut TaskContext<'_>,
        turn: &Turn<'_>,
        out: &mut Output,
    ) -> Poll<Fate> {
        let form = self.form.as_form();
        let answered = match &mut self.kind {
            Kind::Get { key, asked, operation } => match std::task::ready!(Pin::new(operation).poll(task)) {
                Ok(item) => {
                    asked.answer(turn, &form, key, item.as_ref(), out);
                    Ok(())
                }
                Err(error) => match &asked.shape {
                    Shape::Grouped(group) => {
                        group.failed(turn, error);
                        Ok(())
                    }
                    _ => fail(turn, &form, &error, out),
                },
            },
            Kind::Store { count, note, operation } => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                write::tell_stored(turn, note.as_deref(), &answer);
                write::stored(turn, &form, *count, answer, out)
            }
            Kind::Evict { error, operation } => {
                if let Err(cause) = std::task::ready!(Pin::new(operation).poll(task)) {
                    write::log_stale(&cause);
                }
                fail(turn, &form, error, out)
            }
            Kind::Delete { note, operation } => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                write::deleted(turn, &form, note.as_deref(), answer, out)
            }
            Kind::Arithmetic { count, operation } => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                write::counted(turn, &form, *count, answer, out)
            }
            Kind::Touch(operation) => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                write::touched(turn, &form, answer, out)
            }
            Kind::Refresh(answer) => {
                let refreshed = std::task::ready!(Pin::new(answer).poll(task));
                respond(&form, &refreshed_response(refreshed.unwrap_or_else(|_| Err(String::new()))), out);
                Ok(())
            }
            Kind::Stats { is_general, operation } => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                stats::tell_group(turn, &form, *is_general, answer, out)
            }
            Kind::Raw(operation) => {
                let answer = std::task::ready!(Pin::new(operation).poll(task));
                admin::tell_raw(turn, &form, answer, out)
            }
            Kind::Flush(operation) => match std::task::ready!(Pin::new(operation).poll(task)) {
                Ok(()) => {
                    respond(&form, &Response::Ok, out);
                    Ok(())
                }
                Err(error) => fail(turn, &form, &error, out),
            },
        };
        Poll::Ready(match answered {
            Ok(()) => Fate::Answered,
            Err(Close) => Fate::Close,
        })
    }
}

/// The reason is for the log: it names files, which are none of a client's business.
fn refreshed_response(refreshed: Result<(), String>) -> Response<'static> {
    match refreshed {
        Ok(()) => Response::Ok,
        Err(reason) => {
            if !reason.is_empty() {
                tracing::error!("certificates are not changed: {reason}");
            }
            Response::Line(b"Error: the certificates could not be read, the old ones stay; the log says why")
        }
    }
}

/// The keys of one retrieval line: one error among them is said in place of `END`.
#[derive(Clone)]
pub(crate) struct Group(Rc<GroupState>);

struct GroupState {
    form: OwnedForm,
    error: RefCell<Option<EngineError>>,
}

impl Group {
    pub(crate) fn new(form: &Form<'_>) -> Group {
        Group(Rc::new(GroupState { form: form.to_owned(), error: RefCell::default() }))
    }

    pub(crate) fn failed(&self, turn: &Turn<'_>, error: EngineError) {
        turn.counters().store_errors.add(1);
        self.0.error.borrow_mut().get_or_insert(error);
    }

    pub(crate) fn end(&self, out: &mut Output) {
        let form = self.0.form.as_form();
        match &*self.0.error.borrow() {
            None => respond(&form, &Response::End, out),
            Some(error) => respond(&form, &map::response(error), out),
        }
    }
}
