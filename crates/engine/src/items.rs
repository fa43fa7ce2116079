//! The short way to an engine: who can load, save and remove an item by its key has one.
//!
//! [`Items`] is a place for items and knows nothing of commands. [`ItemsEngine`] makes an [`Engine`] of it: it owns the
//! place on a thread of its own, decides by [`crate::semantics`], gives out ids, waits with flushes and scans. What it
//! costs is that every command passes that one thread, one after the other.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::context::Context;
use crate::engine::{Description, Engine, MemoryUse, Ordering, StatsSink, check_size};
use crate::error::{EngineError, ErrorKind};
use crate::item::Item;
use crate::kept::Kept;
use crate::key::Key;
use crate::own_thread::OwnThread;
use crate::reply::{Deleted, Durability, Flushed, GetReply, Number, Reply, Sink, Stored};
use crate::request::{Arithmetic, Delete, Get, ScanOrder, ScanPage, Scope, Store};
use crate::semantics::{self, Change, Next};
use crate::time::Timestamp;

/// A place for items. All calls come from one thread, which may wait.
///
/// An error of a write says what became of it: `Unavailable` if nothing changed, `OutcomeUnknown` if nobody can tell.
/// After the latter nothing more is asked but [`Items::close`].
pub trait Items: Send + 'static {
    /// The item under a key, expired or not.
    ///
    /// # Errors
    /// `Unavailable`, or `Damaged` if what is there is not what was saved.
    fn load(&mut self, key: &[u8]) -> Result<Option<Kept>, EngineError>;

    /// Puts an item under a key, in place of the one that may be there. It is as durable as the engine says when this
    /// returns; after a crash before that, there is the old item or the new one.
    ///
    /// # Errors
    /// See [`Items`].
    fn save(&mut self, key: &[u8], item: &Kept) -> Result<(), EngineError>;

    /// Removes the items under these keys, those that are there; as durable as a save.
    ///
    /// # Errors
    /// See [`Items`].
    fn remove(&mut self, keys: &[Vec<u8>]) -> Result<(), EngineError>;

    /// The first key behind `after` in the order of bytes; of all, if `after` is `None`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn next_key(&mut self, after: Option<&[u8]>) -> Result<Option<Vec<u8>>, EngineError>;

    /// What was last given to [`Items::save_note`]; empty if nothing was.
    ///
    /// # Errors
    /// `Unavailable`.
    fn load_note(&mut self) -> Result<Vec<u8>, EngineError>;

    /// Keeps a few bytes for the engine (ids, flushes that wait) like an item, as durable as a save.
    ///
    /// # Errors
    /// See [`Items`].
    fn save_note(&mut self, note: &[u8]) -> Result<(), EngineError>;

    /// Items, and the bytes they take.
    fn used(&self) -> (u64, u64);

    /// Brings everything to its place, before it is dropped.
    ///
    /// # Errors
    /// What could not be brought down.
    fn close(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// An engine made of a place for items.
pub struct ItemsEngine<I> {
    owner: OwnThread<Keeper<I>>,
    description: Description,
    used: Arc<Mutex<MemoryUse>>,
}

/// Work that waits for the thread holds at most about so many bytes.
const QUEUE_BYTES_MAX: usize = 64 << 20;

impl<I: Items> ItemsEngine<I> {
    /// An engine by this name that acknowledges at `level`, with values of up to `item_size_max` bytes. Reads the note;
    /// may block.
    ///
    /// # Errors
    /// The place's, and the system's when it gives no thread.
    pub fn open(name: &str, level: Durability, item_size_max: u64, items: I) -> io::Result<Self> {
        let used = Arc::new(Mutex::default());
        let keeper = Keeper::open(items, level, item_size_max, used.clone()).map_err(io::Error::other)?;
        let description = Description {
            name: name.to_owned().into(),
            level,
            item_size_max,
            shared: false,
            ordering: Ordering::PerKey,
            versions: true,
            tracks_access: false,
            scan_in_key_order: true,
            raw_commands: false,
            renames_keys: false,
        };
        Ok(ItemsEngine { owner: OwnThread::start(name, QUEUE_BYTES_MAX, keeper)?, description, used })
    }

    /// Has `work` done on the thread, at the caller's second.
    fn ask<R, T: Send + 'static>(
        &self,
        context: &Context<'_>,
        bytes: usize,
        work: impl FnOnce(&mut Keeper<I>, Timestamp) -> Result<T, EngineError> + Send + 'static,
    ) -> Reply<R, T> {
        let now = context.now;
        self.owner.ask(context, bytes, move |keeper| {
            keeper.flush_what_is_due(now)?;
            let done = work(keeper, now);
            keeper.count();
            done
        })
    }
}

