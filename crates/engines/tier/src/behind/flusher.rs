//! Carrying queued writes to the store.
//!
//! Far from the bounds, writes go down in short bursts with pauses between them ([`pace`](super::pace)): the store leaves
//! the processor to the clients, and writes of one key coalesce. Near a bound, everything dirty is sent whenever answers
//! come. A key is never sent again before its last write was answered, so the order per key is kept whatever the store does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use larder_engine::{Cache, Delete, EngineError, ErrorKind, FillContent, Key, Mode, Payload, Reply, Store};

use super::Behind;
use super::dirty::{Fate, Name, Sent};
use super::held::Held;
use super::ids::RESERVATION;
use super::pace::Pace;
use super::room::Barrier;
use crate::core::{Asker, Core, Outcome, OwnedKey, answer, as_kept};
use crate::counters::count;
use crate::event_loop::Timer;
use crate::thread::Orders;

/// What may be on its way to the store at a time.
const SENT_ITEMS_MAX: usize = 16_384;
const SENT_BYTES_MAX: u64 = 16 << 20;
/// How many entries are taken under one hold of a shard's lock.
const TAKEN_MAX: usize = 16;
/// Pauses after a refusal that is not for the write's own sake, doubling.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// When a write that was refused for its own sake is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// At a close, how many pauses in a row there may be, with nothing taken by the store between them, until the attempt ends.
const CLOSE_FAILURES_MAX: u32 = 8;
/// How often the log is told of refusals.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What could not be brought down at a close.
pub(crate) struct LeftOver {
    pub items: usize,
    pub last_error: Option<String>,
}

/// The task that carries writes down. Lives on the tier's thread.
pub(crate) struct Flusher<C: Cache + ?Sized> {
    core: Arc<Core<C>>,
    asker: Rc<Asker>,
    timer: Timer,
    orders: Arc<Orders>,
    progress: Rc<Progress>,
}

/// What sent writes and reservations tell the flusher.
#[derive(Default)]
struct Progress {
    items: Cell<usize>,
    bytes: Cell<u64>,
    /// No sending before this time.
    paused_until: Cell<Option<Duration>>,
    pause: Cell<Duration>,
    /// Pauses since the store last took anything.
    failures: Cell<u32>,
    retries: RefCell<BTreeMap<(Duration, u64), Name>>,
    retries_made: Cell<u64>,
    reserving: Cell<bool>,
    flushing: Cell<bool>,
    pace: RefCell<Pace>,
    /// The shard whose writes were sent last.
    shard: Cell<usize>,
    logged_at: Cell<Option<Duration>>,
}

impl<C: Cache + ?Sized> Flusher<C> {
    pub fn new(core: Arc<Core<C>>, asker: Asker, timer: Timer, orders: Arc<Orders>) -> Self {
        Flusher { core, asker: Rc::new(asker), timer, orders, progress: Rc::default() }
    }

    fn behind(&self) -> &Behind {
        self.core.behind()
    }

