//! Tables in databases as engines.

use std::collections::HashMap;
use std::sync::Arc;

use larder_engine::{Engine, Services};
use larder_sql::model;
use larder_sql::{Cluster, ContainerSettings};

use crate::config::sql::SqlTable;
use crate::config::{Layer, Plan};

/// The databases in use, by how they are described.
pub struct Databases {
    services: Services,
    clusters: HashMap<model::Cluster, Arc<Cluster>>,
}

impl Databases {
    /// None yet.
    pub fn new(services: Services) -> Self {
        Databases { services, clusters: HashMap::new() }
    }

    /// The engine of a prefix whose items are rows of a table. Blocks for the database.
    ///
    /// # Errors
    /// That the database cannot be reached, or how the table does not fit its description.
    pub fn open(&mut self, plan: &Plan, key: &str, table: &SqlTable) -> anyhow::Result<Arc<dyn Engine>> {
        let meaning = table.meaning();
        let cluster = match self.clusters.get(&meaning.cluster) {
            Some(cluster) => cluster.clone(),
            None => {
                let cluster = Cluster::start(self.services.clone(), &meaning.cluster, meaning.node_id)?;
                self.clusters.insert(meaning.cluster.clone(), cluster.clone());
                cluster
            }
        };
        let engine = cluster.open(ContainerSettings {
            container: meaning.container.clone(),
            prefix: key.as_bytes().to_vec(),
            flush_from_db: table.is_flushed,
            item_size_max: plan.item_size_bytes_max,
        })?;
        Ok(Arc::new(engine))
    }

    /// Lets go of databases that a plan does not use. What is still served from them closes them.
    pub fn keep_those_of(&mut self, plan: &Plan) {
        let layers = plan.prefixes.iter().flat_map(|prefix| &prefix.stack.layers);
        let used: Vec<&model::Cluster> = layers
            .filter_map(|layer| match layer {
                Layer::Sql(table) => Some(&table.meaning().cluster),
                _ => None,
            })
            .collect();
        self.clusters.retain(|cluster, _| used.contains(&cluster));
    }

    /// Lets go of all of them.
    pub fn forget(&mut self) {
        self.clusters.clear();
    }
}
