//! Running the server: from a plan to a clean exit.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use larder_engine::{DebugClock, Services};
use larder_ram::RamEngine;
use larder_server::{Bound, ListenAddress, Server, Setup, StopRequest};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::build::Engines;
use crate::cli;
use crate::closing::Closing;
use crate::config::{Host, Layer, Listener, Moved, Options, Plan, Program, TcpAddress};
use crate::owners::InUse;
use crate::process::{self, PidFile, Side};
use crate::{guard, log, metrics};

/// How often a reload looks whether the engines it replaced are still in use.
const RETIRE_PERIOD: Duration = Duration::from_millis(100);

/// How long a reload waits for a store that it needs and that an earlier one is still closing.
const CLOSING_PATIENCE: Duration = Duration::from_secs(30);

/// What the main thread waits for.
enum Event {
    /// Stop, and why.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
    /// Engines of an earlier reload are closed: the number of that work.
    Closed(u64),
}

/// Runs the server until it is told to stop. Failure also when accepted writes could not be brought down.
pub fn run(options: &Options, program: Program) -> ExitCode {
    // A huge page is resident as a whole for one byte used, and the allocator's would be 10 to 20 MiB.
    process::use_small_pages_only();
    match cli::load(options, program).and_then(|plan| serve(plan, options, program)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("larder: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(plan: Plan, options: &Options, program: Program) -> anyhow::Result<ExitCode> {
    // Addresses before stores: a taken port is known before anything is created.
    let bound = Bound::bind(server_options(&plan)?).map_err(|error| anyhow!("{error}"))?;
    let listening = bound.names();
    let metrics_listener = plan.metrics.as_ref().map(bind_metrics).transpose()?;
    let ready = match plan.process.daemon.then(process::detach).transpose()? {
        Some(Side::Starter(code)) => return Ok(ExitCode::from(code)),
        Some(Side::Daemon(ready)) => Some(ready),
        None => None,
    };
    let pid_file = plan.process.pid_file.as_deref().map(PidFile::write).transpose()?;
    process::write_ports(&bound.tcp_addresses(), &bound.udp_addresses())?;
    process::set_limits(&plan)?;
    process::give_up_root(&plan)?;
    let verbosity = log::start(u32::from(plan.verbosity));
    warn(&plan, program);
    let mut services = Services::system();
    if plan.service.debug_commands {
        services.clock = Arc::new(DebugClock::default());
    }
    let mut engines = Engines::new(services.clone());
    let setup = engines.setup(&plan)?;
    let in_use = engines.begin(&plan);
    engines.note_serving();
    let (events_sender, events) = channel();
    // Before the first client is served: from then on a stop is a clean one.
    watch_signals(events_sender.clone())?;
    let server = Server::start(bound, services.clock.clone(), setup, stop_requests(events_sender.clone()))
        .map_err(|error| anyhow!("{error}"))?;
    server.shared().verbosity().store(u32::from(plan.verbosity), Ordering::Relaxed);
    verbosity.follow(server.shared().verbosity().clone());
    if let Some(listener) = metrics_listener {
        let bound = metrics::start(listener, server.shared().clone())
            .context("metrics: cannot be served; run larder without --metrics, or with fewer threads")?;
        tracing::info!("metrics on http://{bound}/metrics, readiness on http://{bound}/ready");
    }
    announce(&plan, program, &listening);
    if let Some(ready) = ready {
        ready.tell(plan.verbosity > 0).context("-d: cannot leave the terminal")?;
    }
    let mut closing = Closing::default();
    let running = Running {
        plan,
        in_use,
        replaced: Vec::new(),
        options,
        program,
        engines: &mut engines,
        server: &server,
        closing: &mut closing,
        events: events_sender,
        waits_until: None,
    };
    let reason = running.wait(&events);
    tracing::info!("{reason}: stopping");
    server.stop();
    // A tier that a reload replaced may stand on a store that is still in use.
    let mut errors = closing.finish();
    let had_modules = engines.had_modules();
    errors.extend(engines.retire_all().close());
    for error in &errors {
        tracing::error!("the stop is not clean: {error}");
    }
    if had_modules {
        // A module's threads may run on after its engine is destroyed, and would not survive an orderly end.
        drop(pid_file);
        process::leave(u8::from(!errors.is_empty()));
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the items live, in a word.
fn data(plan: &Plan) -> String {
    let lowest = || plan.prefixes.iter().map(|prefix| prefix.stack.lowest());
    let in_tables = lowest().any(|layer| matches!(layer, Layer::Sql(_)));
    let in_module = lowest().any(|layer| matches!(layer, Layer::Module(_)));
    if lowest().any(|layer| layer.store().is_some()) {
        let tables = if in_tables { " and in database tables" } else { "" };
        format!("data in {}{tables}", plan.data.display())
    } else if in_tables {
        "data in database tables".to_owned()
    } else if in_module {
        "data where the module keeps it".to_owned()
    } else {
        "data in RAM only, lost when the server stops".to_owned()
    }
}

/// Says what the operator should know. In memcached's place larder is as silent as memcached.
fn warn(plan: &Plan, program: Program) {
    if program == Program::Memcached && plan.verbosity == 0 {
        return;
    }
    if process::is_root() {
        tracing::warn!(
            "running as root: better run larder as a user of its own, as with -u NAME (in a container this is usual)"
        );
    }
    guard::warn_of_strangers(plan);
    for note in &plan.notes {
        tracing::warn!("{note}");
    }
    if !plan.service.without_effect.is_empty() {
        tracing::info!("taken, but without effect here: {}", plan.service.without_effect.join(", "));
    }
}

/// One line that says where clients connect and where the data lives.
fn announce(plan: &Plan, program: Program, listening: &[String]) {
    if program == Program::Memcached {
        // In memcached's place larder is as silent as memcached.
        return;
    }
    let data = data(plan);
    let stacks: Vec<_> = plan.prefixes.iter().map(|prefix| short_stack(&prefix.stack.layers)).collect();
    let line = format!("larder listens on {}; {data} ({})", listening.join(", "), stacks.join("; "));
    // A closed standard output is no reason not to serve.
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::debug!("the start line could not be written: {error}");
    }
    tracing::info!("{line}");
}

fn short_stack(layers: &[Layer]) -> String {
    let names: Vec<_> = layers
        .iter()
        .map(|layer| match layer {
            Layer::Ram { .. } => "ram",
            Layer::Sqlite { .. } => "sqlite",
            Layer::File { .. } => "file",
            Layer::Sql(_) => "sql",
            Layer::Module(_) => "module",
        })
        .collect();
    names.join(" > ")
}

fn server_options(plan: &Plan) -> anyhow::Result<larder_server::Options> {
    let mut listen = Vec::new();
    for listener in &plan.listeners {
        match listener {
            Listener::Tcp(address) => {
                listen.extend(resolve(address)?.into_iter().map(ListenAddress::Tcp));
            }
            Listener::Tls(address, encryption) => {
                let clients = encryption.clients().expect("what a plan asks of clients is settled");
                let addresses = resolve(address)?.into_iter();
                listen.extend(addresses.map(|address| ListenAddress::Tls(address, clients)));
            }
            Listener::Unix(path) => {
                listen.push(ListenAddress::Unix { path: path.clone(), mode: plan.unix_mask });
            }
        }
    }
    let defaults = larder_server::Options::default();
    let service = &plan.service;
    let in_flight = match service.bytes_in_flight_max {
        Some(bytes) => usize::try_from(bytes).context("-o read_buf_mem_limit")?,
        None => defaults.bytes_in_flight_max,
    };
    let mut udp = Vec::new();
    for address in &plan.udp {
        udp.extend(resolve(address)?);
    }
    Ok(larder_server::Options {
        listen,
        workers: plan.threads,
        memory_bytes: plan.memory_bytes,
        verbosity: u32::from(plan.verbosity),
        // Two of the largest values must always fit, or one slow sender would hold up all others.
        bytes_in_flight_max: in_flight.max(2 * plan.item_size_bytes_max as usize),
        udp,
        backlog: service.backlog,
        protocol: service.protocol,
        authentication: guard::authentication(&plan.guard)?,
        tls: guard::tls(&plan.guard)?,
        cas: service.cas,
        flush_allowed: service.flush_allowed,
        dump_allowed: service.dump_allowed,
        watch_allowed: service.watch_allowed,
        evictions: service.evictions,
        detail_delimiter: service.detail_delimiter,
        detail: service.detail,
        track_sizes: service.track_sizes,
        refuse_connections_fast: service.refuse_connections_fast,
        watcher_buffer_bytes: usize::try_from(service.watcher_buffer_bytes)
            .context("-o watcher_logbuf_size")?,
        worker_log_buffer_bytes: usize::try_from(service.worker_log_buffer_bytes)
            .context("-o worker_logbuf_size")?,
        debug_commands: service.debug_commands,
        accepted: service.accepted.clone(),
        ..defaults
    })
}

fn bind_metrics(address: &TcpAddress) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&resolve(address)?[..]).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                "another server has this address; stop it, or choose another with --metrics"
            }
            ErrorKind::PermissionDenied => "choose a port above 1023 with --metrics",
            _ => "choose another address with --metrics",
        };
        anyhow!("metrics: cannot listen on {address}: {error}; {advice}")
    })
}

