//! A whole model against its live databases, for `larder sql check` and `larder sql explain`.

use crate::cluster::OpenError;
use crate::describe;
use crate::driver::Target;
use crate::model::{Fault, Finding, Model, Prefix};
use crate::plan::{self, Plan};

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Faults and warnings.
    pub findings: Vec<Finding>,
    /// The prefixes of the server's role that use tables, with their plans, as far as they have one.
    pub prefixes: Vec<(Prefix, Plan)>,
}

impl Checked {
    /// Whether nothing stands in the way of serving.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.fault == Fault::Warning)
    }

    /// The prefix that takes a key, with its plan and what follows it in the key: the longest that matches.
    pub fn of_key<'c, 'k>(&'c self, key: &'k [u8]) -> Option<(&'c Prefix, &'c Plan, &'k [u8])> {
        let matching = self.prefixes.iter().filter_map(|(prefix, plan)| {
            key.strip_prefix(prefix.prefix.as_bytes()).map(|suffix| (prefix, plan, suffix))
        });
        matching.max_by_key(|(prefix, ..)| prefix.prefix.len())
    }
}

/// Checks a model by itself, then each prefix of its role against the live table. Blocks for the databases.
///
/// A database that cannot be reached is a finding like any other.
pub fn check(model: &Model) -> Checked {
    let mut checked = Checked { findings: model.check(), prefixes: Vec::new() };
    if !checked.is_sound() {
        return checked;
    }
    for prefix in model.own_prefixes() {
        let container = prefix.container.as_deref().and_then(|name| model.container(name));
        let (Some(container), Some(cluster)) = (container, model.cluster_of(prefix)) else { continue };
        let plan = Target::of(cluster).map_err(OpenError::Target).and_then(|target| {
            let definition = describe::definition(&target, container)?;
            plan::make(container, target.product, &definition).map_err(OpenError::Findings)
        });
        match plan {
            Ok((plan, warnings)) => {
                checked.findings.extend(warnings);
                checked.prefixes.push((prefix.clone(), plan));
            }
            Err(OpenError::Findings(findings)) => checked.findings.extend(findings),
            Err(other) => {
                let text = format!("prefix `{}`: {other}", prefix.prefix);
                checked.findings.push(Finding::new(Fault::Table, text));
            }
        }
    }
    // Two prefixes on one container have the same faults.
    let mut seen = std::collections::HashSet::new();
    checked.findings.retain(|finding| seen.insert(finding.text.clone()));
    checked
}
