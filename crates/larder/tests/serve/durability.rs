//! What was acknowledged is there after a kill, after a stop under load, in a backup; and a check says so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::{Client, End};
use crate::support::stacks::Stack;
use crate::support::wait::until;
use crate::support::{Launch, Server};

/// Stacks that promise that an acknowledged write survives a clean stop.
const DURABLE: [&str; 6] = [
    "sqlite",
    "ram(64KiB) > sqlite",
    "ram > sqlite(write=behind)",
    "file",
    "ram(64KiB) > file",
    "ram > file(write=behind)",
];

const WRITERS: usize = 4;
/// Writes that a writer sends before it reads the answers.
const PIPELINE: usize = 8;
/// A page of the store's file.
const PAGE_BYTES: usize = 4096;
/// Enough writes of each writer to call it load.
const ACKNOWLEDGED_MIN: usize = 200;

fn value(writer: usize, number: usize) -> String {
    format!("{writer}.{number}.{}", "v".repeat(100 + number % 300))
}

/// Writes numbered items until the connection ends; which of them were acknowledged.
fn write_until_the_end(mut client: Client, writer: usize, has_load: &AtomicBool) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for batch in 0.. {
        let numbers = batch * PIPELINE..(batch + 1) * PIPELINE;
        let request = |number| {
            let value = value(writer, number);
            format!("set {writer}:{number} 0 0 {}\r\n{value}\r\n", value.len())
        };
        // An error is the end; what was answered before it is read all the same.
        client.try_send(numbers.clone().map(request).collect::<String>()).ok();
        for number in numbers {
            match client.take(|received| Some(received.iter().position(|&byte| byte == b'\n')? + 1)) {
                Ok(answer) if answer == b"STORED\r\n" => acknowledged.push(number),
                // A busy machine's disk may be too slow for a queue, which then refuses.
                Ok(answer) => assert!(answer.starts_with(b"SERVER_ERROR "), "{}", answer.escape_ascii()),
                Err(cut) => {
                    assert_eq!(cut.end, End::Closed);
                    assert!(cut.received.is_empty(), "half an answer: {}", cut.describe());
                    return acknowledged;
                }
            }
        }
        if acknowledged.len() >= ACKNOWLEDGED_MIN {
            has_load.store(true, Ordering::Release);
        }
    }
    unreachable!("writes go on until the connection ends")
}

/// Puts load on the server until `end` has ended it; which writes of each writer were acknowledged.
fn load(server: Server, end: impl FnOnce(Server)) -> Vec<Vec<usize>> {
    let has_load: Vec<AtomicBool> = (0..WRITERS).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        let writers: Vec<_> = has_load
            .iter()
            .enumerate()
            .map(|(writer, has_load)| {
                let client = server.connect();
                scope.spawn(move || write_until_the_end(client, writer, has_load))
            })
            .collect();
        until("load", || {
            assert!(writers.iter().all(|writer| !writer.is_finished()), "a writer has given up");
            has_load.iter().all(|has_load| has_load.load(Ordering::Acquire)).then_some(())
        });
        end(server);
        writers.into_iter().map(|writer| writer.join().expect("the writer is right")).collect()
    })
}

fn assert_all_there(server: &Server, acknowledged: &[Vec<usize>]) {
    let mut client = server.connect();
    for (writer, numbers) in acknowledged.iter().enumerate() {
        for &number in numbers {
            let found = client.get(&format!("{writer}:{number}"));
            assert_eq!(found, Some(value(writer, number)), "write {number} by {writer}");
        }
    }
}

fn check(data: &Path) -> std::process::Output {
    Launch::bare().arg("check").arg(data).output()
}

#[test]
fn a_stop_under_load_loses_nothing() {
    for stack in DURABLE {
        let data = tempfile::tempdir().unwrap();
        let acknowledged = load(Launch::new(stack, data.path()).start(), Server::stop_cleanly);
        let output = check(data.path());
        assert!(output.status.success(), "{stack}: {output:?}");
        assert_all_there(&Launch::new(stack, data.path()).start(), &acknowledged);
    }
}

