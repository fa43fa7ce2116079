//! What is mapped to what: clusters, containers, policies, roles and prefixes, as data.
//!
//! The same model comes from `larder.toml` and from tables in a database. [`Model::check`] finds what is wrong in the
//! model by itself; what only the live tables can tell is found by [`crate::plan`].

mod check;
mod name_list;
mod options;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use check::{About, Fault, Finding};
pub use name_list::{Flags, NameList};
pub use options::{
    CasMode, ContainerOptions, EmptyField, ExpireOnRead, ExpireWithoutColumn, ExtraFields, KeyMatch,
    MissingFields, NullValue, TextArithmetic, TimeInput, TimestampFormat, ValueFormat,
};

/// All of the mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// The role this server has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_role: Option<String>,
    /// This server's number among those on the same data: 0 to 1023.
    pub node_id: u16,
    /// Database services.
    #[serde(rename = "cluster")]
    pub clusters: Vec<Cluster>,
    /// Where reads and writes of a prefix go.
    #[serde(rename = "policy")]
    pub policies: Vec<Policy>,
    /// Tables and what their columns are for.
    #[serde(rename = "container")]
    pub containers: Vec<Container>,
    /// Sets of prefixes.
    #[serde(rename = "role")]
    pub roles: Vec<Role>,
    /// Which keys are kept where.
    #[serde(rename = "prefix")]
    pub prefixes: Vec<Prefix>,
}

/// A database service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its number; 0 is the primary one.
    #[serde(default)]
    pub id: u32,
    /// Its name, which prefixes use.
    pub name: String,
    /// Where it is, without password: `mysql://user@host:3306/schema`, `postgres://…`, `sqlite:///path/file.db`.
    pub url: String,
    /// A file that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
    /// An environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// Longest wait for a connection, in milliseconds.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Longest wait for a statement, in milliseconds.
    #[serde(default = "default_statement_timeout_ms")]
    pub statement_timeout_ms: u64,
    /// Longest wait for a row lock, in milliseconds.
    #[serde(default = "default_lock_wait_ms")]
    pub lock_wait_ms: u64,
    /// Repetitions of a transaction that met a deadlock or the like.
    #[serde(default = "default_retry")]
    pub retry: u32,
    /// Connections that read, and threads with them.
    #[serde(default = "default_lanes")]
    pub read_lanes: usize,
    /// Connections that write, and threads with them. SQLite has one.
    #[serde(default = "default_lanes")]
    pub write_lanes: usize,
    /// Statements run on each new connection.
    #[serde(default)]
    pub init_sql: Vec<String>,
}

fn default_connect_timeout_ms() -> u64 {
    3000
}

fn default_statement_timeout_ms() -> u64 {
    5000
}

fn default_lock_wait_ms() -> u64 {
    2000
}

fn default_retry() -> u32 {
    3
}

fn default_lanes() -> usize {
    2
}

impl Cluster {
    /// A cluster with everything at its default.
    pub fn new(name: &str, url: &str) -> Self {
        Cluster {
            id: 0,
            name: name.into(),
            url: url.into(),
            password_file: None,
            password_env: None,
            connect_timeout_ms: default_connect_timeout_ms(),
            statement_timeout_ms: default_statement_timeout_ms(),
            lock_wait_ms: default_lock_wait_ms(),
            retry: default_retry(),
            read_lanes: default_lanes(),
            write_lanes: default_lanes(),
            init_sql: Vec::new(),
        }
    }
}

/// Where a kind of command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// To the cache above the tables alone.
    CacheOnly,
    /// To the tables alone.
    #[serde(alias = "ndb_only", alias = "innodb_only")]
    DbOnly,
    /// To both.
    Caching,
    /// Nowhere.
    Disabled,
}

impl Route {
    /// The route of a word of a configuration; those of the predecessors are known too.
    pub fn from_word(word: &str) -> Option<Route> {
        match word {
            "cache_only" => Some(Route::CacheOnly),
            "db_only" | "ndb_only" | "innodb_only" => Some(Route::DbOnly),
            "caching" => Some(Route::Caching),
            "disabled" => Some(Route::Disabled),
            _ => None,
        }
    }

    /// Whether the tables are asked.
    pub fn uses_database(self) -> bool {
        matches!(self, Route::DbOnly | Route::Caching)
    }

    /// Whether the cache is asked.
    pub fn uses_cache(self) -> bool {
        matches!(self, Route::CacheOnly | Route::Caching)
    }
}

/// Where the commands of a prefix go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name, which prefixes use.
    pub name: String,
    /// Retrievals.
    pub get: Route,
    /// All that changes a value or an expiry.
    pub set: Route,
    /// Deletes.
    pub delete: Route,
    /// Whether `flush_all` empties the table.
    #[serde(default)]
    pub flush_from_db: bool,
    /// Seconds for which a copy in the cache counts as fresh; 0: until it is evicted.
    #[serde(default = "default_cache_ttl")]
    pub cache_ttl: u32,
}

fn default_cache_ttl() -> u32 {
    5
}

