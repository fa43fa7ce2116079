//! What each command of a transaction changes, decided in order on the rows it has locked.

use bytes::Bytes;
use larder_engine::semantics::{self, Change, Current, Next};
use larder_engine::{
    Deleted, Direction, Durability, EngineError, ErrorKind, Expiry, Flushed, Get, Item, Mode, Number, Stored,
    Timestamp, Touched, Value,
};

use crate::command::{Answer, Command, StoreCommand};
use crate::model::{CasMode, ExpireWithoutColumn, TextArithmetic};
use crate::plan::Plan;
use crate::row::{self, Held, Row, unsupported};
use crate::statement::{self, Assignment, Query};
use crate::types::{Cell, Kind};

/// A row as a transaction found it, and as its commands so far leave it.
pub(super) struct State {
    /// Whether it was there.
    was_there: bool,
    /// As it is now.
    row: Option<Row>,
    /// Columns to be written.
    changed: Vec<Assignment>,
    /// What it will be can only be seen in the table: later commands wait for the next transaction.
    sealed: bool,
}

/// What is the same for all commands of a transaction.
pub(super) struct Decider<'a> {
    pub plan: &'a Plan,
    pub now: Timestamp,
    pub level: Durability,
    pub item_size_max: u64,
    pub next_id: &'a dyn Fn() -> u64,
}

type Decided = Result<Answer, EngineError>;

impl State {
    pub fn new(row: Option<Row>) -> Self {
        State { was_there: row.is_some(), row, changed: Vec::new(), sealed: false }
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// What the commands come to, as a statement.
    pub fn statement(&self, plan: &Plan, key: &[Cell]) -> Option<Query> {
        match (self.was_there, &self.row) {
            (true, None) => Some(statement::delete(plan, key)),
            (false, Some(_)) => Some(statement::insert(plan, key, &self.changed)),
            (true, Some(_)) if !self.changed.is_empty() => Some(statement::update(plan, key, &self.changed)),
            _ => None,
        }
    }

    /// Rows and bytes it adds to the table, or takes from it.
    pub fn growth(&self) -> i64 {
        i64::from(self.row.is_some()) - i64::from(self.was_there)
    }

    fn put(&mut self, plan: &Plan, assignments: Vec<Assignment>) -> Result<(), EngineError> {
        let assigned = |at: &usize| assignments.iter().any(|(assigned, _)| assigned == at);
        if self.row.is_none() && (plan.update_only || !plan.required.iter().all(assigned)) {
            return Err(ErrorKind::NotStored.into());
        }
        if self.row.is_none() {
            self.row = Some(vec![Cell::Null; plan.columns.len()]);
            // The table gives the other columns their defaults.
            self.sealed = !(0..plan.columns.len()).all(|at| assigned(&at));
        }
        let row = self.row.as_mut().expect("it was just made");
        for (at, cell) in assignments {
            row[at] = cell.clone();
            match self.changed.iter_mut().find(|(changed, _)| *changed == at) {
                Some(changed) => changed.1 = cell,
                None => self.changed.push((at, cell)),
            }
        }
        Ok(())
    }

    fn remove(&mut self) {
        self.row = None;
        self.changed.clear();
        self.sealed = self.was_there;
    }
}

impl Decider<'_> {
    pub fn decide(&self, state: &mut State, command: &Command) -> Decided {
        match command {
            Command::Store(store) => self.store(state, store),
            Command::Delete(delete) => self.delete(state, delete),
            Command::Arithmetic(arithmetic) => self.arithmetic(state, arithmetic),
            Command::Get(get) => self.get(state, get),
            Command::Touch(expiry) => self.touch(state, *expiry),
            Command::RemoveExpired => {
                if self.live(state).is_none() && state.row.is_some() {
                    state.remove();
                }
                Ok(Answer::Nothing)
            }
            Command::Flush(_) => Ok(Answer::Flushed(Flushed { level: self.level })),
        }
    }

    fn live(&self, state: &State) -> Option<Held> {
        let held = row::held(self.plan, state.row.as_ref()?);
        (!held.expiry.is_past(self.now)).then_some(held)
    }

