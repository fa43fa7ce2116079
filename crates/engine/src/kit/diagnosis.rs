//! What is wrong with an engine, in a sentence: read off the answer that came and the one that was due.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::error::ErrorKind;
use crate::reply::Number;
use crate::request::{Direction, Mode};
use crate::time::Timestamp;

use super::command::{Certainty, Command, Outcome};
use super::rule::Rule;
use super::truth::{Truth, number_in};

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Diagnosis {
    /// An item that is there is missed.
    ItemLost,
    /// An item is there that was deleted or never stored.
    ItemBack,
    /// The answer of another key or another command.
    AnswerOfAnother,
    /// A value that was overwritten.
    OldValue,
    /// A value nobody stored.
    WrongValue,
    /// The CAS of an earlier write.
    OldCas,
    /// A CAS that no answer gave.
    WrongCas,
    /// A CAS given before.
    CasGivenBefore,
    /// Other flags than those stored.
    FlagsLost,
    /// An item past its time.
    ExpiryIgnored,
    /// Another expiry than the one set.
    WrongExpiry,
    /// Stale mark or token.
    MarksLost,
    /// Done though its condition was not met.
    ConditionIgnored,
    /// Refused though its condition was met.
    RefusedWrongly,
    /// A counter moved twice.
    CountedTwice,
    /// A counter moved wrongly.
    WrongNumber,
    /// An error without a cause.
    FailsUnasked,
    /// A level above the engine's own.
    LevelTooHigh,
    /// A change without a place in the order.
    VersionMissing,
    /// Answers no order explains.
    NoOrder,
    /// Gone after a clean stop.
    LostAtStop,
    /// Gone after a crash.
    LostAtCrash,
    /// A CAS given before the engine was opened again.
    CasReused,
    /// An error that says nothing changed, and something did.
    DidChange,
    /// No answer.
    NeverAnswered,
    /// A client left, and its command with it.
    Abandoned,
    /// A call that is answered against the rules of the call itself.
    CallBroken,
    /// A method that waits.
    BlocksWorker,
    /// A panic.
    Panicked,
    /// It cannot be opened, or not closed.
    DoesNotOpen,
    /// Not what the rules demand; no sentence fits better.
    WrongAnswer,
}

