//! The options of the command line that set up the server: memcached's, and larder's own.
//!
//! clap only splits the line; the values are judged here, with the same limits and messages as in the file.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the text of --help, where [v6]:port is an address"
)]

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::address::{parse_listener, parse_tcp, parse_unix_path};
use super::draft::{Draft, Placed, PlacedPrefix};
use super::engines::check_ram_bytes;
use super::plan::{Host, Listener, Program, TcpAddress};
use super::report::{Objection, Report, objection};
use super::text::Text;
use super::units::{SIZE_BYTES_MAX, parse_size};
use super::{METRICS_PORT_DEFAULT, PORT_DEFAULT, limits, stack};

/// The options as given. Repeating one counts the last, except `--listen` and `-v`, which add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Options {
    /// Stack that keeps all items, for example "ram(64MiB) > sqlite"
    #[arg(long, value_name = "EXPR", help_heading = "Storage")]
    pub store: Option<String>,

    /// Folder of everything durable [default: larder-data]
    #[arg(long, value_name = "DIR", help_heading = "Storage")]
    pub data: Option<String>,

    /// RAM shared by every bare `ram`, in MiB [default: 256; as memcached 64]
    #[arg(short = 'm', long, value_name = "MIB", help_heading = "Storage", allow_negative_numbers = true)]
    pub memory_limit: Option<String>,

    /// Largest item, as in 512k or 8m [default: 1m]
    #[arg(short = 'I', long, value_name = "SIZE", help_heading = "Storage", allow_negative_numbers = true)]
    pub max_item_size: Option<String>,

    /// TCP port; 0: no TCP, -1: any free port [default: 11211]
    #[arg(short = 'p', long, value_name = "PORT", help_heading = "Clients", allow_negative_numbers = true)]
    pub port: Option<String>,

    /// Address: host, host:port, [v6]:port, * or unix:PATH; may be repeated, commas separate
    /// [default: 127.0.0.1; as memcached all addresses]
    #[arg(short = 'l', long, value_name = "ADDR", help_heading = "Clients")]
    pub listen: Vec<String>,

    /// Unix socket; no TCP then
    #[arg(short = 's', long, value_name = "PATH", help_heading = "Clients")]
    pub unix_socket: Option<String>,

    /// Permissions of the unix socket, octal [default: 700]
    #[arg(short = 'a', long, value_name = "MASK", help_heading = "Clients", allow_negative_numbers = true)]
    pub unix_mask: Option<String>,

    /// Connections at a time [default: 1024]
    #[arg(short = 'c', long, value_name = "N", help_heading = "Clients", allow_negative_numbers = true)]
    pub conn_limit: Option<String>,

    /// Requests of one connection before others get their turn [default: 20]
    #[arg(short = 'R', long, value_name = "N", help_heading = "Clients", allow_negative_numbers = true)]
    pub max_reqs_per_event: Option<String>,

    /// Obey a client's `shutdown` command
    #[arg(short = 'A', long, help_heading = "Clients")]
    pub enable_shutdown: bool,

    /// Configuration file; the options given here override it
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub config: Option<PathBuf>,

    /// Worker threads [default: one for each core; as memcached 4]
    #[arg(short = 't', long, value_name = "N", help_heading = "Running", allow_negative_numbers = true)]
    pub threads: Option<String>,

    /// Serve Prometheus metrics and /ready at this address [default: off; port 9150]
    #[arg(long, value_name = "ADDR", help_heading = "Running")]
    pub metrics: Option<String>,

    /// Say more: -v what changes, -vv also each connection, -vvv everything
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = "Running")]
    pub verbose: u8,
}

/// What `-p` asks for.
enum Port {
    /// `-p 0`.
    NoTcp,
    /// A port; 0 is any free one, which the command line spells -1.
    Tcp(u16),
}

/// Reads the options; every mistake goes to the report.
pub fn read(options: &Options, program: Program, report: &mut Report) -> Draft {
    let mut reader = Reader { report };
    let mut draft = Draft::default();
    reader.listeners(options, program, &mut draft);
    draft.unix_mask = reader.value("--unix-mask", &options.unix_mask, limits::unix_mask);
    draft.data = reader.value("--data", &options.data, limits::data);
    draft.memory_bytes = reader.value("--memory-limit", &options.memory_limit, memory_megabytes);
    draft.threads =
        reader.value("--threads", &options.threads, |text| number(text).and_then(limits::threads));
    draft.connections_max =
        reader.value("--conn-limit", &options.conn_limit, |text| number(text).and_then(limits::connections));
    draft.requests_per_turn_max = reader.value("--max-reqs-per-event", &options.max_reqs_per_event, |text| {
        number(text).and_then(limits::requests_per_turn)
    });
    draft.item_size_bytes_max = reader.value("--max-item-size", &options.max_item_size, |text| {
        parse_size(text).and_then(limits::item_size)
    });
    draft.metrics = reader.value("--metrics", &options.metrics, |text| parse_tcp(text, METRICS_PORT_DEFAULT));
    draft.verbosity = (options.verbose > 0).then_some(options.verbose.min(limits::VERBOSITY_MAX));
    draft.allow_shutdown = options.enable_shutdown.then_some(true);
    if let Some(expression) = &options.store {
        let place = reader.report.add_option("--store", expression);
        let key = Placed { value: String::new(), place };
        let stack = stack::read(&Text::plain(expression, place), reader.report);
        draft.prefixes.push(PlacedPrefix { place, key: Some(key), stack });
    }
    draft
}

