//! From a stack expression to a checked [`Stack`]: engine names, arguments, and what may stand on what.

use std::time::Duration;

use super::engines::{self, Engine, Kind, ValueKind};
use super::expression::{self, ArgumentNode, EngineNode, Spanned};
use super::limits;
use super::plan::{Stack, Tier, Write};
use super::report::{Place, Report};
use super::suggest;
use super::text::Text;
use super::units::{parse_duration, parse_size};

/// Bytes that may wait for the store under `write=behind`.
pub const DIRTY_BYTES_DEFAULT: u64 = 64 << 20;

/// How long a write may wait for the store under `write=behind`.
pub const DIRTY_AGE_DEFAULT: Duration = Duration::from_secs(1);

/// How long the cache remembers that the store has no such key.
pub const NEGATIVE_TTL_DEFAULT: Duration = Duration::from_secs(1);

/// How long a copy counts as what a table has.
pub const FRESH_DEFAULT: Duration = Duration::from_secs(5);

/// A stack with the places of its parts, for checks that see more than one expression.
#[derive(Debug)]
pub struct PlacedStack {
    /// The stack.
    pub stack: Stack,
    /// Each layer's engine and where it is written, uppermost first.
    pub engines: Vec<(&'static Engine, Place)>,
    /// Where `negative_ttl` is written among the arguments.
    pub negative_ttl: Option<Place>,
}

/// Reads an expression; every mistake goes to the report.
pub fn read(text: &Text, report: &mut Report) -> Option<PlacedStack> {
    let expression::Parsed { engines: nodes, errors } = expression::parse(&text.text);
    let is_whole = errors.is_empty();
    for error in errors {
        report.object(text.place(error.span), error.objection);
    }
    let mut reader = Reader { text, report, tier: TierSettings::default() };
    let engines: Vec<_> = nodes.iter().map(|node| reader.engine(node)).collect();
    let layers: Vec<_> =
        nodes.iter().zip(&engines).map(|(node, engine)| reader.layer(node, *engine)).collect();
    reader.order(&nodes, &engines);
    if !is_whole {
        // What belongs together may be in what could not be read.
        return None;
    }
    let negative_ttl = reader.tier.negative_ttl.map(|(_, place)| place);
    let tier = reader.tier(nodes.len() > 1, engines.last().copied().flatten());
    let engines: Vec<_> = engines
        .into_iter()
        .zip(&nodes)
        .map(|(engine, node)| Some((engine?, text.place(node.span.clone()))))
        .collect::<Option<_>>()?;
    let layers = layers.into_iter().collect::<Option<Vec<_>>>()?;
    Some(PlacedStack { stack: Stack { layers, tier }, engines, negative_ttl })
}

/// What the store's arguments said about the cache above it, each with its place.
#[derive(Default)]
struct TierSettings {
    behind: Option<(bool, Place)>,
    /// `write` was given but refused, so that nothing follows from it.
    is_write_refused: bool,
    dirty_bytes: Option<(u64, Place)>,
    dirty_age: Option<(Duration, Place)>,
    negative_ttl: Option<(Duration, Place)>,
    fresh: Option<(Duration, Place)>,
}

struct Reader<'a> {
    text: &'a Text,
    report: &'a mut Report,
    tier: TierSettings,
}

