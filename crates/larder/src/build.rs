//! From a checked plan to engines: the one place that knows them all by name.

use std::collections::{HashMap, VecDeque};
use std::error::Error as _;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use larder_engine::{Engine, EngineError, Services};
use larder_file::{FileEngine, FileOptions};
use larder_module::ModuleEngine;
use larder_ram::{RamEngine, RamOptions};
use larder_server::{Routes, Setup, Stack, Tunables};
use larder_sqlite::{SqliteEngine, SqliteOptions};
use larder_tier::{Behind, Keys, Tier, TierOptions};

use crate::config::sql::SqlTable;
use crate::config::{self, Layer, Plan, Write};
use crate::modules;
use crate::owners::{InUse, Owned, Owner, Owners};
use crate::tables::Databases;

/// How long a write may wait where the clock is a test's.
const JUDGED_WAIT: Duration = Duration::from_secs(3600);

/// The engines of a running server, by what makes two of them the same.
pub struct Engines {
    services: Services,
    /// For one stack that is closed as a whole: see [`Engines::alone`].
    is_alone: bool,
    shared_ram: Option<Arc<RamEngine>>,
    /// RAM of a stack's own, by the prefix it serves and its size.
    own_ram: HashMap<(String, u64), Arc<RamEngine>>,
    /// Locked from the first store on, until the server stops.
    data_folder: Option<File>,
    /// Our own and tables.
    stores: HashMap<StoreName, Arc<dyn Engine>>,
    databases: Databases,
    modules: HashMap<config::Module, Arc<ModuleEngine>>,
    /// Whether clients are served: a module that is new is tried out in another process first.
    is_serving: bool,
    had_modules: bool,
    tiers: HashMap<TierName, NamedTier>,
    owners: Arc<Owners>,
}

/// A tier as it is kept here.
struct NamedTier {
    owner: Owner,
    /// The expression of the first stack that used it.
    expression: String,
    /// What it stands on.
    store: StoreName,
    tier: Arc<Tier<RamEngine>>,
}

/// What makes two tiers the same: cache, store and settings.
#[derive(Clone, PartialEq, Eq, Hash)]
struct TierName {
    /// The prefix and size of a RAM of the stack's own; `None` is the shared one.
    ram: Option<(String, u64)>,
    store: StoreName,
    settings: String,
}

/// What makes two stores the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum StoreName {
    /// Its file or folder in the data folder.
    Local(PathBuf),
    /// Its table, and the prefix that its rows are found without.
    Table(String, Box<SqlTable>),
    /// A library with its settings.
    Module(config::Module),
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreName::Local(path) => write!(f, "{}", path.display()),
            StoreName::Table(prefix, table) => write!(f, "sql({table}) of prefix \"{prefix}\""),
            StoreName::Module(module) => write!(f, "{}", module.library.display()),
        }
    }
}

/// Which engines a plan uses.
#[derive(Default)]
struct Used {
    own_ram: Vec<(String, u64)>,
    stores: Vec<StoreName>,
    modules: Vec<config::Module>,
    tiers: Vec<TierName>,
    shared_ram: bool,
}

impl Engines {
    /// No engine yet.
    pub fn new(services: Services) -> Self {
        Engines {
            databases: Databases::new(services.clone()),
            services,
            is_alone: false,
            shared_ram: None,
            own_ram: HashMap::new(),
            data_folder: None,
            stores: HashMap::new(),
            modules: HashMap::new(),
            is_serving: false,
            had_modules: false,
            tiers: HashMap::new(),
            owners: Arc::default(),
        }
    }

    /// For a plan of one stack, which is judged by itself: closing its engine closes all that it stands on. The
    /// clock may jump by days, so no write is given up because of its age.
    pub fn alone(services: Services) -> Self {
        Engines { is_alone: true, ..Engines::new(services) }
    }

    /// The engine of the only stack of a plan.
    ///
    /// # Errors
    /// What cannot be opened, by name.
    pub fn only_stack(mut self, plan: &Plan) -> anyhow::Result<Arc<dyn Engine>> {
        let [prefix] = &plan.prefixes[..] else {
            return Err(anyhow!("the plan has {} stacks", plan.prefixes.len()));
        };
        self.stack(plan, prefix)
    }