#[test]
fn a_kill_under_load_loses_nothing_acknowledged() {
    for stack in [Stack::Sqlite, Stack::File, Stack::SmallRam] {
        let data = tempfile::tempdir().unwrap();
        let acknowledged = load(stack.launch(data.path()).start(), Server::kill);
        let server = stack.launch(data.path()).start();
        assert_all_there(&server, &acknowledged);
        server.stop_cleanly();
        let output = check(data.path());
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn ids_never_go_back() {
    for stack in [Stack::Sqlite, Stack::File, Stack::SmallRam] {
        let data = tempfile::tempdir().unwrap();
        let mut last = 0;
        for round in 0..4 {
            let server = stack.launch(data.path()).start();
            let mut client = server.connect();
            for _ in 0..3 {
                client.send("ms a 1 c\r\nx\r\n");
                let answer = client.line();
                let cas: u64 = answer.strip_prefix("HD c").expect("a CAS").parse().expect("a number");
                assert!(cas > last, "{cas} after {last}");
                last = cas;
            }
            client.ask("set n 0 0 1\r\n1\r\n", "STORED\r\n");
            if round % 2 == 0 { server.kill() } else { server.stop_cleanly() }
        }
    }
}

#[test]
fn a_backup_under_traffic_is_whole() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("ram > sqlite", data.path()).start();
    let mut client = server.connect();
    for number in 0..1000 {
        client.set(&format!("before:{number}"), &number.to_string());
    }
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    let backup = || Launch::bare().arg("backup").arg(data.path()).arg(&copy).output();
    let mut output = None;
    load(server, |server| {
        output = Some(backup());
        server.stop_cleanly();
    });
    let output = output.expect("the backup ran");
    assert!(output.status.success(), "{output:?}");
    let checked = check(&copy);
    assert!(checked.status.success(), "{checked:?}");
    let again = backup();
    assert!(!again.status.success(), "an existing folder is not overwritten");
    assert!(String::from_utf8_lossy(&again.stderr).contains("copy"), "{again:?}");
    let server = Launch::new("sqlite", &copy).start();
    let mut client = server.connect();
    for number in 0..1000 {
        assert_eq!(client.get(&format!("before:{number}")), Some(number.to_string()));
    }
    // Each writer's items were stored in order, so a copy of one moment has all up to some number.
    for writer in 0..WRITERS {
        let count = (0..).take_while(|number| client.get(&format!("{writer}:{number}")).is_some()).count();
        assert_eq!(client.get(&format!("{writer}:{}", count + 2 * PIPELINE)), None, "no holes");
    }
}

#[test]
fn a_check_finds_damage_and_names_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new("sqlite", data.path()).start();
    let mut client = server.connect();
    for number in 0..2000 {
        client.set(&format!("key:{number}"), &"v".repeat(200));
    }
    server.stop_cleanly();
    let clean = check(data.path());
    assert!(clean.status.success(), "{clean:?}");
    let file = data.path().join("larder.db");
    let mut bytes = std::fs::read(&file).unwrap();
    for page in bytes.chunks_mut(PAGE_BYTES).skip(1) {
        if page.windows(100).any(|window| window == [b'v'; 100]) {
            page[PAGE_BYTES / 2..].fill(0xa5);
        }
    }
    std::fs::write(&file, &bytes).unwrap();
    let damaged = check(data.path());
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    let said = [damaged.stdout, damaged.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("larder.db"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "a check changes nothing");
}

#[test]
fn a_backup_is_not_part_of_what_it_copies() {
    let data = tempfile::tempdir().unwrap();
    Launch::new("sqlite", data.path()).start().stop_cleanly();
    for inside in ["copy", "not/there/yet"] {
        let output = Launch::bare().arg("backup").arg(data.path()).arg(data.path().join(inside)).output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("name a folder outside"), "{said}");
        assert!(!data.path().join(inside).exists());
    }
}

/// The larger of two stores of a folder gets a page overwritten: the other is copied, and the backup has not its name.
#[test]
fn a_backup_of_a_damaged_store_fails_and_looks_like_it() {
    let data = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    for file in ["broken.db", "sound.db"] {
        let server = Launch::new(&format!("sqlite({file})"), data.path()).start();
        let mut client = server.connect();
        for number in 0..500 {
            client.set(&format!("key:{number}"), &"v".repeat(300));
        }
        server.stop_cleanly();
    }
    let broken = data.path().join("broken.db");
    let mut bytes = std::fs::read(&broken).unwrap();
    for page in bytes.chunks_mut(PAGE_BYTES).skip(1) {
        if page.windows(100).any(|window| window == [b'v'; 100]) {
            page.fill(0xa5);
        }
    }
    std::fs::write(&broken, &bytes).unwrap();
    let copy = copies.path().join("deep/copy");
    let backup = || Launch::bare().arg("backup").arg(data.path()).arg(&copy).output();
    let failed = backup();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8_lossy(&failed.stderr);
    for word in ["broken.db", "damaged", "larder check", "incomplete", "copy.partial"] {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!copy.exists(), "what has the name is whole");
    let partial = copies.path().join("deep/copy.partial");
    let names: Vec<_> =
        std::fs::read_dir(&partial).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["sound.db"]);
    let again = backup();
    assert!(String::from_utf8_lossy(&again.stderr).contains("copy.partial"), "{again:?}");
    // Alone, the damaged store leaves nothing, and no folder.
    std::fs::remove_dir_all(copies.path().join("deep")).unwrap();
    std::fs::remove_file(data.path().join("sound.db")).unwrap();
    assert_eq!(backup().status.code(), Some(1));
    assert!(!copies.path().join("deep").exists());
}

#[test]
fn a_check_of_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let output = check(&absent);
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent"), "{output:?}");
    assert!(!absent.exists());
}
