//! A part of the keys: an index, the segments it points into, and the queues of segments that say who goes first.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use larder_engine::{Expiry, Missed, Observer, Timestamp};

use crate::arena::{Arena, Run};
use crate::flush::Flushes;
use crate::ghosts::Ghosts;
use crate::index::{Index, Place, SEGMENTS_MAX, ShortHash};
use crate::large::{self, LargeSlots};
use crate::record::{self, Head, Kind, View};

/// Which queue of its shard a segment stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueName {
    /// Newcomers, on probation.
    Small,
    /// Those that were used again.
    Main,
    /// Not items: keys of which the store said that it has none.
    Absent,
}

/// Segments in the order their items came, the oldest first; records are appended to the last.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) order: VecDeque<u32>,
    /// Bytes of living records and of their large values.
    pub(crate) bytes: u64,
}

/// A stretch of memory filled with records from its beginning.
pub(crate) struct Segment {
    pub(crate) run: Option<Run>,
    pub(crate) queue: QueueName,
    /// Where the next record goes.
    pub(crate) fill: u32,
    /// Bytes of living records.
    pub(crate) live: u32,
    /// Bytes of the large values of its records.
    pub(crate) outside: u64,
    /// While it is being cleaned: records before here have been looked at,
    pub(crate) cursor: u32,
    /// and those that stay in it were moved to before here.
    pub(crate) kept: u32,
    /// No record expires before this second.
    pub(crate) earliest_expiry: u32,
    /// No record was taken by a flush up to this epoch.
    pub(crate) epoch: u64,
}

/// Events since the last reset.
#[derive(Clone, Copy, Default)]
pub(crate) struct Events {
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    /// Seconds since its last access when the last item was evicted.
    pub(crate) evicted_age: u32,
    pub(crate) reclaimed: u64,
    pub(crate) expired_unfetched: u64,
}

/// What a shard needs of the engine around it.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) arena: &'a Arc<Arena>,
    pub(crate) hasher: &'a foldhash::fast::RandomState,
    pub(crate) flushes: &'a Flushes,
    /// Who hears of evictions.
    pub(crate) observer: Option<&'a dyn Observer>,
    pub(crate) now: Timestamp,
    pub(crate) segment_bytes: usize,
    /// Whether living items may be evicted.
    pub(crate) evict: bool,
    /// Bytes that marks of absence may take in one shard.
    pub(crate) absent_bytes_max: u64,
}

/// What a segment costs besides its memory: its entry here.
const SEGMENT_OVERHEAD_BYTES: u64 = 128;

/// What is stored behind a record's key.
pub(crate) enum Stored<'a> {
    Nothing,
    /// A value, in pieces.
    Small(&'a [&'a [u8]]),
    Large(Bytes),
}

impl Stored<'_> {
    fn kind(&self) -> Kind {
        match self {
            Stored::Nothing => Kind::Absent,
            Stored::Small(_) => Kind::Small,
            Stored::Large(_) => Kind::Large,
        }
    }

    /// Bytes it takes in the record.
    fn length(&self) -> u16 {
        match self {
            Stored::Nothing => 0,
            Stored::Small(pieces) => pieces.iter().map(|piece| piece.len() as u16).sum(),
            Stored::Large(_) => 4,
        }
    }
}

impl Head {
    /// Notes what the record is to hold.
    pub(crate) fn set_contents(&mut self, key: &[u8], stored: &Stored<'_>) {
        self.kind = stored.kind();
        self.key_length = u8::try_from(key.len()).expect("a key has no more bytes than the protocol allows");
        self.stored_length = stored.length();
    }
}

pub(crate) struct Shard {
    pub(crate) index: Index,
    /// By number; number 0 is never used.
    pub(crate) segments: Vec<Segment>,
    vacant: Vec<u32>,
    queues: [Queue; 3],
    pub(crate) large: LargeSlots,
    pub(crate) ghosts: Ghosts,
    /// Items, those not yet reclaimed included.
    pub(crate) items: u64,
    pub(crate) absent_marks: u64,
    /// The segment after which the search for room in segments goes on.
    pub(crate) crawl: usize,
    /// The table of the index after which the search for sparse ones goes on.
    pub(crate) shrink: usize,
    pub(crate) events: Events,
}

impl Segment {
    fn vacant() -> Self {
        Segment {
            run: None,
            queue: QueueName::Small,
            fill: 0,
            live: 0,
            outside: 0,
            cursor: 0,
            kept: 0,
            earliest_expiry: u32::MAX,
            epoch: 0,
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.run.as_ref().expect("a segment in use has memory").bytes()
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.run.as_mut().expect("a segment in use has memory").bytes_mut()
    }

    pub(crate) fn note_expiry(&mut self, expiry: Expiry) {
        if expiry != Expiry::NEVER {
            self.earliest_expiry = self.earliest_expiry.min(expiry.raw());
        }
    }

    /// A record of this epoch was put in.
    pub(crate) fn note_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.min(epoch);
    }

