//! `cargo xtask services`: the programs and client libraries that tests and benchmarks run.
//!
//! Programs come from Debian's packages; the Python and JavaScript clients go into
//! `target/services`, at the versions pinned under `xtask/services`. What is there already costs a
//! look at the file system and no more.

mod debian;
mod python;

use crate::command;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Install what tests and benchmarks need from outside, or show what is there
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Install what is missing; quick when nothing is
    Install {
        /// Which to install, as `services status` names them; all when none is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Show what is installed and what is missing
    Status,
}

struct Service {
    name: &'static str,
    purpose: &'static str,
    source: Source,
}

enum Source {
    Debian(debian::Package),
    PythonClients,
    NodeClients,
}

const SERVICES: &[Service] = &[
    Service {
        name: "memcached",
        purpose: "the server that tests and benchmarks compare with",
        source: Source::Debian(debian::Package {
            package: "memcached",
            program: "memcached",
            port: Some(11211),
        }),
    },
    Service {
        name: "memccapable",
        purpose: "protocol checks of libmemcached",
        source: Source::Debian(debian::Package {
            package: "libmemcached-tools",
            program: "memccapable",
            port: None,
        }),
    },
    Service {
        name: "redis",
        purpose: "the durable server that benchmarks compare with",
        source: Source::Debian(debian::Package {
            package: "redis-server",
            program: "redis-server",
            port: Some(6379),
        }),
    },
    Service {
        name: "mariadb",
        purpose: "a database whose tables are served",
        source: Source::Debian(debian::Package {
            package: "mariadb-server",
            program: "mariadbd",
            port: Some(3306),
        }),
    },
    Service {
        name: "postgresql",
        purpose: "a database whose tables are served",
        // The server's own program is not on the path; this one comes with it.
        source: Source::Debian(debian::Package {
            package: "postgresql",
            program: "pg_createcluster",
            port: Some(5432),
        }),
    },
    Service {
        name: "netcat",
        purpose: "the README's example",
        source: Source::Debian(debian::Package {
            package: "netcat-openbsd",
            program: "nc.openbsd",
            port: None,
        }),
    },
    Service {
        name: "openssl",
        purpose: "a client of TLS with certificates of its own",
        source: Source::Debian(debian::Package { package: "openssl", program: "openssl", port: None }),
    },
    Service {
        name: "python",
        purpose: "the clients pymemcache, pylibmc, python-binary-memcached and emcache, and their own tests",
        source: Source::PythonClients,
    },
    Service { name: "node", purpose: "the client memjs", source: Source::NodeClients },
];

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.action {
        Action::Install { names } => {
            install(&named(names)?)?;
            println!("all services asked for are installed");
        }
        Action::Status => {
            for service in SERVICES {
                let state = if service.is_installed()? { "installed" } else { "missing" };
                println!("{:<12} {state:<10} {}", service.name, service.purpose);
            }
        }
    }
    Ok(())
}

/// Installs every service that is missing.
pub(crate) fn install_all() -> Result<()> {
    install(&named(&[])?)
}

/// Installs those of these services that are missing.
pub(crate) fn install_named(names: &[&str]) -> Result<()> {
    install(&named(&names.iter().map(ToString::to_string).collect::<Vec<_>>())?)
}

/// The folder that holds the clients, absolute.
pub(crate) fn folder() -> PathBuf {
    command::target_folder().join("services")
}

fn named(names: &[String]) -> Result<Vec<&'static Service>> {
    if names.is_empty() {
        return Ok(SERVICES.iter().collect());
    }
    let find = |name: &String| {
        SERVICES.iter().find(|service| service.name == name).with_context(|| {
            let known: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
            format!("there is no service `{name}`; there are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn install(services: &[&Service]) -> Result<()> {
    let mut packages = Vec::new();
    for service in services {
        if service.is_installed()? {
            continue;
        }
        println!("{} is missing ({}): installing it", service.name, service.purpose);
        match &service.source {
            Source::Debian(package) => packages.push(package),
            Source::PythonClients if command::find_program("python3").is_none() => {
                packages.push(&debian::PYTHON);
            }
            Source::NodeClients if command::find_program("npm").is_none() => packages.push(&debian::NPM),
            Source::PythonClients | Source::NodeClients => {}
        }
    }
    debian::install(&packages)?;

    for service in services {
        if service.is_installed()? {
            continue;
        }
        match service.source {
            Source::Debian(_) => unreachable!("debian::install has checked that the program is there"),
            Source::PythonClients => python::install()?,
            Source::NodeClients => install_node_clients()?,
        }
    }
    Ok(())
}

impl Service {
    fn is_installed(&self) -> Result<bool> {
        match &self.source {
            Source::Debian(package) => Ok(package.is_installed()),
            Source::PythonClients => python::is_installed(),
            Source::NodeClients => {
                let clients = folder().join("node");
                Ok(clients.join("node_modules/memjs").is_dir() && is_stamped(&clients, &node_pins())?)
            }
        }
    }
}

fn node_pins() -> PathBuf {
    command::repository().join("xtask/services/node/package-lock.json")
}

fn install_node_clients() -> Result<()> {
    let clients = folder().join("node");
    remove_folder(&clients)?;
    fs::create_dir_all(&clients).with_context(|| format!("cannot create {}", clients.display()))?;
    for pins in [node_pins().with_file_name("package.json"), node_pins()] {
        let copy = clients.join(pins.file_name().expect("a file of the repository"));
        fs::copy(&pins, &copy).with_context(|| format!("cannot copy {}", pins.display()))?;
    }
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    command::run(Command::new("npm").args(npm).current_dir(&clients))?;
    stamp(&clients, &node_pins())
}

fn remove_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Notes which pins a finished installation was made from; a changed pin makes it again.
fn stamp(folder: &Path, pins: &Path) -> Result<()> {
    let stamp = stamp_file(folder);
    fs::copy(pins, &stamp).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(())
}

fn is_stamped(folder: &Path, pins: &Path) -> Result<bool> {
    let stamp = stamp_file(folder);
    if !stamp.exists() {
        return Ok(false);
    }
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok(read(&stamp)? == read(pins)?)
}

fn stamp_file(folder: &Path) -> PathBuf {
    folder.join("installed-from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_service_is_refused_by_name() {
        assert_eq!(named(&[]).expect("all").len(), SERVICES.len());
        assert_eq!(named(&["redis".into()]).expect("one")[0].name, "redis");
        let refusal = named(&["valkey".into()]).err().expect("refused").to_string();
        assert!(refusal.contains("`valkey`") && refusal.contains("memcached"), "{refusal}");
    }

    #[test]
    fn changed_pins_make_an_installation_stale() {
        let folder = std::env::temp_dir().join(format!("larder-xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let pins = folder.join("pins");
        fs::write(&pins, "client==1").expect("pins");
        assert!(!is_stamped(&folder, &pins).expect("no stamp"));
        stamp(&folder, &pins).expect("stamped");
        assert!(is_stamped(&folder, &pins).expect("stamp"));
        fs::write(&pins, "client==2").expect("pins");
        assert!(!is_stamped(&folder, &pins).expect("old stamp"));
        fs::remove_dir_all(&folder).expect("removed");
    }
}
