//! TLS: certificate, key and client authorities from their files to what a handshake needs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::users::read_secret;

/// Whether clients of a listener show a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    Unasked,
    /// They may; a bad one is refused.
    Asked,
    /// Without a good one they do not enter.
    Required,
}

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyFormat {
    /// As PEM text.
    #[default]
    Pem,
    /// As DER bytes.
    Der,
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Where TLS finds what it needs, and how it is spoken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsOptions {
    /// The certificate and those between it and its authority, as PEM.
    pub certificate_chain: PathBuf,
    /// The certificate's key; `None`: it stands in the same file.
    pub key: Option<PathBuf>,
    /// How the key is written.
    pub key_format: KeyFormat,
    /// The authorities whose clients are known, as PEM. Needed where clients are asked for certificates.
    pub client_authorities: Option<PathBuf>,
    /// What listeners ask of clients that do not say it themselves; for `stats settings`.
    pub client_certificates: ClientCertificates,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
    /// OpenSSL names of the TLS 1.2 ciphers that may be used, separated by colons; `None`: all that are safe.
    pub ciphers: Option<String>,
    /// Whether clients may take up earlier sessions.
    pub session_cache: bool,
    /// memcached's output buffer, in bytes; shown in `stats settings` and nothing else.
    pub write_buffer_bytes: usize,
}

/// OpenSSL's names of the ciphers of TLS 1.2, and the standard's.
const CIPHERS: [(&str, rustls::CipherSuite); 6] = {
    use rustls::CipherSuite as Suite;
    [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-RSA-AES256-GCM-SHA384", Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-RSA-AES128-GCM-SHA256", Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-RSA-CHACHA20-POLY1305", Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ]
};

/// The ciphers that a list in OpenSSL's words names; an unknown one is an error that names it.
pub fn parse_ciphers(list: &str) -> Result<Vec<rustls::CipherSuite>, String> {
    let mut suites = Vec::new();
    for name in list.split(':') {
        let Some((_, suite)) = CIPHERS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = CIPHERS.iter().map(|(known, _)| *known).collect();
            return Err(format!("`{name}` is no cipher that larder has: {}", known.join(", ")));
        };
        suites.push(*suite);
    }
    Ok(suites)
}

/// What handshakes use, one configuration for each thing a listener may ask of its clients.
#[derive(Clone)]
pub(crate) struct Tls {
    unasked: Arc<ServerConfig>,
    /// There only if the authorities of clients are known.
    asked: Option<[Arc<ServerConfig>; 2]>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files. The error names the file and says what to do.
    pub(crate) fn read(options: &TlsOptions) -> Result<Tls, String> {
        let chain = read_certificates(&options.certificate_chain)?;
        let key = read_key(options)?;
        let builder = Builder { options, provider: Arc::new(provider(options)?), chain, key };
        let unasked = builder.build(None)?;
        let asked = match &options.client_authorities {
            None => None,
            Some(path) => {
                let authorities = Arc::new(read_authorities(path)?);
                let verifier = |is_required: bool| {
                    let builder = WebPkiClientVerifier::builder_with_provider(
                        authorities.clone(),
                        builder.provider.clone(),
                    );
                    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
                    builder.build().map_err(|error| format!("{}: {error}", path.display()))
                };
                Some([builder.build(Some(verifier(false)?))?, builder.build(Some(verifier(true)?))?])
            }
        };
        Ok(Tls { unasked, asked })
    }

    /// The configuration for a listener; `None` if nothing is known by which to judge a client's certificate.
    pub(crate) fn config(&self, clients: ClientCertificates) -> Option<Arc<ServerConfig>> {
        match (clients, &self.asked) {
            (ClientCertificates::Unasked, _) => Some(self.unasked.clone()),
            (ClientCertificates::Asked, Some([asked, _])) => Some(asked.clone()),
            (ClientCertificates::Required, Some([_, required])) => Some(required.clone()),
            (_, None) => None,
        }
    }
}

struct Builder<'a> {
    options: &'a TlsOptions,
    provider: Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Builder<'_> {
    fn build(
        &self,
        verifier: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, String> {
        let versions: &[&SupportedProtocolVersion] = match self.options.version_min {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(self.chain.clone(), self.key.clone_key()).map_err(|error| {
                let chain = self.options.certificate_chain.display();
                let key = key_path(self.options).display();
                format!(
                    "{chain} and {key}: certificate and key do not fit or are of an unknown kind: {error}"
                )
            })?;
        if !self.options.session_cache {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

/// The one provider of cryptography, with the ciphers that were asked for.
fn provider(options: &TlsOptions) -> Result<CryptoProvider, String> {
    let mut provider = provider::default_provider();
    if let Some(list) = &options.ciphers {
        let wanted = parse_ciphers(list)?;
        // As in memcached, the list says nothing about TLS 1.3.
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
    }
    Ok(provider)
}

fn key_path(options: &TlsOptions) -> &Path {
    options.key.as_deref().unwrap_or(&options.certificate_chain)
}

fn unreadable(path: &Path, what: &str, error: &dyn fmt::Display) -> String {
    format!("{}: cannot read {what}: {error}; name a file that exists and may be read", path.display())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let content = read_secret(path).map_err(|error| unreadable(path, "this certificate", &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content.bytes()).collect();
    let certificates =
        certificates.map_err(|error| format!("{}: this is no PEM text: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!(
            "{}: no certificate stands in this file; write it as PEM, from `-----BEGIN CERTIFICATE-----`",
            path.display()
        ));
    }
    Ok(certificates)
}

fn read_key(options: &TlsOptions) -> Result<PrivateKeyDer<'static>, String> {
    let path = key_path(options);
    let content = read_secret(path).map_err(|error| unreadable(path, "this key", &error))?;
    // What is wrong inside a key is not quoted.
    let wrong =
        |advice: &str| format!("{}: no private key can be read from this file; {advice}", path.display());
    match options.key_format {
        KeyFormat::Pem => PrivateKeyDer::from_pem_slice(content.bytes())
            .map_err(|_| wrong("write it as PEM without a passphrase, from `-----BEGIN PRIVATE KEY-----`")),
        KeyFormat::Der => PrivateKeyDer::try_from(content.bytes())
            .map(|key| key.clone_key())
            .map_err(|_| wrong("write it as DER, in PKCS #8, PKCS #1 or SEC 1")),
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        authorities.add(certificate).map_err(|error| {
            format!("{}: a certificate in this file cannot be an authority: {error}", path.display())
        })?;
    }
    Ok(authorities)
}
