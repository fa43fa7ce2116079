//! Tables in databases: what `[sql]` says of them, and the stacks that keep items in them.

use std::fmt;
use std::time::Duration;

use larder_sql::driver::Target;
use larder_sql::model::{About, Cluster, Container, DEFAULT_ROLE, Fault, Model, Policy, Route};

use super::draft::{Placed, PlacedPrefix};
use super::engines;
use super::plan::{Layer, Stack, Tier, Write, quote_if_needed};
use super::report::{Objection, Place, Report, objection};
use super::stack::PlacedStack;
use super::suggest;

/// A table that keeps items, as a stack names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SqlTable {
    /// The container's name.
    pub container: String,
    /// The cluster's name; `None`: the only one, or the one with number 0.
    pub cluster: Option<String>,
    /// Whether a flush empties the table.
    pub is_flushed: bool,
    /// What the names stand for. Always there in a plan.
    meaning: Option<Meaning>,
}

/// What the names of a table stand for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Meaning {
    /// The table and its columns.
    pub container: Container,
    /// The database service.
    pub cluster: Cluster,
    /// This server's number among those on the same tables.
    pub node_id: u16,
}

impl SqlTable {
    /// What the names stand for; of a plan's table only.
    pub fn meaning(&self) -> &Meaning {
        self.meaning.as_ref().expect("a plan says what every name stands for")
    }
}

/// The arguments of the engine that name the table.
impl fmt::Display for SqlTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quote_if_needed(&self.container))?;
        if let Some(cluster) = &self.cluster {
            write!(f, ", cluster={}", quote_if_needed(cluster))?;
        }
        if self.is_flushed { write!(f, ", flush=empty") } else { Ok(()) }
    }
}

/// What a flush does to a table.
pub const FLUSH_WORDS: &[&str] = &["keep", "empty"];

/// The layer of the engine `sql`.
pub fn layer(container: Option<&str>) -> Result<Layer, Objection> {
    let Some(container) = container.filter(|name| !name.is_empty()) else {
        return Err(objection("`sql` names no container", "write `sql(NAME)`, as in [[sql.container]]"));
    };
    Ok(Layer::Sql(Box::new(SqlTable {
        container: container.to_owned(),
        cluster: None,
        is_flushed: false,
        meaning: None,
    })))
}

/// What a setting of a table is taken up by.
fn of_table(layer: &mut Layer) -> &mut SqlTable {
    match layer {
        Layer::Sql(table) => table,
        _ => unreachable!("these settings belong to `sql`"),
    }
}

/// Takes up `cluster=`.
pub fn set_cluster(layer: &mut Layer, name: &str) -> Result<(), Objection> {
    of_table(layer).cluster = Some(name.to_owned());
    Ok(())
}

/// Takes up `flush=`.
pub fn set_flush(layer: &mut Layer, word: &str) -> Result<(), Objection> {
    if !FLUSH_WORDS.contains(&word) {
        let advice = suggest::advice(word, FLUSH_WORDS.iter().copied());
        return Err(objection(format!("`{word}` is none of what `flush` can be"), advice));
    }
    of_table(layer).is_flushed = word == "empty";
    Ok(())
}

/// What a file says of tables.
#[derive(Debug)]
pub struct SqlDraft {
    /// All of it.
    pub model: Model,
    /// Where it stands.
    pub places: Places,
}

/// Where the parts of a model stand.
#[derive(Debug)]
pub struct Places {
    /// The whole.
    pub whole: Place,
    /// The clusters, in their order.
    pub clusters: Vec<Place>,
    /// The policies.
    pub policies: Vec<Place>,
    /// The containers.
    pub containers: Vec<Place>,
    /// The roles.
    pub roles: Vec<Place>,
    /// The prefixes.
    pub prefixes: Vec<Place>,
}

impl Places {
    fn of(&self, about: About) -> Place {
        let found = match about {
            About::Model => None,
            About::Cluster(at) => self.clusters.get(at),
            About::Policy(at) => self.policies.get(at),
            About::Container(at) => self.containers.get(at),
            About::Role(at) => self.roles.get(at),
            About::Prefix(at) => self.prefixes.get(at),
        };
        *found.unwrap_or(&self.whole)
    }
}

impl SqlDraft {
    /// Checks it, and adds the prefixes of the server's role to those `written`.
    pub fn check(
        &mut self,
        role: Option<&Placed<String>>,
        written: &mut Vec<PlacedPrefix>,
        notes: &mut Vec<String>,
        report: &mut Report,
    ) {
        if let Some(role) = role {
            self.model.server_role = Some(role.value.clone());
        }
        for finding in self.model.check() {
            match finding.fault {
                Fault::Warning => notes.push(finding.text),
                Fault::UnknownRole if role.is_some() => {
                    let place = role.map_or(self.places.whole, |role| role.place);
                    report.push(place, finding.text, "name one of these, or add a [[sql.role]]");
                }
                _ => report.push(self.places.of(finding.about), finding.text, "change it, or remove it"),
            }
        }
        for (cluster, place) in self.model.clusters.iter().zip(&self.places.clusters) {
            if let Err(error) = Target::without_password(cluster) {
                report.push(*place, error.to_string(), "change its `url`");
            }
        }
        let own: Vec<_> = self
            .model
            .prefixes
            .iter()
            .zip(&self.places.prefixes)
            .filter(|(prefix, _)| prefix.role == self.model.role())
            .collect();
        if own.is_empty() {
            return;
        }
        for (prefix, place) in &own {
            let placed = PlacedPrefix {
                place: **place,
                key: Some(Placed { value: prefix.prefix.clone(), place: **place }),
                stack: self.stack(prefix, **place, report),
            };
            written.push(placed);
        }
        let is_all = |prefix: &PlacedPrefix| prefix.key.as_ref().is_none_or(|key| key.value.is_empty());
        if !written.iter().any(is_all) {
            let place = self.places.whole;
            let stack = placed(vec![Layer::Ram { size_bytes: None }], None, place);
            let key = Some(Placed { value: String::new(), place });
            written.push(PlacedPrefix { place, key, stack: Some(stack) });
        }
    }

