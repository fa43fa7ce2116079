//! Expiry and delays, by the real clock.
//!
//! What must be there is asked in one write with what starts its time; what must be gone is waited for, and must not
//! be gone before.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::stacks::Stack;
use crate::support::wait::until;

crate::each_stack!(
    items_are_gone_when_their_seconds_are_over,
    a_delayed_flush_takes_what_was_written_after_it_too,
    a_later_flush_replaces_one_that_waits,
    expired_items_stay_away_after_a_restart,
    a_test_may_move_the_clock,
);

const SECOND: Duration = Duration::from_secs(1);

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Sleeps until `deadline`.
fn sleep_until(deadline: Instant) {
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
}

fn items_are_gone_when_their_seconds_are_over(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    let unix_time = unix_now().as_secs() + 2;
    let mut request = String::from("set stays 0 0 1\r\nx\r\nset long 0 100 1\r\nx\r\nset at 0 ");
    request += &format!("{unix_time} 1\r\nx\r\nset in 0 2 1\r\nx\r\nms meta 1 T2\r\nx\r\n");
    request += "set touched 0 100 1\r\nx\r\ntouch touched 2\r\nset got 0 0 1\r\nx\r\ngat 2 got\r\n";
    request += "set refreshed 0 2 1\r\nx\r\ntouch refreshed 100\r\nma counter N2 J5 v\r\n";
    client.ask(
        request,
        "STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\nHD\r\nSTORED\r\nTOUCHED\r\nSTORED\r\n\
         VALUE got 0 1\r\nx\r\nEND\r\nSTORED\r\nTOUCHED\r\nVA 1\r\n5\r\n",
    );
    let answered = Instant::now();
    running.cool(&mut client);
    client.send("get in meta touched got counter\r\n");
    let mut found = Vec::new();
    loop {
        match client.line() {
            line if line == "END" => break,
            line if line.starts_with("VALUE") => found.push(line),
            _ => {}
        }
    }
    // An item of two seconds lives for more than one: nothing goes early.
    if answered.elapsed() < SECOND {
        assert_eq!(found.len(), 5, "{found:?}");
    }
    sleep_until(answered + 2 * SECOND);
    let expected = "VALUE stays 0 1\r\nx\r\nVALUE long 0 1\r\nx\r\nVALUE refreshed 0 1\r\nx\r\nEND\r\n";
    client.ask("get stays long at in meta touched got refreshed counter\r\n", expected);
    client.ask("mg in v\r\nincr counter 1\r\ntouch touched 5\r\n", "EN\r\nNOT_FOUND\r\nNOT_FOUND\r\n");
    client.ask("add in 0 0 1\r\ny\r\nget in\r\n", "STORED\r\nVALUE in 0 1\r\ny\r\nEND\r\n");
}

fn a_delayed_flush_takes_what_was_written_after_it_too(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    client.ask("set before 0 0 1\r\nx\r\nflush_all 2\r\n", "STORED\r\nOK\r\n");
    let flushed = Instant::now();
    client.ask("set after 0 0 1\r\nx\r\n", "STORED\r\n");
    sleep_until(flushed + 2 * SECOND);
    running.cool(&mut client);
    client.ask("get before after\r\n", "END\r\n");
    client.ask("set new 0 0 1\r\nx\r\nget new\r\n", "STORED\r\nVALUE new 0 1\r\nx\r\nEND\r\n");
    let running = if stack.is_durable() { running.restart() } else { running };
    running.connect().ask("get before after new\r\n", "VALUE new 0 1\r\nx\r\nEND\r\n");
}

fn a_later_flush_replaces_one_that_waits(stack: Stack) {
    let running = stack.start();
    let mut client = running.connect();
    let sent = loop {
        let sent = Instant::now();
        client.ask("set a 0 0 1\r\nx\r\nflush_all 2\r\nflush_all 1000\r\n", "STORED\r\nOK\r\nOK\r\n");
        // On a busy machine the first may have become due before the second came.
        if sent.elapsed() < SECOND {
            break sent;
        }
    };
    sleep_until(sent + 3 * SECOND);
    assert_eq!(client.get("a").as_deref(), Some("x"));
}

fn expired_items_stay_away_after_a_restart(stack: Stack) {
    if !stack.is_durable() {
        return;
    }
    let running = stack.start();
    let mut client = running.connect();
    client.ask("set short 0 1 1\r\nx\r\nset long 0 100 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    let stored = Instant::now();
    let running = running.restart();
    sleep_until(stored + SECOND);
    let mut client = running.connect();
    client.ask("get short long\r\n", "VALUE long 0 1\r\nx\r\nEND\r\n");
    client.ask("touch short 100\r\nadd short 0 0 1\r\ny\r\n", "NOT_FOUND\r\nSTORED\r\n");
}

fn a_test_may_move_the_clock(stack: Stack) {
    let running = stack.start_with(&["-o", "debug_commands"]);
    let mut client = running.connect();
    client.ask("debugtime p\r\n", "OK\r\n");
    let stopped = client.stat("time");
    client.ask(
        "set day 0 86400 1\r\nx\r\nset ever 0 0 1\r\nx\r\nmg day t\r\n",
        "STORED\r\nSTORED\r\nHD t86400\r\n",
    );
    client.ask("debugtime 86399\r\n", "OK\r\n");
    client.ask("mg day t\r\n", "HD t1\r\n");
    running.cool(&mut client);
    client.ask("get day\r\ndebugtime 1\r\n", "VALUE day 0 1\r\nx\r\nEND\r\nOK\r\n");
    client.ask("get day ever\r\n", "VALUE ever 0 1\r\nx\r\nEND\r\n");
    assert_eq!(client.stat("time"), stopped + 86400);
    // A flush that waits is due when the clock says so.
    client.ask(
        "flush_all 3600\r\nget ever\r\ndebugtime 3600\r\n",
        "OK\r\nVALUE ever 0 1\r\nx\r\nEND\r\nOK\r\n",
    );
    running.cool(&mut client);
    client.ask("get ever\r\n", "END\r\n");
    client.ask("set short 0 1 1\r\nx\r\ndebugtime r\r\n", "STORED\r\nOK\r\n");
    until("the clock to run on", || client.get("short").is_none().then_some(()));
    assert!(client.stat("time") > stopped + 90_000);
    client.ask("debugtime\r\ndebugtime x\r\ndebugtime -1\r\n", "ERROR\r\nERROR\r\nERROR\r\n");
}
