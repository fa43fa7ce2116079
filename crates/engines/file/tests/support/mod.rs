//! A store in a world, and somebody who asks it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part, and may panic")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_engine::kit::{Client, Command, LocalExecutor, Outcome, World, command};
use larder_engine::{Engine, ErrorKind, Expiry, ScanOrder, Services, StatsSink};
use larder_file::{CheckReport, FileEngine, FileOptions, OpenError};

/// See the module.
pub struct Store {
    pub world: World,
    pub engine: Arc<FileEngine>,
    pub executor: LocalExecutor,
    client: Client,
}

pub fn options(world: &World) -> FileOptions {
    FileOptions { purge_rest: Duration::from_millis(5), ..FileOptions::new(world.machine_folder()) }
}

/// Why a store cannot be opened.
pub fn refusal(world: &World) -> OpenError {
    match FileEngine::open(world.machine_services(), options(world)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

pub fn check(world: &World) -> Result<CheckReport, OpenError> {
    larder_file::check(&world.machine_services(), &options(world), &mut |_| {})
}

/// Paths and bytes of everything below a folder but the lock.
pub fn picture(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(picture(&path));
            all.insert(path, Vec::new());
        } else if path.file_name().unwrap() != "lock" {
            let content = fs::read(&path).unwrap();
            all.insert(path, content);
        }
    }
    all
}

impl Store {
    /// On the machine's disk.
    pub fn open(world: World) -> Store {
        let (services, options) = (world.machine_services(), options(&world));
        Store::open_with(world, services, options)
    }

    /// On the simulated disk.
    pub fn simulated(world: World) -> Store {
        // A disk that fails is tried again by commands only.
        let idle_rest = Duration::from_secs(3600);
        let options = FileOptions { folder: world.folder(), idle_rest, ..options(&world) };
        let services = world.services();
        Store::open_with(world, services, options)
    }

    fn open_with(world: World, services: Services, options: FileOptions) -> Store {
        let engine = Arc::new(FileEngine::open(services, options).unwrap());
        let executor = LocalExecutor::new(0);
        let client = Client::new(engine.clone(), executor.worker().clone(), world.clock().clone());
        Store { world, engine, executor, client }
    }

    /// Stops cleanly.
    pub fn close(self) -> World {
        self.engine.close().unwrap();
        self.world
    }

    /// Stops without a mark.
    pub fn abandon(self) -> World {
        self.world
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn folder(&self) -> PathBuf {
        self.world.machine_folder()
    }

    pub fn run(&self, command: impl Into<Command>) -> Outcome {
        self.executor.block_on(self.client.run(&command.into()))
    }

    pub fn set(&self, key: &str, value: &[u8]) -> u64 {
        self.set_until(key, value, Expiry::NEVER)
    }

    pub fn set_until(&self, key: &str, value: &[u8], expiry: Expiry) -> u64 {
        match self.run(command::set(key.as_bytes(), value).expiry(expiry)) {
            Outcome::Stored(stored) => stored.cas,
            other => panic!("set {key}: {other}"),
        }
    }

    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        match self.run(command::get(key.as_bytes())) {
            Outcome::Found(_, value) => Some(value.to_vec()),
            Outcome::Missing => None,
            other => panic!("get {key}: {other}"),
        }
    }

    /// The kind of the error with which a command is refused.
    pub fn refused(&self, command: impl Into<Command>) -> ErrorKind {
        match self.run(command) {
            Outcome::Refused(kind, _) => kind,
            other => panic!("not refused: {other}"),
        }
    }

    pub fn flush(&self, prefix: &str, when: Option<u32>) {
        let when = when.map(larder_engine::Timestamp);
        let outcome = self.run(Command::Flush { prefix: Some(prefix.into()), when });
        assert!(outcome.is_success(), "{outcome}");
    }

    /// Keys in the order of the scan.
    pub fn scan(&self, order: ScanOrder, bytes_max: usize) -> Vec<String> {
        let mut keys = Vec::new();
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let page = self.client.scan(order, cursor.as_deref(), bytes_max);
            let page = self.executor.block_on(page).unwrap();
            keys.extend(page.items.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return keys,
            }
        }
    }

    pub fn stats(&self) -> HashMap<String, i64> {
        struct Collect(HashMap<String, i64>);
        impl StatsSink for Collect {
            fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
                self.0.insert(name.into(), value.to_string().parse().unwrap());
            }
        }
        let mut collect = Collect(HashMap::new());
        self.engine.stats(&mut collect);
        collect.0
    }

    /// Waits until the statistics say so.
    pub fn wait_until(&self, what: impl Fn(&HashMap<String, i64>) -> bool) -> HashMap<String, i64> {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if what(&stats) {
                return stats;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "still {stats:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The files of items, by name, with their paths.
    pub fn files(&self) -> BTreeMap<String, PathBuf> {
        files(&self.folder())
    }
}

/// The files of items below a store's folder, by name, with their paths.
pub fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let all = picture(&folder.join("items")).into_keys().filter(|path| path.is_file());
    all.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}
