//! Writes: the commands of a batch on one table are one transaction.
//!
//! The rows are locked and read, the commands decided on them in order, the rows written, the transaction committed;
//! only then is anything answered. What fails is taken apart, so that one bad command fails alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_engine::completion::Wakes;
use larder_engine::{EngineError, ErrorKind, Flushed};

use super::decide::{Decider, State};
use super::pushed::{Pushed, plan_pushes};
use super::{Lane, fail_all};
use crate::command::{Answer, Command, Write};
use crate::dialect::Class;
use crate::driver::{Answered, Connection, DbError, Late, within};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::row;
use crate::statement::{self, KEYS_MAX, Query};
use crate::table::Table;
use crate::types::Cell;

/// The answer of each command; `None`: it waits for the next transaction.
type Answers = Vec<Option<Result<Answer, EngineError>>>;

/// What to do about a failure.
enum Remedy {
    /// The same once more.
    Again,
    /// Each command by itself.
    TakeApart,
    /// Tell the callers.
    GiveUp(EngineError),
}

impl Lane {
    pub(super) async fn write_batch(&mut self, batch: Vec<Write>) {
        let mut tables: Vec<(Arc<Table>, Vec<Write>)> = Vec::new();
        for write in batch {
            match tables.iter_mut().find(|(table, _)| Arc::ptr_eq(table, &write.table)) {
                Some((_, writes)) => writes.push(write),
                None => tables.push((write.table.clone(), vec![write])),
            }
        }
        for (table, writes) in tables {
            self.write_table(&table, writes).await;
        }
    }

    async fn write_table(&mut self, table: &Arc<Table>, writes: Vec<Write>) {
        if let Err(failure) = self.flush_due(table).await {
            let error = failure.answer(&table.plan().container.name);
            return fail_all(writes.into_iter().map(|write| write.answer_to), &error);
        }
        // Flushes and the writes beside them come from callers that do not wait for each other: any order will do.
        let (flushes, rows): (Vec<Write>, Vec<Write>) =
            writes.into_iter().partition(|write| matches!(write.command, Command::Flush(_)));
        table.counters.writes.add(rows.len() as u64);
        self.write_rows(table, rows).await;
        for Write { command, answer_to, .. } in flushes {
            let Command::Flush(prefix) = command else { unreachable!("only flushes are here") };
            let flushed = self.flush_now(table, &prefix).await;
            let answer = flushed.map(|()| Answer::Flushed(Flushed { level: table.level }));
            let answer = answer.map_err(|failure| failure.answer(&table.plan().container.name));
            answer_to.give(answer, &mut Wakes::default());
        }
    }

    async fn write_rows(&mut self, table: &Arc<Table>, writes: Vec<Write>) {
        let singly = |writes: Vec<Write>| writes.into_iter().map(|write| vec![write]);
        // Two spellings of one key must not meet in one transaction.
        let mut groups: VecDeque<Group> = match table.plan().has_aliases() {
            true => singly(writes).map(Group::fresh).collect(),
            false => VecDeque::from([Group::fresh(writes)]),
        };
        let mut tries = 0;
        while let Some(group) = groups.pop_front() {
            if group.writes.is_empty() {
                continue;
            }
            match self.attempt(table, &group).await {
                Ok(answers) => {
                    tries = 0;
                    let mut wakes = Wakes::default();
                    let mut deferred = Vec::new();
                    for (write, answer) in group.writes.into_iter().zip(answers) {
                        match answer {
                            Some(answer) => write.answer_to.give(answer, &mut wakes),
                            None => deferred.push(write),
                        }
                    }
                    groups.push_front(Group { writes: deferred, may_push: false });
                }
                Err(failure) => match self.remedy(table, &failure, tries, group.writes.len()).await {
                    Remedy::Again => {
                        tries += 1;
                        groups.push_front(group);
                    }
                    Remedy::TakeApart => {
                        tries = 0;
                        table.counters.taken_apart.one();
                        for single in singly(group.writes).rev() {
                            groups.push_front(Group { writes: single, may_push: group.may_push });
                        }
                    }
                    Remedy::GiveUp(error) => {
                        tries = 0;
                        table.counters.errors.add(group.writes.len() as u64);
                        tracing::debug!("container `{}`: {failure:?}", table.plan().container.name);
                        fail_all(group.writes.into_iter().map(|write| write.answer_to), &error);
                    }
                },
            }
        }
    }

