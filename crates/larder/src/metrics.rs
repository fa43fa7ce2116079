//! `--metrics`: Prometheus text on `/metrics`, and `/ready` for whoever balances load.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_server::Shared;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// A scraper that takes longer than this is given up, from its connection to the last byte of its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Scrapers answered at a time; more wait, none for longer than the others may take.
const SCRAPERS_MAX: usize = 8;

/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: u64 = 8 << 10;

/// Serves on a bound socket, from threads of its own; the address.
pub fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<SocketAddr> {
    let bound = listener.local_addr()?;
    let listener = Arc::new(listener);
    for _ in 0..SCRAPERS_MAX {
        let (listener, shared) = (listener.clone(), shared.clone());
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            for client in listener.incoming() {
                let answered = client.and_then(|client| answer(&client, &shared));
                if let Err(error) = answered {
                    tracing::debug!("metrics: {error}");
                }
            }
        })?;
    }
    Ok(bound)
}

/// A scraper's socket, for as long as there is patience with it.
#[derive(Clone, Copy)]
struct Scraper<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Scraper<'_> {
    fn time_left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Scraper<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.time_left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Scraper<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.time_left()?)?;
        self.socket.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn answer(socket: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut client = Scraper { socket, until: Instant::now() + PATIENCE };
    let mut reader = BufReader::new(client.take(REQUEST_BYTES_MAX));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split_ascii_whitespace().nth(1).unwrap_or_default();
    let (status, kind, body) = match path {
        "/metrics" => ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", text(shared)),
        "/ready" => readiness(shared),
        _ => ("404 Not Found", "text/plain; charset=utf-8", "try /metrics or /ready\n".to_owned()),
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Ready means that every stack can serve.
fn readiness(shared: &Shared) -> (&'static str, &'static str, String) {
    let setup = shared.setup();
    let mut faults = String::new();
    for stack in setup.routes.stacks() {
        if let Err(error) = stack.engine.ready() {
            faults.push_str(&format!("{}: {}\n", stack.expression, error.text()));
        }
    }
    match faults.is_empty() {
        true => ("200 OK", "text/plain; charset=utf-8", "ready\n".to_owned()),
        false => ("503 Service Unavailable", "text/plain; charset=utf-8", faults),
    }
}

fn text(shared: &Arc<Shared>) -> String {
    let mut registry = Registry::with_prefix("larder");
    registry.register_collector(Box::new(Counters(shared.clone())));
    let stacks = Family::<Vec<(String, String)>, Gauge>::default();
    let level = Family::<Vec<(String, String)>, Gauge>::default();
    let events = Family::<Vec<(String, String)>, Counter>::default();
    for stack in shared.setup().routes.stacks() {
        let labels = vec![("stack".to_owned(), stack.expression.clone())];
        let items = i64::try_from(stack.engine.memory_use().items).unwrap_or(i64::MAX);
        stacks.get_or_create(&labels).set(items);
        let mut sink = EngineStats { labels: &labels, levels: &level, events: &events };
        stack.engine.stats(&mut sink);
    }
    registry.register("stack_items", "Items a stack keeps, expired ones not yet reclaimed included", stacks);
    registry.register("engine_stat", "Numbers of the engines, by the names of `stats larder`", level);
    registry.register("engine_events", "What the engines count, by the names of `stats larder`", events);
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::error!("metrics: {error}");
    }
    text
}

/// Turns an engine's statistics into counters, and the other numbers among them into gauges.
struct EngineStats<'a> {
    labels: &'a [(String, String)],
    levels: &'a Family<Vec<(String, String)>, Gauge>,
    events: &'a Family<Vec<(String, String)>, Counter>,
}

impl EngineStats<'_> {
    fn named(&self, name: &str) -> Vec<(String, String)> {
        let mut labels = self.labels.to_vec();
        labels.push(("name".to_owned(), name.to_owned()));
        labels
    }
}

impl larder_engine::StatsSink for EngineStats<'_> {
    fn stat(&mut self, name: &str, value: &dyn fmt::Display) {
        if let Ok(number) = value.to_string().parse::<i64>() {
            self.levels.get_or_create(&self.named(name)).set(number);
        }
    }

    fn count(&mut self, name: &str, events: u64) {
        self.events.get_or_create(&self.named(name)).inc_by(events);
    }
}

/// The chassis's counters, summed when they are scraped.
struct Counters(Arc<Shared>);

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counters")
    }
}

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut outcome = Ok(());
        self.0.totals().each(|name, help, value| {
            let counter = ConstCounter::new(value);
            let encoded = encoder
                .encode_descriptor(name, help.trim(), None, MetricType::Counter)
                .and_then(|metric| counter.encode(metric));
            if encoded.is_err() {
                outcome = encoded;
            }
        });
        outcome?;
        let gauges = [
            ("connections", "Client connections open now", self.0.connections_open() as i64),
            ("uptime_seconds", "Seconds served so far", self.0.uptime().as_secs() as i64),
        ];
        for (name, help, value) in gauges {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
