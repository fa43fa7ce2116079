//! What is true of one key, by rules written down here a second time.
//!
//! The kit must not ask [`crate::semantics`], which most engines ask: a mistake there would then look right. The rules
//! are those of `docs/reference/protocol.md`.

use bytes::Bytes;

use crate::error::ErrorKind;
use crate::item::Token;
use crate::request::{Direction, Mode, Older};
use crate::time::{Expiry, Timestamp};

use super::command::{Command, Outcome, StoreCommand, shown, shown_expiry};

/// The item under a key. A CAS that nobody has been told yet is `None`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TrueItem {
    /// The value.
    pub value: Bytes,
    /// The client's 32 bits.
    pub flags: u32,
    /// The CAS.
    pub cas: Option<u64>,
    /// When it expires.
    pub expiry: Expiry,
    /// Marked stale.
    pub stale: bool,
    /// The token is out.
    pub token_taken: bool,
}

/// What is true of a key at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Truth {
    /// The item, if any; it may have expired.
    pub item: Option<TrueItem>,
    /// The highest CAS the engine has given under this key.
    pub cas_highest: u64,
}

/// What the rules demand as outcome; what they leave to the engine (CAS, level, version) is not in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Missing,
    Found { item: TrueItem, token: Token, expiry_before: Expiry },
    Stored { size: usize },
    Deleted,
    Number { value: u64, created: bool, expiry_before: Expiry },
    Touched,
    Flushed,
    Refused(ErrorKind),
}

/// A command's due outcome and the item it leaves.
pub(crate) struct Decision {
    pub(crate) due: Due,
    pub(crate) after: Option<TrueItem>,
    /// Whether the item was given a new CAS.
    pub(crate) new_cas: bool,
}

impl Decision {
    fn refused(kind: ErrorKind, there: Option<TrueItem>) -> Self {
        Decision { due: Due::Refused(kind), after: there, new_cas: false }
    }

    fn left(due: Due, after: Option<TrueItem>) -> Self {
        Decision { due, after, new_cas: false }
    }

    fn changed(due: Due, after: TrueItem) -> Self {
        Decision { due, after: Some(after), new_cas: true }
    }
}

/// Decides `command` on what is `there` at `now`. `fresh` is the CAS the engine gives, if it is known.
pub(crate) fn decide(
    there: Option<&TrueItem>,
    command: &Command,
    now: Timestamp,
    fresh: Option<u64>,
    value_max: u64,
) -> Decision {
    let there = there.filter(|item| item.expiry == Expiry::NEVER || item.expiry.raw() > now.0).cloned();
    let cas = command.new_cas().or(fresh);
    match command {
        Command::Get { .. } => decide_get(there, command, now, cas),
        Command::Store(store) => decide_store(there, store, cas, value_max),
        Command::Delete { .. } => decide_delete(there, command, cas),
        Command::Arithmetic { .. } => decide_arithmetic(there, command, cas),
        Command::Touch { expiry, .. } => match there {
            Some(item) => Decision::left(Due::Touched, Some(TrueItem { expiry: *expiry, ..item })),
            None => Decision::refused(ErrorKind::NotFound, None),
        },
        Command::Flush { when: None, .. } => Decision::left(Due::Flushed, None),
        Command::Flush { when: Some(_), .. } => Decision::left(Due::Flushed, there),
    }
}

fn decide_get(there: Option<TrueItem>, command: &Command, now: Timestamp, cas: Option<u64>) -> Decision {
    let Command::Get { get, .. } = command else { unreachable!("asked for look-ups only") };
    let Some(mut item) = there else {
        let Some(vivify) = get.vivify else { return Decision::left(Due::Missing, None) };
        let item = TrueItem {
            value: Bytes::new(),
            flags: 0,
            cas,
            expiry: vivify.expiry,
            stale: false,
            token_taken: true,
        };
        let due = Due::Found { item: item.clone(), token: Token::Won, expiry_before: item.expiry };
        return Decision::changed(due, item);
    };
    // Seconds left count before a touch of the same request.
    let runs_out = match get.recache_below {
        Some(below) => {
            item.expiry != Expiry::NEVER && u64::from(item.expiry.raw()) < u64::from(now.0) + u64::from(below)
        }
        None => false,
    };
    let token = if item.token_taken {
        Token::Taken
    } else if runs_out || (get.tokens && item.stale) {
        Token::Won
    } else {
        Token::Free
    };
    item.token_taken |= token == Token::Won;
    let expiry_before = item.expiry;
    item.expiry = get.touch.unwrap_or(item.expiry);
    Decision::left(Due::Found { item: item.clone(), token, expiry_before }, Some(item))
}

