//! The end of a connection whose client may still be sending.
//!
//! A socket that is closed with input unread is reset, and a reset takes away answers the client has not read yet. So
//! the sending half is closed first, and what still comes is read and thrown away until the client leaves too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::Session;
use crate::worker::Buffers;

/// How long a client that is in the middle of something has to take its answers and leave.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// Reads between two turns of others.
const READS_A_TURN: usize = 16;

/// A connection that is being half closed.
pub(super) struct Linger {
    until: Pin<Box<Sleep>>,
    /// Whether the sending half is closed. Where that must be told, as in TLS, it may take a while.
    is_shut: bool,
    /// Whether the client had sent what was not executed; one that had not is not waited for.
    is_in_the_middle: bool,
}

impl Session {
    /// Closes the connection without taking away what was answered. `Ready` when it can be dropped.
    pub(super) fn take_leave(
        &mut self,
        task: &mut TaskContext<'_>,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        let is_in_the_middle = self.dropped_input || !self.input.is_empty();
        let linger = self.linger.get_or_insert_with(|| Linger {
            until: Box::pin(tokio::time::sleep(LINGER_MAX)),
            is_shut: false,
            is_in_the_middle,
        });
        if !linger.is_shut {
            match Pin::new(&mut self.stream).poll_shutdown(task) {
                Poll::Ready(Ok(())) => linger.is_shut = true,
                // The client is gone already.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return linger.until.as_mut().poll(task).map(Ok),
            }
        }
        for _ in 0..READS_A_TURN {
            let mut buffer = ReadBuf::new(&mut buffers.read);
            match Pin::new(&mut self.stream).poll_read(task, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => linger.is_in_the_middle = true,
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if linger.is_in_the_middle => return linger.until.as_mut().poll(task).map(Ok),
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
        if linger.until.is_elapsed() {
            return Poll::Ready(Ok(()));
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
