//! Who may enter: authentication and TLS, from what the sources say to what holds.

use std::fmt;
use std::path::{Path, PathBuf};

use larder_server::tls::{KeyFormat, TlsVersion, parse_ciphers};
use larder_server::{Authentication, Choice, ClientCertificates, TlsOptions};

use super::draft::Placed;
use super::plan::{Host, Listener, Plan};
use super::report::{Objection, Place, Report, objection};

/// memcached's output buffer for TLS.
pub const WRITE_BUFFER_BYTES_DEFAULT: usize = 16 << 10;

/// Who may enter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// How clients say who they are.
    pub authentication: Authentication,
    /// What encrypted listeners need; there if one is encrypted.
    pub tls: Option<TlsOptions>,
}

/// Whether a TCP listener is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// It is not, whatever holds for the others (`notls:`).
    No,
    /// It is, and its clients are asked for what the server asks for (`tls:`).
    AsServer,
    /// It is, and this is asked of its clients (`btls:`, `mtls:`).
    Clients(ClientCertificates),
}

/// Words before an address.
const PREFIXES: [(&str, Encryption); 4] = [
    ("notls:", Encryption::No),
    ("btls:", Encryption::Clients(ClientCertificates::Unasked)),
    ("mtls:", Encryption::Clients(ClientCertificates::Required)),
    ("tls:", Encryption::AsServer),
];

/// The encryption that an address begins with, if it names one, and the address.
pub fn split_encryption(text: &str) -> Option<(Encryption, &str)> {
    PREFIXES.iter().find_map(|(word, encryption)| Some((*encryption, text.strip_prefix(word)?)))
}

impl Encryption {
    /// What is asked of clients, once it is settled.
    pub fn clients(self) -> Option<ClientCertificates> {
        match self {
            Encryption::Clients(clients) => Some(clients),
            Encryption::No | Encryption::AsServer => None,
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encryption::No => "notls:",
            Encryption::AsServer | Encryption::Clients(ClientCertificates::Asked) => "tls:",
            Encryption::Clients(ClientCertificates::Unasked) => "btls:",
            Encryption::Clients(ClientCertificates::Required) => "mtls:",
        })
    }
}

/// What one source says about it.
#[derive(Debug, Default)]
pub struct GuardDraft {
    /// The password file of text authentication.
    pub text: Option<Placed<PathBuf>>,
    /// Where SASL is asked for.
    pub sasl: Option<Place>,
    /// The password file of SASL.
    pub sasl_passwords: Option<Placed<PathBuf>>,
    /// Whether listeners are encrypted that do not say it themselves.
    pub tls: Option<Placed<bool>>,
    /// The certificate and those above it.
    pub certificate_chain: Option<Placed<PathBuf>>,
    /// The key.
    pub key: Option<Placed<PathBuf>>,
    /// How the key is written.
    pub key_format: Option<KeyFormat>,
    /// The authorities of clients.
    pub client_authorities: Option<Placed<PathBuf>>,
    /// What is asked of clients.
    pub clients: Option<Placed<ClientCertificates>>,
    /// The oldest version that is spoken.
    pub version_min: Option<TlsVersion>,
    /// The ciphers of TLS 1.2.
    pub ciphers: Option<String>,
    /// Whether sessions can be taken up.
    pub session_cache: Option<bool>,
    /// memcached's output buffer.
    pub write_buffer_bytes: Option<usize>,
}

impl GuardDraft {
    /// What these options and this file say together. Who authenticates how is not mixed from both.
    pub fn over(self, file: GuardDraft) -> GuardDraft {
        let is_chosen = self.text.is_some() || self.sasl.is_some();
        let (text, sasl) = if is_chosen { (self.text, self.sasl) } else { (file.text, file.sasl) };
        GuardDraft {
            text,
            sasl,
            sasl_passwords: self.sasl_passwords.or(file.sasl_passwords),
            tls: self.tls.or(file.tls),
            certificate_chain: self.certificate_chain.or(file.certificate_chain),
            key: self.key.or(file.key),
            key_format: self.key_format.or(file.key_format),
            client_authorities: self.client_authorities.or(file.client_authorities),
            clients: self.clients.or(file.clients),
            version_min: self.version_min.or(file.version_min),
            ciphers: self.ciphers.or(file.ciphers),
            session_cache: self.session_cache.or(file.session_cache),
            write_buffer_bytes: self.write_buffer_bytes.or(file.write_buffer_bytes),
        }
    }

    /// What is asked of clients by listeners that do not say it themselves. Without authorities no certificate is
    /// good, so where a client may come without one, none is asked for.
    fn server_clients(&self) -> ClientCertificates {
        match self.clients.as_ref().map(|clients| clients.value) {
            None => ClientCertificates::Unasked,
            Some(ClientCertificates::Asked) if self.client_authorities.is_none() => {
                ClientCertificates::Unasked
            }
            Some(clients) => clients,
        }
    }

