//! The commands that change one item.

use larder_engine::{
    Delete, Deleted, Direction, EngineError, ErrorKind, Initial, Mode, Number, Older, Payload, Reply, Store,
    Stored, Touched, Writer,
};
use larder_protocol::{self as protocol, Form, ProtocolError, Response, StoreMode};

use super::pending::{Kind, Pending};
use super::{Close, Turn, fail, leaves_stale_value, map, respond, stack};
use crate::connection::output::Output;
use crate::detail::Seen;
use crate::watch::{self, DeleteNote, StoreNote, Streams};

/// What the counters want to know of a store under way.
#[derive(Clone, Copy)]
pub(crate) struct StoreCount {
    is_cas: bool,
    value_bytes: usize,
}

impl StoreCount {
    /// Length of the value.
    pub(crate) fn value_bytes(self) -> usize {
        self.value_bytes
    }
}

/// What the counters want to know of an incr or decr under way.
#[derive(Clone, Copy)]
pub(crate) struct ArithmeticCount {
    direction: Direction,
}

pub(super) fn store(
    turn: &Turn<'_>,
    form: &Form<'_>,
    store: &protocol::Store<'_>,
    writer: Option<Writer>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    turn.shared().detail.count(store.key, Seen::Set);
    let (stack, key) = match stack(turn, store.key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    let command = Store {
        mode: match store.mode {
            StoreMode::Set => Mode::Set,
            StoreMode::Add => Mode::Add,
            StoreMode::Replace => Mode::Replace,
            StoreMode::Append => Mode::Append,
            StoreMode::Prepend => Mode::Prepend,
        },
        key,
        flags: store.flags,
        expiry: map::expiry(store.exptime, turn.now),
        compare: store.compare,
        new_cas: store.new_cas,
        older: if store.older_marks_stale { Older::MarkStale } else { Older::Refuse },
        vivify: store.vivify.map(|exptime| map::expiry(exptime, turn.now)),
        stale: false,
        token_taken: false,
        value: writer.map_or(Payload::Borrowed(store.value), Payload::Reserved),
    };
    let count = StoreCount { is_cas: store.compare.is_some(), value_bytes: store.value.len() };
    let note = turn.watched().intersects(Streams::MUTATIONS.and(Streams::FETCHERS)).then(|| {
        let ttl_seconds = command.expiry.seconds_left(turn.now).unwrap_or(0);
        StoreNote::new(turn, (stack, key), store, command.value.len(), ttl_seconds)
    });
    match stack.engine.store(&turn.context(), command) {
        Reply::Ready(answer) => {
            tell_stored(turn, note.as_deref(), &answer);
            match answer {
                Err(error) if leaves_stale_value(&error, store.mode) => {
                    remove_old(turn, form, store.key, error, out)
                }
                answer => stored(turn, form, count, answer, out).map(|()| None),
            }
        }
        Reply::Pending(operation) => {
            Ok(Some(Pending::new(form, Kind::Store { count, note, operation: turn.under_way(operation) })))
        }
    }
}

/// Tells those who watch.
#[inline]
pub(super) fn tell_stored(turn: &Turn<'_>, note: Option<&StoreNote>, answer: &Result<Stored, EngineError>) {
    if let Some(note) = note {
        watch::stored(turn, note, answer);
    }
}

/// Counts and answers a store.
pub(super) fn stored(
    turn: &Turn<'_>,
    form: &Form<'_>,
    count: StoreCount,
    answer: Result<Stored, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    let counters = turn.counters();
    match answer {
        Ok(stored) => {
            counters.cmd_set.add(1);
            counters.total_items.add(1);
            if count.is_cas {
                counters.cas_hits.add(1);
            }
            let stored = protocol::Stored {
                cas: if turn.shows_cas() { stored.cas } else { 0 },
                value_bytes: stored.size,
            };
            respond(form, &Response::Stored(stored), out);
            Ok(())
        }
        Err(error) => {
            match error.kind() {
                ErrorKind::Exists if count.is_cas => counters.cas_badval.add(1),
                ErrorKind::NotFound if count.is_cas => counters.cas_misses.add(1),
                _ => {}
            }
            if error.kind().is_state() {
                counters.cmd_set.add(1);
            }
            fail(turn, form, &error, out)
        }
    }
}

/// A value over the limit: the old item must not stay as if nothing had happened.
pub(super) fn too_large(
    turn: &Turn<'_>,
    form: &Form<'_>,
    too_large: &protocol::TooLarge<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let &protocol::TooLarge { key, mode, value_bytes, .. } = too_large;
    tell_refused(turn, &Refused { key, mode, value_bytes }, ErrorKind::TooLarge);
    let error = EngineError::from(ErrorKind::TooLarge);
    if too_large.removes_old {
        return remove_old(turn, form, key, error, out);
    }
    fail(turn, form, &error, out).map(|()| None)
}

/// A storage command that no engine was asked to carry out.
pub(crate) struct Refused<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) mode: StoreMode,
    pub(crate) value_bytes: u64,
}

