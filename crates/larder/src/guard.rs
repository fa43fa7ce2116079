//! From the plan to what the chassis needs for keeping strangers out.

use std::path::{Path, PathBuf, absolute};

use anyhow::Context as _;
use larder_server::{Authentication, TlsOptions};

use crate::config::{Guard, Plan};

/// How clients say who they are.
pub fn authentication(guard: &Guard) -> anyhow::Result<Authentication> {
    Ok(match &guard.authentication {
        Authentication::None => Authentication::None,
        Authentication::Text(path) => Authentication::Text(whole(path)?),
        Authentication::Sasl(path) => Authentication::Sasl(whole(path)?),
    })
}

/// What encrypted listeners need.
pub fn tls(guard: &Guard) -> anyhow::Result<Option<TlsOptions>> {
    let Some(tls) = &guard.tls else { return Ok(None) };
    Ok(Some(TlsOptions {
        certificate_chain: whole(&tls.certificate_chain)?,
        key: tls.key.as_deref().map(whole).transpose()?,
        client_authorities: tls.client_authorities.as_deref().map(whole).transpose()?,
        ..tls.clone()
    }))
}

/// A path that names the same file wherever the process goes: it is read again on a reload.
fn whole(path: &Path) -> anyhow::Result<PathBuf> {
    absolute(path).with_context(|| format!("{}: cannot be made an absolute path", path.display()))
}

/// Says once where strangers can come in, and what to do about it.
pub fn warn_of_strangers(plan: &Plan) {
    let open = plan.open_addresses();
    if !open.is_empty() {
        tracing::warn!(
            "other machines can reach {} and nobody is asked who they are: ask for passwords (-Y FILE, or -S), for \
             certificates (-Z -o ssl_verify_mode=2), listen on 127.0.0.1 only, or let a firewall keep strangers out",
            open.join(", ")
        );
    }
}
