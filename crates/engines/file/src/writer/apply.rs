//! Bringing the changes of a batch to the disk: files written and synced, then named, then the folders synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use larder_engine::completion::Wakes;
use larder_engine::disk::Disk;
use larder_engine::durable::{Kept, KeyBytes, Latest};

use super::Writer;
use crate::item;
use crate::layout::discard;
use crate::names;
use crate::opening::sync_folder;
use crate::reader;
use crate::shared::Shared;

/// What became of the change of a key.
pub(super) enum Fate {
    /// It is durable.
    Done,
    /// Nothing of it will ever be seen.
    Nothing(io::Error),
    /// Its file has the name, or has lost it, and a crash may undo that.
    Unknown(io::Error),
}

/// What became of the changes of a batch.
pub(super) type Changes = HashMap<KeyBytes, Fate, foldhash::fast::RandomState>;

/// A change on its way.
struct Change {
    key: KeyBytes,
    latest: Latest,
    shard: u8,
    path: PathBuf,
    /// Bytes of the file that has the name until now, if one has.
    bytes_before: Option<u64>,
    /// The new file, while it has no name, and its bytes.
    written: Option<(PathBuf, u64)>,
    fate: Option<Fate>,
}

impl Writer {
    /// Brings each change to the disk, or says why not. When it returns, what is done is shown to readers.
    pub(super) fn apply(&mut self, changes: Vec<(KeyBytes, Latest)>) -> Changes {
        let shared = self.shared.clone();
        let mut changes = self.write_files(changes);
        self.make_shards(&mut changes);
        let named = changes.iter().filter(|change| change.fate.is_none());
        shared.in_flight.announce(named.map(|change| &change.key));
        // In the order of the shards: each folder is locked once.
        changes.sort_by_key(|change| change.shard);
        for in_shard in changes.chunk_by_mut(|one, other| one.shard == other.shard) {
            let _names = shared.shards[usize::from(in_shard[0].shard)].names.write();
            in_shard.iter_mut().for_each(|change| change.name(&shared));
        }
        self.sync_shards(&mut changes);
        let is_bad = |change: &Change| !matches!(change.fate, Some(Fate::Done));
        if changes.iter().any(is_bad) {
            shared.counters.commit_errors.one();
        }
        let first_error = changes.iter().find_map(|change| match &change.fate {
            Some(Fate::Nothing(error) | Fate::Unknown(error)) => Some(error),
            _ => None,
        });
        self.report_health(first_error);
        let mut wakes = Wakes::default();
        changes.into_iter().map(|change| self.settle(change, &mut wakes)).collect()
    }

    /// Writes the new files, side by side, without names.
    fn write_files(&self, changes: Vec<(KeyBytes, Latest)>) -> Vec<Change> {
        let shared = self.shared.clone();
        self.hands.all(changes, move |(key, latest)| Change::written(&shared, key, latest))
    }

    /// Makes the folders of shards that have none yet.
    fn make_shards(&self, changes: &mut [Change]) {
        let shared = &self.shared;
        let is_missing = |change: &Change| {
            change.fate.is_none()
                && change.written.is_some()
                && !shared.shards[usize::from(change.shard)].exists.load(Ordering::Relaxed)
        };
        let missing: Vec<u8> =
            changes.iter().filter(|change| is_missing(change)).map(|change| change.shard).collect();
        if missing.is_empty() {
            return;
        }
        let made =
            missing.iter().try_for_each(|shard| shared.disk().create_folder(&shared.layout.shard(*shard)));
        let synced = made.and_then(|()| sync_folder(shared.disk(), &shared.options, &shared.layout.items));
        match synced {
            Ok(()) => {
                for shard in missing {
                    shared.shards[usize::from(shard)].exists.store(true, Ordering::Release);
                }
            }
            Err(error) => {
                for change in changes.iter_mut().filter(|change| is_missing(change)) {
                    change.give_up(shared.disk(), again(&error));
                }
            }
        }
    }

    /// Syncs the folders in which something was named or removed, side by side.
    fn sync_shards(&mut self, changes: &mut [Change]) {
        let shared = self.shared.clone();
        let mut shards: Vec<u8> =
            changes.iter().filter(|change| change.fate.is_none()).map(|change| change.shard).collect();
        shards.dedup();
        shared.counters.folder_syncs.add(shards.len() as u64);
        let synced = self.hands.all(shards, {
            let shared = shared.clone();
            move |shard| {
                (shard, sync_folder(shared.disk(), &shared.options, &shared.layout.shard(shard)).err())
            }
        });
        let failed: BTreeMap<u8, io::Error> =
            synced.into_iter().filter_map(|(shard, error)| Some((shard, error?))).collect();
        for change in changes.iter_mut().filter(|change| change.fate.is_none()) {
            change.fate = Some(match failed.get(&change.shard) {
                None => Fate::Done,
                Some(error) => Fate::Unknown(again(error)),
            });
        }
        for change in changes.iter().filter(|change| matches!(change.fate, Some(Fate::Unknown(_)))) {
            self.doubts.keys.entry(change.shard).or_default().push(change.key.clone());
        }
    }

