//! What statistics say about those who are kept out. Files are named; what stands in them is not.

use larder_engine::StatsSink;

use super::Lines;
use crate::command::Turn;
use crate::counters::Totals;
use crate::guard::Authentication;
use crate::tls::{ClientCertificates, KeyFormat, TlsOptions, TlsVersion};

/// The numbers of a server that speaks TLS.
pub(super) fn handshakes(turn: &Turn<'_>, totals: &Totals, lines: &mut Lines<'_>) {
    let guard = &turn.shared().guard;
    let Some(options) = guard.tls_options() else { return };
    if options.session_cache {
        lines.stat("ssl_new_sessions", &totals.ssl_new_sessions);
    }
    lines.stat("ssl_handshake_errors", &totals.ssl_handshake_errors);
    lines.stat("ssl_proto_errors", &totals.ssl_proto_errors);
    lines.stat("time_since_server_cert_refresh", &guard.certificates_age_seconds(turn.now));
}

/// How clients say who they are.
pub(super) fn authentication(authentication: &Authentication, lines: &mut Lines<'_>) {
    let is_sasl = matches!(authentication, Authentication::Sasl(_));
    lines.stat("auth_enabled_sasl", &if is_sasl { "yes" } else { "no" });
    match authentication {
        Authentication::Text(path) => lines.stat("auth_enabled_ascii", &path.display()),
        Authentication::None | Authentication::Sasl(_) => lines.stat("auth_enabled_ascii", &"no"),
    }
}

/// How TLS is set up.
pub(super) fn tls(options: Option<&TlsOptions>, lines: &mut Lines<'_>) {
    let Some(options) = options else {
        lines.stat("ssl_enabled", &"no");
        return;
    };
    let key = options.key.as_ref().unwrap_or(&options.certificate_chain);
    let clients = match options.client_certificates {
        ClientCertificates::Unasked => 0,
        ClientCertificates::Asked => 1,
        ClientCertificates::Required => 2,
    };
    // As OpenSSL numbers them.
    let key_format = match options.key_format {
        KeyFormat::Pem => 1,
        KeyFormat::Der => 2,
    };
    let version = match options.version_min {
        TlsVersion::Tls12 => "tlsv1.2",
        TlsVersion::Tls13 => "tlsv1.3",
    };
    lines.stat("ssl_enabled", &"yes");
    lines.stat("ssl_chain_cert", &options.certificate_chain.display());
    lines.stat("ssl_key", &key.display());
    lines.stat("ssl_verify_mode", &clients);
    lines.stat("ssl_keyformat", &key_format);
    lines.stat("ssl_ciphers", &options.ciphers.as_deref().unwrap_or("NULL"));
    match &options.client_authorities {
        Some(path) => lines.stat("ssl_ca_cert", &path.display()),
        None => lines.stat("ssl_ca_cert", &"NULL"),
    }
    lines.stat("ssl_wbuf_size", &options.write_buffer_bytes);
    lines.stat("ssl_session_cache", &if options.session_cache { "yes" } else { "no" });
    lines.stat("ssl_min_version", &version);
}
