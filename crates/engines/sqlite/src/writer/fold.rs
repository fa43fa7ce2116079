//! Folding: the journal into the table, in key order and in small slices.
//!
//! A *sweep* goes once through the overlay from the first key to the last. Whatever was in the overlay when it began
//! is in the table when it ends, so the slots of the batches from before it are free again. In key order neighbours share pages:
//! the more is folded at a time, the fewer pages an item costs.

use larder_engine::durable::Flushes;

use std::time::Duration;

use super::sorter::Keys;
use super::statements::Upserted;
use super::{FLUSH_LOOK, FOLD_REST, Failure, IDLE, IDLE_BREATH, Writer};
use crate::journal::SLOT_FILE_BYTES;
use crate::kept::{KeyBytes, Latest};

/// Most keys in a slice.
const SLICE_KEYS_MAX: usize = 512;
/// Longest slice; a slice ends at the first look at the clock after it.
const SLICE_TIME_MAX: Duration = Duration::from_millis(2);
/// Fewest keys in a slice along with a batch.
const SLICE_KEYS_MIN: usize = 64;
/// Keys folded for each command when the journal is full.
const FOLDS_A_COMMAND_MAX: f64 = 4.0;
/// Keys between two looks at the clock.
const KEYS_A_LOOK: usize = 16;

/// A sweep under way.
pub(super) struct Sweep {
    /// The next batch when it began: those before it are folded when it ends.
    seq_end: u64,
    /// All that was in the overlay then.
    keys: Keys,
    /// How many of them are folded.
    position: usize,
}

/// What a slice did, to be settled once its transaction is committed.
#[derive(Default)]
pub(super) struct Slice {
    folded: Vec<(KeyBytes, u64)>,
    pub rows_added: i64,
    /// Keys of the sweep it has seen to.
    passed: usize,
    passed_all: bool,
    purged: Option<usize>,
}

