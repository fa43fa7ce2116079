//! A retrieval line that is longer than one turn: the room it takes while it comes, and its answers, turn by turn.
//!
//! All other lines are short. What of a line is here takes room among the bytes in flight as it grows. It never waits for
//! room while it holds some, or two could wait for each other: where there is none left, its client is told, and closed.

use larder_engine::Timestamp;
use larder_protocol::{
    Command, Failure, FailureKind, Form, Get, Keys, LINE_BYTES_MAX, LogCloseReason, OwnedRequest, Request,
    Response, TextForm,
};
use tokio::sync::OwnedSemaphorePermit;

use super::Session;
use super::pace::Upload;
use super::receive::EARNEST_BYTES;
use super::replies::Replies;
use crate::command::{self, Group, Turn};
use crate::router::Routes;
use crate::shared::BUDGET_UNIT_BYTES;

/// Longer input that is cut off is a retrieval line: no other request takes so much before its value is read by itself.
const SHORT_BYTES_MAX: usize = EARNEST_BYTES + LINE_BYTES_MAX + 2;

/// A retrieval line on its way in, or its answers on their way out.
pub(super) struct LongLine {
    /// Its share of the bytes in flight.
    room: Option<OwnedSemaphorePermit>,
    /// When it took the first of it.
    since: Timestamp,
    /// What is not asked yet of a line that is whole.
    rest: Option<Rest>,
}

/// The end of a line whose beginning is answered.
struct Rest {
    request: OwnedRequest,
    /// Its last bytes, which are not asked yet.
    left_bytes: usize,
    group: Group,
}

impl LongLine {
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_some()
    }
}

impl Rest {
    /// Answers more; whether it came to the end.
    fn go_on(&mut self, turn: &Turn<'_>, replies: &mut Replies) -> bool {
        let Request { command: Command::Get(get), form } = self.request.borrow() else {
            unreachable!("only a retrieval has several keys")
        };
        let get = Get { keys: get.keys.last(self.left_bytes), ..get };
        let left: Option<Keys<'_>> = command::get_many(turn, &form, &get, &self.group, replies);
        self.left_bytes = left.map_or(0, |keys| keys.line_bytes());
        left.is_none()
    }
}

impl Session {
    /// Answers a retrieval of several keys, as many as there may be in one turn. `false`: it must wait for what is before
    /// it, and was not touched.
    pub(super) fn retrieve(&mut self, request: &Request<'_>, routes: &Routes, now: Timestamp) -> bool {
        let Command::Get(get) = &request.command else { unreachable!("only a retrieval has several keys") };
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        if self.replies.any_conflicts(&turn, get) {
            return false;
        }
        let (form, group) = (request.form, Group::new(&request.form));
        let Some(keys) = command::get_many(&turn, &form, get, &group, &mut self.replies) else { return true };
        let request = Request { command: Command::Get(Get { keys, ..*get }), form }.to_owned();
        let rest = Rest { request, left_bytes: keys.line_bytes(), group };
        let long = LongLine { room: None, since: now, rest: None };
        self.long.get_or_insert_with(|| Box::new(long)).rest = Some(rest);
        self.entry.upload.set(None);
        self.did_enough = true;
        true
    }

    /// Answers more of a line. Whether anything happened.
    pub(super) fn answer_more(&mut self, routes: &Routes, now: Timestamp) -> bool {
        let rest = self.long.as_mut().and_then(|long| long.rest.as_mut());
        let Some(rest) = rest.filter(|_| !self.replies.are_enough()) else { return false };
        self.state.look_for_watchers();
        let turn = Turn { state: &self.state, connection: &self.connection, routes, now };
        if rest.go_on(&turn, &mut self.replies) {
            self.long = None;
        }
        // A client that takes its answers is not silent.
        self.entry.last_command.set(now);
        self.did_enough = true;
        true
    }

    /// Takes room for what is here of a line, and gives it back when the line is done with.
    pub(super) fn hold_input(&mut self, now: Timestamp) {
        let is_short = self.input.len() <= SHORT_BYTES_MAX;
        if is_short && self.long.is_some() && !self.is_answering() {
            self.forget_line();
        }
        if is_short || self.input_waits {
            return;
        }
        let fresh = LongLine { room: None, since: now, rest: None };
        let long = self.long.get_or_insert_with(|| Box::new(fresh));
        let held = long.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = self.input.capacity().div_ceil(BUDGET_UNIT_BYTES).saturating_sub(held);
        let more = u32::try_from(needed).unwrap_or(u32::MAX);
        let Ok(more) = self.state.shared.budget.clone().try_acquire_many_owned(more) else {
            self.state.counters.read_buf_oom.add(1);
            let text =
                "no room for a line of this length among all that is being received; ask for fewer keys";
            return self.refuse_line(FailureKind::Busy, text);
        };
        match &mut long.room {
            Some(room) => room.merge(more),
            room => *room = Some(more),
        }
        let upload = Upload { since: long.since, value_bytes: 0, received: self.input.len() };
        self.entry.upload.set(Some(upload));
    }

    /// Gives up a line that comes too slowly while others wait for the room it holds.
    pub(super) fn drop_slow_line(&mut self) {
        if self.long.is_some() && !self.is_answering() && !self.input_waits {
            self.state.counters.slow_uploads.add(1);
            let text = format!("the line came too slowly while others waited: {} bytes", self.input.len());
            self.refuse_line(FailureKind::TimedOut, &text);
        }
    }

    /// Tells the client of a line that is not whole why it never will be, and closes the connection.
    pub(super) fn refuse_line(&mut self, kind: FailureKind, text: &str) {
        tracing::info!("connection {}: closed: {text}", self.connection.id);
        let failure = Response::Failure(Failure { kind, text });
        command::respond(&Form::Text(TextForm::default()), &failure, self.replies.tail());
        self.finish(LogCloseReason::Error);
        self.keep_input(Vec::new());
        self.dropped_input = true;
        self.forget_line();
    }

    pub(super) fn forget_line(&mut self) {
        self.long = None;
        self.entry.upload.set(None);
    }
}
