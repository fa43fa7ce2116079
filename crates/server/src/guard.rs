//! Who may enter: users with passwords, and TLS. Read from files at the start and again on a reload, whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use larder_engine::Timestamp;
use parking_lot::RwLock;

use crate::tls::{Tls, TlsOptions};
use crate::users::{Format, Users};

/// How clients say who they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Authentication {
    /// They do not.
    #[default]
    None,
    /// In text: their first command is a `set` whose data is `user password`. The file has `user:password` lines.
    Text(PathBuf),
    /// By SASL PLAIN in the binary protocol. The file has `user:password` lines.
    Sasl(PathBuf),
}

/// Users and certificates, as they were read at a time. Made by [`Shared::read_guard_again`](crate::Shared::read_guard_again).
#[derive(Clone, Debug)]
pub struct Known {
    users: Option<Arc<Users>>,
    tls: Option<Tls>,
}

/// Judges clients before they are served. Threads: any.
pub(crate) struct Guard {
    authentication: Authentication,
    tls: Option<TlsOptions>,
    /// Changed whole; looked at once for each connection that comes.
    known: RwLock<Known>,
    certificates_read: AtomicU32,
}

impl Guard {
    /// Reads the files that the options name.
    pub(crate) fn new(authentication: Authentication, tls: Option<TlsOptions>) -> Result<Guard, String> {
        let known = Known { users: read_users(&authentication)?, tls: read_tls(tls.as_ref())? };
        Ok(Guard { authentication, tls, known: RwLock::new(known), certificates_read: AtomicU32::new(0) })
    }

    pub(crate) fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    pub(crate) fn tls_options(&self) -> Option<&TlsOptions> {
        self.tls.as_ref()
    }

    /// Whether nothing was read from files.
    pub(crate) fn is_idle(&self) -> bool {
        self.tls.is_none() && self.authentication == Authentication::None
    }

    pub(crate) fn users(&self) -> Option<Arc<Users>> {
        self.known.read().users.clone()
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        self.known.read().tls.clone()
    }

    /// Reads all files again and changes nothing yet.
    pub(crate) fn read_again(&self) -> Result<Known, String> {
        Ok(Known { users: read_users(&self.authentication)?, tls: read_tls(self.tls.as_ref())? })
    }

    /// Puts in force what was read; connections that are open stay.
    pub(crate) fn replace(&self, known: Known, now: Timestamp) {
        *self.known.write() = known;
        self.certificates_read.store(now.0, Ordering::Relaxed);
    }

    /// Reads the certificates again and puts them in force.
    pub(crate) fn refresh_certificates(&self, now: Timestamp) -> Result<(), String> {
        let tls = read_tls(self.tls.as_ref())?;
        self.known.write().tls = tls;
        self.certificates_read.store(now.0, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn note_start(&self, now: Timestamp) {
        self.certificates_read.store(now.0, Ordering::Relaxed);
    }

    /// Seconds since the certificates were read.
    pub(crate) fn certificates_age_seconds(&self, now: Timestamp) -> u32 {
        now.seconds_since(Timestamp(self.certificates_read.load(Ordering::Relaxed)))
    }
}

fn read_users(authentication: &Authentication) -> Result<Option<Arc<Users>>, String> {
    let users = match authentication {
        Authentication::None => return Ok(None),
        Authentication::Text(path) => Users::read(path, Format::Text)?,
        Authentication::Sasl(path) => Users::read(path, Format::Sasl)?,
    };
    Ok(Some(Arc::new(users)))
}

fn read_tls(options: Option<&TlsOptions>) -> Result<Option<Tls>, String> {
    options.map(Tls::read).transpose()
}