/// Flushes to come: key prefix and second.
type Waiting = Vec<(Vec<u8>, Timestamp)>;

/// What the thread owns.
struct Keeper<I> {
    items: I,
    level: Durability,
    item_size_max: u64,
    /// The last id given. Ids are CAS and version.
    last_id: u64,
    /// Ids up to this one may be given: the note says that they are gone.
    ids_noted: u64,
    flushes: Waiting,
    /// A write ended nobody knows how.
    is_lost: bool,
    used: Arc<Mutex<MemoryUse>>,
}

/// Ids noted as gone at once.
const IDS_BLOCK: u64 = 1 << 20;

impl<I: Items> Keeper<I> {
    fn open(
        mut items: I,
        level: Durability,
        item_size_max: u64,
        used: Arc<Mutex<MemoryUse>>,
    ) -> Result<Self, EngineError> {
        let note = items.load_note()?;
        let damaged = || EngineError::new(ErrorKind::Damaged, "the note of ids and flushes is damaged");
        let (last_id, flushes) = decode_note(&note).ok_or_else(damaged)?;
        let (ids_noted, is_lost) = (last_id, false);
        let mut keeper = Keeper { items, level, item_size_max, last_id, ids_noted, flushes, is_lost, used };
        keeper.next_id()?;
        keeper.count();
        Ok(keeper)
    }

    /// Notes what a write came to.
    fn written<T>(&mut self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        self.is_lost |= outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::OutcomeUnknown);
        outcome
    }

    fn save_note(&mut self, ids_noted: u64, flushes: &[(Vec<u8>, Timestamp)]) -> Result<(), EngineError> {
        let saved = self.items.save_note(&encode_note(ids_noted, flushes));
        self.written(saved)
    }

    /// The id of the next change, which may fail and leave it unused.
    fn next_id(&mut self) -> Result<u64, EngineError> {
        if self.last_id == self.ids_noted {
            let noted = self.ids_noted + IDS_BLOCK;
            let flushes = self.flushes.clone();
            self.save_note(noted, &flushes)?;
            self.ids_noted = noted;
        }
        Ok(self.last_id + 1)
    }

    /// The living item under `key`. An expired one counts as missing for every command.
    fn living(&mut self, key: &[u8], now: Timestamp) -> Result<Option<Kept>, EngineError> {
        Ok(self.items.load(key)?.filter(|kept| !kept.expiry.is_past(now)))
    }

    /// Puts what a command made of an item; the change's version.
    fn put(
        &mut self,
        key: &[u8],
        next: &Next<'_>,
        before: Option<&Kept>,
        given: &Bytes,
    ) -> Result<u64, EngineError> {
        self.last_id += 1;
        let saved = self.items.save(key, &Kept::new(next, before, given));
        self.written(saved)?;
        Ok(self.last_id)
    }

    fn remove(&mut self, keys: &[Vec<u8>]) -> Result<u64, EngineError> {
        self.last_id += 1;
        let removed = self.items.remove(keys);
        self.written(removed)?;
        Ok(self.last_id)
    }

    fn flush(&mut self, prefix: &[u8]) -> Result<(), EngineError> {
        let mut keys = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        while let Some(key) = self.items.next_key(last.as_deref())? {
            if key.starts_with(prefix) {
                keys.push(key.clone());
            }
            last = Some(key);
        }
        let removed = self.items.remove(&keys);
        self.written(removed)
    }

    /// Before any command, so that every command sees the flushes before it. The items go first: a crash in between
    /// flushes once more, when nothing was stored yet that it should spare.
    fn flush_what_is_due(&mut self, now: Timestamp) -> Result<(), EngineError> {
        if self.is_lost {
            let text = "an earlier write failed, so nobody knows what is kept; start the server again";
            return Err(EngineError::new(ErrorKind::Unavailable, text));
        }
        let (due, waiting): (Vec<_>, Vec<_>) =
            self.flushes.iter().cloned().partition(|(_, second)| *second <= now);
        if due.is_empty() {
            return Ok(());
        }
        due.iter().try_for_each(|(prefix, _)| self.flush(prefix))?;
        self.set_flushes(waiting)
    }

    fn set_flushes(&mut self, flushes: Waiting) -> Result<(), EngineError> {
        self.save_note(self.ids_noted, &flushes)?;
        self.flushes = flushes;
        Ok(())
    }

    fn count(&self) {
        let (items, bytes) = self.items.used();
        *self.used.lock() = MemoryUse { items, bytes, ..MemoryUse::default() };
    }
}

