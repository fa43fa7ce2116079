//! Commands that the database can carry out by itself, in one statement without a look before.
//!
//! Increments of one counter become one statement whose range is dealt out in the order of the callers; sets of one key
//! become one upsert of the last. What such a statement does not do (the row is not there, is no number, is at its
//! bound) is decided on the locked row instead: see [`super::decide`].

use std::collections::BTreeMap;

use larder_engine::semantics::{self, Current};
use larder_engine::{Arithmetic, Direction, EngineError, Expiry, Mode, Number, Stored};

use super::decide::Decider;
use crate::command::{Answer, Command, StoreCommand, Write};
use crate::dialect::Product;
use crate::driver::Answered;
use crate::model::{CasMode, ExpireWithoutColumn};
use crate::plan::{FlagsIn, Plan};
use crate::row;
use crate::statement::{self, Assignment, Query, Step};
use crate::types::{Cell, Kind};

/// What the statement of one key does, and for whom.
pub(super) enum Pushed {
    /// A counter goes up or down.
    Step(Steps),
    /// A row is added or changed.
    Upsert(Upsert),
}

/// Increments of one counter, or one decrement.
pub(super) struct Steps {
    /// Places of the commands in the group, in order, with their CAS ids and what they add.
    shares: Vec<(usize, u64, u64)>,
    pub query: Query,
}

/// Sets of one key: the last one is what is written.
pub(super) struct Upsert {
    /// Places of the commands in the group, in order, with their answers.
    answers: Vec<(usize, Result<Answer, EngineError>)>,
    pub query: Option<Query>,
}

/// The statements of those keys whose commands can be pushed down.
pub(super) fn plan_pushes<'g>(decider: &Decider<'_>, group: &'g [Write]) -> BTreeMap<&'g [Cell], Pushed> {
    let mut by_key: BTreeMap<&[Cell], Vec<usize>> = BTreeMap::new();
    for (at, write) in group.iter().enumerate() {
        by_key.entry(&*write.key).or_default().push(at);
    }
    let mut pushes = BTreeMap::new();
    for (key, places) in by_key {
        let commands: Vec<&Command> = places.iter().map(|at| &group[*at].command).collect();
        if let Some(pushed) = steps(decider, key, &places, &commands) {
            pushes.insert(key, Pushed::Step(pushed));
        } else if let Some(pushed) = upserts(decider, key, &places, &commands) {
            pushes.insert(key, Pushed::Upsert(pushed));
        }
    }
    pushes
}

/// Whether the answer of a step can be told from the number alone, or from the row that comes with it.
fn can_step(plan: &Plan) -> bool {
    let told = plan.dialect().returning()
        || matches!(plan.flags, FlagsIn::Constant(_)) && plan.expiry.is_none() && plan.marks.is_none();
    // A row of the counter alone is known once the number is.
    let has_cas = plan.cas.is_some()
        || plan.cas_mode() == CasMode::None
        || plan.dialect().returning()
        || plan.columns.len() == 1;
    plan.counter.is_some() && !row::mirrors_text(plan) && told && has_cas && !plan.has_aliases()
}

fn steps(decider: &Decider<'_>, key: &[Cell], places: &[usize], commands: &[&Command]) -> Option<Steps> {
    let plan = decider.plan;
    if !can_step(plan) {
        return None;
    }
    let plain = |command: &&Command| match command {
        Command::Arithmetic(Arithmetic {
            direction,
            delta,
            initial: _,
            compare: None,
            new_cas: None,
            expiry: None,
        }) => Some((*direction, *delta)),
        _ => None,
    };
    let steps: Vec<(Direction, u64)> = commands.iter().map(plain).collect::<Option<_>>()?;
    let step = match steps[..] {
        [(Direction::Decrement, delta)] => Step::Down(delta),
        _ if steps.iter().all(|(direction, _)| *direction == Direction::Increment) => {
            Step::Up(steps.iter().try_fold(0u64, |sum, (_, delta)| sum.checked_add(*delta))?)
        }
        _ => return None,
    };
    let (Step::Up(by) | Step::Down(by)) = step;
    let most = plan.counter.and_then(|at| plan.columns[at].column.kind.counter_max())?;
    // Beyond what the column holds nothing but a refusal can come of it.
    if by > most || plan.product == Product::Sqlite && i64::try_from(by).is_err() {
        return None;
    }
    let shares: Vec<(usize, u64, u64)> =
        places.iter().zip(&steps).map(|(at, (_, delta))| (*at, (decider.next_id)(), *delta)).collect();
    let last_id = shares.last().map(|(_, id, _)| *id)?;
    let mut assignments: Vec<Assignment> = Vec::new();
    if let Some(at) = plan.cas {
        assignments.push((at, plan.cas_cell(last_id)));
    }
    row::assign_text_of_number(plan, None, &mut assignments).ok()?;
    let query = statement::step(plan, key, step, decider.now.0, &assignments);
    Some(Steps { shares, query })
}

