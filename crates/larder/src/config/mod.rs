//! The configuration: arguments and the text of `larder.toml` in, one checked [`Plan`] or every mistake out.
//!
//! [`check`] is the one way in and does no input or output of its own. Each source becomes a `draft::Draft`; drafts and defaults
//! are merged here, and what only shows when all settings are known is checked last. `docs/configure.md` is the
//! reference of every key and option.

pub mod address;
mod changes;
mod describe;
mod draft;
pub mod engines;
pub(crate) mod expression;
mod file;
mod guard;
pub mod limits;
mod options;
mod plan;
mod report;
mod service;
#[cfg_attr(not(feature = "sql"), path = "no_sql.rs")]
pub mod sql;
mod stack;
mod suggest;
mod text;
pub mod units;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use draft::{Draft, Placed, PlacedPrefix};
use engines::Engine;
use guard::GuardDraft;
use report::{Place, Report};

pub use changes::{Change, Changes, Moved, Refusal};
pub use guard::{Encryption, Guard};
pub use options::Options;
pub use plan::{Host, Layer, Listener, Module, Plan, Prefix, Program, Stack, TcpAddress, Tier, Write};
pub use report::Mistakes;
pub use service::{Process, Service};

/// memcached's port.
pub const PORT_DEFAULT: u16 = 11211;
/// The port of an address for metrics that names none.
pub const METRICS_PORT_DEFAULT: u16 = 9150;
/// The data folder, in the working directory.
pub const DATA_DEFAULT: &str = "larder-data";
/// The shared RAM; memcached's own default is a quarter of it.
pub const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;
/// The shared RAM under the name `memcached`.
pub const MEMORY_BYTES_DEFAULT_MEMCACHED: u64 = 64 << 20;
/// Worker threads under the name `memcached`; otherwise one for each core.
pub const THREADS_DEFAULT_MEMCACHED: usize = 4;
/// Client connections at a time.
pub const CONNECTIONS_DEFAULT: usize = 1024;
/// The largest value.
pub const ITEM_SIZE_BYTES_DEFAULT: u64 = 1 << 20;
/// Requests of one connection in one turn.
pub const REQUESTS_PER_TURN_DEFAULT: u32 = 20;
/// Permission bits of unix sockets.
pub const UNIX_MASK_DEFAULT: u32 = 0o700;

/// Everything a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The name the program was called by.
    pub program: Program,
    /// Cores of this machine: the default number of threads.
    pub cores: usize,
    /// The command line.
    pub options: &'a Options,
    /// The configuration file, if there is one.
    pub file: Option<File<'a>>,
}

/// A configuration file that was read.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its path, as the operator named it.
    pub path: &'a Path,
    /// Its content. What is not UTF-8 is a mistake like any other.
    pub content: &'a [u8],
}

/// The plan, or every mistake with its place. Options override the file; both override the defaults.
pub fn check(input: &Input<'_>) -> Result<Plan, Mistakes> {
    let mut report = Report::default();
    let file = input.file.map(|file| read_file(file, &mut report)).unwrap_or_default();
    let options = options::read(input.options, input.program, &mut report);
    let plan = merge(input, file, options, &mut report);
    report.finish(plan)
}

fn read_file(file: File<'_>, report: &mut Report) -> Draft {
    let name = file.path.display().to_string();
    match std::str::from_utf8(file.content) {
        Ok(text) => file::read(&name, text, report),
        Err(error) => {
            let valid = String::from_utf8_lossy(&file.content[..error.valid_up_to()]);
            let whole = report.add_file(&name, &valid);
            let place = whole.part(valid.len()..valid.len());
            report.push(place, "the file is not UTF-8 from here on", "save it as UTF-8 text");
            Draft { is_broken: true, ..Draft::default() }
        }
    }
}

