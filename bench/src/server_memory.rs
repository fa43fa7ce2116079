//! What a process holds in memory.

use std::fs;

use anyhow::{Context, Result};

/// Resident memory of process `pid` in bytes.
///
/// # Errors
/// If there is no such process, or the system does not tell.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    // `status` names a number that the kernel keeps in parts, up to half a mebibyte off; this one is counted.
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| {
        format!("{path}: cannot read; is there a process {pid} of this user's on this machine?")
    })?;
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .with_context(|| format!("{path} has no line `Rss:`"))?;
    Ok(kibibytes << 10)
}
