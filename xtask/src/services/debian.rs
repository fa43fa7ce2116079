//! Programs from Debian's packages, installed without leaving a daemon behind.

use crate::command;
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) struct Package {
    /// The name that apt knows.
    pub(crate) package: &'static str,
    /// The program that we run; the package is installed when it is found.
    pub(crate) program: &'static str,
    /// Where the package's own daemon would listen, if it has one.
    pub(crate) port: Option<u16>,
}

pub(crate) const PYTHON: Package = Package { package: "python3-venv", program: "python3", port: None };
pub(crate) const NPM: Package = Package { package: "npm", program: "npm", port: None };

impl Package {
    pub(crate) fn is_installed(&self) -> bool {
        command::find_program(self.program).is_some()
    }

    fn daemon_listens(&self) -> bool {
        self.port.is_some_and(|port| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        })
    }
}

/// Runs as root. While apt works, `policy-rc.d` tells Debian's packages to start no daemon; after it,
/// systemd is told not to start them at the next boot either. The package lists are only fetched
/// when installing fails without.
const INSTALL_SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get install --quiet --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}
if ! install "$@"; then
    echo "apt-get install failed: fetching the package lists, then trying once more" >&2
    apt-get update --quiet --quiet
    install "$@"
fi
if [ -d /run/systemd/system ]; then
    for unit in "$@"; do
        if systemctl cat "$unit.service" > /dev/null 2>&1; then
            systemctl disable --quiet --now "$unit.service"
        fi
    done
fi
"#;

/// Installs the packages and checks that their programs are there and their daemons are not.
pub(crate) fn install(packages: &[&Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = packages.iter().map(|package| package.package).collect();
    let listened_before: Vec<bool> = packages.iter().map(|package| package.daemon_listens()).collect();

    println!("installing from Debian: {}", names.join(" "));
    let mut install = as_root(&names)?;
    let status = install
        .args(["sh", "-c", INSTALL_SCRIPT, "install"])
        .args(&names)
        .stdin(Stdio::null())
        .status()
        .context("cannot start the installation")?;
    if !status.success() {
        bail!("apt-get could not install {} ({status}); its own words are above", names.join(" "));
    }

    for (package, listened) in packages.iter().zip(listened_before) {
        if !package.is_installed() {
            bail!("{} is installed, but the program `{}` is not found", package.package, package.program);
        }
        if !listened && package.daemon_listens() {
            bail!(
                "installing {0} has started its daemon, which the tests do not want: \
                 stop it (`service {0} stop`) and run this again",
                package.package
            );
        }
    }
    Ok(())
}

/// A command that runs its arguments as root, or the reason why there is none.
fn as_root(names: &[&str]) -> Result<Command> {
    let names = names.join(" ");
    if command::find_program("apt-get").is_none() {
        bail!("this is not a Debian system: install what these packages hold yourself: {names}");
    }
    let user = command::output(Command::new("id").arg("-u"))?;
    if user.trim() == "0" {
        return Ok(Command::new("env"));
    }
    let Some(sudo) = command::find_program("sudo") else {
        bail!("not root, and there is no sudo: run `apt-get install {names}` as root, then this again");
    };
    let mut command = Command::new(sudo);
    // Without a terminal nobody could type the password that sudo would wait for.
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        command.arg("-n");
    }
    Ok(command)
}