impl Diagnosis {
    /// What is wrong, and where to look.
    pub fn sentence(self) -> &'static str {
        match self {
            Diagnosis::ItemLost => {
                "an acknowledged item is gone: a store was answered with success, nothing removed the item since, and a \
                 look-up misses it. Look for a write that is dropped, or for evictions: give the engine room enough"
            }
            Diagnosis::ItemBack => {
                "an item is there that should not be: it was deleted or flushed, or nobody ever stored it"
            }
            Diagnosis::AnswerOfAnother => {
                "the answer is that of another key: look for keys that are cut, mixed up or hashed without comparing them, \
                 and for operations that are completed in each other's place"
            }
            Diagnosis::OldValue => {
                "a look-up gives a value that was overwritten: after a store was answered, no reader may see what was before"
            }
            Diagnosis::WrongValue => "a look-up gives a value that nobody stored under this key",
            Diagnosis::OldCas => {
                "the CAS is that of an earlier write: the one a store answers and the one a look-up gives must be the same"
            }
            Diagnosis::WrongCas => "the CAS is not the one that was answered when the item was last changed",
            Diagnosis::CasGivenBefore => {
                "a CAS id was given twice: take a new one for every change, from one counter that only grows"
            }
            Diagnosis::FlagsLost => {
                "the flags are not those that were stored: keep all 32 bits with the item"
            }
            Diagnosis::ExpiryIgnored => {
                "an expired item counts as there: compare its expiry with `Context::now` before anything else, for every command"
            }
            Diagnosis::WrongExpiry => "the expiry is not the one that was set",
            Diagnosis::MarksLost => "the stale mark or the token is not as the commands before left it",
            Diagnosis::ConditionIgnored => {
                "a command was carried out though its condition was not met: decide and write in one step, by \
                 `larder_engine::semantics`"
            }
            Diagnosis::RefusedWrongly => "a command was refused though its condition was met",
            Diagnosis::CountedTwice => {
                "a counter was changed twice by one command: look for a command that is tried again after it was carried out"
            }
            Diagnosis::WrongNumber => "a counter gives a number that its commands do not explain",
            Diagnosis::FailsUnasked => {
                "the engine answers an error, though nothing is wrong with command or disk"
            }
            Diagnosis::LevelTooHigh => {
                "an acknowledgement claims a durability that the engine does not have: report the level reached"
            }
            Diagnosis::VersionMissing => {
                "a change has no version, or not a higher one than the change before: every change takes the next"
            }
            Diagnosis::NoOrder => {
                "commands of several clients contradict each other: decide and write in one step, under one lock or on one thread"
            }
            Diagnosis::LostAtStop => {
                "what was there before a clean stop is not as it was: `close` brings down everything that was accepted"
            }
            Diagnosis::LostAtCrash => {
                "what was acknowledged did not survive a crash: answer only once the file is synced, and for a name that is new, \
                 changed or gone also its folder"
            }
            Diagnosis::CasReused => {
                "after it was opened again the engine gives CAS ids that it had given before: the counter, or a change that was \
                 acknowledged with such an id, was lost. Keep the counter durably, ahead of what is given"
            }
            Diagnosis::DidChange => {
                "a command answered with an error that says nothing changed, and something did: where you cannot tell, answer \
                 `OutcomeUnknown`"
            }
            Diagnosis::NeverAnswered => {
                "a command is never answered: look for a completer that is kept and forgotten, and for work that no thread takes"
            }
            Diagnosis::Abandoned => {
                "a command whose client left was not carried out: an operation whose future is the work is `Operation::driven`"
            }
            Diagnosis::CallBroken => "a call was answered against the rules of the call itself",
            Diagnosis::BlocksWorker => {
                "a method blocks its worker, and with it every connection there: do what waits on threads of the engine's own and \
                 answer `Pending`"
            }
            Diagnosis::Panicked => "the engine panicked: a server would end, with every connection it has",
            Diagnosis::DoesNotOpen => "the engine cannot be opened, or not closed",
            Diagnosis::WrongAnswer => "the answer is not the one that the rules demand",
        }
    }

    /// The rule it breaks.
    pub fn rule(self) -> Rule {
        match self {
            Diagnosis::ItemLost
            | Diagnosis::ItemBack
            | Diagnosis::WrongValue
            | Diagnosis::FlagsLost
            | Diagnosis::MarksLost
            | Diagnosis::ConditionIgnored
            | Diagnosis::RefusedWrongly
            | Diagnosis::CountedTwice
            | Diagnosis::WrongNumber
            | Diagnosis::WrongAnswer => Rule::Meaning,
            Diagnosis::OldCas | Diagnosis::WrongCas | Diagnosis::CasGivenBefore | Diagnosis::CasReused => {
                Rule::CasIds
            }
            Diagnosis::OldValue | Diagnosis::VersionMissing | Diagnosis::NoOrder => Rule::Order,
            Diagnosis::ExpiryIgnored | Diagnosis::WrongExpiry => Rule::Time,
            Diagnosis::LevelTooHigh | Diagnosis::LostAtStop | Diagnosis::LostAtCrash => Rule::Levels,
            Diagnosis::FailsUnasked | Diagnosis::DidChange | Diagnosis::Panicked | Diagnosis::DoesNotOpen => {
                Rule::Errors
            }
            Diagnosis::NeverAnswered
            | Diagnosis::Abandoned
            | Diagnosis::CallBroken
            | Diagnosis::AnswerOfAnother => Rule::Answers,
            Diagnosis::BlocksWorker => Rule::Blocking,
        }
    }
}

/// Values of one key that are remembered.
const VALUES_MAX: usize = 8;

/// What was stored and answered so far, to tell what a wrong answer is made of.
#[derive(Default)]
pub(crate) struct Past {
    /// Under which key each CAS was given, and for what.
    given: HashMap<u64, (Vec<u8>, String)>,
    /// Values that were stored under each key, the newest last.
    values: HashMap<Vec<u8>, VecDeque<Bytes>>,
}