    fn is_asked_in_vain(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.value != self.server_clients())
    }

    fn is_for_all(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.value)
    }

    /// The listener, with what holds for all filled in.
    pub fn settle_listener(&self, listener: Listener) -> Listener {
        let server = Encryption::Clients(self.server_clients());
        match listener {
            Listener::Tcp(address) if self.is_for_all() => Listener::Tls(address, server),
            Listener::Tls(address, Encryption::No) => Listener::Tcp(address),
            Listener::Tls(address, Encryption::AsServer) => Listener::Tls(address, server),
            other => other,
        }
    }

    /// What is said about strangers and keeps none out, given the listeners, settled.
    pub fn unused(&self, listeners: &[(Listener, Option<Place>)]) -> Vec<String> {
        let mut notes = Vec::new();
        let is_encrypted = listeners.iter().any(|(listener, _)| matches!(listener, Listener::Tls(..)));
        if !is_encrypted && self.is_for_all() {
            notes.push("TLS is asked for, but there is no TCP address that it holds for".to_owned());
        } else if !is_encrypted && self.certificate_chain.is_some() {
            notes.push(
                "a certificate is named, but no address is encrypted: ask for TLS with -Z or `tls = true`, or write \
                 `tls:` before an address"
                    .to_owned(),
            );
        }
        if is_encrypted && self.is_asked_in_vain() {
            notes.push(
                "clients are not asked for certificates, because nothing says which are good: name their authorities \
                 with -o ssl_ca_cert=FILE, or `tls_client_ca` in the file"
                    .to_owned(),
            );
        }
        if self.sasl_passwords.is_some() && self.sasl.is_none() {
            notes.push("a password file for SASL is named, but SASL is not asked for: add -S".to_owned());
        }
        notes
    }

    /// What holds, given the listeners, settled, each with its place if it was written anywhere.
    pub fn settle(
        self,
        listeners: &[(Listener, Option<Place>)],
        around: &Around,
        report: &mut Report,
    ) -> Guard {
        let authentication = self.authentication(around, report);
        let encrypted: Vec<_> = listeners
            .iter()
            .filter_map(|(listener, place)| match listener {
                Listener::Tls(_, encryption) => Some((encryption.clients()?, *place)),
                Listener::Tcp(_) | Listener::Unix(_) => None,
            })
            .collect();
        let Some((_, first)) = encrypted.first() else {
            return Guard { authentication, tls: None };
        };
        let place = self.tls.as_ref().map(|tls| tls.place).or(*first);
        let place = place.unwrap_or_else(|| report.add_option("--enable-ssl", ""));
        if encrypted.iter().any(|(clients, _)| *clients != ClientCertificates::Unasked)
            && self.client_authorities.is_none()
        {
            let place = self.clients.as_ref().map_or(place, |clients| clients.place);
            report.push(
                place,
                "clients are asked for certificates, but nothing says which are good",
                "name the certificates of their authorities with -o ssl_ca_cert=FILE, or `tls_client_ca` in the file",
            );
        }
        let clients = self.server_clients();
        let Some(certificate_chain) = self.certificate_chain else {
            report.push(
                place,
                "TLS has no certificate",
                "name it and its key with -o ssl_chain_cert=FILE,ssl_key=FILE, or `tls_certificate` and `tls_key` \
                 in the file",
            );
            return Guard { authentication, tls: None };
        };
        let tls = TlsOptions {
            certificate_chain: certificate_chain.value,
            key: self.key.map(|key| key.value),
            key_format: self.key_format.unwrap_or_default(),
            client_authorities: self.client_authorities.map(|authorities| authorities.value),
            client_certificates: clients,
            version_min: self.version_min.unwrap_or_default(),
            ciphers: self.ciphers,
            session_cache: self.session_cache.unwrap_or(false),
            write_buffer_bytes: self.write_buffer_bytes.unwrap_or(WRITE_BUFFER_BYTES_DEFAULT),
        };
        Guard { authentication, tls: Some(tls) }
    }

    fn authentication(&self, around: &Around, report: &mut Report) -> Authentication {
        let place = match (&self.text, self.sasl) {
            (None, None) => return Authentication::None,
            (Some(_), Some(sasl)) => {
                report.push(sasl, "clients cannot authenticate by text and by SASL", "keep one of the two");
                return Authentication::None;
            }
            (Some(text), None) => text.place,
            (None, Some(sasl)) => sasl,
        };
        if around.listens_on_udp {
            let advice = "leave out --udp-port and the file's `udp`, or let clients come without a password";
            report.push(place, "nobody can authenticate over UDP", advice);
        }
        match &self.text {
            Some(text) => {
                if around.protocol == Choice::Binary {
                    let advice = "leave out --protocol binary, or use SASL (-S)";
                    report.push(place, "the binary protocol has no authentication by text", advice);
                }
                Authentication::Text(text.value.clone())
            }
            None => {
                if around.protocol == Choice::Text {
                    let advice = "leave out --protocol ascii, or use a password file for text (-Y)";
                    report.push(place, "the text protocol has no SASL", advice);
                }
                match &self.sasl_passwords {
                    Some(file) => Authentication::Sasl(file.value.clone()),
                    None => {
                        let advice = "name it with MEMCACHED_SASL_PWDB in the environment, with -o sasl_pwdb=FILE, \
                                      or `sasl_passwords` in the file";
                        report.push(place, "SASL has no password file", advice);
                        Authentication::None
                    }
                }
            }
        }
    }
}

