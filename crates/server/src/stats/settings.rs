//! `stats settings`: how the server was started.

use std::sync::atomic::Ordering::Relaxed;

use larder_engine::StatsSink;

use super::Lines;
use crate::command::Turn;
use crate::options::ListenAddress;

pub(super) fn lines(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let options = &shared.options;
    let tunables = turn.tunables();
    let yes_no = |value: bool| if value { "yes" } else { "no" };
    let tcp_port = options.listen.iter().zip(&shared.listening).find_map(|(address, name)| match address {
        ListenAddress::Tcp(_) | ListenAddress::Tls(..) => {
            name.rsplit_once(':').map(|(_, port)| port.to_owned())
        }
        ListenAddress::Unix { .. } => None,
    });
    let unix = options.listen.iter().find_map(|address| match address {
        ListenAddress::Unix { path, mode } => Some((path.display().to_string(), *mode)),
        ListenAddress::Tcp(_) | ListenAddress::Tls(..) => None,
    });
    lines.stat("maxbytes", &options.memory_bytes);
    lines.stat("maxconns", &tunables.connections_max);
    lines.stat("tcpport", &tcp_port.as_deref().unwrap_or("0"));
    lines.stat("udpport", &0);
    lines.stat("inter", &shared.listening.join(","));
    lines.stat("verbosity", &shared.verbosity.load(Relaxed));
    lines.stat("oldest", &0);
    lines.stat("evictions", &"on");
    lines.stat("domain_socket", &unix.as_ref().map_or("NULL", |(path, _)| path));
    lines.stat("umask", &format_args!("{:o}", unix.as_ref().map_or(0o700, |(_, mode)| *mode)));
    lines.stat("shutdown_command", &yes_no(tunables.shutdown_allowed));
    lines.stat("growth_factor", &"1.25");
    lines.stat("chunk_size", &48);
    lines.stat("num_threads", &options.workers);
    lines.stat("num_threads_per_udp", &0);
    lines.stat("stat_key_prefix", &":");
    lines.stat("detail_enabled", &"no");
    lines.stat("reqs_per_event", &tunables.requests_per_turn);
    lines.stat("cas_enabled", &"yes");
    lines.stat("tcp_backlog", &options.backlog);
    lines.stat("binding_protocol", &"auto-negotiate");
    super::guarded::authentication(shared.guard.authentication(), lines);
    lines.stat("item_size_max", &tunables.item_size_max);
    lines.stat("maxconns_fast", &"yes");
    lines.stat("hashpower_init", &0);
    lines.stat("slab_reassign", &"no");
    lines.stat("slab_automove", &0);
    lines.stat("slab_automove_ratio", &"0.80");
    lines.stat("slab_automove_window", &30);
    lines.stat("slab_chunk_max", &524_288);
    lines.stat("lru_crawler", &"no");
    lines.stat("lru_crawler_sleep", &100);
    lines.stat("lru_crawler_tocrawl", &0);
    lines.stat("tail_repair_time", &0);
    lines.stat("flush_enabled", &"yes");
    lines.stat("dump_enabled", &"no");
    lines.stat("hash_algorithm", &"foldhash");
    lines.stat("lru_maintainer_thread", &"no");
    lines.stat("lru_segmented", &"no");
    lines.stat("hot_lru_pct", &20);
    lines.stat("warm_lru_pct", &40);
    lines.stat("hot_max_factor", &"0.20");
    lines.stat("warm_max_factor", &"2.00");
    lines.stat("temp_lru", &"no");
    lines.stat("temporary_ttl", &61);
    lines.stat("idle_timeout", &tunables.idle_timeout.map_or(0, |timeout| timeout.as_secs()));
    lines.stat("watcher_logbuf_size", &262_144);
    lines.stat("worker_logbuf_size", &65_536);
    lines.stat("read_buf_mem_limit", &options.bytes_in_flight_max);
    lines.stat("track_sizes", &"no");
    lines.stat("inline_ascii_response", &"no");
    super::guarded::tls(shared.guard.tls_options(), lines);
    lines.stat("num_napi_ids", &0);
    lines.stat("memory_file", &"(null)");
    lines.stat("client_flags_size", &4);
}
