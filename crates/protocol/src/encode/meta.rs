//! Answers to meta commands: a code of two letters, then flags in the order of the request's.

use crate::request::Keys;
use crate::{Debug, FlagSet, Hit, MetaCommand, MetaForm, Number, Response, Stored, Ttl, Value};

use super::text::put_value;
use super::{put_failure_line, put_line, put_number};

/// The flags that a success repeats or answers, by command.
const OF_GET: FlagSet = FlagSet::of(b"Okfstchl");
const OF_SET: FlagSet = FlagSet::of(b"Okcs");
const OF_DELETE: FlagSet = FlagSet::of(b"Ok");
const OF_ARITHMETIC: FlagSet = FlagSet::of(b"Okct");
/// The flags that a miss or an unmet condition repeats.
const OF_FAILURE: FlagSet = FlagSet::of(b"Ok");
/// The same for `ms`, which says `c0` besides.
const OF_SET_FAILURE: FlagSet = FlagSet::of(b"Okc");

/// What the flags of an answer say.
#[derive(Default)]
struct Answers {
    cas: u64,
    value_bytes: usize,
    client_flags: u32,
    ttl: Ttl,
    ttl_before: Ttl,
    fetched: bool,
    last_access_seconds: u32,
}

#[inline]
pub(super) fn encode(form: &MetaForm<'_>, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    let quiet = form.flags.has(b'q');
    match response {
        Response::Hit(hit) => return hit_answer(form, hit, out),
        Response::Miss { .. } if form.command == MetaCommand::Debug => put_line(b"EN", out),
        Response::Miss { .. } | Response::NotFound => {
            if form.command != MetaCommand::Get {
                refusal(form, b"NF", out);
            } else if !quiet {
                refusal(form, b"EN", out);
            }
        }
        Response::Stored(_) | Response::Deleted | Response::Number(_) if quiet => {}
        Response::Stored(stored) => stored_answer(form, stored, out),
        Response::Deleted => {
            out.extend_from_slice(b"HD");
            put_flags(form, OF_DELETE, &Answers::default(), out);
            out.extend_from_slice(b"\r\n");
        }
        Response::Number(number) => number_answer(form, number, out),
        Response::NotStored => refusal(form, b"NS", out),
        Response::Exists => refusal(form, b"EX", out),
        Response::Noop => put_line(b"MN", out),
        Response::Debug(debug) => debug_line(form, debug, out),
        Response::Error(error) => put_line(error.line().as_bytes(), out),
        Response::Failure(failure) => put_failure_line(failure, out),
        // Never the answer to a meta command.
        Response::End | Response::Touched | Response::Ok | Response::Quit | Response::Reset => {}
        Response::Stat { .. } | Response::StatEnd | Response::Version(_) | Response::Line(_) => {}
        Response::SaslMechanisms(_)
        | Response::Authenticated
        | Response::AuthContinue(_)
        | Response::Raw(_) => {}
    }
    false
}

/// `HD <flags>`, or `VA <bytes> <flags>` and the value.
#[inline]
fn hit_answer(form: &MetaForm<'_>, hit: &Hit<'_>, out: &mut Vec<u8>) -> bool {
    let length = hit.value.len();
    let sends_value = form.flags.has(b'v') && !matches!(hit.value, Value::Unsent { .. });
    if sends_value {
        out.extend_from_slice(b"VA ");
        put_number(length as u64, out);
    } else {
        out.extend_from_slice(b"HD");
    }
    if form.flags.intersects(OF_GET) {
        let answers = Answers {
            cas: hit.cas,
            value_bytes: length,
            client_flags: hit.flags,
            ttl: hit.ttl,
            ttl_before: hit.ttl_before,
            fetched: hit.fetched,
            last_access_seconds: hit.last_access_seconds,
        };
        put_flags(form, OF_GET, &answers, out);
    }
    if hit.won_by_other {
        out.extend_from_slice(b" Z");
    }
    if hit.stale {
        out.extend_from_slice(b" X");
    }
    if hit.won {
        out.extend_from_slice(b" W");
    }
    out.extend_from_slice(b"\r\n");
    sends_value && put_value(&hit.value, out)
}