    async fn remedy(&mut self, table: &Arc<Table>, failure: &Failure, tries: u32, commands: usize) -> Remedy {
        let plan = table.plan();
        let name = &plan.container.name;
        let Failure::Database(error) = failure else { return Remedy::GiveUp(failure.answer(name)) };
        let retry = self.shared.retry;
        match error.class {
            Class::Lost if tries == 0 => Remedy::Again,
            Class::SchemaChanged if tries == 0 => match self.replan(table).await {
                Ok(()) => Remedy::Again,
                Err(failure) => Remedy::GiveUp(failure.answer(name)),
            },
            Class::Conflict | Class::Duplicate if tries < retry => {
                table.counters.retries.one();
                // Whoever was in the way gets time to finish: longer with every try.
                tokio::time::sleep(Duration::from_millis(1 << tries.min(4))).await;
                Remedy::Again
            }
            Class::Lost => Remedy::GiveUp(failure.answer(name)),
            _ if commands > 1 => Remedy::TakeApart,
            // Not there under this very key, and yet in the way: another spelling of it, or another unique index.
            Class::Duplicate if plan.keys.iter().any(|mapped| plan.compares_bytes(mapped)) => {
                Remedy::GiveUp(EngineError::new(ErrorKind::Internal, "key collides with another row"))
            }
            _ => Remedy::GiveUp(failure.answer(name)),
        }
    }

    /// One transaction. Nothing has happened when it fails, but for [`Failure::Unknown`].
    async fn attempt(&mut self, table: &Arc<Table>, group: &Group) -> Result<Answers, Failure> {
        let plan = table.plan();
        let mut connection = self.take_connection().await?;
        let outcome = self.transact(&mut connection, table, &plan, group).await;
        self.give_back(connection, &outcome, true).await;
        table.counters.transactions.one();
        outcome
    }

    async fn transact(
        &self,
        connection: &mut Connection,
        table: &Table,
        plan: &Plan,
        group: &Group,
    ) -> Result<Answers, Failure> {
        let clock = &self.shared.services.clock;
        let next_id = || self.shared.ids.next(clock.since_epoch());
        let decider = Decider {
            plan,
            now: self.shared.now(),
            level: table.level,
            item_size_max: table.item_size_max,
            next_id: &next_id,
        };
        let writes = &group.writes;
        let mut pushes = if group.may_push { plan_pushes(&decider, writes) } else { BTreeMap::new() };
        let mut answers: Answers = writes.iter().map(|_| None).collect();
        // What cannot be carried out whatever the row is needs no statement.
        pushes.retain(|_, pushed| match pushed {
            Pushed::Upsert(upsert) if upsert.query.is_none() => {
                upsert.answers().into_iter().for_each(|(at, answer)| answers[at] = Some(answer));
                false
            }
            _ => true,
        });
        let locked: Vec<usize> = (0..writes.len())
            .filter(|at| answers[*at].is_none() && !pushes.contains_key(&*writes[*at].key))
            .collect();
        let patience = self.shared.target.statement_timeout;
        // In the order of the keys, so that two transactions wait for each other in one order.
        let states: BTreeMap<&[Cell], Option<State>> =
            locked.iter().map(|at| (&*writes[*at].key, None)).collect();
        let (keys, mut queries) = selects(plan, &states);
        let selects_count = queries.len();
        queries.extend(pushes.values().filter_map(Pushed::query).cloned());
        if queries.is_empty() {
            return Ok(answers);
        }
        within(patience, connection.command(plan.dialect().begin())).await.map_err(before_commit)?;
        let mut found = within(patience, connection.run_all(&queries)).await.map_err(before_commit)?;
        let pushed_answers = found.split_off(selects_count);
        let states = found_rows(plan, &keys, found, states);
        let mut growth = 0;
        for (pushed, answered) in pushes.into_values().zip(pushed_answers) {
            match pushed {
                Pushed::Step(steps) => {
                    table.counters.steps.add(steps.count() as u64);
                    table.counters.step_statements.one();
                    let dealt = steps.answers(&decider, answered);
                    dealt.into_iter().flatten().for_each(|(at, answer)| answers[at] = Some(answer));
                }
                Pushed::Upsert(mut upsert) => {
                    // MySQL and MariaDB count 2 for a row that was there; PostgreSQL does not tell.
                    growth += i64::from(answered.affected == 1);
                    upsert.answers().into_iter().for_each(|(at, answer)| answers[at] = Some(answer));
                }
            }
        }
        let (grown, statements) = decide(&decider, writes, &locked, states, &mut answers);
        growth += grown;
        let changed = within(patience, connection.run_all(&statements)).await.map_err(before_commit)?;
        if let Some(missed) = changed.iter().position(|answered| answered.affected != 1) {
            // A locked row was not changed: the rules of the table (a view, row security) hide it.
            let text = format!("{} rows changed by: {}", changed[missed].affected, statements[missed].text);
            return Err(Failure::Database(DbError { class: Class::Denied, code: String::new(), text }));
        }
        match within(patience, connection.command("COMMIT")).await {
            Ok(()) => {}
            Err(Late::Failed(error)) if error.class != Class::Lost => return Err(Failure::Database(error)),
            Err(Late::Failed(error)) => return Err(Failure::Unknown(error.to_string())),
            Err(Late::TimedOut) => return Err(Failure::Unknown("no answer to the commit in time".into())),
        }
        table.rows.fetch_add(growth, Ordering::Relaxed);
        Ok(answers)
    }
}

