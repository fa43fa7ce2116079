//! What a reload changes: from the running plan to a new one, in words for the log, or why it needs a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::guard::{describe_authentication, describe_tls};
use super::plan::{Layer, Module, Plan, Prefix, Stack};
use super::units::{format_duration, format_size};

/// What differs between two plans, all of it applicable to a running server. Its lines are for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// One entry for each difference; empty when the plans mean the same.
    pub list: Vec<Change>,
}

/// One difference between the running plan and the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A prefix that was not there before.
    PrefixAdded(Prefix),
    /// A prefix that is no longer there; its keys go to the next shorter one.
    PrefixRemoved(Prefix),
    /// A prefix whose stack differs.
    StackReplaced {
        /// The prefix.
        key: String,
        /// The stack until now.
        from: Stack,
        /// The stack from now on.
        to: Stack,
    },
    /// A setting of the whole server.
    Setting {
        /// Its key in `larder.toml`.
        name: &'static str,
        /// Its value until now, in words.
        from: String,
        /// Its value from now on, in words.
        to: String,
    },
}

/// Keys that come under another stack: those that begin with `prefix` and with none of `except`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What they begin with.
    pub prefix: String,
    /// Longer prefixes, whose keys are judged by themselves.
    pub except: Vec<String>,
    /// Whether the stack they come under keeps them in a store; its RAM then holds copies only.
    pub to_store: bool,
}

/// A difference that a running server cannot take up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What differs: a key of `larder.toml`, or the file of a store.
    pub what: String,
    /// Its value while running, in words.
    pub from: String,
    /// The value asked for, in words.
    pub to: String,
}

impl Plan {
    /// What a running server has to change to follow `new`, or everything that it cannot change; then nothing
    /// may be applied. The caller reads whatever it needs from `new` itself, and keeps the engines of every stack
    /// that is one with a stack of the old plan.
    pub fn changes(&self, new: &Plan) -> Result<Changes, Vec<Refusal>> {
        let mut list = Vec::new();
        let mut refusals = Vec::new();
        for (old, new) in settings(self).into_iter().zip(settings(new)) {
            if old.value == new.value {
                continue;
            }
            let (name, from, to) = (old.name, old.value, new.value);
            match old.reload {
                Reload::Applied => list.push(Change::Setting { name, from, to }),
                Reload::NeedsRestart => refusals.push(Refusal { what: name.to_owned(), from, to }),
            }
        }
        refusals.extend(stacks_written_behind(self, new));
        refusals.extend(modules_changed(self, new));
        list.extend(prefix_changes(self, new));
        if refusals.is_empty() { Ok(Changes { list }) } else { Err(refusals) }
    }
}

impl Plan {
    /// The keys that `new` gives to another stack than this plan. No cache may keep anything of them: what it holds
    /// came from the other stack.
    pub fn moved(&self, new: &Plan) -> Vec<Moved> {
        let keys: BTreeSet<&str> =
            self.prefixes.iter().chain(&new.prefixes).map(|prefix| prefix.key.as_str()).collect();
        let is_moved = |key: &&&str| !are_one(self.serving(key), new.serving(key));
        let moved = keys.iter().filter(is_moved).map(|&key| Moved {
            prefix: key.to_owned(),
            except: keys
                .iter()
                .filter(|longer| longer.len() > key.len() && longer.starts_with(key))
                .map(ToString::to_string)
                .collect(),
            to_store: new.serving(key).stack.lowest().is_store(),
        });
        moved.collect()
    }

    /// The prefix that takes the key, and those beginning with it that no longer prefix takes.
    pub fn serving(&self, key: &str) -> &Prefix {
        let fits = self.prefixes.iter().filter(|prefix| key.starts_with(&prefix.key));
        fits.max_by_key(|prefix| prefix.key.len()).expect("a plan has a prefix that takes all other keys")
    }
}

/// Whether the two are served by the very same engines.
fn are_one(one: &Prefix, other: &Prefix) -> bool {
    one.stack == other.stack && (!one.stack.is_prefixs_own() || one.key == other.key)
}

/// Whether a running server can take up another value.
enum Reload {
    Applied,
    NeedsRestart,
}

struct Setting {
    name: &'static str,
    value: String,
    reload: Reload,
}

