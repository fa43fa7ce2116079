//! PostgreSQL.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::Poll;

use bytes::{BufMut, Bytes, BytesMut};
use hashbrown::HashMap;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Error, Statement};

use super::{Answered, DbError, Target, Tls, tls};
use crate::dialect::{Class, Product};
use crate::statement::Query;
use crate::types::Cell;

/// Statements kept prepared by a connection.
const PREPARED_MAX: usize = 256;

/// See [`super::Connection`].
pub struct Connection {
    client: Client,
    prepared: HashMap<String, Statement, foldhash::fast::RandomState>,
    /// Ends with the connection.
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Connection, DbError> {
        let mut config = Config::new();
        for (host, port) in &target.addresses {
            config.host(host).port(*port);
        }
        if !target.user.is_empty() {
            config.user(&target.user);
        }
        if let Some(password) = &target.password {
            config.password(password);
        }
        if !target.database.is_empty() {
            config.dbname(&target.database);
        }
        config.application_name("larder").connect_timeout(target.connect_timeout);
        if target.tls == Tls::Off {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        } else {
            config.ssl_mode(tokio_postgres::config::SslMode::Require);
        }
        let tls = tls::Connect::new(&target.tls).map_err(DbError::lost)?;
        let connecting = config.connect(tls);
        let connected = tokio::time::timeout(target.connect_timeout, connecting).await;
        let (client, connection) = match connected {
            Ok(connected) => connected.map_err(lost)?,
            Err(_) => return Err(DbError::lost("no address answers")),
        };
        // What ends the connection is told to whoever uses it next.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { client, prepared: HashMap::default(), task })
    }

    pub(super) async fn command(&mut self, text: &str) -> Result<(), DbError> {
        self.client.batch_execute(text).await.map_err(db_error)
    }

    pub(super) async fn run(&mut self, query: &Query) -> Result<Answered, DbError> {
        let mut answers = self.run_all(std::slice::from_ref(query)).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// All are sent before the first answer is awaited.
    pub(super) async fn run_all(&mut self, queries: &[Query]) -> Result<Vec<Answered>, DbError> {
        for query in queries {
            self.prepare(&query.text).await?;
        }
        let client = &self.client;
        let runs = queries.iter().map(|query| {
            let statement = self.prepared.get(&query.text).expect("it was just prepared");
            run_one(client, statement, query)
        });
        all(runs.collect()).await
    }

    async fn prepare(&mut self, text: &str) -> Result<(), DbError> {
        if self.prepared.contains_key(text) {
            return Ok(());
        }
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        let statement = self.client.prepare(text).await.map_err(db_error)?;
        self.prepared.insert(text.to_owned(), statement);
        Ok(())
    }

    /// Forgets what is prepared, after the tables changed.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared.clear();
    }
}

async fn run_one(client: &Client, statement: &Statement, query: &Query) -> Result<Answered, DbError> {
    let parameters: Vec<Parameter<'_>> = query.parameters.iter().map(Parameter).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| one as _).collect();
    if !query.answers_rows {
        let affected = client.execute(statement, &parameters).await.map_err(db_error)?;
        return Ok(Answered { affected, ..Answered::default() });
    }
    let rows = client.query(statement, &parameters).await.map_err(db_error)?;
    let mut answered = Answered { affected: rows.len() as u64, ..Answered::default() };
    for row in rows {
        let cells = (0..row.len()).map(|at| row.try_get::<_, Read>(at).map(|read| read.0));
        answered.rows.push(cells.collect::<Result<_, _>>().map_err(db_error)?);
    }
    Ok(answered)
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Answered, DbError>> + 'a>>;

/// Polls all in order until all have ended; the first poll of each sends its statement.
async fn all<'a>(
    runs: Vec<impl Future<Output = Result<Answered, DbError>> + 'a>,
) -> Result<Vec<Answered>, DbError> {
    let mut runs: Vec<Result<Running<'a>, Result<Answered, DbError>>> =
        runs.into_iter().map(|run| Ok(Box::pin(run) as Running<'a>)).collect();
    std::future::poll_fn(|task| {
        let mut waits = false;
        for run in &mut runs {
            if let Ok(future) = run {
                match future.as_mut().poll(task) {
                    Poll::Ready(answer) => *run = Err(answer),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let ended = runs.into_iter().map(|run| run.err().expect("all have ended"));
    // The first in order is the cause; those after it failed because of it.
    ended.collect()
}

#[derive(Debug)]
struct Parameter<'a>(&'a Cell);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Cell::Null => return Ok(IsNull::Yes),
            Cell::Integer(number) if *ty == Type::INT8 => out.put_i64(i64::try_from(*number)?),
            Cell::Integer(number) => out.put_slice(number.to_string().as_bytes()),
            Cell::Text(bytes) | Cell::Blob(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

struct Read(Cell);

impl<'a> FromSql<'a> for Read {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Read(match *ty {
            Type::INT8 => Cell::Integer(i64::from_be_bytes(raw.try_into()?).into()),
            Type::INT4 => Cell::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::BYTEA => Cell::Blob(Bytes::copy_from_slice(raw)),
            _ => Cell::Text(Bytes::copy_from_slice(raw)),
        }))
    }

    fn from_sql_null(_ty: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Read(Cell::Null))
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }
}

fn db_error(error: Error) -> DbError {
    match error.code() {
        Some(code) => {
            let code = code.code().to_owned();
            let text =
                error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
            DbError { class: Product::Postgres.dialect().classify(&code), code, text }
        }
        None if error.is_closed() => DbError::lost(error),
        None => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            DbError::lost(format!("{error}{cause}"))
        }
    }
}

/// An error while connecting: whatever the server says, there is no connection.
fn lost(error: Error) -> DbError {
    DbError { class: Class::Lost, ..db_error(error) }
}
