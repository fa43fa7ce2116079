//! What the threads of a process spent on the processor.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// Run time of each thread of a process so far.
pub(crate) struct CpuSample(BTreeMap<u32, (String, u64)>);

impl CpuSample {
    /// Reads it for process `pid`.
    ///
    /// # Errors
    /// If there is no such process, or the system does not tell.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder)
            .with_context(|| format!("{folder}: cannot read; is there a process {pid} on this machine?"))?;
        let mut threads = BTreeMap::new();
        for task in tasks {
            let task = task?;
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between the listing and the reading; it then counts no more.
            let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
            let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let run_ns = schedstat
                .split_ascii_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .with_context(|| format!("{folder}/{id}/schedstat is not as expected"))?;
            threads.insert(id, (name.trim_end().to_owned(), run_ns));
        }
        Ok(CpuSample(threads))
    }

    /// Nanoseconds spent since `earlier`, by the threads' names; threads that differ by a number are one name.
    pub(crate) fn since(&self, earlier: &CpuSample) -> BTreeMap<String, u64> {
        let mut spent = BTreeMap::new();
        for (id, (name, run_ns)) in &self.0 {
            let before = earlier.0.get(id).map_or(0, |(_, run_ns)| *run_ns);
            let name =
                name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "-_:# ".contains(letter));
            *spent.entry(name.to_owned()).or_default() += run_ns.saturating_sub(before);
        }
        spent
    }
}