/// Every setting besides the prefixes. A new field of the plan does not compile until it is judged here.
fn settings(plan: &Plan) -> Vec<Setting> {
    let Plan {
        program: _,
        config_file: _,
        listeners,
        udp,
        // Only the command line says these, and it stays as it is.
        service: _,
        process: _,
        guard,
        unix_mask,
        data,
        memory_bytes,
        threads,
        connections_max,
        item_size_bytes_max,
        requests_per_turn_max,
        idle_timeout,
        metrics,
        verbosity,
        allow_shutdown,
        prefixes: _,
        notes: _,
    } = plan;
    let applied = |name, value| Setting { name, value, reload: Reload::Applied };
    let fixed = |name, value| Setting { name, value, reload: Reload::NeedsRestart };
    let listen = listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let udp = match &udp[..] {
        [] => "off".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    vec![
        fixed("listen", listen),
        fixed("udp", udp),
        fixed("authentication", describe_authentication(guard).unwrap_or_else(|| "off".to_owned())),
        fixed("tls", describe_tls(guard).unwrap_or_else(|| "off".to_owned())),
        fixed("unix_mask", format!("{unix_mask:o}")),
        fixed("data", data.display().to_string()),
        fixed("memory", format_size(*memory_bytes)),
        fixed("threads", threads.to_string()),
        fixed("metrics", metrics.as_ref().map_or("off".to_owned(), ToString::to_string)),
        applied("connections", connections_max.to_string()),
        fixed("item_size_max", format_size(*item_size_bytes_max)),
        applied("requests_per_turn", requests_per_turn_max.to_string()),
        applied("idle_timeout", idle_timeout.map_or("off".to_owned(), format_duration)),
        applied("verbosity", verbosity.to_string()),
        applied("allow_shutdown", allow_shutdown.to_string()),
    ]
}

/// A queue of writes belongs to the one cache over its store, so a key must not come under another cache while
/// its write may still be queued: the stacks over a file that is or would be written behind stay as they are.
/// Prefixes may still come and go among stacks that are all one.
fn stacks_written_behind(old: &Plan, new: &Plan) -> Vec<Refusal> {
    let (old, new) = (stacks_by_file(old), stacks_by_file(new));
    let mut refusals = Vec::new();
    for (file, from) in old {
        let Some(to) = new.get(file) else { continue };
        let all = from.values().chain(to.values()).copied();
        let is_behind = all.clone().any(|prefix| prefix.stack.is_written_behind());
        let are_all_one = all.clone().zip(all.skip(1)).all(|(one, other)| are_one(one, other));
        if is_behind && from != *to && !are_all_one {
            let what = format!("what is written behind to {}", file.display());
            refusals.push(Refusal { what, from: in_words(&from), to: in_words(to) });
        }
    }
    refusals
}

/// A library's engine is made once: it cannot be had with other settings while it is in use.
fn modules_changed(old: &Plan, new: &Plan) -> Vec<Refusal> {
    let new: Vec<_> = modules(new).collect();
    let mut refusals: Vec<Refusal> = Vec::new();
    for module in modules(old) {
        let same = new.iter().find(|other| other.library == module.library && **other != module);
        let Some(other) = same else { continue };
        let refusal = Refusal {
            what: format!("the module {}", module.library.display()),
            from: module.to_string(),
            to: other.to_string(),
        };
        if !refusals.contains(&refusal) {
            refusals.push(refusal);
        }
    }
    refusals
}

fn modules(plan: &Plan) -> impl Iterator<Item = &Module> {
    plan.prefixes.iter().flat_map(|prefix| &prefix.stack.layers).filter_map(|layer| match layer {
        Layer::Module(module) => Some(module),
        Layer::Ram { .. } | Layer::Sqlite { .. } | Layer::File { .. } | Layer::Sql(_) => None,
    })
}

type Stacks<'a> = BTreeMap<&'a str, &'a Prefix>;

/// For each store's file, the prefixes that use it and their stacks.
fn stacks_by_file(plan: &Plan) -> BTreeMap<&Path, Stacks<'_>> {
    let mut files: BTreeMap<&Path, Stacks<'_>> = BTreeMap::new();
    for prefix in &plan.prefixes {
        for layer in &prefix.stack.layers {
            if let Some(file) = layer.store() {
                files.entry(file).or_default().insert(&prefix.key, prefix);
            }
        }
    }
    files
}

fn in_words(stacks: &Stacks<'_>) -> String {
    let words = stacks.values().map(|Prefix { key, stack }| format!("\"{key}\": {stack}"));
    words.collect::<Vec<_>>().join(", ")
}

fn prefix_changes(old: &Plan, new: &Plan) -> Vec<Change> {
    let removed = old.prefixes.iter().filter(|prefix| new.stack(&prefix.key).is_none());
    let mut list: Vec<Change> = removed.cloned().map(Change::PrefixRemoved).collect();
    for prefix in &new.prefixes {
        match old.stack(&prefix.key) {
            None => list.push(Change::PrefixAdded(prefix.clone())),
            Some(from) if *from != prefix.stack => list.push(Change::StackReplaced {
                key: prefix.key.clone(),
                from: from.clone(),
                to: prefix.stack.clone(),
            }),
            Some(_) => {}
        }
    }
    list
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::PrefixAdded(Prefix { key, stack }) => write!(f, "prefix \"{key}\" added: {stack}"),
            Change::PrefixRemoved(Prefix { key, stack }) => {
                write!(f, "prefix \"{key}\" removed: was {stack}")
            }
            Change::StackReplaced { key, from, to } if from.to_string() == to.to_string() => {
                write!(f, "prefix \"{key}\": {to}, as the tables are described now")
            }
            Change::StackReplaced { key, from, to } => write!(f, "prefix \"{key}\": {from} becomes {to}"),
            Change::Setting { name, from, to } => write!(f, "{name}: {from} becomes {to}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { what, from, to } = self;
        write!(
            f,
            "{what} cannot change from {from} to {to} while the server runs; restart it, or write {from} again"
        )
    }
}
