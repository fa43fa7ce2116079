//! The options of the command line that set up the server: memcached's, and larder's own.
//!
//! clap only splits the line; the values are judged here, with the same limits and messages as in the file.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the text of --help, where [v6]:port is an address"
)]

mod engine;
pub mod extended;
mod guard;
mod listen;
mod single;

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::address::parse_tcp;
use super::draft::{Draft, Placed, PlacedPrefix};
use super::engines::check_ram_bytes;
use super::plan::Program;
use super::report::{Objection, Report, objection};
use super::text::Text;
use super::units::{SIZE_BYTES_MAX, parse_size};
use super::{METRICS_PORT_DEFAULT, limits, stack};

/// The options as given. Repeating one counts the last, except `--listen`, `--extended` and `-v`, which add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Options {
    /// Stack that keeps all items, for example "ram(64MiB) > sqlite"
    #[arg(long, value_name = "EXPR", help_heading = "Storage")]
    pub store: Option<String>,

    /// Engine from a shared library that keeps all items, as --store "module(FILE)" does; -e CONFIG configures it
    #[arg(short = 'E', long, value_name = "FILE", help_heading = "Storage")]
    pub engine: Option<String>,

    /// Configuration of -E, as in "key=value;key=value" [default: what -m, -M, -f, -n, -I and -L say]
    #[arg(short = 'e', long, alias = "memory-file", value_name = "CONFIG", help_heading = "Storage")]
    pub engine_config: Option<String>,

    /// Interface that -E was compiled for: auto, engine-pu, engine-pu-cb, beta1 or 2010-04 [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Storage")]
    pub engine_profile: Option<String>,

    /// Folder of everything durable [default: larder-data]
    #[arg(long, value_name = "DIR", help_heading = "Storage")]
    pub data: Option<String>,

    /// RAM shared by every bare `ram`, in MiB [default: 256; as memcached 64]
    #[arg(short = 'm', long, value_name = "MIB", help_heading = "Storage", allow_negative_numbers = true)]
    pub memory_limit: Option<String>,

    /// Largest item, as in 512k or 8m [default: 1m]
    #[arg(short = 'I', long, value_name = "SIZE", help_heading = "Storage", allow_negative_numbers = true)]
    pub max_item_size: Option<String>,

    /// Refuse to store when RAM is full, instead of evicting
    #[arg(short = 'M', long, help_heading = "Storage")]
    pub disable_evictions: bool,

    /// TCP port; 0: no TCP, -1: any free port [default: 11211]
    #[arg(short = 'p', long, value_name = "PORT", help_heading = "Clients", allow_negative_numbers = true)]
    pub port: Option<String>,

    /// UDP port; 0: no UDP, -1: any free port. Without --port also the TCP port [default: 0]
    #[arg(short = 'U', long, value_name = "PORT", help_heading = "Clients", allow_negative_numbers = true)]
    pub udp_port: Option<String>,

    /// Address: host, host:port, [v6]:port, * or unix:PATH; may be repeated, commas separate
    /// [default: 127.0.0.1; as memcached all addresses]
    #[arg(short = 'l', long, value_name = "ADDR", help_heading = "Clients")]
    pub listen: Vec<String>,

    /// Unix socket; no TCP and no UDP then
    #[arg(short = 's', long, value_name = "PATH", help_heading = "Clients")]
    pub unix_socket: Option<String>,

    /// Permissions of the unix socket, octal [default: 700]
    #[arg(short = 'a', long, value_name = "MASK", help_heading = "Clients", allow_negative_numbers = true)]
    pub unix_mask: Option<String>,

    /// Connections that may wait to be accepted [default: 1024]
    #[arg(short = 'b', long, value_name = "N", help_heading = "Clients", allow_negative_numbers = true)]
    pub listen_backlog: Option<String>,

    /// Connections at a time [default: 1024]
    #[arg(short = 'c', long, value_name = "N", help_heading = "Clients", allow_negative_numbers = true)]
    pub conn_limit: Option<String>,

    /// Requests of one connection before others get their turn [default: 20]
    #[arg(short = 'R', long, value_name = "N", help_heading = "Clients", allow_negative_numbers = true)]
    pub max_reqs_per_event: Option<String>,

    /// Protocol that clients must speak: ascii, binary, or auto: their first byte says [default: auto]
    #[arg(short = 'B', long, value_name = "NAME", help_heading = "Clients")]
    pub protocol: Option<String>,

    /// No CAS: clients see 0
    #[arg(short = 'C', long, help_heading = "Clients")]
    pub disable_cas: bool,

    /// Clients must authenticate in text: FILE has user:password lines
    #[arg(short = 'Y', long, value_name = "FILE", help_heading = "Clients")]
    pub auth_file: Option<String>,

    /// Clients must authenticate by SASL, in the binary protocol; passwords: -o sasl_pwdb=FILE
    #[arg(short = 'S', long, help_heading = "Clients")]
    pub enable_sasl: bool,

    /// TLS on every TCP address that does not begin with notls:; certificates: -o ssl_chain_cert=FILE
    #[arg(short = 'Z', long, help_heading = "Clients")]
    pub enable_ssl: bool,

    /// The password file of SASL that the environment names.
    #[arg(skip)]
    pub sasl_passwords_of_environment: Option<String>,

    /// Obey a client's `shutdown` command
    #[arg(short = 'A', long, help_heading = "Clients")]
    pub enable_shutdown: bool,

    /// Refuse `flush_all`
    #[arg(short = 'F', long, help_heading = "Clients")]
    pub disable_flush_all: bool,

    /// Refuse commands that list keys
    #[arg(short = 'X', long, help_heading = "Clients")]
    pub disable_dumping: bool,

    /// Refuse `watch`
    #[arg(short = 'W', long, help_heading = "Clients")]
    pub disable_watch: bool,

    /// Configuration file; the options given here override it
    #[arg(long, value_name = "FILE", help_heading = "Running")]
    pub config: Option<PathBuf>,

    /// Role among those of [sql]: which prefixes to serve [default: default_role]
    #[arg(long, value_name = "NAME", help_heading = "Running")]
    pub role: Option<String>,

    /// Worker threads [default: one for each core; as memcached 4]
    #[arg(short = 't', long, value_name = "N", help_heading = "Running", allow_negative_numbers = true)]
    pub threads: Option<String>,

    /// Run in the background
    #[arg(short = 'd', long, help_heading = "Running")]
    pub daemon: bool,

    /// File that holds the process number while larder runs
    #[arg(short = 'P', long, value_name = "FILE", help_heading = "Running")]
    pub pidfile: Option<String>,

    /// User to become after the addresses are bound, when started as root
    #[arg(short = 'u', long, value_name = "NAME", help_heading = "Running")]
    pub user: Option<String>,

    /// Keep all memory from being swapped out
    #[arg(short = 'k', long, help_heading = "Running")]
    pub lock_memory: bool,

    /// Let a crash leave a core file
    #[arg(short = 'r', long, help_heading = "Running")]
    pub enable_coredumps: bool,

    /// Serve Prometheus metrics and /ready at this address [default: off; port 9150]
    #[arg(long, value_name = "ADDR", help_heading = "Running")]
    pub metrics: Option<String>,

    /// Count by key prefix for `stats detail`; the prefix ends with this character [default: off, :]
    #[arg(short = 'D', long, value_name = "CHAR", help_heading = "Running")]
    pub delimiter: Option<String>,

    /// Say more: -v what changes, -vv also connections, commands and answers, -vvv everything
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = "Running")]
    pub verbose: u8,

    /// memcached's small settings, separated by commas
    #[arg(short = 'o', long, value_name = "NAME[=VALUE]", help_heading = "Running", long_help = extended::help())]
    pub extended: Vec<String>,

    /// Print the licence
    #[arg(short = 'i', long, help_heading = "Running")]
    pub license: bool,

    /// Growth of slab classes
    #[arg(short = 'f', long, value_name = "FACTOR", allow_negative_numbers = true, help_heading = ACCEPTED, hide_short_help = true)]
    pub slab_growth_factor: Option<String>,

    /// Least space of an item
    #[arg(short = 'n', long, value_name = "BYTES", allow_negative_numbers = true, help_heading = ACCEPTED, hide_short_help = true)]
    pub slab_min_size: Option<String>,

    /// Large memory pages
    #[arg(short = 'L', long, help_heading = ACCEPTED, hide_short_help = true)]
    pub enable_largepages: bool,

    /// Queues of network cards
    #[arg(short = 'N', long, value_name = "N", allow_negative_numbers = true, help_heading = ACCEPTED, hide_short_help = true)]
    pub napi_ids: Option<String>,
}

/// The heading above options that are taken as memcached takes them, and have no effect.
const ACCEPTED: &str = "Taken as memcached takes them, without effect";

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
    draft.role = reader.value("--role", &options.role, |text| Ok(text.to_owned()));
    reader.extended(&options.extended, &mut draft);
    reader.guard(options, &mut draft);
    reader.service(options, &mut draft);
    reader.process(options, &mut draft);
    reader.engine(options, &mut draft);
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
}

fn number(text: &str) -> Result<i128, Objection> {
    text.parse().map_err(|_| objection(format!("`{text}` is no whole number"), "write digits only"))
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