fn decide_store(there: Option<TrueItem>, store: &StoreCommand, cas: Option<u64>, value_max: u64) -> Decision {
    if store.value.len() as u64 > value_max {
        return Decision::refused(ErrorKind::TooLarge, there);
    }
    let mut new = TrueItem {
        value: store.value.clone(),
        flags: store.flags,
        cas,
        expiry: store.expiry,
        stale: store.stale,
        token_taken: store.token_taken,
    };
    let joins = matches!(store.mode, Mode::Append | Mode::Prepend);
    match &there {
        None => {
            let refusal = match store.mode {
                Mode::Add => None,
                Mode::Append | Mode::Prepend if store.compare.is_some() || store.vivify.is_none() => {
                    Some(ErrorKind::NotStored)
                }
                Mode::Append | Mode::Prepend => None,
                Mode::Set | Mode::Replace if store.compare.is_some() => Some(ErrorKind::NotFound),
                Mode::Replace => Some(ErrorKind::NotStored),
                Mode::Set => None,
            };
            if let Some(refusal) = refusal {
                return Decision::refused(refusal, None);
            }
            if let (true, Some(expiry)) = (joins, store.vivify) {
                new.expiry = expiry;
            }
        }
        Some(_) if store.mode == Mode::Add => return Decision::refused(ErrorKind::NotStored, there),
        Some(old) => {
            if let Some(compare) = store.compare.filter(|compare| Some(*compare) != old.cas) {
                let older = old.cas.is_some_and(|cas| compare < cas);
                if !(older && store.older == Older::MarkStale) {
                    return Decision::refused(ErrorKind::Exists, there);
                }
                new.expiry = old.expiry;
                new.stale = true;
                new.token_taken = old.token_taken;
            }
            if joins {
                let pieces = match store.mode {
                    Mode::Append => [&old.value[..], &store.value[..]],
                    _ => [&store.value[..], &old.value[..]],
                };
                new.value = pieces.concat().into();
                new.flags = old.flags;
                new.expiry = old.expiry;
                if new.value.len() as u64 > value_max {
                    return Decision::refused(ErrorKind::NotStored, there);
                }
            }
        }
    }
    Decision::changed(Due::Stored { size: new.value.len() }, new)
}

fn decide_delete(there: Option<TrueItem>, command: &Command, cas: Option<u64>) -> Decision {
    let Command::Delete { delete, .. } = command else { unreachable!("asked for deletes only") };
    let Some(mut item) = there else { return Decision::refused(ErrorKind::NotFound, None) };
    if delete.compare.is_some() && delete.compare != item.cas {
        return Decision::refused(ErrorKind::Exists, Some(item));
    }
    if !delete.mark_stale && delete.drop_value.is_none() {
        return Decision::left(Due::Deleted, None);
    }
    if delete.mark_stale {
        item.stale = true;
        item.token_taken = false;
    }
    if let Some(flags) = delete.drop_value {
        item.value = Bytes::new();
        item.flags = flags;
    }
    item.expiry = delete.expiry.unwrap_or(item.expiry);
    item.cas = cas;
    Decision::changed(Due::Deleted, item)
}

