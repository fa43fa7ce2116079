//! What the standard library has no safe call for.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(pid).expect("Linux numbers processes with fewer bits");
    // SAFETY: `kill` takes numbers only; the process is a child that has not been waited for, so its number is its own.
    let outcome = unsafe { libc::kill(pid, signal) };
    assert_eq!(outcome, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}

/// Whether the other side has read everything that was written.
pub fn is_read(stream: &UnixStream) -> bool {
    let mut unread: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `stream` lives, and the request writes one `int` to the pointer.
    let outcome = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &mut unread) };
    assert_eq!(outcome, 0, "TIOCOUTQ: {}", std::io::Error::last_os_error());
    unread == 0
}

/// Lets this process, and those it starts, have so many files open.
pub fn allow_open_files(count: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a place for the answer.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(outcome, 0, "RLIMIT_NOFILE: {}", std::io::Error::last_os_error());
    if limit.rlim_cur < count {
        assert!(limit.rlim_max >= count, "this test takes {count} open files: raise `ulimit -Hn`");
        limit.rlim_cur = count;
        // SAFETY: the pointer is to a limit, which is only read.
        let outcome = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        assert_eq!(outcome, 0, "RLIMIT_NOFILE: {}", std::io::Error::last_os_error());
    }
}
