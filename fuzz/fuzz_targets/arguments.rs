//! The command line, one argument a line of the input: memcached's options, `-o` and all it takes, store expressions,
//! addresses.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use larder::cli;
use larder::config::{Input, Program, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let words = data.split(|&byte| byte == b'\n').map(|word| OsString::from_vec(word.to_vec()));
    let arguments: Vec<OsString> = std::iter::once("larder".into()).chain(words).collect();
    for program in [Program::Larder, Program::Memcached] {
        let Ok(cli) = cli::parse(program, arguments.clone()) else { continue };
        match check(&Input { program, cores: 2, options: &cli.options, file: None }) {
            Ok(plan) => assert!(!plan.describe().is_empty()),
            Err(mistakes) => assert!(mistakes.count() > 0 && !mistakes.to_string().is_empty()),
        }
    }
});
