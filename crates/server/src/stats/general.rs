//! `stats`: the numbers of the whole server.

use std::sync::atomic::Ordering::Relaxed;

use larder_engine::StatsSink;

use super::{Lines, memory};
use crate::accepted::Accepted;
use crate::command::Turn;
use crate::counters::Totals;

pub(super) fn lines(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let totals = turn.shared().totals();
    process(turn, lines);
    connections(turn, &totals, lines);
    commands(&totals, lines);
    limits(turn, &totals, lines);
    background(turn, lines);
    super::guarded::handshakes(turn, &totals, lines);
    lines.zeros("unexpected_napi_ids round_robin_fallback");
    items(turn, &totals, lines);
}

/// The names that memcached reports only with a crawler or with a thread that keeps the LRU.
pub(super) fn left_out(accepted: &Accepted) -> &'static [&'static str] {
    match (accepted.lru_crawler, accepted.lru_maintainer) {
        (false, Some(false)) => &[
            "lru_crawler_running",
            "lru_crawler_starts",
            "lru_maintainer_juggles",
            "evicted_active",
            "moves_to_cold",
            "moves_to_warm",
            "moves_within_lru",
            "direct_reclaims",
            "lru_bumps_dropped",
        ],
        _ => &[],
    }
}

/// Who it is and what it has used.
fn process(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let (user, system) = processor_seconds();
    lines.stat("pid", &std::process::id());
    lines.stat("uptime", &turn.now.seconds_since(shared.started));
    lines.stat("time", &turn.now.0);
    lines.stat("version", &shared.options.version);
    lines.stat("libevent", &"none");
    lines.stat("pointer_size", &usize::BITS);
    lines.stat("rusage_user", &format_args!("{user:.6}"));
    lines.stat("rusage_system", &format_args!("{system:.6}"));
}

fn connections(turn: &Turn<'_>, totals: &Totals, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let open = shared.connections_open() as u64;
    lines.numbers(&[
        ("max_connections", turn.tunables().connections_max as u64),
        ("curr_connections", open),
        ("total_connections", shared.connections_total.load(Relaxed)),
        ("rejected_connections", shared.connections_rejected.load(Relaxed)),
        ("connection_structures", open),
    ]);
    lines.zeros(
        "response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes \
         read_buf_bytes_free",
    );
    lines.numbers(&[("read_buf_oom", totals.read_buf_oom), ("reserved_fds", 0)]);
}

/// What clients asked, and what came of it.
fn commands(totals: &Totals, lines: &mut Lines<'_>) {
    lines.numbers(&[
        ("cmd_get", totals.cmd_get),
        ("cmd_set", totals.cmd_set),
        ("cmd_flush", totals.cmd_flush),
        ("cmd_touch", totals.cmd_touch),
        ("cmd_meta", totals.cmd_meta),
        ("get_hits", totals.get_hits),
        ("get_misses", totals.get_misses),
        ("get_expired", totals.get_expired),
        ("get_flushed", totals.get_flushed),
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
        ("auth_cmds", totals.auth_cmds),
        ("auth_errors", totals.auth_errors),
        ("bytes_read", totals.bytes_read),
        ("bytes_written", totals.bytes_written),
    ]);
}

/// Bounds, and what happened at them.
fn limits(turn: &Turn<'_>, totals: &Totals, lines: &mut Lines<'_>) {
    let shared = turn.shared();
    let options = &shared.options;
    let (closed, closed_us) = shared.door.closed();
    lines.numbers(&[
        ("limit_maxbytes", shared.memory_bytes.load(Relaxed)),
        ("accepting_conns", u64::from(shared.door.is_open())),
        ("listen_disabled_num", closed),
        ("time_in_listen_disabled_us", closed_us),
        ("threads", options.workers as u64),
        ("conn_yields", totals.conn_yields),
    ]);
}

/// What memcached does beside the requests.
fn background(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    lines.zeros(
        "hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues \
         slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes \
         slab_reassign_busy_nomem",
    );
    lines.stat("slab_reassign_last_busy_status", &"none");
    lines.zeros(
        "slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts lru_maintainer_juggles \
         malloc_fails log_worker_dropped",
    );
    let watchers = &turn.shared().watchers;
    let counted = watchers.counted();
    lines.numbers(&[
        ("log_worker_written", counted.events),
        ("log_watcher_skipped", counted.skipped),
        ("log_watcher_sent", counted.sent),
        ("log_watchers", watchers.count() as u64),
    ]);
}

/// What is kept, and what had to go.
fn items(turn: &Turn<'_>, totals: &Totals, lines: &mut Lines<'_>) {
    let memory = memory(turn);
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
