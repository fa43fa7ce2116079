//! Which cores a server and its clients run on.

use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Files that a process may have open by default on most systems; more must be asked for.
const OPEN_FILES: u32 = 1000;

/// How a server runs, and where its clients do.
#[derive(Clone, Copy)]
pub(crate) struct Seat {
    /// Worker threads; the server's own choice without.
    pub(crate) threads: Option<u32>,
    /// Connections it takes.
    pub(crate) connections: u32,
    /// The core of the server and that of its clients; the system's choice without.
    pub(crate) cores: Option<(u32, u32)>,
}

impl Default for Seat {
    fn default() -> Self {
        Seat { threads: None, connections: 4096, cores: None }
    }
}

impl Seat {
    pub(crate) fn for_server(self, command: Command) -> Command {
        self.with_files(pinned(command, self.cores.map(|(server, _)| server)))
    }

    pub(crate) fn for_clients(self, command: Command) -> Command {
        self.with_files(pinned(command, self.cores.map(|(_, clients)| clients)))
    }

    /// Lets the program open a file for each connection.
    fn with_files(self, command: Command) -> Command {
        if self.connections <= Seat::default().connections {
            return command;
        }
        let mut wrapped = Command::new("prlimit");
        wrapped.arg(format!("--nofile={}", self.connections + OPEN_FILES));
        within(wrapped, &command)
    }
}

fn pinned(command: Command, core: Option<u32>) -> Command {
    let Some(core) = core else { return command };
    let mut wrapped = Command::new("taskset");
    wrapped.args(["-c", &core.to_string()]);
    within(wrapped, &command)
}

/// `outer` is given the other command to become.
fn within(mut outer: Command, command: &Command) -> Command {
    outer.arg(command.get_program()).args(command.get_args());
    outer
}

/// Two cores that this process may use; none on a machine that has but one.
pub(crate) fn two_cores() -> Result<Option<(u32, u32)>> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status: cannot read")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.context("/proc/self/status does not say which cores may be used")?;
    let mut cores = parse(list.trim()).into_iter();
    Ok(cores.next().zip(cores.next()))
}

/// The numbers of a list such as `0-3,8`.
fn parse(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores() {
        assert_eq!(parse("0-1"), [0, 1]);
        assert_eq!(parse("2,5-7"), [2, 5, 6, 7]);
        assert_eq!(parse("3"), [3]);
    }

    #[test]
    fn commands_are_wrapped() {
        let mut command = Command::new("server");
        command.args(["-p", "1"]);
        let seat = Seat { threads: None, connections: 10_100, cores: Some((2, 3)) };
        let wrapped = seat.for_server(command);
        let words: Vec<_> = wrapped.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(wrapped.get_program(), "prlimit");
        assert_eq!(words, ["--nofile=11100", "taskset", "-c", "2", "server", "-p", "1"]);
        let plain = Seat::default().for_clients(Command::new("client"));
        assert_eq!((plain.get_program().to_str(), plain.get_args().count()), (Some("client"), 0));
    }
}
