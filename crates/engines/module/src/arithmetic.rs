//! incr and decr: by the engine itself where it can, else by reading, counting and storing with the CAS.

use larder_engine::semantics::{Decimal, parse_decimal};
use larder_engine::{Arithmetic, Context, Direction, EngineError, ErrorKind, Expiry, Key, Number, Reply};

use crate::engine::{LEVEL, unsupported};
use crate::error::arithmetic_error;
use crate::port::{New, Port, Read, exptime};
use crate::raw::layout::{Code, StoreOperation};
use crate::raw::module::{KeyBuffer, Step};
use crate::session::{begin, turn};

/// How often a count that others overtake is tried again.
const TRIES_MAX: u32 = 1000;

/// An incr or decr command.
pub(crate) fn count(
    context: &Context<'_>,
    port: Port,
    key: Key<'_>,
    arithmetic: &Arithmetic,
) -> Reply<Number> {
    if arithmetic.new_cas.is_some() {
        return Reply::failed(unsupported("a CAS of the client's choice"));
    }
    let key = KeyBuffer::new(key.bytes());
    let arithmetic = *arithmetic;
    let by_engine =
        port.module.has_arithmetic() && arithmetic.compare.is_none() && arithmetic.expiry.is_none();
    let number = port.cookie.take_number();
    begin(port.module, context, async move {
        let _turn = turn(port.cookie, number).await;
        let answer = match by_engine {
            true => count_by_engine(port, &key, &arithmetic).await,
            false => count_by_hand(port, &key, &arithmetic).await,
        };
        port.count_step(&answer, arithmetic.direction);
        answer
    })
}

/// The engine's own. It does not say whether it created the counter, so it is asked to only where there was none.
async fn count_by_engine(
    port: Port,
    key: &KeyBuffer,
    arithmetic: &Arithmetic,
) -> Result<Number, EngineError> {
    let step = Step {
        increment: arithmetic.direction == Direction::Increment,
        create: false,
        delta: arithmetic.delta,
        initial: 0,
        exptime: 0,
    };
    let fail = |code| arithmetic_error(port.module, port.cookie, code);
    let (answer, created) = match (port.step(key, &step).await, arithmetic.initial) {
        (Err(Code::KEY_ENOENT), Some(initial)) => {
            let create = Step {
                create: true,
                initial: initial.value,
                exptime: exptime(port.module, initial.expiry),
                ..step
            };
            let answer = port.step(key, &create).await.map_err(fail)?;
            (answer, answer.1 == initial.value)
        }
        (answer, _) => (answer.map_err(fail)?, false),
    };
    let (cas, value) = answer;
    // Flags and expiry are the item's, which the engine does not tell here. An item that has gone since has none.
    let found = port.describe(key, false).await?.map(|(found, _)| found).unwrap_or_default();
    let cas = if cas == 0 { found.cas } else { cas };
    Ok(Number { flags: found.flags, ..number(value, cas, found.expiry, created) })
}

fn number(value: u64, cas: u64, expiry: Expiry, created: bool) -> Number {
    Number {
        value,
        cas,
        flags: 0,
        expiry,
        expiry_before: expiry,
        created,
        stale: false,
        token_taken: false,
        level: LEVEL,
        version: 0,
    }
}

async fn count_by_hand(port: Port, key: &KeyBuffer, arithmetic: &Arithmetic) -> Result<Number, EngineError> {
    for _ in 0..TRIES_MAX {
        let outcome = match port.read(key, false).await? {
            Some(read) => step_once(port, key, arithmetic, read).await?,
            None => create(port, key, arithmetic).await?,
        };
        if let Some(number) = outcome {
            return Ok(number);
        }
    }
    Err(ErrorKind::TryAgain.into())
}

/// Stores the next number in place of the one that was read; `None` if somebody else was quicker.
async fn step_once(
    port: Port,
    key: &KeyBuffer,
    arithmetic: &Arithmetic,
    read: Read,
) -> Result<Option<Number>, EngineError> {
    let found = read.found;
    if arithmetic.compare.is_some_and(|compare| compare != found.cas) {
        return Err(ErrorKind::Exists.into());
    }
    let before = parse_decimal(&read.value).ok_or(ErrorKind::NotNumeric)?;
    let value = match arithmetic.direction {
        Direction::Increment => before.wrapping_add(arithmetic.delta),
        Direction::Decrement => before.saturating_sub(arithmetic.delta),
    };
    let expiry = arithmetic.expiry.unwrap_or(found.expiry);
    let digits = Decimal::new(value);
    let new = New {
        value: digits.as_slice(),
        flags: found.flags,
        exptime: exptime(port.module, expiry),
        cas: found.cas,
    };
    let held = port.make(key, &new, false).await?;
    match port.store(&held, StoreOperation::Cas, false).await {
        Ok(cas) => {
            let number = number(value, cas, expiry, false);
            Ok(Some(Number { flags: found.flags, expiry_before: found.expiry, ..number }))
        }
        Err(Code::KEY_EEXISTS | Code::KEY_ENOENT | Code::NOT_STORED) => Ok(None),
        Err(code) => Err(port.error(code)),
    }
}

/// Stores the first number; `None` if somebody else was quicker.
async fn create(port: Port, key: &KeyBuffer, arithmetic: &Arithmetic) -> Result<Option<Number>, EngineError> {
    let initial = arithmetic.initial.ok_or(ErrorKind::NotFound)?;
    let digits = Decimal::new(initial.value);
    let new =
        New { value: digits.as_slice(), flags: 0, exptime: exptime(port.module, initial.expiry), cas: 0 };
    let held = port.make(key, &new, false).await?;
    match port.store(&held, StoreOperation::Add, false).await {
        Ok(cas) => Ok(Some(number(initial.value, cas, initial.expiry, true))),
        Err(Code::NOT_STORED | Code::KEY_EEXISTS) => Ok(None),
        Err(code) => Err(port.error(code)),
    }
}
