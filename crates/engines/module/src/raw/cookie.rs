//! Cookies: what a C engine knows a connection by.
//!
//! An engine may keep a cookie and name it long after its connection is gone, from any thread. So cookies are never freed:
//! they go back to a pool and come out again for another connection, and every pointer that comes from C is looked at
//! before it is used. A stale one is then recognised, or at worst takes one living cookie for another.

use std::collections::VecDeque;
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Waker};

use larder_engine::Connection;
use larder_engine::completion::Mailbox;
use larder_engine::engine::RawResponse;
use parking_lot::Mutex;

use super::layout::{Code, CookiePointer, ItemPointer};
use super::module::Module;

/// In the first word of every cookie.
const MAGIC: u64 = 0x6c61_7264_6572_c00e;

/// No call under way.
const IDLE: u64 = 0;
/// The engine is in a function for this cookie.
const IN_CALL: u64 = 1;
/// The same, and a notification came before the function returned. Carries its status.
const NOTED: u64 = 2;
/// The function answered that the answer comes later.
const BLOCKED: u64 = 3;
/// It has come: carries the status.
const WOKEN: u64 = 4;

/// Where the status is in the state's word.
const STATUS_SHIFT: u32 = 32;

fn with_status(state: u64, status: Code) -> u64 {
    state | u64::from(status.0 as u32) << STATUS_SHIFT
}

fn status_of(word: u64) -> Code {
    Code((word >> STATUS_SHIFT) as u32 as i32)
}

fn kind_of(word: u64) -> u64 {
    word & 0xff
}

/// How an attempt to call the engine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// With this.
    Done(Code),
    /// The answer comes later.
    Blocked,
    /// The engine goes on saying "later" and "now" at once: it is asked again when others have had their turn.
    Again,
}

/// A connection as an engine sees it. Lives for ever; its fields but the atomic ones change hands with it.
#[repr(C, align(64))]
pub(crate) struct Cookie {
    magic: AtomicU64,
    state: AtomicU64,
    /// What the engine hangs on it.
    private: AtomicPtr<c_void>,
    /// Reservations times two, plus one once the connection is gone.
    hold: AtomicU64,
    socket: AtomicI32,
    /// The thread that makes all its calls, by its [`thread_mark`].
    thread: AtomicUsize,
    /// Whether an engine may be called for it.
    is_open: AtomicBool,
    /// Operations that have taken a number, and the number of the one whose turn it is.
    numbers: AtomicU64,
    turn: AtomicU64,
    home: Mutex<Home>,
    /// What the call under way has said beside its answer.
    said: Mutex<Said>,
}

/// Where a cookie belongs.
#[derive(Default)]
struct Home {
    module: Option<&'static Module>,
    connection: Weak<Connection>,
    mailbox: Option<Arc<Mailbox>>,
    /// Whoever waits for a notification.
    waker: Option<Waker>,
    /// Whoever waits for their turn, by number.
    waiting: VecDeque<(u64, Waker)>,
    /// References that could not be given back at once, because a call was under way.
    unreleased: Vec<usize>,
    /// Names given to the engine, which may keep the pointers until the cookie goes.
    names: Vec<CString>,
}

/// Lines of statistics or responses, as the engine hands them over.
#[derive(Default)]
pub(crate) struct Said {
    /// Name and value.
    pub(crate) lines: Vec<(Vec<u8>, Vec<u8>)>,
    /// Responses to a raw command.
    pub(crate) responses: Vec<RawResponse>,
    bytes: usize,
}

/// An engine that says more than this for one command is not listened to any further, in bytes.
const SAID_BYTES_MAX: usize = 64 << 20;

impl Said {
    /// Whether there is room for so much more.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= SAID_BYTES_MAX
    }
}

/// A number that no other living thread has: where something of its own is.
fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

/// Cookies that belong to nobody.
static POOL: Mutex<Vec<&'static Cookie>> = Mutex::new(Vec::new());