fn decide_arithmetic(there: Option<TrueItem>, command: &Command, cas: Option<u64>) -> Decision {
    let Command::Arithmetic { arithmetic, .. } = command else { unreachable!("asked for counters only") };
    let Some(mut item) = there else {
        let Some(initial) = arithmetic.initial else { return Decision::refused(ErrorKind::NotFound, None) };
        let item = TrueItem {
            value: initial.value.to_string().into(),
            flags: 0,
            cas,
            expiry: initial.expiry,
            stale: false,
            token_taken: false,
        };
        let due = Due::Number { value: initial.value, created: true, expiry_before: initial.expiry };
        return Decision::changed(due, item);
    };
    if arithmetic.compare.is_some() && arithmetic.compare != item.cas {
        return Decision::refused(ErrorKind::Exists, Some(item));
    }
    let Some(number) = number_in(&item.value) else {
        return Decision::refused(ErrorKind::NotNumeric, Some(item));
    };
    let value = match arithmetic.direction {
        Direction::Increment => (u128::from(number) + u128::from(arithmetic.delta)) as u64,
        Direction::Decrement => number - number.min(arithmetic.delta),
    };
    item.value = value.to_string().into();
    let expiry_before = item.expiry;
    item.expiry = arithmetic.expiry.unwrap_or(item.expiry);
    item.cas = cas;
    Decision::changed(Due::Number { value, created: false, expiry_before }, item)
}

