//! How a change is made: decide under the shard's lock, find room, apply.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use larder_engine::lease::FillGuard;
use larder_engine::semantics::{Decimal, Next, NextValue};
use larder_engine::{EngineError, ErrorKind, Expiry, Payload, Timestamp};

use crate::RamEngine;
use crate::index::{Place, ShortHash};
use crate::large::LargeValue;
use crate::record::{self, GAP_BYTES_MIN, Head, Kind, View};
use crate::shard::{QueueName, Shard, Stored};

/// What a command does to the item under its key.
pub(crate) enum Step {
    Leave,
    Remove,
    Put(Plan),
}

/// The item a command leaves.
pub(crate) struct Plan {
    pub(crate) flags: u32,
    pub(crate) cas: u64,
    pub(crate) expiry: Expiry,
    pub(crate) stale: bool,
    pub(crate) token_taken: bool,
    pub(crate) content: Content,
    pub(crate) cause: Cause,
}

/// Where its value comes from.
pub(crate) enum Content {
    Kept,
    Given,
    /// The kept value with the given one before or behind it.
    Joined {
        kept_first: bool,
    },
    Decimal(Decimal),
    Empty,
}

/// Why it is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A write.
    Write,
    /// A read with side effects: the item counts as written when it was.
    Read { bump: bool },
    /// A copy of a store's item.
    Fill { fresh_until: u32, fetched: bool, last_access: Timestamp },
    /// A store's word that there is none.
    Absent { fresh_until: u32 },
}

impl Plan {
    pub(crate) fn new(next: &Next<'_>, given: &[u8], cause: Cause) -> Self {
        let content = match &next.value {
            NextValue::Kept => Content::Kept,
            NextValue::Given => Content::Given,
            NextValue::Empty => Content::Empty,
            NextValue::Decimal(decimal) => Content::Decimal(*decimal),
            NextValue::Joined(first, _) => {
                Content::Joined { kept_first: !std::ptr::eq(first.as_ptr(), given.as_ptr()) }
            }
        };
        Plan {
            flags: next.flags,
            cas: next.cas,
            expiry: next.expiry,
            stale: next.stale,
            token_taken: next.token_taken,
            content,
            cause,
        }
    }

    /// The head of the record that is to be written; kind and lengths come with what is stored.
    fn head(&self, old: Option<&Head>, epoch: u8, now: Timestamp) -> Head {
        let mut head = Head {
            kind: Kind::Small,
            copy: false,
            uses: 0,
            fetched: false,
            stale: self.stale,
            token_taken: self.token_taken,
            key_length: 0,
            stored_length: 0,
            epoch,
            last_access: now,
            cas: self.cas,
            flags: self.flags,
            expiry: self.expiry,
            fresh_until: 0,
        };
        if let Some(old) = old.filter(|old| old.kind != Kind::Absent) {
            head.uses = old.uses + 1;
        }
        match (self.cause, old) {
            (Cause::Write, _) => {}
            (Cause::Read { bump }, Some(old)) if matches!(self.content, Content::Kept) => {
                (head.copy, head.epoch, head.fresh_until) = (old.copy, old.epoch, old.fresh_until);
                (head.kind, head.key_length, head.stored_length) =
                    (old.kind, old.key_length, old.stored_length);
                if bump {
                    head.fetched = true;
                } else {
                    (head.uses, head.fetched, head.last_access) = (old.uses, old.fetched, old.last_access);
                }
            }
            (Cause::Read { bump }, _) => head.fetched = bump,
            (Cause::Fill { fresh_until, fetched, last_access }, _) => {
                (head.copy, head.fresh_until) = (true, fresh_until);
                (head.fetched, head.last_access) = (fetched, last_access);
            }
            (Cause::Absent { fresh_until }, _) => {
                (head.copy, head.fresh_until) = (true, fresh_until);
            }
        }
        head
    }
}