impl Cookie {
    /// A cookie for `connection`, whose worker takes its notifications from `mailbox`.
    pub(crate) fn take(
        module: &'static Module,
        connection: &Arc<Connection>,
        mailbox: &Arc<Mailbox>,
    ) -> &'static Cookie {
        let spare = POOL.lock().pop();
        let cookie = spare.unwrap_or_else(|| Box::leak(Box::new(Cookie::new())));
        *cookie.home.lock() = Home {
            module: Some(module),
            connection: Arc::downgrade(connection),
            mailbox: Some(mailbox.clone()),
            ..Home::default()
        };
        cookie.socket.store(connection.socket, Ordering::Relaxed);
        cookie.thread.store(thread_mark(), Ordering::Relaxed);
        cookie.is_open.store(true, Ordering::Release);
        cookie
    }

    fn new() -> Cookie {
        Cookie {
            magic: AtomicU64::new(MAGIC),
            state: AtomicU64::new(IDLE),
            private: AtomicPtr::default(),
            hold: AtomicU64::new(0),
            socket: AtomicI32::new(-1),
            thread: AtomicUsize::new(0),
            is_open: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            home: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// Gives it back to the pool. Nobody of ours may know it any more.
    fn recycle(&'static self) {
        self.is_open.store(false, Ordering::Release);
        *self.home.lock() = Home::default();
        *self.said.lock() = Said::default();
        self.private.store(std::ptr::null_mut(), Ordering::Release);
        self.socket.store(-1, Ordering::Relaxed);
        self.hold.store(0, Ordering::Release);
        POOL.lock().push(self);
    }

    /// As it is given to C.
    #[inline]
    pub(crate) fn pointer(&'static self) -> CookiePointer {
        std::ptr::from_ref(self).cast()
    }

    /// From what C gives; `None` if it is none of ours, or nobody's at the moment.
    pub(crate) fn from_pointer(pointer: CookiePointer) -> Option<&'static Cookie> {
        let pointer = pointer.cast::<Cookie>();
        if pointer.is_null() || !pointer.is_aligned() {
            return None;
        }
        // SAFETY: engines pass back the pointers they were given, and cookies are never freed; that is their side of the
        // interface. A word that is no cookie's first is not taken for one.
        let is_cookie = unsafe { (*pointer).magic.load(Ordering::Relaxed) } == MAGIC;
        // SAFETY: the word above says that this is a cookie; cookies live for ever and are only shared.
        let cookie = is_cookie.then(|| unsafe { &*pointer })?;
        cookie.is_open.load(Ordering::Acquire).then_some(cookie)
    }

    /// Its engine.
    pub(crate) fn module(&self) -> Option<&'static Module> {
        self.home.lock().module
    }

    /// The worker whose thread makes all its calls.
    pub(crate) fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.home.lock().mailbox.clone()
    }

    /// Its connection, while that lasts.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        self.home.lock().connection.upgrade()
    }

    /// The descriptor of its socket.
    pub(crate) fn socket(&self) -> i32 {
        self.socket.load(Ordering::Relaxed)
    }

    /// What the engine hangs on it.
    pub(crate) fn private(&self) -> &AtomicPtr<c_void> {
        &self.private
    }

    /// What the call under way says.
    pub(crate) fn said(&self) -> parking_lot::MutexGuard<'_, Said> {
        self.said.lock()
    }

    /// Takes what the last call said.
    pub(crate) fn take_said(&self) -> Said {
        std::mem::take(&mut *self.said.lock())
    }

    /// Keeps a name for as long as the cookie is its connection's; where it is.
    pub(crate) fn keep_name(&self, name: &str) -> *const std::ffi::c_char {
        let Ok(name) = CString::new(name) else { return std::ptr::null() };
        let names = &mut self.home.lock().names;
        match names.iter().position(|known| *known == name) {
            Some(at) => names[at].as_ptr(),
            None => {
                names.push(name);
                names.last().map_or(std::ptr::null(), |name| name.as_ptr())
            }
        }
    }
}

/// Calls and notifications.
impl Cookie {
    /// Calls the engine; at once again if it was notified before it returned, up to a bound.
    #[inline]
    pub(crate) fn attempt(&self, mut call: impl FnMut() -> Code) -> Attempt {
        /// An engine that notifies within every call for so long gives others their turn in between.
        const AGAIN_MAX: u32 = 64;
        for _ in 0..AGAIN_MAX {
            self.state.store(IN_CALL, Ordering::Release);
            let code = call();
            if code != Code::EWOULDBLOCK {
                self.state.store(IDLE, Ordering::Release);
                return Attempt::Done(code);
            }
            match self.state.compare_exchange(IN_CALL, BLOCKED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Attempt::Blocked,
                Err(word) => {
                    let status = status_of(word);
                    if status != Code::SUCCESS {
                        self.state.store(IDLE, Ordering::Release);
                        return Attempt::Done(status);
                    }
                }
            }
        }
        self.state.store(IDLE, Ordering::Release);
        Attempt::Again
    }