fn encode_note(ids_noted: u64, flushes: &[(Vec<u8>, Timestamp)]) -> Vec<u8> {
    let mut note = ids_noted.to_le_bytes().to_vec();
    for (prefix, second) in flushes {
        note.extend(second.0.to_le_bytes());
        note.push(prefix.len() as u8);
        note.extend(prefix);
    }
    note
}

fn decode_note(note: &[u8]) -> Option<(u64, Waiting)> {
    let mut flushes = Waiting::new();
    if note.is_empty() {
        return Some((0, flushes));
    }
    let (ids_noted, mut rest) = note.split_first_chunk()?;
    while !rest.is_empty() {
        let (second, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first()?;
        let (prefix, after) = after.split_at_checked(usize::from(*length))?;
        flushes.push((prefix.to_vec(), Timestamp(u32::from_le_bytes(*second))));
        rest = after;
    }
    Some((u64::from_le_bytes(*ids_noted), flushes))
}

impl<I: Items> Engine for ItemsEngine<I> {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, _sink: &mut dyn Sink) -> GetReply {
        let (key, get) = (key.bytes().to_vec(), *get);
        self.ask(context, key.len(), move |keeper, now| {
            let before = keeper.living(&key, now)?;
            let id = keeper.next_id()?;
            let current = before.as_ref().map(Kept::current);
            let Some(mut seen) = semantics::get(current.as_ref(), &get, id, now) else { return Ok(None) };
            if let Change::Put(next) = seen.change {
                seen.found.version = keeper.put(&key, &next, before.as_ref(), &Bytes::new())?;
            }
            let found = seen.found;
            Ok(Some(Item { found, value: before.unwrap_or_default().value.into() }))
        })
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, self.description.item_size_max) {
            return Reply::failed(error);
        }
        let (key, options) = (store.key.bytes().to_vec(), store.options());
        let given = store.value.into_bytes();
        self.ask(context, key.len() + given.len(), move |keeper, now| {
            let before = keeper.living(&key, now)?;
            let id = keeper.next_id()?;
            let current = before.as_ref().map(Kept::current);
            let next = semantics::store(current.as_ref(), &options, &given, id, keeper.item_size_max)?;
            let size = next.value.len(0, given.len());
            let version = keeper.put(&key, &next, before.as_ref(), &given)?;
            Ok(Stored { cas: next.cas, size, level: keeper.level, version })
        })
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let (key, delete) = (key.bytes().to_vec(), *delete);
        self.ask(context, key.len(), move |keeper, now| {
            let before = keeper.living(&key, now)?;
            let id = keeper.next_id()?;
            let current = before.as_ref().map(Kept::current);
            let (cas, version) = match semantics::delete(current.as_ref(), &delete, id)? {
                Change::Put(next) => (next.cas, keeper.put(&key, &next, before.as_ref(), &Bytes::new())?),
                _ => (0, keeper.remove(std::slice::from_ref(&key))?),
            };
            Ok(Deleted { cas, level: keeper.level, version })
        })
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let (key, arithmetic) = (key.bytes().to_vec(), *arithmetic);
        self.ask(context, key.len(), move |keeper, now| {
            let before = keeper.living(&key, now)?;
            let id = keeper.next_id()?;
            let current = before.as_ref().map(Kept::current);
            let (next, value, created) = semantics::arithmetic(current.as_ref(), &arithmetic, id)?;
            let version = keeper.put(&key, &next, before.as_ref(), &Bytes::new())?;
            let Next { cas, flags, expiry, stale, token_taken, .. } = next;
            Ok(Number {
                value,
                cas,
                flags,
                expiry,
                expiry_before: current.map_or(expiry, |current| current.expiry),
                created,
                stale,
                token_taken,
                level: keeper.level,
                version,
            })
        })
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => Vec::new(),
            Scope::Prefix(prefix) => prefix.to_vec(),
        };
        self.ask(context, prefix.len(), move |keeper, now| {
            let when = when.filter(|when| *when > now);
            if when.is_none() {
                keeper.flush(&prefix)?;
            }
            // A later flush of the same scope replaces one that waits.
            let mut flushes = keeper.flushes.clone();
            flushes.retain(|(waiting, _)| *waiting != prefix);
            flushes.extend(when.map(|when| (prefix, when)));
            if flushes != keeper.flushes {
                keeper.set_flushes(flushes)?;
            }
            Ok(Flushed { level: keeper.level })
        })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let mut last = cursor.map(<[u8]>::to_vec);
        self.ask(context, 0, move |keeper, now| {
            let mut page = ScanPage::default();
            let mut bytes = 0usize;
            while let Some(key) = keeper.items.next_key(last.as_deref())? {
                if bytes >= bytes_max {
                    page.next = last;
                    break;
                }
                if let Some(kept) = keeper.living(&key, now)? {
                    bytes += key.len() + kept.value.len();
                    let item = Item { found: kept.found(), value: kept.value.into() };
                    page.items.push((key.as_slice().into(), item));
                }
                last = Some(key);
            }
            Ok(page)
        })
    }

    fn reserve_ids(&self, context: &Context<'_>, count: u64) -> Reply<std::ops::Range<u64>> {
        self.ask(context, 0, move |keeper, _| {
            let first = keeper.last_id + 1;
            let after = first.checked_add(count).ok_or(ErrorKind::BadArgument)?;
            if after - 1 > keeper.ids_noted {
                let noted = after + IDS_BLOCK;
                let flushes = keeper.flushes.clone();
                keeper.save_note(noted, &flushes)?;
                keeper.ids_noted = noted;
            }
            keeper.last_id = after - 1;
            Ok(first..after)
        })
    }

    fn memory_use(&self) -> MemoryUse {
        *self.used.lock()
    }

    fn stats(&self, _sink: &mut dyn StatsSink) {}

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        let stopped = || EngineError::new(ErrorKind::Internal, "the thread of the engine panicked");
        let mut keeper = self.owner.stop().ok_or_else(stopped)?;
        let closed = keeper.items.close();
        if keeper.is_lost {
            return Err(EngineError::new(ErrorKind::OutcomeUnknown, "an earlier write failed"));
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_half_a_note_does_not() {
        let flushes = vec![(b"a:".to_vec(), Timestamp(7)), (Vec::new(), Timestamp(u32::MAX))];
        let note = encode_note(1 << 50, &flushes);
        assert_eq!(decode_note(&note), Some((1 << 50, flushes)));
        assert_eq!(decode_note(&[]), Some((0, Vec::new())));
        for length in [1, 7, 9, 14, note.len() - 1] {
            assert_eq!(decode_note(&note[..length]), None, "cut at {length}");
        }
    }
}
