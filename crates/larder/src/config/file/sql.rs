//! The part `[sql]`: read as a whole, with the places of what it lists.

use std::ops::Range;

use larder_sql::model::Model;
use toml::de::DeValue;

use super::super::report::Place;
use super::super::sql::{Places, SqlDraft};
use super::{Reader, Value};

impl Reader<'_> {
    pub(super) fn sql(&mut self, key: Range<usize>, value: &Value<'_>) -> Option<SqlDraft> {
        let whole = self.place(key);
        match Model::from_part(value.clone()) {
            Ok(model) => Some(SqlDraft { model, places: self.places(whole, value) }),
            Err(error) => {
                let place = error.span().map_or(whole, |span| self.place(span));
                let problem = format!("[sql]: {}", error.message());
                self.report.push(place, problem, "write it as docs/stores/sql.md describes it");
                None
            }
        }
    }

    fn places(&self, whole: Place, value: &Value<'_>) -> Places {
        let of = |name: &str| -> Vec<Place> {
            let DeValue::Table(table) = value.get_ref() else { return Vec::new() };
            match table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, list)| list.get_ref()) {
                Some(DeValue::Array(list)) => list.iter().map(|entry| self.place(entry.span())).collect(),
                _ => Vec::new(),
            }
        };
        Places {
            whole,
            clusters: of("cluster"),
            policies: of("policy"),
            containers: of("container"),
            roles: of("role"),
            prefixes: of("prefix"),
        }
    }
}