    /// The setup of a plan: engines that are there already are used again, missing ones are made. New tiers keep nothing
    /// in their caches before [`Engines::begin`].
    ///
    /// # Errors
    /// What cannot be opened, by name. Engines made before the failing one stay for a later try.
    pub fn setup(&mut self, plan: &Plan) -> anyhow::Result<Setup> {
        let mut stacks = Vec::new();
        for prefix in &plan.prefixes {
            let engine = self
                .stack(plan, prefix)
                .with_context(|| format!("prefix \"{}\": {}", prefix.key, prefix.stack))?;
            stacks.push((prefix, engine));
        }
        let mut made: Vec<Arc<Stack>> = Vec::new();
        let routes = stacks.into_iter().map(|(prefix, engine)| {
            // Prefixes with one engine are one stack in the statistics.
            let known = made.iter().find(|stack| Arc::ptr_eq(&stack.engine, &engine)).cloned();
            let stack = known.unwrap_or_else(|| {
                let stack = Arc::new(Stack::new(prefix.stack.to_string(), engine));
                made.push(stack.clone());
                stack
            });
            (prefix.key.as_bytes().into(), stack)
        });
        Ok(Setup { routes: Routes::new(routes), tunables: tunables(plan)? })
    }

    /// The setup of a plan, which [`Engines::setup`] has made, is about to be used. Until what it replaces is
    /// ended (`Owners::end`), no tier keeps anything of keys that the two give to different engines.
    pub fn begin(&self, plan: &Plan) -> InUse {
        let owner = |prefix: &config::Prefix| {
            let name = tier_of(prefix)?;
            Some(self.tiers.get(&name).expect("the setup of this plan has made its tiers").owner)
        };
        let prefixes = plan.prefixes.iter();
        self.owners.begin(Owned::new(prefixes.map(|prefix| (prefix.key.as_bytes().into(), owner(prefix)))))
    }

    /// Whose keys are whose.
    pub fn owners(&self) -> Arc<Owners> {
        self.owners.clone()
    }

    fn stack(&mut self, plan: &Plan, prefix: &config::Prefix) -> anyhow::Result<Arc<dyn Engine>> {
        match (&prefix.stack.layers[..], &prefix.stack.tier) {
            ([Layer::Ram { size_bytes }], None) => Ok(self.ram(plan, &prefix.key, *size_bytes)),
            ([store], None) => self.store(plan, &prefix.key, store),
            ([Layer::Ram { size_bytes }, store], Some(tier)) => {
                let store_name = store_name(&prefix.key, store).ok_or_else(cannot_be_built)?;
                let name = tier_name(&prefix.key, *size_bytes, store_name.clone(), tier);
                if let Some(known) = self.tiers.get(&name) {
                    return Ok(known.tier.clone());
                }
                let cache = self.ram(plan, &prefix.key, *size_bytes);
                let below = self.store(plan, &prefix.key, store)?;
                let expression = prefix.stack.to_string();
                let options = tier_options(expression.clone(), tier, self.is_alone);
                // What is alone answers for every key; others are told which are theirs.
                let keys = if self.is_alone { Keys::All } else { Keys::None };
                let made = Tier::for_keys(self.services.clone(), cache, below, options, keys);
                let tier = Arc::new(made.map_err(|error| anyhow!("{error}"))?);
                let owner = self.owners.add(&tier);
                let made = NamedTier { owner, expression, store: store_name, tier: tier.clone() };
                self.tiers.insert(name, made);
                Ok(tier)
            }
            _ => Err(cannot_be_built()),
        }
    }

    fn ram(&mut self, plan: &Plan, key: &str, size_bytes: Option<u64>) -> Arc<RamEngine> {
        // Above a store RAM holds copies, which always make room.
        let keeps = |prefix: &config::Prefix| {
            matches!(prefix.stack.lowest(), Layer::Ram { size_bytes: own } if *own == size_bytes)
                && (size_bytes.is_none() || prefix.key == key)
        };
        let evict = plan.service.evictions || !plan.prefixes.iter().any(keeps);
        let make = |bytes: u64| {
            let options =
                RamOptions { item_size_max: plan.item_size_bytes_max, evict, ..RamOptions::new(bytes) };
            Arc::new(RamEngine::new(self.services.clone(), options))
        };
        match size_bytes {
            None => self.shared_ram.get_or_insert_with(|| make(plan.memory_bytes)).clone(),
            Some(bytes) => self.own_ram.entry((key.to_owned(), bytes)).or_insert_with(|| make(bytes)).clone(),
        }
    }