impl Past {
    /// Takes note of what came of a command.
    pub(crate) fn note(&mut self, command: &Command, outcome: &Outcome) {
        if let (Command::Store(store), Outcome::Stored(_)) = (command, outcome) {
            let values = self.values.entry(store.key.clone()).or_default();
            if values.len() == VALUES_MAX {
                values.pop_front();
            }
            values.push_back(store.value.clone());
        }
    }

    /// Takes note of a CAS that the engine chose for `command`; what it chose the same for before.
    pub(crate) fn give(&mut self, cas: u64, command: &Command) -> Option<String> {
        let key = command.key().unwrap_or_default().to_vec();
        self.given.insert(cas, (key, command.to_string())).map(|(_, earlier)| earlier)
    }

    fn was_given_to(&self, cas: u64) -> Option<&[u8]> {
        self.given.get(&cas).map(|(key, _)| key.as_slice())
    }

    fn had_value(&self, key: &[u8], value: &Bytes) -> bool {
        self.values.get(key).is_some_and(|values| values.contains(value))
    }

    fn other_key_had_value(&self, key: &[u8], value: &Bytes) -> bool {
        self.values.iter().any(|(other, values)| other != key && values.contains(value))
    }
}

/// What is wrong with an engine that gave `outcome` where `before` was true.
pub(crate) fn of_answer(
    before: &Truth,
    command: &Command,
    outcome: &Outcome,
    now: Timestamp,
    past: &Past,
) -> Diagnosis {
    let is_there = before.item.as_ref().is_some_and(|item| !item.expiry.is_past(now));
    let has_expired = before.item.is_some() && !is_there;
    match outcome {
        Outcome::Breach(_) => Diagnosis::CallBroken,
        Outcome::Unanswered => Diagnosis::NeverAnswered,
        Outcome::Missing if is_there => Diagnosis::ItemLost,
        Outcome::Refused(kind, _) => of_refusal(*kind, outcome, command, is_there),
        Outcome::Found(found, _) if !is_there && is_vivify(command) => of_new_cas(before, command, found.cas),
        Outcome::Found(..) if !is_there => match is_of_another(command, outcome, past) {
            true => Diagnosis::AnswerOfAnother,
            false if has_expired => Diagnosis::ExpiryIgnored,
            false => Diagnosis::ItemBack,
        },
        Outcome::Found(..) => of_hit(before, command, outcome, past),
        Outcome::Stored(_) | Outcome::Deleted(_) | Outcome::Touched(_) | Outcome::Number(_)
            if has_expired && !may_create(command) =>
        {
            Diagnosis::ExpiryIgnored
        }
        Outcome::Stored(_) => of_store(before, command, outcome, is_there),
        Outcome::Number(number) => of_number(before, command, number),
        Outcome::Deleted(_) | Outcome::Touched(_) if !is_there => Diagnosis::ItemBack,
        Outcome::Deleted(_) if is_another_cas(before, command) => Diagnosis::ConditionIgnored,
        Outcome::Deleted(deleted) if deleted.cas != 0 => of_new_cas(before, command, deleted.cas),
        Outcome::Touched(touched) => match &before.item {
            Some(item) if item.flags != touched.flags => Diagnosis::FlagsLost,
            _ => of_cas(command, outcome, past),
        },
        _ => Diagnosis::WrongAnswer,
    }
}

fn is_vivify(command: &Command) -> bool {
    matches!(command, Command::Get { get, .. } if get.vivify.is_some())
}

fn may_create(command: &Command) -> bool {
    match command {
        Command::Store(store) => match store.mode {
            Mode::Set | Mode::Add => store.compare.is_none() || store.mode == Mode::Add,
            Mode::Append | Mode::Prepend => store.vivify.is_some(),
            Mode::Replace => false,
        },
        Command::Arithmetic { arithmetic, .. } => arithmetic.initial.is_some(),
        _ => false,
    }
}

fn of_refusal(kind: ErrorKind, outcome: &Outcome, command: &Command, is_there: bool) -> Diagnosis {
    match kind {
        _ if outcome.certainty() != Certainty::Done => Diagnosis::FailsUnasked,
        ErrorKind::NotFound if is_there => Diagnosis::ItemLost,
        ErrorKind::NotStored if is_there && !is_add(command) => Diagnosis::ItemLost,
        ErrorKind::NotStored | ErrorKind::Exists if !is_there => Diagnosis::ItemBack,
        _ => Diagnosis::RefusedWrongly,
    }
}

