//! Where room comes from: S3-FIFO over segments.
//!
//! A newcomer enters the small queue. If nobody reads it before its segment reaches the front, it goes, and its hash is remembered for a
//! while; a key that comes back while remembered enters the main queue. The main queue gives every item that was read
//! another round. A scan therefore flows through the small queue and leaves the main queue alone.
//!
//! The segment at the front is *cleaned*: record by record, what stays is moved to the last segment of the main queue or, when
//! that is full, to the beginning of the segment being cleaned itself, which then becomes the last of the main queue. So cleaning needs
//! no memory of its own, and moving those that stay puts them together. It may stop after any record and go on later.
//!
//! Before a living item is evicted, a few segments are asked whether they have enough room in them that dead, expired or flushed
//! records take: such a segment is *compacted*, and filled anew.

use larder_engine::{Eviction, Expiry, Observer};

use crate::index::{Place, ShortHash};
use crate::record::{self, Head, Kind};
use crate::shard::{Around, QueueName, Shard};

/// The small queue's share of a shard's bytes: one part in this many.
const SMALL_PARTS: u64 = 10;
/// Reads by which a newcomer earns its place in the main queue.
const USES_FOR_MAIN: u8 = 1;
/// Segments asked for room before a living item is evicted; the same where none may be.
const CRAWLED_SEGMENTS: usize = 16;
const CRAWLED_SEGMENTS_ONLY_DEAD: usize = 1024;
/// Segments among those that are searched for expired and flushed records.
const SEARCHED_SEGMENTS: usize = 2;
const SEARCHED_SEGMENTS_ONLY_DEAD: usize = 8;
/// A segment is worth compacting if that gains one part of it in this many; the same where nothing may be evicted.
const GAIN_PARTS: usize = 4;
const GAIN_PARTS_ONLY_DEAD: usize = 16;
/// How many small items may get another round in one call; after that those at the front go however often they were read,
/// so that a call costs the same however full the engine is.
const ROUNDS_MAX: usize = 2048;
/// A longer item counts once more for each of so many bytes that are moved.
const ROUND_BYTES: usize = 512;
/// No more is freed at a time, whatever is lacking, so that a call stays short.
const GAIN_BYTES_MAX: u64 = 1 << 20;

/// How much one call may do.
pub(crate) struct Effort {
    rounds_left: usize,
}

impl Effort {
    pub(crate) fn new() -> Self {
        Effort { rounds_left: ROUNDS_MAX }
    }

    /// Whether an item of `length` bytes may have another round.
    fn allows(&mut self, length: usize) -> bool {
        let rounds = 1 + length / ROUND_BYTES;
        let is_allowed = rounds <= self.rounds_left;
        self.rounds_left -= if is_allowed { rounds } else { self.rounds_left };
        is_allowed
    }
}

/// Records looked at together.
const AHEAD_RECORDS: usize = 16;

/// The records that are next, with their lengths and hashes.
struct Ahead {
    records: [(Place, usize, u64); AHEAD_RECORDS],
    count: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Ahead { records: [(Place { segment: 0, offset: 0 }, 0, 0); AHEAD_RECORDS], count: 0 }
    }
}

impl Ahead {
    /// Where the last of them ends.
    fn last_end(&self) -> Option<u32> {
        let (place, length, _) = self.records[..self.count].last()?;
        Some(place.offset + *length as u32)
    }
}

/// What becomes of a living record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is carried to the end of this queue, or stays in its segment if there is no room.
    Stays {
        queue: QueueName,
        uses: u8,
    },
    Evicted,
}

/// How a segment is cleaned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Living records stay in this queue.
    Compact(QueueName),
    /// Living records are judged as those of this queue.
    Judge(QueueName),
}

impl Shard {
    /// Gains room for more records: at least one segment's worth of them, or `bytes`, whichever is less. What was gained, `None` if
    /// nothing can be.
    pub(crate) fn gain(&mut self, around: &Around<'_>, bytes: u64, effort: &mut Effort) -> Option<u64> {
        self.shrink = self.index.shrink_next(self.shrink, around.arena);
        if let Some(gained) = self.crawl(around) {
            return Some(gained);
        }
        let absent = self.queue(QueueName::Absent).order.len();
        let absent_bytes = (absent * around.segment_bytes) as u64;
        if absent > 0 && (absent_bytes > around.absent_bytes_max || !around.evict) {
            return Some(self.clean_front(QueueName::Absent, around, u64::MAX, effort));
        }
        if !around.evict {
            return None;
        }
        // At least 1: nothing is cleaned for nothing.
        let bytes = bytes.clamp(1, GAIN_BYTES_MAX);
        loop {
            let gained = self.clean_front(self.victim()?, around, bytes, effort);
            if gained > 0 {
                return Some(gained);
            }
        }
    }

