use std::io::ErrorKind;
use std::path::Path;

use super::*;

fn write(disk: &SimDisk, path: &str, bytes: &[u8], offset: u64) -> Box<dyn DiskFile> {
    let file = disk.open(Path::new(path), true).unwrap();
    file.write_at(bytes, offset).unwrap();
    file
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    if !disk.exists(Path::new(path)).unwrap() {
        return None;
    }
    let file = disk.open(Path::new(path), false).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// What is left of `path` after a cut, over many seeds.
fn survivors(disk: &SimDisk, path: &str) -> Vec<Option<Vec<u8>>> {
    let mut all: Vec<_> = (0..200).map(|seed| content(&disk.restart(seed), path)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn synced_bytes_with_a_synced_name_survive() {
    let disk = SimDisk::new();
    write(&disk, "/a", b"kept", 0).sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    assert_eq!(survivors(&disk, "/a"), [Some(b"kept".to_vec())]);
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let disk = SimDisk::new();
    write(&disk, "/a", b"kept", 0).sync().unwrap();
    assert_eq!(survivors(&disk, "/a"), [None, Some(b"kept".to_vec())]);
}

#[test]
fn a_folder_that_was_not_synced_takes_its_files_along() {
    let disk = SimDisk::new();
    disk.create_folder(Path::new("/x/y")).unwrap();
    write(&disk, "/x/y/a", b"kept", 0).sync().unwrap();
    disk.sync_folder(Path::new("/x/y")).unwrap();
    disk.sync_folder(Path::new("/x")).unwrap();
    assert_eq!(survivors(&disk, "/x/y/a"), [None, Some(b"kept".to_vec())]);
    disk.0.state.lock().power = Power::default();
    disk.sync_folder(Path::new("/")).unwrap();
    assert_eq!(survivors(&disk, "/x/y/a"), [Some(b"kept".to_vec())]);
}

#[test]
fn unsynced_writes_are_lost_kept_and_torn_by_sectors() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", &[1; 4 * SECTOR_BYTES], 0);
    file.sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    file.write_at(&[2; 4 * SECTOR_BYTES], 0).unwrap();
    let survivors: Vec<Vec<u8>> = survivors(&disk, "/a").into_iter().flatten().collect();
    // Each sector is old or new as a whole; every mixture occurs.
    assert!(
        survivors
            .iter()
            .all(|bytes| bytes.chunks(SECTOR_BYTES).all(|sector| sector == [sector[0]; SECTOR_BYTES]))
    );
    assert_eq!(survivors.len(), 16);
}

#[test]
fn unsynced_writes_are_reordered() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", &[0; 2 * SECTOR_BYTES], 0);
    file.sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    file.write_at(&[1], 0).unwrap();
    file.write_at(&[1], SECTOR_BYTES as u64).unwrap();
    let second_alone = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().is_some_and(|bytes| bytes[0] == 0 && bytes[SECTOR_BYTES] == 1)
    };
    assert!(survivors(&disk, "/a").iter().any(second_alone));
}

#[test]
fn a_write_leaves_the_rest_of_its_sector_unharmed() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", &[7; 100], 0);
    file.sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    file.write_at(&[8; 300], 100).unwrap();
    for bytes in survivors(&disk, "/a").into_iter().flatten() {
        assert_eq!(bytes[..100], [7; 100]);
    }
}

#[test]
fn a_rename_takes_place_as_a_whole() {
    let disk = SimDisk::new();
    write(&disk, "/new", b"new", 0).sync().unwrap();
    write(&disk, "/name", b"old", 0).sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    disk.rename(Path::new("/new"), Path::new("/name")).unwrap();
    for seed in 0..50 {
        let after = disk.restart(seed);
        let found = (content(&after, "/name"), content(&after, "/new"));
        let before = (Some(b"old".to_vec()), Some(b"new".to_vec()));
        assert!(found == before || found == (Some(b"new".to_vec()), None), "{found:?}");
    }
}

#[test]
fn the_same_seed_leaves_the_same() {
    let disk = SimDisk::new();
    write(&disk, "/a", &[5; 10_000], 0);
    write(&disk, "/b", &[6; 10_000], 0);
    for seed in 0..10 {
        let (one, other) = (disk.restart(seed), disk.restart(seed));
        assert_eq!(
            (content(&one, "/a"), content(&one, "/b")),
            (content(&other, "/a"), content(&other, "/b"))
        );
    }
}

#[test]
fn a_cut_comes_at_its_sync_and_ends_everything() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", b"x", 0);
    disk.cut_at_sync(3);
    file.sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    file.write_at(b"y", 0).unwrap();
    assert!(file.sync().is_err() && disk.is_cut());
    assert!(file.read_at(&mut [0], 0).is_err() && file.write_at(b"z", 0).is_err() && file.length().is_err());
    assert!(disk.exists(Path::new("/a")).is_err() && disk.open(Path::new("/b"), true).is_err());
    let old_or_new = [Some(b"x".to_vec()), Some(b"y".to_vec())];
    assert_eq!(survivors(&disk, "/a"), old_or_new);
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let disk = SimDisk::new();
    write(&disk, "/a", b"cached", 0);
    let next = disk.after_kill();
    assert_eq!(content(&next, "/a").unwrap(), b"cached");
    assert!(survivors(&next, "/a").contains(&None));
}

#[test]
fn locks_are_of_one_run() {
    let disk = SimDisk::new();
    let path = Path::new("/lock");
    let guard = disk.lock(path).unwrap();
    assert_eq!(disk.lock(path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    let _kept = disk.lock(path).unwrap();
    drop(disk.after_kill().lock(path).unwrap());
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", &[1; 1000], 0);
    disk.set_capacity(Some(1500));
    assert_eq!(file.write_at(&[1; 1000], 1000).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(&[2; 1000], 0).unwrap();
    file.write_at(&[1; 500], 1000).unwrap();
    disk.set_capacity(None);
    file.write_at(&[1; 1000], 1000).unwrap();
}

#[test]
fn bytes_of_a_failed_sync_count_as_clean() {
    let disk = SimDisk::new();
    let old = [1; 20 * SECTOR_BYTES];
    let file = write(&disk, "/a", &old, 0);
    file.sync().unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    let new = [2; 20 * SECTOR_BYTES];
    file.write_at(&new, 0).unwrap();
    disk.fail_sync_after(0);
    file.sync().unwrap_err();
    file.sync().unwrap();
    // The second sync succeeds, programs read the new bytes, yet some are lost.
    assert_eq!(content(&disk, "/a").unwrap(), new);
    let survivors = survivors(&disk, "/a");
    assert_eq!(survivors.len(), 1);
    assert!(survivors[0].as_deref() != Some(&new) && survivors[0].as_deref() != Some(&old));
}

#[test]
fn what_is_written_after_a_failed_sync_is_kept() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", b"old", 0);
    disk.sync_folder(Path::new("/")).unwrap();
    disk.fail_sync_after(0);
    file.sync().unwrap_err();
    file.write_at(b"new", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(survivors(&disk, "/a"), [Some(b"new".to_vec())]);
}

#[test]
fn a_write_fails_once() {
    let disk = SimDisk::new();
    let file = write(&disk, "/a", b"old", 0);
    disk.fail_write_after(1);
    file.write_at(b"new", 0).unwrap();
    file.write_at(b"bad", 0).unwrap_err();
    file.write_at(b"end", 0).unwrap();
    assert_eq!(content(&disk, "/a").unwrap(), b"end");
}
