//! A mapping that is kept in tables of the database: larder's own layout and that of the NDB engine, which it extends.
//!
//! | table | what it says |
//! |---|---|
//! | `meta` | whose layout this is, and its version |
//! | `ndb_clusters` or `clusters` | numbers of clusters; their addresses are in the configuration file |
//! | `memcache_server_roles` | names and numbers of roles, and when a role was changed |
//! | `cache_policies`, `containers`, `key_prefixes` | as in [`crate::model`] |
//!
//! Columns that an older layout has not are taken as NULL.

mod innodb;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::describe;
use crate::dialect::word;
use crate::driver::{Connection, DbError, Target};
use crate::lane::runtime;
use crate::model::{
    Container, ContainerOptions, Flags, Model, NameList, Policy, Prefix, Role, Route, TimeInput,
};
use crate::statement::Query;
use crate::types::Cell;

/// What the tables say.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The mapping, with the clusters it was loaded for.
    pub model: Model,
    /// The layout's version.
    pub version: String,
    /// What could not be taken over as it was, or is old; a line each.
    pub notes: Vec<String>,
    /// When each role was changed last, as the database writes it. Another text means: load again.
    pub changed: HashMap<String, String>,
}

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database does not answer, or a table is not there.
    #[error("cannot read the configuration tables of schema `{schema}`: {source}")]
    Database {
        /// Where.
        schema: String,
        /// What the database says.
        source: DbError,
    },
    /// A layout that cannot be used.
    #[error("schema `{schema}`: {problem}")]
    Layout {
        /// Where.
        schema: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// No event loop can be had.
    #[error("cannot ask the database: {0}")]
    System(#[from] std::io::Error),
}

/// Loads the mapping from a schema of the database at `target`. What the file says of clusters comes from `file`.
/// Blocks.
///
/// # Errors
/// See [`LoadError`].
pub fn load(target: &Target, schema: &str, file: &Model) -> Result<Stored, LoadError> {
    let failed = |source| LoadError::Database { schema: schema.into(), source };
    runtime()?.block_on(async {
        let connection = Connection::open(target).await.map_err(failed)?;
        let mut reader = Reader { connection, target, schema };
        if reader.columns("config_options").await.map_err(failed)?.is_empty() {
            reader.own(file).await
        } else {
            innodb::load(&mut reader, file).await
        }
    })
}

struct Reader<'a> {
    connection: Connection,
    target: &'a Target,
    schema: &'a str,
}

/// A row by the names of its columns; NULL is empty.
type Named = HashMap<&'static str, String>;

