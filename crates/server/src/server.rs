//! Starting and stopping.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use larder_engine::Clock;
use larder_protocol::Choice;
use tokio::sync::mpsc::unbounded_channel;

use crate::guard::{Authentication, Guard};
use crate::listen::{self, Listener};
use crate::options::{ListenAddress, Options};
use crate::shared::{Phase, Setup, Shared};
use crate::udp::UdpListener;
use crate::worker;

/// A client asked the server to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopRequest {
    /// `shutdown`
    Now,
    /// `shutdown graceful`
    Graceful,
}

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A password file, a certificate or a key cannot be used; the text names it.
    Guard(String),
    /// A thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, source } => {
                let advice = match address.strip_prefix("unix:") {
                    Some(path) => unix_advice(path, source.kind()),
                    None => tcp_advice(source.kind()).to_owned(),
                };
                write!(f, "cannot listen on {address}: {source}; {advice}")
            }
            StartError::Guard(problem) => f.write_str(problem),
            StartError::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

fn tcp_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "another server has this address (stop it, or choose another port with -p PORT)"
        }
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address (see `ip address`)",
        _ => "choose another address with -l",
    }
}

fn unix_advice(path: &str, kind: io::ErrorKind) -> String {
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display();
    match kind {
        io::ErrorKind::AddrInUse => {
            "another server answers on this socket (stop it, or choose another path with -s PATH)".to_owned()
        }
        io::ErrorKind::NotFound => {
            format!("the folder {folder} does not exist (make it, or choose another path with -s PATH)")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "this user may not write to {folder} (give it the right, or choose another path with -s PATH)"
            )
        }
        io::ErrorKind::AlreadyExists => "move it away, or choose another path with -s PATH".to_owned(),
        _ => "choose another path with -s PATH".to_owned(),
    }
}

impl std::error::Error for StartError {}

/// The addresses a server listens on, bound but not yet served, so that a taken port is known before a store is opened.
pub struct Bound {
    listeners: Vec<Listener>,
    datagrams: Vec<UdpListener>,
    options: Options,
    guard: Guard,
}

impl Bound {
    /// Reads passwords and certificates, then binds every address of the options, or none.
    pub fn bind(mut options: Options) -> Result<Bound, StartError> {
        options.protocol = guarded_protocol(&options)?;
        let guard =
            Guard::new(options.authentication.clone(), options.tls.clone()).map_err(StartError::Guard)?;
        check_tls(&options, &guard)?;
        let mut listeners = Vec::new();
        let until = Instant::now() + DYING_MAX;
        for address in &options.listen {
            let listener =
                patiently(until, || Listener::bind(address, options.backlog)).map_err(|source| {
                    let address = match address {
                        ListenAddress::Tcp(address) | ListenAddress::Tls(address, _) => address.to_string(),
                        crate::ListenAddress::Unix { path, .. } => format!("unix:{}", path.display()),
                    };
                    StartError::Listen { address, source }
                })?;
            listeners.push(listener);
        }
        let mut datagrams = Vec::new();
        for address in &options.udp {
            let listener = patiently(until, || UdpListener::bind(*address));
            let named = |source| StartError::Listen { address: format!("udp:{address}"), source };
            datagrams.push(listener.map_err(named)?);
        }
        Ok(Bound { listeners, datagrams, options, guard })
    }

    /// The TCP addresses, with the ports the system chose.
    pub fn tcp_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.listeners.iter().filter_map(Listener::tcp_address).collect()
    }

    /// The UDP addresses, with the ports the system chose.
    pub fn udp_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.datagrams.iter().map(|listener| listener.address).collect()
    }

    /// The addresses in words, with the ports the system chose.
    pub fn names(&self) -> Vec<String> {
        self.listeners
            .iter()
            .map(Listener::name)
            .chain(self.datagrams.iter().map(UdpListener::name))
            .collect()
    }
}

/// How long a server that was killed may take to let go of its addresses.
const DYING_MAX: Duration = Duration::from_secs(1);

/// Binds; tries again until then while something else has the address.
fn patiently<T>(until: Instant, mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(20);
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                thread::sleep(PAUSE)
            }
            bound => return bound,
        }
    }
}