/// Commands for one transaction.
struct Group {
    writes: Vec<Write>,
    /// Whether the database may be let decide by itself; not once it has declined.
    may_push: bool,
}

impl Group {
    fn fresh(writes: Vec<Write>) -> Self {
        Group { writes, may_push: true }
    }
}

fn before_commit(late: Late) -> Failure {
    match late {
        Late::Failed(error) => Failure::Database(error),
        Late::TimedOut => Failure::TimedOut,
    }
}

type States<'g> = BTreeMap<&'g [Cell], Option<State>>;

/// The keys in order, in the pieces in which they are read, and the statements that read and lock them.
fn selects<'g>(plan: &Plan, states: &States<'g>) -> (Vec<Vec<&'g [Cell]>>, Vec<Query>) {
    let keys: Vec<&[Cell]> = states.keys().copied().collect();
    let size = if plan.has_aliases() { 1 } else { KEYS_MAX };
    let chunks: Vec<Vec<&[Cell]>> = keys.chunks(size).map(<[_]>::to_vec).collect();
    let queries = chunks.iter().map(|chunk| statement::select(plan, chunk, true)).collect();
    (chunks, queries)
}

/// The rows that were read, by key.
fn found_rows<'g>(
    plan: &Plan,
    chunks: &[Vec<&'g [Cell]>],
    found: Vec<Answered>,
    mut states: States<'g>,
) -> States<'g> {
    for (chunk, answered) in chunks.iter().zip(found) {
        for cells in answered.rows {
            let (key, row) = row::settle(plan, cells);
            let key = if plan.has_aliases() { chunk[0] } else { &*key };
            if let Some(state) = states.get_mut(key) {
                *state = Some(State::new(Some(row)));
            }
        }
    }
    states
}

/// Decides the commands at `locked` in order; gives what the table grows by, and the statements that write it all.
fn decide(
    decider: &Decider<'_>,
    writes: &[Write],
    locked: &[usize],
    mut states: States<'_>,
    answers: &mut Answers,
) -> (i64, Vec<Query>) {
    for at in locked {
        let write = &writes[*at];
        let state = states.get_mut(&*write.key).expect("every locked key has a state");
        let state = state.get_or_insert_with(|| State::new(None));
        if !state.is_sealed() {
            answers[*at] = Some(decider.decide(state, &write.command));
        }
    }
    let mut growth = 0;
    let mut statements = Vec::new();
    for (key, state) in &states {
        let Some(state) = state else { continue };
        growth += state.growth();
        statements.extend(state.statement(decider.plan, key));
    }
    (growth, statements)
}
