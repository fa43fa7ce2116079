//! A load generator for servers that speak a memcached protocol, or Redis' GET and SET.
//!
//! [`run`] does what `larder bench` does: it stores every key once if asked to, warms up, measures, and reports
//! throughput, latency and, given the server's process id, the server's CPU time per operation.
//!
//! One thread drives many connections over epoll. It shares the machine with the server it measures, so it spends
//! little: requests are written in batches and the clock is read once for each batch of answers.
//!
//! | file | subject |
//! |---|---|
//! | `arguments.rs` | the command line, checked |
//! | `workload.rs`, `random.rs` | which keys, which values, which operations |
//! | `wire.rs`, `resp.rs` | operations to bytes, bytes to outcomes |
//! | `connection.rs`, `poll.rs` | sockets and their operations in flight |
//! | `generator.rs` | one thread of load |
//! | `phases.rs` | fill, warm-up, measurement |
//! | `server_cpu.rs`, `server_memory.rs` | what the server's threads spent, what it holds |
//! | `tally.rs`, `report.rs`, `progress.rs` | what came of it |

mod arguments;
mod connection;
mod generator;
mod phases;
mod poll;
mod progress;
mod random;
mod report;
mod resp;
mod server_cpu;
mod server_memory;
mod tally;
#[cfg(test)]
mod tests;
mod wire;
mod workload;

pub use arguments::Args;
pub use report::Report;

/// Runs the load and prints the report, as text or as JSON.
///
/// # Errors
/// If the arguments make no sense together, the server cannot be reached, an answer could not be understood, or
/// every connection was lost. Errors the server *answers* are counted and reported, not returned.
pub fn run(arguments: &Args) -> anyhow::Result<()> {
    let report = measure(arguments)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Runs the load and returns the report.
///
/// # Errors
/// As [`run`].
pub fn measure(arguments: &Args) -> anyhow::Result<Report> {
    phases::run(&arguments.check()?)
}
