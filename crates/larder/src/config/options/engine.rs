//! `-E` and what goes with it: an engine from a shared library, as memcached's engine branch took it.

use super::super::draft::{Draft, Placed, PlacedPrefix};
use super::super::engines;
use super::super::plan::{Layer, Module, Stack};
use super::super::stack::PlacedStack;
use super::super::units::parse_size;
use super::{Options, Reader};

impl Reader<'_> {
    /// The stack of `-E`.
    pub(super) fn engine(&mut self, options: &Options, draft: &mut Draft) {
        let Some(library) = &options.engine else {
            return self.without_engine(options);
        };
        let place = self.report.add_option("--engine", library);
        let profile = self.value("--engine-profile", &options.engine_profile, engines::profile);
        if options.store.is_some() {
            let advice =
                "leave one of them out; a module in a stack is written as --store \"ram > module(FILE)\"";
            return self.report.push(place, "-E and --store both say what keeps all items", advice);
        }
        let specification = engines::find("module").expect("there is an engine of this name");
        let layer = self.report.take(place, (specification.layer)(Some(library.as_str())));
        let Some(Layer::Module(module)) = layer else { return };
        let config = match &options.engine_config {
            Some(config) => self.engine_config(options, config),
            None => classic_config(options),
        };
        let module = Module { config, profile: profile.map_or(module.profile, |at| at.value), ..module };
        let stack = Stack { layers: vec![Layer::Module(module)], tier: None };
        let stack = PlacedStack { stack, engines: vec![(specification, place)], negative_ttl: None };
        let key = Placed { value: String::new(), place };
        draft.prefixes.push(PlacedPrefix { place, key: Some(key), stack: Some(stack) });
    }

    /// Its options mean nothing alone; and memcached has a file of memory where they are.
    fn without_engine(&mut self, options: &Options) {
        if let Some(config) = &options.engine_config {
            let place = self.report.add_option("--engine-config", config);
            let advice = "name the engine with -E FILE; memcached's file of memory is not had here: use a store that \
                          is durable, as in --store \"ram > sqlite\"";
            self.report.push(place, "there is no engine to configure", advice);
        }
        if let Some(profile) = &options.engine_profile {
            let place = self.report.add_option("--engine-profile", profile);
            self.report.push(place, "there is no engine of which this could be said", "name it with -E FILE");
        }
    }

    /// The engine's own configuration, which the options that stand for one would contradict.
    fn engine_config(&mut self, options: &Options, config: &str) -> Option<String> {
        let place = self.report.add_option("--engine-config", config);
        if let Some((name, _)) = classic_options(options).first() {
            let problem = format!("{name} and -e both configure the engine");
            self.report.push(place, problem, format!("say it all in -e, without {name}"));
        }
        if config.contains('\0') {
            self.report.push(place, "the configuration contains a zero byte", "write it without");
            return None;
        }
        Some(config.to_owned())
    }
}

/// The options that memcached handed to its engine, each with the entry it stood for.
fn classic_options(options: &Options) -> Vec<(&'static str, String)> {
    let mut entries = Vec::new();
    if let Some(megabytes) = &options.memory_limit
        && let Ok(megabytes) = megabytes.parse::<u64>()
    {
        entries.push(("-m", format!("cache_size={};", megabytes << 20)));
    }
    if options.disable_evictions {
        entries.push(("-M", "eviction=false;".into()));
    }
    if let Some(factor) = &options.slab_growth_factor {
        entries.push(("-f", format!("factor={factor};")));
    }
    if let Some(bytes) = &options.slab_min_size {
        entries.push(("-n", format!("chunk_size={bytes};")));
    }
    if let Some(size) = options.max_item_size.as_deref().and_then(|size| parse_size(size).ok()) {
        entries.push(("-I", format!("item_size_max={size};")));
    }
    if options.enable_largepages {
        entries.push(("-L", "preallocate=true;".into()));
    }
    entries
}

fn classic_config(options: &Options) -> Option<String> {
    let entries = classic_options(options);
    (!entries.is_empty()).then(|| entries.into_iter().map(|(_, entry)| entry).collect())
}