    /// The queue that has to give.
    fn victim(&self) -> Option<QueueName> {
        let (small, main) = (self.queue(QueueName::Small), self.queue(QueueName::Main));
        let small_is_over_share = small.bytes * SMALL_PARTS >= small.bytes + main.bytes;
        let has_absent = !self.queue(QueueName::Absent).order.is_empty();
        match (small.order.is_empty(), main.order.is_empty()) {
            (true, true) => has_absent.then_some(QueueName::Absent),
            (false, true) => Some(QueueName::Small),
            (true, false) => Some(QueueName::Main),
            _ if small_is_over_share => Some(QueueName::Small),
            _ => Some(QueueName::Main),
        }
    }

    /// Lets old marks of absence go if another segment of them would exceed their share.
    pub(crate) fn make_way_for_absent(&mut self, around: &Around<'_>) {
        let absent = self.queue(QueueName::Absent).order.len();
        if absent > 0 && ((absent + 1) * around.segment_bytes) as u64 > around.absent_bytes_max {
            self.clean_front(QueueName::Absent, around, u64::MAX, &mut Effort::new());
        }
    }

    /// Cleans the oldest segment of a queue until `bytes` are free, or to its end; the bytes freed.
    pub(crate) fn clean_front(
        &mut self,
        queue: QueueName,
        around: &Around<'_>,
        bytes: u64,
        effort: &mut Effort,
    ) -> u64 {
        let number = *self.queue(queue).order.front().expect("a queue with segments");
        let freed = self.clean(number, Rule::Judge(queue), around, bytes, effort);
        if (self.segment(number).cursor as usize) < self.segment(number).fill as usize {
            return freed;
        }
        if self.finish(number) == 0 {
            return freed + self.close_segment(number);
        }
        // Those that stayed are the newest of the main queue.
        let live = u64::from(self.segment(number).live) + self.segment(number).outside;
        self.queue_mut(queue).order.pop_front();
        self.queue_mut(queue).bytes -= live;
        self.segment_mut(number).queue = QueueName::Main;
        self.queue_mut(QueueName::Main).bytes += live;
        self.queue_mut(QueueName::Main).order.push_back(number);
        freed
    }

    /// Makes what was kept of a cleaned segment all there is; the bytes of it that live.
    fn finish(&mut self, number: u32) -> usize {
        let segment = self.segment_mut(number);
        segment.fill = segment.kept;
        (segment.cursor, segment.kept) = (0, 0);
        segment.live as usize
    }

    /// Goes through the records of a segment from its cursor on, until `bytes` are free outside it.
    fn clean(
        &mut self,
        number: u32,
        rule: Rule,
        around: &Around<'_>,
        bytes: u64,
        effort: &mut Effort,
    ) -> u64 {
        let mut freed = 0;
        if self.segment(number).cursor == 0 {
            let epoch = around.flushes.epoch();
            let segment = self.segment_mut(number);
            (segment.earliest_expiry, segment.epoch) = (u32::MAX, epoch);
        }
        let mut ahead = Ahead::default();
        while freed < bytes && self.look_ahead(number, around, &mut ahead) {
            for at in 0..ahead.count {
                let (place, length, hash) = ahead.records[at];
                freed += self.clean_record(place, length, hash, rule, around, effort);
                self.segment_mut(number).cursor = place.offset + length as u32;
                if freed >= bytes {
                    break;
                }
            }
        }
        freed
    }

    /// Takes the next living records, and asks for the lines of the index they will need. `false`: none is left.
    fn look_ahead(&mut self, number: u32, around: &Around<'_>, ahead: &mut Ahead) -> bool {
        ahead.count = 0;
        while ahead.count < AHEAD_RECORDS {
            let segment = self.segment(number);
            let offset = ahead.last_end().unwrap_or(segment.cursor);
            if offset >= segment.fill {
                break;
            }
            let place = Place { segment: number, offset };
            let bytes = self.record(place);
            let length = record::length(bytes);
            if record::is_dead(bytes) {
                if ahead.count > 0 {
                    break;
                }
                self.segment_mut(number).cursor = offset + length as u32;
                continue;
            }
            let hash = around.hash(record::key(bytes));
            self.index.prefetch(ShortHash::of(hash));
            ahead.records[ahead.count] = (place, length, hash);
            ahead.count += 1;
        }
        ahead.count > 0
    }

