//! The Python clients in an environment of their own, and the tests that they themselves are tested with.

use super::{debian, folder, is_stamped, remove_folder, stamp};
use crate::command;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `venv` puts the clients.
fn environment() -> PathBuf {
    folder().join("python")
}

/// Where the sources of the clients are unpacked, for the tests in them.
fn suites() -> PathBuf {
    folder().join("suites")
}

fn pins(name: &str) -> PathBuf {
    command::repository().join("xtask/services/python").join(name)
}

fn client_pins() -> PathBuf {
    pins("requirements.txt")
}

fn suite_pins() -> PathBuf {
    pins("suites.txt")
}

pub(super) fn is_installed() -> Result<bool> {
    Ok(environment().join("bin/python").exists()
        && is_stamped(&environment(), &client_pins())?
        && is_stamped(&suites(), &suite_pins())?)
}

pub(super) fn install() -> Result<()> {
    install_clients()?;
    install_suites()
}

fn pip() -> Command {
    let mut pip = Command::new(environment().join("bin/python"));
    pip.args(["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip
}

fn install_clients() -> Result<()> {
    let clients = environment();
    remove_folder(&clients)?;
    // Debian's python3 comes without what `venv` needs to put pip in place.
    if command::output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        debian::install(&[&debian::PYTHON])?;
    }
    command::run(Command::new("python3").args(["-m", "venv"]).arg(&clients))?;
    command::run(pip().args(["install", "--requirement"]).arg(client_pins()))?;
    stamp(&clients, &client_pins())
}

/// Unpacks the source packages: of `pymemcache-4.0.0.tar.gz` comes the folder `pymemcache`.
fn install_suites() -> Result<()> {
    let suites = suites();
    remove_folder(&suites)?;
    let packages = suites.join("packages");
    fs::create_dir_all(&packages).with_context(|| format!("cannot create {}", packages.display()))?;
    let download = ["download", "--no-deps", "--require-hashes", "--requirement"];
    command::run(pip().args(download).arg(suite_pins()).arg("--dest").arg(&packages))?;
    let listed = || format!("cannot list {}", packages.display());
    for package in fs::read_dir(&packages).with_context(listed)? {
        unpack(&package.with_context(listed)?.path(), &suites)?;
    }
    remove_folder(&packages)?;
    stamp(&suites, &suite_pins())
}

fn unpack(package: &Path, suites: &Path) -> Result<()> {
    let name = package.file_name().expect("a file of the folder").to_string_lossy();
    let (name, _) = name.rsplit_once('-').with_context(|| format!("`{name}` has no version"))?;
    let folder = suites.join(name);
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let unpack = ["--extract", "--gzip", "--strip-components=1", "--no-same-owner", "--file"];
    command::run(Command::new("tar").args(unpack).arg(package).arg("--directory").arg(&folder))
}