    fn store(&mut self, plan: &Plan, key: &str, layer: &Layer) -> anyhow::Result<Arc<dyn Engine>> {
        match layer {
            Layer::Module(module) => Ok(self.module(plan, module)?),
            layer => self.own_store(plan, key, layer),
        }
    }

    fn module(&mut self, plan: &Plan, module: &config::Module) -> anyhow::Result<Arc<ModuleEngine>> {
        if let Some(engine) = self.modules.get(module) {
            return Ok(engine.clone());
        }
        if self.is_serving {
            modules::try_out(module)?;
        }
        self.had_modules = true;
        let engine = Arc::new(ModuleEngine::open(&self.services, &modules::options(plan, module))?);
        self.modules.insert(module.clone(), engine.clone());
        Ok(engine)
    }

    /// From now on clients are served.
    pub fn note_serving(&mut self) {
        self.is_serving = true;
    }

    /// Whether foreign code was ever loaded: it may run on when its engine is destroyed.
    pub fn had_modules(&self) -> bool {
        self.had_modules
    }

    /// A store of ours, in the data folder or in a database.
    fn own_store(&mut self, plan: &Plan, key: &str, layer: &Layer) -> anyhow::Result<Arc<dyn Engine>> {
        let name = store_name(key, layer).ok_or_else(cannot_be_built)?;
        if let Some(store) = self.stores.get(&name) {
            return Ok(store.clone());
        }
        if layer.store().is_some() && plan.data.is_dir() {
            // Before the store is opened: the folder of another server stays as it is.
            self.lock_data_folder(plan)?;
        }
        let services = self.services.clone();
        let store: Arc<dyn Engine> = match layer {
            Layer::Ram { .. } | Layer::Module(_) => return Err(cannot_be_built()),
            Layer::File { folder } => Arc::new(FileEngine::open(services, file_options(plan, folder))?),
            Layer::Sqlite { file } => Arc::new(SqliteEngine::open(services, store_options(plan, file)?)?),
            Layer::Sql(table) => self.databases.open(plan, key, table)?,
        };
        if layer.store().is_some() {
            // Where there was no folder, the store has made it.
            self.lock_data_folder(plan)?;
        }
        self.stores.insert(name, store.clone());
        Ok(store)
    }

    fn lock_data_folder(&mut self, plan: &Plan) -> anyhow::Result<()> {
        if self.data_folder.is_none() {
            self.data_folder = Some(lock_folder(&plan.data)?);
        }
        Ok(())
    }

    /// Every RAM.
    pub fn rams(&self) -> Vec<Arc<RamEngine>> {
        self.shared_ram.iter().chain(self.own_ram.values()).cloned().collect()
    }

    /// The files, folders and libraries of stores that `plan` uses and that are not open yet. A table may be opened any time.
    pub fn missing_stores(&self, plan: &Plan) -> Vec<PathBuf> {
        let used = used(plan);
        let stores = used.stores.into_iter().filter(|name| !self.stores.contains_key(name));
        let modules = used.modules.into_iter().filter(|module| !self.modules.contains_key(module));
        stores.filter_map(local).chain(modules.map(|module| module.library)).collect()
    }

    /// Takes out the engines that `plan` no longer uses. They are closed once no worker uses them.
    pub fn retire(&mut self, plan: &Plan) -> Retired {
        let used = used(plan);
        let mut retired = Retired::default();
        let unused = self.tiers.extract_if(|name, _| !used.tiers.contains(name));
        retired.tiers.extend(unused.map(|(_, tier)| tier));
        self.stores.retain(|file, store| {
            let stays = used.stores.contains(file);
            if !stays {
                retired.stores.push((file.clone(), store.clone()));
            }
            stays
        });
        self.databases.keep_those_of(plan);
        self.modules.retain(|module, engine| {
            let stays = used.modules.contains(module);
            if !stays {
                retired.modules.push((module.library.clone(), engine.clone()));
            }
            stays
        });
        self.own_ram.retain(|name, ram| {
            let stays = used.own_ram.contains(name);
            if !stays {
                retired.rams.push(ram.clone());
            }
            stays
        });
        if !used.shared_ram
            && let Some(ram) = self.shared_ram.take()
        {
            retired.rams.push(ram);
        }
        retired
    }

