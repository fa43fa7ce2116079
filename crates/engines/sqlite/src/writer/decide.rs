//! What each command of a batch changes, decided in order.

use larder_engine::semantics::{self, Change};
use larder_engine::{
    Deleted, Durability, EngineError, ErrorKind, Flushed, Found, Get, Number, Stored, Timestamp, Touched,
};

use hashbrown::HashMap;

use super::statements::Statements;
use crate::flushes::Flushes;
use crate::kept::{Kept, KeyBytes, Latest};
use crate::shared::Shared;
use crate::write::{Answer, Command, StoreCommand};

/// What a batch changes, as it grows.
pub(super) struct Plan {
    pub now: Timestamp,
    /// The newest state of each key changed. One key changed twice has one entry.
    pub changes: HashMap<KeyBytes, Latest, foldhash::fast::RandomState>,
    /// All flushes, after the batch.
    pub flushes: Flushes,
    pub flushes_changed: bool,
    /// Whether one of them took effect in this batch.
    pub flushed: bool,
    pub ids: Ids,
}

/// The counter every change takes a number from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    /// The next id.
    pub next: u64,
    /// Ids below this one are reserved in the file.
    pub reserved: u64,
}

impl Ids {
    fn take(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }
}

/// Decides commands one after the other, each seeing what those before it changed.
pub(super) struct Decider<'w, 'c> {
    pub shared: &'w Shared,
    pub statements: &'w mut Statements<'c>,
    pub plan: Plan,
}

type Decided = Result<Answer, EngineError>;

impl Decider<'_, '_> {
    /// Puts the flushes whose time has come into effect, before anything is written.
    pub fn flush_what_is_due(&mut self) {
        for waiting in self.plan.flushes.take_due(self.plan.now) {
            let version = self.plan.ids.take();
            self.plan.flushes.add(&waiting.prefix, version);
            self.plan.flushes_changed = true;
            self.plan.flushed = true;
        }
    }

    pub fn decide(&mut self, command: &Command) -> Decided {
        match command {
            Command::Store(store) => self.store(store),
            Command::Delete { key, delete } => self.delete(key, delete),
            Command::Arithmetic { key, arithmetic } => self.arithmetic(key, arithmetic),
            Command::Get { key, get } => self.get(key, get),
            Command::Touch { key, expiry } => self.touch(key, *expiry),
            Command::Flush { prefix, when } => Ok(self.flush(prefix, *when)),
            Command::ReserveIds { count } => Ok(self.reserve_ids(*count)),
            Command::ForgetFlushes { version } => {
                self.plan.flushes.in_effect.retain(|flush| flush.version > *version);
                self.plan.flushes_changed = true;
                Ok(Answer::Nothing)
            }
            Command::KeepWarmList { .. } => {
                unreachable!("warm lists are kept by a transaction of their own")
            }
        }
    }

    /// The item under `key`, as the commands so far have left it.
    fn current(&mut self, key: &KeyBytes) -> Result<Option<Kept>, EngineError> {
        let known = match self.plan.changes.get(key) {
            Some(latest) => Some(latest.clone()),
            None => self.shared.overlay.look(key, |latest| latest.cloned()),
        };
        let kept = match known {
            Some(Latest::Item(kept)) => Some(kept),
            Some(Latest::Gone(_)) => None,
            None => {
                self.shared.counters.selects.one();
                let found = self.statements.select(key);
                found.map_err(|error| self.shared.failed(&error))?
            }
        };
        let now = self.plan.now;
        let flushes = &self.plan.flushes;
        Ok(kept.filter(|kept| !kept.expiry.is_past(now) && !flushes.is_dead(key, kept.version, now)))
    }

    fn put(&mut self, key: &KeyBytes, kept: Kept) {
        self.plan.changes.insert(key.clone(), Latest::Item(kept));
    }

    fn store(&mut self, store: &StoreCommand) -> Decided {
        let current = if store.is_unconditional() { None } else { self.current(&store.key)? };
        let id = self.plan.ids.next;
        let seen = current.as_ref().map(Kept::current);
        let bytes_max = self.shared.connector.options.value_bytes_max();
        let next = semantics::store(seen.as_ref(), &store.lent(), &store.value, id, bytes_max)?;
        let version = self.plan.ids.take();
        let kept = Kept::after(&next, version, current.as_ref().map(|kept| &kept.value), &store.value);
        let stored = Stored { cas: kept.cas, size: kept.value.len(), level: Durability::Local, version };
        self.put(&store.key, kept);
        Ok(Answer::Stored(stored))
    }

