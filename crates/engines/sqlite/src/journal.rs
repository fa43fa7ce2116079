//! The journal's place in the file: slots of one page each, used over and over.
//!
//! A batch overwrites as many free slots as it needs. Writing a row of its old length changes that one page and nothing
//! else: no page is allocated or freed, no tree is balanced, nothing is deleted when the batch has been folded. So
//! a small batch costs one page of log and its sync.
//!
//! Slots of folded batches are known by their number: it is lower than `journal_first` in `meta`.

use std::collections::VecDeque;

use rusqlite::Connection;

use crate::kept::blob;

/// Length of every slot: the longest row that fits into a page of 4096 bytes.
pub(crate) const SLOT_BYTES: usize = 4056;
/// Number of the batch, number of the part, count of parts, bytes of the part.
const HEAD_BYTES: usize = 8 + 4 + 4 + 4;
/// Bytes of a batch in one slot.
pub(crate) const PART_BYTES: usize = SLOT_BYTES - HEAD_BYTES;
/// What a slot takes in the file.
pub(crate) const SLOT_FILE_BYTES: usize = 4096;

/// A piece of a batch, as it lies in a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part<'s> {
    seq: u64,
    part: u32,
    parts: u32,
    bytes: &'s [u8],
}

/// The pieces of a batch, each filled up to the length of a slot.
pub(crate) fn parts(seq: u64, batch: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let count = batch.len().div_ceil(PART_BYTES) as u32;
    batch.chunks(PART_BYTES).zip(0u32..).map(move |(bytes, part)| {
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(&seq.to_le_bytes());
        slot.extend_from_slice(&part.to_le_bytes());
        slot.extend_from_slice(&count.to_le_bytes());
        slot.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        slot.extend_from_slice(bytes);
        slot.resize(SLOT_BYTES, 0);
        slot
    })
}

fn parse(slot: &[u8]) -> Result<Part<'_>, String> {
    if slot.len() != SLOT_BYTES {
        return Err(format!("has {} bytes, not {SLOT_BYTES}", slot.len()));
    }
    let number = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
    let seq = u64::from(number(0)) | u64::from(number(4)) << 32;
    let (part, parts, length) = (number(8), number(12), number(16) as usize);
    let is_last = part.checked_add(1) == Some(parts);
    let is_full = length == PART_BYTES || (is_last && (1..PART_BYTES).contains(&length));
    // There is a next one to every batch.
    if !(1..u64::MAX).contains(&seq) || part >= parts || !is_full {
        return Err(format!("says part {part} of {parts} of batch {seq}, {length} bytes"));
    }
    Ok(Part { seq, part, parts, bytes: &slot[HEAD_BYTES..HEAD_BYTES + length] })
}

/// Which slots are free, and which batch the others hold.
#[derive(Default, Debug)]
pub(crate) struct Slots {
    free: VecDeque<i64>,
    /// Batch and slot, older batches first.
    used: VecDeque<(u64, i64)>,
    /// The highest number of a slot in the file.
    last: i64,
}

impl Slots {
    /// The slot for part `index` of the next batch, and whether it is still to be made.
    pub fn next(&self, index: usize) -> (i64, bool) {
        match self.free.get(index) {
            Some(slot) => (*slot, false),
            None => (self.last + 1 + (index - self.free.len()) as i64, true),
        }
    }

    /// The next `count` slots hold batch `seq` now.
    pub fn take(&mut self, seq: u64, count: usize) {
        for _ in 0..count {
            let slot = self.free.pop_front().unwrap_or_else(|| {
                self.last += 1;
                self.last
            });
            self.used.push_back((seq, slot));
        }
    }

    /// Batches before `first` are folded.
    pub fn free_before(&mut self, first: u64) {
        while let Some((_, slot)) = self.used.pop_front_if(|(seq, _)| *seq < first) {
            self.free.push_back(slot);
        }
    }