/// What clients may speak: only what they can say who they are in.
fn guarded_protocol(options: &Options) -> Result<Choice, StartError> {
    if options.authentication != Authentication::None && !options.udp.is_empty() {
        return Err(StartError::Guard(
            "nobody can authenticate over UDP; leave out -U, or -S and -Y where strangers cannot come".into(),
        ));
    }
    match (&options.authentication, options.protocol) {
        (Authentication::None, protocol) => Ok(protocol),
        (Authentication::Text(_), Choice::Auto | Choice::Text) => Ok(Choice::Text),
        (Authentication::Sasl(_), Choice::Auto | Choice::Binary) => Ok(Choice::Binary),
        (Authentication::Text(_), Choice::Binary) => Err(StartError::Guard(
            "the binary protocol has no authentication by text; leave out -B binary, or use -S instead of -Y"
                .into(),
        )),
        (Authentication::Sasl(_), Choice::Text) => {
            Err(StartError::Guard("text has no SASL; leave out -B ascii, or use -Y instead of -S".into()))
        }
    }
}

/// Every TLS listener has what it needs, so that no handshake finds anything missing.
fn check_tls(options: &Options, guard: &Guard) -> Result<(), StartError> {
    let tls = guard.tls();
    for address in &options.listen {
        let ListenAddress::Tls(address, clients) = address else { continue };
        if tls.as_ref().is_none_or(|tls| tls.config(*clients).is_none()) {
            return Err(StartError::Guard(format!(
                "{address}: TLS needs a certificate, and to judge its clients' certificates it needs their \
                 authorities; name them with -o ssl_chain_cert=FILE,ssl_key=FILE,ssl_ca_cert=FILE"
            )));
        }
    }
    Ok(())
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    acceptor: JoinHandle<io::Result<()>>,
    workers: Vec<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Starts serving. `stop_requests` hears of clients that ask for a stop.
    pub fn start(
        bound: Bound,
        clock: Arc<dyn Clock>,
        setup: Setup,
        stop_requests: Sender<StopRequest>,
    ) -> Result<Server, StartError> {
        let names = bound.names();
        let shared = Arc::new(Shared::new(bound.options, bound.guard, names, clock, setup, stop_requests));
        let mut workers = Vec::new();
        let mut senders = Vec::new();
        // Each socket is one worker's.
        let mut datagrams: Vec<Vec<UdpListener>> = (0..shared.options.workers).map(|_| Vec::new()).collect();
        for (number, listener) in bound.datagrams.into_iter().enumerate() {
            datagrams[number % shared.options.workers].push(listener);
        }
        for (id, datagrams) in datagrams.into_iter().enumerate() {
            let (sender, arrivals) = unbounded_channel();
            senders.push(sender);
            let shared = shared.clone();
            let worker = thread::Builder::new()
                .name(format!("worker-{id}"))
                .stack_size(worker::STACK_BYTES)
                .spawn(move || worker::run(id, shared, arrivals, datagrams))
                .map_err(StartError::Thread)?;
            workers.push(worker);
        }
        let acceptor = thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn({
                let shared = shared.clone();
                move || listen::run(bound.listeners, shared, senders)
            })
            .map_err(StartError::Thread)?;
        Ok(Server { shared, acceptor, workers })
    }

    /// What all workers share: statistics, the routing table.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops: no new connections, answers what was asked, closes the connections, ends the workers. The engines are
    /// closed afterwards by whoever made them.
    pub fn stop(self) {
        self.shared.phase.send_replace(Phase::Draining);
        join("acceptor", self.acceptor);
        for (id, worker) in self.workers.into_iter().enumerate() {
            join(&format!("worker {id}"), worker);
        }
    }
}

fn join(name: &str, thread: JoinHandle<io::Result<()>>) {
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!("{name}: {error}"),
        Err(_panic) => tracing::error!("{name}: ended by a fault of its own; please report it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_let_go_is_taken() {
        let later = Instant::now() + Duration::from_secs(60);
        let mut tries = 0;
        let bound = patiently(later, || {
            tries += 1;
            if tries < 3 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(tries) }
        });
        assert_eq!(bound.unwrap(), 3);
    }

    #[test]
    fn what_waiting_does_not_mend_is_said_at_once() {
        let failing =
            |until, kind: io::ErrorKind| patiently(until, || Err::<(), _>(kind.into())).unwrap_err().kind();
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(failing(later, io::ErrorKind::PermissionDenied), io::ErrorKind::PermissionDenied);
        assert_eq!(failing(Instant::now(), io::ErrorKind::AddrInUse), io::ErrorKind::AddrInUse);
    }
}
