//! The two servers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use larder_crash::server::{Recipe, Server};
use tempfile::TempDir;

/// Memory of each server in MiB: so much that nothing is evicted.
const MEMORY_MIB: u32 = 1024;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The programs, and how they are started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// larder's binary.
    pub larder: PathBuf,
    /// larder's store expression.
    pub store: String,
    /// memcached's binary.
    pub memcached: PathBuf,
}

impl Programs {
    /// Whether larder notes reads as memcached does: a store under the RAM keeps no such notes.
    pub fn notes_reads(&self) -> bool {
        !self.store.contains('>')
    }
}

/// larder and memcached, side by side; ended when dropped.
pub struct Servers {
    larder: Server,
    memcached: Memcached,
    _folder: TempDir,
}

/// Where the two servers listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// larder.
    pub larder: SocketAddr,
    /// memcached.
    pub memcached: SocketAddr,
}

/// memcached; ended when dropped.
pub struct Memcached {
    process: Child,
    address: SocketAddr,
}

impl Servers {
    /// Starts both on free ports of the loopback.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(programs: &Programs) -> Result<Servers> {
        let folder = tempfile::tempdir().context("cannot make a folder for the servers")?;
        let recipe = Recipe {
            program: programs.larder.clone(),
            store: programs.store.clone(),
            memory_mib: MEMORY_MIB,
            threads: 1,
        };
        Ok(Servers {
            larder: Server::start(&recipe, folder.path())?,
            memcached: Memcached::start(&programs.memcached)?,
            _folder: folder,
        })
    }

    /// Where they listen.
    pub fn addresses(&self) -> Addresses {
        Addresses { larder: self.larder.address(), memcached: self.memcached.address() }
    }
}

impl Addresses {
    /// Empties both servers by a `flush_all` with this line.
    ///
    /// # Errors
    /// If one does not answer `OK`.
    pub fn flush(&self, line: &str) -> Result<()> {
        for address in [self.larder, self.memcached] {
            let mut socket =
                TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
            socket.write_all(format!("{line}\r\n").as_bytes()).context("cannot empty a server")?;
            let mut answer = [0; 4];
            socket.read_exact(&mut answer).context("a server does not answer flush_all")?;
            ensure!(&answer == b"OK\r\n", "{line} was answered {}", answer.escape_ascii());
        }
        Ok(())
    }
}

impl Memcached {
    /// Starts it on a free port of the loopback.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path) -> Result<Memcached> {
        let folder = tempfile::tempdir().context("cannot make a folder for memcached")?;
        let ports = folder.path().join("ports");
        let mut process = Command::new(program)
            .args(["-l", "127.0.0.1", "-p", "-1", "-U", "0", "-u", "root", "-t", "1"])
            .args(["-m", &MEMORY_MIB.to_string()])
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("cannot start {} (cargo xtask services install brings it)", program.display())
            })?;
        let start = Instant::now();
        loop {
            let line = std::fs::read_to_string(&ports).unwrap_or_default();
            if let Some(port) = line.trim().rsplit(' ').next().and_then(|port| port.parse::<u16>().ok()) {
                return Ok(Memcached { process, address: ([127, 0, 0, 1], port).into() });
            }
            if let Some(status) = process.try_wait().context("cannot wait for memcached")? {
                bail!("memcached does not start: {status}");
            }
            if start.elapsed() > PATIENCE {
                bail!("memcached does not say where it listens");
            }
            // The file is the only sign there is.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        // Only a process that has ended already refuses, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
