//! A connection's cookie: from its first call to its end, and one operation after the other in between.
//!
//! A C engine knows a connection by its cookie, sees no two calls for it at once, and sees all of them on the thread of
//! the connection's worker. Operations therefore stand in line: each takes a number when it is asked for and begins once
//! its number is due. An operation that was left by its caller stays in line and runs to its end, and so does the farewell.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use larder_engine::{Context, EngineError, Operation, Reply, Worker};
use parking_lot::{Condvar, Mutex};

use crate::raw::cookie::{Attempt, Cookie};
use crate::raw::layout::{AuthData, Code, Event};
use crate::raw::module::Module;

/// What a connection's slot holds: its cookie of each module that serves it.
struct Cookies(Vec<(&'static Module, &'static Cookie)>);

impl Drop for Cookies {
    fn drop(&mut self) {
        // The connection ended while none of these modules was in service any more.
        for (_, cookie) in self.0.drain(..) {
            on_worker(cookie, close_now);
        }
    }
}

/// Counts what is under way, so that nothing is when the engine is destroyed.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    /// Operations that were not answered at once.
    pending: usize,
    /// Cookies of living connections, by address.
    open: HashMap<usize, &'static Cookie>,
}

impl Tally {
    fn add(&self, cookie: &'static Cookie) {
        self.counts.lock().open.insert(cookie.pointer() as usize, cookie);
    }

    fn remove(&self, cookie: &'static Cookie) {
        self.counts.lock().open.remove(&(cookie.pointer() as usize));
        self.changed.notify_all();
    }

    fn is_open(&self, cookie: &'static Cookie) -> bool {
        self.counts.lock().open.contains_key(&(cookie.pointer() as usize))
    }

    fn begin(&'static self) -> Pending {
        self.counts.lock().pending += 1;
        Pending(self)
    }

    /// Operations under way, and cookies in use.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let counts = self.counts.lock();
        (counts.pending, counts.open.len())
    }

    /// Waits until `done`; whether it came to that in time.
    fn wait(&self, patience: Duration, done: impl Fn(&Counts) -> bool) -> bool {
        let mut counts = self.counts.lock();
        let until = std::time::Instant::now() + patience;
        while !done(&counts) {
            if self.changed.wait_until(&mut counts, until).timed_out() {
                return done(&counts);
            }
        }
        true
    }
}

/// An operation under way.
struct Pending(&'static Tally);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.counts.lock().pending -= 1;
        self.0.changed.notify_all();
    }
}

thread_local! {
    /// The cookie used last on this thread, with the ids of its connection and module.
    static LAST: Cell<Option<(u64, u64, &'static Cookie)>> = const { Cell::new(None) };
}

/// The cookie of the connection that `context` names; made, and made known to the engine, if it has none yet.
#[inline]
pub(crate) fn cookie(module: &'static Module, context: &Context<'_>) -> &'static Cookie {
    if let Some((connection, module_id, cookie)) = LAST.get()
        && connection == context.connection.id
        && module_id == module.id
    {
        return cookie;
    }
    switch(module, context)
}

fn switch(module: &'static Module, context: &Context<'_>) -> &'static Cookie {
    let (cookie, is_new) = {
        let mut slot = context.connection.slot.lock();
        let cookies = slot.get_or_insert_with(|| Box::new(Cookies(Vec::new())));
        let cookies = cookies.downcast_mut::<Cookies>().expect("only modules use the slots of connections");
        match cookies.0.iter().find(|(known, _)| known.id == module.id) {
            Some((_, cookie)) => (*cookie, false),
            None => {
                let cookie = Cookie::take(module, context.connection, context.worker.mailbox());
                cookies.0.push((module, cookie));
                (cookie, true)
            }
        }
    };
    LAST.set(Some((context.connection.id, module.id, cookie)));
    if is_new {
        module.tally.add(cookie);
        module.tell(Event::Connect as i32, Some(cookie), std::ptr::null());
        tell_user(module, cookie);
    }
    reset_if_wanted(module, cookie);
    if module.hears(Event::SwitchConnection) {
        module.tell(Event::SwitchConnection as i32, Some(cookie), cookie.pointer());
    }
    cookie
}

/// Resets the engine's counters if somebody asked for it who had no cookie at hand.
fn reset_if_wanted(module: &'static Module, cookie: &'static Cookie) {
    if module.reset_wanted.load(Ordering::Relaxed)
        && cookie.is_free()
        && module.reset_wanted.swap(false, Ordering::Relaxed)
    {
        module.reset_stats(cookie);
    }
}

/// Lets the engine's counters be reset by the next cookie that comes along, on this thread the very next.
pub(crate) fn want_reset(module: &'static Module) {
    module.reset_wanted.store(true, Ordering::Relaxed);
    LAST.set(None);
}

/// Tells the engine who the client is, if that is known.
fn tell_user(module: &'static Module, cookie: &'static Cookie) {
    let user = cookie.connection().and_then(|connection| connection.user.lock().clone());
    if let Some(user) = user.filter(|_| module.hears(Event::Auth)) {
        let data = AuthData { username: cookie.keep_name(&user), config: cookie.keep_name("") };
        module.tell(Event::Auth as i32, Some(cookie), (&raw const data).cast());
    }
}

