//! A connection that does something else than answer requests.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use larder_engine::Timestamp;
use larder_protocol::LogCloseReason;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Life, Output, Session};
use crate::command::{Job, Turn};
use crate::dump::{self, Step};
use crate::shared::Setup;
use crate::worker::Buffers;

impl Session {
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.job.as_deref(), Some(Job::Watch(_)))
    }

    /// Does a piece of the job, if there is one. Whether anything happened.
    pub(super) fn work(
        &mut self,
        task: &mut TaskContext<'_>,
        setup: &Setup,
        now: Timestamp,
        buffers: &mut Buffers,
    ) -> io::Result<bool> {
        match self.job.as_deref() {
            None => Ok(false),
            Some(_) if self.life == Life::Finishing || self.state.draining.get() => {
                // Nobody waits for a client that does not take what it has.
                self.replies.output = Output::default();
                self.abandon(LogCloseReason::Shutdown);
                Ok(true)
            }
            Some(Job::Watch(_)) => self.watch(task, buffers),
            Some(Job::Dump(_)) => Ok(self.dump(task, setup, now)),
        }
    }

    /// Ends the job and the connection with it.
    fn abandon(&mut self, reason: LogCloseReason) {
        self.job = None;
        self.finish(reason);
        self.keep_input(Vec::new());
    }

    /// Moves events to the output once the client has taken those before; what it says meanwhile is thrown away.
    fn watch(&mut self, task: &mut TaskContext<'_>, buffers: &mut Buffers) -> io::Result<bool> {
        // What was read with the command itself.
        self.keep_input(Vec::new());
        let mut progress = false;
        if let Some(Job::Watch(watcher)) = self.job.as_deref()
            && self.replies.output.is_empty()
            && let Poll::Ready(lines) = watcher.take(task)
        {
            self.replies.output.bytes = lines;
            progress = true;
        }
        let mut buffer = ReadBuf::new(&mut buffers.read);
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(task, &mut buffer) {
            read?;
            if buffer.filled().is_empty() {
                self.abandon(LogCloseReason::Normal);
            }
            self.state.counters.bytes_read.add(buffer.filled().len() as u64);
            self.requests += 1;
            progress = true;
        }
        Ok(progress)
    }

    /// Writes a page once the client has taken most of those before. Each page is a turn: others come first.
    fn dump(&mut self, task: &mut TaskContext<'_>, setup: &Setup, now: Timestamp) -> bool {
        if self.replies.output.unsent() > dump::UNSENT_BYTES_MAX {
            return false;
        }
        let turn = Turn { state: &self.state, connection: &self.connection, routes: &setup.routes, now };
        let Some(Job::Dump(dump)) = self.job.as_deref_mut() else { return false };
        match dump.poll(task, &turn, &mut self.replies.output) {
            Poll::Pending => return false,
            Poll::Ready(Step::Page) => {}
            Poll::Ready(Step::Over) => {
                self.job = None;
                self.input_waits = !self.input.is_empty();
            }
        }
        // A client that takes its dump is not silent.
        self.entry.last_command.set(now);
        self.did_enough = true;
        true
    }
}