    fn delete(&mut self, key: &KeyBytes, delete: &larder_engine::Delete) -> Decided {
        let current = self.current(key)?;
        let seen = current.as_ref().map(Kept::current);
        let change = semantics::delete(seen.as_ref(), delete, self.plan.ids.next)?;
        let version = self.plan.ids.take();
        let cas = match change {
            Change::Put(next) => {
                let kept_value = current.as_ref().map(|kept| &kept.value);
                let kept = Kept::after(&next, version, kept_value, &bytes::Bytes::new());
                let cas = kept.cas;
                self.put(key, kept);
                cas
            }
            Change::Remove => {
                self.plan.changes.insert(key.clone(), Latest::Gone(version));
                0
            }
            Change::None => unreachable!("a delete that is not refused changes the item"),
        };
        Ok(Answer::Deleted(Deleted { cas, level: Durability::Local, version }))
    }

    fn arithmetic(&mut self, key: &KeyBytes, arithmetic: &larder_engine::Arithmetic) -> Decided {
        let current = self.current(key)?;
        let seen = current.as_ref().map(Kept::current);
        let id = self.plan.ids.next;
        let (next, value, created) = semantics::arithmetic(seen.as_ref(), arithmetic, id)?;
        let version = self.plan.ids.take();
        let kept = Kept::after(&next, version, None, &bytes::Bytes::new());
        let number = Number {
            value,
            cas: kept.cas,
            flags: kept.flags,
            expiry: kept.expiry,
            expiry_before: current.as_ref().map_or(kept.expiry, |current| current.expiry),
            created,
            stale: kept.stale,
            token_taken: kept.token_taken,
            level: Durability::Local,
            version,
        };
        self.put(key, kept);
        Ok(Answer::Number(number))
    }

    fn get(&mut self, key: &KeyBytes, get: &Get) -> Decided {
        let Some((kept, found)) = self.look(key, get)? else { return Ok(Answer::Item(None)) };
        Ok(Answer::Item(Some(kept.item(found))))
    }

    fn touch(&mut self, key: &KeyBytes, expiry: larder_engine::Expiry) -> Decided {
        let get = Get { touch: Some(expiry), ..Get::plain() };
        let (_, found) = self.look(key, &get)?.ok_or(ErrorKind::NotFound)?;
        // A touch that changes nothing has a place in the order too.
        let version = if found.version == 0 { self.plan.ids.take() } else { found.version };
        Ok(Answer::Touched(Touched { cas: found.cas, flags: found.flags, level: Durability::Local, version }))
    }

    /// A look-up that may change the item: the item as it is now, and what to say of it.
    fn look(&mut self, key: &KeyBytes, get: &Get) -> Result<Option<(Kept, Found)>, EngineError> {
        let current = self.current(key)?;
        let seen = current.as_ref().map(Kept::current);
        let Some(seen) = semantics::get(seen.as_ref(), get, self.plan.ids.next, self.plan.now) else {
            return Ok(None);
        };
        let mut found = seen.found;
        let kept = match seen.change {
            Change::Put(next) => {
                let version = self.plan.ids.take();
                found.version = version;
                let kept_value = current.as_ref().map(|kept| &kept.value);
                let kept = Kept::after(&next, version, kept_value, &bytes::Bytes::new());
                self.put(key, kept.clone());
                kept
            }
            Change::None => current.expect("a hit that changes nothing found an item"),
            Change::Remove => unreachable!("a look-up removes nothing"),
        };
        Ok(Some((kept, found)))
    }

    fn flush(&mut self, prefix: &[u8], when: Option<Timestamp>) -> Answer {
        match when {
            Some(at) if at > self.plan.now => self.plan.flushes.wait(prefix, at),
            _ => {
                let version = self.plan.ids.take();
                self.plan.flushes.stop_waiting(prefix);
                self.plan.flushes.add(prefix, version);
                self.plan.flushed = true;
            }
        }
        self.plan.flushes_changed = true;
        Answer::Flushed(Flushed { level: Durability::Local })
    }

    fn reserve_ids(&mut self, count: u64) -> Answer {
        let first = self.plan.ids.next;
        self.plan.ids.next += count;
        Answer::Ids(first..self.plan.ids.next)
    }
}
