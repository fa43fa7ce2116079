//! The files of the repository, read once for all checks.

use crate::command;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(super) struct Repository {
    pub(super) files: Vec<TextFile>,
    /// Every path, files that are not text and folders included.
    paths: BTreeSet<String>,
}

pub(super) struct TextFile {
    /// From the root of the repository, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Repository {
    /// Reads what git tracks or would add. A file of bytes that are not UTF-8 keeps only its name.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let listing = command::output(Command::new("git").args(list).current_dir(root))?;
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // A file removed but still in git's index is gone; a symbolic link's target has its own entry.
            if !full.is_file() || full.is_symlink() {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
            paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(TextFile { path: path.to_owned(), text });
            }
        }
        Ok(Self::new(files, paths))
    }

    fn new(files: Vec<TextFile>, paths: Vec<String>) -> Self {
        let mut all = BTreeSet::new();
        for path in paths {
            let mut folder = path.as_str();
            while let Some((parent, _)) = folder.rsplit_once('/') {
                all.insert(parent.to_owned());
                folder = parent;
            }
            all.insert(path);
        }
        Repository { files, paths: all }
    }

    /// A repository made up for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let make = |&(path, text): &(&str, &str)| TextFile { path: path.into(), text: text.into() };
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        Self::new(files.iter().map(make).collect(), paths)
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &TextFile> {
        self.files
            .iter()
            .filter(move |file| file.path.rsplit_once('.').is_some_and(|(_, last)| last == extension))
    }
}

impl TextFile {
    /// The lines, each with its number counted from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}
