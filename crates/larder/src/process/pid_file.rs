//! The file that holds the number of the process while it runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A pid file of this process; removed when dropped.
pub struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(path: &Path) -> anyhow::Result<PidFile> {
        let content = format!("{}\n", std::process::id());
        write_whole(path, &content)
            .with_context(|| format!("-P {}: cannot write this pid file", path.display()))?;
        Ok(PidFile { path: path.to_owned(), content })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another server may have taken the name over.
        match std::fs::read_to_string(&self.path) {
            Ok(content) if content == self.content => {}
            _ => return,
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("{}: this pid file cannot be removed: {error}", self.path.display());
        }
    }
}

/// Whoever looks at `path` sees all of the content or none of it.
pub(super) fn write_whole(path: &Path, content: &str) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, content)?;
    std::fs::rename(&temporary, path)
}
