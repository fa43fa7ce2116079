//! Running other programs, and where things are.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository. `cargo run` names this package's folder; the folder it was built in
/// is the answer when the program is started by hand.
pub(crate) fn repository() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().expect("xtask is a folder of the repository").to_path_buf()
}

/// The folder that cargo builds into, absolute.
pub(crate) fn target_folder() -> PathBuf {
    repository().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The server binary that `cargo build -p larder` leaves behind.
pub(crate) fn server_binary() -> PathBuf {
    target_folder().join("debug/larder")
}

/// What cargo is told to build that binary: with everything it can do, so that all of it is tested.
pub(crate) const BUILD_SERVER: [&str; 5] = ["build", "--package", "larder", "--features", "sql"];

/// A cargo command in the root of the repository.
pub(crate) fn cargo<Argument: AsRef<OsStr>>(arguments: &[Argument]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(repository());
    command
}

/// Prints the command, runs it with this program's own streams, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    eprintln!("+ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs the command quietly and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote bytes that are not UTF-8"))
}

/// Where `program` is: in PATH, or in the system folders that a user's PATH may leave out.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Installs a cargo subcommand from crates.io unless cargo already finds it.
pub(crate) fn ensure_cargo_command(name: &str) -> Result<()> {
    let package = format!("cargo-{name}");
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let installed = cargo_home.is_some_and(|home| home.join("bin").join(&package).is_file());
    if installed || find_program(&package).is_some() {
        return Ok(());
    }
    println!("{package} is missing: installing it from crates.io, which compiles it for some minutes, once");
    // It is a tool of the user's, not a part of this build: it gets a target folder of its own.
    run(cargo(&["install", "--locked", &package]).env_remove("CARGO_TARGET_DIR"))
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut line = words.join(" ");
    // A program's full path says nothing to the reader; its arguments do.
    if let Some(name) = Path::new(command.get_program()).file_name() {
        line.replace_range(..words[0].len(), &name.to_string_lossy());
    }
    line
}
