//! Calls of the system that the standard library has no safe form for.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

/// Room for a user's entry, in bytes; it grows if an entry needs more.
const ENTRY_BYTES: usize = 4096;
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Which of the two processes this is after [`detach`].
pub enum Side {
    /// The one that was started; the daemon serves, or has ended, with this exit code.
    Starter(u8),
    /// The daemon.
    Daemon(Ready),
}

/// The daemon's way to say that it serves. Dropped unsaid, the start has failed.
pub struct Ready(io::PipeWriter);

impl Ready {
    /// Lets the starter exit, and leaves its terminal, but for the output if `keep_output`.
    pub fn tell(mut self, keep_output: bool) -> io::Result<()> {
        let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        replace(&nothing, libc::STDIN_FILENO)?;
        if !keep_output {
            replace(&nothing, libc::STDOUT_FILENO)?;
            replace(&nothing, libc::STDERR_FILENO)?;
        }
        // The starter may have been killed; the daemon serves all the same.
        match self.0.write_all(&[0]) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Ends the process at once, without what an orderly end does: threads of foreign code may run on until then.
pub fn leave(code: u8) -> ! {
    // Whoever closed standard output has read enough.
    drop(io::stdout().flush());
    // SAFETY: ends the process; nothing of it is used after.
    unsafe { libc::_exit(code.into()) }
}

fn replace(file: &File, descriptor: libc::c_int) -> io::Result<()> {
    // SAFETY: `dup2` takes numbers; the first is open as long as `file` lives, the second is a standard stream that no
    // object owns.
    check(unsafe { libc::dup2(file.as_raw_fd(), descriptor) }).map(drop)
}

/// Forks. There must be one thread.
pub fn detach() -> io::Result<Side> {
    let (mut heard, told) = io::pipe()?;
    // SAFETY: the process has one thread at this point, so the child finds no lock held by a thread it lacks.
    let child = check(unsafe { libc::fork() })?;
    if child == 0 {
        drop(heard);
        // SAFETY: takes nothing. A new child leads no group, so it can lead a session.
        check(unsafe { libc::setsid() })?;
        return Ok(Side::Daemon(Ready(told)));
    }
    drop(told);
    let mut byte = [0];
    if heard.read(&mut byte)? == 1 {
        return Ok(Side::Starter(0));
    }
    let mut status = 0;
    // SAFETY: the child is ours and has not been waited for; the pointer is to a place for its status.
    check(unsafe { libc::waitpid(child, &mut status, 0) })?;
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 1 };
    Ok(Side::Starter(u8::try_from(code).unwrap_or(1).max(1)))
}

/// Asks for small pages only, from now on. A system without huge pages refuses, and needs it not.
pub fn use_small_pages_only() {
    // SAFETY: this sets a flag of the process and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// The user whose rights this process has.
pub fn user_id() -> u32 {
    // SAFETY: takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// A user's numbers.
#[derive(Clone, Copy)]
pub struct User {
    /// The user.
    pub id: u32,
    /// The group.
    pub group: u32,
}

/// The user of a name, if there is one.
pub fn find_user(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    let mut room = ENTRY_BYTES;
    loop {
        match find_user_within(&name, room) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && room < ENTRY_BYTES_MAX => room *= 2,
            outcome => return outcome,
        }
    }
}

fn find_user_within(name: &CStr, room: usize) -> io::Result<Option<User>> {
    let mut text = vec![0; room];
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut found = std::ptr::null_mut();
    // SAFETY: every pointer is to a place that lives through the call, and the length is that of `text`.
    let error =
        unsafe { libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), text.as_mut_ptr(), room, &mut found) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    if found.is_null() {
        return Ok(None);
    }
    // SAFETY: the call succeeded and found an entry, so it has filled `entry` in.
    let entry = unsafe { entry.assume_init() };
    Ok(Some(User { id: entry.pw_uid, group: entry.pw_gid }))
}

/// Becomes a user for good, without the groups of the old one.
pub fn become_user(user: User) -> io::Result<()> {
    // SAFETY: no group is read when their number is 0.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: takes a number.
    check(unsafe { libc::setgid(user.group) })?;
    // SAFETY: takes a number.
    check(unsafe { libc::setuid(user.id) }).map(drop)
}

/// Lets this process have so many files open, or as many as the system allows; how many it may have.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = get_limit(libc::RLIMIT_NOFILE)?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    if limit.rlim_max < wanted {
        // Only root may raise this one.
        let raised = libc::rlimit { rlim_cur: wanted, rlim_max: wanted };
        if set_limit(libc::RLIMIT_NOFILE, &raised).is_ok() {
            return Ok(wanted);
        }
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    set_limit(libc::RLIMIT_NOFILE, &limit)?;
    Ok(limit.rlim_cur)
}

/// Lets core files be as large as the system allows; how large, in bytes.
pub fn raise_core_dumps() -> io::Result<u64> {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    if set_limit(libc::RLIMIT_CORE, &all).is_ok() {
        return Ok(libc::RLIM_INFINITY);
    }
    let mut limit = get_limit(libc::RLIMIT_CORE)?;
    limit.rlim_cur = limit.rlim_max;
    set_limit(libc::RLIMIT_CORE, &limit)?;
    Ok(limit.rlim_cur)
}

/// A process that changed its user leaves no core file unless it says so.
pub fn allow_core_dumps() -> io::Result<()> {
    // SAFETY: this request takes one number.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }).map(drop)
}

/// Keeps this process and those it starts from ever gaining a privilege.
pub fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: this request takes a 1 and three zeros.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Keeps all memory, also that to come, from being swapped out once it is used.
pub fn lock_memory() -> io::Result<()> {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // Under a limit a later allocation would fail, which is worse than being swapped out.
    let limit = get_limit(libc::RLIMIT_MEMLOCK)?;
    if limit.rlim_cur != libc::RLIM_INFINITY {
        set_limit(libc::RLIMIT_MEMLOCK, &all)?;
    }
    // SAFETY: takes numbers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) }).map(drop)
}

fn get_limit(which: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a place for the answer.
    check(unsafe { libc::getrlimit(which, &mut limit) })?;
    Ok(limit)
}

fn set_limit(which: libc::__rlimit_resource_t, limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a limit, which is only read.
    check(unsafe { libc::setrlimit(which, limit) }).map(drop)
}

/// The error of the last call, where it returned -1.
fn check(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}
