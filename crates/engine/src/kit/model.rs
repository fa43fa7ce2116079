//! An engine so simple that it is right: a map under a lock.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::context::Context;
use crate::engine::{Description, Engine, MemoryUse, Ordering, StatsSink};
use crate::error::EngineError;
use crate::item::{Found, Item, Token};
use crate::key::Key;
use crate::reply::{Deleted, Durability, Flushed, GetReply, Number, Reply, Sink, Stored, Touched};
use crate::request::{Arithmetic, Delete, Get, ScanOrder, ScanPage, Scope, Store};
use crate::time::{Expiry, Timestamp};

use super::command::{Command, StoreCommand};
use super::truth::{Decision, Due, TrueItem, decide};

/// Keeps items in a map; decides by the kit's own rules. The measure of the other engines and of the kit itself.
#[derive(Default)]
pub struct ModelEngine {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) items: BTreeMap<Vec<u8>, TrueItem>,
    pub(crate) last_id: u64,
    /// Flushes to come: scope (`None`: all) and second.
    pub(crate) flushes: Vec<(Option<Vec<u8>>, Timestamp)>,
}

const ITEM_SIZE_MAX: u64 = 2 << 20;
const LEVEL: Durability = Durability::Ram;

impl State {
    pub(crate) fn flush(&mut self, prefix: Option<&[u8]>) {
        match prefix {
            None => self.items.clear(),
            Some(prefix) => self.items.retain(|key, _| !key.starts_with(prefix)),
        }
    }

    fn flush_what_is_due(&mut self, now: Timestamp) {
        let (due, waiting) =
            std::mem::take(&mut self.flushes).into_iter().partition(|(_, when)| *when <= now);
        self.flushes = waiting;
        let due: Vec<(Option<Vec<u8>>, Timestamp)> = due;
        due.iter().for_each(|(prefix, _)| self.flush(prefix.as_deref()));
    }

    fn decide(&mut self, command: &Command, now: Timestamp) -> (Decision, u64) {
        self.flush_what_is_due(now);
        self.last_id += 1;
        let id = self.last_id;
        let key = command.key().expect("flushes are done elsewhere");
        let decision = decide(self.items.get(key), command, now, Some(id), ITEM_SIZE_MAX);
        match &decision.after {
            Some(item) => self.items.insert(key.into(), item.clone()),
            None => self.items.remove(key),
        };
        (decision, id)
    }
}

impl ModelEngine {
    /// What it holds, for an engine that keeps that elsewhere too.
    #[cfg(test)]
    pub(crate) fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    fn decide(&self, context: &Context<'_>, command: &Command) -> (Decision, u64) {
        self.state.lock().decide(command, context.now)
    }
}

fn refusal(due: &Due) -> EngineError {
    match due {
        Due::Refused(kind) => (*kind).into(),
        other => unreachable!("not a due outcome of this command: {other:?}"),
    }
}

/// What a look-up says of `item`.
pub(crate) fn found(item: &TrueItem) -> Found {
    Found {
        flags: item.flags,
        cas: item.cas.expect("a kept item has its CAS"),
        expiry: item.expiry,
        expiry_before: item.expiry,
        stale: item.stale,
        token: if item.token_taken { Token::Taken } else { Token::Free },
        ..Found::default()
    }
}

impl Engine for ModelEngine {
    fn describe(&self) -> Description {
        Description {
            name: Cow::Borrowed("model"),
            level: LEVEL,
            item_size_max: ITEM_SIZE_MAX,
            shared: false,
            ordering: Ordering::PerKey,
            versions: true,
            tracks_access: false,
            scan_in_key_order: true,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        let command = Command::Get { key: key.bytes().into(), get: *get };
        let (decision, id) = self.decide(context, &command);
        match decision.due {
            Due::Found { item, token, expiry_before } => {
                let changed = token == Token::Won || get.touch.is_some();
                let version = if changed { id } else { 0 };
                let found = Found { token, expiry_before, version, ..found(&item) };
                sink.hit(&found, &[&item.value]);
                Reply::done(Some(found))
            }
            Due::Missing => Reply::done(None),
            due => Reply::failed(refusal(&due)),
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let (decision, version) = self.decide(context, &StoreCommand::from(store).into());
        match (decision.due, decision.after) {
            (Due::Stored { size }, Some(item)) => {
                Reply::done(Stored { cas: found(&item).cas, size, level: LEVEL, version })
            }
            (due, _) => Reply::failed(refusal(&due)),
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let command = Command::Delete { key: key.bytes().into(), delete: *delete };
        let (decision, version) = self.decide(context, &command);
        let cas = decision.after.as_ref().map_or(0, |item| found(item).cas);
        match decision.due {
            Due::Deleted => Reply::done(Deleted { cas, level: LEVEL, version }),
            due => Reply::failed(refusal(&due)),
        }
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let command = Command::Arithmetic { key: key.bytes().into(), arithmetic: *arithmetic };
        let (decision, version) = self.decide(context, &command);
        match (decision.due, decision.after) {
            (Due::Number { value, created, expiry_before }, Some(item)) => {
                let Found { cas, flags, expiry, stale, .. } = found(&item);
                let token_taken = item.token_taken;
                let level = LEVEL;
                Reply::done(Number {
                    value,
                    cas,
                    flags,
                    expiry,
                    expiry_before,
                    created,
                    stale,
                    token_taken,
                    level,
                    version,
                })
            }
            (due, _) => Reply::failed(refusal(&due)),
        }
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        let (decision, version) = self.decide(context, &Command::Touch { key: key.bytes().into(), expiry });
        match (decision.due, decision.after) {
            (Due::Touched, Some(item)) => {
                let Found { cas, flags, .. } = found(&item);
                Reply::done(Touched { cas, flags, level: LEVEL, version })
            }
            (due, _) => Reply::failed(refusal(&due)),
        }
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => None,
            Scope::Prefix(prefix) => Some(prefix),
        };
        let mut state = self.state.lock();
        state.flush_what_is_due(context.now);
        state.flushes.retain(|(scope, _)| scope.as_deref() != prefix);
        match when {
            None => state.flush(prefix),
            Some(when) => state.flushes.push((prefix.map(<[u8]>::to_vec), when)),
        }
        Reply::done(Flushed { level: LEVEL })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let mut state = self.state.lock();
        state.flush_what_is_due(context.now);
        let after = cursor.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.to_vec()));
        let mut page = ScanPage::default();
        let mut bytes = 0;
        for (key, item) in state.items.range((after, Bound::Unbounded)) {
            if bytes >= bytes_max && !page.items.is_empty() {
                page.next = page.items.last().map(|(key, _)| key.to_vec());
                break;
            }
            if !item.expiry.is_past(context.now) {
                bytes += item.value.len();
                let value = Bytes::clone(&item.value).into();
                page.items.push((key.as_slice().into(), Item { found: found(item), value }));
            }
        }
        Reply::done(page)
    }

    fn memory_use(&self) -> MemoryUse {
        let state = self.state.lock();
        let bytes = state.items.iter().map(|(key, item)| key.len() + item.value.len()).sum::<usize>();
        MemoryUse { items: state.items.len() as u64, bytes: bytes as u64, ..MemoryUse::default() }
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        sink.stat("last_id", &self.state.lock().last_id);
    }

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
