//! Reads: the cache, then one read of the store for all who want the key.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use larder_engine::reply::KeepItem;
use larder_engine::semantics::{self, Current};
use larder_engine::{
    Cache, Context, EngineError, FillContent, Found, Get, GetReply, Item, Key, Lease, Lookup, ManySink,
    Operation, Reply, Sink, Token,
};

use crate::core::{Asker, Core, Outcome, OwnedKey, answer, as_kept};
use crate::counters::count;
use crate::traffic::{Answer, Leader, Role};

/// What a look-up in the cache came to.
enum Cached {
    /// The answer is there.
    Answered(GetReply),
    /// The store must be asked.
    Missed(Miss),
}

/// Why the store must be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// The cache knows nothing.
    Unknown,
    /// The cache has a copy to fall back on.
    Overdue,
    /// Only the store may answer this request.
    Refer,
}

/// What the store is asked on behalf of many readers.
fn plain(get: &Get) -> Get {
    Get { bump: get.bump, ..Get::plain() }
}

/// Runs a look-up of the store whose `Ready` answer is kept.
pub(crate) fn kept(reply: GetReply, keep: KeepItem) -> Reply<Option<Item>> {
    match reply {
        Reply::Ready(Ok(None)) => Reply::Ready(Ok(None)),
        Reply::Ready(Ok(Some(_))) => Reply::Ready(Ok(keep.0)),
        Reply::Ready(Err(error)) => Reply::Ready(Err(error)),
        Reply::Pending(operation) => Reply::Pending(operation),
    }
}

