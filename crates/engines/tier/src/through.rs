//! Writes and conditional commands that the store decides before they are acknowledged.

use std::sync::Arc;

use bytes::Bytes;
use larder_engine::engine::{RawResponse, raw_key};
use larder_engine::semantics::Decimal;
use larder_engine::{
    Arithmetic, Cache, Context, Delete, Deleted, Engine, EngineError, ErrorKind, Expiry, FillContent,
    Flushed, Found, Item, Key, Mode, Number, Older, Operation, Payload, Reply, Scope, Store, Stored,
    Timestamp, Token, Touched,
};

use crate::core::{Asker, Core, Outcome, answer};
use crate::traffic::Flushing;

fn token(taken: bool) -> Token {
    if taken { Token::Taken } else { Token::Free }
}

impl<C: Cache + ?Sized> Core<C> {
    /// Sends a command to the store and carries its outcome into the cache before the answer.
    pub fn through<T: 'static>(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        ask: impl FnOnce(&dyn Engine) -> Reply<T>,
        outcome: impl FnOnce(&T) -> Outcome + 'static,
    ) -> Reply<T> {
        let judge = |answer: &Result<T, EngineError>| match answer {
            Ok(done) => outcome(done),
            Err(error) => Outcome::of_error(error),
        };
        self.through_judged(context, key, ask, judge)
    }

    /// The same, for a command whose failures mean something of their own.
    fn through_judged<T: 'static>(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        ask: impl FnOnce(&dyn Engine) -> Reply<T>,
        judge: impl FnOnce(&Result<T, EngineError>) -> Outcome + 'static,
    ) -> Reply<T> {
        let core = self.clone();
        let asker = Asker::of(context);
        let key = self.owned(key);
        let writing = self.traffic.write(key.name());
        let lease = self.lease(&key);
        let reply = ask(&*self.store);
        Reply::Pending(Operation::driven(context.worker, async move {
            let answer = answer(reply).await;
            let outcome = judge(&answer);
            core.conclude(&asker, &key, writing, lease, outcome).await?;
            answer
        }))
    }

    /// A store command.
    pub fn store_through(self: &Arc<Self>, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let value = store.value.into_bytes();
        let whole = whole_item(&store.mode, &store.older, store.compare)
            .then(|| (value.clone(), store.flags, store.expiry, store.stale, store.token_taken));
        let store = Store { value: Payload::Owned(value), ..store };
        let outcome = move |stored: &Stored| match whole {
            None => Outcome::Changed,
            Some((value, flags, expiry, stale, taken)) => {
                let cas = stored.cas;
                let found = Found {
                    flags,
                    cas,
                    expiry,
                    expiry_before: expiry,
                    stale,
                    token: token(taken),
                    ..Found::default()
                };
                Outcome::Wrote(FillContent::Item(Item { found, value: value.into() }), stored.version)
            }
        };
        self.through(context, store.key, move |engine| engine.store(context, store), outcome)
    }

    /// A delete command.
    pub fn delete_through(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        delete: &Delete,
    ) -> Reply<Deleted> {
        let keeps_item = delete.keeps_item();
        let outcome = move |deleted: &Deleted| match keeps_item {
            true => Outcome::Changed,
            false => Outcome::Wrote(FillContent::Absent, deleted.version),
        };
        self.through(context, key, |store| store.delete(context, key, delete), outcome)
    }

    /// An incr or decr command.
    pub fn arithmetic_through(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        arithmetic: &Arithmetic,
    ) -> Reply<Number> {
        let outcome = |number: &Number| {
            let found = Found {
                flags: number.flags,
                cas: number.cas,
                expiry: number.expiry,
                expiry_before: number.expiry,
                stale: number.stale,
                token: token(number.token_taken),
                ..Found::default()
            };
            let value = Bytes::copy_from_slice(Decimal::new(number.value).as_slice());
            Outcome::Wrote(FillContent::Item(Item { found, value: value.into() }), number.version)
        };
        self.through(context, key, |store| store.arithmetic(context, key, arithmetic), outcome)
    }

    /// A touch command. The answer does not bring the value, so the copy goes; the next read brings it back.
    pub fn touch_through(
        self: &Arc<Self>,
        context: &Context<'_>,
        key: Key<'_>,
        expiry: Expiry,
    ) -> Reply<Touched> {
        let has_versions = self.description.versions;
        let outcome = move |touched: &Touched| match touched.version {
            0 if has_versions => Outcome::Told,
            _ => Outcome::Changed,
        };
        self.through(context, key, |store| store.touch(context, key, expiry), outcome)
    }

    /// A packet that only the store knows. What it does to the item it names, or did before it failed, nobody here knows:
    /// the copy goes.
    pub fn raw_through(self: &Arc<Self>, context: &Context<'_>, request: &[u8]) -> Reply<Vec<RawResponse>> {
        if self.behind.is_some() {
            return Reply::failed(ErrorKind::Unsupported);
        }
        match raw_key(request) {
            None => self.store.raw_command(context, request),
            Some(key) => {
                let ask = |store: &dyn Engine| store.raw_command(context, request);
                self.through_judged(context, key, ask, |_| Outcome::Changed)
            }
        }
    }

    /// A flush: the store, then the cache.
    pub fn flush_through(
        self: &Arc<Self>,
        context: &Context<'_>,
        scope: Scope<'_>,
        when: Option<Timestamp>,
    ) -> Reply<Flushed> {
        let core = self.clone();
        let asker = Asker::of(context);
        let prefix = match scope {
            Scope::All => None,
            Scope::Prefix(prefix) => Some(Box::<[u8]>::from(prefix)),
        };
        let flushing = self.traffic.flush();
        let reply = self.store.flush(context, scope, when);
        Reply::Pending(Operation::driven(context.worker, async move {
            let scope = prefix.as_deref().map_or(Scope::All, Scope::Prefix);
            core.flush_both(&asker, scope, when, flushing, reply).await
        }))
    }

    /// When the store has answered: the cache. A flush whose outcome is unknown empties the cache all the same.
    pub async fn flush_both(
        &self,
        asker: &Asker,
        scope: Scope<'_>,
        when: Option<Timestamp>,
        flushing: Flushing,
        reply: Reply<Flushed>,
    ) -> Result<Flushed, EngineError> {
        let flushed = answer(reply).await;
        let nothing_done =
            flushed.as_ref().is_err_and(|error| !matches!(Outcome::of_error(error), Outcome::Changed));
        if nothing_done {
            return flushed;
        }
        if flushed.is_ok() {
            self.waiting_flushes.replace(scope, when, self.now());
        }
        self.marks.mark_all();
        flushing.detach(scope);
        answer(self.cache.flush(&asker.context(self.now()), scope, when)).await?;
        flushed.map(|flushed| Flushed { level: flushed.level.min(self.level()) })
    }
}

/// Whether a successful store command leaves exactly what it brought.
fn whole_item(mode: &Mode, older: &Older, compare: Option<u64>) -> bool {
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let may_mark = compare.is_some() && *older == Older::MarkStale;
    !joins && !may_mark
}
