//! A module that crashes while it is loaded ends the process with a line that says so, instead of without a word.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// What a crash looks like from inside.
const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// Longest line that can be said, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// The line for a crash at this moment. Written by the loading thread alone, read by its own signal handler.
struct Line(UnsafeCell<[u8; LINE_BYTES_MAX]>);

// SAFETY: written under `LOADING` only, and read only by a handler that runs on the very thread that writes.
unsafe impl Sync for Line {}

static LINE: Line = Line(UnsafeCell::new([0; LINE_BYTES_MAX]));
static LINE_BYTES: AtomicUsize = AtomicUsize::new(0);
static THREAD: AtomicI32 = AtomicI32::new(0);

/// Held while a module is loaded: one at a time.
static LOADING: Mutex<()> = Mutex::new(());

/// Watches over the loading thread; what was there before comes back when it is dropped.
pub(crate) struct Watch {
    before: Vec<(c_int, libc::sigaction)>,
    _loading: MutexGuard<'static, ()>,
}

fn thread_id() -> i32 {
    // SAFETY: no arguments, never fails.
    unsafe { libc::gettid() }
}

impl Watch {
    /// Begins to watch this thread.
    pub(crate) fn begin() -> Watch {
        let loading = LOADING.lock();
        THREAD.store(thread_id(), Ordering::Release);
        let before = SIGNALS.iter().filter_map(|&signal| Some((signal, install(signal)?))).collect();
        Watch { before, _loading: loading }
    }

    /// Says what is being done now; a crash from here on is told as one of that.
    pub(crate) fn stage(&self, name: &str, what: &str) {
        let line =
            format!("larder: module {name}: it crashed in {what}; ask whoever built it, or leave it out\n");
        let bytes = line.as_bytes();
        let length = bytes.len().min(LINE_BYTES_MAX);
        LINE_BYTES.store(0, Ordering::Release);
        // SAFETY: this thread alone writes, and its handler reads nothing while the length is 0.
        let place = unsafe { &mut *LINE.0.get() };
        place[..length].copy_from_slice(&bytes[..length]);
        LINE_BYTES.store(length, Ordering::Release);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: puts back what `install` found.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
        LINE_BYTES.store(0, Ordering::Release);
        THREAD.store(0, Ordering::Release);
    }
}

/// Installs the handler; what was there before, if that worked.
fn install(signal: c_int) -> Option<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the new action is a whole one, whose handler does only what a handler may.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = crashed as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        libc::sigemptyset(&mut action.sa_mask);
        (libc::sigaction(signal, &action, before.as_mut_ptr()) == 0).then(|| before.assume_init())
    }
}

/// The handler: says the line and ends the process. On another thread than the loading one, the signal takes its course.
extern "C" fn crashed(signal: c_int, _info: *mut libc::siginfo_t, _context: *mut c_void) {
    let length = LINE_BYTES.load(Ordering::Acquire);
    if THREAD.load(Ordering::Acquire) != thread_id() || length == 0 {
        // SAFETY: the action is the default one again, so this ends the process as if nobody had watched.
        unsafe { libc::raise(signal) };
        return;
    }
    // SAFETY: both functions may be called in a handler; the line is complete, and this is the thread that wrote it.
    unsafe {
        let line: *const u8 = LINE.0.get().cast();
        libc::write(2, line.cast(), length);
        libc::_exit(1);
    }
}
