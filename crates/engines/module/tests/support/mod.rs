//! Test engines in C: built with the system's compiler, opened, and asked.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it, and may panic")]

mod build;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use larder_engine::kit::{Client, LocalExecutor, Opened, World};
use larder_engine::{Engine, EngineError, Reply};
use larder_module::{ModuleEngine, ModuleOptions, OpenError};

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use build::{Copy, has_compiler, module, module_of_the_book, program};

pub fn options(library: &Path, config: Option<&str>) -> ModuleOptions {
    ModuleOptions {
        config: config.map(Into::into),
        settings: settings(),
        item_size_max: 2 << 20,
        ..ModuleOptions::new(library)
    }
}

fn settings() -> Vec<(String, String)> {
    let settings = [
        ("maxconns", "1024"),
        ("tcpport", "11211"),
        ("udpport", "0"),
        ("verbosity", "1"),
        ("evictions", "true"),
        ("growth_factor", "1.25"),
        ("chunk_size", "48"),
        ("num_threads", "16"),
        ("reqs_per_event", "20"),
        ("cas_enabled", "true"),
        ("item_size_max", "2097152"),
        ("maxbytes", "67108864"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Opens a fresh copy of a library in `world`.
pub fn open(world: &World, library: &Path, config: Option<&str>) -> Result<ModuleEngine, OpenError> {
    let copy = Copy::of(library);
    ModuleEngine::open(&world.services(), &options(&copy.0, config))
}

/// For the engine kit.
pub fn make(world: &World, library: &Path, config: Option<&str>) -> Opened {
    Ok(Arc::new(open(world, library, config)?))
}

/// An engine with one connection.
pub struct Visit {
    pub world: World,
    pub engine: Arc<ModuleEngine>,
    pub executor: LocalExecutor,
    client: Option<Client>,
}

impl Visit {
    pub fn new(library: &Path, config: Option<&str>) -> Visit {
        let world = World::new();
        let engine = open(&world, library, config).unwrap();
        Visit::of(world, engine)
    }

    pub fn of(world: World, engine: ModuleEngine) -> Visit {
        let engine = Arc::new(engine);
        let executor = LocalExecutor::new(0);
        let client = Client::new(engine.clone(), executor.worker().clone(), world.clock().clone());
        Visit { world, engine, executor, client: Some(client) }
    }

    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Another connection on the same worker.
    pub fn another(&self) -> Client {
        Client::new(self.engine.clone(), self.executor.worker().clone(), self.world.clock().clone())
    }

    pub fn run(&self, command: impl Into<larder_engine::kit::Command>) -> larder_engine::kit::Outcome {
        self.executor.block_on(self.client().run(&command.into()))
    }

    pub fn answer<T: 'static>(&self, reply: Reply<T>) -> Result<T, EngineError> {
        match reply {
            Reply::Ready(answer) => answer,
            Reply::Pending(operation) => self.executor.block_on(operation),
        }
    }

    /// A group of the engine's statistics.
    pub fn stats(&self, group: &str) -> BTreeMap<String, String> {
        self.stats_of(self.client(), group)
    }

    pub fn stats_of(&self, client: &Client, group: &str) -> BTreeMap<String, String> {
        let reply = self.engine.stats_group(&client.context(), group.as_bytes());
        self.answer(reply).unwrap().into_iter().collect()
    }

    /// The adapter's own statistics.
    pub fn own_stats(&self) -> BTreeMap<String, String> {
        struct Lines(BTreeMap<String, String>);
        impl larder_engine::StatsSink for Lines {
            fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
                self.0.insert(name.to_owned(), value.to_string());
            }
        }
        let mut lines = Lines(BTreeMap::new());
        self.engine.stats(&mut lines);
        lines.0
    }

    /// Disconnects and destroys.
    pub fn end(mut self) {
        self.client = None;
        self.executor.finish();
        self.engine.close().unwrap();
    }
}

/// Whether the witness found nothing to complain of.
pub fn assert_kept(findings: &BTreeMap<String, String>) {
    assert_eq!(findings["violations"], "0", "{findings:?}");
}

/// What a witness wrote when its engine was destroyed.
pub fn report(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