impl Policy {
    /// The policies that are known by name without being written down.
    pub fn known() -> Vec<Policy> {
        use Route::{CacheOnly, Caching, DbOnly, Disabled};
        let policy = |name: &str, [get, set, delete]: [Route; 3], flush_from_db| Policy {
            name: name.into(),
            get,
            set,
            delete,
            flush_from_db,
            cache_ttl: default_cache_ttl(),
        };
        let mut known = vec![
            policy("memcache-only", [CacheOnly; 3], false),
            policy("caching", [Caching; 3], false),
            policy("caching-with-local-deletes", [Caching, Caching, CacheOnly], false),
        ];
        for family in ["db", "ndb"] {
            known.push(policy(&format!("{family}-only"), [DbOnly; 3], false));
            known.push(policy(&format!("{family}-test"), [DbOnly; 3], true));
            known.push(policy(&format!("{family}-read-only"), [DbOnly, Disabled, Disabled], false));
        }
        known
    }

    /// Whether any command reaches the tables.
    pub fn uses_database(&self) -> bool {
        self.get.uses_database() || self.set.uses_database() || self.delete.uses_database()
    }

    /// Whether the tables are written.
    pub fn writes_database(&self) -> bool {
        self.set.uses_database() || self.delete.uses_database()
    }
}

/// A table and what its columns are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its name, which prefixes use.
    pub name: String,
    /// The table's schema or database; empty: the connection's own.
    #[serde(default)]
    pub schema: String,
    /// The table.
    pub table: String,
    /// The columns of the key, in the order of its parts.
    pub key_columns: NameList,
    /// The columns of the value, in the order of its fields.
    #[serde(default)]
    pub value_columns: NameList,
    /// Constant flags, or their column.
    #[serde(default)]
    pub flags: Flags,
    /// The column that incr and decr work on; empty: none.
    #[serde(default)]
    pub increment_column: String,
    /// The column of the CAS; empty: none.
    #[serde(default)]
    pub cas_column: String,
    /// The column of the expiry; empty: none.
    #[serde(default)]
    pub expire_time_column: String,
    /// An integer column for the stale mark and the refill token of the meta commands; empty: none.
    #[serde(default)]
    pub marks_column: String,
    /// The table of the parts of large values; empty: none.
    #[serde(default)]
    pub large_values_table: String,
    /// The rest.
    #[serde(default)]
    pub options: ContainerOptions,
}

/// A set of prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// Expected peak of operations a second.
    #[serde(default = "default_max_tps")]
    pub max_tps: u32,
}

fn default_max_tps() -> u32 {
    100_000
}

/// Which keys are kept where.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The role it belongs to.
    #[serde(default = "default_role")]
    pub role: String,
    /// How the keys begin; empty: all others.
    pub prefix: String,
    /// The cluster's name; may be left out where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The policy's name.
    pub policy: String,
    /// The container's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// The role of whoever names none.
pub const DEFAULT_ROLE: &str = "default_role";

fn default_role() -> String {
    DEFAULT_ROLE.into()
}

impl Model {
    /// Reads the tables of a TOML document whose top level is what stands under `[sql]`.
    ///
    /// # Errors
    /// The first thing that cannot be read, with line and column.
    pub fn from_toml(text: &str) -> Result<Model, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads the `[sql]` part of a document that is read already.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its place in the document's text.
    pub fn from_part(part: toml::Spanned<toml::de::DeValue<'_>>) -> Result<Model, toml::de::Error> {
        Model::deserialize(toml::de::ValueDeserializer::from(part))
    }

    /// The same as the `[sql]` part of a configuration file.
    ///
    /// # Errors
    /// None that a model can have; the writer of TOML says so itself.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        #[derive(Serialize)]
        struct File<'a> {
            sql: &'a Model,
        }
        toml::to_string(&File { sql: self })
    }

    /// The policy of a name: a written one, else a known one.
    pub fn policy(&self, name: &str) -> Option<Policy> {
        let written = self.policies.iter().find(|policy| policy.name == name).cloned();
        written.or_else(|| Policy::known().into_iter().find(|policy| policy.name == name))
    }

    /// The container of a name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The cluster a prefix uses: the named one, or the only one.
    pub fn cluster_of(&self, prefix: &Prefix) -> Option<&Cluster> {
        self.cluster(prefix.cluster.as_deref())
    }

    /// The cluster of a name or a number; of none, the only one, or the primary one.
    pub fn cluster(&self, name: Option<&str>) -> Option<&Cluster> {
        match name {
            Some(name) => {
                self.clusters.iter().find(|cluster| cluster.name == name || cluster.id.to_string() == name)
            }
            None if self.clusters.len() == 1 => self.clusters.first(),
            None => self.clusters.iter().find(|cluster| cluster.id == 0),
        }
    }

    /// The role this server has.
    pub fn role(&self) -> &str {
        self.server_role.as_deref().unwrap_or(DEFAULT_ROLE)
    }

    /// The prefixes of this server's role.
    pub fn own_prefixes(&self) -> impl Iterator<Item = &Prefix> {
        self.prefixes.iter().filter(|prefix| prefix.role == self.role())
    }
}