    /// Forgets all records, none of which is alive.
    fn reset(&mut self) {
        debug_assert_eq!((self.live, self.outside), (0, 0));
        (self.fill, self.cursor, self.kept, self.earliest_expiry) = (0, 0, 0, u32::MAX);
    }
}

impl Around<'_> {
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl Shard {
    pub(crate) fn new() -> Self {
        Shard {
            index: Index::new(),
            segments: vec![Segment::vacant()],
            vacant: Vec::new(),
            queues: Default::default(),
            large: LargeSlots::default(),
            ghosts: Ghosts::default(),
            items: 0,
            absent_marks: 0,
            crawl: 0,
            shrink: 0,
            events: Events::default(),
        }
    }

    #[inline]
    pub(crate) fn queue(&self, name: QueueName) -> &Queue {
        &self.queues[name as usize]
    }

    pub(crate) fn queue_mut(&mut self, name: QueueName) -> &mut Queue {
        &mut self.queues[name as usize]
    }

    #[inline]
    pub(crate) fn segment(&self, number: u32) -> &Segment {
        &self.segments[number as usize]
    }

    pub(crate) fn segment_mut(&mut self, number: u32) -> &mut Segment {
        &mut self.segments[number as usize]
    }

    /// The record at a place, and what follows it.
    #[inline]
    pub(crate) fn record(&self, place: Place) -> &[u8] {
        &self.segment(place.segment).bytes()[place.offset as usize..]
    }

    #[inline]
    pub(crate) fn record_mut(&mut self, place: Place) -> &mut [u8] {
        &mut self.segment_mut(place.segment).bytes_mut()[place.offset as usize..]
    }

    /// The record of a key, whatever state it is in.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        self.index.find(ShortHash::of(hash), |place| record::has_key(self.record(place), key))
    }

    /// The living record at a place.
    #[inline]
    pub(crate) fn view(&self, place: Place) -> View<'_> {
        let bytes = self.record(place);
        let head = Head::read(bytes);
        let key = record::key(bytes);
        match head.kind {
            Kind::Large => {
                let shared = self.large.get(record::large_slot(bytes));
                View { head, key, value: shared, shared: Some(shared) }
            }
            _ => View { head, key, value: record::stored(bytes), shared: None },
        }
    }

    /// Why a record is over, if it is: flushed, expired, or an outdated mark of absence.
    #[inline]
    pub(crate) fn over(&mut self, place: Place, now: Timestamp, flushes: &Flushes) -> Option<Missed> {
        let head = Head::read(self.record(place));
        if head.epoch != flushes.epoch() as u8 && self.is_flushed(place, flushes) {
            return Some(Missed::Flushed);
        }
        head.has_ended(now).then_some(Missed::Expired)
    }

    /// Whether a flush has taken a record that is not of the present epoch; if not, it is moved up.
    #[cold]
    fn is_flushed(&mut self, place: Place, flushes: &Flushes) -> bool {
        let Some(epoch) = flushes.spared_until(&self.view(place)) else { return true };
        record::set_epoch(self.record_mut(place), epoch as u8);
        false
    }

    /// Whether a record of `length` bytes can be appended to a queue.
    pub(crate) fn has_room(&self, queue: QueueName, length: usize) -> bool {
        let last = self.queue(queue).order.back();
        last.is_some_and(|number| {
            let segment = self.segment(*number);
            segment.fill as usize + length <= segment.bytes().len()
        })
    }

    /// Appends a segment to a queue, if the budget allows.
    pub(crate) fn open_segment(&mut self, queue: QueueName, around: &Around<'_>) -> bool {
        if self.vacant.is_empty() && self.segments.len() == SEGMENTS_MAX {
            return false;
        }
        let pages = around.segment_bytes / crate::arena::PAGE_BYTES;
        let Some(run) = around.arena.try_take(pages, SEGMENT_OVERHEAD_BYTES) else { return false };
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.segments.push(Segment::vacant());
            (self.segments.len() - 1) as u32
        });
        let epoch = around.flushes.epoch();
        *self.segment_mut(number) = Segment { run: Some(run), queue, epoch, ..Segment::vacant() };
        self.queue_mut(queue).order.push_back(number);
        true
    }

    /// Gives a segment without living records back; the bytes.
    pub(crate) fn close_segment(&mut self, number: u32) -> u64 {
        let segment = self.segment_mut(number);
        segment.reset();
        let queue = segment.queue;
        let freed = segment.run.take().map_or(0, |run| run.charge());
        let order = &mut self.queue_mut(queue).order;
        if let Some(at) = order.iter().position(|other| *other == number) {
            order.remove(at);
        }
        self.vacant.push(number);
        if self.vacant.len() + 1 == self.segments.len() {
            self.vacant.clear();
            self.segments.truncate(1);
        }
        freed
    }

    /// Appends a record; there is room. `head` gets its kind and lengths here.
    pub(crate) fn append(
        &mut self,
        queue: QueueName,
        mut head: Head,
        key: &[u8],
        stored: Stored<'_>,
    ) -> Place {
        let number = *self.queue(queue).order.back().expect("there is a segment with room");
        let offset = self.segment(number).fill;
        let place = Place { segment: number, offset };
        head.set_contents(key, &stored);
        let length = head.record_length();
        let segment = self.segment_mut(number);
        segment.fill += length as u32;
        segment.live += length as u32;
        self.queue_mut(queue).bytes += length as u64;
        self.write(place, &head, key, stored);
        match head.kind {
            Kind::Absent => self.absent_marks += 1,
            _ => self.items += 1,
        }
        place
    }

    /// Writes a record where there is room for it, and counts its large value; nothing else is counted.
    pub(crate) fn write(&mut self, place: Place, head: &Head, key: &[u8], stored: Stored<'_>) {
        self.segment_mut(place.segment).note_expiry(head.expiry);
        let bytes = self.record_mut(place);
        let at = head.write(bytes);
        bytes[at..at + key.len()].copy_from_slice(key);
        let mut at = at + key.len();
        match stored {
            Stored::Nothing => {}
            Stored::Small(pieces) => {
                for piece in pieces {
                    bytes[at..at + piece.len()].copy_from_slice(piece);
                    at += piece.len();
                }
            }
            Stored::Large(value) => {
                let outside = large::charge(value.len());
                let slot = self.large.insert(value);
                record::set_large_slot(self.record_mut(place), slot);
                let segment = self.segment_mut(place.segment);
                segment.outside += outside;
                let queue = segment.queue;
                self.queue_mut(queue).bytes += outside;
            }
        }
    }

    /// Lets go of the large value of a record, if it has one; the bytes.
    #[inline]
    pub(crate) fn drop_large(&mut self, place: Place) -> u64 {
        if record::kind(self.record(place)) == Kind::Large { self.drop_large_value(place) } else { 0 }
    }

    fn drop_large_value(&mut self, place: Place) -> u64 {
        let bytes = self.record(place);
        let outside = large::charge(self.large.remove(record::large_slot(bytes)).len());
        let segment = self.segment_mut(place.segment);
        segment.outside -= outside;
        let queue = segment.queue;
        self.queue_mut(queue).bytes -= outside;
        outside
    }

    /// Makes a record a dead one, whose entry in the index is gone or points elsewhere. The bytes of its large value.
    pub(crate) fn kill(&mut self, place: Place) -> u64 {
        let freed = self.drop_large(place);
        match record::kind(self.record(place)) {
            Kind::Absent => self.absent_marks -= 1,
            _ => self.items -= 1,
        }
        let bytes = self.record_mut(place);
        let length = record::length(bytes);
        record::kill(bytes);
        let segment = self.segment_mut(place.segment);
        segment.live -= length as u32;
        let queue = segment.queue;
        self.queue_mut(queue).bytes -= length as u64;
        freed
    }

    /// Takes an item out; the bytes of its large value. Its segment is used again if nothing is left in it.
    pub(crate) fn remove(&mut self, hash: u64, place: Place) -> u64 {
        self.index.remove(ShortHash::of(hash), place);
        self.kill(place) + self.tidy(place.segment)
    }

    /// Makes use of a segment in which nothing lives any more.
    pub(crate) fn tidy(&mut self, number: u32) -> u64 {
        let segment = self.segment(number);
        if segment.live > 0 {
            return 0;
        }
        if self.queue(segment.queue).order.back() == Some(&number) {
            self.segment_mut(number).reset();
            return 0;
        }
        self.close_segment(number)
    }

    /// Takes out an item that is over.
    pub(crate) fn reclaim(&mut self, hash: u64, place: Place) -> u64 {
        self.note_reclaimed(place);
        self.remove(hash, place)
    }

    pub(crate) fn note_reclaimed(&mut self, place: Place) {
        let head = Head::read(self.record(place));
        if head.kind != Kind::Absent {
            let unread_and_expired = !head.fetched && head.expiry != Expiry::NEVER;
            self.events.reclaimed += 1;
            self.events.expired_unfetched += u64::from(unread_and_expired);
        }
    }

    /// Bytes of living records and their large values.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.queues.iter().map(|queue| queue.bytes).sum()
    }

    /// Numbers of the segments in use.
    pub(crate) fn segment_numbers(&self) -> impl Iterator<Item = u32> {
        (1..self.segments.len() as u32).filter(|number| self.segment(*number).run.is_some())
    }
}