/// Answers a store whose value found no place.
pub(crate) fn refuse_store(
    turn: &Turn<'_>,
    form: &Form<'_>,
    refused: &Refused<'_>,
    error: EngineError,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    tell_refused(turn, refused, error.kind());
    if leaves_stale_value(&error, refused.mode) {
        return remove_old(turn, form, refused.key, error, out);
    }
    fail(turn, form, &error, out).map(|()| None)
}

fn tell_refused(turn: &Turn<'_>, refused: &Refused<'_>, error: ErrorKind) {
    if turn.watched().intersects(Streams::MUTATIONS) {
        watch::refused(turn, refused, error);
    }
}

/// Removes what is under `key`, then answers `error`.
fn remove_old(
    turn: &Turn<'_>,
    form: &Form<'_>,
    key: &[u8],
    error: EngineError,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    if let Ok((stack, key)) = stack(turn, key) {
        match stack.engine.delete(&turn.context(), key, &Delete::default()) {
            Reply::Ready(Ok(_)) => {}
            Reply::Ready(Err(cause)) => log_stale(&cause),
            Reply::Pending(operation) => {
                return Ok(Some(Pending::new(
                    form,
                    Kind::Evict { error, operation: turn.under_way(operation) },
                )));
            }
        }
    }
    fail(turn, form, &error, out).map(|()| None)
}

/// Says in the log that an old value could not be removed; that there was none is no news.
pub(super) fn log_stale(cause: &EngineError) {
    if cause.kind() != ErrorKind::NotFound {
        tracing::warn!("an item whose new value was refused could not be removed: {cause:?}");
    }
}