    /// Shows what became of a change to those who wait for it, and counts.
    fn settle(&self, change: Change, wakes: &mut Wakes) -> (KeyBytes, Fate) {
        let shared = &self.shared;
        let fate = change.fate.expect("every change has a fate once its folder was synced");
        match &fate {
            Fate::Nothing(_) => {
                for read in shared.in_flight.settle(&change.key) {
                    shared.readers.get_again(shared, read);
                }
            }
            Fate::Unknown(_) => {
                for read in shared.in_flight.doubt(&change.key) {
                    read.done.complete_with(Err(reader::in_doubt()), wakes);
                }
            }
            Fate::Done => {
                let kept = match &change.latest {
                    Latest::Item(kept) => Some(kept),
                    Latest::Gone(_) => None,
                };
                if let Some(kept) = kept {
                    shared.note_expiry(kept.expiry);
                }
                for read in shared.in_flight.settle(&change.key) {
                    reader::answer(shared, read, kept, Some(&self.flushes), wakes);
                }
            }
        }
        (change.key, fate)
    }
}

impl Change {
    /// The change with its new file, if it has one.
    fn written(shared: &Shared, key: KeyBytes, latest: Latest) -> Change {
        let shard = names::shard_of(&key);
        let path = shared.layout.shard(shard).join(names::name_of(&key));
        let mut change = Change { key, latest, shard, path, bytes_before: None, written: None, fate: None };
        match file_bytes(shared.disk(), &change.path) {
            Ok(bytes) => change.bytes_before = bytes,
            Err(error) => {
                change.fate = Some(Fate::Nothing(error));
                return change;
            }
        }
        match &change.latest {
            Latest::Item(kept) => match write_temporary(shared, &change.key, kept) {
                Ok(written) => change.written = Some(written),
                Err(error) => change.fate = Some(Fate::Nothing(error)),
            },
            // Nothing to remove: as wanted.
            Latest::Gone(_) if change.bytes_before.is_none() => change.fate = Some(Fate::Done),
            Latest::Gone(_) => {}
        }
        change
    }

    /// Gives the new file its name, or removes the old one.
    fn name(&mut self, shared: &Shared) {
        if self.fate.is_some() {
            return;
        }
        let disk = shared.disk();
        let named = match &self.written {
            Some((temporary, _)) => disk.rename(temporary, &self.path),
            // Somebody was faster: as wanted.
            None => match disk.remove(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        };
        if let Err(error) = named {
            let is_certain = changes_nothing(&error);
            self.give_up(disk, error);
            if let Some(Fate::Nothing(error)) = self.fate.take_if(|_| !is_certain) {
                self.fate = Some(Fate::Unknown(error));
            }
            return;
        }
        let shard = &shared.shards[usize::from(self.shard)];
        let bytes_after = self.written.take().map(|(_, bytes)| bytes);
        match bytes_after {
            Some(_) => shared.counters.files_written.one(),
            None => shared.counters.files_removed.one(),
        }
        let items = i64::from(bytes_after.is_some()) - i64::from(self.bytes_before.is_some());
        let bytes = bytes_after.unwrap_or(0) as i64 - self.bytes_before.unwrap_or(0) as i64;
        shard.items.fetch_add(items, Ordering::Relaxed);
        shard.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The change does not take place.
    fn give_up(&mut self, disk: &dyn Disk, error: io::Error) {
        if let Some((temporary, _)) = self.written.take() {
            discard(disk, &temporary);
        }
        self.fate = Some(Fate::Nothing(error));
    }
}

/// Whether a name surely stands for what it stood for before it was to change. A disk that failed may have changed it.
fn changes_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
    )
}

/// Length of a file; `None`: there is none.
fn file_bytes(disk: &dyn Disk, path: &Path) -> io::Result<Option<u64>> {
    match disk.open(path, false) {
        Ok(file) => file.length().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes and syncs the file of an item, still without its name; where it is, and its bytes.
fn write_temporary(shared: &Shared, key: &[u8], kept: &Kept) -> io::Result<(PathBuf, u64)> {
    let temporary = shared.layout.new_temporary();
    match item::write(shared.disk(), &temporary, key, kept) {
        Ok(bytes) => Ok((temporary, bytes)),
        Err(error) => {
            discard(shared.disk(), &temporary);
            Err(error)
        }
    }
}

/// The same error, for another change.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