    /// Checks what this container cannot do at all.
    fn check_compare(&self, compare: Option<u64>, new_cas: Option<u64>) -> Result<(), EngineError> {
        let mode = self.plan.cas_mode();
        if compare.is_some() && mode == CasMode::None {
            return Err(unsupported("cas is"));
        }
        if new_cas.is_some() && self.plan.cas.is_none() {
            return Err(unsupported("a chosen CAS is"));
        }
        Ok(())
    }

    /// Whether an expiry that no column can keep means that nothing is to be kept at all.
    fn check_expiry(&self, expiry: Expiry) -> Result<bool, EngineError> {
        if self.plan.expiry.is_some() || expiry == Expiry::NEVER {
            return Ok(false);
        }
        if self.plan.container.options.expire_without_column == ExpireWithoutColumn::Reject {
            return Err(EngineError::new(ErrorKind::BadArgument, "expiration not supported for this prefix"));
        }
        Ok(expiry.is_past(self.now))
    }

    /// The CAS to answer: the one given, or what the content makes.
    fn cas_after(&self, state: &State, given: u64) -> u64 {
        match (self.plan.cas, self.plan.cas_mode(), &state.row) {
            (Some(_), CasMode::Column, _) => given,
            (_, CasMode::None, _) | (_, _, None) => 0,
            // Columns that the table fills in are not known yet.
            _ if state.sealed => 0,
            (_, _, Some(row)) => row::held(self.plan, row).cas,
        }
    }

    fn put_next(&self, state: &mut State, next: &Next<'_>, value: &Bytes) -> Result<(), EngineError> {
        let assignments = row::assign(self.plan, next, value)?;
        state.put(self.plan, assignments)
    }

    fn store(&self, state: &mut State, store: &StoreCommand) -> Decided {
        self.check_compare(store.compare.filter(|_| store.mode != Mode::Add), store.new_cas)?;
        let held = self.live(state);
        let current = held.as_ref().map(Held::current);
        let next = semantics::store(
            current.as_ref(),
            &store.lent(),
            &store.value,
            (self.next_id)(),
            self.item_size_max,
        )?;
        let joins = matches!(store.mode, Mode::Append | Mode::Prepend);
        if joins && !self.can_join() {
            return Err(ErrorKind::NotStored.into());
        }
        let keeps_nothing = self.check_expiry(next.expiry)?;
        let size = next.value.len(current.map_or(0, |current| current.value.len()), store.value.len());
        if keeps_nothing {
            row::assign(self.plan, &next, &store.value)?;
            if state.row.is_some() {
                state.remove();
            }
        } else {
            self.put_next(state, &next, &store.value)?;
        }
        let cas = self.cas_after(state, next.cas);
        Ok(Answer::Stored(Stored { cas, size, level: self.level, version: 0 }))
    }

    /// Whether a text can be joined to the value: there is one column, and it holds text or bytes.
    fn can_join(&self) -> bool {
        let [only] = self.plan.values[..] else { return false };
        matches!(self.plan.columns[only].column.kind, Kind::Text { .. } | Kind::Binary { .. })
    }

    fn delete(&self, state: &mut State, delete: &larder_engine::Delete) -> Decided {
        self.check_compare(delete.compare, delete.new_cas.filter(|_| delete.keeps_item()))?;
        if delete.mark_stale && self.plan.marks.is_none() {
            return Err(unsupported("stale marks are"));
        }
        let held = self.live(state);
        let current = held.as_ref().map(Held::current);
        let cas = match semantics::delete(current.as_ref(), delete, (self.next_id)())? {
            Change::Put(next) => {
                self.check_expiry(delete.expiry.unwrap_or_default())?;
                self.put_next(state, &next, &Bytes::new())?;
                self.cas_after(state, next.cas)
            }
            Change::Remove => {
                state.remove();
                0
            }
            Change::None => unreachable!("a delete that is not refused changes the item"),
        };
        Ok(Answer::Deleted(Deleted { cas, level: self.level, version: 0 }))
    }