/// The connection is over: what it still holds is given back, then the engine is told.
pub(crate) fn close(module: &'static Module, context: &Context<'_>) {
    LAST.set(None);
    if let Some(cookie) = take_from_slot(module, &context.connection.slot) {
        close_in_line(cookie, Some(context.worker));
    }
}

fn take_from_slot(
    module: &'static Module,
    slot: &Mutex<Option<Box<dyn std::any::Any + Send>>>,
) -> Option<&'static Cookie> {
    let mut slot = slot.lock();
    let cookies = slot.as_mut()?.downcast_mut::<Cookies>()?;
    let at = cookies.0.iter().position(|(known, _)| known.id == module.id)?;
    Some(cookies.0.swap_remove(at).1)
}

/// Closes once nothing is under way, now if possible.
fn close_in_line(cookie: &'static Cookie, worker: Option<&Worker>) {
    match worker {
        Some(worker) if !cookie.is_free() => {
            let number = cookie.take_number();
            worker.spawn(async move {
                drop(turn(cookie, number).await);
                close_now(cookie);
            });
        }
        _ => close_now(cookie),
    }
}

/// Says farewell once, unless an operation is under way. On the cookie's worker.
fn close_now(cookie: &'static Cookie) {
    let Some(module) = cookie.module().filter(|_| cookie.is_free()) else { return };
    cookie.release_late();
    // Told before anybody who waits for the last farewell can go on to destroy the engine.
    if module.tally.is_open(cookie) {
        module.tell(Event::Disconnect as i32, Some(cookie), std::ptr::null());
        module.tally.remove(cookie);
        cookie.let_go();
    }
}

/// The last reservation of a cookie whose connection is gone was given back, on whatever thread: its worker tells the
/// engine once more.
pub(crate) fn end_reserved(cookie: &'static Cookie) {
    on_worker(cookie, |cookie| {
        if let Some(module) = cookie.module() {
            module.tell(Event::Disconnect as i32, Some(cookie), std::ptr::null());
        }
        cookie.let_go_finally();
    });
}

/// Something to be done on a cookie's worker. It is woken there, like whatever waits for an engine.
struct Chore {
    cookie: &'static Cookie,
    work: fn(&'static Cookie),
}

impl Wake for Chore {
    fn wake(self: Arc<Self>) {
        (self.work)(self.cookie);
    }
}

fn on_worker(cookie: &'static Cookie, work: fn(&'static Cookie)) {
    if let Some(mailbox) = cookie.mailbox() {
        mailbox.post(Waker::from(Arc::new(Chore { cookie, work })));
    }
}

/// How long an engine may take to answer what is under way before it is destroyed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How long workers may take to say farewell; those that are gone never do.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// Ends everything that goes on with a module, from a thread that may block.
///
/// # Errors
/// How many operations were not answered in time: then the engine must not be destroyed.
pub(crate) fn finish(module: &'static Module) -> Result<(), usize> {
    if !module.tally.wait(ANSWER_PATIENCE, |counts| counts.pending == 0) {
        return Err(module.tally.counts().0);
    }
    let open: Vec<_> = module.tally.counts.lock().open.values().copied().collect();
    for cookie in open {
        on_worker(cookie, |cookie| {
            let Some(module) = cookie.module() else { return };
            LAST.set(None);
            if let Some(connection) = cookie.connection() {
                take_from_slot(module, &connection.slot);
            }
            close_now(cookie);
        });
    }
    module.tally.wait(FAREWELL_PATIENCE, |counts| counts.open.is_empty());
    Ok(())
}

/// The head of a cookie's line; the next operation follows when it is dropped.
pub(crate) struct Turn(&'static Cookie);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

/// Waits in line.
pub(crate) async fn turn(cookie: &'static Cookie, number: u64) -> Turn {
    poll_fn(|task| cookie.poll_turn(number, task)).await;
    Turn(cookie)
}

/// Calls a function of the engine until it answers. `is_blocked`: it was called before, and answers later.
pub(crate) async fn call(
    module: &'static Module,
    cookie: &'static Cookie,
    mut is_blocked: bool,
    mut function: impl FnMut() -> Code,
) -> Code {
    loop {
        if !std::mem::take(&mut is_blocked) {
            match cookie.attempt(&mut function) {
                Attempt::Done(code) => return code,
                Attempt::Again => {
                    yield_once().await;
                    continue;
                }
                Attempt::Blocked => {}
            }
        }
        module.count_blocked();
        let status = poll_fn(|task| cookie.poll_woken(task)).await;
        if status != Code::SUCCESS {
            return status;
        }
    }
}

/// Lets others on this worker have their turn.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|task| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Begins work; answers now if nothing in it has to wait. The work is finished also if its caller leaves.
pub(crate) fn begin<T: 'static>(
    module: &'static Module,
    context: &Context<'_>,
    work: impl Future<Output = Result<T, EngineError>> + 'static,
) -> Reply<T> {
    let mut work: Pin<Box<dyn Future<Output = Result<T, EngineError>>>> = Box::pin(work);
    // Whoever gets the operation polls it, and then its waker is known; what comes before that is found by that poll.
    match work.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Reply::Ready(answer),
        Poll::Pending => {
            let pending = module.tally.begin();
            Reply::Pending(Operation::driven(context.worker, async move {
                let answer = work.await;
                drop(pending);
                answer
            }))
        }
    }
}