impl Steps {
    /// For how many commands it is.
    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// The answers, in order; `None`: the row was not one that counts.
    pub fn answers(
        &self,
        decider: &Decider<'_>,
        answered: Answered,
    ) -> Option<Vec<(usize, Result<Answer, EngineError>)>> {
        let plan = decider.plan;
        if answered.affected == 0 {
            return None;
        }
        let returned = answered.rows.into_iter().next().map(|cells| row::settle(plan, cells).1);
        let last = match &returned {
            Some(row) => semantics::parse_decimal(&row::held(plan, row).number)?,
            None => answered.last_insert_id,
        };
        // Without a returned row there is nothing but the counter to know, or constants.
        let mut row = returned.unwrap_or_else(|| vec![Cell::Null; plan.columns.len()]);
        let counter = plan.counter.expect("only a container with a counter counts");
        let mut after: u64 = self.shares.iter().map(|(_, _, delta)| *delta).sum();
        let is_alone = self.shares.len() == 1;
        let answers = self.shares.iter().map(|(at, id, delta)| {
            // What those after this one added is taken off what the last one saw.
            after = if is_alone { 0 } else { after - delta };
            let value = last.wrapping_sub(after);
            row[counter] = match plan.columns[counter].column.kind {
                Kind::Integer { .. } => Cell::Integer(value.into()),
                _ => Cell::text(value.to_string()),
            };
            let held = row::held(plan, &row);
            let cas = if plan.cas.is_some() && plan.cas_mode() == CasMode::Column { *id } else { held.cas };
            let number = Number {
                value,
                cas,
                flags: held.flags,
                expiry: held.expiry,
                expiry_before: held.expiry,
                created: false,
                stale: held.stale,
                token_taken: held.token_taken,
                level: decider.level,
                version: 0,
            };
            (*at, Ok(Answer::Number(number)))
        });
        Some(answers.collect())
    }
}

fn upserts(decider: &Decider<'_>, key: &[Cell], places: &[usize], commands: &[&Command]) -> Option<Upsert> {
    let plan = decider.plan;
    // In this process a look costs no round trip.
    let worth_it = plan.upserts && plan.product != Product::Sqlite && !plan.has_aliases();
    if !worth_it || plan.cas_mode() == CasMode::Hash {
        return None;
    }
    let plain = |command: &&Command| match command {
        Command::Store(store) if is_plain_set(decider, store) => Some(()),
        _ => None,
    };
    commands.iter().map(plain).collect::<Option<Vec<()>>>()?;
    let mut answers = Vec::new();
    let mut written = None;
    for (at, command) in places.iter().zip(commands) {
        let Command::Store(store) = command else { unreachable!("only sets are here") };
        let answer = match decide_set(decider, store) {
            Ok((stored, assignments)) => {
                let named = |at: &usize| assignments.iter().any(|(named, _)| named == at);
                if !plan.required.iter().all(named) {
                    return None;
                }
                // A set that leaves columns as they are must not lose what the one before it wrote.
                if written.is_some() && !(0..plan.columns.len()).all(|at| named(&at)) {
                    return None;
                }
                written = Some(assignments);
                Ok(Answer::Stored(stored))
            }
            Err(error) => Err(error),
        };
        answers.push((*at, answer));
    }
    let query = written.map(|assignments| statement::upsert(plan, key, &assignments));
    Some(Upsert { answers, query })
}

/// Whether it is decided without looking at what is there.
fn is_plain_set(decider: &Decider<'_>, store: &StoreCommand) -> bool {
    let plan = decider.plan;
    let drops_expiry = plan.container.options.expire_without_column == ExpireWithoutColumn::Ignore
        && !store.expiry.is_past(decider.now);
    store.mode == Mode::Set
        && store.compare.is_none()
        && (store.new_cas.is_none() || plan.cas.is_some())
        && (plan.expiry.is_some() || store.expiry == Expiry::NEVER || drops_expiry)
}

fn decide_set(decider: &Decider<'_>, store: &StoreCommand) -> Result<(Stored, Vec<Assignment>), EngineError> {
    let nothing: Option<&Current<'_>> = None;
    let next =
        semantics::store(nothing, &store.lent(), &store.value, (decider.next_id)(), decider.item_size_max)?;
    let assignments = row::assign(decider.plan, &next, &store.value)?;
    let cas = if decider.plan.cas.is_some() { next.cas } else { 0 };
    let stored = Stored { cas, size: store.value.len(), level: decider.level, version: 0 };
    Ok((stored, assignments))
}

impl Upsert {
    /// The answers, in order. Given once.
    pub fn answers(&mut self) -> Vec<(usize, Result<Answer, EngineError>)> {
        std::mem::take(&mut self.answers)
    }
}

impl Pushed {
    /// Its statement; none where every one of its commands is refused anyway.
    pub fn query(&self) -> Option<&Query> {
        match self {
            Pushed::Step(steps) => Some(&steps.query),
            Pushed::Upsert(upsert) => upsert.query.as_ref(),
        }
    }
}