    fn arithmetic(&self, state: &mut State, arithmetic: &larder_engine::Arithmetic) -> Decided {
        let by_text = self.plan.counter.is_none();
        if by_text && self.plan.container.options.text_arithmetic == TextArithmetic::Off {
            return Err(unsupported("incr/decr is"));
        }
        self.check_compare(arithmetic.compare, arithmetic.new_cas)?;
        let held = self.live(state);
        let current = held.as_ref().map(Held::counter);
        let (next, value, created) = semantics::arithmetic(current.as_ref(), arithmetic, (self.next_id)())?;
        if let (Some(current), false) = (&current, created) {
            self.check_range(current, arithmetic)?;
        }
        self.check_expiry(next.expiry)?;
        self.put_next(state, &next, &Bytes::new())?;
        Ok(Answer::Number(Number {
            value,
            cas: self.cas_after(state, next.cas),
            flags: next.flags,
            expiry: next.expiry,
            expiry_before: held.as_ref().map_or(next.expiry, |held| held.expiry),
            created,
            stale: next.stale,
            token_taken: next.token_taken,
            level: self.level,
            version: 0,
        }))
    }

    /// A narrow counter does not wrap.
    fn check_range(
        &self,
        current: &Current<'_>,
        arithmetic: &larder_engine::Arithmetic,
    ) -> Result<(), EngineError> {
        let most = self.plan.counter.and_then(|at| self.plan.columns[at].column.kind.counter_max());
        let (Some(most), Direction::Increment) = (most, arithmetic.direction) else { return Ok(()) };
        let number = semantics::parse_decimal(current.value).unwrap_or(0);
        if most < u64::MAX && number.checked_add(arithmetic.delta).is_none_or(|sum| sum > most) {
            return Err(EngineError::new(ErrorKind::BadArgument, "increment exceeds column range"));
        }
        Ok(())
    }

    fn get(&self, state: &mut State, get: &Get) -> Decided {
        Ok(Answer::Item(self.look(state, get)?))
    }

    fn touch(&self, state: &mut State, expiry: Expiry) -> Decided {
        let get = Get { touch: Some(expiry), ..Get::plain() };
        let item = self.look(state, &get)?.ok_or(ErrorKind::NotFound)?;
        let found = item.found;
        Ok(Answer::Touched(Touched { cas: found.cas, flags: found.flags, level: self.level, version: 0 }))
    }

    /// A look-up that may change the row: the item as it is now.
    fn look(&self, state: &mut State, get: &Get) -> Result<Option<Item>, EngineError> {
        if self.plan.marks.is_none() && (get.vivify.is_some() || get.recache_below.is_some()) {
            return Err(unsupported("tokens are"));
        }
        if let Some(vivify) = get.vivify {
            self.check_compare(None, vivify.new_cas)?;
        }
        let held = self.live(state);
        let current = held.as_ref().map(Held::current);
        let id = if get.vivify.is_some() { (self.next_id)() } else { 0 };
        let Some(seen) = semantics::get(current.as_ref(), get, id, self.now) else { return Ok(None) };
        let removed = get.touch.is_some() && self.check_expiry(seen.found.expiry)?;
        match seen.change {
            Change::Put(next) if current.is_none() => self.put_next(state, &next, &Bytes::new())?,
            Change::Put(next) => {
                // A touch leaves the CAS, and whatever else this does not name.
                let mut assignments = Vec::new();
                row::assign_expiry(self.plan, next.expiry, &mut assignments);
                row::assign_marks(self.plan, next.stale, next.token_taken, &mut assignments)?;
                state.put(self.plan, assignments)?;
            }
            Change::None => {}
            Change::Remove => unreachable!("a look-up removes nothing"),
        }
        if removed {
            state.remove();
        }
        let mut found = seen.found;
        if self.plan.expiry.is_none() {
            found.expiry = found.expiry_before;
        }
        let value = match held {
            Some(held) => match held.value {
                Some(value) => value,
                None => return Ok(None),
            },
            None => Bytes::new(),
        };
        Ok(Some(Item { found, value: Value::from(value) }))
    }
}
