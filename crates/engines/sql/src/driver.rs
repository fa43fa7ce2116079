//! Connections: one small driver for each database, behind one face.

mod mysql;
mod postgres;
mod sqlite;
mod target;
mod tls;

use std::fmt;
use std::time::Duration;

pub use target::{Target, TargetError, Tls};

use crate::dialect::{Class, Product};
use crate::statement::Query;
use crate::types::Cell;

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
    /// Rows it changed, added or removed; those it found already as wanted included.
    pub affected: u64,
    /// The number it left for the connection (MySQL and MariaDB).
    pub last_insert_id: u64,
}

/// An error of the database or of the way to it.
#[derive(Clone, Debug)]
pub struct DbError {
    /// What it means.
    pub class: Class,
    /// The database's code: an SQLSTATE or a number; empty where it gave none.
    pub code: String,
    /// The database's words, for the log only.
    pub text: String,
}

impl DbError {
    /// The connection is gone, or there was none.
    pub fn lost(text: impl fmt::Display) -> Self {
        DbError { class: Class::Lost, code: String::new(), text: text.to_string() }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{} ({})", self.text, self.code)
        }
    }
}

impl std::error::Error for DbError {}

/// An open connection. Used by one task at a time.
pub enum Connection {
    /// MySQL, MariaDB.
    MySql(mysql::Connection),
    /// PostgreSQL.
    Postgres(postgres::Connection),
    /// SQLite; its calls do their work at once, on the thread that makes them.
    Sqlite(sqlite::Connection),
}

impl Connection {
    /// Connects to the first address that answers and prepares the session.
    ///
    /// # Errors
    /// What the last address answered.
    pub async fn open(target: &Target) -> Result<Connection, DbError> {
        let mut connection = match target.product {
            Product::MySql => Connection::MySql(mysql::Connection::open(target).await?),
            Product::Postgres => Connection::Postgres(postgres::Connection::open(target).await?),
            Product::Sqlite => Connection::Sqlite(sqlite::Connection::open(target)?),
        };
        let lock_wait_ms = target.lock_wait.as_millis() as u64;
        let statement_timeout_ms = target.statement_timeout.as_millis() as u64;
        let session = target.product.dialect().session(lock_wait_ms, statement_timeout_ms);
        for statement in session.iter().chain(&target.init_sql) {
            connection.command(statement).await?;
        }
        Ok(connection)
    }

    /// Runs a statement without parameters and without answer.
    ///
    /// # Errors
    /// The database's.
    pub async fn command(&mut self, text: &str) -> Result<(), DbError> {
        match self {
            Connection::MySql(connection) => connection.command(text).await,
            Connection::Postgres(connection) => connection.command(text).await,
            Connection::Sqlite(connection) => connection.command(text),
        }
    }

    /// Forgets what is prepared, after the tables changed. The other databases prepare anew by themselves.
    pub fn forget_prepared(&mut self) {
        if let Connection::Postgres(connection) = self {
            connection.forget_prepared();
        }
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// The database's.
    pub async fn run(&mut self, query: &Query) -> Result<Answered, DbError> {
        match self {
            Connection::MySql(connection) => connection.run(query).await,
            Connection::Postgres(connection) => connection.run(query).await,
            Connection::Sqlite(connection) => connection.run(query),
        }
    }

    /// Runs statements in order, without waiting between them where the protocol allows that. After the first error the
    /// rest may or may not have been run: for use in a transaction, or for reading.
    ///
    /// # Errors
    /// The first.
    pub async fn run_all(&mut self, queries: &[Query]) -> Result<Vec<Answered>, DbError> {
        if let Connection::Postgres(connection) = self {
            return connection.run_all(queries).await;
        }
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(self.run(query).await?);
        }
        Ok(answers)
    }
}

/// Waits no longer than `patience`.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, DbError>>,
) -> Result<T, Late> {
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Late::Failed(error)),
        Err(_) => Err(Late::TimedOut),
    }
}

/// How waiting for a database ends badly.
#[derive(Debug)]
pub(crate) enum Late {
    Failed(DbError),
    /// The connection is in the middle of something: it must be dropped.
    TimedOut,
}
