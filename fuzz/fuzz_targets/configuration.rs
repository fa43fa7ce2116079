//! The configuration file: whatever it is, it becomes a plan that can be said, or mistakes that have places.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use larder::cli;
use larder::config::{File, Input, Options, Program, check};
use libfuzzer_sys::fuzz_target;

static OPTIONS: LazyLock<Options> = LazyLock::new(|| {
    cli::parse(Program::Larder, ["larder".into()]).expect("no options are good ones").options
});

fuzz_target!(|content: &[u8]| {
    let file = Some(File { path: Path::new("larder.toml"), content });
    for program in [Program::Larder, Program::Memcached] {
        match check(&Input { program, cores: 2, options: &OPTIONS, file }) {
            Ok(plan) => {
                assert!(!plan.describe().is_empty());
                assert!(plan.changes(&plan).is_ok(), "a plan may take its own place");
            }
            Err(mistakes) => {
                assert!(mistakes.count() > 0);
                for line in mistakes.lines() {
                    assert!(line.starts_with("larder.toml:"), "a mistake has its place: {line}");
                }
            }
        }
    }
});