    /// The stack that does what a prefix's policy says. What is missing was found by the check of the model.
    fn stack(
        &self,
        prefix: &larder_sql::model::Prefix,
        place: Place,
        report: &mut Report,
    ) -> Option<PlacedStack> {
        let policy = self.model.policy(&prefix.policy)?;
        if let Some(container) = &prefix.container {
            self.model.container(container)?;
        }
        let table = |policy: &Policy| {
            Some(Layer::Sql(Box::new(SqlTable {
                container: prefix.container.clone()?,
                cluster: prefix.cluster.clone(),
                is_flushed: policy.flush_from_db,
                meaning: None,
            })))
        };
        let ram = Layer::Ram { size_bytes: None };
        match (policy.get, policy.set, policy.delete) {
            (Route::CacheOnly, Route::CacheOnly, Route::CacheOnly) => Some(placed(vec![ram], None, place)),
            (Route::DbOnly, Route::DbOnly, Route::DbOnly) => Some(placed(vec![table(&policy)?], None, place)),
            (Route::Caching, Route::Caching, Route::Caching) => {
                let fresh = Some(Duration::from_secs(policy.cache_ttl.into()));
                let tier = Tier { write: Write::Through, negative_ttl: None, fresh };
                Some(placed(vec![ram, table(&policy)?], Some(tier), place))
            }
            _ => {
                let problem = format!(
                    "the policy `{}` of prefix `{}` sends gets, sets and deletes different ways, which is not \
                     possible",
                    policy.name, prefix.prefix
                );
                let advice = "give it a policy that sends all three one way: cache_only, db_only or caching";
                report.push(place, problem, advice);
                None
            }
        }
    }
}

/// A stack all of which stands at one place.
fn placed(layers: Vec<Layer>, tier: Option<Tier>, place: Place) -> PlacedStack {
    let name = |layer: &Layer| if layer.is_store() { "sql" } else { "ram" };
    let engine = |layer: &Layer| engines::find(name(layer)).expect("an engine has an entry");
    let engines = layers.iter().map(|layer| (engine(layer), place)).collect();
    PlacedStack { stack: Stack { layers, tier }, engines, negative_ttl: None }
}

/// Finds what the tables of all stacks stand for.
pub fn settle(prefixes: &mut [PlacedPrefix], tables: Option<&SqlDraft>, report: &mut Report) {
    let is_clean = report.is_clean();
    for stack in prefixes.iter_mut().filter_map(|prefix| prefix.stack.as_mut()) {
        for (layer, (_, place)) in stack.stack.layers.iter_mut().zip(&stack.engines) {
            let Layer::Sql(table) = layer else { continue };
            match tables {
                Some(tables) => table.meaning = report.take(*place, meaning(&tables.model, table)),
                // It may stand in what could not be read.
                None if !is_clean => {}
                None => report.push(
                    *place,
                    format!("the container `{}` is described nowhere", table.container),
                    "describe it with [[sql.cluster]] and [[sql.container]] in the file that --config names",
                ),
            }
        }
    }
}

fn meaning(model: &Model, table: &SqlTable) -> Result<Meaning, Objection> {
    let name = &table.container;
    let Some(container) = model.container(name) else {
        let known = model.containers.iter().map(|container| container.name.as_str());
        return Err(objection(format!("there is no container `{name}`"), suggest::advice(name, known)));
    };
    let Some(cluster) = model.cluster(table.cluster.as_deref()) else {
        return Err(match &table.cluster {
            Some(cluster) => {
                let known = model.clusters.iter().map(|cluster| cluster.name.as_str());
                objection(format!("there is no cluster `{cluster}`"), suggest::advice(cluster, known))
            }
            None if model.clusters.is_empty() => {
                objection("no database is described", "add a [[sql.cluster]] with `name` and `url`")
            }
            None => objection(
                "several clusters are described, and none has `id = 0`",
                "name one of them, as in `sql(NAME, cluster=NAME)`",
            ),
        });
    };
    Ok(Meaning { container: container.clone(), cluster: cluster.clone(), node_id: model.node_id })
}

/// A role is one of those that describe tables.
pub fn refuse_role(role: &Placed<String>, report: &mut Report) {
    if role.value != DEFAULT_ROLE && report.is_clean() {
        let problem = format!("the role `{}` is described nowhere", role.value);
        report.push(
            role.place,
            problem,
            "describe it with [[sql.role]] and [[sql.prefix]] in the file of --config",
        );
    }
}
