//! The bytes of one file: live, durable, and the changes between the two.

use std::collections::BTreeMap;

use super::SECTOR_BYTES;
use crate::kit::random::Random;

#[derive(Clone, Default)]
pub(super) struct SimulatedFile {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What leads from the durable bytes to the live ones, in order.
    waiting: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Length(length) => content.resize(*length, 0),
        }
    }

    /// What the change makes of the file's length.
    fn length_after(&self, length: usize) -> usize {
        match self {
            Change::Write { offset, bytes } => length.max(offset + bytes.len()),
            Change::Length(length) => *length,
        }
    }

    /// The sectors it touches in a file that is never longer than `length_max`.
    fn sectors(&self, length_max: usize) -> std::ops::Range<usize> {
        let (start, end) = match self {
            Change::Write { offset, bytes } => (*offset, offset + bytes.len()),
            Change::Length(length) => (*length, length_max),
        };
        start / SECTOR_BYTES..end.max(start).div_ceil(SECTOR_BYTES)
    }

    /// Applies the part that falls into the sector at `start`.
    fn apply_to_sector(&self, sector: &mut [u8], start: usize) {
        match self {
            Change::Write { offset, bytes } => {
                let from = start.max(*offset);
                let to = (start + sector.len()).min(offset + bytes.len());
                if from < to {
                    sector[from - start..to - start].copy_from_slice(&bytes[from - offset..to - offset]);
                }
            }
            Change::Length(length) => {
                let from = start.max(*length);
                if from < start + sector.len() {
                    sector[from - start..].fill(0);
                }
            }
        }
    }
}

/// How much of what waited reaches the platters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Survival {
    Nothing,
    Everything,
    AnySectors,
}

impl SimulatedFile {
    pub(super) fn length(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let start = (offset as usize).min(self.live.len());
        let count = buffer.len().min(self.live.len() - start);
        buffer[..count].copy_from_slice(&self.live[start..start + count]);
        count
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.waiting.push(change);
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.change(Change::Write { offset: offset as usize, bytes: bytes.to_vec() });
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.change(Change::Length(length as usize));
    }

    pub(super) fn sync(&mut self) {
        for change in self.waiting.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that fails: some sectors were written, and what was not written never will be, for the system counts it as
    /// clean. The length is no page data and arrives all the same.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.durable = self.any_sectors(random);
        self.durable.resize(self.live.len(), 0);
        self.waiting.clear();
    }

    /// The file after a power cut.
    pub(super) fn survivor(&self, random: &mut Random) -> SimulatedFile {
        let survival = match random.below(4) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => Survival::AnySectors,
        };
        let content = match survival {
            Survival::Nothing => self.durable.clone(),
            Survival::Everything => {
                // Not simply what programs see: after a failed sync they see more than was ever written.
                let mut content = self.durable.clone();
                self.waiting.iter().for_each(|change| change.apply(&mut content));
                content
            }
            Survival::AnySectors => self.any_sectors(random),
        };
        SimulatedFile::holding(content)
    }

    /// The file after a power cut that left nothing of what waited.
    pub(super) fn synced(&self) -> SimulatedFile {
        SimulatedFile::holding(self.durable.clone())
    }

    fn holding(content: Vec<u8>) -> SimulatedFile {
        SimulatedFile { live: content.clone(), durable: content, waiting: Vec::new() }
    }

    /// Each sector as some write before the cut left it, and any length the file had meanwhile.
    fn any_sectors(&self, random: &mut Random) -> Vec<u8> {
        let mut lengths = vec![self.durable.len()];
        for waiting in &self.waiting {
            let last = *lengths.last().expect("there is the durable length");
            lengths.push(waiting.length_after(last));
        }
        let length_max = *lengths.iter().max().expect("there is the durable length");
        let length = *random.pick(&lengths);
        let mut touched: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
        for waiting in &self.waiting {
            for sector in waiting.sectors(length_max) {
                touched.entry(sector).or_default().push(waiting);
            }
        }
        let mut content = self.durable.clone();
        content.resize(length_max.next_multiple_of(SECTOR_BYTES), 0);
        for (index, changes) in touched {
            let start = index * SECTOR_BYTES;
            let sector = &mut content[start..start + SECTOR_BYTES];
            let kept = random.below(changes.len() as u64 + 1) as usize;
            if kept == 0 && start >= self.durable.len() && random.chance(1, 8) {
                // Room that was given to the file but never written may hold anything.
                sector.copy_from_slice(&random.bytes(SECTOR_BYTES));
            }
            changes[..kept].iter().for_each(|change| change.apply_to_sector(sector, start));
        }
        content.truncate(length);
        content
    }
}