pub(super) fn delete(
    turn: &Turn<'_>,
    form: &Form<'_>,
    delete: &protocol::Delete<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    turn.shared().detail.count(delete.key, Seen::Delete);
    let (stack, key) = match stack(turn, delete.key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    let command = Delete {
        compare: delete.compare,
        new_cas: delete.new_cas,
        mark_stale: delete.mark_stale,
        drop_value: delete.drop_value.then_some(delete.flags),
        expiry: delete.touch.map(|exptime| map::expiry(exptime, turn.now)),
    };
    let is_watched = turn.watched().intersects(Streams::DELETIONS) && !command.keeps_item();
    let note = is_watched.then(|| {
        let name = if matches!(form, Form::Meta(_)) { "md" } else { "delete" };
        DeleteNote::new(turn, stack, key, name)
    });
    match stack.engine.delete(&turn.context(), key, &command) {
        Reply::Ready(answer) => deleted(turn, form, note.as_deref(), answer, out).map(|()| None),
        Reply::Pending(operation) => {
            Ok(Some(Pending::new(form, Kind::Delete { note, operation: turn.under_way(operation) })))
        }
    }
}

/// Counts and answers a delete.
pub(super) fn deleted(
    turn: &Turn<'_>,
    form: &Form<'_>,
    note: Option<&DeleteNote>,
    answer: Result<Deleted, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    match answer {
        Ok(_) => {
            if let Some(note) = note {
                watch::deleted(turn, note);
            }
            turn.counters().delete_hits.add(1);
            respond(form, &Response::Deleted, out);
            Ok(())
        }
        Err(error) => {
            if error.kind() == ErrorKind::NotFound {
                turn.counters().delete_misses.add(1);
            }
            fail(turn, form, &error, out)
        }
    }
}

pub(super) fn arithmetic(
    turn: &Turn<'_>,
    form: &Form<'_>,
    arithmetic: &protocol::Arithmetic<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let (stack, key) = match stack(turn, arithmetic.key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    let direction = match arithmetic.direction {
        protocol::Direction::Increment => Direction::Increment,
        protocol::Direction::Decrement => Direction::Decrement,
    };
    let command = larder_engine::Arithmetic {
        direction,
        delta: arithmetic.delta,
        initial: arithmetic
            .vivify
            .map(|(value, exptime)| Initial { value, expiry: map::expiry(exptime, turn.now) }),
        compare: arithmetic.compare,
        new_cas: arithmetic.new_cas,
        expiry: arithmetic.touch.map(|exptime| map::expiry(exptime, turn.now)),
    };
    let count = ArithmeticCount { direction };
    match stack.engine.arithmetic(&turn.context(), key, &command) {
        Reply::Ready(answer) => counted(turn, form, count, answer, out).map(|()| None),
        Reply::Pending(operation) => {
            Ok(Some(Pending::new(form, Kind::Arithmetic { count, operation: turn.under_way(operation) })))
        }
    }
}

/// Counts and answers an incr or decr.
pub(super) fn counted(
    turn: &Turn<'_>,
    form: &Form<'_>,
    count: ArithmeticCount,
    answer: Result<Number, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    let counters = turn.counters();
    let (hits, misses) = match count.direction {
        Direction::Increment => (&counters.incr_hits, &counters.incr_misses),
        Direction::Decrement => (&counters.decr_hits, &counters.decr_misses),
    };
    match answer {
        Ok(number) => {
            if number.created {
                misses.add(1)
            } else {
                hits.add(1)
            }
            let ttl = number.expiry.seconds_left(turn.now);
            let ttl_before = number.expiry_before.seconds_left(turn.now);
            let number = protocol::Number {
                value: number.value,
                cas: if turn.shows_cas() { number.cas } else { 0 },
                ttl,
                ttl_before,
            };
            respond(form, &Response::Number(number), out);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::OutOfMemory => {
            counters.store_no_memory.add(1);
            respond(form, &Response::Error(ProtocolError::OutOfMemory), out);
            Ok(())
        }
        Err(error) => {
            if error.kind() == ErrorKind::NotFound {
                misses.add(1);
            }
            fail(turn, form, &error, out)
        }
    }
}

pub(super) fn touch(
    turn: &Turn<'_>,
    form: &Form<'_>,
    touch: &protocol::Touch<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let (stack, key) = match stack(turn, touch.key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    match stack.engine.touch(&turn.context(), key, map::expiry(touch.exptime, turn.now)) {
        Reply::Ready(answer) => touched(turn, form, answer, out).map(|()| None),
        Reply::Pending(operation) => Ok(Some(Pending::new(form, Kind::Touch(turn.under_way(operation))))),
    }
}

/// Counts and answers a touch.
pub(super) fn touched(
    turn: &Turn<'_>,
    form: &Form<'_>,
    answer: Result<Touched, EngineError>,
    out: &mut Output,
) -> Result<(), Close> {
    let counters = turn.counters();
    counters.cmd_touch.add(1);
    match answer {
        Ok(_) => {
            counters.touch_hits.add(1);
            respond(form, &Response::Touched, out);
            Ok(())
        }
        Err(error) => {
            if error.kind() == ErrorKind::NotFound {
                counters.touch_misses.add(1);
            }
            fail(turn, form, &error, out)
        }
    }
}
