//! In place of the part `[sql]`, where larder is built without SQL tables.

use std::ops::Range;

use super::super::sql::{ADVICE, PROBLEM, SqlDraft};
use super::{Reader, Value};

impl Reader<'_> {
    pub(super) fn sql(&mut self, key: Range<usize>, _value: &Value<'_>) -> Option<SqlDraft> {
        let place = self.place(key);
        self.report.push(place, PROBLEM, ADVICE);
        None
    }
}