#[inline]
fn stored_answer(form: &MetaForm<'_>, stored: &Stored, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HD");
    if form.flags.intersects(OF_SET) {
        let answers = Answers { cas: stored.cas, value_bytes: stored.value_bytes, ..Answers::default() };
        put_flags(form, OF_SET, &answers, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn number_answer(form: &MetaForm<'_>, number: &Number, out: &mut Vec<u8>) {
    let answers =
        Answers { cas: number.cas, ttl: number.ttl, ttl_before: number.ttl_before, ..Answers::default() };
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number.value).as_bytes();
    let sends_value = form.flags.has(b'v');
    if sends_value {
        out.extend_from_slice(b"VA ");
        put_number(digits.len() as u64, out);
    } else {
        out.extend_from_slice(b"HD");
    }
    put_flags(form, OF_ARITHMETIC, &answers, out);
    out.extend_from_slice(b"\r\n");
    if sends_value {
        put_line(digits, out);
    }
}

/// A miss or an unmet condition.
fn refusal(form: &MetaForm<'_>, code: &[u8; 2], out: &mut Vec<u8>) {
    let answered = if form.command == MetaCommand::Set { OF_SET_FAILURE } else { OF_FAILURE };
    out.extend_from_slice(code);
    put_flags(form, answered, &Answers::default(), out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to each of the line's flags that is in `answered`, in the line's order.
#[inline]
fn put_flags(form: &MetaForm<'_>, answered: FlagSet, answers: &Answers, out: &mut Vec<u8>) {
    if !form.flags.intersects(answered) {
        return;
    }
    let mut is_touched = false;
    for token in (Keys { line: form.flag_tokens }) {
        let letter = token[0];
        is_touched |= letter == b'T';
        if !answered.has(letter) {
            continue;
        }
        if letter == b'O' {
            out.push(b' ');
            out.extend_from_slice(token);
            continue;
        }
        out.extend_from_slice(&[b' ', letter]);
        match letter {
            b'k' => put_key(form, out),
            b'c' => put_number(answers.cas, out),
            b's' => put_number(answers.value_bytes as u64, out),
            b'f' => put_number(answers.client_flags, out),
            b'h' => put_number(answers.fetched, out),
            b'l' => put_number(answers.last_access_seconds, out),
            // A touch before `t` shows in it, one behind it does not yet.
            b't' => put_ttl(if is_touched { answers.ttl } else { answers.ttl_before }, out),
            _ => {}
        }
    }
}

/// Appends the key as the client wrote it, with a mark if that is base64.
fn put_key(form: &MetaForm<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(form.key_token);
    if form.flags.has(b'b') {
        out.extend_from_slice(b" b");
    }
}

fn put_ttl(ttl: Ttl, out: &mut Vec<u8>) {
    match ttl {
        Some(seconds) => put_number(seconds, out),
        None => out.extend_from_slice(b"-1"),
    }
}

/// `ME <key> exp=… la=… cas=… fetch=… cls=… size=…`
fn debug_line(form: &MetaForm<'_>, debug: &Debug, out: &mut Vec<u8>) {
    out.extend_from_slice(b"ME ");
    out.extend_from_slice(form.key_token);
    out.extend_from_slice(b" exp=");
    put_ttl(debug.ttl, out);
    out.extend_from_slice(b" la=");
    put_number(debug.last_access_seconds, out);
    out.extend_from_slice(b" cas=");
    put_number(debug.cas, out);
    out.extend_from_slice(if debug.fetched { b" fetch=yes cls=" } else { b" fetch=no cls=" });
    put_number(debug.class, out);
    out.extend_from_slice(b" size=");
    put_number(debug.item_bytes as u64, out);
    out.extend_from_slice(b"\r\n");
}