fn merge(input: &Input<'_>, file: Draft, options: Draft, report: &mut Report) -> Option<Plan> {
    let is_memcached = input.program == Program::Memcached;
    let is_broken = file.is_broken;
    let mut written = file.prefixes;
    let mut notes: Vec<_> = file.notes.into_iter().chain(options.notes).collect();
    let mut tables = file.sql;
    if let Some(tables) = &mut tables {
        tables.check(options.role.as_ref(), &mut written, &mut notes, report);
    } else if let Some(role) = &options.role {
        sql::refuse_role(role, report);
    }
    let mut placed = choose_prefixes(input.program, written, options.prefixes, report);
    sql::settle(&mut placed, tables.as_ref(), report);
    let listen = options.listen.or(file.listen);
    let metrics = options.metrics.or(file.metrics);
    check_addresses(listen.as_deref().unwrap_or_default(), metrics.as_ref(), report);
    check_prefixes(&placed, is_broken, report);
    check_shared_files(&placed, report);
    check_nested_stores(&placed, report);
    check_modules(&placed, report);
    if let Some(place) = options.no_evictions {
        check_no_evictions(&placed, place, report);
    }
    let item_size = options.item_size_bytes_max.or(file.item_size_bytes_max);
    let memory = options.memory_bytes.or(file.memory_bytes);
    let memory_default = if is_memcached { MEMORY_BYTES_DEFAULT_MEMCACHED } else { MEMORY_BYTES_DEFAULT };
    let sizes = Sizes {
        item: item_size.as_ref().map_or(ITEM_SIZE_BYTES_DEFAULT, |size| size.value),
        item_place: item_size.map(|size| size.place),
        memory: memory.as_ref().map_or(memory_default, |size| size.value),
        memory_place: memory.map(|size| size.place),
    };
    sizes.check(&placed, report);
    let guard = options.guard.over(file.guard);
    let listeners = settle_listeners(input.program, listen, &guard);
    let udp = options.udp.or(file.udp).unwrap_or_default();
    let around = guard::Around { protocol: options.service.protocol, listens_on_udp: !udp.is_empty() };
    notes.extend(guard.unused(&listeners));
    notes.extend(open_to_forgers(&udp));
    // What a broken file does not say may stand in the part that could not be read.
    let guard = if is_broken { Guard::default() } else { guard.settle(&listeners, &around, report) };
    if !report.is_clean() {
        return None;
    }
    let threads_default = if is_memcached { THREADS_DEFAULT_MEMCACHED } else { input.cores };
    let threads = options.threads.or(file.threads).map(|threads| threads.value);
    let connections = options.connections_max.or(file.connections_max);
    let requests_per_turn = options.requests_per_turn_max.or(file.requests_per_turn_max);
    Some(Plan {
        program: input.program,
        config_file: input.file.map(|file| file.path.to_owned()),
        listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
        guard,
        udp: udp.into_iter().map(|at| at.value).collect(),
        unix_mask: options.unix_mask.or(file.unix_mask).map_or(UNIX_MASK_DEFAULT, |mask| mask.value),
        data: options.data.or(file.data).map_or_else(|| PathBuf::from(DATA_DEFAULT), |data| data.value),
        memory_bytes: sizes.memory,
        threads: threads.unwrap_or(threads_default).clamp(1, limits::THREADS_MAX),
        connections_max: connections.map_or(CONNECTIONS_DEFAULT, |connections| connections.value),
        item_size_bytes_max: sizes.item,
        requests_per_turn_max: requests_per_turn.map_or(REQUESTS_PER_TURN_DEFAULT, |requests| requests.value),
        idle_timeout: options
            .idle_timeout
            .or(file.idle_timeout)
            .map(|timeout: Placed<Duration>| timeout.value)
            .filter(|timeout| !timeout.is_zero()),
        metrics: metrics.map(|address| address.value),
        verbosity: options.verbosity.or(file.verbosity).unwrap_or(0),
        allow_shutdown: options.allow_shutdown.or(file.allow_shutdown).unwrap_or(false),
        service: options.service,
        process: options.process,
        prefixes: finish_prefixes(placed),
        notes,
    })
}

/// Every listener with what holds for it, and its place if it is written anywhere.
fn settle_listeners(
    program: Program,
    listen: Option<Vec<Placed<Listener>>>,
    guard: &GuardDraft,
) -> Vec<(Listener, Option<Place>)> {
    let written = |at: Placed<Listener>| (at.value, Some(at.place));
    let default_listener =
        || vec![(Listener::Tcp(TcpAddress { host: program.default_host(), port: PORT_DEFAULT }), None)];
    listen
        .map_or_else(default_listener, |listen| listen.into_iter().map(written).collect())
        .into_iter()
        .map(|(listener, place)| (guard.settle_listener(listener), place))
        .collect()
}

/// The prefixes of the one source that gives any, or the default stack for all keys.
fn choose_prefixes(
    program: Program,
    file: Vec<PlacedPrefix>,
    options: Vec<PlacedPrefix>,
    report: &mut Report,
) -> Vec<PlacedPrefix> {
    match (options.first(), file.first()) {
        (Some(option), Some(prefix)) => {
            let problem = format!(
                "--store gives one stack for all keys, but the file has stacks by prefix, first at {}",
                report.name_of(prefix.place)
            );
            report.push(option.place, problem, "leave out --store, or remove the [[prefix]] tables");
            file
        }
        (Some(_), None) => options,
        (None, Some(_)) => file,
        (None, None) => {
            let expression = match program {
                Program::Larder => "ram > sqlite",
                Program::Memcached => "ram",
            };
            let place = report.add_option("default stack", expression);
            let stack = stack::read(&text::Text::plain(expression, place), report);
            vec![PlacedPrefix { place, key: Some(Placed { value: String::new(), place }), stack }]
        }
    }
}

