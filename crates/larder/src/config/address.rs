//! Addresses to listen on: `host`, `host:port`, `[v6]:port`, `*:port`, `unix:/path`.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::guard::split_encryption;
use super::plan::{Host, Listener, TcpAddress};
use super::report::{Objection, objection};

/// The kernel keeps a unix socket's path in 108 bytes, the last of them zero.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Host names are no longer than this.
const HOST_BYTES_MAX: usize = 253;

const ADVICE: &str = "write host, host:port, [v6]:port, *:port for all addresses, or unix:/path";

/// One address to listen on; `port` where the text names none.
pub fn parse_listener(text: &str, port: u16) -> Result<Listener, Objection> {
    if text.starts_with("proto[") {
        let problem = format!("`{text}`: one address cannot have a protocol of its own");
        return Err(objection(problem, "leave `proto[…]:` out; --protocol holds for all addresses"));
    }
    if let Some((encryption, address)) = split_encryption(text) {
        return Ok(Listener::Tls(parse_tcp(address, port)?, encryption));
    }
    match text.strip_prefix("unix:") {
        Some(path) => Ok(Listener::Unix(parse_unix_path(path)?)),
        None => Ok(Listener::Tcp(parse_tcp(text, port)?)),
    }
}

/// The path of a unix socket.
pub fn parse_unix_path(path: &str) -> Result<PathBuf, Objection> {
    if path.is_empty() {
        return Err(objection("the path of the unix socket is empty", "write it, as in /run/larder.sock"));
    }
    if path.contains('\0') {
        return Err(objection(
            "the path of the unix socket contains a zero byte",
            "write the path without it",
        ));
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(objection(
            format!("the path of the unix socket is {} bytes long", path.len()),
            format!("write one of at most {UNIX_PATH_BYTES_MAX} bytes, which is all the system takes"),
        ));
    }
    Ok(PathBuf::from(path))
}

/// A host and a port; `port` where the text names none.
pub fn parse_tcp(text: &str, port: u16) -> Result<TcpAddress, Objection> {
    if text.trim().is_empty() {
        return Err(objection("the address is empty", ADVICE));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok(TcpAddress { host: Host::Address(address.into()), port });
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest
            .split_once(']')
            .ok_or_else(|| objection(format!("`{text}`: the bracket is not closed"), "write [v6]:port"))?;
        let address = inside.parse::<Ipv6Addr>().map_err(|_| {
            objection(format!("`{inside}` is no IPv6 address"), "write one, as in [::1]:11211")
        })?;
        let port = match after {
            "" => port,
            _ => parse_port_after_colon(text, after.strip_prefix(':'))?,
        };
        return Ok(TcpAddress { host: Host::Address(address.into()), port });
    }
    if text.matches(':').count() > 1 {
        return Err(objection(format!("`{text}` is no address"), bracket_advice(text)));
    }
    match text.split_once(':') {
        None => Ok(TcpAddress { host: parse_host(text)?, port }),
        Some((host, after)) => {
            Ok(TcpAddress { host: parse_host(host)?, port: parse_port_after_colon(text, Some(after))? })
        }
    }
}

/// An IPv6 address with a port but no brackets is a common slip.
fn bracket_advice(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => {
            format!("write an IPv6 address in brackets, as in [{host}]:{port}")
        }
        _ => ADVICE.to_owned(),
    }
}

fn parse_port_after_colon(text: &str, port: Option<&str>) -> Result<u16, Objection> {
    let digits = port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let problem = match digits {
            Some(digits) => format!("`{text}`: {digits} is too large for a port"),
            None => format!("`{text}` has no port after its host"),
        };
        objection(problem, "write a number from 1 to 65535 after a colon, or 0 for any free port")
    })
}

fn parse_host(host: &str) -> Result<Host, Objection> {
    if host == "*" {
        return Ok(Host::All);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    if host.is_empty() {
        return Err(objection("the address has no host before its port", ADVICE));
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(objection(
            format!("`{host}` is no IPv4 address"),
            "write four numbers from 0 to 255, as in 127.0.0.1",
        ));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.len() > HOST_BYTES_MAX || !host.bytes().all(legal) {
        return Err(objection(format!("`{host}` is no host"), ADVICE));
    }
    Ok(Host::Name(host.to_owned()))
}

/// Why two listeners cannot be open together, if they cannot. Host names are compared as written.
pub fn clash(one: &Listener, other: &Listener) -> Option<&'static str> {
    if let (Listener::Unix(one), Listener::Unix(other)) = (one, other) {
        return (one == other).then_some("the same socket");
    }
    match (one.tcp(), other.tcp()) {
        (Some(one), Some(other)) if one.port == other.port && one.port != 0 => {
            if one.host == other.host {
                Some("the same address")
            } else if covers(&one.host, &other.host) || covers(&other.host, &one.host) {
                Some("an address that covers it")
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Whether listening on all of a family takes the port of one address too.
fn covers(wide: &Host, narrow: &Host) -> bool {
    match (wide, narrow) {
        (Host::All, _) => true,
        (Host::Address(wide), Host::Address(narrow)) => {
            wide.is_unspecified() && wide.is_ipv4() == narrow.is_ipv4()
        }
        _ => false,
    }
}
