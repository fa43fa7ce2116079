//! The README's example: set, get, incr, kill -9, start again, get; with `nc` and with a real client.

use std::path::Path;
use std::process::Command;

use crate::support::outside;
use crate::support::{Launch, Server};

/// What the README shows in a shell: a command, and what it prints.
struct Example {
    command: String,
    output: String,
}

fn readme() -> String {
    std::fs::read_to_string(outside::file("../../../README.md")).expect("the README is there")
}

/// The examples with `nc`.
fn examples(readme: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_output = false;
    for line in readme.lines() {
        let Some(shown) = line.strip_prefix("    ") else {
            is_output = false;
            continue;
        };
        if let Some(command) = shown.strip_prefix("$ ") {
            is_output = command.contains("| nc ");
            if is_output {
                examples.push(Example { command: command.to_owned(), output: String::new() });
            }
        } else if is_output {
            let example = examples.last_mut().expect("output follows a command");
            example.output += shown;
            example.output += "\r\n";
        }
    }
    examples
}

fn python_example(readme: &str) -> String {
    let (_, rest) = readme.split_once("```python\n").expect("the README has an example in Python");
    rest.split_once("```").expect("the example has an end").0.to_owned()
}

fn follow(example: &Example, port: u16) {
    let command = example.command.replace("11211", &port.to_string());
    assert_ne!(command, example.command, "the example names the port");
    assert_eq!(outside::run(Command::new("sh").args(["-c", &command])), example.output, "{command}");
}

fn start(folder: &Path) -> Server {
    Launch::bare().args(["-l", "127.0.0.1:0"]).inside(folder).start()
}

#[test]
fn the_readme_s_example_survives_kill_9() {
    if outside::is_left_out() {
        return;
    }
    let readme = readme();
    let examples = examples(&readme);
    let [before, after] = &examples[..] else { panic!("an example before the kill, one after it") };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let port = server.address().port();
    let line = server.start_line().replace(&format!(":{port}"), ":11211");
    assert!(readme.lines().any(|shown| shown.trim() == line), "the README shows {line:?}");
    assert!(folder.path().join("larder-data").is_dir(), "the data lives where the line says");
    follow(before, port);
    server.kill();
    let server = start(folder.path());
    follow(after, server.address().port());
}

#[test]
fn the_readme_s_python_example_survives_kill_9() {
    if outside::is_left_out() {
        return;
    }
    let example = python_example(&readme());
    let folder = tempfile::tempdir().unwrap();
    let python = |program: &str, server: &Server| {
        let program = program.replace("11211", &server.address().port().to_string());
        outside::run(outside::python().args(["-c", &program]))
    };
    let server = start(folder.path());
    assert_eq!(python(&example, &server), "8\n");
    server.kill();
    let server = start(folder.path());
    let (connect, _) = example.split_once("client.set").expect("the example stores something");
    let look = format!("{connect}print(client.get('greeting'), client.get('visits'))");
    assert_eq!(python(&look, &server), "b'hello' b'8'\n");
}

/// Without any argument larder takes memcached's port, so this needs a network of its own.
#[test]
fn without_arguments_it_listens_on_loopback_11211() {
    if outside::is_left_out() {
        return;
    }
    let is_possible =
        Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("left out: a network of its own needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("ip link set lo up && exec {}", env!("CARGO_BIN_EXE_larder"));
    let server = Launch::of("unshare").args(["-n", "sh", "-c", &script]).inside(folder.path()).start();
    assert_eq!(server.start_line(), "larder listens on 127.0.0.1:11211; data in larder-data (ram > sqlite)");
    let pid = server.pid().to_string();
    let ask = "printf 'set a 0 0 1\\r\\nx\\r\\nget a\\r\\nquit\\r\\n' | nc 127.0.0.1 11211";
    let answer = outside::run(Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-c", ask]));
    assert_eq!(answer, "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    server.stop_cleanly();
}
