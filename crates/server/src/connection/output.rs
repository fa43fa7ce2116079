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

/// What is sent is dropped once it is so much, and a quarter: a slow reader may never take all there is.
const SENT_BYTES_KEPT: usize = 64 << 10;

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
            let taken = if self.shared.is_empty() {
                stream.as_mut().poll_write(task, &self.bytes[self.sent..])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let filled = self.gather(&mut slices);
                stream.as_mut().poll_write_vectored(task, &slices[..filled])
            };
            let Poll::Ready(count) = taken? else {
                self.drop_sent();
                return Poll::Pending;
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

    fn drop_sent(&mut self) {
        if self.sent < SENT_BYTES_KEPT.max(self.bytes.len() / 4) {
            return;
        }
        self.bytes.drain(..self.sent);
        self.shared.iter_mut().for_each(|(position, _)| *position -= self.sent);
        self.sent = 0;
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

    /// Takes as many bytes as `0` says and no more.
    struct Slow(usize, Vec<u8>);

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _task: &mut TaskContext<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            self.1.extend_from_slice(&bytes[..count]);
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_slow_reader_took_is_not_kept() {
        const TURNS: usize = 300;
        let mut output = Output::default();
        let mut socket = Slow(0, Vec::new());
        let mut task = TaskContext::from_waker(std::task::Waker::noop());
        let (mut expected, mut sent) = (Vec::new(), 0);
        let mut add = |output: &mut Output, number: usize| {
            let piece = vec![number as u8; 10_000];
            output.bytes.extend_from_slice(&piece);
            output.push_shared(Bytes::from(vec![!number as u8; 9_000]));
            expected.extend_from_slice(&piece);
            expected.extend(vec![!number as u8; 9_000]);
        };
        for number in 0..10 {
            add(&mut output, number);
        }
        for number in 10..TURNS {
            add(&mut output, number);
            // As much as came, so that there is always something left.
            socket.0 = 19_000;
            assert!(output.send(Pin::new(&mut socket), &mut task, &mut sent).is_pending());
            assert!(output.bytes.len() <= 300_000, "{} bytes are kept in turn {number}", output.bytes.len());
        }
        socket.0 = usize::MAX;
        assert!(output.send(Pin::new(&mut socket), &mut task, &mut sent).is_ready());
        assert!(socket.1 == expected, "{} bytes came, not as they were", socket.1.len());
    }

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
