//! The engine of the book's chapter on writing one: a map under a lock. Complete, and judged by the kit below.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use larder_engine::engine::check_size;
use larder_engine::kit::{Opened, World};
use larder_engine::semantics::{self, Change, Current, Next, NextValue};
use larder_engine::*;

const ITEM_SIZE_MAX: u64 = 1 << 20;

struct Entry {
    flags: u32,
    cas: u64,
    expiry: Expiry,
    stale: bool,
    token_taken: bool,
    value: Bytes,
}

#[derive(Default)]
struct Shelf {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// The last id given. Ids are CAS and version; they only grow.
    last_id: u64,
    /// Flushes to come: key prefix and second.
    flushes: Vec<(Vec<u8>, Timestamp)>,
}

impl Entry {
    fn current(&self) -> Current<'_> {
        let Entry { flags, cas, expiry, stale, token_taken, .. } = *self;
        Current { flags, cas, expiry, stale, token_taken, value: &self.value }
    }
}

/// What the shared rules made of a command, owned: value, and the rest of the item.
fn entry(next: &Next<'_>, kept: Option<&Entry>, given: Bytes) -> Entry {
    let value = match (next.value, next.value.composed()) {
        (_, Some(composed)) => composed,
        (NextValue::Kept, None) => kept.map(|entry| entry.value.clone()).unwrap_or_default(),
        (_, None) => given,
    };
    let Next { flags, cas, expiry, stale, token_taken, .. } = *next;
    Entry { flags, cas, expiry, stale, token_taken, value }
}

impl Shelf {
    fn flush(&mut self, prefix: &[u8]) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    /// The living entry under `key`. An expired one counts as missing for every command.
    fn living(&self, key: Key<'_>, now: Timestamp) -> Option<&Entry> {
        self.entries.get(key.bytes()).filter(|entry| !entry.expiry.is_past(now))
    }

    fn put(&mut self, key: Key<'_>, entry: Entry) {
        self.last_id += 1;
        self.entries.insert(key.bytes().into(), entry);
    }
}

#[derive(Default)]
struct ShelfEngine(Mutex<Shelf>);

impl ShelfEngine {
    /// Methods run on a worker's event loop, so the lock is held for moments only.
    fn lock(&self, now: Timestamp) -> MutexGuard<'_, Shelf> {
        let mut shelf = self.0.lock().expect("no holder of the lock panics");
        let due: Vec<Vec<u8>> =
            shelf.flushes.extract_if(.., |(_, at)| *at <= now).map(|(prefix, _)| prefix).collect();
        due.iter().for_each(|prefix| shelf.flush(prefix));
        shelf
    }
}

impl Engine for ShelfEngine {
    fn describe(&self) -> Description {
        Description {
            name: "shelf".into(),
            level: Durability::Ram,
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

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn reply::Sink) -> GetReply {
        let mut shelf = self.lock(context.now);
        let id = shelf.last_id + 1;
        let current = shelf.living(key, context.now);
        let seen = semantics::get(current.map(Entry::current).as_ref(), get, id, context.now);
        let Some(seen) = seen else { return Reply::done(None) };
        let mut found = seen.found;
        let value = current.map(|entry| entry.value.clone()).unwrap_or_default();
        if let Change::Put(next) = seen.change {
            let changed = entry(&next, current, Bytes::new());
            shelf.put(key, changed);
            found.version = id;
        }
        sink.hit_shared(&found, &value);
        Reply::done(Some(found))
    }

    fn store(&self, context: &Context<'_>, mut store: Store<'_>) -> Reply<Stored> {
        if let Err(error) = check_size(&store.value, ITEM_SIZE_MAX) {
            return Reply::failed(error);
        }
        let given = std::mem::replace(&mut store.value, Payload::Borrowed(&[])).into_bytes();
        let mut shelf = self.lock(context.now);
        let id = shelf.last_id + 1;
        let current = shelf.living(store.key, context.now);
        let next = semantics::store(current.map(Entry::current).as_ref(), &store, &given, id, ITEM_SIZE_MAX)
            .map(|next| entry(&next, current, given.clone()));
        match next {
            Err(kind) => Reply::failed(kind),
            Ok(next) => {
                let (cas, size) = (next.cas, next.value.len());
                shelf.put(store.key, next);
                Reply::done(Stored { cas, size, level: Durability::Ram, version: id })
            }
        }
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let mut shelf = self.lock(context.now);
        let id = shelf.last_id + 1;
        let current = shelf.living(key, context.now);
        let cas = match semantics::delete(current.map(Entry::current).as_ref(), delete, id) {
            Err(kind) => return Reply::failed(kind),
            Ok(Change::Put(next)) => {
                let next = entry(&next, current, Bytes::new());
                let cas = next.cas;
                shelf.put(key, next);
                cas
            }
            Ok(_) => {
                shelf.entries.remove(key.bytes());
                shelf.last_id = id;
                0
            }
        };
        Reply::done(Deleted { cas, level: Durability::Ram, version: id })
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let mut shelf = self.lock(context.now);
        let id = shelf.last_id + 1;
        let current = shelf.living(key, context.now);
        let expiry_before = current.map(|entry| entry.expiry);
        let decided = semantics::arithmetic(current.map(Entry::current).as_ref(), arithmetic, id)
            .map(|(next, value, created)| (entry(&next, current, Bytes::new()), value, created));
        let (next, value, created) = match decided {
            Err(kind) => return Reply::failed(kind),
            Ok(decided) => decided,
        };
        let Entry { cas, flags, expiry, stale, token_taken, .. } = next;
        let expiry_before = expiry_before.unwrap_or(expiry);
        shelf.put(key, next);
        let level = Durability::Ram;
        let version = id;
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

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => &[],
            Scope::Prefix(prefix) => prefix,
        };
        let mut shelf = self.lock(context.now);
        // A later flush of the same scope replaces one that waits.
        shelf.flushes.retain(|(waiting, _)| waiting != prefix);
        match when.filter(|when| *when > context.now) {
            None => shelf.flush(prefix),
            Some(when) => shelf.flushes.push((prefix.into(), when)),
        }
        Reply::done(Flushed { level: Durability::Ram })
    }

    fn scan(
        &self,
        context: &Context<'_>,
        _order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        let shelf = self.lock(context.now);
        let mut page = ScanPage::default();
        let mut bytes = 0;
        let start = cursor.map_or(Unbounded, |last| Excluded(last.to_vec()));
        for (key, entry) in shelf.entries.range((start, Unbounded)) {
            if bytes >= bytes_max && !page.items.is_empty() {
                page.next = page.items.last().map(|(key, _)| key.to_vec());
                break;
            }
            let seen = semantics::get(Some(&entry.current()), &Get::plain(), 0, context.now);
            if let Some(seen) = seen.filter(|_| !entry.expiry.is_past(context.now)) {
                bytes += entry.value.len();
                page.items.push((
                    key.as_slice().into(),
                    Item { found: seen.found, value: entry.value.clone().into() },
                ));
            }
        }
        Reply::done(page)
    }

    fn memory_use(&self) -> MemoryUse {
        let shelf = self.0.lock().expect("no holder of the lock panics");
        let bytes = shelf.entries.iter().map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>();
        MemoryUse { items: shelf.entries.len() as u64, bytes: bytes as u64, ..MemoryUse::default() }
    }

    fn stats(&self, _sink: &mut dyn StatsSink) {}

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn make(_world: &World) -> Opened {
    Ok(Arc::new(ShelfEngine::default()))
}

larder_engine::kit_tests!(make);