/// The socket addresses an address of the plan stands for.
fn resolve(address: &TcpAddress) -> anyhow::Result<Vec<SocketAddr>> {
    let port = address.port;
    match &address.host {
        Host::Address(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
        Host::All => {
            let mut all = vec![SocketAddr::from(([0, 0, 0, 0], port))];
            // A machine may have no IPv6; a port the system chooses could not be the same on both.
            if port != 0 && TcpListener::bind("[::1]:0").is_ok() {
                all.push(SocketAddr::from(([0; 16], port)));
            }
            Ok(all)
        }
        Host::Name(name) => {
            let found: Vec<_> = (name.as_str(), port)
                .to_socket_addrs()
                .with_context(|| {
                    format!("{name}: this host name has no address; write an IP address instead")
                })?
                .collect();
            if found.is_empty() {
                return Err(anyhow!("{name}: this host name has no address; write an IP address instead"));
            }
            Ok(found)
        }
    }
}

fn stop_requests(events: Sender<Event>) -> Sender<StopRequest> {
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for request in requests {
            let event = Event::Stop(match request {
                StopRequest::Now => "a client said shutdown",
                StopRequest::Graceful => "a client said shutdown graceful",
            });
            if events.send(event).is_err() {
                return;
            }
        }
    });
    sender
}