    /// Takes out all engines, for a stop.
    pub fn retire_all(&mut self) -> Retired {
        let mut retired = Retired { stop: true, ..Retired::default() };
        retired.tiers.extend(self.tiers.drain().map(|(_, tier)| tier));
        retired.stores.extend(self.stores.drain());
        self.databases.forget();
        retired.modules.extend(self.modules.drain().map(|(module, engine)| (module.library, engine)));
        retired.rams.extend(self.own_ram.drain().map(|(_, ram)| ram));
        retired.rams.extend(self.shared_ram.take());
        retired
    }
}

/// Engines out of service, to be closed.
#[derive(Default)]
pub struct Retired {
    tiers: Vec<NamedTier>,
    stores: Vec<(StoreName, Arc<dyn Engine>)>,
    modules: Vec<(PathBuf, Arc<ModuleEngine>)>,
    rams: Vec<Arc<RamEngine>>,
    /// Whether the server stops; otherwise stores may go on serving other stacks.
    stop: bool,
}

/// Makes engines that are being closed while the server runs end as at a stop.
pub struct Hurry(Vec<Arc<Tier<RamEngine>>>);

impl Hurry {
    /// From now on they give up when their stores take nothing.
    pub fn now(&self) {
        self.0.iter().for_each(|tier| tier.hurry());
    }
}

/// An engine that could not bring down what it had accepted.
#[derive(Debug)]
pub struct NotClosed {
    /// The stack or the file.
    pub name: String,
    /// Why, for the log.
    pub why: String,
}

impl NotClosed {
    fn new(name: impl Into<String>, error: &EngineError) -> Self {
        let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
        NotClosed { name: name.into(), why: format!("{error}{cause}") }
    }
}

impl fmt::Display for NotClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl Retired {
    /// The files of the stores and modules among them, as the plan names them.
    pub fn store_files(&self) -> Vec<PathBuf> {
        let stores = self.stores.iter().filter_map(|(name, _)| local(name.clone()));
        stores.chain(self.modules.iter().map(|(library, _)| library.clone())).collect()
    }

    /// The keys that are in the caches over a store, newest first as far as known.
    fn cached_keys(&self, store: &StoreName) -> impl Iterator<Item = Box<[u8]>> {
        let above = self.tiers.iter().filter(|tier| tier.store == *store);
        by_turns(above.map(|tier| tier.tier.cached_keys()).collect())
    }

    /// For a stop while [`Retired::close`] is under way on another thread.
    pub fn hurry(&self) -> Hurry {
        Hurry(self.tiers.iter().map(|named| named.tier.clone()).collect())
    }

    /// Brings what was accepted to its level: the tiers first, then what they stand on. Blocks, and while the server goes
    /// on for as long as a store refuses what is queued for it.
    /// The errors name what could not be brought down.
    pub fn close(self) -> Vec<NotClosed> {
        let mut errors = Vec::new();
        let mut note = |name: &str, outcome: Result<(), EngineError>| {
            errors.extend(outcome.err().map(|error| NotClosed::new(name, &error)));
        };
        for NamedTier { expression, tier, .. } in &self.tiers {
            note(expression, if self.stop { tier.close() } else { tier.drain() });
        }
        for (name, store) in &self.stores {
            let text = name.to_string();
            if self.stop {
                note(&text, store.keep_warm_list(&mut self.cached_keys(name)));
            }
            note(&text, store.close());
        }
        for (library, module) in &self.modules {
            note(&library.display().to_string(), module.close());
        }
        for ram in &self.rams {
            note("ram", ram.close());
        }
        errors
    }
}

/// Takes from each list in turn.
fn by_turns<T>(lists: Vec<Vec<T>>) -> impl Iterator<Item = T> {
    let mut lists: VecDeque<_> = lists.into_iter().map(Vec::into_iter).collect();
    std::iter::from_fn(move || {
        while let Some(mut list) = lists.pop_front() {
            if let Some(item) = list.next() {
                lists.push_back(list);
                return Some(item);
            }
        }
        None
    })
}

/// The tier that serves a prefix, if one does.
fn tier_of(prefix: &config::Prefix) -> Option<TierName> {
    match (&prefix.stack.layers[..], &prefix.stack.tier) {
        ([Layer::Ram { size_bytes }, store], Some(tier)) => {
            Some(tier_name(&prefix.key, *size_bytes, store_name(&prefix.key, store)?, tier))
        }
        _ => None,
    }
}

