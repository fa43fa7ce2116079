//! Connections that are silent for a while keep next to nothing, and go on as if nothing had been.

use crate::support::client::Client;
use crate::support::stacks::Stack;
use crate::support::wait::until;

crate::each_stack!(
    a_rested_connection_goes_on,
    what_is_under_way_is_not_put_to_rest,
    a_rested_connection_can_be_closed_from_both_sides,
);

/// Waits until so many connections were put to rest.
fn rested(other: &mut Client, count: u64) {
    // The one that asks is not silent.
    until("connections to rest", || (other.own_stat("connections_rested") >= count).then_some(()));
}

fn a_rested_connection_goes_on(stack: Stack) {
    let running = stack.start();
    let mut other = running.connect();
    let mut text = running.connect();
    text.set("a", "1");
    let mut binary = running.connect();
    let no_op = [0x80, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut answer = no_op;
    answer[0] = 0x81;
    binary.send(no_op);
    assert_eq!(binary.bytes(24), answer);
    rested(&mut other, 2);
    assert_eq!(other.stat("curr_connections"), 3);
    text.ask(
        "incr a 1\r\nget a\r\nset b 0 0 1 noreply\r\n2\r\nmn\r\n",
        "2\r\nVALUE a 0 1\r\n2\r\nEND\r\nMN\r\n",
    );
    binary.send(no_op);
    assert_eq!(binary.bytes(24), answer);
    // And again, as often as it is silent.
    rested(&mut other, 4);
    text.ask("get b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n");
    running.server.stop_cleanly();
}

fn what_is_under_way_is_not_put_to_rest(stack: Stack) {
    let running = stack.start();
    let mut other = running.connect();
    let mut half = running.connect();
    half.send("set half 0 0 5\r\nhal");
    let mut swallowing = running.connect();
    swallowing.send(format!("set {} 0 0 100\r\n0123456789", "k".repeat(251)));
    swallowing.expect("CLIENT_ERROR bad command line format\r\n");
    let mut silent = running.connect();
    silent.ask("mn\r\n", "MN\r\n");
    rested(&mut other, 1);
    half.ask("ve\r\n", "STORED\r\n");
    // What is left of the refused value is still thrown away, rested or not.
    swallowing.send("x".repeat(90) + "\r\n");
    swallowing.ask("get half\r\n", "VALUE half 0 5\r\nhalve\r\nEND\r\n");
}

fn a_rested_connection_can_be_closed_from_both_sides(stack: Stack) {
    let running = stack.start();
    let mut other = running.connect();
    let mut clients: Vec<Client> = (0..5).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.ask("mn\r\n", "MN\r\n");
    }
    rested(&mut other, 5);
    drop(clients.drain(..2));
    until("the connections to be gone", || (other.stat("curr_connections") == 4).then_some(()));
    drop(other);
    running.server.stop_cleanly();
    for client in &mut clients {
        client.expect_close();
    }
}

#[test]
fn a_rested_connection_is_closed_when_it_is_silent_for_too_long() {
    let running = Stack::Ram.start_with(&["-t", "1", "-o", "idle_timeout=6"]);
    let mut other = running.connect();
    let mut silent = running.connect();
    silent.ask("mn\r\n", "MN\r\n");
    rested(&mut other, 1);
    until("the connection to be closed", || (other.own_stat("idle_kicks") == 1).then_some(()));
    silent.expect_close();
}

#[test]
fn very_many_wake_at_once() {
    const COUNT: usize = 300;
    let running = Stack::Ram.start_with(&["-t", "1"]);
    let mut other = running.connect();
    let mut clients: Vec<Client> = (0..COUNT).map(|_| running.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.set(&format!("key:{number}"), &number.to_string());
    }
    rested(&mut other, COUNT as u64);
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("get key:{number}\r\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let value = number.to_string();
        client.expect(format!("VALUE key:{number} 0 {}\r\n{value}\r\nEND\r\n", value.len()));
    }
    assert_eq!(other.stat("curr_connections"), COUNT as u64 + 1);
}