impl Reader<'_> {
    fn failed(&self, source: DbError) -> LoadError {
        LoadError::Database { schema: self.schema.into(), source }
    }

    /// The columns a table has; none if it is not there.
    async fn columns(&mut self, table: &str) -> Result<HashSet<String>, DbError> {
        let place = Container { schema: self.schema.into(), table: table.into(), ..Container::default() };
        let definition = describe::ask(&mut self.connection, self.target, &place).await?;
        Ok(definition.columns.into_iter().map(|column| column.name.to_lowercase()).collect())
    }

    /// All rows of a table, with those of the wanted columns that it has.
    async fn rows(&mut self, table: &str, wanted: &[&'static str]) -> Result<Vec<Named>, LoadError> {
        let has = self.columns(table).await.map_err(|error| self.failed(error))?;
        if has.is_empty() {
            let problem = format!("there is no table `{table}`, or it cannot be read");
            return Err(LoadError::Layout { schema: self.schema.into(), problem });
        }
        let dialect = self.target.product.dialect();
        let names: Vec<&'static str> = wanted.iter().copied().filter(|name| has.contains(*name)).collect();
        // As text, whatever the type: timestamps are only compared, numbers are parsed.
        let as_text = |name: &&'static str| match self.target.product {
            crate::dialect::Product::MySql => format!("CAST({} AS CHAR)", dialect.quote(name)),
            _ => format!("CAST({} AS text)", dialect.quote(name)),
        };
        let list: Vec<String> = names.iter().map(as_text).collect();
        let place = match self.schema {
            "" => dialect.quote(table),
            schema => format!("{}.{}", dialect.quote(schema), dialect.quote(table)),
        };
        let text = format!("SELECT {} FROM {place} ORDER BY 1, 2", list.join(", "));
        let query = Query { text, parameters: Vec::new(), answers_rows: true };
        let rows = self.connection.run(&query).await.map_err(|error| self.failed(error))?.rows;
        let named = |cells: Vec<Cell>| -> Named {
            names.iter().enumerate().map(|(at, name)| (*name, word(&cells, at))).collect()
        };
        Ok(rows.into_iter().map(named).collect())
    }

    async fn own(&mut self, file: &Model) -> Result<Stored, LoadError> {
        let (version, is_old) = self.version().await?;
        let mut notes = Vec::new();
        if is_old && version != "1.2" {
            notes.push(format!("the layout is of version {version}; 1.2 is the last of its kind"));
        }
        let mut model = file.clone();
        let mut changed = HashMap::new();
        let mut role_names = HashMap::new();
        for row in self
            .rows("memcache_server_roles", &["role_name", "role_id", "max_tps", "update_timestamp"])
            .await?
        {
            let name = text(&row, "role_name");
            role_names.insert(text(&row, "role_id"), name.clone());
            changed.insert(name.clone(), text(&row, "update_timestamp"));
            let (id, max_tps) = (number(&row, "role_id"), number(&row, "max_tps"));
            model.roles.push(Role { name, id: id.unwrap_or(0), max_tps: max_tps.unwrap_or(100_000) });
        }
        let policies = ["policy_name", "get_policy", "set_policy", "delete_policy", "flush_from_db"];
        for row in self.rows("cache_policies", &policies).await? {
            model.policies.push(self.policy(&row)?);
        }
        let columns = [
            "name",
            "db_schema",
            "db_table",
            "key_columns",
            "value_columns",
            "flags",
            "increment_column",
            "cas_column",
            "expire_time_column",
            "large_values_table",
            "options",
        ];
        for row in self.rows("containers", &columns).await? {
            model.containers.push(self.container(&row, is_old)?);
        }
        let clusters = self.clusters(&model, &mut notes).await?;
        for row in self
            .rows("key_prefixes", &["server_role_id", "key_prefix", "cluster_id", "policy", "container"])
            .await?
        {
            let role_id = text(&row, "server_role_id");
            let Some(role) = role_names.get(&role_id) else {
                notes.push(format!(
                    "prefix `{}` belongs to role {role_id}, which is not there",
                    text(&row, "key_prefix")
                ));
                continue;
            };
            let container = Some(text(&row, "container")).filter(|name| !name.is_empty());
            let cluster = text(&row, "cluster_id");
            // A cluster without an address keeps its number, which the check of the model then names.
            let cluster = clusters.get(&cluster).cloned().unwrap_or(cluster);
            model.prefixes.push(Prefix {
                role: role.clone(),
                prefix: text(&row, "key_prefix"),
                cluster: container.as_ref().map(|_| cluster),
                policy: text(&row, "policy"),
                container,
            });
        }
        Ok(Stored { model, version, notes, changed })
    }

    /// The layout's version, and whether it is that of the NDB engine.
    async fn version(&mut self) -> Result<(String, bool), LoadError> {
        let layout = |schema: &str, problem: &str| LoadError::Layout {
            schema: schema.into(),
            problem: problem.into(),
        };
        let mut versions = self.rows("meta", &["application", "metadata_version"]).await?;
        versions.sort_by_key(|row| text(row, "metadata_version"));
        let Some(row) = versions.pop() else {
            return Err(layout(self.schema, "its table `meta` names no version"));
        };
        let version = text(&row, "metadata_version");
        match (text(&row, "application").as_str(), version.as_str()) {
            ("larder", "1") => Ok((version, false)),
            ("ndbmemcache", "1.0" | "1.1" | "1.2") => Ok((version, true)),
            ("ndbmemcache", "1.0a") => Err(layout(
                self.schema,
                "its layout is of version 1.0a, a draft: make the schema anew with a later script",
            )),
            (application, version) => {
                let problem = format!("its layout is `{application}` {version}, which larder does not know");
                Err(layout(self.schema, &problem))
            }
        }
    }

    fn policy(&self, row: &Named) -> Result<Policy, LoadError> {
        let route = |column: &str| {
            Route::from_word(&text(row, column)).ok_or_else(|| LoadError::Layout {
                schema: self.schema.into(),
                problem: format!(
                    "policy `{}` has the {column} `{}`",
                    text(row, "policy_name"),
                    text(row, column)
                ),
            })
        };
        let (get, set, delete) = (route("get_policy")?, route("set_policy")?, route("delete_policy")?);
        let flush_from_db = matches!(text(row, "flush_from_db").as_str(), "true" | "1");
        Ok(Policy { name: text(row, "policy_name"), get, set, delete, flush_from_db, cache_ttl: 5 })
    }

    fn container(&self, row: &Named, is_old: bool) -> Result<Container, LoadError> {
        let name = text(row, "name");
        let options = parse_options(&text(row, "options")).map_err(|problem| LoadError::Layout {
            schema: self.schema.into(),
            problem: format!("the options of container `{name}`: {problem}"),
        })?;
        let time_input = if is_old { TimeInput::Ndb } else { options.time_input };
        Ok(Container {
            schema: text(row, "db_schema"),
            table: text(row, "db_table"),
            key_columns: NameList::from(text(row, "key_columns").as_str()),
            value_columns: NameList::from(text(row, "value_columns").as_str()),
            flags: Flags::from(text(row, "flags").as_str()),
            increment_column: text(row, "increment_column"),
            cas_column: text(row, "cas_column"),
            expire_time_column: text(row, "expire_time_column"),
            marks_column: String::new(),
            large_values_table: text(row, "large_values_table"),
            options: ContainerOptions { time_input, ..options },
            name,
        })
    }

    /// The names of clusters by their numbers. One without an address of its own is the primary one.
    async fn clusters(
        &mut self,
        model: &Model,
        notes: &mut Vec<String>,
    ) -> Result<HashMap<String, String>, LoadError> {
        let old = "ndb_clusters";
        let has_old = !self.columns(old).await.map_err(|error| self.failed(error))?.is_empty();
        let rows = self
            .rows(if has_old { old } else { "clusters" }, &["cluster_id", "ndb_connectstring", "url"])
            .await?;
        let primary =
            rows.iter().find(|row| text(row, "cluster_id") == "0").map(|row| text(row, "ndb_connectstring"));
        let named = |id: &str| model.clusters.iter().find(|cluster| cluster.id.to_string() == id);
        let mut names = HashMap::new();
        for row in rows {
            let id = text(&row, "cluster_id");
            let address = text(&row, "ndb_connectstring");
            let is_primary = address.is_empty() || Some(&address) == primary.as_ref();
            match named(&id).or_else(|| named("0").filter(|_| is_primary)) {
                Some(cluster) => {
                    names.insert(id, cluster.name.clone());
                }
                None => {
                    notes.push(format!("cluster {id} has no [[sql.cluster]] with `id = {id}` in the file"))
                }
            }
        }
        Ok(names)
    }
}

fn text(row: &Named, column: &str) -> String {
    row.get(column).cloned().unwrap_or_default()
}

fn number(row: &Named, column: &str) -> Option<u32> {
    text(row, column).parse().ok()
}

/// `name=value` pairs with commas between them.
fn parse_options(text: &str) -> Result<ContainerOptions, String> {
    let mut table = toml::Table::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("`{pair}` is not name=value"));
        };
        let value = match value {
            "true" => toml::Value::Boolean(true),
            "false" => toml::Value::Boolean(false),
            value => toml::Value::String(value.into()),
        };
        table.insert(name.trim().into(), value);
    }
    toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}