/// How long a server that was killed may take to let go of its folder.
const DYING_MAX: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Keeps other servers off the data folder, also those whose stores have other names.
fn lock_folder(folder: &Path) -> anyhow::Result<File> {
    let failed = |error: std::io::Error| anyhow!("{}: cannot be locked: {error}", folder.display());
    let file = File::open(folder).map_err(failed)?;
    let until = Instant::now() + DYING_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => bail!(
                "{}: another larder has this data folder open; stop it, or take another folder (a server with --data)",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn cannot_be_built() -> anyhow::Error {
    anyhow!("this combination of engines cannot be built")
}

/// What names the store of a prefix; only stores have it.
fn store_name(key: &str, layer: &Layer) -> Option<StoreName> {
    match layer {
        Layer::Ram { .. } => None,
        Layer::Sqlite { file: path } | Layer::File { folder: path } => Some(StoreName::Local(path.clone())),
        Layer::Sql(table) => Some(StoreName::Table(key.to_owned(), table.clone())),
        Layer::Module(module) => Some(StoreName::Module(module.clone())),
    }
}

fn local(name: StoreName) -> Option<PathBuf> {
    match name {
        StoreName::Local(path) => Some(path),
        StoreName::Table(..) | StoreName::Module(_) => None,
    }
}

fn tier_name(key: &str, size_bytes: Option<u64>, store: StoreName, tier: &config::Tier) -> TierName {
    TierName { ram: size_bytes.map(|bytes| (key.to_owned(), bytes)), store, settings: tier.to_string() }
}

fn used(plan: &Plan) -> Used {
    let mut used = Used::default();
    for prefix in &plan.prefixes {
        used.tiers.extend(tier_of(prefix));
        for layer in &prefix.stack.layers {
            match layer {
                Layer::Ram { size_bytes: None } => used.shared_ram = true,
                Layer::Ram { size_bytes: Some(bytes) } => {
                    used.own_ram.push((prefix.key.clone(), *bytes));
                }
                Layer::Module(module) => used.modules.push(module.clone()),
                store => used.stores.extend(store_name(&prefix.key, store)),
            }
        }
    }
    used
}

fn tier_options(name: String, tier: &config::Tier, is_alone: bool) -> TierOptions {
    let wait = if is_alone { JUDGED_WAIT } else { Behind::default().wait };
    TierOptions {
        name: name.into(),
        write: match &tier.write {
            Write::Through => larder_tier::Write::Through,
            Write::Behind { dirty_bytes_max, dirty_age_max } => larder_tier::Write::Behind(Behind {
                dirty_bytes: *dirty_bytes_max,
                dirty_age: *dirty_age_max,
                wait,
            }),
        },
        negative_ttl_seconds: tier.negative_ttl.map_or(0, whole_seconds),
        fresh_seconds: tier.fresh.filter(|fresh| !fresh.is_zero()).map(whole_seconds),
        // A table may hold far more than a cache, and others write it: only what is asked for is copied.
        warm_up: tier.fresh.is_none(),
        // Other stacks may stand on the same store and the same RAM.
        closes_below: is_alone,
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Where a store file of the plan is, and how it is opened.
pub fn store_options(plan: &Plan, file: &Path) -> anyhow::Result<SqliteOptions> {
    let path = plan.data.join(file);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(anyhow!("{}: not the name of a file", path.display()));
    };
    Ok(SqliteOptions {
        file_name: name.to_owned(),
        item_size_max: plan.item_size_bytes_max,
        ..SqliteOptions::new(folder)
    })
}

fn file_options(plan: &Plan, folder: &Path) -> FileOptions {
    FileOptions { item_size_max: plan.item_size_bytes_max, ..FileOptions::new(plan.data.join(folder)) }
}

fn tunables(plan: &Plan) -> anyhow::Result<Tunables> {
    Ok(Tunables {
        connections_max: plan.connections_max,
        item_size_max: u32::try_from(plan.item_size_bytes_max).context("item_size_max is over 4 GiB")?,
        requests_per_turn: plan.requests_per_turn_max,
        idle_timeout: plan.idle_timeout,
        shutdown_allowed: plan.allow_shutdown,
    })
}
