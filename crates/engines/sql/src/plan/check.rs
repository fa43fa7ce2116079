//! From a container and the description of its table to a plan, or to what is wrong.

use super::{FlagsIn, Mapped, Plan};
use crate::dialect::{Column, Product, Unique};
use crate::model::{Container, Fault, Finding, Flags, KeyMatch};
use crate::types::Kind;

/// A table as the database describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its unique indexes.
    pub uniques: Vec<Unique>,
}

impl Definition {
    fn column(&self, name: &str) -> Option<&Column> {
        // Databases fold the case of names in different ways; an exact match goes first.
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }
}

struct Checker<'a> {
    container: &'a Container,
    product: Product,
    definition: &'a Definition,
    findings: Vec<Finding>,
    columns: Vec<Mapped>,
}

/// Checks a container against its table. Findings that are warnings do not stand in the way of a plan.
///
/// # Errors
/// Everything that is wrong, each by name.
pub fn make(
    container: &Container,
    product: Product,
    definition: &Definition,
) -> Result<(Plan, Vec<Finding>), Vec<Finding>> {
    let mut checker = Checker { container, product, definition, findings: Vec::new(), columns: Vec::new() };
    let plan = checker.plan();
    let findings = checker.findings;
    match plan {
        Some(plan) if findings.iter().all(|finding| finding.fault == Fault::Warning) => Ok((plan, findings)),
        _ => Err(findings),
    }
}

fn is_integer(column: &Column) -> bool {
    matches!(column.kind, Kind::Integer { .. })
}

fn counts(column: &Column) -> bool {
    column.kind.counter_max().is_some()
}

fn has_64_bits(column: &Column) -> bool {
    matches!(column.kind, Kind::Integer { max, .. } if max >= i128::from(i64::MAX)) || column.kind.holds_u64()
}

fn keeps_moments(column: &Column) -> bool {
    match column.kind {
        Kind::Integer { max, .. } => max >= i128::from(i32::MAX),
        Kind::DateTime { .. } | Kind::Timestamp { .. } => column.nullable,
        _ => false,
    }
}

