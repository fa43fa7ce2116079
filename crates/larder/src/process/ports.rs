//! The file in which test programs look up the ports that the system chose.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;

use super::pid_file::write_whole;

/// The environment variable that names the file.
const NAME: &str = "MEMCACHED_PORT_FILENAME";

/// Writes the ports to the file that the environment names, if it does.
///
/// # Errors
/// Names the file.
pub fn write(tcp: &[SocketAddr], udp: &[SocketAddr]) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(NAME) else { return Ok(()) };
    write_whole(Path::new(&path), &lines(tcp, udp))
        .with_context(|| format!("{NAME}={}: cannot write this file", Path::new(&path).display()))
}

fn lines(tcp: &[SocketAddr], udp: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (transport, addresses) in [("TCP", tcp), ("UDP", udp)] {
        for address in addresses {
            let family = if address.is_ipv6() { "INET6" } else { "INET" };
            writeln!(text, "{transport} {family}: {}", address.port())
                .expect("writing to a string cannot fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_for_each_port() {
        let addresses =
            ["127.0.0.1:11211".parse().expect("an address"), "[::1]:7".parse().expect("an address")];
        assert_eq!(super::lines(&addresses, &[]), "TCP INET: 11211\nTCP INET6: 7\n");
        let both = super::lines(&addresses[..1], &addresses);
        assert_eq!(both, "TCP INET: 11211\nUDP INET: 11211\nUDP INET6: 7\n");
    }
}