/// The number a value is, by the rules of counters.
pub(crate) fn number_in(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches(' ');
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl Truth {
    /// What may be true after `command` had `outcome` at `now`; an empty answer never comes.
    ///
    /// # Errors
    /// The outcome that was due, in words, when the one that came is wrong.
    pub fn after(
        &self,
        command: &Command,
        outcome: &Outcome,
        now: Timestamp,
        value_max: u64,
    ) -> Result<Vec<Truth>, String> {
        let mut complaint = String::new();
        let mut possible = Vec::new();
        for before in self.with_cas_settled(command, outcome) {
            match before.after_settled(command, outcome, now, value_max) {
                Ok(truths) => possible.extend(truths),
                Err(text) => complaint = text,
            }
        }
        if possible.is_empty() { Err(complaint) } else { Ok(possible) }
    }

    /// What is true if `command`, whose outcome nobody knows, took place at `now`.
    pub fn after_unseen(&self, command: &Command, now: Timestamp, value_max: u64) -> Truth {
        let decision = decide(self.item.as_ref(), command, now, None, value_max);
        Truth { item: decision.after, cas_highest: self.cas_highest }
    }

    /// Where the item's CAS is not known yet, the cases that `command` and `outcome` tell apart.
    fn with_cas_settled(&self, command: &Command, outcome: &Outcome) -> Vec<Truth> {
        let Some(item) = self.item.as_ref().filter(|item| item.cas.is_none()) else {
            return vec![self.clone()];
        };
        let with = |cas: Option<u64>| Truth { item: Some(TrueItem { cas, ..item.clone() }), ..self.clone() };
        match (outcome, command.compare()) {
            (Outcome::Found(..) | Outcome::Touched(_), _) if outcome.cas() > self.cas_highest => {
                vec![Truth { cas_highest: outcome.cas(), ..with(Some(outcome.cas())) }]
            }
            (_, Some(compare)) => {
                vec![with(Some(compare)), with(Some(compare.saturating_add(1))), with(None)]
            }
            _ => vec![self.clone()],
        }
    }

    fn after_settled(
        &self,
        command: &Command,
        outcome: &Outcome,
        now: Timestamp,
        value_max: u64,
    ) -> Result<Vec<Truth>, String> {
        let decision = decide(self.item.as_ref(), command, now, Some(outcome.cas()), value_max);
        self.compare(&decision, outcome)?;
        let mut cas_highest = self.cas_highest;
        if decision.new_cas {
            match command.new_cas() {
                Some(chosen) if chosen != outcome.cas() => {
                    return Err(format!("the CAS asked for, {chosen}"));
                }
                Some(_) => {}
                None if outcome.cas() <= cas_highest => {
                    return Err(format!(
                        "a CAS above {cas_highest}, the highest given under this key so far"
                    ));
                }
                None => cas_highest = outcome.cas(),
            }
        }
        let after = Truth { item: decision.after, cas_highest };
        // A value that is too large may cost the old item, so that no outdated value stays.
        if let (Due::Refused(ErrorKind::TooLarge), Some(_)) = (&decision.due, &after.item) {
            return Ok(vec![Truth { item: None, cas_highest }, after]);
        }
        Ok(vec![after])
    }

    fn compare(&self, decision: &Decision, outcome: &Outcome) -> Result<(), String> {
        let agrees = match (&decision.due, outcome) {
            (Due::Missing, Outcome::Missing) | (Due::Flushed, Outcome::Flushed(_)) => true,
            (Due::Found { item, token, expiry_before }, Outcome::Found(found, value)) => {
                item.value == *value
                    && (found.flags, found.expiry, found.stale) == (item.flags, item.expiry, item.stale)
                    && (found.token, found.expiry_before) == (*token, *expiry_before)
                    && Some(found.cas) == item.cas
            }
            (Due::Stored { size }, Outcome::Stored(stored)) => stored.size == *size,
            (Due::Deleted, Outcome::Deleted(deleted)) => decision.after.is_some() || deleted.cas == 0,
            (Due::Number { value, created, expiry_before }, Outcome::Number(number)) => {
                let item = decision.after.as_ref().expect("a counter stays");
                (number.value, number.created) == (*value, *created)
                    && (number.flags, number.expiry) == (item.flags, item.expiry)
                    && number.expiry_before == *expiry_before
                    && (number.stale, number.token_taken) == (item.stale, item.token_taken)
            }
            (Due::Touched, Outcome::Touched(touched)) => {
                let item = decision.after.as_ref().expect("a touched item stays");
                (Some(touched.cas), touched.flags) == (item.cas, item.flags)
            }
            (Due::Refused(due), Outcome::Refused(kind, _)) => due == kind,
            _ => false,
        };
        if agrees { Ok(()) } else { Err(decision.words()) }
    }

    /// The key's state in words.
    pub fn words(&self, now: Timestamp) -> String {
        match &self.item {
            None => "nothing there".into(),
            Some(item) if item.expiry.is_past(now) => format!("expired, {}", shown_expiry(item.expiry)),
            Some(item) => item.words(),
        }
    }
}

impl TrueItem {
    fn words(&self) -> String {
        let cas = self.cas.map_or("unknown".into(), |cas| cas.to_string());
        let stale = if self.stale { " stale" } else { "" };
        let taken = if self.token_taken { " token out" } else { "" };
        let expiry = shown_expiry(self.expiry);
        format!("{} flags={} cas={cas} expires {expiry}{stale}{taken}", shown(&self.value), self.flags)
    }
}

impl Decision {
    fn words(&self) -> String {
        match &self.due {
            Due::Missing => "a miss".into(),
            Due::Found { item, token, expiry_before } => {
                let token = match token {
                    Token::Free => "",
                    Token::Won => " token=won",
                    Token::Taken => " token=taken",
                };
                let TrueItem { value, flags, .. } = item;
                let cas = item.cas.map_or("unknown".into(), |cas| cas.to_string());
                let stale = if item.stale { " stale" } else { "" };
                let expiry = match *expiry_before == item.expiry {
                    true => shown_expiry(item.expiry),
                    false => {
                        format!("{} (before: {})", shown_expiry(item.expiry), shown_expiry(*expiry_before))
                    }
                };
                format!("a hit {} flags={flags} cas={cas} expires {expiry}{stale}{token}", shown(value))
            }
            Due::Stored { size } => format!("stored size={size}"),
            Due::Deleted if self.after.is_none() => "deleted cas=0".into(),
            Due::Deleted => "deleted, with the new CAS".into(),
            Due::Number { value, created, expiry_before } => {
                let item = self.after.as_ref().expect("a counter stays");
                let created = if *created { " created" } else { "" };
                let stale = if item.stale { " stale" } else { "" };
                let taken = if item.token_taken { " token out" } else { "" };
                let (expiry, before) = (shown_expiry(item.expiry), shown_expiry(*expiry_before));
                let flags = item.flags;
                format!(
                    "number {value} flags={flags} expires {expiry} (before: {before}){created}{stale}{taken}"
                )
            }
            Due::Touched => {
                let item = self.after.as_ref().expect("a touched item stays");
                let cas = item.cas.map_or("unknown".into(), |cas| cas.to_string());
                format!("touched cas={cas} flags={}", item.flags)
            }
            Due::Flushed => "flushed".into(),
            Due::Refused(kind) => format!("error {kind:?}"),
        }
    }
}
