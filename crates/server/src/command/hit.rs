//! Writing a hit.

use bytes::Bytes;
use larder_engine::{Found, Item, Missed, Sink, Timestamp, Token};
use larder_protocol::{Form, Hit, Response, Value, encode_after_value};

use crate::connection::output::{COPIED_VALUE_BYTES_MAX, Output};

/// What the client wants of a hit.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) value: bool,
    /// The value is not sent if the item has this CAS.
    pub(crate) unless_cas: Option<u64>,
}

impl Wants {
    pub(crate) const VALUE: Wants = Wants { value: true, unless_cas: None };

    fn sends_value(self, cas: u64) -> bool {
        self.value && self.unless_cas != Some(cas)
    }
}

/// The sink of a look-up: encodes the hit while the engine lends the value.
pub(crate) struct HitSink<'a> {
    pub(crate) form: &'a Form<'a>,
    pub(crate) key: &'a [u8],
    pub(crate) wants: Wants,
    pub(crate) now: Timestamp,
    /// Whether the client sees the item's CAS; otherwise it sees 0.
    pub(crate) shows_cas: bool,
    pub(crate) out: &'a mut Output,
    pub(crate) outcome: Outcome,
}

/// What an engine said of a look-up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Length of the value of a hit, in bytes.
    pub(crate) value_bytes: usize,
    /// Why a miss is one, where the engine tells.
    pub(crate) missed: Option<Missed>,
}

impl HitSink<'_> {
    fn hit_with(&mut self, found: &Found, value: Value<'_>) -> bool {
        self.outcome.value_bytes = value.len();
        let mut hit = describe(self.key, found, value, self.now);
        if !self.shows_cas {
            hit.cas = 0;
        }
        self.out.answer(self.form, &Response::Hit(hit))
    }
}

impl Sink for HitSink<'_> {
    #[inline]
    fn hit(&mut self, found: &Found, pieces: &[&[u8]]) {
        let value = match pieces {
            [whole] => Value::Bytes(whole),
            pieces => Value::Pieces(pieces),
        };
        let value =
            if self.wants.sends_value(found.cas) { value } else { Value::Unsent { len: value.len() } };
        self.hit_with(found, value);
    }

    fn missed(&mut self, why: Missed) {
        self.outcome.missed = Some(why);
    }

    fn hit_shared(&mut self, found: &Found, value: &Bytes) {
        if !self.wants.sends_value(found.cas) || value.len() <= COPIED_VALUE_BYTES_MAX {
            return self.hit(found, &[value]);
        }
        if self.hit_with(found, Value::Detached { len: value.len() }) {
            self.out.push_shared(value.clone());
            encode_after_value(self.form, &mut self.out.bytes);
        }
    }
}

impl HitSink<'_> {
    /// Encodes a hit whose value is owned.
    pub(crate) fn item(&mut self, item: &Item) {
        if let larder_engine::Value::Whole(value) = &item.value {
            return self.hit_shared(&item.found, value);
        }
        let length = item.value.len();
        if !self.wants.sends_value(item.found.cas) {
            self.hit_with(&item.found, Value::Unsent { len: length });
        } else if self.hit_with(&item.found, Value::Detached { len: length }) {
            for piece in item.value.pieces().iter().filter(|piece| !piece.is_empty()) {
                self.out.push_shared(piece.clone());
            }
            encode_after_value(self.form, &mut self.out.bytes);
        }
    }
}

fn describe<'a>(key: &'a [u8], found: &Found, value: Value<'a>, now: Timestamp) -> Hit<'a> {
    Hit {
        key,
        flags: found.flags,
        cas: found.cas,
        value,
        ttl: found.expiry.seconds_left(now),
        ttl_before: found.expiry_before.seconds_left(now),
        last_access_seconds: found.last_access.map_or(0, |last| now.seconds_since(last)),
        fetched: found.fetched,
        won: found.token == Token::Won,
        won_by_other: found.token == Token::Taken,
        stale: found.stale,
    }
}
