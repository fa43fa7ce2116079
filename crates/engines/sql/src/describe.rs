//! Asks a database what a table looks like.

use std::sync::Arc;

use crate::cluster::OpenError;
use crate::dialect::{Unique, word};
use crate::driver::{Connection, DbError, Late, Target, within};
use crate::failure::Failure;
use crate::lane::{Lane, runtime};
use crate::model::Container;
use crate::plan::{self, Definition};
use crate::statement::Query;
use crate::table::Table;
use crate::types::Cell;

/// What the table of a container looks like. Blocks; the connection is closed again.
///
/// # Errors
/// That the database cannot be reached, or what it says.
pub fn definition(target: &Target, container: &Container) -> Result<Definition, OpenError> {
    let failed = |source| OpenError::Database { name: target.name.clone(), source };
    let runtime = runtime().map_err(|source| OpenError::Thread { name: target.name.clone(), source })?;
    runtime.block_on(async {
        let mut connection = Connection::open(target).await.map_err(failed)?;
        ask(&mut connection, target, container).await.map_err(failed)
    })
}

pub(crate) async fn ask(
    connection: &mut Connection,
    target: &Target,
    container: &Container,
) -> Result<Definition, DbError> {
    let dialect = target.product.dialect();
    let query = |text: &str| Query {
        text: text.into(),
        parameters: vec![Cell::text(&container.schema), Cell::text(&container.table)],
        answers_rows: true,
    };
    let columns = connection.run(&query(dialect.columns_query())).await?.rows;
    let mut columns: Vec<_> = columns.iter().filter_map(|row| dialect.column(row)).collect();
    let mut uniques: Vec<Unique> = Vec::new();
    for row in connection.run(&query(dialect.unique_query())).await?.rows {
        let (name, column) = (word(&row, 0), word(&row, 2));
        let is_yes = |at: usize| matches!(word(&row, at).as_str(), "1" | "t" | "true");
        if let Some(folded) = columns.iter_mut().find(|known| known.name == column).filter(|_| is_yes(3)) {
            folded.folds = true;
        }
        match uniques.iter_mut().find(|unique| unique.name == name) {
            Some(unique) => unique.columns.push(column),
            None => uniques.push(Unique { name, primary: is_yes(1), columns: vec![column] }),
        }
    }
    Ok(Definition { columns, uniques })
}

impl Lane {
    /// Looks at a table anew after it changed, and makes another plan.
    pub(crate) async fn replan(&mut self, table: &Arc<Table>) -> Result<(), Failure> {
        let mut connection = self.take_connection().await?;
        let target = self.target().clone();
        connection.forget_prepared();
        let old = table.plan();
        let asked = within(target.statement_timeout, ask(&mut connection, &target, &old.container)).await;
        let outcome = asked.map_err(|late| match late {
            Late::Failed(error) => Failure::Database(error),
            Late::TimedOut => Failure::TimedOut,
        });
        self.give_back(connection, &outcome, false).await;
        let definition = outcome?;
        match plan::make(&old.container, target.product, &definition) {
            Ok((plan, _)) => {
                tracing::info!(
                    "container `{}`: its table changed and was looked at anew",
                    old.container.name
                );
                table.replan(plan);
                Ok(())
            }
            Err(findings) => {
                let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
                let text = text.join("; ");
                tracing::error!("container `{}` is unavailable: {text}", old.container.name);
                let class = crate::dialect::Class::SchemaChanged;
                Err(Failure::Database(DbError { class, code: String::new(), text }))
            }
        }
    }
}
