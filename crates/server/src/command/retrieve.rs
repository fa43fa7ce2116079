//! The commands that read: get, gat, mg, me, and the binary look-ups.

use larder_engine::reply::{GetReply, KeepItem};
use larder_engine::{Found, Get, Item, Key, ManySink, Missed, Reply, Sink, Vivify};
use larder_protocol::{self as protocol, ExpTime, Form, Response};

use super::hit::{HitSink, Outcome, Wants};
use super::pending::{Group, Kind, Pending};
use super::{Close, Turn, fail, map, respond, stack};
use crate::connection::Replies;
use crate::connection::output::Output;
use crate::connection::queue::Claim;
use crate::detail::Seen;
use crate::watch::{self, Streams};

/// Keys of a retrieval line handed to an engine at a time.
const KEYS_PER_CALL: usize = 64;

/// A look-up as the counters see it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Get,
    Touch,
    /// Seen by no counter of look-ups.
    Not,
}

/// Counts a look-up, and tells those who watch.
#[inline]
fn count(turn: &Turn<'_>, counted: Counted, key: &[u8], is_hit: bool, outcome: Outcome) {
    if turn.watched().intersects(Streams::FETCHERS) {
        watch::fetched(turn, key, is_hit.then_some(outcome.value_bytes), outcome.missed);
    }
    let counters = turn.counters();
    if counted != Counted::Not {
        turn.shared().detail.count(key, Seen::Get { is_hit });
    }
    let (hits, misses) = match counted {
        Counted::Get => {
            counters.cmd_get.add(1);
            (&counters.get_hits, &counters.get_misses)
        }
        Counted::Touch => {
            counters.cmd_touch.add(1);
            (&counters.touch_hits, &counters.touch_misses)
        }
        Counted::Not => return,
    };
    if is_hit {
        return hits.add(1);
    }
    misses.add(1);
    match outcome.missed {
        None => {}
        Some(Missed::Expired) => counters.get_expired.add(1),
        Some(Missed::Flushed) => counters.get_flushed.add(1),
    }
}

fn classic(turn: &Turn<'_>, get: &protocol::Get<'_>) -> (Get, Counted) {
    match get.touch {
        None => (Get::plain(), Counted::Get),
        Some(exptime) => {
            (Get { touch: Some(map::expiry(exptime, turn.now)), ..Get::plain() }, Counted::Touch)
        }
    }
}

/// Classic retrieval of one key.
pub(super) fn get_one(
    turn: &Turn<'_>,
    form: &Form<'_>,
    get: &protocol::Get<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let key = get.keys.first();
    let (options, counted) = classic(turn, get);
    let asked = Asked { wants: Wants::VALUE, counted, shape: Shape::Single, missed: None };
    look_up(turn, form, key, &options, asked, out)
}

/// `mg`, and the binary get, touch and get-and-touch.
pub(super) fn lookup(
    turn: &Turn<'_>,
    form: &Form<'_>,
    lookup: &protocol::Lookup<'_>,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let options = Get {
        touch: lookup.touch.map(|exptime| map::expiry(exptime, turn.now)),
        vivify: lookup
            .vivify
            .map(|exptime| Vivify { expiry: map::expiry(exptime, turn.now), new_cas: lookup.new_cas }),
        recache_below: lookup.recache_seconds.map(|seconds| map::seconds_left(ExpTime(seconds), turn.now)),
        tokens: matches!(form, Form::Meta(_)),
        bump: lookup.bump,
    };
    let counted = if options.touch.is_some() { Counted::Touch } else { Counted::Get };
    let wants = Wants { value: lookup.value, unless_cas: lookup.unless_cas };
    let asked = Asked { wants, counted, shape: Shape::Alone, missed: None };
    look_up(turn, form, lookup.key, &options, asked, out)
}

