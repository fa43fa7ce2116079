//! A disk without room: writes are refused with a reason, reads go on, and what was acknowledged stays.

use std::path::PathBuf;
use std::process::Command;

use crate::reload::Configured;
use crate::support::{Client, Launch, Server};

/// Little more than twice what the store's write-ahead log takes before it is copied.
const SMALL_MIB: usize = 40;
/// What was stored on the small disk once in the journal and once in the table, the log at its bound (64 MB), and as
/// much again: more than any order of folding and copying takes.
const LARGE_MIB: usize = 2 * (2 * SMALL_MIB + 64);
const VALUE_BYTES: usize = 20_000;

/// A small disk, unmounted when dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None` where this user may not mount.
    fn mount() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={SMALL_MIB}m");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path()).output();
        match output {
            Ok(output) if output.status.success() => Some(Disk { folder }),
            other => {
                eprintln!("left out: a small disk cannot be mounted: {other:?}");
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Room comes.
    fn enlarge(&self) {
        let size = format!("remount,size={LARGE_MIB}m");
        let status = Command::new("mount").args(["-o", &size]).arg(self.folder.path()).status().unwrap();
        assert!(status.success(), "who could mount it can mount it larger");
    }

    fn launch(&self, stack: &str) -> Launch {
        Launch::new(stack, &self.data())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.folder.path().display());
        }
    }
}

fn value(number: usize) -> String {
    format!("{number}.{}", "v".repeat(VALUE_BYTES))
}

/// Stores item `number`; the answer.
fn store(client: &mut Client, number: usize) -> String {
    let value = value(number);
    client.send(format!("set item:{number} 0 0 {}\r\n{value}\r\n", value.len()));
    client.line()
}

/// Stores items until one is refused; how many were stored, and the refusal.
fn fill(client: &mut Client, first: usize) -> (usize, String) {
    for number in first..first + 4 * (SMALL_MIB << 20) / VALUE_BYTES {
        match store(client, number) {
            answer if answer == "STORED" => {}
            refusal => return (number, refusal),
        }
    }
    panic!("the disk never fills");
}

fn assert_all_there(server: &Server, count: usize) {
    let mut client = server.connect();
    for number in 0..count {
        assert_eq!(client.get(&format!("item:{number}")), Some(value(number)), "item {number} of {count}");
    }
}

fn a_full_disk_refuses_and_recovers(stack: &str) {
    let Some(disk) = Disk::mount() else { return };
    let server = disk.launch(stack).start();
    let mut client = server.connect();
    let (stored, refusal) = fill(&mut client, 0);
    assert!(refusal.starts_with("SERVER_ERROR ") && refusal.contains("full"), "{refusal}");
    assert!(stored > 100, "only {stored} items fit");
    // Reads go on, for this client and others; what was refused is not there.
    assert_all_there(&server, stored);
    assert_eq!(client.get(&format!("item:{stored}")), None);
    client.ask("mn\r\n", "MN\r\n");
    disk.enlarge();
    // With room again writes succeed, without a restart.
    let more = crate::support::wait::until("a write to succeed", || {
        (store(&mut client, stored) == "STORED").then_some(stored + 1)
    });
    for number in more..more + 50 {
        assert_eq!(store(&mut client, number), "STORED");
    }
    assert_all_there(&server, more + 50);
    server.stop_cleanly();
    let server = disk.launch(stack).start();
    assert_all_there(&server, more + 50);
    server.stop_cleanly();
}

#[test]
fn a_full_disk_refuses_writes_of_a_store() {
    a_full_disk_refuses_and_recovers("sqlite");
}

#[test]
fn a_full_disk_refuses_writes_through_ram() {
    a_full_disk_refuses_and_recovers("ram(64KiB) > sqlite");
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing_acknowledged() {
    let Some(disk) = Disk::mount() else { return };
    let server = disk.launch("sqlite").start();
    let mut client = server.connect();
    let (stored, _) = fill(&mut client, 0);
    server.kill();
    disk.enlarge();
    let server = disk.launch("sqlite").start();
    assert_all_there(&server, stored);
    server.stop_cleanly();
}

const BEHIND: &str = "ram > sqlite(write=behind, dirty_bytes=2MiB, dirty_age=50ms)";

#[test]
fn a_full_disk_keeps_queued_writes_until_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let server = disk.launch(BEHIND).start();
    let mut client = server.connect();
    let (stored, refusal) = fill(&mut client, 0);
    assert!(refusal.starts_with("SERVER_ERROR "), "{refusal}");
    assert_all_there(&server, stored);
    disk.enlarge();
    let more = crate::support::wait::until("a write to succeed", || {
        (store(&mut client, stored) == "STORED").then_some(stored + 1)
    });
    server.stop_cleanly();
    let server = disk.launch("sqlite").start();
    assert_all_there(&server, more);
}

#[test]
fn queued_writes_that_find_no_room_spoil_the_exit_status() {
    let Some(disk) = Disk::mount() else { return };
    let server = disk.launch(BEHIND).start();
    let mut client = server.connect();
    let (stored, _) = fill(&mut client, 0);
    assert!(stored > 100, "only {stored} items fit");
    let (status, log) = server.stop();
    assert!(!status.success(), "writes that were accepted are not on disk");
    assert!(log.contains("not clean"), "{log}");
}

/// A server on the disk with a prefix that a reload may take out.
fn behind_by_prefix(disk: &Disk) -> (Configured, String, String) {
    let rest =
        "listen = [\"127.0.0.1:0\"]\nverbosity = 1\n[[prefix]]\nkey = \"\"\nstack = \"ram\"\n".to_owned();
    let with = format!("{rest}[[prefix]]\nkey = \"item:\"\nstack = \"{BEHIND}\"\n");
    (Configured::start_in(&disk.data(), &with), with, rest)
}

/// How many items are stored and queued on the full disk.
fn fill_and_take_out(configured: &Configured, rest: &str) -> usize {
    let mut client = configured.server.connect();
    let (stored, _) = fill(&mut client, 0);
    assert!(stored > 100, "only {stored} items fit");
    configured.reload(rest, "\"item:\" removed");
    stored
}

#[test]
fn what_is_queued_for_a_prefix_that_is_taken_out_is_kept_until_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let (configured, with, rest) = behind_by_prefix(&disk);
    let stored = fill_and_take_out(&configured, &rest);
    // It comes back when its queue is on the disk.
    configured.reload(&with, "waits until");
    disk.enlarge();
    configured.server.wait_for_log("\"item:\" added");
    assert_all_there(&configured.server, stored);
    configured.server.stop_cleanly();
}

#[test]
fn what_is_queued_for_a_prefix_that_was_taken_out_spoils_the_exit_status() {
    let Some(disk) = Disk::mount() else { return };
    let (configured, _, rest) = behind_by_prefix(&disk);
    fill_and_take_out(&configured, &rest);
    let (status, log) = configured.server.stop();
    assert!(!status.success(), "writes that were accepted are not on disk");
    assert!(log.contains("not clean"), "{log}");
}
