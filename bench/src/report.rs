//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::tally::Tally;
use crate::workload::Kind;

/// The result of a run. Times are named with their units.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where the server listened.
    pub address: String,
    /// What was spoken.
    pub protocol: String,
    /// Connections over all threads.
    pub connections: usize,
    /// Requests in flight on each.
    pub pipeline: usize,
    /// The filling, if there was one.
    pub fill: Option<Filled>,
    /// The measurement; none after a mere filling.
    pub measured: Option<Measured>,
}

/// What came of the filling.
#[derive(Clone, Debug, Serialize)]
pub struct Filled {
    /// Items stored.
    pub operations: u64,
    /// How long it took.
    pub seconds: f64,
    /// Items stored per second.
    pub rate_per_second: f64,
}

/// What came of the measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Operations done; a get of many keys is one.
    pub operations: u64,
    /// How long was measured.
    pub seconds: f64,
    /// Operations per second.
    pub rate_per_second: f64,
    /// Operations per second asked for, in an open loop.
    pub rate_asked_per_second: Option<f64>,
    /// Operations that should have been started by the end but found every connection full.
    pub not_started: u64,
    /// Keys that gets found.
    pub hits: u64,
    /// Keys that gets did not find.
    pub misses: u64,
    /// incr and delete of keys that were not there.
    pub not_found: u64,
    /// Values that were not what was stored.
    pub wrong_values: u64,
    /// Errors by their text.
    pub errors: BTreeMap<String, u64>,
    /// Latency of all operations.
    pub latency: Latency,
    /// Latency by operation.
    pub latency_by_operation: BTreeMap<String, Latency>,
    /// What the server spent, if its process is known.
    pub server_cpu: Option<ServerCpu>,
    /// What the server holds, if its process is known.
    pub server_memory: Option<ServerMemory>,
    /// What making the load cost, in nanoseconds an operation.
    pub client_cpu_ns_per_operation: f64,
}

/// Latency in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Operations counted.
    pub operations: u64,
    /// Mean.
    pub mean_us: f64,
    /// Half were faster.
    pub p50_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// 999 of 1,000 were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Processor time of the server during the measurement.
#[derive(Clone, Debug, Serialize)]
pub struct ServerCpu {
    /// Nanoseconds an operation, all threads.
    pub ns_per_operation: f64,
    /// Processors kept busy.
    pub cores: f64,
    /// Nanoseconds an operation by the threads' names, numbers at their ends left out.
    pub ns_per_operation_by_thread: BTreeMap<String, f64>,
}

/// Resident memory of the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerMemory {
    /// Before the connections of the measurement were opened, in bytes.
    pub before_bytes: u64,
    /// At the end of the measurement, its connections still open, in bytes.
    pub end_bytes: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1000.0;
        Latency {
            operations: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: us(histogram.value_at_quantile(0.5)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            p999_us: us(histogram.value_at_quantile(0.999)),
            max_us: us(histogram.max()),
        }
    }
}

impl Filled {
    pub(crate) fn new(operations: u64, seconds: f64) -> Self {
        Filled { operations, seconds, rate_per_second: operations as f64 / seconds }
    }
}

impl ServerCpu {
    pub(crate) fn new(spent_ns: BTreeMap<String, u64>, operations: u64, seconds: f64) -> Self {
        let per_operation = |ns: u64| ns as f64 / operations.max(1) as f64;
        let total_ns = spent_ns.values().sum();
        ServerCpu {
            ns_per_operation: per_operation(total_ns),
            cores: total_ns as f64 / 1e9 / seconds,
            ns_per_operation_by_thread: spent_ns
                .into_iter()
                .map(|(name, ns)| (name, per_operation(ns)))
                .collect(),
        }
    }
}

impl Measured {
    pub(crate) fn new(tally: &Tally, seconds: f64) -> Self {
        let mut all = tally.latency_ns[0].clone();
        for histogram in &tally.latency_ns[1..] {
            all.add(histogram).expect("all histograms have the same bounds");
        }
        let operations = tally.operations();
        let by_operation = Kind::ALL
            .into_iter()
            .map(|kind| (kind, &tally.latency_ns[kind as usize]))
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(kind, histogram)| (kind.name().to_owned(), Latency::of(histogram)))
            .collect();
        Measured {
            operations,
            seconds,
            rate_per_second: operations as f64 / seconds,
            rate_asked_per_second: None,
            not_started: tally.not_started,
            hits: tally.hits,
            misses: tally.misses,
            not_found: tally.not_found,
            wrong_values: tally.wrong_values,
            errors: tally.errors.clone(),
            latency: Latency::of(&all),
            latency_by_operation: by_operation,
            server_cpu: None,
            server_memory: None,
            client_cpu_ns_per_operation: 0.0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fill) = &self.fill {
            writeln!(
                f,
                "filled      {} items in {:.2} s, {:.0} a second",
                fill.operations, fill.seconds, fill.rate_per_second
            )?;
        }
        self.measured.as_ref().map_or(Ok(()), |measured| measured.fmt(f))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operations  {} in {:.2} s", self.operations, self.seconds)?;
        write!(f, "throughput  {:.0} operations a second", self.rate_per_second)?;
        if let Some(asked) = self.rate_asked_per_second {
            write!(f, ", {asked:.0} asked for")?;
        }
        writeln!(f)?;
        if self.not_started > 0 {
            writeln!(
                f,
                "            {} operations were due and not started: the server fell behind",
                self.not_started
            )?;
        }
        writeln!(
            f,
            "latency     {:>9} {:>9} {:>9} {:>9} {:>9}  microseconds",
            "mean", "p50", "p99", "p99.9", "max"
        )?;
        for (name, latency) in &self.latency_by_operation {
            writeln!(f, "  {name:<9} {latency}")?;
        }
        if self.latency_by_operation.len() > 1 {
            writeln!(f, "  {:<9} {}", "all", self.latency)?;
        }
        if self.hits + self.misses > 0 {
            writeln!(f, "keys read   {} hits, {} misses", self.hits, self.misses)?;
        }
        if self.not_found > 0 {
            writeln!(f, "not found   {} of incr and delete", self.not_found)?;
        }
        if self.wrong_values > 0 {
            writeln!(f, "WRONG       {} values were not what was stored", self.wrong_values)?;
        }
        for (text, count) in &self.errors {
            writeln!(f, "error       {count} times: {text}")?;
        }
        if let Some(cpu) = &self.server_cpu {
            writeln!(
                f,
                "server      {:.0} ns of CPU an operation, {:.2} cores busy",
                cpu.ns_per_operation, cpu.cores
            )?;
            for (name, ns) in &cpu.ns_per_operation_by_thread {
                writeln!(f, "  {name:<17} {ns:>8.0} ns")?;
            }
        }
        if let Some(memory) = &self.server_memory {
            const MIB: f64 = (1 << 20) as f64;
            let (before, end) = (memory.before_bytes as f64 / MIB, memory.end_bytes as f64 / MIB);
            writeln!(f, "memory      {end:.1} MiB of the server's are resident, {before:.1} MiB before")?;
        }
        writeln!(f, "client      {:.0} ns of CPU an operation", self.client_cpu_ns_per_operation)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
            self.mean_us, self.p50_us, self.p99_us, self.p999_us, self.max_us
        )
    }
}
