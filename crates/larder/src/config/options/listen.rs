//! `-l`, `-p`, `-U` and `-s` together say where to listen.

use super::super::address::{parse_listener, parse_unix_path};
use super::super::draft::{Draft, Placed};
use super::super::plan::{Host, Listener, Program, TcpAddress};
use super::super::report::Objection;
use super::super::{PORT_DEFAULT, limits};
use super::{Options, Reader, number};

/// What `-p` or `-U` asks for.
#[derive(Clone, Copy)]
enum Port {
    /// `-p 0`, `-U 0`.
    Off,
    /// A port; 0 is any free one, which the command line spells -1.
    On(u16),
}

impl Reader<'_> {
    /// Any of the options replaces the file's `listen`.
    pub(super) fn listeners(&mut self, options: &Options, program: Program, draft: &mut Draft) {
        let port = self.value("--port", &options.port, parse_port);
        let udp = self.value("--udp-port", &options.udp_port, parse_port);
        let port_was_refused = options.port.is_some() && port.is_none();
        let default_port = match (&port, &udp) {
            (Some(Placed { value: Port::On(port), .. }), _) => *port,
            // memcached's rule: a UDP port alone is the TCP port too.
            (None, Some(Placed { value: Port::On(port), .. })) if !port_was_refused => *port,
            _ => PORT_DEFAULT,
        };
        let addresses = self.addresses(&options.listen, default_port, draft);
        let socket = self.value("--unix-socket", &options.unix_socket, parse_unix_path);
        if options.unix_socket.is_some() {
            self.only_a_socket(options, socket, draft);
            return;
        }
        draft.udp = udp.as_ref().map(|&Placed { value, place }| match value {
            Port::Off => Vec::new(),
            Port::On(port) => {
                let addresses = udp_hosts(&addresses, program).into_iter();
                addresses.map(|host| Placed { value: TcpAddress { host, port }, place }).collect()
            }
        });
        if let Some(Placed { value: Port::Off, place }) = port {
            let sockets: Vec<_> =
                addresses.into_iter().filter(|address| matches!(address.value, Listener::Unix(_))).collect();
            if sockets.is_empty() && draft.udp.as_ref().is_none_or(Vec::is_empty) {
                let advice = "write a port, or name a unix socket with --unix-socket PATH";
                self.report.push(place, "port 0 turns TCP off and leaves nothing to listen on", advice);
            }
            draft.listen = Some(sockets);
        } else if !options.listen.is_empty() || port_was_refused {
            draft.listen = Some(addresses);
        } else if let Some(place) = port
            .map(|port| port.place)
            .or(udp.filter(|udp| matches!(udp.value, Port::On(_))).map(|udp| udp.place))
        {
            let address = TcpAddress { host: program.default_host(), port: default_port };
            draft.listen = Some(vec![Placed { value: Listener::Tcp(address), place }]);
        }
    }

    fn only_a_socket(
        &mut self,
        options: &Options,
        socket: Option<Placed<std::path::PathBuf>>,
        draft: &mut Draft,
    ) {
        if !options.listen.is_empty() || options.port.is_some() || options.udp_port.is_some() {
            let note = "--unix-socket turns TCP and UDP off, as in memcached: --port, --udp-port and --listen \
                        have no effect; --listen unix:PATH listens on both";
            draft.notes.push(note.to_owned());
        }
        let socket =
            socket.into_iter().map(|path| Placed { value: Listener::Unix(path.value), place: path.place });
        draft.listen = Some(socket.collect());
        draft.udp = Some(Vec::new());
    }

    fn addresses(&mut self, given: &[String], port: u16, draft: &mut Draft) -> Vec<Placed<Listener>> {
        let mut listeners = Vec::new();
        for list in given {
            let whole = self.report.add_option("--listen", list);
            let mut start = 0;
            for address in list.split(',') {
                let place = whole.part(start..start + address.len());
                start += address.len() + 1;
                let untagged = strip_tag(address);
                if untagged.is_some() {
                    draft.service.without_effect.push("-l tag[]".to_owned());
                }
                let parsed = parse_listener(untagged.unwrap_or(address), port);
                listeners.extend(self.report.take(place, parsed).map(|value| Placed { value, place }));
            }
        }
        listeners
    }
}

/// What follows `tag[NAME]:`, a name of the address that only memcached's proxy asks for.
fn strip_tag(address: &str) -> Option<&str> {
    let (_name, rest) = address.strip_prefix("tag[")?.split_once("]:")?;
    Some(rest)
}

/// UDP listens on the hosts that TCP listens on.
fn udp_hosts(addresses: &[Placed<Listener>], program: Program) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    for address in addresses {
        if let Some(address) = address.value.tcp()
            && !hosts.contains(&address.host)
        {
            hosts.push(address.host.clone());
        }
    }
    if hosts.is_empty() { vec![program.default_host()] } else { hosts }
}

impl Program {
    /// The host that is listened on when none is named.
    pub fn default_host(self) -> Host {
        match self {
            Program::Larder => Host::Address(std::net::Ipv4Addr::LOCALHOST.into()),
            Program::Memcached => Host::All,
        }
    }
}

fn parse_port(text: &str) -> Result<Port, Objection> {
    match limits::count("a port", number(text)?, -1, u16::MAX.into())? {
        -1 => Ok(Port::On(0)),
        0 => Ok(Port::Off),
        port => Ok(Port::On(u16::try_from(port).expect("the range was checked"))),
    }
}
