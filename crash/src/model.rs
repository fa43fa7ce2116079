//! What each command means for one key, where not everything is known.
//!
//! The rules are those of `docs/reference/protocol.md`, written down anew: the audit must not ask the code it judges.
//! A [`State`] leaves open what no client was told (a CAS) or cannot know exactly (the second in which the server
//! executed a command), and [`State::after`] answers with every state that fits what is known.

mod decide;

use std::fmt;

use crate::operation::{Action, MetaHit, Outcome, StoreMode, Token, Ttl};
use crate::value::Value;

/// The seconds of Unix time that may be meant: first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seconds {
    /// The earliest.
    pub first: i64,
    /// The latest.
    pub last: i64,
}

impl Seconds {
    fn after(self, seconds: i64) -> Seconds {
        Seconds { first: self.first + seconds, last: self.last + seconds }
    }

    fn intersection(self, other: Seconds) -> Option<Seconds> {
        let both = Seconds { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

/// Expired from the start.
const PAST: Seconds = Seconds { first: 0, last: 0 };

/// When an item stored with this time to live at `now` is gone; `None` is never.
fn expiry(ttl: Ttl, now: Seconds) -> Option<Seconds> {
    match ttl {
        0 => None,
        ..0 => Some(PAST),
        _ => Some(now.after(ttl)),
    }
}

/// The item under a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// Its value.
    pub value: Value,
    /// The client's 32 bits.
    pub flags: u32,
    /// Its CAS; `None` while nobody was told.
    pub cas: Option<u64>,
    /// From when on it is gone; `None` is never.
    pub expiry: Option<Seconds>,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
}

/// What may be true of a key at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// The item, if any; its time may have come.
    pub item: Option<Item>,
    /// The highest CAS that the key is known to have had.
    pub cas_highest: u64,
}

/// What is held against an answer. All of it, except when looking for the reason of a contradiction.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// CAS values must match and grow.
    pub cas: bool,
    /// What has expired is gone.
    pub expiry: bool,
}

impl Rules {
    /// Everything counts.
    pub const ALL: Rules = Rules { cas: true, expiry: true };
}

/// A command, the seconds in which the server may have executed it, and what is known of its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    /// What was asked.
    pub action: &'a Action,
    /// When by the server's clock.
    pub now: Seconds,
    /// The answer; `None` if there was none.
    pub outcome: Option<&'a Outcome>,
}

/// How a client's CAS stands to the item's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Equal,
    /// The client's is lower.
    Older,
    /// The client's is higher.
    Newer,
}

/// What the rules demand.
enum Due {
    Miss,
    /// The item as shown, its expiry before any touch, and the token.
    Hit(Item, Token),
    Stored,
    NotStored,
    Exists,
    NotFound,
    Deleted,
    Touched,
    Number(u64),
    NotNumeric,
    Flushed,
}

struct Decision {
    due: Due,
    after: Option<Item>,
    /// The item was given a new CAS.
    is_changed: bool,
}

impl Decision {
    fn left(due: Due, after: Option<Item>) -> Self {
        Decision { due, after, is_changed: false }
    }

    fn changed(due: Due, after: Item) -> Self {
        Decision { due, after: Some(Item { cas: None, ..after }), is_changed: true }
    }
}

impl State {
    /// Adds every state that may hold after the command, if it took place on this one; none if it cannot have.
    pub fn after(&self, execution: &Execution<'_>, rules: Rules, states: &mut Vec<State>) {
        if let Some(Outcome::Failed(_)) = execution.outcome {
            // It may have been carried out all the same.
            states.push(self.clone());
            return self.after(&Execution { outcome: None, ..*execution }, rules, states);
        }
        for item in self.item_at(execution.now, rules) {
            let is_expired = item.is_none() && self.item.is_some();
            let first = states.len();
            match (item, execution.action.compare()) {
                (Some(item), Some(compare)) => {
                    for (item, compared) in self.compared(item, compare) {
                        let cas_highest = self.cas_highest.max(item.cas.unwrap_or(0));
                        let settled = State { item: None, cas_highest };
                        settled.settle(Some(item), Some(compared), execution, rules, states);
                    }
                }
                (item, _) => self.settle(item, None, execution, rules, states),
            }
            if is_expired && *execution.action != Action::Flush {
                // The next one may have looked at the clock a moment before: for it the item is still there.
                let left = states[first..].iter_mut().filter(|state| state.item.is_none());
                left.for_each(|state| state.item.clone_from(&self.item));
            }
        }
    }

    /// The item as the server may see it: there, gone, or either.
    fn item_at(&self, now: Seconds, rules: Rules) -> Vec<Option<Item>> {
        let Some(item) = &self.item else { return vec![None] };
        let Some(expiry) = item.expiry else { return vec![Some(item.clone())] };
        let mut cases = Vec::with_capacity(2);
        if now.first < expiry.last || !rules.expiry {
            cases.push(Some(item.clone()));
        }
        if now.last >= expiry.first {
            cases.push(None);
        }
        cases
    }

    /// How a client's CAS may stand to the item's, which may not be known.
    fn compared(&self, item: Item, compare: u64) -> Vec<(Item, Compared)> {
        match item.cas {
            Some(cas) if cas == compare => vec![(item, Compared::Equal)],
            Some(cas) if compare < cas => vec![(item, Compared::Older)],
            Some(_) => vec![(item, Compared::Newer)],
            // A CAS that nobody was told is above all that came before.
            None if compare <= self.cas_highest => vec![(item, Compared::Older)],
            None => vec![
                (Item { cas: Some(compare), ..item.clone() }, Compared::Equal),
                (item.clone(), Compared::Older),
                (item, Compared::Newer),
            ],
        }
    }

