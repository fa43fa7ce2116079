//! `stats`: the names that monitoring programs read, in their order, and what they count.

use crate::support::Client;
use crate::support::stacks::Stack;

crate::each_stack!(
    general_statistics_have_memcached_s_names,
    requests_are_counted,
    reset_sets_events_to_zero,
    settings_say_what_was_asked_for,
    items_and_slabs_are_one_class,
    larder_s_own_say_what_each_stack_is,
    the_version_is_the_same_everywhere,
);

const GENERAL: &str = "\
    pid uptime time version libevent pointer_size rusage_user rusage_system max_connections curr_connections \
    total_connections rejected_connections connection_structures response_obj_oom response_obj_count \
    response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set \
    cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses \
    incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large \
    store_no_memory auth_cmds auth_errors bytes_read bytes_written limit_maxbytes accepting_conns \
    listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes \
    hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_inline_reclaim \
    slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem slab_reassign_last_busy_status \
    slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts lru_maintainer_juggles malloc_fails \
    log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids \
    round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched \
    evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold \
    moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped";

const SETTINGS: &str = "\
    maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask shutdown_command \
    growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix detail_enabled reqs_per_event \
    cas_enabled tcp_backlog binding_protocol auth_enabled_sasl auth_enabled_ascii item_size_max maxconns_fast \
    hashpower_init slab_reassign slab_automove slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler \
    lru_crawler_sleep lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm \
    lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru \
    temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes \
    inline_ascii_response ssl_enabled num_napi_ids memory_file client_flags_size";

const ITEMS: &str = "\
    number number_hot number_warm number_cold number_temp age_hot age_warm age mem_requested evicted \
    evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched \
    evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm \
    moves_within_lru direct_reclaims hits_to_hot hits_to_warm hits_to_cold hits_to_temp";

const SLABS: &str = "\
    chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end get_hits cmd_set \
    delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits";

fn names(stats: &[(String, String)]) -> Vec<&str> {
    stats.iter().map(|(name, _)| name.as_str()).collect()
}

fn value<'a>(stats: &'a [(String, String)], name: &str) -> &'a str {
    let found = stats.iter().find(|(other, _)| other == name);
    &found.unwrap_or_else(|| panic!("{name} is missing in {stats:?}")).1
}

fn general_statistics_have_memcached_s_names(stack: Stack) {
    let running = stack.start_with(&["-m", "100", "-t", "3", "-c", "77"]);
    let stats = running.connect().stats("");
    let expected: Vec<&str> = GENERAL.split_whitespace().collect();
    assert_eq!(expected.len(), 93);
    assert_eq!(names(&stats), expected);
    for (name, value) in &stats {
        let is_number = value.parse::<f64>().is_ok();
        let is_text = ["version", "libevent", "slab_reassign_last_busy_status"].contains(&name.as_str());
        assert!(is_number != is_text, "{name} is {value}");
    }
    assert_eq!(value(&stats, "pid"), running.server.pid().to_string());
    assert_eq!(value(&stats, "limit_maxbytes"), (100 << 20).to_string());
    assert_eq!(value(&stats, "threads"), "3");
    assert_eq!(value(&stats, "max_connections"), "77");
    assert_eq!(value(&stats, "curr_connections"), "1");
    assert_eq!(value(&stats, "slab_reassign_last_busy_status"), "none");
    assert!(value(&stats, "version").starts_with(|first: char| first.is_ascii_digit()));
}

/// Sends requests and says by how much each of these counters grew.
fn growth(client: &mut Client, requests: &str, answer: &str, counters: &[&str]) -> Vec<u64> {
    let before: Vec<u64> = counters.iter().map(|name| client.stat(name)).collect();
    client.ask(requests, answer);
    counters.iter().zip(before).map(|(name, before)| client.stat(name) - before).collect()
}