struct Reader<'a> {
    report: &'a mut Report,
}

impl Reader<'_> {
    fn value<T>(
        &mut self,
        option: &str,
        given: &Option<String>,
        parse: impl Fn(&str) -> Result<T, Objection>,
    ) -> Option<Placed<T>> {
        let text = given.as_deref()?;
        let place = self.report.add_option(option, text);
        self.report.take(place, parse(text)).map(|value| Placed { value, place })
    }

    /// `-l`, `-p` and `-s` together say where to listen; any of them replaces the file's `listen`.
    fn listeners(&mut self, options: &Options, program: Program, draft: &mut Draft) {
        let port = self.value("--port", &options.port, parse_port);
        let port_was_refused = options.port.is_some() && port.is_none();
        let default_port = match &port {
            Some(Placed { value: Port::Tcp(port), .. }) => *port,
            _ => PORT_DEFAULT,
        };
        let addresses = self.addresses(&options.listen, default_port);
        let socket = self.value("--unix-socket", &options.unix_socket, parse_unix_path);
        if options.unix_socket.is_some() {
            if !options.listen.is_empty() || options.port.is_some() {
                let note = "--unix-socket turns TCP off, as in memcached: --port and --listen have no effect; \
                            --listen unix:PATH listens on both";
                draft.notes.push(note.to_owned());
            }
            draft.listen = Some(
                socket
                    .into_iter()
                    .map(|path| Placed { value: Listener::Unix(path.value), place: path.place })
                    .collect(),
            );
            return;
        }
        if let Some(Placed { value: Port::NoTcp, place }) = port {
            let sockets: Vec<_> =
                addresses.into_iter().filter(|address| matches!(address.value, Listener::Unix(_))).collect();
            if sockets.is_empty() {
                let advice = "write a port, or name a unix socket with --unix-socket PATH";
                self.report.push(place, "port 0 turns TCP off and leaves nothing to listen on", advice);
            }
            draft.listen = Some(sockets);
        } else if !options.listen.is_empty() || port_was_refused {
            draft.listen = Some(addresses);
        } else if let Some(Placed { place, .. }) = port {
            let address = TcpAddress { host: program.default_host(), port: default_port };
            draft.listen = Some(vec![Placed { value: Listener::Tcp(address), place }]);
        }
    }

    fn addresses(&mut self, given: &[String], port: u16) -> Vec<Placed<Listener>> {
        let mut listeners = Vec::new();
        for list in given {
            let whole = self.report.add_option("--listen", list);
            let mut start = 0;
            for address in list.split(',') {
                let place = whole.part(start..start + address.len());
                start += address.len() + 1;
                let parsed = parse_listener(address, port);
                listeners.extend(self.report.take(place, parsed).map(|value| Placed { value, place }));
            }
        }
        listeners
    }
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

fn number(text: &str) -> Result<i128, Objection> {
    text.parse().map_err(|_| objection(format!("`{text}` is no whole number"), "write digits only"))
}

fn parse_port(text: &str) -> Result<Port, Objection> {
    match limits::count("a port", number(text)?, -1, u16::MAX.into())? {
        -1 => Ok(Port::Tcp(0)),
        0 => Ok(Port::NoTcp),
        port => Ok(Port::Tcp(u16::try_from(port).expect("the range was checked"))),
    }
}

/// memcached's `-m`: a number of MiB.
fn memory_megabytes(text: &str) -> Result<u64, Objection> {
    let megabytes = text.parse::<i128>().map_err(|_| {
        objection(format!("`{text}` is no number of megabytes"), "write digits only, as in 64 for 64 MiB")
    })?;
    let most = SIZE_BYTES_MAX >> 20;
    let megabytes = limits::count("megabytes of RAM", megabytes, 1, most.into())?;
    let bytes = u64::try_from(megabytes).expect("the range was checked") << 20;
    check_ram_bytes(bytes).map(|()| bytes)
}
