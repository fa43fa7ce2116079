//! Databases to test on: a file of SQLite, and servers of MariaDB and PostgreSQL started for one test process.

#![allow(dead_code)] // Each test binary uses a part of it.

pub mod script;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use larder_engine::Services;
use larder_sql::dialect::Product;
use larder_sql::driver::{Answered, Connection, DbError, Target};
use larder_sql::model::{Cluster as ClusterModel, Container};
use larder_sql::statement::Query;
use larder_sql::types::Cell;
use larder_sql::{Cluster, ContainerSettings, OpenError, SqlEngine};

pub use server::Server;

/// Whether this run is a quick one and has no servers.
pub fn leaves_out(product: Product) -> bool {
    product != Product::Sqlite && std::env::var_os("LARDER_TEST_QUICK").is_some()
}

/// A server that was started serves by then, on a machine that is busy too.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A database that is ready for tests.
pub struct Database {
    pub product: Product,
    pub model: ClusterModel,
    /// Ends with the last test of the process.
    _server: Option<Server>,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Database {
    /// A database of `product`, or why there is none.
    pub fn start(product: Product) -> Database {
        let folder = tempfile::Builder::new().prefix("larder-sql-").tempdir().expect("a temporary folder");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
        let (server, url) = match product {
            Product::Sqlite => {
                let file = folder.path().join("test.db");
                drop(std::fs::File::create(&file).expect("an empty file"));
                (None, format!("sqlite://{}", file.display()))
            }
            Product::MySql => {
                let server = Server::mariadb(folder.path());
                let url = format!("mysql://root@127.0.0.1:{}/test", server.port);
                (Some(server), url)
            }
            Product::Postgres => {
                let server = Server::postgres(folder.path());
                let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
                (Some(server), url)
            }
        };
        // No test waits long for a lock; a second is the least that MariaDB knows.
        let model = ClusterModel { lock_wait_ms: 1000, ..ClusterModel::new("main", &url) };
        let database = Database { product, model, _server: server, folder, runtime };
        database.wait_until_ready();
        database
    }

    /// A server takes connections before it serves them.
    fn wait_until_ready(&self) {
        let start = Instant::now();
        while let Err(error) = self.try_sql("SELECT 1") {
            assert!(start.elapsed() < READY_WITHIN, "{:?} does not serve: {error}", self.product);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `SQL` as a client of the database would, over a connection of its own.
    pub fn try_sql(&self, text: &str) -> Result<Answered, DbError> {
        if self.product == Product::Postgres {
            return self.postgres_sql(text);
        }
        let target = Target::of(&self.model).expect("the address is right");
        let answers_rows = text.trim_start().to_uppercase().starts_with("SELECT");
        let query = Query { text: text.into(), parameters: Vec::new(), answers_rows };
        self.runtime.block_on(async {
            let mut connection = Connection::open(&target).await?;
            connection.run(&query).await
        })
    }

    /// Everything as text, as psql would show it.
    fn postgres_sql(&self, text: &str) -> Result<Answered, DbError> {
        use tokio_postgres::{NoTls, SimpleQueryMessage};
        self.runtime.block_on(async {
            let connected = tokio_postgres::connect(&self.model.url, NoTls).await;
            let (client, connection) = connected.map_err(DbError::lost)?;
            let task = tokio::spawn(connection);
            let messages = client.simple_query(text).await.map_err(DbError::lost)?;
            let mut answered = Answered::default();
            for message in messages {
                let SimpleQueryMessage::Row(row) = message else { continue };
                let cell = |at| row.get(at).map_or(Cell::Null, Cell::text);
                answered.rows.push((0..row.len()).map(cell).collect());
            }
            drop(client);
            // The connection ends when its client is gone.
            drop(task.await);
            Ok(answered)
        })
    }

    /// The same where it must succeed: rows as text, fields between `|`, rows between `;`.
    pub fn sql(&self, text: &str) -> String {
        let answered = self.try_sql(text).unwrap_or_else(|error| panic!("SQL> {text}\n{error}"));
        let field = |cell: &Cell| match cell {
            Cell::Null => "NULL".into(),
            Cell::Integer(number) => number.to_string(),
            Cell::Text(bytes) | Cell::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        let row = |cells: &Vec<Cell>| cells.iter().map(field).collect::<Vec<_>>().join("|");
        answered.rows.iter().map(row).collect::<Vec<_>>().join(";")
    }

    /// Another client's transaction that has run `change` and not ended; it is undone when dropped.
    pub fn locker(&self, change: &str) -> Locker<'_> {
        let target = Target::of(&self.model).expect("the address is right");
        let query = Query { text: change.into(), parameters: Vec::new(), answers_rows: false };
        let begun = self.runtime.block_on(async {
            let mut connection = Connection::open(&target).await?;
            connection.command(self.product.dialect().begin()).await?;
            connection.run(&query).await?;
            Ok::<_, DbError>(connection)
        });
        Locker { database: self, connection: Some(begun.expect("the row can be locked")) }
    }

    /// Ends every connection to the server but the one that says so. SQLite has none.
    pub fn end_connections(&self) {
        match self.product {
            Product::Sqlite => {}
            Product::Postgres => {
                self.sql(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                          WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
                );
            }
            Product::MySql => {
                let ids = self.sql("SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user = 'root'");
                for id in ids.split(';').filter(|id| !id.is_empty()) {
                    // One may have ended by itself.
                    drop(self.try_sql(&format!("KILL {id}")));
                }
            }
        }
    }

    /// SQL with the types of this database for those in braces.
    pub fn dialect(&self, text: &str) -> String {
        let types: [(&str, [&str; 3]); 9] = [
            (
                "{key}",
                [
                    "varchar(250) character set utf8mb4 collate utf8mb4_nopad_bin",
                    "varchar(250)",
                    "varchar(250)",
                ],
            ),
            ("{binkey}", ["varbinary(250)", "bytea", "blob"]),
            ("{blob}", ["longblob", "bytea", "blob"]),
            ("{bytes}", ["varbinary(13500)", "bytea", "varbinary(13500)"]),
            ("{u64}", ["bigint unsigned", "numeric(20,0)", "bigint"]),
            ("{u32}", ["int unsigned", "bigint", "int unsigned"]),
            (
                "{serial}",
                ["bigint auto_increment primary key", "bigserial primary key", "integer primary key"],
            ),
            ("{stamp}", ["timestamp null", "timestamptz(0)", "timestamp"]),
            (
                "{folded}",
                [
                    "varchar(50) character set utf8mb4 collate utf8mb4_general_ci",
                    "varchar(50)",
                    "varchar(50) collate nocase",
                ],
            ),
        ];
        let at = match self.product {
            Product::MySql => 0,
            Product::Postgres => 1,
            Product::Sqlite => 2,
        };
        types.iter().fold(text.to_owned(), |text, (word, names)| text.replace(word, names[at]))
    }

    /// A name no other table has.
    pub fn fresh_name(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Opens a container on a cluster of its own.
    pub fn open(
        &self,
        services: Services,
        container: Container,
        prefix: &str,
    ) -> Result<SqlEngine, OpenError> {
        let cluster = Cluster::start(services, &self.model, 1)?;
        self.open_on(&cluster, container, prefix)
    }

    /// Opens a container on a cluster that may have others.
    pub fn open_on(
        &self,
        cluster: &Arc<Cluster>,
        container: Container,
        prefix: &str,
    ) -> Result<SqlEngine, OpenError> {
        cluster.open(ContainerSettings {
            container,
            prefix: prefix.as_bytes().to_vec(),
            flush_from_db: true,
            item_size_max: 1 << 20,
        })
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// See [`Database::locker`].
pub struct Locker<'d> {
    database: &'d Database,
    connection: Option<Connection>,
}

impl Drop for Locker<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        self.database.runtime.block_on(async move {
            connection.command("ROLLBACK").await.expect("the transaction can be undone");
        });
    }
}

/// A container of a table, by the words of a configuration.
pub fn container(table: &str, words: &str) -> Container {
    let text = format!("[[container]]\nname = \"{table}\"\ntable = \"{table}\"\n{words}\n");
    let model = larder_sql::model::Model::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(model.check(), [], "{text}");
    model.containers[0].clone()
}
