//! What each command of a batch changes, decided in order.

use hashbrown::HashMap;

use super::flushes::Flushes;
use super::kept::{Kept, KeyBytes, Latest};
use super::write::{Answer, Command, StoreCommand};
use crate::semantics::{self, Change};
use crate::{
    Deleted, Durability, EngineError, ErrorKind, Flushed, Found, Get, Number, Stored, Timestamp, Touched,
};

/// What a batch changes, as it grows.
pub struct Plan {
    /// The second of all its decisions.
    pub now: Timestamp,
    /// The newest state of each key changed. One key changed twice has one entry.
    pub changes: HashMap<KeyBytes, Latest, foldhash::fast::RandomState>,
    /// All flushes, after the batch.
    pub flushes: Flushes,
    /// Whether they differ from those before it.
    pub flushes_changed: bool,
    /// Whether one of them took effect in this batch.
    pub flushed: bool,
    /// The counter, after the batch.
    pub ids: Ids,
}

impl Plan {
    /// A batch that changes nothing yet.
    pub fn new(now: Timestamp, flushes: Flushes, ids: Ids) -> Plan {
        Plan { now, changes: HashMap::default(), flushes, flushes_changed: false, flushed: false, ids }
    }
}

/// The counter every change takes a number from.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    /// The next id.
    pub next: u64,
    /// Ids below this one are reserved in the store.
    pub reserved: u64,
}

impl Ids {
    /// The next id, which is given once.
    pub fn take(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }
}

/// What is there before a batch.
pub trait Newest {
    /// The newest state of the item under `key`; the decider sees whether it is still alive.
    ///
    /// # Errors
    /// The command that needs it gets the error as its answer.
    fn newest(&mut self, key: &KeyBytes) -> Result<Option<Kept>, EngineError>;
}

/// Decides commands one after the other, each seeing what those before it changed.
pub struct Decider<N> {
    /// What is there before the batch.
    pub source: N,
    /// What the batch changes so far.
    pub plan: Plan,
    /// Largest value, in bytes.
    pub value_bytes_max: u64,
}

/// What to answer, once the batch is durable.
pub type Decided = Result<Answer, EngineError>;

impl<N: Newest> Decider<N> {
    /// Puts the flushes whose time has come into effect, before anything is written.
    pub fn flush_what_is_due(&mut self) {
        for waiting in self.plan.flushes.take_due(self.plan.now) {
            let version = self.plan.ids.take();
            self.plan.flushes.add(&waiting.prefix, version);
            self.plan.flushes_changed = true;
            self.plan.flushed = true;
        }
    }

    /// What the command changes and answers.
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
        let kept = match self.plan.changes.get(key) {
            Some(Latest::Item(kept)) => Some(kept.clone()),
            Some(Latest::Gone(_)) => None,
            None => self.source.newest(key)?,
        };
        let (flushes, now) = (&self.plan.flushes, self.plan.now);
        Ok(kept.filter(|kept| kept.is_alive(key, Some(flushes), now)))
    }

    fn put(&mut self, key: &KeyBytes, kept: Kept) {
        self.plan.changes.insert(key.clone(), Latest::Item(kept));
    }

    fn store(&mut self, store: &StoreCommand) -> Decided {
        let current = if store.is_unconditional() { None } else { self.current(&store.key)? };
        let id = self.plan.ids.next;
        let seen = current.as_ref().map(Kept::current);
        let next = semantics::store(seen.as_ref(), &store.lent(), &store.value, id, self.value_bytes_max)?;
        let version = self.plan.ids.take();
        let kept = Kept::after(&next, version, current.as_ref().map(|kept| &kept.value), &store.value);
        let stored = Stored { cas: kept.cas, size: kept.value.len(), level: Durability::Local, version };
        self.put(&store.key, kept);
        Ok(Answer::Stored(stored))
    }

    fn delete(&mut self, key: &KeyBytes, delete: &crate::Delete) -> Decided {
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

    fn arithmetic(&mut self, key: &KeyBytes, arithmetic: &crate::Arithmetic) -> Decided {
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

    fn touch(&mut self, key: &KeyBytes, expiry: crate::Expiry) -> Decided {
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