impl Reader<'_> {
    fn engine(&mut self, node: &EngineNode) -> Option<&'static Engine> {
        let engine = engines::find(&node.name.text).filter(|_| !node.name.quoted);
        if engine.is_none() {
            let place = self.text.place(node.name.span.clone());
            let advice = suggest::advice(&node.name.text, engines::names());
            self.report.push(place, format!("unknown engine `{}`", node.name.text), advice);
        }
        engine
    }

    /// The layer of a node; arguments of an unknown engine are not judged.
    fn layer(&mut self, node: &EngineNode, engine: Option<&'static Engine>) -> Option<super::plan::Layer> {
        let engine = engine?;
        let mut own: Option<&Spanned> = None;
        let mut settings: Vec<(&engines::Setting, &Spanned)> = Vec::new();
        let mut seen: Vec<(&str, &Spanned)> = Vec::new();
        for argument in &node.arguments {
            let taken = seen.len();
            let Some(specification) = self.specification(engine, argument, taken) else { continue };
            if let Some((_, first)) = seen.iter().find(|(name, _)| *name == specification.name) {
                let place = self.text.place(argument.value.span.clone());
                self.report.push(
                    place,
                    format!("`{}` is given twice, first as `{}`", specification.name, first.text),
                    "keep one of them",
                );
                continue;
            }
            seen.push((specification.name, &argument.value));
            if specification.name == engine.argument.name {
                own = Some(&argument.value);
            } else if let Some(setting) =
                engine.settings.iter().find(|setting| setting.argument.name == specification.name)
            {
                settings.push((setting, &argument.value));
            } else {
                self.tier_argument(specification, &argument.value);
            }
        }
        let place = self.text.place(own.map_or(node.span.clone(), |value| value.span.clone()));
        let mut layer = self.report.take(place, (engine.layer)(own.map(|value| value.text.as_str())))?;
        for (setting, value) in settings {
            let place = self.text.place(value.span.clone());
            self.report.take(place, (setting.set)(&mut layer, &value.text))?;
        }
        Some(layer)
    }

    /// Which argument of the engine is meant.
    fn specification(
        &mut self,
        engine: &'static Engine,
        node: &ArgumentNode,
        taken: usize,
    ) -> Option<&'static engines::Argument> {
        let Some(name) = &node.name else {
            return self.unnamed(engine, &node.value, taken);
        };
        let found = engine.arguments().find(|argument| argument.name == name.text);
        if found.is_none() {
            let place = self.text.place(name.span.clone());
            let of_the_store = engines::TIER_ARGUMENTS.iter().any(|argument| argument.name == name.text);
            let advice = if name.text == engines::FRESH && engine.kind == Kind::Store {
                "remove it: only tables in a database are written by others too".to_owned()
            } else if of_the_store {
                format!(
                    "write `{}=` among the arguments of the store below it, as in `ram > sqlite({}=…)`",
                    name.text, name.text
                )
            } else {
                suggest::advice(&name.text, engine.arguments().map(|argument| argument.name))
            };
            self.report.push(place, format!("`{}` has no argument `{}`", engine.name, name.text), advice);
        }
        found
    }

    /// An unnamed value is the engine's own argument, or the setting at its place behind it, unless it is plainly the word
    /// of another.
    fn unnamed(
        &mut self,
        engine: &'static Engine,
        value: &Spanned,
        taken: usize,
    ) -> Option<&'static engines::Argument> {
        match engine.arguments().find(|argument| argument.allows_word(&value.text)) {
            Some(argument) if !value.quoted => {
                let place = self.text.place(value.span.clone());
                let problem = format!("`{}` stands where the {} should", value.text, engine.argument.name);
                self.report.push(place, problem, format!("write `{}={}`", argument.name, value.text));
                None
            }
            _ => {
                let setting = taken.checked_sub(1).and_then(|at| engine.settings.get(at));
                Some(setting.map_or(&engine.argument, |setting| &setting.argument))
            }
        }
    }

    fn tier_argument(&mut self, argument: &engines::Argument, value: &Spanned) {
        let place = self.text.place(value.span.clone());
        match (argument.name, argument.value) {
            ("write", ValueKind::Word(words)) => {
                if words.contains(&value.text.as_str()) {
                    self.tier.behind = Some((value.text == "behind", place));
                } else {
                    self.tier.is_write_refused = true;
                    let problem = format!("`{}` is no way to write", value.text);
                    self.report.push(place, problem, suggest::advice(&value.text, words.iter().copied()));
                }
            }
            ("dirty_bytes", _) => {
                self.tier.dirty_bytes =
                    self.report.take(place, parse_size(&value.text)).map(|bytes| (bytes, place));
            }
            ("dirty_age", _) => {
                let age = self.report.take(place, parse_duration(&value.text));
                if age == Some(Duration::ZERO) {
                    self.report.push(
                        place,
                        "`dirty_age` of zero leaves nothing to wait for",
                        "write `write=through`",
                    );
                }
                self.tier.dirty_age = age.map(|age| (age, place));
            }
            ("negative_ttl", _) => {
                let ttl = self.report.take(place, limits::negative_ttl(&value.text));
                self.tier.negative_ttl = ttl.map(|ttl| (ttl, place));
            }
            (engines::FRESH, _) => {
                let fresh = self.report.take(place, limits::fresh(&value.text));
                self.tier.fresh = fresh.map(|fresh| (fresh, place));
            }
            (name, _) => unreachable!("`{name}` is in TIER_ARGUMENTS but read nowhere"),
        }
    }

    /// What may stand on what: caches over one store.
    fn order(&mut self, nodes: &[EngineNode], engines: &[Option<&'static Engine>]) {
        for (pair, kinds) in nodes.windows(2).zip(engines.windows(2)) {
            let (Some(upper), Some(lower)) = (kinds[0], kinds[1]) else { continue };
            let place = self.text.place(pair[1].span.clone());
            let (upper_name, lower_name) = (upper.name, lower.name);
            match (upper.kind, lower.kind) {
                (Kind::Cache, Kind::Store) => {}
                (Kind::Store, Kind::Cache) => self.report.push(
                    place,
                    format!("the cache `{lower_name}` stands below the store `{upper_name}`"),
                    format!("write the cache first: `{lower_name} > {upper_name}`"),
                ),
                (Kind::Cache, Kind::Cache) => self.report.push(
                    place,
                    format!("the cache `{upper_name}` stands over `{lower_name}`, which is a cache too"),
                    format!("write `{lower_name}` alone, or one cache over a store: `{upper_name} > sqlite`"),
                ),
                (Kind::Store, Kind::Store) => self.report.push(
                    place,
                    format!("the store `{upper_name}` stands over the store `{lower_name}`"),
                    format!("write one store under its cache: `ram > {lower_name}`"),
                ),
            }
        }
    }

    /// The settings of the pair, with their defaults; without a cache above, none may be given.
    fn tier(self, has_pair: bool, store: Option<&Engine>) -> Option<Tier> {
        let TierSettings { behind, is_write_refused, dirty_bytes, dirty_age, negative_ttl, fresh } =
            self.tier;
        let is_shared = store.is_some_and(Engine::is_shared);
        if let Some((true, place)) = behind.filter(|_| is_shared) {
            let problem = "`write=behind` is not possible over tables that others write too";
            self.report.push(place, problem, "write `write=through`, or leave it out");
        }
        let is_behind = behind.is_some_and(|(behind, _)| behind);
        let dirty =
            [("dirty_bytes", dirty_bytes.map(|(_, at)| at)), ("dirty_age", dirty_age.map(|(_, at)| at))];
        for (name, place) in dirty {
            if let Some(place) = place.filter(|_| !is_behind && !is_write_refused) {
                let problem = format!("`{name}` means something only with `write=behind`");
                self.report.push(place, problem, format!("add `write=behind`, or remove `{name}`"));
            }
        }
        if !has_pair {
            if let Some((true, place)) = behind {
                let problem = "`write=behind` has no cache above it to keep what is not written yet";
                self.report.push(place, problem, "put `ram >` before the store, or remove `write=behind`");
            }
            if let Some((_, place)) = negative_ttl {
                let problem = "`negative_ttl` has no cache above it to remember an absent key";
                self.report.push(place, problem, "put `ram >` before the store, or remove `negative_ttl`");
            }
            if let Some((_, place)) = fresh {
                let problem = "`fresh` has no cache above it to keep copies";
                self.report.push(place, problem, "put `ram >` before the store, or remove `fresh`");
            }
            return None;
        }
        let write = if is_behind {
            Write::Behind {
                dirty_bytes_max: dirty_bytes.map_or(DIRTY_BYTES_DEFAULT, |(bytes, _)| bytes),
                dirty_age_max: dirty_age.map_or(DIRTY_AGE_DEFAULT, |(age, _)| age),
            }
        } else {
            Write::Through
        };
        let negative_ttl = negative_ttl.map_or(NEGATIVE_TTL_DEFAULT, |(ttl, _)| ttl);
        let fresh = is_shared.then(|| fresh.map_or(FRESH_DEFAULT, |(fresh, _)| fresh));
        Some(Tier { write, negative_ttl: Some(negative_ttl).filter(|ttl| !ttl.is_zero()), fresh })
    }
}