/// Whose change it is.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) now: Timestamp,
    pub(crate) given: Payload<'a>,
    /// Held since the change was admitted; `None` for a direct write, which refuses fills on their way.
    pub(crate) guard: Option<FillGuard<'a>>,
    /// Whether an item that is there goes if the new one finds no room, so that no old value stays.
    pub(crate) replaces: bool,
    /// Whether the key was among the ghosts.
    pub(crate) returns: bool,
}

impl<'a> Change<'a> {
    pub(crate) fn direct(key: &'a [u8], now: Timestamp) -> Self {
        Change { key, now, given: Payload::Borrowed(&[]), guard: None, replaces: false, returns: false }
    }
}

/// Why a change could not be applied yet: so many bytes are lacking.
struct Short {
    bytes: u64,
}

impl RamEngine {
    /// Makes a change. `decide` is shown the living item (no mark of absence), the value given and a new id; it may be
    /// called again when room had to be found in between.
    pub(crate) fn change<'a, R>(
        &'a self,
        change: Change<'a>,
        decide: impl FnMut(Option<&View<'_>>, &[u8], u64) -> Result<(Step, R), ErrorKind>,
    ) -> Result<R, EngineError> {
        self.change_and(change, decide, None::<fn(&View<'_>, &R)>)
    }

    /// The same, and shows the item as it is afterwards, before anybody else can change it.
    pub(crate) fn change_and<'a, R>(
        &'a self,
        mut change: Change<'a>,
        mut decide: impl FnMut(Option<&View<'_>>, &[u8], u64) -> Result<(Step, R), ErrorKind>,
        after: Option<impl FnOnce(&View<'_>, &R)>,
    ) -> Result<R, EngineError> {
        let hash = self.hash(change.key);
        if change.given.len() > self.small_value_bytes_max && !self.settle_in_pages(&mut change) {
            return self.no_room(hash, &change);
        }
        for _ in 0..crate::room::ATTEMPTS_MAX {
            if change.guard.is_none() && !self.leases.is_empty() {
                change.guard = Some(self.leases.revoke(change.key));
            }
            let mut locked = self.shard(hash).lock();
            if change.guard.is_none() && !self.leases.is_empty() {
                // A lease was taken in between; its holder must hear of this change.
                drop(locked);
                change.guard = Some(self.leases.revoke(change.key));
                continue;
            }
            let shard = &mut *locked;
            let (place, epoch) = self.find_in_epoch(shard, hash, change.key, change.now);
            let item = place.map(|place| shard.view(place)).filter(|view| view.head.kind != Kind::Absent);
            let (step, answer) = decide(item.as_ref(), change.given.as_slice(), self.next_id())?;
            let put = match step {
                Step::Leave => Ok(()),
                Step::Remove => {
                    if let Some(place) = place {
                        shard.remove(hash, place);
                    }
                    return Ok(answer);
                }
                Step::Put(plan) => self.put(shard, place, hash, &mut change, plan, epoch),
            };
            match put {
                Ok(()) => {
                    if self.flushes.epoch() != epoch
                        && let Some(place) = shard.find(hash, change.key)
                    {
                        // The segment may be of the flush's epoch, and would pass for one without anything flushed.
                        shard.segment_mut(place.segment).note_epoch(epoch);
                    }
                    if let Some(after) = after
                        && let Some(place) = shard.find(hash, change.key)
                    {
                        after(&shard.view(place), &answer);
                    }
                    return Ok(answer);
                }
                Err(Short { bytes }) => {
                    drop(locked);
                    if !self.make_room(bytes, change.now) {
                        break;
                    }
                }
            }
        }
        self.no_room(hash, &change)
    }

    /// The living record, and the epoch in which all of that was found out. What is decided on it is written in the same
    /// epoch: a flush that begins in between takes it, for it takes what was there before.
    #[inline]
    fn find_in_epoch(
        &self,
        shard: &mut Shard,
        hash: u64,
        key: &[u8],
        now: Timestamp,
    ) -> (Option<Place>, u64) {
        loop {
            let epoch = self.flushes.epoch();
            let place = self.find_living(shard, hash, key, now).ok();
            if self.flushes.epoch() == epoch {
                return (place, epoch);
            }
        }
    }

    /// Gives a large value pages of ours, unless it is in some already.
    fn settle_in_pages(&self, change: &mut Change<'_>) -> bool {
        let given = std::mem::replace(&mut change.given, Payload::Borrowed(&[]));
        let own = match given {
            Payload::Reserved(writer) => match self.take_reservation(writer) {
                Ok(own) => {
                    change.given = Payload::Owned(own.share());
                    return true;
                }
                Err(bytes) => Payload::Owned(bytes),
            },
            other => other,
        };
        match self.find_pages(own.len(), change.now) {
            None => false,
            Some(mut pages) => {
                pages.write(&[own.as_slice()]);
                change.given = Payload::Owned(pages.share());
                true
            }
        }
    }

    #[cold]
    fn no_room<R>(&self, hash: u64, change: &Change<'_>) -> Result<R, EngineError> {
        self.out_of_memory.fetch_add(1, Ordering::Relaxed);
        if change.replaces {
            let mut shard = self.shard(hash).lock();
            if let Some(place) = shard.find(hash, change.key) {
                shard.remove(hash, place);
            }
        }
        Err(ErrorKind::OutOfMemory.into())
    }

    /// Applies a plan, if there is room.
    fn put(
        &self,
        shard: &mut Shard,
        place: Option<Place>,
        hash: u64,
        change: &mut Change<'_>,
        plan: Plan,
        epoch: u64,
    ) -> Result<(), Short> {
        let old = place.map(|place| Head::read(shard.record(place)));
        let head = plan.head(old.as_ref(), epoch as u8, change.now);
        match (place, &old, &plan.content) {
            (Some(place), Some(old), Content::Kept) => {
                if self.rewrite_head(shard, place, old, head) {
                    return Ok(());
                }
                // The record grows, and its value may move or go while room is made.
                let view = shard.view(place);
                match view.shared {
                    Some(value) => {
                        let value = value.clone();
                        self.put_stored(shard, Some(place), hash, change, head, Stored::Large(value))
                    }
                    None => {
                        let value = view.value.to_vec();
                        let pieces = [&value[..]];
                        self.put_stored(shard, Some(place), hash, change, head, Stored::Small(&pieces))
                    }
                }
            }
            (place, _, Content::Joined { kept_first }) => {
                let kept_first = *kept_first;
                self.put_joined(shard, place, hash, change, head, kept_first)
            }
            (place, _, Content::Decimal(decimal)) => {
                let pieces = [decimal.as_slice()];
                self.put_stored(shard, place, hash, change, head, Stored::Small(&pieces))
            }
            (place, _, Content::Given) => {
                // Taken out for the time of the call: it is needed again if there is no room.
                let given = std::mem::replace(&mut change.given, Payload::Borrowed(&[]));
                let put = match &given {
                    Payload::Owned(value) if value.len() > self.small_value_bytes_max => {
                        self.put_stored(shard, place, hash, change, head, Stored::Large(value.clone()))
                    }
                    small => {
                        let pieces = [small.as_slice()];
                        self.put_stored(shard, place, hash, change, head, Stored::Small(&pieces))
                    }
                };
                change.given = given;
                put
            }
            (place, _, Content::Empty | Content::Kept) => {
                let nothing = matches!(plan.cause, Cause::Absent { .. });
                let stored = if nothing { Stored::Nothing } else { Stored::Small(&[]) };
                self.put_stored(shard, place, hash, change, head, stored)
            }
        }
    }

    /// Writes another head over a record that keeps its value, if it is as long as the one that is there.
    fn rewrite_head(&self, shard: &mut Shard, place: Place, old: &Head, mut head: Head) -> bool {
        (head.kind, head.key_length, head.stored_length) = (old.kind, old.key_length, old.stored_length);
        if !head.has_shape_of(old) {
            return false;
        }
        head.write(shard.record_mut(place));
        shard.segment_mut(place.segment).note_expiry(head.expiry);
        true
    }

    fn put_joined(
        &self,
        shard: &mut Shard,
        place: Option<Place>,
        hash: u64,
        change: &mut Change<'_>,
        head: Head,
        kept_first: bool,
    ) -> Result<(), Short> {
        let kept = place.map_or(&[][..], |place| shard.view(place).value);
        let given = change.given.as_slice();
        let pieces = if kept_first { [kept, given] } else { [given, kept] };
        let length = kept.len() + given.len();
        if length <= self.small_value_bytes_max {
            let joined = pieces.concat();
            return self.put_stored(shard, place, hash, change, head, Stored::Small(&[&joined[..]]));
        }
        let bytes = crate::large::charge(length);
        let mut pages = LargeValue::new(&self.arena, length).ok_or(Short { bytes })?;
        pages.write(&pieces);
        self.put_stored(shard, place, hash, change, head, Stored::Large(pages.share()))
    }

    fn put_stored(
        &self,
        shard: &mut Shard,
        place: Option<Place>,
        hash: u64,
        change: &mut Change<'_>,
        mut head: Head,
        stored: Stored<'_>,
    ) -> Result<(), Short> {
        head.set_contents(change.key, &stored);
        let length = head.record_length();
        let mut queue = match place {
            Some(place) if head.kind != Kind::Absent => {
                let bytes = shard.record(place);
                if Head::read(bytes).kind == Kind::Absent {
                    QueueName::Small
                } else {
                    let length_before = record::length(bytes);
                    if length == length_before || length + GAP_BYTES_MIN <= length_before {
                        overwrite(shard, place, &head, change.key, stored);
                        return Ok(());
                    }
                    shard.segment(place.segment).queue
                }
            }
            _ if head.kind == Kind::Absent => QueueName::Absent,
            _ => QueueName::Small,
        };
        if place.is_none() && queue == QueueName::Small {
            change.returns |= shard.ghosts.take(hash);
            queue = if change.returns { QueueName::Main } else { QueueName::Small };
        }
        let moved = self.find_room(shard, queue, length, place.is_none(), hash, change.now);
        let moved = moved.map_err(|bytes| Short { bytes })?;
        let place = if moved { shard.find(hash, change.key) } else { place };
        let new = shard.append(queue, head, change.key, stored);
        match place {
            Some(old) => {
                shard.index.update(ShortHash::of(hash), old, new);
                shard.kill(old);
                shard.tidy(old.segment);
            }
            None => shard.index.insert(ShortHash::of(hash), new),
        }
        Ok(())
    }

    /// Takes a reservation of ours over; one of others becomes plain bytes.
    fn take_reservation(&self, writer: larder_engine::Writer) -> Result<LargeValue, Bytes> {
        // Only a type can be asked whether it is ours, and asking consumes it.
        if !self.arena.contains(writer.as_slice()) {
            return Err(writer.into_bytes());
        }
        match writer.into_any().downcast::<LargeValue>() {
            Ok(own) => Ok(*own),
            Err(_) => unreachable!("pages of the arena are handed out as large values only"),
        }
    }
}

/// Writes a record over one that is as long or longer.
fn overwrite(shard: &mut Shard, place: Place, head: &Head, key: &[u8], stored: Stored<'_>) {
    shard.drop_large(place);
    let length_before = record::length(shard.record(place));
    let length = head.record_length();
    shard.write(place, head, key, stored);
    let gained = length_before - length;
    if gained > 0 {
        record::write_gap(&mut shard.record_mut(place)[length..length_before]);
        let segment = shard.segment_mut(place.segment);
        segment.live -= gained as u32;
        let queue = segment.queue;
        shard.queue_mut(queue).bytes -= gained as u64;
    }
}
