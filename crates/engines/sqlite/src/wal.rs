//! Whether the write-ahead log that belongs to a file is there and whole.
//!
//! SQLite takes a log that is missing for an empty one, and one that is broken in its middle for one that ends there:
//! what was committed last would be gone without a word. So the file itself says whether it needs a log: `clean` in
//! `meta` is 0 from the start to the clean stop of a server, and the start copies that mark into the file before
//! anything is served. Until the stop puts it back, the log is never removed and never without a head.
//!
//! What this cannot see: damage to the last commit of a log looks like a commit that was cut short.

use std::io;
use std::path::Path;

use larder_engine::disk::{Disk, DiskFile};

use crate::database::{self, beside};
use crate::error::OpenError;
use crate::schema;

const HEAD_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;
/// The first four bytes of a log; the last bit says in which byte order it is summed.
const MAGIC: u32 = 0x377F_0682;
/// Bytes read at a time, about.
const READ_BYTES: usize = 1 << 20;

/// A log on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Log {
    Missing,
    /// Nothing in it counts: it is empty, or its head is not one.
    Headless,
    /// This frame (from 0) is not what was written, though commits after it were made.
    Broken(u64),
    Whole,
}

/// Refuses a file whose log is missing or broken though the last server to write it was not stopped cleanly. Changes
/// nothing; not to be called while a server has the store open.
pub(crate) fn check(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    // The file alone, without its log. After a crash in the middle of copying the log it may be half new and half old,
    // and make no sense; then the log has the rest.
    let alone = database::connect_untouched(disk, path)
        .and_then(|connection| schema::meta(&connection, schema::META_CLEAN));
    if matches!(alone, Ok(schema::CLEAN_STOP | schema::CLEAN_COPY)) {
        return Ok(());
    }
    let log = beside(path, "-wal");
    let found = look(disk, &log).map_err(|error| OpenError::disk(&log, error))?;
    let what = match (found, alone) {
        (Log::Whole, _) => return Ok(()),
        (Log::Broken(frame), _) => format!("is damaged at frame {frame}, before its end"),
        (Log::Missing, Ok(_)) => "is missing".into(),
        (Log::Headless, Ok(_)) => "has no readable head".into(),
        (Log::Missing | Log::Headless, Err(error)) => return Err(OpenError::sqlite(path, error)),
    };
    Err(OpenError::Log { path: path.into(), log, what })
}

fn look(disk: &dyn Disk, path: &Path) -> io::Result<Log> {
    if !disk.exists(path)? {
        return Ok(Log::Missing);
    }
    look_at(&*disk.open(path, false)?)
}

