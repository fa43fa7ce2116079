//! Servers under measurement: started in a folder of their own, stopped when they go out of scope.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use super::cores::Seat;
use crate::command;

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(120);
/// A server is quiet when it uses less than this part of one processor.
const QUIET_SHARE: f64 = 0.02;
const QUIET_WINDOW: Duration = Duration::from_millis(500);

/// What to start.
pub(crate) enum Kind<'a> {
    Larder {
        store: &'a str,
        memory_mib: u32,
    },
    Memcached {
        memory_mib: u32,
    },
    /// With `appendonly yes` and `appendfsync always`.
    Redis,
}

/// The data of a server, removed when it goes out of scope.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new folder under `target/bench`: on a disk, where fsync means something.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = command::target_folder().join(format!("bench/{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot create", path.display()))?;
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: cannot remove: {error}", self.0.display());
        }
    }
}

pub(crate) struct Server {
    child: Child,
    port: u16,
    /// From the start until the first request was answered.
    pub(crate) started_in: Duration,
    is_redis: bool,
    pub(crate) seat: Seat,
}

impl Bench {
    /// Starts a server on a free port and waits until it answers.
    pub(crate) fn start(&self, kind: &Kind<'_>, folder: &Folder) -> Result<Server> {
        self.start_on(kind, folder, Seat::default())
    }

    /// The same, with so many threads on given cores.
    pub(crate) fn start_on(&self, kind: &Kind<'_>, folder: &Folder, seat: Seat) -> Result<Server> {
        let port = free_port()?;
        let connections = seat.connections.to_string();
        let data = folder.path();
        let command = match kind {
            Kind::Larder { store, memory_mib } => {
                let mut command = Command::new(&self.larder);
                command.args(["--store", store, "-l", "127.0.0.1", "-c", &connections]);
                if let Some(threads) = seat.threads {
                    command.args(["-t", &threads.to_string()]);
                }
                command
                    .args(["-p", &port.to_string(), "-m", &memory_mib.to_string()])
                    .arg("--data")
                    .arg(data);
                command
            }
            Kind::Memcached { memory_mib } => {
                let mut command = program("memcached")?;
                command.args(["-l", "127.0.0.1", "-c", &connections, "-u", "nobody"]);
                command.args(["-t", &seat.threads.unwrap_or(2).to_string()]);
                command.args(["-p", &port.to_string(), "-m", &memory_mib.to_string()]);
                command
            }
            Kind::Redis => {
                let mut command = program("redis-server")?;
                command.args([
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "always",
                ]);
                command.args(["--port", &port.to_string()]).arg("--dir").arg(data);
                command
            }
        };
        let log_path = data.join("log");
        let log =
            File::create(&log_path).with_context(|| format!("{}: cannot create", log_path.display()))?;
        let mut command = seat.for_server(command);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut server =
            Server { child, port, started_in: Duration::ZERO, is_redis: matches!(kind, Kind::Redis), seat };
        while server.ask("version", "VERSION").is_err() {
            if let Some(status) = server.child.try_wait()? {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                bail!("the server ended at once ({status}):\n{log}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("the server did not answer within {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(2));
        }
        server.started_in = begin.elapsed();
        Ok(server)
    }
}

fn program(name: &str) -> Result<Command> {
    let path = command::find_program(name).with_context(|| format!("{name} is not installed"))?;
    Ok(Command::new(path))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port())
}

impl Server {
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for one line.
    fn ask(&self, request: &str, answer: &str) -> Result<()> {
        let (request, answer) = if self.is_redis { ("PING", "+PONG") } else { (request, answer) };
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{request}\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        if !line.starts_with(answer) {
            bail!("`{request}` was answered with `{}`", line.trim_end());
        }
        Ok(())
    }

    /// `stats GROUP`; the values by their names.
    fn stats(&self, group: &str) -> Result<BTreeMap<String, String>> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{}\r\n", format!("stats {group}").trim_end())?;
        let mut stats = BTreeMap::new();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let Some(rest) = line.strip_prefix("STAT ") else {
                return if line == "END" {
                    Ok(stats)
                } else {
                    bail!("`stats {group}` was answered with `{line}`")
                };
            };
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            stats.insert(name.to_owned(), value.to_owned());
        }
        bail!("`stats {group}` was not answered to its end")
    }

    /// The one number of `stats larder` whose name ends so.
    pub(crate) fn larder_stat(&self, name: &str) -> Result<u64> {
        let stats = self.stats("larder")?;
        let mut found = stats.iter().filter(|(full, _)| full.rsplit(':').next() == Some(name));
        let (Some((_, value)), None) = (found.next(), found.next()) else {
            bail!("`stats larder` has not exactly one `{name}`");
        };
        value.parse().with_context(|| format!("`{name}` is `{value}`, not a number"))
    }

    /// A number among the general statistics.
    pub(crate) fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.stats("")?;
        let value = stats.get(name).with_context(|| format!("`stats` has no `{name}`"))?;
        value.parse().with_context(|| format!("`{name}` is `{value}`, not a number"))
    }

    /// The version it says it is.
    pub(crate) fn version(&self) -> Result<String> {
        self.stats("")?.remove("version").context("`stats` has no `version`")
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("{path}: cannot read"))?;
        let kibibytes: Option<u64> = text
            .lines()
            .find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        Ok(kibibytes.with_context(|| format!("{path} has no line `Rss:`"))? << 10)
    }

    /// Waits until the server has nothing left to do in the background.
    pub(crate) fn wait_until_quiet(&self) -> Result<()> {
        let begin = Instant::now();
        let mut before = self.run_time()?;
        loop {
            thread::sleep(QUIET_WINDOW);
            let now = self.run_time()?;
            if (now - before).as_secs_f64() < QUIET_SHARE * QUIET_WINDOW.as_secs_f64() {
                return Ok(());
            }
            before = now;
            if begin.elapsed() > PATIENCE {
                bail!("the server was still busy after {} s without load", PATIENCE.as_secs());
            }
        }
    }

    /// Processor time of all threads so far.
    fn run_time(&self) -> Result<Duration> {
        let mut sum_ns = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            // A thread may end in between.
            let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let run_ns: u64 = schedstat.split_ascii_whitespace().next().unwrap_or("0").parse()?;
            sum_ns += run_ns;
        }
        Ok(Duration::from_nanos(sum_ns))
    }

    /// Stops it cleanly.
    pub(crate) fn stop(mut self) -> Result<()> {
        command::output(Command::new("kill").args(["-TERM", &self.pid().to_string()]))?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    bail!("the server did not stop cleanly ({status})")
                };
            }
            if begin.elapsed() > PATIENCE {
                bail!("the server did not stop within {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it.
    pub(crate) fn kill(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; both calls then say so, and nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