fn finish_prefixes(placed: Vec<PlacedPrefix>) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = placed
        .into_iter()
        .filter_map(|prefix| Some(Prefix { key: prefix.key?.value, stack: prefix.stack?.stack }))
        .collect();
    prefixes.sort_by(|one, other| one.key.cmp(&other.key));
    prefixes
}

/// No address twice, nor one that another covers.
fn check_addresses(
    listeners: &[Placed<Listener>],
    metrics: Option<&Placed<TcpAddress>>,
    report: &mut Report,
) {
    let metrics =
        metrics.map(|address| Placed { value: Listener::Tcp(address.value.clone()), place: address.place });
    let all: Vec<&Placed<Listener>> = listeners.iter().chain(&metrics).collect();
    for (index, later) in all.iter().enumerate() {
        let first = all[..index]
            .iter()
            .find_map(|earlier| address::clash(&earlier.value, &later.value).map(|reason| (earlier, reason)));
        if let Some((earlier, reason)) = first {
            let problem = format!(
                "`{}` cannot be listened on beside `{}` at {}, which is {reason}",
                later.value,
                earlier.value,
                report.name_of(earlier.place)
            );
            report.push(later.place, problem, "remove one of them, or give it another port or path");
        }
    }
}

/// Answers over UDP go to whatever address a datagram names as its sender's.
fn open_to_forgers(udp: &[Placed<TcpAddress>]) -> impl Iterator<Item = String> {
    let open = udp.iter().filter(|address| !guard::is_loopback(&address.value.host));
    open.map(|address| {
        format!(
            "UDP on {}: whoever forges a sender's address can have answers, far longer than requests, sent to others; \
             let only machines you trust reach this port",
            address.value
        )
    })
}

/// Every prefix once, and one that takes all other keys.
fn check_prefixes(prefixes: &[PlacedPrefix], is_broken: bool, report: &mut Report) {
    let mut first: HashMap<&str, Place> = HashMap::new();
    for key in prefixes.iter().filter_map(|prefix| prefix.key.as_ref()) {
        if let Some(place) = first.get(key.value.as_str()) {
            let problem =
                format!("the prefix `{}` is given twice, first at {}", key.value, report.name_of(*place));
            report.push(key.place, problem, "keep one of them");
        } else {
            first.insert(&key.value, key.place);
        }
    }
    let may_be_unreadable = is_broken || prefixes.iter().any(|prefix| prefix.key.is_none());
    if let (Some(prefix), false, false) = (prefixes.first(), first.contains_key(""), may_be_unreadable) {
        report.push(
            prefix.place,
            "keys that begin with none of the prefixes have no stack",
            "add a [[prefix]] with `key = \"\"`, which takes all other keys",
        );
    }
}

/// Stacks that name one file share its store, so they must agree on how it is written.
fn check_shared_files(prefixes: &[PlacedPrefix], report: &mut Report) {
    let mut first: HashMap<&Path, (&Write, Place)> = HashMap::new();
    for stack in prefixes.iter().filter_map(|prefix| prefix.stack.as_ref()) {
        let write = stack.stack.tier.as_ref().map_or(&Write::Through, |tier| &tier.write);
        for (layer, (_, place)) in stack.stack.layers.iter().zip(&stack.engines) {
            let Some(file) = layer.store() else { continue };
            match first.get(file) {
                Some((other, other_place)) if *other != write => {
                    let problem = format!(
                        "`{}` is written in another way here than at {}",
                        file.display(),
                        report.name_of(*other_place)
                    );
                    report.push(
                        *place,
                        problem,
                        "give both the same `write`, `dirty_bytes` and `dirty_age`, or two files",
                    );
                }
                Some(_) => {}
                None => {
                    first.insert(file, (write, *place));
                }
            }
        }
    }
}

/// A folder of `file` is that store's alone.
fn check_nested_stores(prefixes: &[PlacedPrefix], report: &mut Report) {
    let placed: Vec<(&Layer, Place)> = prefixes
        .iter()
        .filter_map(|prefix| prefix.stack.as_ref())
        .flat_map(|stack| stack.stack.layers.iter().zip(stack.engines.iter().map(|(_, place)| *place)))
        .collect();
    for (layer, _) in &placed {
        let Layer::File { folder } = layer else { continue };
        let is_inside = |path: &Path| path != folder && path.starts_with(folder);
        let inside = placed.iter().find(|(other, _)| other.store().is_some_and(is_inside));
        if let Some((other, place)) = inside {
            let path = other.store().unwrap_or(folder).display();
            let problem = format!("`{path}` lies in `{}`, the folder of another store", folder.display());
            report.push(*place, problem, "give it a place outside");
            return;
        }
    }
}

