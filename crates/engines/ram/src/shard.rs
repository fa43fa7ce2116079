//! A part of the keys: a table, the slots it points to, and the queues that say who goes first.

use hashbrown::HashTable;
use larder_engine::{Expiry, Timestamp};

use crate::entry::{Body, Entry, NONE, Queue};
use crate::eviction::Ghosts;
use crate::flush::Flushes;
use crate::memory::heap_bytes;

/// Slots a shard begins with.
const SLOTS_MIN: usize = 8;
/// A shard smaller than this is never packed.
const PACK_SLOTS_MIN: usize = 64;

/// Entries in the order they came, linked through the slots.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub(crate) newest: u32,
    pub(crate) oldest: u32,
    pub(crate) bytes: u64,
    pub(crate) count: u32,
}

impl List {
    const EMPTY: List = List { newest: NONE, oldest: NONE, bytes: 0, count: 0 };
}

/// Events since the last reset.
#[derive(Clone, Copy, Default)]
pub(crate) struct Events {
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    pub(crate) reclaimed: u64,
    pub(crate) expired_unfetched: u64,
}

pub(crate) struct Shard {
    pub(crate) entries: Vec<Entry>,
    /// First free slot, linked by `next`.
    free: u32,
    table: HashTable<u32>,
    lists: [List; 3],
    pub(crate) ghosts: Ghosts,
    /// Where the search for expired entries goes on.
    pub(crate) crawl: usize,
    /// Grows when slots change their numbers.
    pub(crate) generation: u32,
    pub(crate) events: Events,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Shard {
            entries: Vec::new(),
            free: NONE,
            table: HashTable::new(),
            lists: [List::EMPTY; 3],
            ghosts: Ghosts::default(),
            crawl: 0,
            generation: 0,
            events: Events::default(),
        }
    }

    pub(crate) fn list(&self, queue: Queue) -> &List {
        &self.lists[queue as usize]
    }

    /// Items, those not yet reclaimed included.
    pub(crate) fn items(&self) -> u64 {
        u64::from(self.list(Queue::Small).count) + u64::from(self.list(Queue::Main).count)
    }

    #[inline]
    pub(crate) fn entry(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// The slot of a key, whatever state it is in.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let entries = &self.entries;
        self.table
            .find(hash, |slot| {
                let entry = &entries[*slot as usize];
                entry.hash == hash && entry.key() == key
            })
            .copied()
    }

    /// Whether an entry is over: expired, flushed, or an outdated mark of absence.
    #[inline]
    pub(crate) fn is_over(&mut self, slot: u32, now: Timestamp, flushes: &Flushes) -> bool {
        let entry = self.entry(slot);
        entry.expiry.is_past(now)
            || flushes.has_taken(entry)
            || (entry.queue == Queue::Absent && entry.is_overdue(now))
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        self.free != NONE || self.entries.len() < self.entries.capacity()
    }

    /// Bytes that [`Shard::grow`] will take.
    pub(crate) fn growth_bytes(&self) -> u64 {
        let capacity = self.entries.capacity();
        index_bytes(grown(capacity)) - index_bytes(capacity)
    }

    /// Makes room for more slots. The caller has reserved [`Shard::growth_bytes`].
    pub(crate) fn grow(&mut self) {
        self.set_capacity(grown(self.entries.capacity()));
    }

    fn set_capacity(&mut self, capacity: usize) {
        self.entries.reserve_exact(capacity - self.entries.len());
        let entries = &self.entries;
        self.table.reserve(capacity - self.table.len(), |slot| entries[*slot as usize].hash);
        self.ghosts.resize(capacity);
    }

    /// Puts a new entry in; there must be a free slot. Links, queue counts and body are taken care of here.
    pub(crate) fn insert(&mut self, entry: Entry) -> u32 {
        let (hash, queue) = (entry.hash, entry.queue);
        let slot = if self.free == NONE {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let slot = self.free;
            self.free = self.entries[slot as usize].next;
            self.entries[slot as usize] = entry;
            slot
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |slot| entries[*slot as usize].hash);
        self.link_newest(slot, queue);
        slot
    }

    /// Takes an entry out and returns the bytes freed.
    pub(crate) fn remove(&mut self, slot: u32) -> u64 {
        self.unlink(slot);
        let hash = self.entries[slot as usize].hash;
        if let Ok(occupied) = self.table.find_entry(hash, |other| *other == slot) {
            occupied.remove();
        }
        let free = self.free;
        let entry = self.entry(slot);
        let bytes = entry.body_bytes();
        entry.body = Body::Vacant;
        entry.next = free;
        self.free = slot;
        bytes
    }

    /// Takes out an entry that is over.
    pub(crate) fn reclaim(&mut self, slot: u32) -> u64 {
        let entry = self.entry(slot);
        if !entry.is_absent_mark() {
            let unread_and_expired = !entry.fetched && entry.expiry != Expiry::NEVER;
            self.events.reclaimed += 1;
            self.events.expired_unfetched += u64::from(unread_and_expired);
        }
        self.remove(slot)
    }

    /// Makes an entry the newest of `queue`.
    pub(crate) fn requeue(&mut self, slot: u32, queue: Queue) {
        self.unlink(slot);
        self.link_newest(slot, queue);
    }

    /// Follows a change of an entry's body.
    pub(crate) fn resized(&mut self, slot: u32, bytes_before: u64) {
        let entry = &self.entries[slot as usize];
        let list = &mut self.lists[entry.queue as usize];
        list.bytes = list.bytes - bytes_before + entry.body_bytes();
    }

    fn link_newest(&mut self, slot: u32, queue: Queue) {
        let second = self.lists[queue as usize].newest;
        let entry = self.entry(slot);
        entry.queue = queue;
        entry.previous = NONE;
        entry.next = second;
        let bytes = entry.body_bytes() + SLOT_BYTES;
        if second != NONE {
            self.entry(second).previous = slot;
        }
        let list = &mut self.lists[queue as usize];
        list.newest = slot;
        if list.oldest == NONE {
            list.oldest = slot;
        }
        list.bytes += bytes;
        list.count += 1;
    }

    fn unlink(&mut self, slot: u32) {
        let entry = self.entry(slot);
        let (newer, older, queue) = (entry.previous, entry.next, entry.queue);
        let bytes = entry.body_bytes() + SLOT_BYTES;
        if newer != NONE {
            self.entry(newer).next = older;
        }
        if older != NONE {
            self.entry(older).previous = newer;
        }
        let list = &mut self.lists[queue as usize];
        if list.newest == slot {
            list.newest = older;
        }
        if list.oldest == slot {
            list.oldest = newer;
        }
        list.bytes -= bytes;
        list.count -= 1;
    }

    /// Gives back slots when most are free; returns the bytes. Slots change their numbers.
    pub(crate) fn pack(&mut self) -> u64 {
        let capacity = self.entries.capacity();
        let live = self.table.len();
        if capacity < PACK_SLOTS_MIN || live * 4 > capacity {
            return 0;
        }
        let packed = grown(live.max(SLOTS_MIN));
        let mut order = Vec::with_capacity(live);
        for queue in [Queue::Small, Queue::Main, Queue::Absent] {
            let mut slot = self.list(queue).oldest;
            while slot != NONE {
                order.push(slot);
                slot = self.entries[slot as usize].previous;
            }
        }
        let mut old = std::mem::replace(self, Shard::new());
        self.set_capacity(packed);
        for slot in order {
            let place = &mut old.entries[slot as usize];
            let hole = Entry { body: Body::Vacant, ..*place };
            let entry = std::mem::replace(place, hole);
            self.insert(entry);
        }
        self.generation = old.generation + 1;
        self.events = old.events;
        index_bytes(capacity) - index_bytes(packed)
    }
}

/// What a slot costs in the queues' measure.
const SLOT_BYTES: u64 = size_of::<Entry>() as u64;

fn grown(capacity: usize) -> usize {
    (capacity + capacity / 2).max(SLOTS_MIN)
}

/// Memory of the slots, the table and the ghosts at a capacity.
fn index_bytes(capacity: usize) -> u64 {
    if capacity == 0 {
        return 0;
    }
    // One control byte and four for the slot a bucket; seven buckets in eight are used at most.
    let buckets = (capacity * 8 / 7 + 1).next_power_of_two().max(16);
    heap_bytes(capacity * size_of::<Entry>()) + heap_bytes(buckets * 5 + 16) + Ghosts::bytes(capacity)
}
