//! Builds the utilities library with the machine's C compiler.

use std::env;
use std::path::{Path, PathBuf};

const SOURCES: [&str; 3] = ["c/config.c", "c/loggers.c", "c/numbers.c"];
/// The name engines have in their list of needed libraries.
const SONAME: &str = "libmemcached_utilities.so.0";

fn main() {
    let include = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../../../include");
    let output = PathBuf::from(variable("OUT_DIR")).join(SONAME);
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed={}", include.display());

    let mut build = cc::Build::new();
    build
        .include(&include)
        .std("c99")
        .flag("-fvisibility=hidden")
        .pic(true)
        .warnings(true)
        .extra_warnings(true);
    let mut compiler = build.get_compiler().to_command();
    compiler
        .args(["-shared", "-Wl,-z,defs", &format!("-Wl,-soname,{SONAME}"), "-o"])
        .arg(&output)
        .args(SOURCES);
    let status =
        compiler.status().unwrap_or_else(|error| panic!("cannot run the C compiler {compiler:?}: {error}"));
    assert!(status.success(), "the C compiler cannot build {SONAME}: {compiler:?} ended with {status}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for a build script: {error}"))
}
