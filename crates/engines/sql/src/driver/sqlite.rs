//! SQLite, in this process.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Error, OpenFlags, ToSql};

use super::{Answered, DbError, Target};
use crate::dialect::{Class, Product};
use crate::statement::Query;
use crate::types::Cell;

/// Statements kept prepared by a connection.
const PREPARED_MAX: usize = 256;

/// See [`super::Connection`].
pub struct Connection {
    connection: rusqlite::Connection,
}

impl Connection {
    pub(super) fn open(target: &Target) -> Result<Connection, DbError> {
        // A file that is not there is a mistake of the configuration, not a database to be made.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&target.database, flags)
            .map_err(|error| DbError { class: Class::Lost, ..db_error(error) })?;
        // Otherwise the name of a column that is gone would read as a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false).map_err(db_error)?;
        connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
        connection.busy_timeout(target.lock_wait.max(Duration::from_millis(1))).map_err(db_error)?;
        Ok(Connection { connection })
    }

    pub(super) fn command(&mut self, text: &str) -> Result<(), DbError> {
        self.connection.execute_batch(text).map_err(db_error)
    }

    pub(super) fn run(&mut self, query: &Query) -> Result<Answered, DbError> {
        let mut statement = self.connection.prepare_cached(&query.text).map_err(db_error)?;
        let parameters = rusqlite::params_from_iter(query.parameters.iter().map(Parameter));
        if !query.answers_rows {
            let affected = statement.execute(parameters).map_err(db_error)? as u64;
            return Ok(Answered { affected, ..Answered::default() });
        }
        let columns = statement.column_count();
        let mut rows = statement.query(parameters).map_err(db_error)?;
        let mut answered = Answered::default();
        while let Some(row) = rows.next().map_err(db_error)? {
            let cells = (0..columns).map(|at| row.get_ref(at).map(cell));
            answered.rows.push(cells.collect::<Result<_, _>>().map_err(db_error)?);
        }
        answered.affected = answered.rows.len() as u64;
        Ok(answered)
    }
}

struct Parameter<'a>(&'a Cell);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Integer(number) => {
                let number =
                    i64::try_from(*number).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
                ToSqlOutput::Owned(Value::Integer(number))
            }
            Cell::Text(bytes) => ToSqlOutput::Borrowed(ValueRef::Text(bytes)),
            Cell::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number.into()),
        ValueRef::Real(number) => Cell::text(crate::types::show_float(number, true)),
        ValueRef::Text(bytes) => Cell::Text(Bytes::copy_from_slice(bytes)),
        ValueRef::Blob(bytes) => Cell::Blob(Bytes::copy_from_slice(bytes)),
    }
}

fn db_error(error: Error) -> DbError {
    let text = error.to_string();
    match error {
        Error::SqliteFailure(failure, _) => {
            let code = failure.extended_code.to_string();
            let class = match Product::Sqlite.dialect().classify(&code) {
                // SQLite has no code of its own for a table or column that is not there.
                Class::Other if text.contains("no such table") || text.contains("no such column") => {
                    Class::SchemaChanged
                }
                class => class,
            };
            DbError { class, code, text }
        }
        Error::ToSqlConversionFailure(_) => DbError { class: Class::TooLarge, code: String::new(), text },
        Error::SqlInputError { msg, .. } if msg.contains("no such") => {
            DbError { class: Class::SchemaChanged, code: String::new(), text }
        }
        _ => DbError { class: Class::Other, code: String::new(), text },
    }
}