impl Checker<'_> {
    fn wrong(&mut self, text: String) {
        self.findings
            .push(Finding::new(Fault::Table, format!("container `{}`: {text}", self.container.name)));
    }

    fn warn(&mut self, text: String) {
        self.findings
            .push(Finding::new(Fault::Warning, format!("container `{}`: {text}", self.container.name)));
    }

    fn mapped(&mut self, name: &str) -> Option<Mapped> {
        let Some(column) = self.definition.column(name) else {
            self.wrong(format!("table `{}` has no column `{name}`", self.container.table));
            return None;
        };
        if column.kind == Kind::Unsupported {
            self.wrong(format!("column `{name}` has the type {}, which cannot be mapped", column.declared));
        }
        Some(Mapped { quoted: self.product.dialect().quote(&column.name), column: column.clone() })
    }

    /// The place of a column among the mapped ones.
    fn place_of(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.columns.iter().position(|mapped| mapped.column.name == name) {
            return Some(at);
        }
        let mapped = self.mapped(name)?;
        self.columns.push(mapped);
        Some(self.columns.len() - 1)
    }

    fn helper(&mut self, name: &str, what: &str, suits: fn(&Column) -> bool) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let at = self.place_of(name)?;
        let column = &self.columns[at].column;
        if !suits(column) {
            let text = format!("column `{name}` has the type {}, which cannot keep {what}", column.declared);
            self.wrong(text);
        }
        Some(at)
    }

    fn plan(&mut self) -> Option<Plan> {
        let (container, product) = (self.container, self.product);
        if self.definition.columns.is_empty() {
            self.wrong(format!("there is no table `{}`, or it cannot be read", container.table));
            return None;
        }
        let keys: Vec<Mapped> = container.key_columns.iter().filter_map(|name| self.mapped(name)).collect();
        let mut values: Vec<usize> =
            container.value_columns.iter().filter_map(|name| self.place_of(name)).collect();
        let counter = self.helper(&container.increment_column, "a counter", counts);
        let flags = match &container.flags {
            Flags::Constant(flags) => FlagsIn::Constant(*flags),
            Flags::Column(name) => {
                self.helper(name, "flags", is_integer).map_or(FlagsIn::Constant(0), FlagsIn::Column)
            }
        };
        let cas = self.helper(&container.cas_column, "a CAS (64 bits)", has_64_bits);
        let moment = "an expiry (a moment that may be NULL, or an integer of seconds)";
        let expiry = self.helper(&container.expire_time_column, moment, keeps_moments);
        let marks = self.helper(&container.marks_column, "marks", is_integer);
        if values.is_empty() {
            values.extend(counter);
        }
        if !container.large_values_table.is_empty() {
            self.wrong("large values in a table of parts are not supported yet".into());
        }
        let is_unique = self.check_key(&keys);
        self.warn_of_keys(&keys);
        let dialect = product.dialect();
        let table = match container.schema.as_str() {
            "" => dialect.quote(&container.table),
            schema => format!("{}.{}", dialect.quote(schema), dialect.quote(&container.table)),
        };
        let columns = std::mem::take(&mut self.columns);
        let required = (0..columns.len()).filter(|at| !columns[*at].column.has_default).collect();
        let update_only = self.check_unmapped(&keys, &columns);
        let is_key = |column: &Column| keys.iter().any(|mapped| mapped.column.name == column.name);
        let other_counts =
            self.definition.columns.iter().any(|column| column.counts_itself && !is_key(column));
        let folds = keys.iter().any(|mapped| mapped.column.folds);
        // On MySQL and MariaDB an upsert takes whichever unique index it meets first.
        let names_its_key = product != Product::MySql || self.definition.uniques.len() == 1;
        let compares = !folds || container.options.key_match == KeyMatch::Collation;
        Some(Plan {
            upserts: is_unique && names_its_key && compares && !update_only && !other_counts,
            container: container.clone(),
            product,
            table,
            keys,
            columns,
            values,
            counter,
            flags,
            cas,
            expiry,
            marks,
            required,
            update_only,
        })
    }

    /// Whether the key columns are just those of a unique index. A key that is not is refused.
    fn check_key(&mut self, keys: &[Mapped]) -> bool {
        let names: Vec<&str> = keys.iter().map(|mapped| mapped.column.name.as_str()).collect();
        let is_key = |unique: &Unique| {
            unique.columns.len() == names.len()
                && unique.columns.iter().all(|name| names.contains(&name.as_str()))
        };
        if self.definition.uniques.iter().any(is_key) {
            return true;
        }
        if names.len() == self.container.key_columns.len() {
            let known: Vec<String> = self
                .definition
                .uniques
                .iter()
                .map(|unique| format!("{} ({})", unique.name, unique.columns.join(", ")))
                .collect();
            self.wrong(format!(
                "the key columns ({}) are not those of the primary key or of a unique index of `{}`; there are: {}",
                names.join(", "),
                self.container.table,
                if known.is_empty() { "none".into() } else { known.join("; ") }
            ));
        }
        false
    }

    fn warn_of_keys(&mut self, keys: &[Mapped]) {
        for mapped in keys {
            let name = &mapped.column.name;
            if mapped.column.folds {
                self.warn(format!(
                    "key column `{name}` takes different texts for the same (case, accents or blanks at the end)"
                ));
            }
            if matches!(mapped.column.kind, Kind::Float { .. }) {
                self.warn(format!("key column `{name}` is a binary fraction, compared as the database does"));
            }
        }
    }

    /// Whether a column that an INSERT must name is not mapped.
    fn check_unmapped(&mut self, keys: &[Mapped], columns: &[Mapped]) -> bool {
        let is_mapped =
            |column: &Column| keys.iter().chain(columns).any(|mapped| mapped.column.name == column.name);
        let missing: Vec<String> = self
            .definition
            .columns
            .iter()
            .filter(|column| !column.has_default && !column.generated && !is_mapped(column))
            .map(|column| column.name.clone())
            .collect();
        if missing.is_empty() {
            return false;
        }
        self.warn(format!("rows can be changed, not added: nothing gives a value to {}", missing.join(", ")));
        true
    }
}
