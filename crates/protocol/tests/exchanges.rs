//! The tables of exchanges: request bytes, answer bytes, however the stream is cut.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::Connection;
use common::exchange::{Exchange, Piece, assert_answer, load};
use larder_protocol::Limits;

/// Streams up to this length are cut at every byte, longer ones at some.
const EVERY_CUT_BYTES_MAX: usize = 4000;

/// Small enough that short values, too, are read apart from their requests.
const SMALL_INLINE: Limits =
    Limits { item_bytes_max: 1 << 20, multiget_line_bytes_max: 8 << 20, value_bytes_inline_max: 16 };

fn whole(exchange: &Exchange) -> (Vec<u8>, Vec<Piece>) {
    let sent = exchange.steps.iter().flat_map(|step| step.sent.iter().copied()).collect();
    let expected = exchange.steps.iter().flat_map(|step| step.expected.iter().cloned()).collect();
    (sent, expected)
}

fn check<'a>(exchange: &Exchange, limits: Limits, how: &str, pieces: impl IntoIterator<Item = &'a [u8]>) {
    let mut connection = Connection::new(limits);
    let mut answer = Vec::new();
    for piece in pieces {
        connection.feed(piece, &mut answer);
    }
    assert_answer(&exchange.name, how, &whole(exchange).1, &answer);
    assert_eq!(connection.is_closed, exchange.closes, "{} ({how}): closes", exchange.name);
}

#[test]
fn answers_each_step() {
    for exchange in load() {
        for limits in [Limits::default(), SMALL_INLINE] {
            let mut connection = Connection::new(limits);
            for step in &exchange.steps {
                let mut answer = Vec::new();
                connection.feed(&step.sent, &mut answer);
                assert_answer(&exchange.name, "step by step", &step.expected, &answer);
            }
            assert_eq!(connection.is_closed, exchange.closes, "{}: closes", exchange.name);
        }
    }
}

#[test]
fn answers_all_in_one_write() {
    for exchange in load() {
        let (sent, _) = whole(&exchange);
        check(&exchange, Limits::default(), "all in one write", [sent.as_slice()]);
        check(&exchange, SMALL_INLINE, "all in one write", [sent.as_slice()]);
    }
}

#[test]
fn answers_cut_at_every_byte() {
    for exchange in load() {
        let (sent, _) = whole(&exchange);
        let step = if sent.len() <= EVERY_CUT_BYTES_MAX { 1 } else { sent.len() / 20 };
        for limits in [Limits::default(), SMALL_INLINE] {
            for cut in (1..sent.len()).step_by(step) {
                let (left, right) = sent.split_at(cut);
                check(&exchange, limits, &format!("cut at {cut}"), [left, right]);
            }
        }
    }
}

#[test]
fn answers_byte_by_byte() {
    for exchange in load() {
        let (sent, _) = whole(&exchange);
        if sent.len() <= EVERY_CUT_BYTES_MAX * 2 {
            check(&exchange, Limits::default(), "byte by byte", sent.chunks(1));
            check(&exchange, SMALL_INLINE, "byte by byte", sent.chunks(1));
        }
    }
}
