//! Runs of `larder bench`.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::Command;

use super::Bench;
use super::server::Server;
use crate::command;

/// What a run reported.
pub(crate) struct Load(Value);

impl Bench {
    /// Loads a server; `arguments` as on the command line. Fifty connections unless they say otherwise.
    pub(crate) fn load(&self, server: &Server, arguments: &str) -> Result<Load> {
        let mut command = Command::new(&self.larder);
        command.arg("bench").arg(server.address()).args(["--json", "--quiet"]);
        command.args(["--pid", &server.pid().to_string()]).args(arguments.split_whitespace());
        let mut command = server.seat.for_clients(command);
        let output = command::output(&mut command)?;
        let report: Value = serde_json::from_str(&output).context("`larder bench` printed no JSON")?;
        let load = Load(report);
        if self.verbose {
            self.say(&format!("   {arguments}\n      {}", load.line()));
        }
        load.check(arguments)?;
        Ok(load)
    }

    /// Stores keys, and waits until what that left to do is done.
    pub(crate) fn fill(&self, server: &Server, arguments: &str) -> Result<()> {
        self.load(server, &format!("--fill --fill-only {arguments}"))?;
        server.wait_until_quiet()
    }
}

impl Load {
    /// A load with errors or wrong values measures nothing.
    fn check(&self, arguments: &str) -> Result<()> {
        let measured = &self.0["measured"];
        let errors = measured["errors"].as_object().filter(|errors| !errors.is_empty());
        if let Some(errors) = errors {
            bail!("the load `{arguments}` met errors: {}", Value::Object(errors.clone()));
        }
        match measured["wrong_values"].as_u64() {
            Some(0) | None => Ok(()),
            Some(count) => bail!("the load `{arguments}` read {count} values that were never stored"),
        }
    }

    fn number(&self, path: &[&str]) -> Result<f64> {
        let found = path.iter().fold(&self.0["measured"], |value, name| &value[*name]);
        found
            .as_f64()
            .with_context(|| format!("the report of `larder bench` has no number {}", path.join(".")))
    }

    /// Operations per second.
    pub(crate) fn rate(&self) -> Result<f64> {
        self.number(&["rate_per_second"])
    }

    pub(crate) fn hits(&self) -> Result<f64> {
        self.number(&["hits"])
    }

    pub(crate) fn misses(&self) -> Result<f64> {
        self.number(&["misses"])
    }

    /// What the server's resident memory grew by from before the load until its end, in bytes.
    pub(crate) fn server_growth_bytes(&self) -> Result<f64> {
        let bytes = |name| self.number(&["server_memory", name]);
        Ok(bytes("end_bytes")? - bytes("before_bytes")?)
    }

    pub(crate) fn p50_us(&self) -> Result<f64> {
        self.number(&["latency", "p50_us"])
    }

    pub(crate) fn p99_us(&self) -> Result<f64> {
        self.number(&["latency", "p99_us"])
    }

    /// What the whole server spent on an operation.
    pub(crate) fn server_ns(&self) -> Result<f64> {
        self.number(&["server_cpu", "ns_per_operation"])
    }

    /// What larder's workers spent on an operation.
    pub(crate) fn worker_ns(&self) -> Result<f64> {
        self.number(&["server_cpu", "ns_per_operation_by_thread", "worker"])
    }

    /// Due operations that found no free place.
    pub(crate) fn not_started(&self) -> Result<f64> {
        self.number(&["not_started"])
    }

    fn line(&self) -> String {
        let measured = &self.0["measured"];
        if measured.is_null() {
            return format!("filled: {}", self.0["fill"]);
        }
        format!(
            "{:.0}/s, p50 {} us, p99 {} us, {:.0} ns of the server's CPU: {}",
            measured["rate_per_second"].as_f64().unwrap_or(f64::NAN),
            measured["latency"]["p50_us"],
            measured["latency"]["p99_us"],
            measured["server_cpu"]["ns_per_operation"].as_f64().unwrap_or(f64::NAN),
            measured["server_cpu"]["ns_per_operation_by_thread"],
        )
    }
}