fn watch_signals(events: Sender<Event>) -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGHUP])
        .context("cannot handle signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut asked = false;
            for signal in signals.forever() {
                let event = match signal {
                    SIGHUP => Event::Reload,
                    SIGINT if asked => {
                        eprintln!("larder: interrupted twice: leaving without waiting for the stores");
                        std::process::exit(130);
                    }
                    SIGINT => Event::Stop("interrupted"),
                    SIGUSR1 => Event::Stop("asked to stop gracefully"),
                    _ => Event::Stop("terminated"),
                };
                asked |= matches!(event, Event::Stop(_));
                if events.send(event).is_err() {
                    return;
                }
            }
        })
        .context("cannot start the signal thread")?;
    Ok(())
}

/// A server under way, with what a reload needs.
struct Running<'a> {
    plan: Plan,
    in_use: InUse,
    /// Setups of earlier reloads that may be in use still.
    replaced: Vec<Weak<Setup>>,
    options: &'a Options,
    program: Program,
    engines: &'a mut Engines,
    server: &'a Server,
    /// Engines of earlier reloads that are still being closed.
    closing: &'a mut Closing,
    events: Sender<Event>,
    /// A reload waits for one of them, until then at most.
    waits_until: Option<Instant>,
}

impl Running<'_> {
    /// Serves until the stop; why it came.
    fn wait(mut self, events: &Receiver<Event>) -> &'static str {
        loop {
            let event = match self.waits_until {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Stop(reason)) => return reason,
                Ok(Event::Reload) => self.reload(Instant::now() + CLOSING_PATIENCE),
                Ok(Event::Closed(number)) => {
                    self.closing.ended(number);
                    self.reload_again();
                }
                Err(RecvTimeoutError::Timeout) => self.reload_again(),
                Err(RecvTimeoutError::Disconnected) => return "every source of signals is gone",
            }
        }
    }

    /// Goes on with a reload that waits, if one does.
    fn reload_again(&mut self) {
        if let Some(until) = self.waits_until {
            self.reload(until);
        }
    }

    /// Whether a store that `plan` needs is still being closed, and the reload is to be tried again when it is.
    fn must_wait(&mut self, plan: &Plan, until: Instant) -> bool {
        let missing = self.engines.missing_stores(plan);
        let Some(file) = self.closing.holds(&missing) else { return false };
        let file = file.display();
        if Instant::now() < until {
            tracing::info!("reload: waits until {file} is closed, which an earlier reload took out of use");
            self.waits_until = Some(until);
        } else {
            tracing::error!(
                "reload refused, nothing changed: {file} is still being closed by this server, since an earlier \
                 reload took it out of use; send SIGHUP again later"
            );
        }
        true
    }

    /// Applies the configuration, passwords and certificates whole, or says why not and changes nothing. Waits for a
    /// store that is being closed until `until`; meanwhile everything is served as before.
    fn reload(&mut self, until: Instant) {
        self.waits_until = None;
        let known = match self.server.shared().read_guard_again() {
            Ok(known) => known,
            Err(problem) => {
                tracing::error!("reload refused, nothing changed: {problem}");
                return;
            }
        };
        if let Some(file) = &self.options.config {
            if !self.reload_file(file, until) {
                return;
            }
        } else if known.is_none() {
            tracing::warn!(
                "reload: the server was started without --config, so there is nothing to read again"
            );
        }
        if let Some(known) = known {
            self.server.shared().replace_guard(known);
            tracing::info!(
                target: log::TOLD,
                "reload: passwords and certificates were read again, for connections from now on"
            );
        }
    }

    /// Applies the file, or says why not, or that it must wait; whether what it says holds now.
    fn reload_file(&mut self, file: &Path, until: Instant) -> bool {
        let file = file.display();
        let plan = match cli::load(self.options, self.program) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!("reload refused, nothing changed:\n{error:#}");
                return false;
            }
        };
        let changes = match self.plan.changes(&plan) {
            Ok(changes) => changes,
            Err(refusals) => {
                for refusal in refusals {
                    tracing::error!("reload refused, nothing changed: {refusal}");
                }
                return false;
            }
        };
        if changes.list.is_empty() {
            tracing::info!(target: log::TOLD, "reload: {file} means what is running already");
            return true;
        }
        if self.must_wait(&plan, until) {
            return false;
        }
        let setup = match self.engines.setup(&plan) {
            Ok(setup) => setup,
            Err(error) => {
                tracing::error!("reload refused, nothing changed: {error:#}");
                // What was opened for the refused plan is not used.
                for error in self.engines.retire(&self.plan).close() {
                    tracing::error!("an engine that is not used could not be closed cleanly: {error}");
                }
                return false;
            }
        };
        self.put_in_force(plan, setup);
        for change in &changes.list {
            tracing::info!(target: log::TOLD, "reload: {change}");
        }
        true
    }

    /// Serves by this setup from now on, and closes what is no longer used in the background.
    fn put_in_force(&mut self, plan: Plan, setup: Setup) {
        let moved = self.plan.moved(&plan);
        let rams = self.engines.rams();
        // Before the swap, so that no key is answered from a copy of the store it came from. From now on no tier keeps
        // anything of these keys.
        let old_in_use = std::mem::replace(&mut self.in_use, self.engines.begin(&plan));
        forget(&rams, moved.iter());
        let old = Arc::downgrade(&self.server.shared().swap_setup(setup));
        // What the last requests of the old setup put into RAM only.
        forget(&rams, moved.iter().filter(|moved| moved.to_store));
        self.server.shared().verbosity().store(u32::from(plan.verbosity), Ordering::Relaxed);
        let retired = self.engines.retire(&plan);
        self.plan = plan;
        // Those before it too: an operation that has been under way since then may be on an engine that goes now.
        self.replaced.retain(|earlier| earlier.strong_count() > 0);
        self.replaced.push(old);
        let replaced = self.replaced.clone();
        let (events, owners) = (self.events.clone(), self.engines.owners());
        let begun = self.closing.begin(retired.store_files(), retired.hurry(), move |number| {
            wait_until_unused(&replaced);
            // And those that were under way; no tier has kept anything of these keys.
            forget(&rams, moved.iter().filter(|moved| moved.to_store));
            owners.end(old_in_use);
            let errors = retired.close();
            // Nobody listens any more once the server stops, which then waits for the end of this thread.
            drop(events.send(Event::Closed(number)));
            errors
        });
        if let Err(error) = begun {
            tracing::error!("reload: no thread could be started to close what is no longer used: {error}");
        }
    }
}

/// Makes each RAM forget what it keeps of keys that come under another stack.
fn forget<'a>(rams: &[Arc<RamEngine>], moved: impl Iterator<Item = &'a Moved>) {
    for moved in moved {
        let except: Vec<&[u8]> = moved.except.iter().map(String::as_bytes).collect();
        for ram in rams {
            ram.forget(moved.prefix.as_bytes(), &except);
        }
    }
}

/// Waits until no worker and no operation holds a setup that was replaced, so that nothing comes by its routes any more.
fn wait_until_unused(replaced: &[Weak<Setup>]) {
    while replaced.iter().any(|setup| setup.strong_count() > 0) {
        std::thread::sleep(RETIRE_PERIOD);
    }
}