pub(crate) fn look_at(file: &dyn DiskFile) -> io::Result<Log> {
    let mut head = [0; HEAD_BYTES];
    if file.read_at(&mut head, 0)? < HEAD_BYTES {
        return Ok(Log::Headless);
    }
    match Head::parse(&head) {
        None => Ok(Log::Headless),
        Some(head) => walk(file, &head),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

type Sum = (u32, u32);

/// What the head of a log says of its frames.
struct Head {
    page_bytes: usize,
    salts: (u32, u32),
    sum: Sum,
    is_big_endian: bool,
}

impl Head {
    fn parse(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
        let magic = number(bytes, 0);
        let page_bytes = number(bytes, 8) as usize;
        if magic & !1 != MAGIC || !page_bytes.is_power_of_two() || !(512..=65536).contains(&page_bytes) {
            return None;
        }
        let is_big_endian = magic & 1 == 1;
        let sum = (number(bytes, 24), number(bytes, 28));
        (add(is_big_endian, (0, 0), &bytes[..24]) == sum).then_some(Head {
            page_bytes,
            salts: (number(bytes, 16), number(bytes, 20)),
            sum,
            is_big_endian,
        })
    }
}

/// The checksum of SQLite's log, continued over `bytes`, whose length is a multiple of 8.
fn add(is_big_endian: bool, (mut one, mut two): Sum, bytes: &[u8]) -> Sum {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        one = one.wrapping_add(word(0)).wrapping_add(two);
        two = two.wrapping_add(word(4)).wrapping_add(one);
    }
    (one, two)
}

/// A frame as far as the next one is concerned.
#[derive(Clone, Copy)]
struct Frame {
    page: u32,
    /// Pages of the file after the commit this frame ends; 0: it ends none.
    pages_after: u32,
    sum: Sum,
}

/// Follows the frames. Each sum goes on from the one before, so a frame that follows a commit and fits it was written
/// after that commit was synced: if a frame before them is broken, a commit is lost. Without such a pair behind it, a
/// broken frame is the end that a crash leaves, or what an earlier use of the log has left.
fn walk(file: &dyn DiskFile, head: &Head) -> io::Result<Log> {
    let frame_bytes = FRAME_HEAD_BYTES + head.page_bytes;
    let frames_a_read = (READ_BYTES / frame_bytes).max(1);
    let mut buffer = vec![0; frames_a_read * frame_bytes];
    let mut before = Some(Frame { page: 0, pages_after: 0, sum: head.sum });
    let mut broken = None;
    let mut index = 0;
    // The frame that first made the last commit seen, which copies of it may follow.
    let mut commit_at = 0;
    loop {
        let read = file.read_at(&mut buffer, (HEAD_BYTES as u64) + index * frame_bytes as u64)?;
        for frame in buffer[..read].chunks_exact(frame_bytes) {
            let stored = Frame {
                page: number(frame, 0),
                pages_after: number(frame, 4),
                sum: (number(frame, 16), number(frame, 20)),
            };
            let is_of_this_log = (number(frame, 8), number(frame, 12)) == head.salts;
            let follows = is_of_this_log
                && before.is_some_and(|before| {
                    let sum = add(head.is_big_endian, before.sum, &frame[..8]);
                    add(head.is_big_endian, sum, &frame[FRAME_HEAD_BYTES..]) == stored.sum
                });
            match broken {
                None if !follows => broken = Some(index),
                Some(first)
                    if follows
                        && commit_at >= first
                        && before.is_some_and(|before| before.goes_on(stored)) =>
                {
                    return Ok(Log::Broken(first));
                }
                _ => {}
            }
            if !before.is_some_and(|before| before.is_copied(stored)) {
                commit_at = index;
            }
            before = is_of_this_log.then_some(stored);
            index += 1;
        }
        if read < buffer.len() {
            return Ok(Log::Whole);
        }
    }
}

impl Frame {
    /// Whether the next frame is a copy of this one, which ends a commit. Such copies fill a sector, where writing may
    /// harm what is beside; they are synced with the commit, and the last one may be harmed by what is written next.
    fn is_copied(&self, next: Frame) -> bool {
        self.pages_after != 0 && (next.page, next.pages_after) == (self.page, self.pages_after)
    }

    /// Whether the next frame begins what came after the commit that this one ends.
    fn goes_on(&self, next: Frame) -> bool {
        self.pages_after != 0 && !self.is_copied(next)
    }
}

/// Gives head and frames the checksums they should have, in pages of 512 bytes: no fuzzer guesses them.
#[cfg(feature = "fuzzing")]
pub(crate) fn mend_checksums(log: &mut [u8]) {
    const PAGE_BYTES: usize = 512;
    let Some((head, frames)) = log.split_first_chunk_mut::<HEAD_BYTES>() else { return };
    head[..4].copy_from_slice(&MAGIC.to_be_bytes());
    head[8..12].copy_from_slice(&(PAGE_BYTES as u32).to_be_bytes());
    let put = |bytes: &mut [u8], sum: Sum| {
        bytes[..4].copy_from_slice(&sum.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&sum.1.to_be_bytes());
    };
    let mut sum = add(false, (0, 0), &head[..24]);
    put(&mut head[24..], sum);
    let salts: [u8; 8] = head[16..24].try_into().expect("eight bytes");
    for frame in frames.chunks_exact_mut(FRAME_HEAD_BYTES + PAGE_BYTES) {
        // Frames of odd pages stay as they are, so that some do not follow.
        if frame[3] % 2 == 1 {
            continue;
        }
        frame[8..16].copy_from_slice(&salts);
        sum = add(false, sum, &frame[..8]);
        sum = add(false, sum, &frame[FRAME_HEAD_BYTES..]);
        put(&mut frame[16..24], sum);
    }
}

#[cfg(test)]
mod tests;