    /// Reserves the first CAS ids; nothing may be written before.
    pub async fn reserve_first(&self) -> Result<(), EngineError> {
        let reserved = answer(self.core.store.reserve_ids(&self.context(), RESERVATION)).await;
        let ids = reserved.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => EngineError::new(
                ErrorKind::BadArgument,
                format!(
                    "write=behind is not possible above {}: it cannot reserve CAS ids; use write=through",
                    self.core.store.describe().name
                ),
            ),
            _ => error,
        })?;
        self.behind().ids.add(ids);
        Ok(())
    }

    fn context(&self) -> larder_engine::Context<'_> {
        self.asker.context(self.core.now())
    }

    /// Works until the tier is closed. Then what is left, if the store refuses it.
    pub async fn run(self) -> LeftOver {
        let (mut ending, mut closing) = (false, false);
        loop {
            let now = self.timer.elapsed();
            self.behind().tick.store(self.behind().tick_of(now), Ordering::Relaxed);
            if self.orders.abandon() {
                return self.left_over();
            }
            if (self.orders.stop() && !ending) || (self.orders.close() && !closing) {
                (ending, closing) = (true, self.orders.close());
                self.begin_end();
            }
            self.flush_if_quiet();
            self.retry_refused(now);
            self.reserve_if_low();
            let age = self.behind().oldest_age(now);
            let urgency = if ending { 1.0 } else { self.behind().urgency(age) };
            self.send_dirty(now, urgency);
            let deadline = self.admit_writers(now, age);
            if ending && self.is_finished() {
                return self.left_over();
            }
            self.rest(now, deadline).await;
        }
    }

    fn left_over(&self) -> LeftOver {
        LeftOver {
            items: self.behind().dirty.len(),
            last_error: self.behind().trouble.last_error.lock().clone(),
        }
    }

    /// Gives everything one more chance, at once.
    fn begin_end(&self) {
        self.progress.failures.set(0);
        self.progress.pause.set(PAUSE_MIN);
        self.progress.paused_until.set(None);
        let retries = self.progress.retries.take();
        for name in retries.values() {
            self.behind().dirty.lock(name).retry(name);
        }
    }

    /// Towards the end: whether nothing is left, or at a close the store takes none of what is left.
    fn is_finished(&self) -> bool {
        if self.progress.items.get() != 0 || self.progress.flushing.get() {
            return false;
        }
        match self.orders.drain() {
            true => self.behind().dirty.len() == 0,
            false => self.has_given_up() || !self.behind().dirty.any_ready(),
        }
    }

    /// At a close: whether nothing more is sent, because the store takes nothing. Counted in pauses, for with a store that
    /// takes its time to fail something is always on its way; should that succeed after all, the rest is tried again.
    fn has_given_up(&self) -> bool {
        self.orders.close() && self.progress.failures.get() >= CLOSE_FAILURES_MAX
    }

    /// Carries out a flush when nothing is on its way; nothing is sent until it has ended.
    fn flush_if_quiet(&self) {
        if self.progress.flushing.get() || self.behind().flushes.lock().is_empty() {
            return;
        }
        if self.progress.items.get() != 0 {
            return;
        }
        let requests = std::mem::take(&mut *self.behind().flushes.lock());
        self.progress.flushing.set(true);
        let (core, asker, progress) = (self.core.clone(), self.asker.clone(), self.progress.clone());
        self.asker.worker.spawn(async move {
            let behind = core.behind();
            for request in requests {
                let flushed = core.flush_queued(behind, &asker, request.prefix.as_deref()).await;
                request.completer.complete(flushed);
            }
            progress.flushing.set(false);
            behind.ring();
        });
    }

    fn retry_refused(&self, now: Duration) {
        let mut retries = self.progress.retries.borrow_mut();
        while let Some(first) = retries.first_entry().filter(|first| first.key().0 <= now) {
            let name = first.remove();
            self.behind().dirty.lock(&name).retry(&name);
        }
    }

    fn reserve_if_low(&self) {
        if !self.behind().ids.wants_more() || self.progress.reserving.replace(true) {
            return;
        }
        let (core, asker) = (self.core.clone(), self.asker.clone());
        let (progress, timer) = (self.progress.clone(), self.timer.clone());
        self.asker.worker.spawn(async move {
            let reply = core.store.reserve_ids(&asker.context(core.now()), RESERVATION);
            match answer(reply).await {
                Ok(ids) => core.behind().ids.add(ids),
                Err(error) => {
                    core.behind().note_error(&error);
                    tracing::warn!(stack = %core.options.name, %error, "the store did not reserve CAS ids; trying again");
                    timer.sleep(PAUSE_MAX.min(core.behind().options.wait)).await;
                }
            }
            progress.reserving.set(false);
            core.behind().ring();
        });
    }

    /// Sends what is dirty, as much as is due and the store's queue should hold.
    fn send_dirty(&self, now: Duration, urgency: f64) {
        let waits_for_flush = self.progress.flushing.get() || !self.behind().flushes.lock().is_empty();
        let pauses = self.progress.paused_until.get().is_some_and(|until| now < until);
        if waits_for_flush || pauses || self.has_given_up() || self.progress.bytes.get() > SENT_BYTES_MAX / 2
        {
            return;
        }
        self.progress.paused_until.set(None);
        let on_their_way = self.progress.items.get();
        let due = self.progress.pace.borrow_mut().due(now, urgency, on_their_way);
        let items_max = due.saturating_add(on_their_way).min(SENT_ITEMS_MAX);
        self.send_from_shards(items_max);
        let sent = self.progress.items.get() - on_their_way;
        self.progress.pace.borrow_mut().sent(now, sent);
    }

    /// Goes on where it ended the last time, so that each shard gets its turn.
    fn send_from_shards(&self, items_max: usize) {
        let shards = self.behind().dirty.shards();
        let first = self.progress.shard.get();
        let mut batch = Vec::new();
        for place in (0..shards.len()).map(|step| (first + step) % shards.len()) {
            self.progress.shard.set(place);
            loop {
                let items_left = items_max.saturating_sub(self.progress.items.get());
                let bytes_left = SENT_BYTES_MAX.saturating_sub(self.progress.bytes.get());
                if items_left == 0 || bytes_left == 0 {
                    return;
                }
                shards[place].lock().take(items_left.min(TAKEN_MAX), bytes_left, &mut batch);
                if batch.is_empty() {
                    break;
                }
                for sent in batch.drain(..) {
                    self.progress.items.set(self.progress.items.get() + 1);
                    self.progress.bytes.set(self.progress.bytes.get() + sent.bytes);
                    self.send(sent);
                }
            }
        }
    }

    fn send(&self, sent: Sent) {
        let key = OwnedKey::sent(&sent.name, sent.key, sent.prefix_length);
        let core = &self.core;
        let writing = core.traffic.write(key.name());
        let lease = core.lease(&key);
        let name = sent.name;
        // A flush has fallen due since the write: the item has been gone since then.
        let flushed = core.waiting_flushes.crossed(&name, sent.written, core.now());
        let item = sent.item.filter(|_| !flushed);
        let reply = self.ask(key.key(), item.as_ref());
        let (core, asker) = (core.clone(), self.asker.clone());
        let (progress, timer) = (self.progress.clone(), self.timer.clone());
        let (written, bytes) = (sent.written, sent.bytes);
        self.asker.worker.spawn(async move {
            let answer = reply.finish().await;
            let outcome = match &answer {
                Ok(version) => match &item {
                    Some(item) => Outcome::Wrote(as_kept(&item.item(), None), *version),
                    None => Outcome::Wrote(FillContent::Absent, *version),
                },
                Err(error) => Outcome::of_error(error),
            };
            let missed_flush = item.is_some() && core.waiting_flushes.crossed(&name, written, core.now());
            let told = core.conclude(&asker, &key, writing, lease, outcome).await;
            let fate = match answer.and(told) {
                Ok(()) if missed_flush => Fate::Flushed,
                Ok(()) => Fate::Done,
                Err(error) => progress.failed(&core, &name, &error, timer.elapsed()),
            };
            if matches!(fate, Fate::Done | Fate::Flushed) {
                progress.succeeded();
            }
            let behind = core.behind();
            behind.dirty.lock(&name).finish(&name, fate, &behind.room);
            progress.arrived(bytes);
            behind.ring();
        });
    }

    fn ask(&self, key: Key<'_>, item: Option<&Held>) -> Asked {
        let context = self.context();
        let Some(item) = item else {
            return Asked::Delete(self.core.store.delete(&context, key, &Delete::default()));
        };
        let store = Store {
            mode: Mode::Set,
            new_cas: Some(item.cas),
            stale: item.stale,
            token_taken: item.token_taken,
            ..Store::set(key, item.flags, item.expiry, Payload::Owned(item.value.to_bytes()))
        };
        Asked::Store(self.core.store.store(&context, store))
    }

    /// Lets waiting writers in or sends them away. When to look again at the latest.
    fn admit_writers(&self, now: Duration, age: Duration) -> Option<Duration> {
        let behind = self.behind();
        let barrier = if self.progress.flushing.get() {
            Some(Barrier::Flush)
        } else if age > behind.options.dirty_age {
            Some(Barrier::Age)
        } else if !behind.ids.any() {
            Some(Barrier::Ids)
        } else {
            None
        };
        behind.room.admit(barrier, now)
    }

    /// Sleeps until something happens or something is due.
    async fn rest(&self, now: Duration, deadline: Option<Duration>) {
        let behind = self.behind();
        let busy = self.progress.items.get() != 0 || behind.room.bytes() != 0 || deadline.is_some();
        let tick = busy.then(|| now + behind.tick_length);
        let pause = self.progress.paused_until.get().filter(|until| *until > now);
        let retry = self.progress.retries.borrow().first_key_value().map(|((at, _), _)| *at);
        let next_burst =
            self.progress.pace.borrow().next_burst().filter(|at| *at > now && behind.room.bytes() != 0);
        let at = [tick, deadline, pause, retry, next_burst].into_iter().flatten().min();
        // Otherwise an answer, the end of a flush or of a pause wakes this task, and it sees what is dirty then.
        let waits = pause.is_some() || next_burst.is_some();
        let idle = self.progress.items.get() == 0 && !waits && !self.progress.flushing.get();
        if idle {
            behind.idle.store(true, Ordering::Release);
            if behind.dirty.any_ready() {
                behind.idle.store(false, Ordering::Release);
                return;
            }
        }
        let mut alarm = None;
        poll_fn(|task| {
            if behind.bell.heard(task.waker()) || at.is_some_and(|at| self.timer.elapsed() >= at) {
                return Poll::Ready(());
            }
            alarm = at.map(|at| self.timer.wake_at(at, task.waker()));
            Poll::Pending
        })
        .await;
        drop(alarm);
        behind.idle.store(false, Ordering::Release);
    }
}

