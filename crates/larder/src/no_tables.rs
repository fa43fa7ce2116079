//! In place of tables in databases, where larder is built without them.

use std::sync::Arc;

use larder_engine::{Engine, Services};

use crate::config::Plan;
use crate::config::sql::SqlTable;

/// There are none.
pub struct Databases;

impl Databases {
    /// None.
    pub fn new(_services: Services) -> Self {
        Databases
    }

    /// Never called: there is no table.
    #[expect(clippy::unused_self, reason = "as with tables")]
    pub fn open(&mut self, _plan: &Plan, _key: &str, table: &SqlTable) -> anyhow::Result<Arc<dyn Engine>> {
        match *table {}
    }

    /// Nothing to do.
    #[expect(clippy::unused_self, reason = "as with tables")]
    pub fn keep_those_of(&mut self, _plan: &Plan) {}

    /// Nothing to do.
    #[expect(clippy::unused_self, reason = "as with tables")]
    pub fn forget(&mut self) {}
}