impl Writer<'_> {
    /// How long to wait for commands before something else is done.
    pub(super) fn patience(&self, is_idle: bool) -> Option<Duration> {
        if self.has_journal() || self.shared.purge.waits() {
            return Some(if is_idle { IDLE_BREATH } else { IDLE });
        }
        (!self.flushes.waiting.is_empty()).then_some(FLUSH_LOOK)
    }

    /// Whether there is anything left to fold.
    fn has_journal(&self) -> bool {
        self.sweep.is_some() || self.shared.overlay.entries() > 0 || self.journal_first < self.seq
    }

    fn may_fold(&self) -> bool {
        self.fold_after.is_none_or(|after| self.shared.services.clock.elapsed() >= after)
    }

    pub(super) fn rest_from_folding(&mut self) {
        self.fold_after = Some(self.shared.services.clock.elapsed() + FOLD_REST);
    }

    /// Bytes that count against the bounds of the journal: those in memory, or half of those in the file. Small batches
    /// leave their slots half empty, and the file is the cheaper place; the longer a sweep waits, the fewer keys it folds.
    fn journal_size(&self) -> usize {
        self.shared.overlay.bytes().max(self.slots.in_use() * SLOT_FILE_BYTES / 2)
    }

    /// Keys to fold along with a batch of `commands`. Nothing below the lower bound; from there on the faster, the
    /// fuller the journal. So the journal settles where folding keeps pace with writing, and a key that is written
    /// again meanwhile is folded once.
    pub(super) fn slice_size(&mut self, commands: usize) -> usize {
        let options = &self.shared.connector.options;
        let above = self.journal_size().saturating_sub(options.journal_bytes) as f64;
        if above == 0.0 || !self.may_fold() {
            return 0;
        }
        let room = options.journal_bytes_max.saturating_sub(options.journal_bytes).max(1) as f64;
        self.fold_debt += commands as f64 * FOLDS_A_COMMAND_MAX * (above / room).min(1.0);
        if self.fold_debt < SLICE_KEYS_MIN as f64 || !self.sweep_is_ready(false) {
            return 0;
        }
        let size = (self.fold_debt as usize).min(SLICE_KEYS_MAX);
        self.fold_debt = 0.0;
        size
    }

    /// Begins a sweep if none is under way; whether its keys are in order, which may be waited for.
    fn sweep_is_ready(&mut self, waits: bool) -> bool {
        let sweep = self.sweep.get_or_insert_with(|| Sweep {
            seq_end: self.seq,
            keys: self.sorter.sort(self.shared.overlay.take_unswept()),
            position: 0,
        });
        self.sorter.fetch(&mut sweep.keys, waits);
        matches!(sweep.keys, Keys::Sorted(_))
    }

    /// One slice of the sweep under way, if it is ready.
    pub(super) fn fold_slice(
        &mut self,
        flushes: &Flushes,
        keys_max: usize,
        slice: &mut Slice,
    ) -> rusqlite::Result<()> {
        let Some(Sweep { seq_end, keys: Keys::Sorted(keys), position }) = &self.sweep else { return Ok(()) };
        let clock = &self.shared.services.clock;
        let deadline = clock.elapsed() + SLICE_TIME_MAX;
        let now = clock.now();
        for key in keys[*position..].iter().take(keys_max) {
            if slice.passed % KEYS_A_LOOK == KEYS_A_LOOK - 1 && clock.elapsed() > deadline {
                break;
            }
            slice.passed += 1;
            // What a large value has replaced is in the table already.
            let Some(entry) = self.shared.overlay.entry(key) else { continue };
            match &entry.latest {
                Latest::Item(kept)
                    if !kept.expiry.is_past(now) && !flushes.is_dead(key, kept.version, now) =>
                {
                    if self.statements.upsert(key, kept)? == Upserted::Inserted {
                        slice.rows_added += 1;
                    }
                    self.shared.note_expiry(kept.expiry);
                }
                _ => slice.rows_added -= i64::from(self.statements.delete(key)?),
            }
            slice.folded.push((key.clone(), entry.seq));
        }
        if position + slice.passed == keys.len() {
            self.statements.set_journal_first(*seq_end)?;
            slice.passed_all = true;
        }
        Ok(())
    }

    /// Carries out what the purge has found, if it has.
    pub(super) fn purge_slice(&mut self, slice: &mut Slice) -> rusqlite::Result<()> {
        let Some(found) = self.shared.purge.take() else { return Ok(()) };
        self.purges = true;
        let mut removed = 0;
        for (key, version) in &found {
            removed += usize::from(self.statements.delete_version(key, *version)?);
        }
        slice.rows_added -= removed as i64;
        slice.purged = Some(removed);
        Ok(())
    }

    /// After the commit of a slice: what was folded is read from the table from now on.
    pub(super) fn settle(&mut self, slice: Slice) {
        let shared = &self.shared;
        shared.rows.fetch_add(slice.rows_added, std::sync::atomic::Ordering::Relaxed);
        if let Some(removed) = slice.purged {
            self.purges = false;
            shared.purge.done(Some(removed));
        }
        shared.overlay.forget(&slice.folded);
        shared.counters.folded_keys.add(slice.folded.len() as u64);
        let Some(sweep) = &mut self.sweep else { return };
        sweep.position += slice.passed;
        if slice.passed_all {
            self.journal_first = sweep.seq_end;
            self.slots.free_before(sweep.seq_end);
            self.sweep = None;
            shared.purge.journal_begins(self.journal_first);
            shared.counters.fold_sweeps.one();
            self.measure();
        }
    }

    /// A slice of its own: of folding, or of what the purge wants.
    fn slice_alone(&mut self, keys_max: usize) -> Result<(), Failure> {
        let flushes = self.flushes.clone();
        let slice = self.transact(|writer| {
            let mut slice = Slice::default();
            if keys_max > 0 {
                writer.fold_slice(&flushes, keys_max, &mut slice)?;
            }
            writer.purge_slice(&mut slice)?;
            writer.write_row_count(&slice)?;
            Ok(slice)
        })?;
        self.settle(slice);
        Ok(())
    }

    /// Nothing has arrived for a moment. Whether something was done that goes on.
    pub(super) fn idle(&mut self) -> bool {
        if self.flushes.is_due(self.shared.now()) {
            // A batch without commands puts the flush into effect.
            self.serve_commands(Vec::new());
        }
        let folds = self.may_fold() && self.has_journal();
        let is_ready = folds && self.sweep_is_ready(false);
        if is_ready || self.shared.purge.waits() {
            let keys_max = if is_ready { SLICE_KEYS_MAX } else { 0 };
            let outcome = self.slice_alone(keys_max);
            self.note(outcome);
        }
        folds
    }

    /// At the bound of the journal writes wait for folding.
    pub(super) fn keep_up(&mut self) {
        let bound = self.shared.connector.options.journal_bytes_max;
        while self.journal_size() > bound && self.may_fold() {
            self.sweep_is_ready(true);
            let outcome = self.slice_alone(SLICE_KEYS_MAX);
            self.note(outcome);
        }
    }

    /// Whether the journal is full and cannot be folded: then nothing more is taken.
    pub(super) fn is_stuck(&self) -> bool {
        self.journal_size() > self.shared.connector.options.journal_bytes_max && !self.may_fold()
    }

    fn note(&mut self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.fold_after = None,
            Err(failure) => {
                if !self.shared.notice_damage(&failure.error) {
                    let path = self.shared.connector.path.display();
                    tracing::warn!("{path}: cannot fold the journal: {}; will try again", failure.error);
                }
                self.shared.counters.fold_errors.one();
                self.rest_from_folding();
            }
        }
    }

    pub(super) fn fold_all(&mut self) -> Result<(), Failure> {
        while self.has_journal() {
            self.sweep_is_ready(true);
            self.slice_alone(SLICE_KEYS_MAX)?;
        }
        Ok(())
    }
}
