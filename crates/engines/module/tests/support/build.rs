//! Builds the test engines of `tests/c` with the system's compiler.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it, and may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// The folder of the module engine, from whichever package's tests this is part of.
fn package() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    if own.join("tests/c").is_dir() { own.to_owned() } else { own.join("../engines/module") }
}

fn built_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether there is a C compiler; says so where there is none.
pub fn has_compiler() -> bool {
    let found = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no C compiler `cc` on this machine");
    }
    found
}

fn newest_source() -> SystemTime {
    let folders = [package().join("tests/c"), package().join("../../../include/memcached")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().metadata().unwrap().modified().unwrap()).max().unwrap()
}

/// Compiles a file unless that was done since any source changed.
fn compile(source: &Path, flags: &[&str], extension: &str) -> PathBuf {
    let name: String =
        flags.join("").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let stem = source.file_stem().unwrap().to_string_lossy();
    let built = built_folder().join(format!("{stem}{name}{extension}"));
    let is_fresh = built.metadata().and_then(|file| file.modified()).is_ok_and(|at| {
        let own = source.metadata().unwrap().modified().unwrap();
        at > newest_source().max(own)
    });
    if is_fresh {
        return built;
    }
    // Tests run at once: each writes a file of its own and puts it in place whole.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let unfinished = built_folder().join(format!("{stem}{name}.{}.{number}", std::process::id()));
    let output = Command::new("cc")
        .args(["-std=c99", "-O2", "-g", "-Wall", "-Wextra", "-pthread"])
        .args(flags)
        .arg("-I")
        .arg(package().join("../../../include"))
        .arg("-o")
        .arg(&unfinished)
        .arg(source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&unfinished, &built).unwrap();
    built
}

/// A module from a file of `tests/c`, built with these definitions.
pub fn module(source: &str, defines: &[&str]) -> PathBuf {
    let mut flags = vec!["-shared", "-fPIC"];
    flags.extend(defines);
    compile(&package().join("tests/c").join(source), &flags, ".so")
}

/// The engine of the book's chapter on C: its pieces of code, one behind the other.
pub fn module_of_the_book() -> PathBuf {
    let chapter = package().join("../../../docs/write-an-engine-in-c.md");
    let text = std::fs::read_to_string(&chapter).unwrap();
    let mut code = String::new();
    let mut is_code = false;
    for line in text.lines() {
        match line {
            "```c" => is_code = true,
            "```" => is_code = false,
            line if is_code => {
                code.push_str(line);
                code.push('\n');
            }
            _ => {}
        }
    }
    assert!(code.contains("create_instance"), "the chapter has an engine");
    let source = built_folder().join("file_engine.c");
    if std::fs::read_to_string(&source).ok().as_deref() != Some(code.as_str()) {
        let unfinished = built_folder().join(format!("file_engine.{}.c", std::process::id()));
        std::fs::write(&unfinished, code).unwrap();
        std::fs::rename(&unfinished, &source).unwrap();
    }
    compile(&source, &["-shared", "-fPIC"], ".so")
}

/// A program from a file of `tests/c`.
pub fn program(source: &str, defines: &[&str]) -> PathBuf {
    compile(&package().join("tests/c").join(source), defines, "")
}

/// A copy of a library under a name of its own, which the loader takes for another library with memory of its own.
/// Removed when it is dropped; what is loaded stays.
pub struct Copy(pub PathBuf);

impl Copy {
    pub fn of(library: &Path) -> Copy {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = library.file_stem().unwrap().to_string_lossy();
        let path = built_folder().join(format!("{name}-{}-{number}.so", std::process::id()));
        std::fs::copy(library, &path).unwrap();
        Copy(path)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