    /// The status of the notification that ends a blocked call; until then `task` is woken by it.
    pub(crate) fn poll_woken(&self, task: &mut TaskContext<'_>) -> Poll<Code> {
        {
            let mut home = self.home.lock();
            match &mut home.waker {
                Some(waker) => waker.clone_from(task.waker()),
                None => home.waker = Some(task.waker().clone()),
            }
        }
        let word = self.state.load(Ordering::Acquire);
        if kind_of(word) != WOKEN {
            return Poll::Pending;
        }
        self.home.lock().waker = None;
        self.state.store(IDLE, Ordering::Release);
        Poll::Ready(status_of(word))
    }

    /// An engine says that what it was asked is done. Any thread; with locks of the engine held. Whether anybody had asked.
    pub(crate) fn notify(&self, status: Code) -> bool {
        let mut word = self.state.load(Ordering::Acquire);
        loop {
            let next = match kind_of(word) {
                IN_CALL | NOTED => with_status(NOTED, status),
                BLOCKED | WOKEN => with_status(WOKEN, status),
                _ => return false,
            };
            match self.state.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if kind_of(word) == BLOCKED {
            let (waker, mailbox) = {
                let mut home = self.home.lock();
                (home.waker.take(), home.mailbox.clone())
            };
            if let (Some(waker), Some(mailbox)) = (waker, mailbox) {
                mailbox.post(waker);
            }
        }
        true
    }

    /// Whether the engine is in a function for it, called from this thread.
    pub(crate) fn is_in_call(&self) -> bool {
        let is_own_thread = self.thread.load(Ordering::Relaxed) == thread_mark();
        is_own_thread && matches!(kind_of(self.state.load(Ordering::Acquire)), IN_CALL | NOTED)
    }

    /// Whether the engine may be called for it at this moment, by whoever has the turn.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Relaxed) == IDLE
    }
}

/// Operations of one connection, one after the other. All on its worker.
impl Cookie {
    /// Whether no operation is under way.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.numbers.load(Ordering::Relaxed) == self.turn.load(Ordering::Relaxed)
    }

    /// A place at the end of the line.
    pub(crate) fn take_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until `number` is at the head of the line.
    pub(crate) fn poll_turn(&self, number: u64, task: &mut TaskContext<'_>) -> Poll<()> {
        if self.turn.load(Ordering::Relaxed) == number {
            return Poll::Ready(());
        }
        let mut home = self.home.lock();
        match home.waiting.iter_mut().find(|(other, _)| *other == number) {
            Some((_, waker)) => waker.clone_from(task.waker()),
            None => home.waiting.push_back((number, task.waker().clone())),
        }
        Poll::Pending
    }

    /// The operation at the head of the line is done.
    pub(crate) fn end_turn(&'static self) {
        if !self.is_idle() {
            // Dropped in the middle of a call, with the worker itself: nothing may be called for this cookie any more.
            return;
        }
        self.release_late();
        let turn = self.turn.load(Ordering::Relaxed) + 1;
        self.turn.store(turn, Ordering::Relaxed);
        let next = {
            let mut home = self.home.lock();
            let at = home.waiting.iter().position(|(number, _)| *number == turn);
            at.and_then(|at| home.waiting.remove(at))
        };
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }

    /// Gives a reference back once no call is under way.
    pub(crate) fn release_later(&self, item: ItemPointer) {
        self.home.lock().unreleased.push(item as usize);
    }

    /// Gives back the references that had to wait.
    pub(crate) fn release_late(&'static self) {
        let (module, items) = {
            let mut home = self.home.lock();
            (home.module, std::mem::take(&mut home.unreleased))
        };
        if let Some(module) = module {
            items.into_iter().for_each(|item| module.release(self, item as ItemPointer));
        }
    }
}

/// Reservations.
impl Cookie {
    /// Keeps the cookie beyond its connection, until it is released as often.
    pub(crate) fn reserve(&self) {
        self.hold.fetch_add(2, Ordering::AcqRel);
    }

    /// Gives back a reservation. Whether there was one, and whether it was the last thing that kept the cookie.
    pub(crate) fn unreserve(&self) -> Option<bool> {
        let taken =
            self.hold.fetch_update(Ordering::AcqRel, Ordering::Acquire, |hold| (hold >= 2).then(|| hold - 2));
        taken.ok().map(|before| before == 3)
    }

    /// The connection is gone: recycles the cookie, unless it is reserved.
    pub(crate) fn let_go(&'static self) {
        if self.hold.fetch_or(1, Ordering::AcqRel) == 0 {
            self.recycle();
        }
    }

    /// The last reservation is gone, long after the connection.
    pub(crate) fn let_go_finally(&'static self) {
        self.recycle();
    }
}
