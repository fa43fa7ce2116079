//! A value as the fields of its columns.

use bytes::Bytes;
use larder_engine::{EngineError, ErrorKind};

use crate::model::{EmptyField, ExtraFields, MissingFields};
use crate::plan::Plan;
use crate::statement::Assignment;
use crate::types::{self, Cell, Kind};

/// Cuts `text` at every `separator`; adjacent ones have an empty field between them.
pub(crate) fn split<'a>(text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut fields = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at + separator.len() <= text.len() {
        if text[at..].starts_with(separator) {
            fields.push(&text[start..at]);
            at += separator.len();
            start = at;
        } else {
            at += 1;
        }
    }
    fields.push(&text[start..]);
    fields
}

/// Adds what the value columns are to hold.
pub(super) fn assign(
    plan: &Plan,
    value: &Bytes,
    assignments: &mut Vec<Assignment>,
) -> Result<(), EngineError> {
    if let [only] = plan.values[..] {
        return assign_single(plan, only, value, assignments);
    }
    let options = &plan.container.options;
    let fields = split(value, options.field_separator());
    if fields.len() > plan.values.len() && options.extra_fields == ExtraFields::Error {
        let text = format!("too many fields for container {}", plan.container.name);
        return Err(EngineError::new(ErrorKind::BadArgument, text));
    }
    for (index, at) in plan.values.iter().enumerate() {
        let column = &plan.columns[*at].column;
        let cell = match fields.get(index) {
            None if options.missing_fields == MissingFields::Keep => continue,
            None => Cell::Null,
            Some(field) if field.is_empty() && options.empty_field == EmptyField::Null => Cell::Null,
            Some(field) => {
                let field = value.slice_ref(field);
                types::read_text(&column.kind, options, &field)
                    .map_err(|misfit| misfit.refusal(&column.name))?
            }
        };
        assignments.push((*at, cell));
    }
    Ok(())
}

fn assign_single(
    plan: &Plan,
    at: usize,
    value: &Bytes,
    assignments: &mut Vec<Assignment>,
) -> Result<(), EngineError> {
    let column = &plan.columns[at].column;
    if plan.is_pure_counter() && !value.iter().all(u8::is_ascii_digit) {
        return Err(types::Misfit::Form.refusal(&column.name));
    }
    let cell = types::read_text(&column.kind, &plan.container.options, value)
        .map_err(|misfit| misfit.refusal(&column.name))?;
    assignments.push((at, cell));
    if plan.is_dual()
        && let Some(at) = plan.counter
    {
        assignments.push((at, number_beside(&plan.columns[at].column, value)));
    }
    Ok(())
}

/// What the counter of a dual container becomes when the text is set: the text's number, if it is one.
fn number_beside(column: &crate::dialect::Column, value: &Bytes) -> Cell {
    let is_number = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number =
        std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
    let most = column.kind.counter_max().unwrap_or(0);
    match number.filter(|number| *number <= most) {
        Some(number) if matches!(column.kind, Kind::Integer { .. }) => Cell::Integer(i128::from(number)),
        Some(number) => Cell::text(number.to_string()),
        None if column.nullable => Cell::Null,
        None if matches!(column.kind, Kind::Integer { .. }) => Cell::Integer(0),
        None => Cell::text("0"),
    }
}
