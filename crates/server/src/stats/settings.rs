//! `stats settings`: how the server was started.

use std::sync::atomic::Ordering::Relaxed;

use larder_engine::StatsSink;
use larder_protocol::Choice;

use super::Lines;
use crate::command::Turn;
use crate::options::{ListenAddress, Options};
use crate::shared::Shared;

pub(super) fn lines(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let options = &shared.options;
    let accepted = shared.accepted.lock().clone();
    let tunables = turn.tunables();
    let yes_no = |value: bool| if value { "yes" } else { "no" };
    lines.stat("maxbytes", &shared.memory_bytes.load(Relaxed));
    lines.stat("maxconns", &tunables.connections_max);
    lines.stat("tcpport", &tcp_port(shared).unwrap_or("0"));
    lines.stat("udpport", &udp_port(shared).unwrap_or("0"));
    lines.stat("inter", &shared.listening.join(","));
    lines.stat("verbosity", &shared.verbosity.load(Relaxed));
    lines.stat("oldest", &0);
    lines.stat("evictions", &if options.evictions { "on" } else { "off" });
    let unix = unix_socket(options);
    lines.stat("domain_socket", &unix.as_ref().map_or("NULL", |(path, _)| path.as_str()));
    lines.stat("umask", &format_args!("{:o}", unix.as_ref().map_or(0o700, |(_, mode)| *mode)));
    lines.stat("shutdown_command", &yes_no(tunables.shutdown_allowed));
    lines.stat("growth_factor", &hundredths(accepted.growth_factor));
    lines.stat("chunk_size", &accepted.chunk_bytes_min);
    lines.stat("num_threads", &options.workers);
    lines.stat("num_threads_per_udp", &0);
    lines.stat("stat_key_prefix", &char::from(options.detail_delimiter));
    lines.stat("detail_enabled", &yes_no(shared.detail.is_on()));
    lines.stat("reqs_per_event", &tunables.requests_per_turn);
    lines.stat("cas_enabled", &yes_no(options.cas));
    lines.stat("tcp_backlog", &options.backlog);
    lines.stat("binding_protocol", &protocol(options.protocol));
    super::guarded::authentication(shared.guard.authentication(), lines);
    lines.stat("item_size_max", &tunables.item_size_max);
    lines.stat("maxconns_fast", &yes_no(options.refuse_connections_fast));
    lines.stat("hashpower_init", &accepted.hash_power);
    lines.stat("slab_reassign", &yes_no(accepted.slab_reassign));
    lines.stat("slab_automove", &accepted.slab_automove);
    lines.stat("slab_automove_ratio", &hundredths(accepted.slab_automove_ratio));
    lines.stat("slab_automove_window", &accepted.slab_automove_window);
    lines.stat("slab_chunk_max", &accepted.slab_chunk_bytes_max);
    lines.stat("lru_crawler", &yes_no(accepted.lru_crawler));
    lines.stat("lru_crawler_sleep", &accepted.lru_crawler_sleep_us);
    lines.stat("lru_crawler_tocrawl", &accepted.lru_crawler_to_crawl);
    lines.stat("tail_repair_time", &accepted.tail_repair_seconds);
    lines.stat("flush_enabled", &yes_no(options.flush_allowed));
    lines.stat("dump_enabled", &yes_no(options.dump_allowed));
    lines.stat("hash_algorithm", &accepted.hash_algorithm);
    lines.stat("lru_maintainer_thread", &yes_no(accepted.lru_maintainer == Some(true)));
    lines.stat("lru_segmented", &yes_no(accepted.lru_segmented));
    lines.stat("hot_lru_pct", &accepted.hot_percent);
    lines.stat("warm_lru_pct", &accepted.warm_percent);
    lines.stat("hot_max_factor", &hundredths(accepted.hot_factor));
    lines.stat("warm_max_factor", &hundredths(accepted.warm_factor));
    lines.stat("temp_lru", &yes_no(accepted.temporary_ttl_seconds.is_some()));
    lines.stat("temporary_ttl", &accepted.temporary_ttl_seconds.unwrap_or(61));
    lines.stat("idle_timeout", &tunables.idle_timeout.map_or(0, |timeout| timeout.as_secs()));
    lines.stat("watcher_logbuf_size", &options.watcher_buffer_bytes);
    lines.stat("worker_logbuf_size", &options.worker_log_buffer_bytes);
    lines.stat("read_buf_mem_limit", &options.bytes_in_flight_max);
    lines.stat("track_sizes", &yes_no(options.track_sizes));
    lines.stat("inline_ascii_response", &yes_no(accepted.inline_ascii_response));
    super::guarded::tls(shared.guard.tls_options(), lines);
    lines.stat("num_napi_ids", &accepted.napi_ids);
    lines.stat("memory_file", &"(null)");
    lines.stat("client_flags_size", &4);
}

/// The port of the first TCP address.
fn tcp_port(shared: &Shared) -> Option<&str> {
    let addresses = shared.options.listen.iter().zip(&shared.listening);
    let mut ports = addresses.filter_map(|(address, name)| match address {
        ListenAddress::Tcp(_) | ListenAddress::Tls(..) => name.rsplit_once(':').map(|(_, port)| port),
        ListenAddress::Unix { .. } => None,
    });
    ports.next()
}

/// The first UDP port.
fn udp_port(shared: &Shared) -> Option<&str> {
    let mut addresses = shared.listening.iter().filter_map(|name| name.strip_prefix("udp:"));
    addresses.next()?.rsplit_once(':').map(|(_, port)| port)
}

/// The first unix socket, and its permissions.
fn unix_socket(options: &Options) -> Option<(String, u32)> {
    options.listen.iter().find_map(|address| match address {
        ListenAddress::Unix { path, mode } => Some((path.display().to_string(), *mode)),
        ListenAddress::Tcp(_) | ListenAddress::Tls(..) => None,
    })
}

fn protocol(choice: Choice) -> &'static str {
    match choice {
        Choice::Auto => "auto-negotiate",
        Choice::Text => "ascii",
        Choice::Binary => "binary",
    }
}

/// A number of hundredths as memcached prints it.
fn hundredths(number: u32) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}