    /// Carries the command out on `item`, what this state's item turned out to be.
    fn settle(
        &self,
        item: Option<Item>,
        compared: Option<Compared>,
        execution: &Execution<'_>,
        rules: Rules,
        states: &mut Vec<State>,
    ) {
        for decision in decide::decide(item, compared, execution.action, execution.now) {
            let mut state = State { item: decision.after, cas_highest: self.cas_highest };
            if let Some(cas) = state.item.as_ref().and_then(|item| item.cas) {
                state.cas_highest = state.cas_highest.max(cas);
            }
            let fits = match execution.outcome {
                None | Some(Outcome::Silent) => true,
                Some(outcome) => {
                    self.fits(&decision.due, decision.is_changed, outcome, execution, rules, &mut state)
                }
            };
            if fits {
                states.push(state);
            }
        }
    }

    /// Whether the answer is the due one; brings into `state` what it tells.
    fn fits(
        &self,
        due: &Due,
        is_changed: bool,
        outcome: &Outcome,
        execution: &Execution<'_>,
        rules: Rules,
        state: &mut State,
    ) -> bool {
        match (due, outcome) {
            (Due::Miss, Outcome::Miss)
            | (Due::NotStored, Outcome::NotStored)
            | (Due::Exists, Outcome::Exists)
            | (Due::NotFound, Outcome::NotFound)
            | (Due::Deleted, Outcome::Deleted)
            | (Due::Touched, Outcome::Touched)
            | (Due::NotNumeric, Outcome::NotNumeric)
            | (Due::Flushed, Outcome::Flushed) => true,
            (Due::Stored, Outcome::Stored { cas }) => self.take_new_cas(*cas, rules, state),
            (Due::Number(due), Outcome::Number { value, cas }) => {
                value.is_none_or(|value| value == *due) && self.take_new_cas(*cas, rules, state)
            }
            (Due::Hit(shown, token), Outcome::Hit { value, flags, cas, meta }) => {
                if (value, *flags) != (&shown.value, shown.flags) {
                    return false;
                }
                if let Some(meta) = meta
                    && !take_meta(shown, *token, meta, execution, rules, state)
                {
                    return false;
                }
                if is_changed {
                    return self.take_new_cas(Some(*cas), rules, state);
                }
                self.take_seen_cas(shown.cas, *cas, rules, state)
            }
            _ => false,
        }
    }

    /// A CAS just given: above all before it.
    fn take_new_cas(&self, cas: Option<u64>, rules: Rules, state: &mut State) -> bool {
        let (Some(cas), Some(item)) = (cas, &mut state.item) else { return true };
        item.cas = Some(cas);
        state.cas_highest = state.cas_highest.max(cas);
        cas > self.cas_highest || !rules.cas
    }

    /// The CAS of an item that was there.
    fn take_seen_cas(&self, known: Option<u64>, seen: u64, rules: Rules, state: &mut State) -> bool {
        let item = state.item.as_mut().expect("a hit leaves its item");
        item.cas = Some(seen);
        state.cas_highest = state.cas_highest.max(seen);
        !rules.cas || known.map_or(seen > self.cas_highest, |known| known == seen)
    }

    /// Whether there is no item, or its time has come for certain.
    pub fn is_surely_gone(&self, now: Seconds) -> bool {
        self.item.as_ref().is_none_or(|item| item.expiry.is_some_and(|expiry| now.first >= expiry.last))
    }
}

/// Brings into `state` what a meta answer tells of the expiry.
fn take_meta(
    shown: &Item,
    token: Token,
    meta: &MetaHit,
    execution: &Execution<'_>,
    rules: Rules,
    state: &mut State,
) -> bool {
    if (meta.stale, meta.token) != (shown.stale, token) {
        return false;
    }
    match shown.expiry {
        None => meta.ttl == -1,
        Some(_) if !rules.expiry => true,
        Some(expiry) if meta.ttl >= 0 => {
            let told = execution.now.after(meta.ttl).intersection(expiry);
            let is_touched = matches!(execution.action, Action::Get { touch: Some(_), .. });
            if let (Some(told), Some(item), false) = (told, &mut state.item, is_touched) {
                item.expiry = Some(told);
            }
            told.is_some()
        }
        Some(_) => false,
    }
}

impl Action {
    fn compare(&self) -> Option<u64> {
        match self {
            // add does not look at it.
            Action::Store { mode: StoreMode::Add, .. } => None,
            Action::Store { compare, .. } | Action::Delete { compare, .. } => *compare,
            _ => None,
        }
    }
}

/// The state in words.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(item) = &self.item else { return f.write_str("no item") };
        write!(f, "{} flags={}", item.value, item.flags)?;
        match item.cas {
            Some(cas) => write!(f, " cas={cas}")?,
            None => write!(f, " cas>{}", self.cas_highest)?,
        }
        if let Some(expiry) = item.expiry {
            write!(f, " gone at {}..{}", expiry.first, expiry.last)?;
        }
        f.write_str(if item.stale { " stale" } else { "" })?;
        f.write_str(if item.token_taken { " token out" } else { "" })
    }
}