/// What the guard must fit.
pub struct Around {
    /// Which protocol clients may speak.
    pub protocol: Choice,
    /// Whether there are datagrams.
    pub listens_on_udp: bool,
}

impl Plan {
    /// The addresses that other machines reach and where nobody is asked who they are.
    pub fn open_addresses(&self) -> Vec<String> {
        if self.guard.authentication != Authentication::None {
            return Vec::new();
        }
        let streams = self.listeners.iter().filter_map(|listener| match listener {
            Listener::Tls(_, Encryption::Clients(ClientCertificates::Required)) | Listener::Unix(_) => None,
            Listener::Tcp(address) | Listener::Tls(address, _) => Some(address),
        });
        let all = streams.chain(&self.udp).filter(|address| !is_loopback(&address.host));
        let mut open: Vec<_> = all.map(ToString::to_string).collect();
        open.dedup();
        open
    }
}

/// Whether no other machine reaches it.
pub fn is_loopback(host: &Host) -> bool {
    match host {
        Host::All => false,
        Host::Address(address) => address.is_loopback(),
        Host::Name(name) => name == "localhost",
    }
}

/// How clients authenticate, in words.
pub fn describe_authentication(guard: &Guard) -> Option<String> {
    match &guard.authentication {
        Authentication::None => None,
        Authentication::Text(path) => Some(format!("by text, passwords in {}", path.display())),
        Authentication::Sasl(path) => {
            Some(format!("by SASL, binary protocol only, passwords in {}", path.display()))
        }
    }
}

/// How TLS is set up, in words.
pub fn describe_tls(guard: &Guard) -> Option<String> {
    let tls = guard.tls.as_ref()?;
    let key = tls.key.as_ref().unwrap_or(&tls.certificate_chain);
    let mut text = format!("certificate in {}, key in {}", tls.certificate_chain.display(), key.display());
    if let Some(authorities) = &tls.client_authorities {
        text.push_str(&format!(", clients' authorities in {}", authorities.display()));
    }
    match tls.version_min {
        TlsVersion::Tls12 => {}
        TlsVersion::Tls13 => text.push_str(", version 1.3 only"),
    }
    if let Some(ciphers) = &tls.ciphers {
        text.push_str(&format!(", ciphers {ciphers}"));
    }
    if tls.session_cache {
        text.push_str(", with a session cache");
    }
    Some(text)
}

/// The path of a file that is needed.
pub fn parse_path(text: &str) -> Result<PathBuf, Objection> {
    if text.is_empty() || text.contains('\0') {
        return Err(objection("this is no name of a file", "write one, as in /etc/larder/users"));
    }
    Ok(Path::new(text).to_owned())
}

/// memcached's `ssl_verify_mode`, whose 3 differs from 2 only where sessions are renegotiated, which TLS has given up.
pub fn parse_verify_mode(text: &str) -> Result<ClientCertificates, Objection> {
    match text {
        "0" => Ok(ClientCertificates::Unasked),
        "1" => Ok(ClientCertificates::Asked),
        "2" | "3" => Ok(ClientCertificates::Required),
        other => Err(objection(
            format!("`{other}` is no way to verify clients"),
            "write 0 (none), 1 (request), 2 (require) or 3 (once)",
        )),
    }
}

/// The same in words.
pub fn parse_clients(text: &str) -> Result<ClientCertificates, Objection> {
    match text {
        "unasked" => Ok(ClientCertificates::Unasked),
        "asked" => Ok(ClientCertificates::Asked),
        "required" => Ok(ClientCertificates::Required),
        other => Err(objection(
            format!("`{other}` is nothing to ask of clients"),
            "write unasked, asked or required",
        )),
    }
}

/// memcached's `ssl_min_version`. Versions below 1.2 are broken and not spoken: they are taken for 1.2.
pub fn parse_min_version(text: &str) -> Result<TlsVersion, Objection> {
    match text {
        "0" | "1" | "2" => Ok(TlsVersion::Tls12),
        "3" => Ok(TlsVersion::Tls13),
        other => {
            Err(objection(format!("`{other}` is no version of TLS"), "write 2 for TLS 1.2 or 3 for TLS 1.3"))
        }
    }
}

/// The same as versions are called.
pub fn parse_version(text: &str) -> Result<TlsVersion, Objection> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        other => Err(objection(format!("`{other}` is no version of TLS"), "write 1.2 or 1.3")),
    }
}

/// How a key is written.
pub fn parse_key_format(text: &str) -> Result<KeyFormat, Objection> {
    match text {
        "PEM" => Ok(KeyFormat::Pem),
        "DER" => Ok(KeyFormat::Der),
        other => Err(objection(format!("`{other}` is no format of a key"), "write PEM or DER")),
    }
}

/// A list of ciphers in OpenSSL's words.
pub fn parse_cipher_list(text: &str) -> Result<String, Objection> {
    parse_ciphers(text).map_err(|problem| objection(problem, "write names, separated by colons"))?;
    Ok(text.to_owned())
}
