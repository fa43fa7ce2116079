//! `stats`: the numbers monitoring programs know, and larder's own.
//!
//! Names and order are those of memcached (see `docs/reference/protocol.md`). A number that has no meaning here is a
//! steady 0.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use larder_engine::{MemoryUse, PrefixedStats, StatsSink};
use larder_protocol::{Form, ProtocolError, Response, encode};

use crate::command::{Turn, engines};
use crate::connection::output::Output;
use crate::options::ListenAddress;

/// Answers `stats [argument]`.
pub(crate) fn answer(turn: &Turn<'_>, form: &Form<'_>, argument: &[u8], out: &mut Output) {
    let mut lines = Lines { form, out, text: String::new() };
    match argument {
        b"" => general(turn, &mut lines),
        b"settings" => settings(turn, &mut lines),
        b"items" => items(turn, &mut lines),
        b"slabs" => slabs(turn, &mut lines),
        b"sizes" => lines.stat("sizes_status", &"disabled"),
        b"larder" => own(turn, &mut lines),
        b"reset" => {
            turn.shared().reset_counters();
            encode(form, &Response::Reset, &mut out.bytes);
            return;
        }
        _ => {
            encode(form, &Response::Error(ProtocolError::UnknownCommand), &mut out.bytes);
            return;
        }
    }
    encode(form, &Response::StatEnd, &mut out.bytes);
}

/// Encodes statistics one by one.
struct Lines<'a> {
    form: &'a Form<'a>,
    out: &'a mut Output,
    text: String,
}

impl StatsSink for Lines<'_> {
    fn stat(&mut self, name: &str, value: &dyn Display) {
        self.text.clear();
        write!(self.text, "{value}").expect("writing to a string cannot fail");
        let response = Response::Stat { name: name.as_bytes(), value: self.text.as_bytes() };
        encode(self.form, &response, &mut self.out.bytes);
    }
}

impl Lines<'_> {
    fn zeros(&mut self, names: &str) {
        for name in names.split_ascii_whitespace() {
            self.stat(name, &0);
        }
    }

    fn numbers(&mut self, pairs: &[(&str, u64)]) {
        for (name, value) in pairs {
            self.stat(name, value);
        }
    }
}

fn memory(turn: &Turn<'_>) -> MemoryUse {
    engines(turn.routes).map(|engine| engine.memory_use()).fold(MemoryUse::default(), MemoryUse::plus)
}

fn general(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let options = &shared.options;
    let totals = shared.totals();
    let memory = memory(turn);
    let (user, system) = processor_seconds();
    let open = shared.connections_open() as u64;
    lines.stat("pid", &std::process::id());
    lines.stat("uptime", &turn.now.seconds_since(shared.started));
    lines.stat("time", &turn.now.0);
    lines.stat("version", &options.version);
    lines.stat("libevent", &"none");
    lines.stat("pointer_size", &usize::BITS);
    lines.stat("rusage_user", &format_args!("{user:.6}"));
    lines.stat("rusage_system", &format_args!("{system:.6}"));
    lines.numbers(&[
        ("max_connections", turn.tunables().connections_max as u64),
        ("curr_connections", open),
        ("total_connections", shared.connections_total.load(Relaxed)),
        ("rejected_connections", shared.connections_rejected.load(Relaxed)),
        ("connection_structures", open),
    ]);
    lines.zeros(
        "response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes \
         read_buf_bytes_free read_buf_oom reserved_fds",
    );
    lines.numbers(&[
        ("cmd_get", totals.cmd_get),
        ("cmd_set", totals.cmd_set),
        ("cmd_flush", totals.cmd_flush),
        ("cmd_touch", totals.cmd_touch),
        ("cmd_meta", totals.cmd_meta),
        ("get_hits", totals.get_hits),
        ("get_misses", totals.get_misses),
        ("get_expired", 0),
        ("get_flushed", 0),
        ("delete_misses", totals.delete_misses),
        ("delete_hits", totals.delete_hits),
        ("incr_misses", totals.incr_misses),
        ("incr_hits", totals.incr_hits),
        ("decr_misses", totals.decr_misses),
        ("decr_hits", totals.decr_hits),
        ("cas_misses", totals.cas_misses),
        ("cas_hits", totals.cas_hits),
        ("cas_badval", totals.cas_badval),
        ("touch_hits", totals.touch_hits),
        ("touch_misses", totals.touch_misses),
        ("store_too_large", totals.store_too_large),
        ("store_no_memory", totals.store_no_memory),
        ("auth_cmds", 0),
        ("auth_errors", 0),
        ("bytes_read", totals.bytes_read),
        ("bytes_written", totals.bytes_written),
        ("limit_maxbytes", options.memory_bytes),
        ("accepting_conns", 1),
        ("listen_disabled_num", 0),
        ("time_in_listen_disabled_us", 0),
        ("threads", options.workers as u64),
        ("conn_yields", totals.conn_yields),
    ]);
    lines.zeros(
        "hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues \
         slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes \
         slab_reassign_busy_nomem",
    );
    lines.stat("slab_reassign_last_busy_status", &"none");
    lines.zeros(
        "slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts lru_maintainer_juggles \
         malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent log_watchers \
         unexpected_napi_ids round_robin_fallback",
    );
    lines.numbers(&[
        ("bytes", memory.bytes),
        ("curr_items", memory.items),
        ("total_items", totals.total_items),
        ("slab_global_page_pool", 0),
        ("expired_unfetched", memory.expired_unfetched),
        ("evicted_unfetched", memory.evicted_unfetched),
        ("evicted_active", 0),
        ("evictions", memory.evictions),
        ("reclaimed", memory.reclaimed),
    ]);
    lines.zeros(
        "crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm \
         moves_within_lru direct_reclaims lru_bumps_dropped",
    );
}