fn requests_are_counted(stack: Stack) {
    let running = stack.start();
    let client = &mut running.connect();
    let mut check = |requests: &str, answer: &str, expected: &[(&str, u64)]| {
        let counters: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
        let grown: Vec<_> =
            counters.iter().copied().zip(growth(client, requests, answer, &counters)).collect();
        assert_eq!(grown, expected, "after {requests:?}");
    };
    check("set a 0 0 1\r\n1\r\n", "STORED\r\n", &[("cmd_set", 1), ("total_items", 1), ("cmd_get", 0)]);
    check(
        "get a b a c\r\n",
        "VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
        &[("cmd_get", 4), ("get_hits", 2), ("get_misses", 2), ("cmd_touch", 0)],
    );
    check("mg a v\r\n", "VA 1\r\n1\r\n", &[("cmd_get", 1), ("get_hits", 1)]);
    check("mg b v\r\n", "EN\r\n", &[("cmd_get", 1), ("get_misses", 1)]);
    check("add a 0 0 1\r\n1\r\n", "NOT_STORED\r\n", &[("cmd_set", 1), ("total_items", 0)]);
    check(
        "cas a 0 0 1 18446744073709551615\r\n1\r\ncas b 0 0 1 1\r\n1\r\n",
        "EXISTS\r\nNOT_FOUND\r\n",
        &[("cas_badval", 1), ("cas_misses", 1), ("cas_hits", 0), ("cmd_set", 2)],
    );
    check("incr a 1\r\nincr b 1\r\n", "2\r\nNOT_FOUND\r\n", &[("incr_hits", 1), ("incr_misses", 1)]);
    check("decr a 1\r\ndecr b 1\r\n", "1\r\nNOT_FOUND\r\n", &[("decr_hits", 1), ("decr_misses", 1)]);
    check(
        "touch a 0\r\ntouch b 0\r\n",
        "TOUCHED\r\nNOT_FOUND\r\n",
        &[("cmd_touch", 2), ("touch_hits", 1), ("touch_misses", 1), ("cmd_get", 0)],
    );
    check(
        "gat 0 a b\r\n",
        "VALUE a 0 1\r\n1\r\nEND\r\n",
        &[("cmd_touch", 2), ("touch_hits", 1), ("touch_misses", 1), ("cmd_get", 0)],
    );
    check("me b\r\n", "EN\r\n", &[("cmd_meta", 1), ("cmd_get", 0)]);
    check(
        "delete a\r\ndelete a\r\n",
        "DELETED\r\nNOT_FOUND\r\n",
        &[("delete_hits", 1), ("delete_misses", 1)],
    );
    check("flush_all\r\n", "OK\r\n", &[("cmd_flush", 1)]);
    let large = format!("set a 0 0 1048577\r\n{}\r\n", "x".repeat(1_048_577));
    check(
        &large,
        "SERVER_ERROR object too large for cache\r\n",
        &[("store_too_large", 1), ("cmd_set", 0), ("total_items", 0)],
    );
    let read = growth(client, "get a\r\n", "END\r\n", &["bytes_read", "bytes_written"]);
    assert!(read.iter().all(|&bytes| bytes > 5), "{read:?}");
}

fn reset_sets_events_to_zero(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.set("a", "1");
    client.ask("get a b\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    client.ask("stats reset\r\n", "RESET\r\n");
    let stats = client.stats("");
    for name in ["cmd_get", "cmd_set", "get_hits", "get_misses", "total_items"] {
        assert_eq!(value(&stats, name), "0", "{name}");
    }
    for name in ["curr_items", "curr_connections", "limit_maxbytes", "max_connections"] {
        assert_ne!(value(&stats, name), "0", "{name} is no event");
    }
}

fn settings_say_what_was_asked_for(stack: Stack) {
    let running = stack.start_with(&["-m", "80", "-c", "50", "-t", "2", "-R", "7", "-I", "2m", "-A"]);
    let stats = running.connect().stats("settings");
    assert_eq!(names(&stats), SETTINGS.split_whitespace().collect::<Vec<_>>());
    for (name, expected) in [
        ("maxbytes", (80 << 20).to_string()),
        ("maxconns", "50".to_owned()),
        ("tcpport", running.server.address().port().to_string()),
        ("num_threads", "2".to_owned()),
        ("reqs_per_event", "7".to_owned()),
        ("item_size_max", (2 << 20).to_string()),
        ("shutdown_command", "yes".to_owned()),
        ("binding_protocol", "auto-negotiate".to_owned()),
        ("cas_enabled", "yes".to_owned()),
        ("evictions", "on".to_owned()),
        ("domain_socket", "NULL".to_owned()),
        ("udpport", "0".to_owned()),
        ("client_flags_size", "4".to_owned()),
    ] {
        assert_eq!(value(&stats, name), expected, "{name}");
    }
}

fn items_and_slabs_are_one_class(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.ask("stats items\r\n", "END\r\n");
    for number in 0..10 {
        client.set(&format!("key:{number}"), "value");
    }
    let stats = client.stats("items");
    let expected: Vec<String> = ITEMS.split_whitespace().map(|name| format!("items:1:{name}")).collect();
    assert_eq!(names(&stats), expected);
    assert_eq!(value(&stats, "items:1:number"), "10");
    let stats = client.stats("slabs");
    let mut expected: Vec<String> = SLABS.split_whitespace().map(|name| format!("1:{name}")).collect();
    expected.extend(["active_slabs".to_owned(), "total_malloced".to_owned()]);
    assert_eq!(names(&stats), expected);
    assert_eq!(value(&stats, "1:cmd_set"), "10");
    client.ask("stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
    client.ask("stats nonsense\r\n", "ERROR\r\n");
}

fn larder_s_own_say_what_each_stack_is(stack: Stack) {
    let running = stack.start();
    let stats = running.connect().stats("larder");
    let (_, promise) = (value(&stats, "stack:0:expression"), value(&stats, "stack:0:level"));
    assert_eq!(value(&stats, "stack:0:prefixes"), "\"\"");
    assert_eq!(value(&stats, "stack:0:ready"), "yes");
    assert_eq!(promise, if stack.is_durable() { "local" } else { "ram" });
}

fn the_version_is_the_same_everywhere(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.send("version\r\n");
    let line = client.line();
    let version = line.strip_prefix("VERSION ").expect("the answer to `version`");
    assert_eq!(value(&client.stats(""), "version"), version);
    let mut client = running.connect();
    client.send([&[0x80, 0x0b][..], &[0; 22]].concat());
    let head = client.bytes(24);
    assert_eq!((head[0], head[1], head[7]), (0x81, 0x0b, 0));
    assert_eq!(client.bytes(usize::from(head[11])), version.as_bytes());
}