/// `me`.
pub(super) fn debug(
    turn: &Turn<'_>,
    form: &Form<'_>,
    key: &[u8],
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    turn.counters().cmd_meta.add(1);
    let options = Get { bump: false, ..Get::plain() };
    let asked = Asked { wants: Wants::VALUE, counted: Counted::Not, shape: Shape::Debug, missed: None };
    let (stack, routed) = match stack(turn, key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    let mut sink = KeepItem::default();
    match stack.engine.get(&turn.context(), routed, &options, &mut sink) {
        Reply::Ready(Ok(_)) => {
            asked.answer(turn, form, key, sink.0.as_ref(), out);
            Ok(None)
        }
        Reply::Ready(Err(error)) => fail(turn, form, &error, out).map(|()| None),
        Reply::Pending(operation) => {
            Ok(Some(Pending::new(form, Kind::get(key, asked, turn.under_way(operation)))))
        }
    }
}

/// What is around the answer of a look-up.
#[derive(Clone)]
pub(crate) enum Shape {
    /// A retrieval line of one key: `END` follows.
    Single,
    /// One of several keys: `END` comes with the group.
    Grouped(Group),
    /// Nothing.
    Alone,
    /// The item's attributes instead of the item.
    Debug,
}

/// A look-up under way, besides its key.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) wants: Wants,
    pub(crate) counted: Counted,
    pub(crate) shape: Shape,
    /// Why the engine on top had nothing, where it told.
    pub(crate) missed: Option<Missed>,
}

impl Asked {
    /// Answers from an owned item.
    pub(crate) fn answer(
        &self,
        turn: &Turn<'_>,
        form: &Form<'_>,
        key: &[u8],
        item: Option<&Item>,
        out: &mut Output,
    ) {
        match (item, &self.shape) {
            (Some(item), Shape::Debug) => respond(form, &Response::Debug(attributes(turn, key, item)), out),
            (Some(item), _) => {
                let shows_cas = turn.shows_cas();
                let outcome = Outcome::default();
                HitSink { form, key, wants: self.wants, now: turn.now, shows_cas, out, outcome }.item(item);
            }
            (None, _) => {}
        }
        let value_bytes = item.map_or(0, |item| item.value.len());
        self.conclude(turn, form, key, item.is_some(), Outcome { value_bytes, missed: self.missed }, out);
    }

    /// Counts, and writes what follows the hit or stands for the miss.
    fn conclude(
        &self,
        turn: &Turn<'_>,
        form: &Form<'_>,
        key: &[u8],
        is_hit: bool,
        outcome: Outcome,
        out: &mut Output,
    ) {
        count(turn, self.counted, key, is_hit, outcome);
        if !is_hit {
            respond(form, &Response::Miss { key }, out);
        }
        if matches!(self.shape, Shape::Single) {
            respond(form, &Response::End, out);
        }
    }
}

fn attributes(turn: &Turn<'_>, key: &[u8], item: &Item) -> protocol::Debug {
    let found = &item.found;
    protocol::Debug {
        ttl: found.expiry.seconds_left(turn.now),
        last_access_seconds: found.last_access.map_or(0, |last| turn.now.seconds_since(last)),
        cas: if turn.shows_cas() { found.cas } else { 0 },
        fetched: found.fetched,
        class: 1,
        item_bytes: key.len() + item.value.len(),
    }
}

fn look_up(
    turn: &Turn<'_>,
    form: &Form<'_>,
    key: &[u8],
    options: &Get,
    asked: Asked,
    out: &mut Output,
) -> Result<Option<Pending>, Close> {
    let (stack, routed) = match stack(turn, key) {
        Ok(found) => found,
        Err(error) => return fail(turn, form, &error, out).map(|()| None),
    };
    let (wants, now, shows_cas) = (asked.wants, turn.now, turn.shows_cas());
    let mut sink = HitSink { form, key, wants, now, shows_cas, out, outcome: Outcome::default() };
    match stack.engine.get(&turn.context(), routed, options, &mut sink) {
        Reply::Ready(Ok(found)) => {
            let outcome = sink.outcome;
            asked.conclude(turn, form, key, found.is_some(), outcome, out);
            Ok(None)
        }
        Reply::Ready(Err(error)) => fail(turn, form, &error, out).map(|()| None),
        Reply::Pending(operation) => {
            let asked = Asked { missed: sink.outcome.missed, ..asked };
            Ok(Some(Pending::new(form, Kind::get(key, asked, turn.under_way(operation)))))
        }
    }
}

/// Keys of a retrieval line that are answered in one turn; others come before the rest.
const KEYS_PER_TURN: usize = 1024;