/// User and system time of the process in seconds; zeros where `/proc` is not mounted.
fn processor_seconds() -> (f64, f64) {
    /// `/proc` counts in hundredths of a second on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let parsed = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name may hold spaces; the fields after it are fixed: user time is the 12th, system time the 13th.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some((seconds()?, seconds()?))
    };
    parsed().unwrap_or((0.0, 0.0))
}

fn settings(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let options = &shared.options;
    let tunables = turn.tunables();
    let yes_no = |value: bool| if value { "yes" } else { "no" };
    let tcp_port = options.listen.iter().zip(&shared.listening).find_map(|(address, name)| match address {
        ListenAddress::Tcp(_) => name.rsplit_once(':').map(|(_, port)| port.to_owned()),
        ListenAddress::Unix { .. } => None,
    });
    let unix = options.listen.iter().find_map(|address| match address {
        ListenAddress::Unix { path, mode } => Some((path.display().to_string(), *mode)),
        ListenAddress::Tcp(_) => None,
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
    lines.stat("auth_enabled_sasl", &"no");
    lines.stat("auth_enabled_ascii", &"no");
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
    lines.stat("ssl_enabled", &"no");
    lines.stat("num_napi_ids", &0);
    lines.stat("memory_file", &"(null)");
    lines.stat("client_flags_size", &4);
}

/// There is one memory class, number 1.
fn items(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let memory = memory(turn);
    if memory.items == 0 {
        return;
    }
    let mut class = |names: &[(&str, u64)]| {
        for (name, value) in names {
            lines.stat(&format!("items:1:{name}"), value);
        }
    };
    class(&[("number", memory.items), ("number_hot", 0), ("number_warm", 0), ("number_cold", memory.items)]);
    class(&[
        ("number_temp", 0),
        ("age_hot", 0),
        ("age_warm", 0),
        ("age", 0),
        ("mem_requested", memory.bytes),
    ]);
    class(&[("evicted", memory.evictions), ("evicted_nonzero", 0), ("evicted_time", 0)]);
    class(&[("outofmemory", memory.out_of_memory), ("tailrepairs", 0), ("reclaimed", memory.reclaimed)]);
    class(&[
        ("expired_unfetched", memory.expired_unfetched),
        ("evicted_unfetched", memory.evicted_unfetched),
        ("evicted_active", 0),
        ("crawler_reclaimed", 0),
        ("crawler_items_checked", 0),
        ("lrutail_reflocked", 0),
        ("moves_to_cold", 0),
        ("moves_to_warm", 0),
        ("moves_within_lru", 0),
        ("direct_reclaims", 0),
        ("hits_to_hot", 0),
        ("hits_to_warm", 0),
        ("hits_to_cold", turn.shared().totals().get_hits),
        ("hits_to_temp", 0),
    ]);
}

fn slabs(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let memory = memory(turn);
    let totals = turn.shared().totals();
    if memory.items > 0 {
        let mut class = |names: &[(&str, u64)]| {
            for (name, value) in names {
                lines.stat(&format!("1:{name}"), value);
            }
        };
        class(&[
            ("chunk_size", 1),
            ("chunks_per_page", 1 << 20),
            ("total_pages", memory.bytes.div_ceil(1 << 20)),
        ]);
        class(&[("total_chunks", memory.bytes), ("used_chunks", memory.bytes), ("free_chunks", 0)]);
        class(&[("free_chunks_end", 0), ("get_hits", totals.get_hits), ("cmd_set", totals.cmd_set)]);
        class(&[("delete_hits", totals.delete_hits), ("incr_hits", totals.incr_hits)]);
        class(&[("decr_hits", totals.decr_hits), ("cas_hits", totals.cas_hits)]);
        class(&[("cas_badval", totals.cas_badval), ("touch_hits", totals.touch_hits)]);
    }
    lines.stat("active_slabs", &u64::from(memory.items > 0));
    lines.stat("total_malloced", &memory.bytes);
}

/// `stats larder`: each stack, its level, and what its engines say of themselves.
fn own(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    for (number, stack) in turn.routes.stacks().iter().enumerate() {
        let prefixes: Vec<_> = turn
            .routes
            .prefixes()
            .filter(|(_, other)| std::ptr::eq(&***other, &**stack))
            .map(|(prefix, _)| format!("\"{}\"", prefix.escape_ascii()))
            .collect();
        lines.stat(&format!("stack:{number}:expression"), &stack.expression);
        lines.stat(&format!("stack:{number}:prefixes"), &prefixes.join(","));
        lines.stat(&format!("stack:{number}:level"), &stack.description.level.word());
        lines.stat(&format!("stack:{number}:item_size_max"), &stack.description.item_size_max);
        let ready = stack.engine.ready().map_or_else(|error| error.text().to_owned(), |()| "yes".to_owned());
        lines.stat(&format!("stack:{number}:ready"), &ready);
        stack.engine.stats(&mut PrefixedStats { sink: &mut *lines, prefix: &format!("stack:{number}:") });
    }
    lines.stat("bytes_in_flight_max", &turn.shared().options.bytes_in_flight_max);
    lines.stat("store_errors", &turn.shared().totals().store_errors);
    lines.stat("idle_kicks", &turn.shared().totals().idle_kicks);
}