impl<C: Cache + ?Sized> Core<C> {
    /// A look-up that changes nothing by itself.
    ///
    /// The hot path. A hit is moved once, from the cache's answer to this one: the moves would cost more than all else.
    #[inline(always)]
    pub fn read(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> GetReply {
        match self.look_up(context, key, get, sink) {
            Reply::Ready(Ok(Lookup::Fresh(found))) => {
                self.counters.hit(context.worker);
                Reply::Ready(Ok(Some(found)))
            }
            other => self.read_not_fresh(context, key, get, other),
        }
    }

    #[inline(always)]
    fn look_up(
        &self,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> Reply<Lookup<Found>, Lookup<Item>> {
        self.with_cached(key, |key| self.cache.lookup(context, key, get, sink))
    }

    #[cold]
    #[inline(never)]
    fn read_not_fresh(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        looked_up: Reply<Lookup<Found>, Lookup<Item>>,
    ) -> GetReply {
        match self.not_fresh(context, key, get, looked_up) {
            Cached::Answered(reply) => reply,
            Cached::Missed(miss) => self.read_store(context, key, get, miss),
        }
    }

    #[cold]
    fn not_fresh(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        looked_up: Reply<Lookup<Found>, Lookup<Item>>,
    ) -> Cached {
        match looked_up {
            Reply::Ready(Ok(Lookup::Fresh(found))) => Cached::Answered(Reply::Ready(Ok(Some(found)))),
            Reply::Ready(Ok(Lookup::Absent)) => {
                count(&self.counters.negative_hits);
                Cached::Answered(Reply::done(None))
            }
            Reply::Ready(Ok(Lookup::Overdue(_))) => Cached::Missed(Miss::Overdue),
            Reply::Ready(Ok(Lookup::Refer)) => Cached::Missed(Miss::Refer),
            Reply::Ready(Ok(Lookup::Unknown)) => Cached::Missed(Miss::Unknown),
            Reply::Ready(Err(error)) => {
                self.cache_failed(&error);
                Cached::Missed(Miss::Unknown)
            }
            Reply::Pending(operation) => {
                Cached::Answered(self.read_behind_lookup(context, key, get, operation))
            }
        }
    }

    fn cache_failed(&self, error: &EngineError) {
        count(&self.counters.cache_errors);
        tracing::warn!(stack = %self.options.name, %error, "the cache failed to look a key up; asking the store");
    }

    /// Goes on when a cache that takes its time has answered.
    fn read_behind_lookup(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        operation: Operation<Lookup<Item>>,
    ) -> GetReply {
        let core = self.clone();
        let asker = Asker::of(context);
        let key = self.owned(key);
        let get = *get;
        Reply::Pending(Operation::driven(context.worker, async move {
            let miss = match operation.await {
                Ok(Lookup::Fresh(item)) => {
                    core.counters.hit(&asker.worker);
                    return Ok(Some(item));
                }
                Ok(Lookup::Absent) => {
                    count(&core.counters.negative_hits);
                    return Ok(None);
                }
                Ok(Lookup::Overdue(_)) => Miss::Overdue,
                Ok(Lookup::Refer) => Miss::Refer,
                Ok(Lookup::Unknown) => Miss::Unknown,
                Err(error) => {
                    core.cache_failed(&error);
                    Miss::Unknown
                }
            };
            let reply = core.read_store(&asker.context(asker.now), key.key(), &get, miss);
            match reply {
                Reply::Pending(operation) => operation.await,
                Reply::Ready(_) => unreachable!("a read of the store is an operation"),
            }
        }))
    }

    /// Asks the store, or waits for one who asks.
    #[cold]
    fn read_store(self: &Arc<Self>, context: &Context<'_>, key: Key<'_>, get: &Get, miss: Miss) -> GetReply {
        count(&self.counters.misses);
        if miss == Miss::Refer || self.is_written_by_others(key) {
            return Reply::Pending(self.get_changing(context, key, get));
        }
        let owned = self.owned(key);
        match self.traffic.join(owned.name(), context.worker) {
            Role::Waits(completion) => self.wait(context, owned, get, completion),
            Role::Leads(leader) => {
                let lease = self.lease(&owned);
                let mut keep = KeepItem::default();
                let reply = self.store.get(context, key, &plain(get), &mut keep);
                let asked = answer(kept(reply, keep));
                self.lead(context, owned, get, Leading { leader, lease, miss }, asked)
            }
        }
    }

    /// Asks the store, with whoever asks too, for a key that the cache does not know.
    pub async fn read_unknown(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
    ) -> Result<Option<Item>, EngineError> {
        match self.read_store(context, key, get, Miss::Unknown) {
            Reply::Pending(operation) => operation.await,
            Reply::Ready(_) => unreachable!("a read of the store is an operation"),
        }
    }

    /// The operation of a reader that joined a flight.
    fn wait(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: OwnedKey,
        get: &Get,
        completion: impl Future<Output = Answer> + 'static,
    ) -> GetReply {
        count(&self.counters.coalesced);
        let core = self.clone();
        let asker = Asker::of(context);
        let get = *get;
        // Not driven: nothing is lost when a waiter leaves.
        Reply::Pending(Operation::waiting(async move {
            let answer = completion.await;
            core.finish_read(&asker, key, &get, answer).await
        }))
    }

    /// The operation of the reader that asks the store for all.
    fn lead(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: OwnedKey,
        get: &Get,
        leading: Leading,
        asked: impl Future<Output = Answer> + 'static,
    ) -> GetReply {
        count(&self.counters.flights);
        let core = self.clone();
        let asker = Asker::of(context);
        let get = *get;
        Reply::Pending(Operation::driven(context.worker, async move {
            let Leading { leader, lease, miss } = leading;
            let mut answer = asked.await;
            match &answer {
                Ok(found) => {
                    let content = match found {
                        Some(item) => as_kept(item, get.bump.then_some(asker.now)),
                        None => FillContent::Absent,
                    };
                    let kept = core.keep(&asker, &key, &leader, lease, content).await;
                    if let Err(error) = kept {
                        answer = Err(error);
                    }
                }
                Err(error) if miss == Miss::Overdue && !error.kind().is_state() => {
                    if let Some(item) = core.overdue_copy(&asker, &key).await {
                        answer = Ok(Some(item));
                    }
                }
                Err(_) => {}
            }
            leader.land(&answer);
            core.finish_read(&asker, key, &get, answer).await
        }))
    }

    async fn keep(
        &self,
        asker: &Asker,
        key: &OwnedKey,
        leader: &Leader,
        lease: Option<Lease>,
        content: FillContent,
    ) -> Result<(), EngineError> {
        if leader.quiet() {
            self.fill(asker, key, lease.as_ref(), content, 0).await
        } else {
            self.forget(asker, key).await
        }
    }

    /// The copy to serve when the store has failed.
    async fn overdue_copy(&self, asker: &Asker, key: &OwnedKey) -> Option<Item> {
        let get = Get { bump: false, ..Get::plain() };
        let mut keep = KeepItem::default();
        let reply = self.cache.get(&asker.context(asker.now), key.cached(), &get, &mut keep);
        let copy = answer(kept(reply, keep)).await.ok().flatten()?;
        count(&self.counters.stale_served);
        Some(copy)
    }

    /// Makes the flight's answer this reader's: its own time, its own claim to a token.
    async fn finish_read(
        self: &Arc<Self>,
        asker: &Asker,
        key: OwnedKey,
        get: &Get,
        answer: Answer,
    ) -> Answer {
        let Some(item) = answer?.filter(|item| !item.found.expiry.is_past(asker.now)) else {
            return Ok(None);
        };
        let current = Current {
            flags: item.found.flags,
            cas: item.found.cas,
            expiry: item.found.expiry,
            stale: item.found.stale,
            token_taken: item.found.token != Token::Free,
            value: &[],
        };
        if !semantics::get_changes(&current, get, asker.now) {
            return Ok(Some(item));
        }
        self.get_changing(&asker.context(asker.now), key.key(), get).await
    }

    /// A look-up that is to change the item.
    #[cold]
    #[inline(never)]
    pub fn get_and_change(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
        sink: &mut dyn Sink,
    ) -> GetReply {
        match &self.behind {
            None => Reply::Pending(self.get_changing(context, key, get)),
            Some(behind) => self.get_behind(behind, context, key, get, sink),
        }
    }

    /// A look-up that changes the item, for those who wait anyhow.
    fn get_changing(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
    ) -> Operation<Option<Item>> {
        let reply = match &self.behind {
            None => self.get_through(context, key, get),
            Some(behind) => self.get_behind_item(behind, context, key, get),
        };
        match reply {
            Reply::Pending(operation) => operation,
            Reply::Ready(answer) => Operation::waiting(async move { answer }),
        }
    }

    /// A look-up that may change the item: the store decides, nobody shares it.
    pub fn get_through(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        get: &Get,
    ) -> Reply<Option<Item>> {
        let now = context.now;
        let bump = get.bump;
        let ask = |store: &dyn larder_engine::Engine| {
            let mut keep = KeepItem::default();
            let reply = store.get(context, key, get, &mut keep);
            kept(reply, keep)
        };
        let has_versions = self.description.versions;
        let outcome = move |item: &Option<Item>| match item {
            None => Outcome::Told,
            Some(_) if !has_versions => Outcome::Changed,
            Some(item) if item.found.version == 0 => Outcome::Read(as_kept(item, bump.then_some(now))),
            Some(item) => Outcome::Wrote(as_kept(item, bump.then_some(now)), item.found.version),
        };
        self.through(context, key, ask, outcome)
    }

    /// Several keys at once; what the cache has not goes to the store in one call.
    pub fn read_many(
        self: &Arc<Self>,
        context: &Context<'_>,
        keys: &[Key<'_>],
        get: &Get,
        sink: &mut dyn ManySink,
        first: Option<impl FnMut(Key<'_>, &mut dyn Sink) -> Option<GetReply>>,
    ) {
        let mut missing = Missing::default();
        match first {
            None if !self.description.renames_keys => {
                let fresh = self.cache.lookup_many(context, keys, get, sink, &mut |index, looked_up| {
                    self.read_many_not_fresh(context, keys[index], get, looked_up, &mut missing)
                });
                self.counters.hits_more(context.worker, fresh);
            }
            first => self.look_up_each(context, keys, get, sink, first, &mut missing),
        }
        if !missing.keys.is_empty() {
            let keys = std::mem::take(&mut missing.keys);
            self.store.get_many(context, &keys, &plain(get), &mut missing.answers);
        }
    }

    /// The look-ups of a multi-get one by one, each with what `first` knows and under the name the cache has for the key.
    fn look_up_each<'k>(
        self: &Arc<Self>,
        context: &Context<'_>,
        keys: &[Key<'k>],
        get: &Get,
        sink: &mut dyn ManySink,
        mut first: Option<impl FnMut(Key<'_>, &mut dyn Sink) -> Option<GetReply>>,
        missing: &mut Missing<'k>,
    ) {
        for (index, key) in keys.iter().enumerate() {
            if let Some(reply) = first.as_mut().and_then(|first| first(*key, sink.sink(index))) {
                sink.answer(index, reply);
                continue;
            }
            match self.look_up(context, *key, get, sink.sink(index)) {
                Reply::Ready(Ok(Lookup::Fresh(found))) => {
                    self.counters.hit(context.worker);
                    sink.answer(index, Reply::Ready(Ok(Some(found))));
                }
                other => {
                    let reply = self.read_many_not_fresh(context, *key, get, other, missing);
                    sink.answer(index, reply);
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn read_many_not_fresh<'k>(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'k>,
        get: &Get,
        looked_up: Reply<Lookup<Found>, Lookup<Item>>,
        missing: &mut Missing<'k>,
    ) -> GetReply {
        match self.not_fresh(context, key, get, looked_up) {
            Cached::Answered(reply) => reply,
            Cached::Missed(Miss::Refer) => self.read_store(context, key, get, Miss::Refer),
            Cached::Missed(miss) => self.read_later(context, key, get, miss, missing),
        }
    }

    /// Like [`Core::read_store`], but leaves the key for one call with the others that miss.
    fn read_later<'k>(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'k>,
        get: &Get,
        miss: Miss,
        missing: &mut Missing<'k>,
    ) -> GetReply {
        if self.is_written_by_others(key) {
            return self.read_store(context, key, get, miss);
        }
        count(&self.counters.misses);
        let owned = self.owned(key);
        match self.traffic.join(owned.name(), context.worker) {
            Role::Waits(completion) => self.wait(context, owned, get, completion),
            Role::Leads(leader) => {
                let lease = self.lease(&owned);
                let slot = Rc::new(Slot::default());
                missing.keys.push(key);
                missing.answers.slots.push(slot.clone());
                let asked = async move { answer(slot.reply().await).await };
                self.lead(context, owned, get, Leading { leader, lease, miss }, asked)
            }
        }
    }
}

/// What the reader that asks for all holds meanwhile.
struct Leading {
    leader: Leader,
    lease: Option<Lease>,
    miss: Miss,
}

/// The keys of a multi-get that the cache has not.
#[derive(Default)]
struct Missing<'k> {
    keys: Vec<Key<'k>>,
    answers: Answers,
}

/// Takes the store's answers of a multi-get to the operations made for them.
#[derive(Default)]
struct Answers {
    keep: KeepItem,
    slots: Vec<Rc<Slot>>,
}

impl ManySink for Answers {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        self.keep = KeepItem::default();
        &mut self.keep
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        self.slots[index].put(kept(reply, std::mem::take(&mut self.keep)));
    }
}

/// A place for the store's reply to one key; the operation that reads it may be polled before the store was asked.
#[derive(Default)]
struct Slot(RefCell<Slotted>);

#[derive(Default)]
enum Slotted {
    #[default]
    Empty,
    Waited(Waker),
    There(Reply<Option<Item>>),
}

impl Slot {
    fn put(&self, reply: Reply<Option<Item>>) {
        if let Slotted::Waited(waker) = self.0.replace(Slotted::There(reply)) {
            waker.wake();
        }
    }

    async fn reply(&self) -> Reply<Option<Item>> {
        poll_fn(|task| match self.0.take() {
            Slotted::There(reply) => Poll::Ready(reply),
            Slotted::Empty | Slotted::Waited(_) => {
                self.0.replace(Slotted::Waited(task.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