/// Classic retrieval of several keys: answered in the order asked, each as soon as those before it are. The keys that
/// are left when the turn is over, or the client has enough to take, come back for another call.
#[must_use]
pub(crate) fn get_many<'a>(
    turn: &Turn<'_>,
    form: &Form<'_>,
    get: &protocol::Get<'a>,
    group: &Group,
    replies: &mut Replies,
) -> Option<protocol::Keys<'a>> {
    let (options, counted) = classic(turn, get);
    let mut keys = get.keys.into_iter();
    let mut chunk = [Key::new(b"-"); KEYS_PER_CALL];
    let mut asked = 0;
    loop {
        let before = keys.clone();
        let Some(first) = keys.next() else { break };
        if asked >= KEYS_PER_TURN || (asked > 0 && replies.are_enough()) {
            return before.rest();
        }
        let (stack, routed) = match stack(turn, first) {
            Ok(found) => found,
            Err(error) => {
                group.failed(turn, error);
                asked += 1;
                continue;
            }
        };
        chunk[0] = routed;
        let mut filled = 1;
        // Neighbours of the same stack are asked together.
        while filled < KEYS_PER_CALL {
            let mut next = keys.clone();
            let routed = next.next().and_then(|key| turn.routes.route(key));
            let Some((_, routed)) = routed.filter(|(other, _)| std::ptr::eq(&***other, stack)) else { break };
            chunk[filled] = routed;
            filled += 1;
            keys = next;
        }
        asked += filled;
        let outcome = Outcome::default();
        let mut many =
            Many { turn, form, keys: &chunk[..filled], counted, group, replies, sink: None, outcome };
        stack.engine.get_many(&turn.context(), &chunk[..filled], &options, &mut many);
    }
    if replies.queue.is_empty() {
        group.end(&mut replies.output);
    } else {
        replies.queue.end(group.clone());
    }
    None
}

/// Takes the answers of one call for several keys.
struct Many<'a, 't> {
    turn: &'a Turn<'t>,
    form: &'a Form<'a>,
    keys: &'a [Key<'a>],
    counted: Counted,
    group: &'a Group,
    replies: &'a mut Replies,
    /// The key a hit is for.
    sink: Option<usize>,
    /// What was said of the key that is answered next.
    outcome: Outcome,
}

impl Sink for Many<'_, '_> {
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]) {
        self.with_sink(|sink| sink.hit(found, pieces));
    }

    fn hit_shared(&mut self, found: &Found, value: &bytes::Bytes) {
        self.with_sink(|sink| sink.hit_shared(found, value));
    }

    fn missed(&mut self, why: Missed) {
        self.outcome.missed = Some(why);
    }
}

impl Many<'_, '_> {
    fn with_sink(&mut self, hit: impl FnOnce(&mut HitSink<'_>)) {
        let index = self.sink.expect("an engine asks for the sink of a key before it hits");
        let key = self.keys[index].bytes();
        let (form, now) = (self.form, self.turn.now);
        let (wants, shows_cas) = (Wants::VALUE, self.turn.shows_cas());
        let outcome = Outcome::default();
        let mut sink = HitSink { form, key, wants, now, shows_cas, out: self.replies.tail(), outcome };
        hit(&mut sink);
        self.outcome = sink.outcome;
    }
}

impl ManySink for Many<'_, '_> {
    fn sink(&mut self, index: usize) -> &mut dyn Sink {
        self.sink = Some(index);
        self.outcome = Outcome::default();
        self
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        let key = self.keys[index].bytes();
        match reply {
            Reply::Ready(Ok(found)) => {
                count(self.turn, self.counted, key, found.is_some(), std::mem::take(&mut self.outcome));
            }
            Reply::Ready(Err(error)) => self.group.failed(self.turn, error),
            Reply::Pending(operation) => {
                let shape = Shape::Grouped(self.group.clone());
                let missed = std::mem::take(&mut self.outcome).missed;
                let asked = Asked { wants: Wants::VALUE, counted: self.counted, shape, missed };
                let claim = Claim {
                    key_hash: self.replies.hash(key),
                    writes: matches!(self.counted, Counted::Touch),
                };
                let operation = self.turn.under_way(operation);
                let pending = Pending::new(self.form, Kind::get(key, asked, operation));
                self.replies.queue.wait(claim, pending);
            }
        }
    }
}
