//! Mappings that are kept in tables, also in those of the predecessors, used as they are.

mod support;

use larder_sql::dialect::Product;
use larder_sql::driver::Target;
use larder_sql::model::{Cluster, ExpireOnRead, Flags, Model, Route, TimeInput, ValueFormat};
use larder_sql::stored::{LoadError, Stored, load};
use support::Database;

/// The layout of the NDB engine's last version, with what its own script puts in, as far as a server of ours meets it.
const NDB: &str = "
CREATE TABLE meta (application varchar(16), metadata_version varchar(6), PRIMARY KEY (application, metadata_version));
CREATE TABLE ndb_clusters (cluster_id int PRIMARY KEY, ndb_connectstring varchar(128), microsec_rtt int DEFAULT 250);
CREATE TABLE memcache_server_roles (role_name varchar(40) PRIMARY KEY, role_id int, max_tps int, update_timestamp {stamp});
CREATE TABLE cache_policies (policy_name varchar(40) PRIMARY KEY, get_policy varchar(20), set_policy varchar(20), delete_policy varchar(20), flush_from_db varchar(5));
CREATE TABLE containers (name varchar(50) PRIMARY KEY, db_schema varchar(250), db_table varchar(250), key_columns varchar(250), value_columns varchar(250), flags varchar(250), increment_column varchar(250), cas_column varchar(250), expire_time_column varchar(250), large_values_table varchar(250));
CREATE TABLE key_prefixes (server_role_id int, key_prefix varchar(250), cluster_id int, policy varchar(40), container varchar(50), PRIMARY KEY (server_role_id, key_prefix));
INSERT INTO meta VALUES ('ndbmemcache', '1.2');
INSERT INTO ndb_clusters VALUES (0, NULL, 250), (1, 'other:1186', 250);
INSERT INTO memcache_server_roles VALUES ('default_role', 0, 100000, '2026-01-02 03:04:05'), ('db-only', 1, 5000, '2026-01-02 03:04:05');
INSERT INTO cache_policies VALUES ('ndb-test', 'ndb_only', 'ndb_only', 'ndb_only', 'true'), ('memcache-only', 'cache_only', 'cache_only', 'cache_only', 'false');
INSERT INTO containers VALUES ('demo_table', 'ndbmemcache', 'demo_table', 'mkey', 'string_value', 'flags', 'math_value', 'cas_value', NULL, NULL), ('demo_tabs', 'ndbmemcache', 'demo_table_tabs', 'mkey', 'val1,val2,val3', '17', NULL, NULL, 'expire_time', NULL);
INSERT INTO key_prefixes VALUES (0, '', 0, 'ndb-test', 'demo_table'), (0, 'mc:', 0, 'memcache-only', NULL), (0, 't:', 0, 'ndb-test', 'demo_tabs'), (1, 'x:', 1, 'ndb-test', 'demo_tabs')";

const INNODB: &str = "
CREATE TABLE cache_policies (policy_name varchar(40) PRIMARY KEY, get_policy varchar(20), set_policy varchar(20), delete_policy varchar(20), flush_policy varchar(20));
CREATE TABLE containers (name varchar(50) PRIMARY KEY, db_schema varchar(250), db_table varchar(250), key_columns varchar(250), value_columns varchar(250), flags varchar(250), cas_column varchar(250), expire_time_column varchar(250), unique_idx_name_on_key varchar(250));
CREATE TABLE config_options (name varchar(50) PRIMARY KEY, value varchar(50));
INSERT INTO cache_policies VALUES ('cache_policy', 'innodb_only', 'innodb_only', 'innodb_only', 'innodb_only');
INSERT INTO containers VALUES ('aaa', 'test', 'demo_test', 'c1', 'c2', 'c3', 'c4', 'c5', 'PRIMARY'), ('cities', 'test', 'city', 'id', 'name|code;country', '0', 'unknown', '0', 'PRIMARY');
INSERT INTO config_options VALUES ('separator', '|'), ('table_map_delimiter', '.')";

fn make(database: &Database, script: &str) {
    for statement in script.split(';').filter(|statement| !statement.trim().is_empty()) {
        // The list of columns of one container has a semicolon in it.
        let statement = statement.replace("code~", "code;");
        database.sql(&database.dialect(statement.trim()));
    }
}

