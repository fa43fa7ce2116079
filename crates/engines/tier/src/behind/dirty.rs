//! The writes that are acknowledged and not yet in the store.

mod table;

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::HashMap;
use larder_engine::{Scope, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use super::held::{Held, VALUE_HERE_MAX};
use super::room::Room;
use super::short::Short;
use crate::traffic::covers;
use table::{Place, Table};

const SHARDS: usize = 64;
/// What an entry takes, with its slot and its place in the queue.
const ENTRY_BYTES: usize = size_of::<Option<Entry>>() + 24;
/// Up to this length a name lies in its entry.
const NAME_HERE_MAX: usize = 62;
/// From so many bytes of entries on they are fetched ahead: fewer are in the processor's cache anyway.
const FETCHED_BYTES_MIN: u64 = 1 << 20;

type Hasher = foldhash::fast::RandomState;

/// The name of a key.
pub(crate) type Name = Short<NAME_HERE_MAX>;

/// Latest writes by key.
pub(crate) struct Dirty {
    hasher: Hasher,
    shards: Box<[Mutex<Shard>]>,
}

/// Entries of some keys. Its lock orders the writes of a key. Under it the cache may be asked; room and ids are taken.
#[derive(Default)]
pub(crate) struct Shard {
    entries: Table,
    /// What is to be sent, in the order in which it became dirty: the entries that are [`State::Ready`].
    ready: VecDeque<Place>,
    /// Keys whose item somebody reads in order to decide on it.
    watches: HashMap<Box<[u8]>, Watch, Hasher>,
    /// The prefix that a flush under way empties.
    flushing: Option<Box<[u8]>>,
    ages: Ages,
    /// Pages of scans that the store is being asked for.
    scans: u32,
    /// What has reached the store since the first of these was asked for: they may not show it yet.
    settled: HashMap<Box<[u8]>, Entry, Hasher>,
}

/// The latest write of a key.
pub(crate) struct Entry {
    pub name: Name,
    /// `None`: the item is to be removed.
    pub item: Option<Held>,
    /// The store's key, if it is not the name.
    pub key: Option<Box<[u8]>>,
    pub prefix_length: u8,
    /// Grows with every write of the key.
    pub version: u64,
    /// For flushes that fall due.
    pub written: Timestamp,
    /// When it became dirty; of one that is on its way, when that one did.
    tick: u64,
    /// While an older write is on its way: when the first came that has not gone with it.
    changed_tick: u64,
    /// Whether it is in [`Ages`].
    counted: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the queue of keys to send.
    Ready,
    /// On its way.
    Sent,
    /// An older write of the key is on its way.
    SentThenChanged,
    /// Refused for its own sake; waits to be tried again.
    Refused,
}

#[derive(Default)]
struct Watch {
    watchers: u32,
    changes: u64,
}

/// How many entries became dirty at each tick.
#[derive(Default)]
struct Ages {
    first: u64,
    counts: VecDeque<u32>,
}

/// Ticks told apart; what is newer counts as if it were this much newer than the oldest.
const TICKS_MAX: u64 = 1024;

impl Ages {
    /// Counts an entry. The tick it counts for, which may be another: ticks are read without a lock, and come late.
    fn add(&mut self, tick: u64) -> u64 {
        if self.counts.is_empty() {
            self.first = tick;
        }
        let tick = tick.clamp(self.first, self.first + TICKS_MAX - 1);
        let place = (tick - self.first) as usize;
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        tick
    }

    fn remove(&mut self, tick: u64) {
        self.counts[(tick - self.first) as usize] -= 1;
        while self.counts.front() == Some(&0) {
            self.counts.pop_front();
            self.first += 1;
        }
    }

    fn oldest(&self) -> Option<u64> {
        (!self.counts.is_empty()).then_some(self.first)
    }
}

/// What a write brings into the map.
pub(crate) struct Change<'a> {
    pub name: &'a [u8],
    /// The store's key, if it is not the name.
    pub key: Option<&'a [u8]>,
    pub prefix_length: u8,
    pub item: Option<Held>,
    pub version: u64,
    pub written: Timestamp,
    pub tick: u64,
}

/// A write that is being sent.
pub(crate) struct Sent {
    pub name: Name,
    pub key: Option<Box<[u8]>>,
    pub prefix_length: u8,
    pub item: Option<Held>,
    pub written: Timestamp,
    pub bytes: u64,
}

/// What became of a write that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The store has it.
    Done,
    /// The store has it, but a flush fell due meanwhile that it may have missed: the item must go.
    Flushed,
    /// To be sent again.
    Again,
    /// Refused for its own sake; [`Shard::retry`] brings it back.
    Refused,
}