    fn clean_record(
        &mut self,
        place: Place,
        length: usize,
        hash: u64,
        rule: Rule,
        around: &Around<'_>,
        effort: &mut Effort,
    ) -> u64 {
        if self.over(place, around.now, around.flushes).is_some() {
            self.note_reclaimed(place);
            self.index.remove(ShortHash::of(hash), place);
            return self.kill(place);
        }
        let head = Head::read(self.record(place));
        match judge(rule, &head, length, effort) {
            Fate::Stays { queue, uses } => {
                record::set_uses(self.record_mut(place), uses);
                if !self.carry(hash, place, length, queue) {
                    self.keep(hash, place, length);
                }
            }
            Fate::Evicted => return self.evict(hash, place, rule, around),
        }
        0
    }

    /// Takes a living item out to make room; nowhere else is that done. The bytes of its large value.
    fn evict(&mut self, hash: u64, place: Place, rule: Rule, around: &Around<'_>) -> u64 {
        let head = Head::read(self.record(place));
        if head.kind != Kind::Absent {
            self.events.evictions += 1;
            self.events.evicted_unfetched += u64::from(!head.fetched);
            self.events.evicted_age = around.now.seconds_since(head.last_access);
            if rule == Rule::Judge(QueueName::Small) {
                self.ghosts.remember(hash);
            }
            if let Some(observer) = around.observer.filter(|observer| observer.wants_evictions()) {
                self.tell_eviction(place, observer);
            }
        }
        self.index.remove(ShortHash::of(hash), place);
        self.kill(place)
    }

    #[cold]
    fn tell_eviction(&self, place: Place, observer: &dyn Observer) {
        let item = self.view(place);
        observer.evicted(&Eviction {
            key: item.key,
            value_bytes: item.value.len(),
            expiry: item.head.expiry,
            last_access: Some(item.head.last_access),
            fetched: item.head.fetched,
        });
    }

    /// Moves a record up to those that stay in its segment.
    fn keep(&mut self, hash: u64, place: Place, length: usize) {
        let expiry = Head::read(self.record(place)).expiry;
        let segment = self.segment_mut(place.segment);
        let to = Place { segment: place.segment, offset: segment.kept };
        segment.kept += length as u32;
        segment.note_expiry(expiry);
        if to != place {
            let from = place.offset as usize;
            segment.bytes_mut().copy_within(from..from + length, to.offset as usize);
            self.index.update(ShortHash::of(hash), place, to);
        }
    }

    /// Moves a record to the last segment of a queue, if it has room.
    fn carry(&mut self, hash: u64, place: Place, length: usize, queue: QueueName) -> bool {
        let Some(&last) = self.queue(queue).order.back() else { return false };
        if last == place.segment || !self.has_room(queue, length) {
            return false;
        }
        let numbers = [place.segment as usize, last as usize];
        let Ok([source, target]) = self.segments.get_disjoint_mut(numbers) else { return false };
        let (from, at) = (place.offset as usize, target.fill as usize);
        let record = &source.bytes()[from..from + length];
        target.bytes_mut()[at..at + length].copy_from_slice(record);
        let head = Head::read(record);
        let outside = match head.kind {
            Kind::Large => crate::large::charge(self.large.get(record::large_slot(record)).len()),
            _ => 0,
        };
        source.live -= length as u32;
        source.outside -= outside;
        target.fill += length as u32;
        target.live += length as u32;
        target.outside += outside;
        target.note_expiry(head.expiry);
        let bytes = length as u64 + outside;
        let queue_before = source.queue;
        self.queue_mut(queue_before).bytes -= bytes;
        self.queue_mut(queue).bytes += bytes;
        let to = Place { segment: last, offset: at as u32 };
        self.index.update(ShortHash::of(hash), place, to);
        true
    }

