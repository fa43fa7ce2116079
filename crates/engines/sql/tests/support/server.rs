//! A database server of a test process: on a free port, in a temporary folder, gone with the test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends with its owner.
pub struct Server {
    pub port: u16,
    start: Command,
    log: PathBuf,
    /// Where PostgreSQL says which process it is: the one started may be another user's shell around it.
    postmaster: Option<PathBuf>,
    process: Child,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    pub fn mariadb(folder: &Path) -> Server {
        let data = folder.join("mariadb");
        std::fs::create_dir_all(&data).expect("a folder");
        let user = own_by("mysql", folder);
        let mut install = Command::new(program(&["mariadb-install-db"], "mariadb-server"));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-name-resolve"]);
        install.arg(format!("--datadir={}", data.display())).args(user_option(user));
        run(&mut install);
        let port = free_port();
        let mut start = Command::new(program(&["mariadbd"], "mariadb-server"));
        start.arg("--no-defaults").args(user_option(user));
        start.arg(format!("--datadir={}", data.display()));
        start.arg(format!("--socket={}", folder.join("mariadb.sock").display()));
        start.arg(format!("--port={port}"));
        // What is committed survives a kill, not a power cut.
        start.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2", "--skip-name-resolve"]);
        start.args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--max-connections=200"]);
        let server = Server::started(start, port, folder.join("mariadb.log"), None);
        let mut client = Command::new(program(&["mariadb"], "mariadb-client"));
        client.args(["--no-defaults", "-h127.0.0.1", "-uroot", &format!("-P{port}"), "-e"]);
        run(client.arg("CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4"));
        server
    }

    pub fn postgres(folder: &Path) -> Server {
        let data = folder.join("postgres");
        std::fs::create_dir_all(&data).expect("a folder");
        let user = own_by("postgres", folder);
        let mut install = as_user(user, &program(&["initdb"], "postgresql"));
        install.args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]);
        run(install.arg("-D").arg(&data));
        let port = free_port();
        let mut start = as_user(user, &program(&["postgres"], "postgresql"));
        start.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(folder);
        start.args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        Server::started(start, port, folder.join("postgres.log"), Some(data.join("postmaster.pid")))
    }

    fn started(mut start: Command, port: u16, log: PathBuf, postmaster: Option<PathBuf>) -> Server {
        let output = std::fs::File::create(&log).expect("a log file");
        start.stdin(Stdio::null()).stdout(output.try_clone().expect("a second handle")).stderr(output);
        let process = spawn(&mut start);
        let mut server = Server { port, start, log, postmaster, process };
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().expect("the process is ours");
            if ended.is_some() || start.elapsed() > PATIENCE {
                drop(self.process.kill());
                let told = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("{:?} does not serve port {}:\n{told}", self.start, self.port);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it without any notice, as a crash would: nothing is written that was not.
    pub fn crash(&mut self) {
        let told = match &self.postmaster {
            // A signal that cannot be caught would leave PostgreSQL's other processes behind for a while.
            Some(file) => {
                let text = std::fs::read_to_string(file).expect("PostgreSQL runs");
                let id = text.lines().next().expect("its first line is the process").to_owned();
                Command::new("kill").args(["-QUIT", &id]).status()
            }
            None => Command::new("kill").args(["-KILL", &self.process.id().to_string()]).status(),
        };
        assert!(told.expect("`kill` is there").success(), "the server runs");
        self.process.wait().expect("the process is ours");
    }

    /// Starts it again after a crash, on the same port and data.
    pub fn start_again(&mut self) {
        self.process = spawn(&mut self.start);
        self.wait_until_it_listens();
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Started by `runuser` a server is a child of that one, which hands a polite signal on.
        let id = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        if told.is_err() {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("`id` is there");
    output.stdout == b"0\n"
}

/// Servers refuse to run as root; their folder must belong to whom they run as.
fn own_by<'a>(user: &'a str, folder: &Path) -> Option<&'a str> {
    if !is_root() {
        return None;
    }
    run(Command::new("chown").arg("-R").arg(user).arg(folder));
    Some(user)
}

fn user_option(user: Option<&str>) -> Option<String> {
    user.map(|user| format!("--user={user}"))
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// The first of these programs, wherever the packages put it.
fn program(names: &[&str], package: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = vec!["/usr/sbin".into(), "/usr/bin".into()];
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let paths = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{names:?} is not installed: apt-get install {package}"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = || [output.stdout.clone(), output.stderr.clone()].concat();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&told()));
}
