//! What the border to C costs: a hash table in C beside the RAM engine.

use anyhow::Result;
use std::path::Path;
use std::process::Command;

use super::hit::Hits;
use crate::bench::Bench;
use crate::bench::cores::{self, Seat};
use crate::bench::numbers::Verdict;
use crate::bench::server::Folder;
use crate::command;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Verdict>> {
    let folder = Folder::new("module")?;
    let library = folder.path().join("hash.so");
    build(&library)?;
    let hits = Hits {
        store: &format!("module('{}')", library.display()),
        seat: Seat { threads: Some(1), cores: cores::two_cores()?, ..Seat::default() },
        keys: bench.items(100_000),
        what: "GET hit on a module that answers at once",
        at_most: 1.3,
    };
    let ways = [("P=1", "-P 1"), ("P=16", "-P 16 --batch"), ("get of 100 keys", "-P 1 --get-keys 100")];
    hits.measure(bench, &ways)
}

/// The hash table that modules are tested with.
fn build(library: &Path) -> Result<()> {
    let root = command::repository();
    let mut compile = Command::new("cc");
    compile.args(["-std=c99", "-O2", "-shared", "-fPIC", "-pthread", "-I"]).arg(root.join("include"));
    compile.arg("-o").arg(library).arg(root.join("crates/engines/module/tests/c/hash.c"));
    command::run(&mut compile)
}