    /// Looks at the next few segments for room that nobody needs; what was gained.
    fn crawl(&mut self, around: &Around<'_>) -> Option<u64> {
        let (segments, mut searched_left, gain_parts) = if around.evict {
            (CRAWLED_SEGMENTS, SEARCHED_SEGMENTS, GAIN_PARTS)
        } else {
            (CRAWLED_SEGMENTS_ONLY_DEAD, SEARCHED_SEGMENTS_ONLY_DEAD, GAIN_PARTS_ONLY_DEAD)
        };
        let epoch = around.flushes.epoch();
        let mut best: Option<(usize, u32)> = None;
        for _ in 0..segments.min(self.segments.len()) {
            self.crawl = (self.crawl + 1) % self.segments.len();
            let number = self.crawl as u32;
            let segment = self.segment(number);
            if segment.run.is_none() || segment.cursor > 0 || segment.queue == QueueName::Absent {
                continue;
            }
            let may_hold_ended = segment.earliest_expiry <= around.now.0 || segment.epoch != epoch;
            if may_hold_ended && searched_left > 0 {
                searched_left -= 1;
                if let Some(gained) = self.drop_ended(number, around) {
                    return Some(gained);
                }
            }
            let gain = self.compaction_gain(number, around);
            if gain >= around.segment_bytes / gain_parts && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, number));
            }
        }
        let (gain, number) = best?;
        self.compact(number, around);
        Some(gain as u64)
    }

    /// Bytes that compacting a segment makes usable: what is dead in it, and what was left free at its end.
    fn compaction_gain(&self, number: u32, around: &Around<'_>) -> usize {
        let segment = self.segment(number);
        let dead = (segment.fill - segment.live) as usize;
        let is_last = self.queue(segment.queue).order.back() == Some(&number);
        let tail = around.segment_bytes - segment.fill as usize;
        // Where the next record did not fit, a little is always left.
        if is_last || tail < around.segment_bytes / GAIN_PARTS { dead } else { dead + tail }
    }

    /// Moves the living records of a segment together behind the last ones of its queue. What does not fit there makes it the
    /// last segment itself, to be filled.
    fn compact(&mut self, number: u32, around: &Around<'_>) {
        let queue = self.segment(number).queue;
        self.clean(number, Rule::Compact(queue), around, u64::MAX, &mut Effort::new());
        if self.finish(number) == 0 {
            self.close_segment(number);
            return;
        }
        let order = &mut self.queue_mut(queue).order;
        if let Some(at) = order.iter().position(|other| *other == number) {
            order.remove(at);
            order.push_back(number);
        }
    }

    /// Takes the records out of a segment that are over; the bytes freed if nothing is left in it.
    pub(crate) fn drop_ended(&mut self, number: u32, around: &Around<'_>) -> Option<u64> {
        let epoch = around.flushes.epoch();
        let mut earliest_expiry = u32::MAX;
        let mut offset = 0;
        let mut freed = 0;
        while let Some(place) = self.next_record(number, offset) {
            offset = place.offset + record::length(self.record(place)) as u32;
            if self.over(place, around.now, around.flushes).is_some() {
                let hash = around.hash(record::key(self.record(place)));
                self.note_reclaimed(place);
                self.index.remove(ShortHash::of(hash), place);
                freed += self.kill(place);
            } else {
                let expiry = Head::read(self.record(place)).expiry;
                if expiry != Expiry::NEVER {
                    earliest_expiry = earliest_expiry.min(expiry.raw());
                }
            }
        }
        let segment = self.segment_mut(number);
        (segment.earliest_expiry, segment.epoch) = (earliest_expiry, epoch);
        freed += self.tidy(number);
        (freed > 0).then_some(freed)
    }

    /// The first living record of a segment at or behind an offset where a record may begin.
    pub(crate) fn next_record(&self, number: u32, mut offset: u32) -> Option<Place> {
        let segment = self.segment(number);
        loop {
            // What has been looked at is either kept or elsewhere.
            if offset >= segment.kept && offset < segment.cursor {
                offset = segment.cursor;
            }
            if offset >= segment.fill {
                return None;
            }
            let bytes = &segment.bytes()[offset as usize..];
            if !record::is_dead(bytes) {
                return Some(Place { segment: number, offset });
            }
            offset += record::length(bytes) as u32;
        }
    }

    /// Gives back segments and books that hold nothing.
    pub(crate) fn give_back_empty(&mut self, around: &Around<'_>) -> u64 {
        let empty: Vec<u32> =
            self.segment_numbers().filter(|number| self.segment(*number).live == 0).collect();
        let ghosts = self.ghosts.bytes();
        self.ghosts.fit(self.items, around.arena);
        let freed: u64 = empty.into_iter().map(|number| self.close_segment(number)).sum();
        freed + ghosts.saturating_sub(self.ghosts.bytes())
    }
}

/// What becomes of a record that is not over.
fn judge(rule: Rule, head: &Head, length: usize, effort: &mut Effort) -> Fate {
    let queue = match rule {
        Rule::Compact(queue) => return Fate::Stays { queue, uses: head.uses },
        Rule::Judge(queue) => queue,
    };
    let needed = match queue {
        QueueName::Small => USES_FOR_MAIN,
        QueueName::Main => 1,
        QueueName::Absent => return Fate::Evicted,
    };
    if head.uses < needed || !effort.allows(length) {
        return Fate::Evicted;
    }
    let uses = if queue == QueueName::Small { 0 } else { head.uses - 1 };
    Fate::Stays { queue: QueueName::Main, uses }
}
