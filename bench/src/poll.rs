//! epoll, with a time-out finer than milliseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Waits for many sockets at once.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What a socket is ready for.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    /// The number the socket was added with.
    pub(crate) token: usize,
    /// It can be read, or is at its end.
    pub(crate) readable: bool,
    /// It can be written.
    pub(crate) writable: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let epoll = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        Ok(Poll { epoll, events: Vec::with_capacity(1024) })
    }

    pub(crate) fn add(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, false)
    }

    /// Says whether it matters that the socket can be written.
    pub(crate) fn set_writing(&self, socket: &impl AsFd, token: usize, writing: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, writing)
    }

    fn control(&self, operation: i32, socket: &impl AsFd, token: usize, writing: bool) -> io::Result<()> {
        let interest = libc::EPOLLIN | if writing { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: interest as u32, u64: token as u64 };
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: the event lives through the call; both descriptors are open, their owners are borrowed.
        checked(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, socket, &raw mut event) })?;
        Ok(())
    }

    /// Waits at most `patience`, then puts what is ready in place of what `ready` held.
    pub(crate) fn wait(&mut self, patience: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let patience = libc::timespec {
            tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let capacity = i32::try_from(self.events.capacity()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has room for `capacity` events, the time-out lives through the call, no signal mask.
        let count = checked(unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                capacity,
                &raw const patience,
                std::ptr::null(),
            )
        });
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        // SAFETY: the kernel has written the first `count` events, and `count` is within the capacity.
        unsafe { self.events.set_len(count as usize) };
        ready.clear();
        ready.extend(self.events.iter().map(|event| {
            let flags = event.events as i32;
            Ready {
                token: event.u64 as usize,
                readable: flags & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) != 0,
                writable: flags & libc::EPOLLOUT != 0,
            }
        }));
        Ok(())
    }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
