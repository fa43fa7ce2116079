//! A connection that does something else than answer requests.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use larder_protocol::LogCloseReason;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Life, Output, Session};
use crate::command::Job;
use crate::worker::Buffers;

impl Session {
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.job.as_deref(), Some(Job::Watch(_)))
    }

    /// Does a piece of the job, if there is one. Whether anything happened.
    pub(super) fn work(&mut self, task: &mut TaskContext<'_>, buffers: &mut Buffers) -> io::Result<bool> {
        match self.job.as_deref() {
            None => Ok(false),
            Some(_) if self.life == Life::Finishing || self.state.draining.get() => {
                // Nobody waits for a client that does not take what it has.
                self.replies.output = Output::default();
                self.abandon(LogCloseReason::Shutdown);
                Ok(true)
            }
            Some(Job::Watch(_)) => self.watch(task, buffers),
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
}
