//! MySQL and MariaDB.

use bytes::Bytes;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, Params, SslOpts, Value};

use super::{Answered, DbError, Target, Tls};
use crate::dialect::{Class, Product};
use crate::statement::Query;
use crate::types::Cell;

/// Statements kept prepared by a connection.
const PREPARED_MAX: usize = 256;

/// See [`super::Connection`].
pub struct Connection {
    connection: Conn,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Connection, DbError> {
        let mut last = DbError::lost("no address is given");
        for (host, port) in &target.addresses {
            let ssl = match &target.tls {
                Tls::Off => None,
                Tls::Encrypted => Some(
                    SslOpts::default()
                        .with_danger_accept_invalid_certs(true)
                        .with_danger_skip_domain_validation(true),
                ),
                Tls::Verified(authorities) => Some(
                    SslOpts::default()
                        .with_root_certs(vec![authorities.clone().into()])
                        .with_disable_built_in_roots(true),
                ),
            };
            let options = OptsBuilder::default()
                .ip_or_hostname(host.clone())
                .tcp_port(*port)
                .user(Some(target.user.clone()))
                .pass(target.password.clone())
                .db_name(Some(target.database.clone()).filter(|name| !name.is_empty()))
                .ssl_opts(ssl)
                .prefer_socket(false)
                .client_found_rows(true)
                .stmt_cache_size(PREPARED_MAX);
            match tokio::time::timeout(target.connect_timeout, Conn::new(options)).await {
                Ok(Ok(connection)) => return Ok(Connection { connection }),
                // A refusal is the same everywhere; another address is for one that does not answer.
                Ok(Err(error)) => last = lost(error),
                Err(_) => last = DbError::lost(format!("{host}:{port} does not answer")),
            }
        }
        Err(last)
    }

    pub(super) async fn command(&mut self, text: &str) -> Result<(), DbError> {
        self.connection.query_drop(text).await.map_err(db_error)
    }

    pub(super) async fn run(&mut self, query: &Query) -> Result<Answered, DbError> {
        let parameters = match query.parameters.is_empty() {
            true => Params::Empty,
            false => Params::Positional(query.parameters.iter().map(parameter).collect()),
        };
        let mut result =
            self.connection.exec_iter(query.text.as_str(), parameters).await.map_err(db_error)?;
        let mut answered = Answered::default();
        if query.answers_rows {
            while let Some(row) = result.next().await.map_err(db_error)? {
                answered.rows.push(row.unwrap().into_iter().map(cell).collect());
            }
        }
        answered.affected = result.affected_rows();
        answered.last_insert_id = result.last_insert_id().unwrap_or(0);
        result.drop_result().await.map_err(db_error)?;
        Ok(answered)
    }
}

fn parameter(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::NULL,
        Cell::Integer(number) => match i64::try_from(*number) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::UInt(u64::try_from(*number).unwrap_or(u64::MAX)),
        },
        Cell::Text(bytes) | Cell::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::NULL => Cell::Null,
        Value::Int(number) => Cell::Integer(number.into()),
        Value::UInt(number) => Cell::Integer(number.into()),
        Value::Bytes(bytes) => Cell::Blob(Bytes::from(bytes)),
        Value::Float(number) => Cell::text(crate::types::show_float(number.into(), false)),
        Value::Double(number) => Cell::text(crate::types::show_float(number, true)),
        // Moments are read as text: see the dialect.
        other @ (Value::Date(..) | Value::Time(..)) => Cell::text(other.as_sql(true).trim_matches('\'')),
    }
}

fn db_error(error: Error) -> DbError {
    match error {
        Error::Server(error) => {
            let code = error.code.to_string();
            DbError { class: Product::MySql.dialect().classify(&code), code, text: error.message }
        }
        error => DbError::lost(error),
    }
}

/// An error while connecting: whatever the server says, there is no connection.
fn lost(error: Error) -> DbError {
    DbError { class: Class::Lost, ..db_error(error) }
}
