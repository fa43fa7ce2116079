//! Between an item and the cells of its row.

mod fields;
mod hash;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use larder_engine::semantics::{Current, Next, NextValue};
use larder_engine::{EngineError, ErrorKind, Expiry, Found, Item, Key, Token, Value};

use crate::model::{CasMode, NullValue, TextArithmetic};
use crate::plan::{FlagsIn, Plan};
use crate::statement::Assignment;
use crate::types::{self, Cell, Kind, Misfit};

pub(crate) use fields::split;

/// Cells of a row, in the order of [`Plan::columns`].
pub type Row = Vec<Cell>;

/// Cells of a key.
pub type KeyCells = Box<[Cell]>;

/// Bit of the marks column: the item is stale.
const STALE: i128 = 1;
/// Bit of the marks column: its token is out.
const TOKEN_TAKEN: i128 = 2;

/// The item of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The client's 32 bits.
    pub flags: u32,
    /// The CAS; 0 if this container has none.
    pub cas: u64,
    /// When it expires.
    pub expiry: Expiry,
    /// Marked stale.
    pub stale: bool,
    /// Its token is out.
    pub token_taken: bool,
    /// The value; `None` where NULL reads as a miss.
    pub value: Option<Bytes>,
    /// What incr and decr work on, as text.
    pub number: Bytes,
}

impl Held {
    /// As the rules of the commands see it.
    pub fn current(&self) -> Current<'_> {
        self.with_value(self.value.as_deref().unwrap_or_default())
    }

    /// As the rules of incr and decr see it.
    pub fn counter(&self) -> Current<'_> {
        self.with_value(&self.number)
    }

    fn with_value<'a>(&self, value: &'a [u8]) -> Current<'a> {
        Current {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            stale: self.stale,
            token_taken: self.token_taken,
            value,
        }
    }

    /// As the answer of a plain read, if there is a value.
    pub fn item(self) -> Option<Item> {
        let found = Found {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            expiry_before: self.expiry,
            stale: self.stale,
            token: if self.token_taken { Token::Taken } else { Token::Free },
            ..Found::default()
        };
        Some(Item { found, value: Value::from(self.value?) })
    }
}

/// The key of a request as cells, or `None` if no row can have it.
pub fn key_cells(plan: &Plan, key: &Key<'_>) -> Option<KeyCells> {
    suffix_cells(plan, key.suffix())
}

/// The same of what follows the routed prefix.
pub fn suffix_cells(plan: &Plan, suffix: &[u8]) -> Option<KeyCells> {
    if suffix.is_empty() {
        return None;
    }
    let options = &plan.container.options;
    let parts: Vec<&[u8]> = match plan.keys.len() {
        1 => vec![suffix],
        _ => split(suffix, options.key_separator.as_bytes()),
    };
    if parts.len() != plan.keys.len() {
        return None;
    }
    let read = |(part, mapped): (&&[u8], &crate::plan::Mapped)| {
        let part = Bytes::copy_from_slice(part);
        types::read_key_part(&mapped.column.kind, options, &part).ok()
    };
    let cells: Option<Vec<Cell>> = parts.iter().zip(&plan.keys).map(read).collect();
    let has_nul = |cell: &Cell| matches!(cell, Cell::Text(text) if text.contains(&0));
    // PostgreSQL's texts hold no NUL, so no row can have one in its key.
    cells
        .filter(|cells| plan.product != crate::dialect::Product::Postgres || !cells.iter().any(has_nul))
        .map(Vec::into_boxed_slice)
}

/// The suffix that names a row with these key cells.
pub fn key_text(plan: &Plan, cells: &[Cell]) -> Vec<u8> {
    let options = &plan.container.options;
    let parts = plan.keys.iter().zip(cells);
    let texts: Vec<Bytes> =
        parts.map(|(mapped, cell)| types::show(&mapped.column.kind, options, cell)).collect();
    texts.join(options.key_separator.as_bytes())
}

