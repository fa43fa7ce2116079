//! The rules of each command, on an item that is known.

use super::{Compared, Decision, Due, Item, Seconds, expiry};
use crate::operation::{Action, Direction, StoreMode, Token, Ttl};
use crate::value::Value;

/// What the command comes to on `item`, where `compared` says how the client's CAS stands to the item's. Several
/// decisions where the second is not known for sure.
pub(super) fn decide(
    item: Option<Item>,
    compared: Option<Compared>,
    action: &Action,
    now: Seconds,
) -> Vec<Decision> {
    let decision = match action {
        Action::Get { .. } => return decide_get(item, action, now),
        Action::Store { .. } => decide_store(item, compared, action, now),
        Action::Delete { mark_stale, drop_value, .. } => {
            decide_delete(item, compared, *mark_stale, *drop_value)
        }
        Action::Arithmetic { direction, delta, vivify } => {
            decide_arithmetic(item, *direction, *delta, *vivify, now)
        }
        Action::Touch { ttl } => match item {
            Some(item) => Decision::left(Due::Touched, Some(Item { expiry: expiry(*ttl, now), ..item })),
            None => Decision::left(Due::NotFound, None),
        },
        Action::Flush => Decision::left(Due::Flushed, None),
    };
    vec![decision]
}

fn decide_get(item: Option<Item>, action: &Action, now: Seconds) -> Vec<Decision> {
    let Action::Get { touch, vivify, recache_seconds, tokens } = action else {
        unreachable!("asked for look-ups only")
    };
    let Some(item) = item else {
        let Some(ttl) = vivify else { return vec![Decision::left(Due::Miss, None)] };
        let item = Item {
            value: Value::new(""),
            flags: 0,
            cas: None,
            expiry: expiry(*ttl, now),
            stale: false,
            token_taken: true,
        };
        return vec![Decision::changed(Due::Hit(item.clone(), Token::Won), item)];
    };
    // Whether the seconds left are below those asked for, where the second is not known for sure.
    let runs_out = match (recache_seconds, item.expiry) {
        (Some(below), Some(expiry)) => {
            let below = i64::from(*below);
            let mut cases = Vec::with_capacity(2);
            if expiry.first - now.last < below {
                cases.push(true);
            }
            if expiry.last - now.first >= below {
                cases.push(false);
            }
            cases
        }
        _ => vec![false],
    };
    runs_out
        .into_iter()
        .map(|runs_out| {
            let token = match item.token_taken {
                true if *tokens => Token::Taken,
                true => Token::Free,
                false if runs_out || (*tokens && item.stale) => Token::Won,
                false => Token::Free,
            };
            let after = Item {
                token_taken: item.token_taken || token == Token::Won,
                expiry: touch.map_or(item.expiry, |ttl| expiry(ttl, now)),
                ..item.clone()
            };
            Decision::left(Due::Hit(item.clone(), token), Some(after))
        })
        .collect()
}

fn decide_store(item: Option<Item>, compared: Option<Compared>, action: &Action, now: Seconds) -> Decision {
    let Action::Store { mode, value, flags, ttl, compare, older_marks_stale, vivify } = action else {
        unreachable!("asked for stores only")
    };
    let joins = matches!(mode, StoreMode::Append | StoreMode::Prepend);
    let mut new = Item {
        value: value.clone(),
        flags: *flags,
        cas: None,
        expiry: expiry(*ttl, now),
        stale: false,
        token_taken: false,
    };
    let Some(old) = item else {
        return match (mode, vivify) {
            (StoreMode::Add, _) => Decision::changed(Due::Stored, new),
            (StoreMode::Set, _) if compare.is_none() => Decision::changed(Due::Stored, new),
            (StoreMode::Append | StoreMode::Prepend, Some(ttl)) if compare.is_none() => {
                new.expiry = expiry(*ttl, now);
                Decision::changed(Due::Stored, new)
            }
            (StoreMode::Set | StoreMode::Replace, _) if compare.is_some() => {
                Decision::left(Due::NotFound, None)
            }
            _ => Decision::left(Due::NotStored, None),
        };
    };
    if *mode == StoreMode::Add {
        return Decision::left(Due::NotStored, Some(old));
    }
    match compared {
        None | Some(Compared::Equal) => {}
        Some(Compared::Older) if *older_marks_stale => {
            new.expiry = old.expiry;
            new.stale = true;
            new.token_taken = old.token_taken;
        }
        Some(_) => return Decision::left(Due::Exists, Some(old)),
    }
    if joins {
        new.value = match mode {
            StoreMode::Append => old.value.joined(value),
            _ => value.joined(&old.value),
        };
        new.flags = old.flags;
        new.expiry = old.expiry;
    }
    Decision::changed(Due::Stored, new)
}

fn decide_delete(
    item: Option<Item>,
    compared: Option<Compared>,
    mark_stale: bool,
    drop_value: bool,
) -> Decision {
    let Some(mut item) = item else { return Decision::left(Due::NotFound, None) };
    if compared.is_some_and(|compared| compared != Compared::Equal) {
        return Decision::left(Due::Exists, Some(item));
    }
    if !mark_stale && !drop_value {
        return Decision::left(Due::Deleted, None);
    }
    if mark_stale {
        item.stale = true;
        item.token_taken = false;
    }
    if drop_value {
        item.value = Value::new("");
        item.flags = 0;
    }
    Decision::changed(Due::Deleted, item)
}

fn decide_arithmetic(
    item: Option<Item>,
    direction: Direction,
    delta: u64,
    vivify: Option<(u64, Ttl)>,
    now: Seconds,
) -> Decision {
    let Some(item) = item else {
        let Some((initial, ttl)) = vivify else { return Decision::left(Due::NotFound, None) };
        let item = Item {
            value: Value::number(initial),
            flags: 0,
            cas: None,
            expiry: expiry(ttl, now),
            stale: false,
            token_taken: false,
        };
        return Decision::changed(Due::Number(initial), item);
    };
    let Some(number) = item.value.as_number() else { return Decision::left(Due::NotNumeric, Some(item)) };
    let number = match direction {
        Direction::Increment => number.wrapping_add(delta),
        Direction::Decrement => number.saturating_sub(delta),
    };
    Decision::changed(Due::Number(number), Item { value: Value::number(number), ..item })
}
