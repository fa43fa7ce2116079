//! Answers on their way to a client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use larder_protocol::{Form, Response, encode};
use tokio::io::AsyncWrite;

use crate::tell;

/// Values up to this many bytes are copied behind their answer's head; larger ones are sent from where they are.
pub(crate) const COPIED_VALUE_BYTES_MAX: usize = 8 << 10;

const SLICES_MAX: usize = 64;

/// Bytes to send: small ones copied together, large values by reference.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    /// Where in `bytes` each large value stands, in ascending order.
    shared: VecDeque<(usize, Bytes)>,
    /// How many of `bytes` are sent.
    sent: usize,
    /// Unsent bytes of large values.
    shared_bytes: usize,
}

impl Output {
    /// Encodes an answer; whether its value is still to be pushed, and what follows it.
    #[inline]
    pub(crate) fn answer(&mut self, form: &Form<'_>, response: &Response<'_>) -> bool {
        let start = self.bytes.len();
        let awaits_value = encode(form, response, &mut self.bytes);
        tell::answer(&self.bytes[start..]);
        awaits_value
    }

    /// Appends a large value by reference.
    pub(crate) fn push_shared(&mut self, value: Bytes) {
        self.shared_bytes += value.len();
        self.shared.push_back((self.bytes.len(), value));
    }

    /// Appends all of `other`.
    pub(crate) fn append(&mut self, other: Output) {
        debug_assert_eq!(other.sent, 0);
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.shared_bytes += other.shared_bytes;
        self.shared.extend(other.shared.into_iter().map(|(position, value)| (base + position, value)));
    }

    /// Bytes not yet sent.
    pub(crate) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent + self.shared_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent() == 0
    }

    /// Sends what the socket takes; `Ready` with the count sent once all is gone.
    pub(crate) fn send(
        &mut self,
        mut stream: Pin<&mut (impl AsyncWrite + ?Sized)>,
        task: &mut TaskContext<'_>,
        sent_total: &mut u64,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let count = if self.shared.is_empty() {
                std::task::ready!(stream.as_mut().poll_write(task, &self.bytes[self.sent..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let filled = self.gather(&mut slices);
                std::task::ready!(stream.as_mut().poll_write_vectored(task, &slices[..filled]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent_total += count as u64;
            self.advance(count);
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut filled = 0;
        let mut position = self.sent;
        for (place, value) in &self.shared {
            if filled + 2 > SLICES_MAX {
                return filled;
            }
            if *place > position {
                slices[filled] = IoSlice::new(&self.bytes[position..*place]);
                filled += 1;
                position = *place;
            }
            slices[filled] = IoSlice::new(value);
            filled += 1;
        }
        if position < self.bytes.len() && filled < SLICES_MAX {
            slices[filled] = IoSlice::new(&self.bytes[position..]);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let until = self.shared.front().map_or(self.bytes.len(), |(place, _)| *place);
            let copied = count.min(until - self.sent);
            self.sent += copied;
            count -= copied;
            if count == 0 {
                break;
            }
            let Some((_, value)) = self.shared.front_mut() else { break };
            let taken = count.min(value.len());
            bytes::Buf::advance(value, taken);
            self.shared_bytes -= taken;
            count -= taken;
            if value.is_empty() {
                self.shared.pop_front();
            }
        }
        // An empty value at the front would never be advanced over.
        while self.shared.front().is_some_and(|(_, value)| value.is_empty()) {
            self.shared.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `0` bytes a call.
    struct Narrow(usize, Vec<u8>);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _task: &mut TaskContext<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0);
            self.1.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _task: &mut TaskContext<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let room = self.0;
            let before = self.1.len();
            for slice in slices {
                let count = slice.len().min(room - (self.1.len() - before));
                self.1.extend_from_slice(&slice[..count]);
            }
            Poll::Ready(Ok(self.1.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn any_socket_width_sends_the_same_bytes() {
        for width in 1..40 {
            let mut first = Output::default();
            first.bytes.extend_from_slice(b"VALUE a 0 5\r\n");
            first.push_shared(Bytes::from_static(b"hello"));
            first.bytes.extend_from_slice(b"\r\n");
            let mut second = Output::default();
            second.push_shared(Bytes::from_static(b"world"));
            second.push_shared(Bytes::from_static(b"!"));
            second.bytes.extend_from_slice(b"END\r\n");
            first.append(second);
            let mut socket = Narrow(width, Vec::new());
            let mut task = TaskContext::from_waker(std::task::Waker::noop());
            let mut sent = 0;
            let done = first.send(Pin::new(&mut socket), &mut task, &mut sent);
            assert!(matches!(done, Poll::Ready(Ok(()))));
            assert_eq!(socket.1, b"VALUE a 0 5\r\nhello\r\nworld!END\r\n", "width {width}");
            assert_eq!(sent as usize, socket.1.len());
        }
    }
}