fn loaded(database: &Database) -> Result<Stored, LoadError> {
    let file = Model { clusters: vec![Cluster::new("main", &database.model.url)], ..Model::default() };
    load(&Target::of(&database.model).expect("the address is right"), "", &file)
}

fn ndb_tables_are_used_as_they_are(database: &Database) {
    make(database, NDB);
    let Stored { model, version, notes, changed } = loaded(database).expect("the tables can be read");
    assert_eq!(version, "1.2");
    assert_eq!(notes.len(), 1, "the second cluster has no address in the file: {notes:?}");
    assert!(notes[0].contains("cluster 1"), "{notes:?}");
    assert!(changed["default_role"].contains("2026-01-02 03:04:05"), "{changed:?}");
    assert_eq!(
        model.policy("ndb-test").map(|policy| (policy.get, policy.flush_from_db)),
        Some((Route::DbOnly, true))
    );
    let tabs = model.container("demo_tabs").expect("it is there");
    assert_eq!(tabs.value_columns.0, ["val1", "val2", "val3"]);
    assert_eq!((&tabs.flags, tabs.options.time_input), (&Flags::Constant(17), TimeInput::Ndb));
    let own: Vec<(&str, Option<&str>)> =
        model.own_prefixes().map(|prefix| (prefix.prefix.as_str(), prefix.container.as_deref())).collect();
    assert_eq!(own, [("", Some("demo_table")), ("mc:", None), ("t:", Some("demo_tabs"))]);
    let findings: Vec<String> = model.check().iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].contains("`x:`") && findings[0].contains("`1`"),
        "the cluster without address: {findings:?}"
    );
    // An older layout has no large values and no time of change.
    database.sql("UPDATE meta SET metadata_version = '1.0'");
    database.sql("ALTER TABLE containers DROP COLUMN large_values_table");
    database.sql("ALTER TABLE memcache_server_roles DROP COLUMN update_timestamp");
    let old = loaded(database).expect("an old layout can be read");
    assert_eq!(old.model.containers, model.containers);
    assert!(old.notes.iter().any(|note| note.contains("1.0") && note.contains("1.2")), "{:?}", old.notes);
    database.sql("UPDATE meta SET metadata_version = '1.0a'");
    let refusal = loaded(database).expect_err("a draft").to_string();
    assert!(refusal.contains("1.0a"), "{refusal}");
}

fn innodb_tables_are_used_as_they_are(database: &Database) {
    make(database, &INNODB.replace("code;", "code~"));
    let Stored { model, .. } = loaded(database).expect("the tables can be read");
    let prefixes: Vec<&str> = model.own_prefixes().map(|prefix| prefix.prefix.as_str()).collect();
    assert_eq!(prefixes, ["", "@@cities."]);
    let cities = model.container("cities").expect("it is there");
    assert_eq!(cities.value_columns.0, ["name", "code", "country"]);
    assert_eq!((cities.cas_column.as_str(), cities.expire_time_column.as_str()), ("", ""));
    assert_eq!((&cities.flags, cities.options.value_format), (&Flags::Constant(0), ValueFormat::Sep));
    assert_eq!(cities.options.expire_on_read, ExpireOnRead::Hide);
    assert_eq!(model.check(), []);
}

fn pass(product: Product) {
    if support::leaves_out(product) {
        return;
    }
    let database = Database::start(product);
    let refusal = loaded(&database).expect_err("there is no table").to_string();
    assert!(refusal.contains("meta"), "{refusal}");
    ndb_tables_are_used_as_they_are(&database);
    for table in
        ["meta", "ndb_clusters", "memcache_server_roles", "cache_policies", "containers", "key_prefixes"]
    {
        database.sql(&format!("DROP TABLE {table}"));
    }
    innodb_tables_are_used_as_they_are(&database);
}

#[test]
fn sqlite_keeps_a_mapping() {
    pass(Product::Sqlite);
}

#[test]
fn mariadb_keeps_a_mapping() {
    pass(Product::MySql);
}

#[test]
fn postgres_keeps_a_mapping() {
    pass(Product::Postgres);
}