impl Progress {
    fn succeeded(&self) {
        self.failures.set(0);
        self.pause.set(PAUSE_MIN);
    }

    /// An answer came for a write of so many bytes.
    fn arrived(&self, bytes: u64) {
        self.items.set(self.items.get() - 1);
        self.bytes.set(self.bytes.get() - bytes);
    }

    /// Notes a refusal and says what becomes of the write.
    fn failed<C: Cache + ?Sized>(
        &self,
        core: &Core<C>,
        name: &Name,
        error: &EngineError,
        now: Duration,
    ) -> Fate {
        let behind = core.behind();
        behind.note_error(error);
        let fate = if is_for_its_own_sake(error.kind()) {
            count(&behind.trouble.refused);
            let number = self.retries_made.get();
            self.retries_made.set(number + 1);
            self.retries.borrow_mut().insert((now + RETRY_AFTER, number), name.clone());
            Fate::Refused
        } else {
            count(&behind.trouble.retries);
            if self.paused_until.get().is_none() {
                let pause = self.pause.get().max(PAUSE_MIN);
                self.paused_until.set(Some(now + pause));
                self.pause.set((pause * 2).min(PAUSE_MAX));
                self.failures.set(self.failures.get().saturating_add(1));
            }
            Fate::Again
        };
        if self.logged_at.get().is_none_or(|at| now >= at + LOG_EVERY) {
            self.logged_at.set(Some(now));
            let queued_bytes = behind.room.bytes();
            tracing::error!(
                stack = %core.options.name,
                %error,
                queued_bytes,
                "the store refuses queued writes; they are kept and tried again"
            );
        }
        fate
    }
}

/// Whether another write of another key may fare better.
fn is_for_its_own_sake(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TooLarge
            | ErrorKind::BadArgument
            | ErrorKind::NotNumeric
            | ErrorKind::NotPermitted
            | ErrorKind::Unsupported
            | ErrorKind::Exists
            | ErrorKind::NotStored
            | ErrorKind::NotFound
            | ErrorKind::Foreign(_)
    )
}

/// What the store was asked for one entry.
enum Asked {
    Store(Reply<larder_engine::Stored>),
    Delete(Reply<larder_engine::Deleted>),
}

impl Asked {
    /// The change's place in the store's order; 0 if nothing had to be changed.
    async fn finish(self) -> Result<u64, EngineError> {
        match self {
            Asked::Store(reply) => Ok(answer(reply).await?.version),
            Asked::Delete(reply) => match answer(reply).await {
                Ok(deleted) => Ok(deleted.version),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
                Err(error) => Err(error),
            },
        }
    }
}
