//! Starts, stops and kills servers.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::client::Client;
use super::system;
use super::wait::until;

/// A server to start: its command line.
#[derive(Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    user: Option<u32>,
}

impl Launch {
    /// larder, without any argument.
    pub fn bare() -> Launch {
        Launch::of(env!("CARGO_BIN_EXE_larder"))
    }

    /// larder on a free port of the loopback.
    pub fn new(stack: &str, data: &Path) -> Launch {
        Launch::bare().args(["--store", stack, "-l", "127.0.0.1:0"]).arg("--data").arg(data)
    }

    /// Any program, without any argument.
    pub fn of(program: impl AsRef<Path>) -> Launch {
        Launch {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
            user: None,
        }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Launch {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Launch {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Launch {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The working directory.
    pub fn inside(mut self, folder: &Path) -> Launch {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs as another user, which only root may ask for.
    pub fn user(mut self, user: u32) -> Launch {
        self.user = Some(user);
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the server and waits for the line that says where it listens.
    pub fn start(&self) -> Server {
        let mut server = self.start_silently();
        let line = server.wait_for("the start line", |server| server.stdout.first_line());
        let words = || line.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.', ')']));
        server.addresses = words().filter_map(|word| word.parse().ok()).collect();
        server.socket = words().find_map(|word| word.strip_prefix("unix:")).map(PathBuf::from);
        server.start_line = line;
        server
    }

    /// Starts a server that says nothing when it listens; its addresses are not known.
    pub fn start_silently(&self) -> Server {
        let mut child =
            self.command().spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let stdout = Captured::start(child.stdout.take().expect("piped"));
        let stderr = Captured::start(child.stderr.take().expect("piped"));
        let status = Mutex::new(None);
        let (addresses, socket, start_line) = (Vec::new(), None, String::new());
        Server { child: Mutex::new(child), status, stdout, stderr, start_line, addresses, socket }
    }

    /// Runs the program to its end, which it must come to by itself.
    pub fn output(&self) -> Output {
        let server = self.start_silently();
        let status = server.wait_for_exit();
        let (stdout, stderr) = (server.stdout.finish(), server.stderr.finish());
        Output { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
    }

    /// What the server says when it refuses to start. Panics if it starts.
    pub fn refusal(&self) -> String {
        let output = self.output();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 0), "it ends by itself, not with {}:\n{text}", output.status);
        assert!(output.stdout.is_empty(), "no start line: {}", String::from_utf8_lossy(&output.stdout));
        text
    }
}

/// A running server. Killed when dropped; if the test fails, its log is printed.
pub struct Server {
    child: Mutex<Child>,
    status: Mutex<Option<ExitStatus>>,
    stdout: Captured,
    stderr: Captured,
    start_line: String,
    addresses: Vec<SocketAddr>,
    socket: Option<PathBuf>,
}

impl Server {
    pub fn start_line(&self) -> &str {
        &self.start_line
    }

    /// The first TCP address.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().unwrap_or_else(|| panic!("no address in {:?}", self.start_line))
    }

    /// All TCP addresses, in the order of the command line.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The unix socket.
    pub fn socket(&self) -> &Path {
        self.socket.as_deref().unwrap_or_else(|| panic!("no socket in {:?}", self.start_line))
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub fn connect(&self) -> Client {
        Client::tcp(self.address())
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// Waits until the log has this text.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for(text, |server| server.log().contains(text).then_some(()));
    }

    pub fn signal(&self, signal: libc::c_int) {
        assert!(self.try_status().is_none(), "the server has ended");
        system::signal(self.pid(), signal);
    }

    /// SIGTERM; the exit status and the whole log.
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal(libc::SIGTERM);
        let status = self.wait_for_exit();
        (status, self.stderr.finish())
    }

    /// SIGTERM, and the stop must be clean.
    pub fn stop_cleanly(self) {
        let (status, log) = self.stop();
        assert!(status.success(), "{status} after SIGTERM:\n{log}");
    }

    /// kill -9.
    pub fn kill(self) {
        self.signal(libc::SIGKILL);
        self.wait_for_exit();
    }

    /// Waits for the end.
    pub fn wait_for_exit(&self) -> ExitStatus {
        until("the server's end", || self.try_status())
    }

    /// Memory in RAM, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says VmRSS");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib << 10
    }

    fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Server) -> Option<T>) -> T {
        until(what, || {
            let ended = self.try_status();
            let found = look(self);
            if let (Some(status), None) = (ended, &found) {
                panic!("the server ended with {status} before {what}");
            }
            found
        })
    }

    fn try_status(&self) -> Option<ExitStatus> {
        let mut status = self.status.lock().unwrap();
        if status.is_none() {
            *status = self.child.lock().unwrap().try_wait().expect("our own child");
        }
        *status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.try_status();
        if ended.is_none() {
            let mut child = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            child.kill().and_then(|()| child.wait()).expect("our own child can be killed");
        }
        if thread::panicking() {
            let end =
                ended.map_or_else(|| "it ran until now".to_owned(), |status| format!("ended: {status}"));
            eprintln!("--- log of the server ({end})\n{}---", self.stderr.text());
        }
    }
}

/// What a process writes to a pipe, collected by a thread.
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    is_over: Arc<AtomicBool>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Captured {
    fn start(pipe: impl Read + Send + 'static) -> Captured {
        let text = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (text, is_over) = (text.clone(), is_over.clone());
            move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    text.lock().unwrap().append(&mut line);
                }
                is_over.store(true, Ordering::Release);
            }
        });
        Captured { text, is_over, reader: Mutex::new(Some(reader)) }
    }

    fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        String::from_utf8_lossy(&text).into_owned()
    }

    fn first_line(&self) -> Option<String> {
        self.text().split_once('\n').map(|(line, _)| line.to_owned())
    }

    /// All of it, once the process has ended.
    fn finish(&self) -> String {
        until("the end of the output", || self.is_over.load(Ordering::Acquire).then_some(()));
        if let Some(reader) = self.reader.lock().unwrap().take() {
            reader.join().expect("the reader does not panic");
        }
        self.text()
    }
}