    /// How many hold a batch that is not folded.
    pub fn in_use(&self) -> usize {
        self.used.len()
    }
}

/// A batch of the journal.
pub(crate) struct Batch {
    pub seq: u64,
    pub bytes: Vec<u8>,
}

/// A part of a batch that is not folded, and the slot it was in.
struct Found {
    seq: u64,
    part: u32,
    parts: u32,
    slot: i64,
    bytes: Vec<u8>,
}

/// Reads the batches from number `first` on, in order. What is wrong is told to `complain`, in words.
pub(crate) fn read(
    connection: &Connection,
    first: u64,
    complain: &mut dyn FnMut(String),
) -> rusqlite::Result<(Vec<Batch>, Slots)> {
    let mut slots = Slots::default();
    let mut found = Vec::new();
    let mut select = connection.prepare("SELECT slot, part FROM journal ORDER BY slot")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let slot: i64 = row.get(0)?;
        slots.last = slot;
        match parse(blob(row, 1)?) {
            Ok(part) if part.seq < first => slots.free.push_back(slot),
            Ok(Part { seq, part, parts, bytes }) => {
                found.push(Found { seq, part, parts, slot, bytes: bytes.to_vec() });
            }
            Err(what) => complain(format!("journal slot {slot} {what}")),
        }
    }
    let batches = join(found, first, &mut slots, complain);
    Ok((batches, slots))
}

/// Puts parts together to batches, from number `first` on.
fn join(
    mut found: Vec<Found>,
    first: u64,
    slots: &mut Slots,
    complain: &mut dyn FnMut(String),
) -> Vec<Batch> {
    found.sort_unstable_by_key(|found| (found.seq, found.part));
    let mut batches: Vec<Batch> = Vec::new();
    let mut next = (first, 0, 0);
    for Found { seq, part, parts, slot, bytes } in found {
        let (seq_next, part_next, parts_before) = next;
        let continues = part_next > 0;
        let fits = if continues {
            (seq, part, parts) == (seq_next, part_next, parts_before)
        } else {
            (seq, part) == (seq_next, 0)
        };
        if !fits {
            complain(format!("journal batch {seq_next} is not whole, or missing"));
        }
        slots.used.push_back((seq, slot));
        match batches.last_mut().filter(|_| continues && fits) {
            Some(batch) => batch.bytes.extend_from_slice(&bytes),
            None => batches.push(Batch { seq, bytes }),
        }
        next = if part + 1 == parts { (seq + 1, 0, 0) } else { (seq, part + 1, parts) };
    }
    if next.1 > 0 {
        complain(format!("journal batch {} is not whole", next.0));
    }
    batches
}

/// Reads slots with these heads, for the fuzzer: what nobody complains of is whole and in order.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_slots(first: u64, heads: &[u8]) {
    let mut slots = Slots::default();
    let (mut found, mut complaints) = (Vec::new(), 0);
    for (slot, head) in (1..).zip(heads.chunks_exact(HEAD_BYTES)) {
        let mut bytes = head.to_vec();
        bytes.resize(SLOT_BYTES, 0);
        match parse(&bytes) {
            Ok(part) if part.seq < first => slots.free.push_back(slot),
            Ok(Part { seq, part, parts, bytes }) => {
                found.push(Found { seq, part, parts, slot, bytes: bytes.to_vec() });
            }
            Err(_) => complaints += 1,
        }
    }
    let bytes: usize = found.iter().map(|found| found.bytes.len()).sum();
    let batches = join(found, first, &mut slots, &mut |_| complaints += 1);
    assert_eq!(batches.iter().map(|batch| batch.bytes.len()).sum::<usize>(), bytes);
    let is_in_order = |(index, batch): (usize, &Batch)| batch.seq == first.wrapping_add(index as u64);
    assert!(complaints > 0 || batches.iter().enumerate().all(is_in_order));
}

#[cfg(test)]
mod tests;
