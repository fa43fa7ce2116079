//! Verifying a store that no server has open.

use std::path::{Path, PathBuf};

use larder_engine::Services;
use larder_engine::disk::Disk;
use larder_engine::durable::{OnProgress, Progress};
use larder_engine::key::KEY_LENGTH_MAX;

use crate::error::OpenError;
use crate::item::{self, Problem};
use crate::layout::{Layout, file_name};
use crate::names;
use crate::opening::{self, Around, Look};
use crate::options::FileOptions;
use crate::running;
use crate::state::State;

/// Most findings kept; the rest is counted.
const FINDINGS_MAX: usize = 100;

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// The store's folder.
    pub path: PathBuf,
    /// Files of items, expired ones included.
    pub items: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Whether the last stop was clean.
    pub stopped_cleanly: bool,
    /// Files that were being written when a server was killed; the next start removes them.
    pub temporary: u64,
    /// Files and folders that are not the store's. They are no fault.
    pub unknown: Vec<PathBuf>,
    /// What is wrong, each in a sentence. Empty: the store is sound.
    pub findings: Vec<String>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn found(&mut self, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what.into());
        } else {
            self.findings_left_out += 1;
        }
    }
}

/// Whether a folder is a file store, sound or not, of whatever format.
///
/// # Errors
/// When the disk does not tell.
pub fn is_store(disk: &dyn Disk, folder: &Path) -> std::io::Result<bool> {
    let layout = Layout::new(folder);
    // Without the one of them that is lost it is a damaged store, not another folder.
    Ok(disk.exists(&layout.format)? || (disk.exists(&layout.state)? && disk.exists(&layout.items)?))
}

/// Verifies the store that `options` name: every file is read to its end. Changes nothing. Takes the store's lock
/// meanwhile.
///
/// # Errors
/// When there is nothing that could be checked: no store, one that is open elsewhere, foreign, or newer.
pub fn check(
    services: &Services,
    options: &FileOptions,
    on_progress: OnProgress<'_>,
) -> Result<CheckReport, OpenError> {
    let disk = &*services.disk;
    let layout = Layout::new(&options.folder);
    if opening::look(disk, &layout)? == Look::Nothing {
        return Err(OpenError::Missing { path: layout.folder });
    }
    let _lock = running::lock(disk, &layout)?;
    let report = CheckReport { path: layout.folder.clone(), ..CheckReport::default() };
    let mut check = Check { disk, layout: &layout, report, ids_reserved: u64::MAX };
    match opening::read_state(disk, &layout) {
        Ok(state) => check.state(&state),
        Err(OpenError::Damaged { path, what }) => check.report.found(format!("{}: {what}", path.display())),
        Err(error) => return Err(error),
    }
    match opening::look_around(disk, &layout) {
        Ok(around) => check.items(around, on_progress),
        Err(error) => check.report.found(error.to_string()),
    }
    Ok(check.report)
}

struct Check<'c> {
    disk: &'c dyn Disk,
    layout: &'c Layout,
    report: CheckReport,
    ids_reserved: u64,
}

impl Check<'_> {
    fn state(&mut self, state: &State) {
        self.ids_reserved = state.ids_reserved;
        self.report.stopped_cleanly = state.stopped.is_some();
        for flush in &state.flushes.in_effect {
            if flush.version >= state.ids_reserved {
                let path = self.layout.state.display();
                let version = flush.version;
                self.report.found(format!("{path}: a flush has the id {version}, which was never given"));
            }
        }
    }

    fn items(&mut self, around: Around, on_progress: OnProgress<'_>) {
        self.report.temporary = around.temporary.len() as u64;
        self.report.unknown = around.unknown;
        let total = around.shards.len() as u64;
        for (done, shard) in around.shards.into_iter().enumerate() {
            on_progress(Progress { step: "reading folders of items", done: done as u64, total });
            let folder = self.layout.shard(shard);
            match self.disk.list(&folder) {
                Ok(mut paths) => {
                    paths.sort_unstable();
                    paths.iter().for_each(|path| self.file(shard, path));
                }
                Err(error) => self.report.found(OpenError::disk(&folder, &error).to_string()),
            }
        }
    }

    fn file(&mut self, shard: u8, path: &Path) {
        let Some(name) = file_name(path).filter(|name| names::read(name).is_some()) else {
            return self.report.unknown.push(path.into());
        };
        let what = match item::read(self.disk, path) {
            Ok(None) => return,
            Err(Problem::Disk(error)) => return self.report.found(OpenError::disk(path, &error).to_string()),
            Err(Problem::Damaged(what)) => what,
            Ok(Some((key, kept))) => {
                self.report.items += 1;
                self.report.value_bytes += kept.value.len() as u64;
                let version = kept.version;
                let shown = key.escape_ascii();
                if key.is_empty() || key.len() > KEY_LENGTH_MAX {
                    format!("its key has {} bytes", key.len())
                } else if names::name_of(&key) != name {
                    format!("it holds the item of another key, {shown}")
                } else if names::shard_of(&key) != shard {
                    let right = names::shard_name(names::shard_of(&key));
                    format!("the item of {shown} belongs into the folder {right}, where it is looked for")
                } else if version == 0 || version >= self.ids_reserved {
                    format!("its version {version} was never given")
                } else {
                    return;
                }
            }
        };
        self.report.found(format!("{}: {what}", path.display()));
    }
}