fn is_add(command: &Command) -> bool {
    matches!(command, Command::Store(store) if store.mode == Mode::Add)
}

/// Whether what was found is what another key has.
fn is_of_another(command: &Command, outcome: &Outcome, past: &Past) -> bool {
    let (Outcome::Found(found, value), Some(key)) = (outcome, command.key()) else { return false };
    let of_another = past.was_given_to(found.cas).is_some_and(|owner| owner != key);
    of_another || (past.other_key_had_value(key, value) && !past.had_value(key, value))
}

fn of_hit(before: &Truth, command: &Command, outcome: &Outcome, past: &Past) -> Diagnosis {
    let (Outcome::Found(found, value), Some(item)) = (outcome, &before.item) else {
        return Diagnosis::WrongAnswer;
    };
    let key = command.key().unwrap_or_default();
    if is_of_another(command, outcome, past) {
        Diagnosis::AnswerOfAnother
    } else if *value != item.value {
        if past.had_value(key, value) { Diagnosis::OldValue } else { Diagnosis::WrongValue }
    } else if found.flags != item.flags {
        Diagnosis::FlagsLost
    } else if Some(found.cas) != item.cas {
        of_cas(command, outcome, past)
    } else if found.stale != item.stale {
        Diagnosis::MarksLost
    } else if found.expiry_before != item.expiry {
        Diagnosis::WrongExpiry
    } else {
        // Only the expiry after a touch, or the token, is left.
        match command {
            Command::Get { get, .. } if get.touch.is_some_and(|expiry| expiry != found.expiry) => {
                Diagnosis::WrongExpiry
            }
            _ => Diagnosis::MarksLost,
        }
    }
}

fn of_cas(command: &Command, outcome: &Outcome, past: &Past) -> Diagnosis {
    match past.was_given_to(outcome.cas()) {
        Some(owner) if Some(owner) == command.key() => Diagnosis::OldCas,
        Some(_) => Diagnosis::AnswerOfAnother,
        None => Diagnosis::WrongCas,
    }
}

/// Whether the command compares with a CAS that the item does not have.
fn is_another_cas(before: &Truth, command: &Command) -> bool {
    let cas = before.item.as_ref().and_then(|item| item.cas);
    command.compare().is_some_and(|compare| Some(compare) != cas)
}

fn of_store(before: &Truth, command: &Command, outcome: &Outcome, is_there: bool) -> Diagnosis {
    let Command::Store(store) = command else { return Diagnosis::WrongAnswer };
    let needs_none = store.mode == Mode::Add;
    let needs_one = !may_create(command);
    if is_another_cas(before, command) || (needs_none && is_there) || (needs_one && !is_there) {
        Diagnosis::ConditionIgnored
    } else {
        of_new_cas(before, command, outcome.cas())
    }
}

/// What is wrong with the CAS of a change that is right but for that.
fn of_new_cas(before: &Truth, command: &Command, cas: u64) -> Diagnosis {
    if command.new_cas().is_some_and(|chosen| chosen != cas) {
        Diagnosis::WrongCas
    } else if command.new_cas().is_none() && cas <= before.cas_highest {
        Diagnosis::CasGivenBefore
    } else {
        Diagnosis::WrongAnswer
    }
}

fn of_number(before: &Truth, command: &Command, got: &Number) -> Diagnosis {
    let Command::Arithmetic { arithmetic, .. } = command else { return Diagnosis::WrongAnswer };
    if is_another_cas(before, command) {
        return Diagnosis::ConditionIgnored;
    }
    let number = before.item.as_ref().and_then(|item| number_in(&item.value));
    let Some(number) = number else { return Diagnosis::WrongNumber };
    let step = |number: u64| match arithmetic.direction {
        Direction::Increment => number.wrapping_add(arithmetic.delta),
        Direction::Decrement => number.saturating_sub(arithmetic.delta),
    };
    if got.value == step(number) {
        of_new_cas(before, command, got.cas)
    } else if got.value == step(step(number)) {
        Diagnosis::CountedTwice
    } else {
        Diagnosis::WrongNumber
    }
}