/// What a driver read, cut into key and row, in the form in which cells compare.
pub fn settle(plan: &Plan, cells: Vec<Cell>) -> (KeyCells, Row) {
    let mut cells = cells.into_iter();
    let key = plan.keys.iter().zip(cells.by_ref().take(plan.keys.len()));
    let key: Vec<Cell> = key.map(|(mapped, cell)| types::settle(&mapped.column.kind, cell)).collect();
    let row = plan.columns.iter().zip(cells);
    let row = row.map(|(mapped, cell)| types::settle(&mapped.column.kind, cell)).collect();
    (key.into_boxed_slice(), row)
}

fn integer(cell: &Cell) -> Option<i128> {
    match cell {
        Cell::Integer(number) => Some(*number),
        Cell::Text(text) | Cell::Blob(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Cell::Null => None,
    }
}

/// The item of a row; expired or not.
pub fn held(plan: &Plan, row: &Row) -> Held {
    let marks = plan.marks.and_then(|at| integer(&row[at])).unwrap_or(0);
    let flags = match plan.flags {
        FlagsIn::Constant(flags) => flags,
        FlagsIn::Column(at) => integer(&row[at]).map_or(0, |flags| flags as u32),
    };
    let counter = plan.counter.and_then(|at| integer(&row[at])).filter(|number| *number >= 0);
    let counter = counter.map(|number| Bytes::from(number.to_string()));
    let value = value(plan, row, counter.as_ref());
    let number = match plan.counter {
        Some(_) => counter.unwrap_or_default(),
        None => text_number(plan, value.as_ref()),
    };
    Held {
        flags,
        cas: cas(plan, row),
        expiry: expiry(plan, row),
        stale: marks & STALE != 0,
        token_taken: marks & TOKEN_TAKEN != 0,
        value,
        number,
    }
}

/// The digits that incr works on where no column counts.
fn text_number(plan: &Plan, value: Option<&Bytes>) -> Bytes {
    let value = value.cloned().unwrap_or_default();
    let tolerant = plan.container.options.text_arithmetic == TextArithmetic::Blanks;
    if tolerant || value.iter().all(u8::is_ascii_digit) { value } else { Bytes::new() }
}

fn value(plan: &Plan, row: &Row, counter: Option<&Bytes>) -> Option<Bytes> {
    let options = &plan.container.options;
    let show = |at: &usize| types::show(&plan.columns[*at].column.kind, options, &row[*at]);
    match &plan.values[..] {
        [only] if row[*only] == Cell::Null => match counter.filter(|_| plan.is_dual()) {
            Some(digits) => Some(digits.clone()),
            None => (options.null_value == NullValue::Empty).then(Bytes::new),
        },
        [only] => Some(show(only)),
        all => {
            let texts: Vec<Bytes> = all.iter().map(show).collect();
            Some(texts.join(options.field_separator()).into())
        }
    }
}

fn expiry(plan: &Plan, row: &Row) -> Expiry {
    let second = plan.expiry.and_then(|at| types::second_of(&row[at]));
    match second {
        None | Some(0) => Expiry::NEVER,
        Some(second) => Expiry::at(second.clamp(1, i64::from(u32::MAX)) as u32),
    }
}

fn cas(plan: &Plan, row: &Row) -> u64 {
    match plan.cas_mode() {
        CasMode::None => 0,
        CasMode::Hash => hash::of(plan, row),
        CasMode::Column => match plan.cas.and_then(|at| integer(&row[at])) {
            // Written by somebody who knows no CAS.
            None | Some(0) => hash::of(plan, row),
            Some(cas) => cas as u64,
        },
    }
}

/// What a command leaves, as assignments. `value` is what it brought.
///
/// # Errors
/// What the columns cannot hold.
pub fn assign(plan: &Plan, next: &Next<'_>, value: &Bytes) -> Result<Vec<Assignment>, EngineError> {
    let mut assignments = Vec::with_capacity(plan.columns.len());
    match next.value {
        NextValue::Kept => {}
        NextValue::Given => fields::assign(plan, value, &mut assignments)?,
        NextValue::Decimal(decimal) => {
            let digits = Bytes::copy_from_slice(decimal.as_slice());
            assign_number(plan, &digits, &mut assignments)?;
        }
        other => {
            let composed = other.composed().unwrap_or_default();
            fields::assign(plan, &composed, &mut assignments)?;
        }
    }
    if let FlagsIn::Column(at) = plan.flags {
        let Kind::Integer { max, .. } = plan.columns[at].column.kind else {
            unreachable!("a flags column holds integers")
        };
        if i128::from(next.flags) > max {
            return Err(ErrorKind::TooLarge.into());
        }
        assignments.push((at, Cell::Integer(i128::from(next.flags))));
    }
    if let Some(at) = plan.cas {
        assignments.push((at, plan.cas_cell(next.cas)));
    }
    assign_expiry(plan, next.expiry, &mut assignments);
    assign_marks(plan, next.stale, next.token_taken, &mut assignments)?;
    Ok(assignments)
}

/// Other marks, and nothing else.
///
/// # Errors
/// `Unsupported` where there are marks and no column for them.
pub fn assign_marks(
    plan: &Plan,
    stale: bool,
    token_taken: bool,
    assignments: &mut Vec<Assignment>,
) -> Result<(), EngineError> {
    if let Some(at) = plan.marks {
        let marks = i128::from(stale) * STALE + i128::from(token_taken) * TOKEN_TAKEN;
        assignments.push((at, Cell::Integer(marks)));
    } else if stale || token_taken {
        return Err(unsupported("stale marks and tokens are"));
    }
    Ok(())
}

/// Another expiry, and nothing else.
pub fn assign_expiry(plan: &Plan, expiry: Expiry, assignments: &mut Vec<Assignment>) {
    if let Some(at) = plan.expiry {
        assignments.push((at, plan.expiry_cell(expiry)));
    }
}

/// A new number: into the counter, or as digits into the text.
fn assign_number(plan: &Plan, digits: &Bytes, assignments: &mut Vec<Assignment>) -> Result<(), EngineError> {
    let Some(at) = plan.counter else { return fields::assign(plan, digits, assignments) };
    let column = &plan.columns[at].column;
    let options = &plan.container.options;
    let cell = types::read_text(&column.kind, options, digits).map_err(|misfit| match misfit {
        Misfit::Size => EngineError::new(ErrorKind::BadArgument, "increment exceeds column range"),
        Misfit::Form => misfit.refusal(&column.name),
    })?;
    assignments.push((at, cell));
    assign_text_of_number(plan, Some(digits), assignments)
}

/// What a new number does to the text of a dual container. The digits may be left out where they are not kept.
pub fn assign_text_of_number(
    plan: &Plan,
    digits: Option<&Bytes>,
    assignments: &mut Vec<Assignment>,
) -> Result<(), EngineError> {
    if !plan.is_dual() {
        return Ok(());
    }
    let at = plan.values[0];
    let column = &plan.columns[at].column;
    let cell = match digits.filter(|_| mirrors_text(plan)) {
        Some(digits) => types::read_text(&column.kind, &plan.container.options, digits)
            .map_err(|misfit| misfit.refusal(&column.name))?,
        None => Cell::Null,
    };
    assignments.push((at, cell));
    Ok(())
}

/// Whether the digits of a counter are written into the text beside it.
pub fn mirrors_text(plan: &Plan) -> bool {
    plan.is_dual() && (plan.container.options.mirror_text || !plan.columns[plan.values[0]].column.nullable)
}

/// The refusal of what this container cannot do.
pub fn unsupported(what: &str) -> EngineError {
    EngineError::new(ErrorKind::Unsupported, format!("{what} not supported for this prefix"))
}
