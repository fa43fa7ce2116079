//! Real clients, on every stack. Over a small RAM they have so much data that most reads reach the store, which is
//! checked.

use std::process::Command;

use crate::support::outside;
use crate::support::stacks::{Running, Stack};

crate::each_stack!(
    pymemcache_is_served,
    python_binary_memcached_is_served,
    memjs_is_served,
    memccapable_finds_everything,
);

/// memccapable has this many checks for each protocol.
const CAPABILITIES: usize = 27;

fn served(stack: Stack, client: impl FnOnce(&Running) -> Command) {
    if outside::is_left_out() {
        return;
    }
    let running = stack.start();
    let said = outside::run(&mut client(&running));
    assert!(said.ends_with("is served\n"), "it came to its end: {said}");
    if stack == Stack::SmallRam {
        assert_most_reads_reach_the_store(&running);
    }
    running.server.stop_cleanly();
}

fn assert_most_reads_reach_the_store(running: &Running) {
    let mut client = running.connect();
    let from_store = client.stack_stat("tier_misses");
    let from_ram = client.stack_stat("tier_hits") + client.stack_stat("tier_negative_hits");
    assert!(from_store >= 9 * from_ram, "{from_store} reads reached the store, {from_ram} did not");
}

fn port(running: &Running) -> String {
    running.server.address().port().to_string()
}

fn pymemcache_is_served(stack: Stack) {
    served(stack, |running| {
        let mut python = outside::python();
        python.arg(outside::file("clients/pymemcache_all.py")).arg(port(running));
        python
    });
}

fn python_binary_memcached_is_served(stack: Stack) {
    served(stack, |running| {
        let mut python = outside::python();
        python.arg(outside::file("clients/bmemcached_all.py")).arg(port(running));
        python
    });
}

fn memjs_is_served(stack: Stack) {
    served(stack, |running| {
        let mut node = outside::node();
        node.arg(outside::file("clients/memjs_all.js")).arg(port(running));
        node
    });
}

fn memccapable_finds_everything(stack: Stack) {
    if outside::is_left_out() {
        return;
    }
    let running = stack.start();
    let port = &port(&running);
    for protocol in ["-a", "-b"] {
        let checks = ["-h", "127.0.0.1", "-p", port, protocol];
        let said = outside::run(Command::new("memccapable").args(checks));
        let passed = said.lines().filter(|line| line.trim_end().ends_with("[pass]")).count();
        assert_eq!(passed, CAPABILITIES, "{said}");
        assert!(said.contains("All tests passed"), "{said}");
    }
    running.server.stop_cleanly();
}
