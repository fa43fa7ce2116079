//! The server process: started, killed, stopped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a start or a clean stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start the server.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The program.
    pub program: PathBuf,
    /// The store expression.
    pub store: String,
    /// RAM for bare `ram`, in MiB.
    pub memory_mib: u32,
    /// Worker threads.
    pub threads: u32,
}

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts the server on the data in `folder` and waits until it says where it listens. Its log goes to a file
    /// beside the data.
    pub fn start(recipe: &Recipe, folder: &Path) -> Result<Server> {
        let log = folder.join("server.log");
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new(&recipe.program)
            .args(["-l", "127.0.0.1", "-p", "-1", "--store", &recipe.store])
            .args(["-m", &recipe.memory_mib.to_string(), "-t", &recipe.threads.to_string()])
            .arg("--data")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", recipe.program.display()))?;
        let output = child.stdout.take().expect("the output is piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // An error reads like the end: the server did not say where it listens.
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let Some(address) = parse_address(&line) else {
            let _ = child.kill();
            let status = child.wait().context("cannot wait for the server")?;
            bail!(
                "the server does not say where it listens (it wrote {line:?}, {status}); its log ends with:\n{}",
                tail(&log)
            );
        };
        Ok(Server { child, address, log })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resident memory in KiB, as the system counts it; `None` if the process is gone.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    /// kill -9.
    ///
    /// # Errors
    /// If it had ended by itself before.
    pub fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("cannot ask for the server")? {
            bail!("the server ended by itself ({status}); its log ends with:\n{}", tail(&self.log));
        }
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server")?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// If it does not end, or not with success.
    pub fn stop(mut self) -> Result<()> {
        let process = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &process]).status();
        if !sent.context("cannot run sh")?.success() {
            bail!("the server ended by itself; its log ends with:\n{}", tail(&self.log));
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("cannot wait for the server")? {
                if !status.success() {
                    bail!("the stop was not clean ({status}); the log ends with:\n{}", tail(&self.log));
                }
                return Ok(());
            }
            // There is no other way to wait for a child with a deadline.
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!(
            "the server did not stop within {} s; its log ends with:\n{}",
            PATIENCE.as_secs(),
            tail(&self.log)
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only a process that has ended already refuses, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in `larder listens on 127.0.0.1:PORT; …`.
fn parse_address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("larder listens on ")?;
    rest.split([';', ',']).next()?.trim().parse().ok()
}

fn tail(log: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
