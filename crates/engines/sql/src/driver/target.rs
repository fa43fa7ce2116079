//! Where a database is, and how it is spoken to.

use std::path::PathBuf;
use std::time::Duration;

use crate::dialect::Product;
use crate::model::Cluster;

/// Whether the way to the database is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Tls {
    /// It is not.
    #[default]
    Off,
    /// It is; whoever answers is believed.
    Encrypted,
    /// It is, and whoever answers must show a certificate for the host's name, signed by one of these authorities.
    Verified(PathBuf),
}

/// Where a database is. Its `Debug` shows no password.
#[derive(Clone)]
pub struct Target {
    /// The name of the cluster, for messages.
    pub name: String,
    /// What it speaks.
    pub product: Product,
    /// Hosts and ports, in the order of preference.
    pub addresses: Vec<(String, u16)>,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Option<String>,
    /// The database (schema), or the file of SQLite.
    pub database: String,
    /// Encryption.
    pub tls: Tls,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a statement.
    pub statement_timeout: Duration,
    /// Longest wait for a row lock.
    pub lock_wait: Duration,
    /// Statements each connection begins with.
    pub init_sql: Vec<String>,
}

/// Why a cluster's address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cluster `{name}`: {problem}")]
pub struct TargetError {
    /// The cluster.
    pub name: String,
    /// What is wrong and what to write.
    pub problem: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Target { name, product, addresses, user, database, tls, .. } = self;
        write!(f, "{name}: {product:?} {user}@{addresses:?}/{database} {tls:?}")
    }
}

impl Target {
    /// The target of a cluster; reads its password from where the cluster says.
    ///
    /// # Errors
    /// What is wrong with the address, or with the place of the password.
    pub fn of(cluster: &Cluster) -> Result<Target, TargetError> {
        let target = Target::without_password(cluster)?;
        let fail = |problem| TargetError { name: cluster.name.clone(), problem };
        Ok(Target { password: password(cluster).map_err(fail)?, ..target })
    }

    /// The target of a cluster as far as its address says it; reads nothing.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn without_password(cluster: &Cluster) -> Result<Target, TargetError> {
        let fail = |problem: String| TargetError { name: cluster.name.clone(), problem };
        let Some((scheme, rest)) = cluster.url.split_once("://") else {
            return Err(fail(format!("`{}` is no address: write mysql://user@host/schema", cluster.url)));
        };
        let product = match scheme {
            "mysql" | "mariadb" => Product::MySql,
            "postgres" | "postgresql" => Product::Postgres,
            "sqlite" => Product::Sqlite,
            other => {
                let known = "mysql, mariadb, postgres and sqlite";
                return Err(fail(format!("`{other}` is no database larder knows; there are {known}")));
            }
        };
        let mut target = Target {
            name: cluster.name.clone(),
            product,
            addresses: Vec::new(),
            user: String::new(),
            password: None,
            database: String::new(),
            tls: Tls::Off,
            connect_timeout: Duration::from_millis(cluster.connect_timeout_ms),
            statement_timeout: Duration::from_millis(cluster.statement_timeout_ms),
            lock_wait: Duration::from_millis(cluster.lock_wait_ms),
            init_sql: cluster.init_sql.clone(),
        };
        if product == Product::Sqlite {
            // Two slashes and a path: `sqlite:///var/app.db`, or `sqlite://app.db` beside the server.
            target.database = rest.into();
            return Ok(target);
        }
        target.read(rest).map_err(fail)?;
        Ok(target)
    }

    fn read(&mut self, rest: &str) -> Result<(), String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err("the address holds a password: move it to password_file or password_env".into());
        }
        self.user = user.into();
        self.database = database.into();
        let port_default = if self.product == Product::MySql { 3306 } else { 5432 };
        for host in hosts.split(',') {
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) => (
                    host,
                    port.parse().map_err(|_| format!("`{port}` is no port: write host:{port_default}"))?,
                ),
                None => (host, port_default),
            };
            if host.is_empty() {
                return Err("a host is missing: write user@host/schema".into());
            }
            self.addresses.push((host.trim_start_matches('[').trim_end_matches(']').into(), port));
        }
        let mut authorities = None;
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=') {
                Some(("tls", "off")) => self.tls = Tls::Off,
                Some(("tls", "encrypted")) => self.tls = Tls::Encrypted,
                Some(("tls", "verified")) => self.tls = Tls::Verified(PathBuf::new()),
                Some(("tls_ca", path)) => authorities = Some(PathBuf::from(path)),
                _ => {
                    return Err(format!(
                        "`{setting}` is unknown: write tls=off, tls=encrypted, or tls=verified with tls_ca=FILE"
                    ));
                }
            }
        }
        match (&mut self.tls, authorities) {
            (Tls::Verified(path), Some(authorities)) => *path = authorities,
            (Tls::Verified(_), None) => {
                return Err("tls=verified needs tls_ca=FILE, the authority's certificate".into());
            }
            (_, Some(_)) => return Err("tls_ca means something only with tls=verified".into()),
            (_, None) => {}
        }
        Ok(())
    }
}

fn password(cluster: &Cluster) -> Result<Option<String>, String> {
    match (&cluster.password_file, &cluster.password_env) {
        (Some(_), Some(_)) => Err("both password_file and password_env are given: keep one".into()),
        (Some(file), None) => match std::fs::read_to_string(file) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).into())),
            Err(error) => Err(format!("password_file {file}: {error}")),
        },
        (None, Some(name)) => match std::env::var(name) {
            Ok(password) => Ok(Some(password)),
            Err(_) => Err(format!("password_env: there is no environment variable {name}")),
        },
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        Target::of(&Cluster::new("main", url)).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_name_hosts_in_order() {
        let read = target("mariadb://app@db1:3307,db2/shop?tls=encrypted").expect("an address");
        assert_eq!(read.addresses, [("db1".into(), 3307), ("db2".into(), 3306)]);
        assert_eq!((read.user.as_str(), read.database.as_str(), &read.tls), ("app", "shop", &Tls::Encrypted));
        assert_eq!(
            target("postgres://x@[::1]:6000/d").expect("an address").addresses,
            [("::1".into(), 6000)]
        );
        assert_eq!(target("sqlite:///var/app.db").expect("a file").database, "/var/app.db");
        let verified = target("postgres://db/x?tls=verified&tls_ca=/ca.pem").expect("an address");
        assert_eq!(verified.tls, Tls::Verified("/ca.pem".into()));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (url, word) in [
            ("db1/shop", "mysql://"),
            ("oracle://db1/shop", "oracle"),
            ("mysql://app:secret@db1/shop", "password_file"),
            ("mysql://app@db1:x/shop", "`x`"),
            ("mysql://app@/shop", "host"),
            ("mysql://app@db1/shop?tsl=off", "tsl=off"),
            ("mysql://app@db1/shop?tls=verified", "tls_ca"),
        ] {
            let refusal = target(url).expect_err(url);
            assert!(refusal.contains(word) && refusal.contains("main"), "{refusal}");
        }
        let refusal = target("mysql://app:secret@db1/shop").expect_err("a password");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
