//! The library from outside: a program in C is linked with it and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder_module_utilities::{LIBRARY, SONAME, load};

#[test]
fn it_does_what_engines_expect() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join(SONAME);
    fs::write(&library, LIBRARY).unwrap();
    let program = build(folder.path(), &library);
    let output = Command::new(&program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {said}", output.status);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complained, "cannot open it, try 3: No such file or directory\n");
}

fn build(folder: &Path, library: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.join("utilities");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(here.join("../../../../include"))
        .arg("-I")
        .arg(here.join("c"))
        .arg(here.join("tests/utilities.c"))
        .arg(library)
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .output()
        .unwrap_or_else(|error| panic!("this test needs a C compiler; {compiler} cannot be run: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn it_can_be_loaded_and_is_loaded_once() {
    let first = load().unwrap();
    assert!(!first.logger().is_null());
    assert!(std::ptr::eq(first, load().unwrap()));
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains(SONAME), "{maps}");
}