impl Dirty {
    pub fn new() -> Self {
        Dirty { hasher: Hasher::default(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// The shard of a key, locked.
    #[inline]
    pub fn lock(&self, name: &[u8]) -> MutexGuard<'_, Shard> {
        self.shard(name).lock()
    }

    #[inline]
    fn shard(&self, name: &[u8]) -> &Mutex<Shard> {
        &self.shards[(self.hasher.hash_one(name) >> 32) as usize % SHARDS]
    }

    /// Fetches the memory of a key's entry ahead, where that may help.
    #[inline]
    pub fn prefetch(&self, name: &[u8], room: &Room) {
        if room.bytes() >= FETCHED_BYTES_MIN
            && let Some(shard) = self.shard(name).try_lock()
        {
            shard.entries.prefetch(name);
        }
    }

    /// All shards.
    pub fn shards(&self) -> &[Mutex<Shard>] {
        &self.shards
    }

    /// Entries in all.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }

    /// Entries that the store has refused for their own sake.
    pub fn refused(&self) -> usize {
        let refused = |shard: &Mutex<Shard>| {
            shard.lock().entries.iter().filter(|entry| entry.state == State::Refused).count()
        };
        self.shards.iter().map(refused).sum()
    }

    /// Whether anything waits to be sent.
    pub fn any_ready(&self) -> bool {
        self.shards.iter().any(|shard| !shard.lock().ready.is_empty())
    }

    /// The tick at which the oldest entry became dirty; refused ones aside.
    pub fn oldest_tick(&self) -> Option<u64> {
        self.shards.iter().filter_map(|shard| shard.lock().ages.oldest()).min()
    }
}

impl Shard {
    /// The entry of a key.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The entry of a key as a page of the store is to show it, between [`Shard::begin_scan`] and [`Shard::end_scan`].
    pub fn get_for_scan(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name).or_else(|| self.settled.get(name))
    }

    /// The store is about to be asked for a page of a scan.
    pub fn begin_scan(&mut self) {
        self.scans += 1;
    }

    /// The page has been compared with the queue, or will never be.
    pub fn end_scan(&mut self) {
        self.scans -= 1;
        if self.scans == 0 {
            self.settled = HashMap::default();
        }
    }

    /// The entry of a key, to note an access.
    #[inline]
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Puts the latest write of a key.
    pub fn put(&mut self, change: Change<'_>, room: &Room) {
        self.mark_watch(change.name);
        let Some(place) = self.entries.find(change.name) else {
            return self.put_new(change, room);
        };
        let entry = self.entries.at_mut(place);
        let before = entry.bytes();
        entry.item = change.item;
        entry.version = change.version;
        // Workers' seconds may differ; a write is not older than the one before it.
        entry.written = entry.written.max(change.written);
        room.changed(entry.bytes(), before);
        match entry.state {
            State::Ready | State::SentThenChanged => {}
            State::Sent => {
                entry.state = State::SentThenChanged;
                entry.changed_tick = change.tick;
            }
            State::Refused => {
                entry.state = State::Ready;
                entry.tick = self.ages.add(change.tick);
                entry.counted = true;
                self.ready.push_back(place);
            }
        }
    }

    #[inline]
    fn put_new(&mut self, change: Change<'_>, room: &Room) {
        let entry = Entry {
            name: Name::from(change.name),
            item: change.item,
            key: change.key.map(Into::into),
            prefix_length: change.prefix_length,
            version: change.version,
            written: change.written,
            tick: self.ages.add(change.tick),
            changed_tick: change.tick,
            counted: true,
            state: State::Ready,
        };
        room.changed(entry.bytes(), 0);
        let place = self.entries.insert(entry);
        self.ready.push_back(place);
    }

    /// Takes up to `count_max` writes to send, up to about `bytes_max` bytes.
    pub fn take(&mut self, count_max: usize, bytes_max: u64, batch: &mut Vec<Sent>) -> u64 {
        let mut bytes = 0;
        let mut count = 0;
        while count < count_max && bytes < bytes_max {
            let Some(place) = self.ready.pop_front() else { break };
            let entry = self.entries.at_mut(place);
            debug_assert_eq!(entry.state, State::Ready);
            entry.state = State::Sent;
            let sent = Sent {
                name: entry.name.clone(),
                key: entry.key.clone(),
                prefix_length: entry.prefix_length,
                item: entry.item.clone(),
                written: entry.written,
                bytes: entry.bytes(),
            };
            bytes += sent.bytes;
            count += 1;
            batch.push(sent);
        }
        bytes
    }

    /// Notes what became of a write that was sent.
    pub fn finish(&mut self, name: &[u8], fate: Fate, room: &Room) {
        let Some(place) = self.entries.find(name) else { return };
        let entry = self.entries.at_mut(place);
        let changed = match entry.state {
            State::Sent => false,
            State::SentThenChanged => true,
            State::Ready | State::Refused => return,
        };
        match fate {
            Fate::Done if !changed => return self.remove(name, room),
            Fate::Refused if !changed => {
                entry.state = State::Refused;
                if std::mem::take(&mut entry.counted) {
                    self.ages.remove(entry.tick);
                }
                return;
            }
            Fate::Flushed if !changed => {
                let before = entry.bytes();
                entry.item = None;
                room.changed(entry.bytes(), before);
            }
            // What was sent is in no store yet, whether or not a newer write goes in its place.
            Fate::Again => {}
            // The newer write begins its own age.
            _ => {
                if entry.counted {
                    self.ages.remove(entry.tick);
                }
                entry.tick = self.ages.add(entry.changed_tick);
                entry.counted = true;
            }
        }
        entry.state = State::Ready;
        self.ready.push_back(place);
    }

    /// Sends a refused write once more.
    pub fn retry(&mut self, name: &[u8]) {
        let Some(place) = self.entries.find(name) else { return };
        let entry = self.entries.at_mut(place);
        if entry.state == State::Refused {
            entry.state = State::Ready;
            self.ready.push_back(place);
        }
    }

    fn remove(&mut self, name: &[u8], room: &Room) {
        let entry = self.forget(name, room);
        if self.scans > 0 {
            self.settled.insert(name.into(), entry);
        }
    }

    fn forget(&mut self, name: &[u8], room: &Room) -> Entry {
        let entry = self.entries.remove(name).expect("the caller has seen the entry");
        if entry.counted {
            self.ages.remove(entry.tick);
        }
        room.changed(0, entry.bytes());
        entry
    }

    /// Holds back the writes of a scope until [`Shard::end_flush`]: some of what they would look at is flushed already,
    /// some not yet, and the flush would take with the old entries those made on what it has done.
    pub fn begin_flush(&mut self, scope: Scope<'_>) {
        self.flushing = Some(match scope {
            Scope::All => Box::default(),
            Scope::Prefix(prefix) => prefix.into(),
        });
    }

    /// Lets the writes of the scope go on.
    pub fn end_flush(&mut self) {
        self.flushing = None;
    }

    /// Whether a flush under way holds back the writes of a key.
    #[inline]
    pub fn is_flushing(&self, name: &[u8]) -> bool {
        self.flushing.as_deref().is_some_and(|prefix| name.starts_with(prefix))
    }

    /// Drops the entries of a scope: the store has been flushed. Nothing may be on its way.
    pub fn drop_scope(&mut self, scope: Scope<'_>, room: &Room) {
        self.ready.retain(|place| !covers(scope, &self.entries.at(*place).name));
        let in_scope = self.entries.iter().filter(|entry| covers(scope, &entry.name));
        for name in in_scope.map(|entry| entry.name.clone()).collect::<Vec<_>>() {
            self.forget(&name, room);
        }
        self.settled.retain(|name, _| !covers(scope, name));
        for (name, watch) in &mut self.watches {
            watch.changes += u64::from(covers(scope, name));
        }
    }

    fn mark_watch(&mut self, name: &[u8]) {
        if !self.watches.is_empty()
            && let Some(watch) = self.watches.get_mut(name)
        {
            watch.changes += 1;
        }
    }

    /// Begins to watch a key for writes that come while its item is read. The ticket is for [`Shard::unwatch`].
    pub fn watch(&mut self, name: &[u8]) -> u64 {
        if let Some(watch) = self.watches.get_mut(name) {
            watch.watchers += 1;
            return watch.changes;
        }
        self.watches.insert(name.into(), Watch { watchers: 1, changes: 0 });
        0
    }

    /// Ends a watch. Whether the key was written meanwhile.
    pub fn unwatch(&mut self, name: &[u8], ticket: u64) -> bool {
        let watch = self.watches.get_mut(name).expect("a key is watched until each of its watches has ended");
        watch.watchers -= 1;
        let changed = watch.changes != ticket;
        if watch.watchers == 0 {
            self.watches.remove(name);
        }
        changed
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        entry_bytes(&self.name, self.item.as_ref().map_or(0, |item| item.value.len()))
    }
}

/// What an entry weighs.
#[inline]
pub(crate) fn entry_bytes(name: &[u8], value_length: usize) -> u64 {
    let outside = |length: usize, here_max: usize| if length > here_max { length } else { 0 };
    (ENTRY_BYTES + outside(name.len(), NAME_HERE_MAX) + outside(value_length, VALUE_HERE_MAX)) as u64
}

#[cfg(test)]
mod tests;
