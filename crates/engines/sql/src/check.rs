//! What a configuration serves against its live databases, for `larder sql check` and `larder sql explain`.

use std::collections::HashSet;

use crate::cluster::OpenError;
use crate::describe;
use crate::driver::Target;
use crate::model::{Cluster, Container, Fault, Finding};
use crate::plan::{self, Plan};

/// A prefix whose items are rows.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// How the keys begin.
    pub prefix: &'a str,
    /// Which table and columns.
    pub container: &'a Container,
    /// Where the table is.
    pub cluster: &'a Cluster,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Faults and warnings.
    pub findings: Vec<Finding>,
    /// The prefixes with their plans, as far as they have one.
    pub prefixes: Vec<(String, Plan)>,
}

impl Checked {
    /// Whether nothing stands in the way of serving.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.fault == Fault::Warning)
    }
}

/// Checks each prefix against the live table. Blocks for the databases.
///
/// A database that cannot be reached is a finding like any other.
pub fn check(served: &[Served<'_>]) -> Checked {
    let mut checked = Checked::default();
    for Served { prefix, container, cluster } in served {
        let plan = Target::of(cluster).map_err(OpenError::Target).and_then(|target| {
            let definition = describe::definition(&target, container)?;
            plan::make(container, target.product, &definition).map_err(OpenError::Findings)
        });
        match plan {
            Ok((plan, warnings)) => {
                checked.findings.extend(warnings);
                checked.prefixes.push(((*prefix).to_owned(), plan));
            }
            Err(OpenError::Findings(findings)) => checked.findings.extend(findings),
            Err(other) => {
                checked.findings.push(Finding::new(Fault::Table, format!("prefix `{prefix}`: {other}")))
            }
        }
    }
    // Two prefixes on one container have the same faults.
    let mut seen = HashSet::new();
    checked.findings.retain(|finding| seen.insert(finding.text.clone()));
    checked
}