/// A library holds one engine, so all stacks that name it must mean the same one; and nothing may be queued for it, since
/// it cannot reserve the CAS ids that queued items need.
fn check_modules(prefixes: &[PlacedPrefix], report: &mut Report) {
    let mut first: HashMap<&Path, (&Module, Place)> = HashMap::new();
    for stack in prefixes.iter().filter_map(|prefix| prefix.stack.as_ref()) {
        for (layer, (_, place)) in stack.stack.layers.iter().zip(&stack.engines) {
            let Layer::Module(module) = layer else { continue };
            if stack.stack.is_written_behind() {
                let problem =
                    "`write=behind` is not possible above a module, which cannot give CAS ids in advance";
                report.push(*place, problem, "write `write=through`");
            }
            match first.get(module.library.as_path()) {
                Some((other, other_place)) if *other != module => {
                    let problem = format!(
                        "`{}` is used with other settings here than at {}, but a library holds one engine",
                        module.library.display(),
                        report.name_of(*other_place)
                    );
                    report.push(
                        *place,
                        problem,
                        "give both the same settings, or copy the library to another name",
                    );
                }
                Some(_) => {}
                None => {
                    first.insert(&module.library, (module, *place));
                }
            }
        }
    }
}

/// RAM that makes no room is for items that live nowhere else: a cache above a store must let go of copies.
fn check_no_evictions(prefixes: &[PlacedPrefix], place: Place, report: &mut Report) {
    let stacks = || prefixes.iter().filter_map(|prefix| prefix.stack.as_ref()).map(|stack| &stack.stack);
    let shares = |stack: &&Stack| stack.layers.contains(&Layer::Ram { size_bytes: None });
    let keeps = |stack: &&Stack| matches!(stack.lowest(), Layer::Ram { .. });
    if !stacks().any(|stack| keeps(&stack)) {
        report.push(
            place,
            "--disable-evictions has nothing to keep from eviction: no stack ends in RAM",
            "leave it out (a store keeps every item), or end a stack in RAM with --store ram",
        );
    } else if stacks().any(|stack| keeps(&stack) && shares(&stack))
        && stacks().any(|stack| !keeps(&stack) && shares(&stack))
    {
        report.push(
            place,
            "--disable-evictions would fill the shared RAM, which is also the cache of a store",
            "give one of them a RAM of its own, as in ram(64MiB)",
        );
    }
}

/// The sizes that bound each other, with the places of those that were given.
struct Sizes {
    item: u64,
    item_place: Option<Place>,
    memory: u64,
    memory_place: Option<Place>,
}

impl Sizes {
    /// Every stack's engines must be able to hold the largest item.
    fn check(&self, prefixes: &[PlacedPrefix], report: &mut Report) {
        for stack in prefixes.iter().filter_map(|prefix| prefix.stack.as_ref()) {
            for (engine, place) in &stack.engines {
                self.check_engine(engine, *place, report);
            }
            let (_, place) = stack.engines.last().expect("a stack has at least one engine");
            if let Layer::Ram { size_bytes } = stack.stack.lowest() {
                self.check_ram(*size_bytes, *place, report);
            }
        }
    }

    fn check_engine(&self, engine: &Engine, place: Place, report: &mut Report) {
        if let Some(most) = engine.item_size_bytes_max.filter(|most| self.item > *most) {
            let problem = format!(
                "an item of {} is more than `{}` can hold",
                units::format_size(self.item),
                engine.name
            );
            report.push(self.item_place.unwrap_or(place), problem, format!("write at most {most} bytes"));
        }
    }

    /// Where a stack ends in RAM, an item that takes more than half of it would drive out all others.
    fn check_ram(&self, own: Option<u64>, place: Place, report: &mut Report) {
        let bytes = own.unwrap_or(self.memory);
        if self.item <= bytes / 2 {
            return;
        }
        let place = self.item_place.or(if own.is_none() { self.memory_place } else { None }).unwrap_or(place);
        let problem = format!(
            "the largest item, {}, is more than half of the {} of RAM that keep it",
            units::format_size(self.item),
            units::format_size(bytes)
        );
        let advice = format!(
            "make `item_size_max` (-I) at most {}, or that RAM at least {}",
            units::format_size(bytes / 2),
            units::format_size(self.item.saturating_mul(2))
        );
        report.push(place, problem, advice);
    }
}
