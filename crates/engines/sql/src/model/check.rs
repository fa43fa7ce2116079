//! What is wrong with a model by itself, whatever the tables look like.

use std::collections::HashSet;
use std::fmt;

use super::{Container, Flags, Model, Prefix, Route};

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server's role is not among the roles.
    UnknownRole,
    /// A prefix names a policy that is not there.
    UnknownPolicy,
    /// A prefix names a container that is not there.
    UnknownContainer,
    /// A prefix names a cluster that is not there.
    UnknownCluster,
    /// The policy uses tables, but the prefix names no container.
    ContainerMissing,
    /// The policy uses no table, but the prefix names a container.
    ContainerUnused,
    /// A container keeps neither value nor counter.
    NothingMapped,
    /// A list of columns is empty or too long.
    ColumnCount,
    /// A column has two uses that exclude each other.
    ColumnTwice,
    /// A prefix is given twice.
    PrefixTwice,
    /// Two things of a kind have one name.
    NameTwice,
    /// A separator is empty or too long.
    Separator,
    /// Large values need one value column.
    LargeValues,
    /// A number is out of its range.
    OutOfRange,
    /// Something in the tables of the database (see [`crate::plan`]).
    Table,
    /// Not a fault: something to know.
    Warning,
}

/// What in a model a finding is about, by its place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The model as a whole.
    Model,
    /// A cluster.
    Cluster(usize),
    /// A policy.
    Policy(usize),
    /// A container.
    Container(usize),
    /// A role.
    Role(usize),
    /// A prefix.
    Prefix(usize),
}

/// Something wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub fault: Fault,
    /// What it is about.
    pub about: About,
    /// In words, with the name of the offender and what to do.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Finding { fault, about: About::Model, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead = if self.fault == Fault::Warning { "warning: " } else { "" };
        write!(f, "{lead}{}", self.text)
    }
}

/// Key columns of a container at most.
const KEY_COLUMNS_MAX: usize = 16;
/// Value columns of a container at most.
const VALUE_COLUMNS_MAX: usize = 64;

impl Model {
    /// Everything that is wrong. Nothing: the model can be tried on the live tables.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.node_id > 1023 {
            let text = format!("node_id {} is not one of 0 to 1023", self.node_id);
            findings.push(Finding::new(Fault::OutOfRange, text));
        }
        self.check_names(&mut findings);
        let is_known =
            self.role() == super::DEFAULT_ROLE || self.roles.iter().any(|role| role.name == self.role());
        if !is_known {
            let known: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
            let text = format!("role `{}` is not there; there are: {}", self.role(), known.join(", "));
            findings.push(Finding::new(Fault::UnknownRole, text));
        }
        for (at, container) in self.containers.iter().enumerate() {
            let from = findings.len();
            check_container(container, &mut findings);
            findings[from..].iter_mut().for_each(|finding| finding.about = About::Container(at));
        }
        let mut seen = HashSet::new();
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let from = findings.len();
            if !seen.insert((&prefix.role, &prefix.prefix)) {
                let text =
                    format!("prefix `{}` is given twice in role `{}`: keep one", prefix.prefix, prefix.role);
                findings.push(Finding::new(Fault::PrefixTwice, text));
            }
            self.check_prefix(prefix, &mut findings);
            findings[from..].iter_mut().for_each(|finding| finding.about = About::Prefix(at));
        }
        findings
    }

    fn check_names(&self, findings: &mut Vec<Finding>) {
        let mut names = |what: &str, about: fn(usize) -> About, names: &mut dyn Iterator<Item = &str>| {
            let mut seen = HashSet::new();
            for (at, name) in names.enumerate() {
                if !seen.insert(name.to_owned()) {
                    let text = format!("{what} `{name}` is described twice: rename or remove one");
                    findings.push(Finding { about: about(at), ..Finding::new(Fault::NameTwice, text) });
                }
            }
        };
        names("cluster", About::Cluster, &mut self.clusters.iter().map(|cluster| cluster.name.as_str()));
        names("policy", About::Policy, &mut self.policies.iter().map(|policy| policy.name.as_str()));
        names("container", About::Container, &mut self.containers.iter().map(|one| one.name.as_str()));
        names("role", About::Role, &mut self.roles.iter().map(|role| role.name.as_str()));
    }

    fn check_prefix(&self, prefix: &Prefix, findings: &mut Vec<Finding>) {
        let mut find = |fault, text: String| findings.push(Finding::new(fault, text));
        let key = &prefix.prefix;
        let policy = self.policy(&prefix.policy);
        if policy.is_none() {
            find(
                Fault::UnknownPolicy,
                format!("prefix `{key}` names the policy `{}`, which is not there", prefix.policy),
            );
        }
        if let Some(name) = prefix.container.as_ref().filter(|name| self.container(name).is_none()) {
            find(
                Fault::UnknownContainer,
                format!("prefix `{key}` names the container `{name}`, which is not there"),
            );
        }
        let Some(policy) = policy else { return };
        let name = &policy.name;
        if policy.uses_database() {
            if prefix.container.is_none() {
                let text =
                    format!("prefix `{key}` has the policy `{name}`, which uses tables, but no container");
                find(Fault::ContainerMissing, text);
            }
            if self.cluster_of(prefix).is_none() {
                let cluster = prefix.cluster.as_deref().unwrap_or("0");
                find(
                    Fault::UnknownCluster,
                    format!("prefix `{key}` names the cluster `{cluster}`, which is not there"),
                );
            }
        } else if let Some(container) = &prefix.container {
            let text = format!(
                "prefix `{key}` has the policy `{name}`, which uses no table, but the container `{container}`: remove it"
            );
            find(Fault::ContainerUnused, text);
        }
        let writes_cache = policy.set.uses_cache() || policy.delete.uses_cache();
        if writes_cache != policy.get.uses_cache() && policy.get != Route::Disabled {
            let text = format!(
                "policy `{name}` of prefix `{key}` writes the cache and never reads it, or the reverse"
            );
            find(Fault::Warning, text);
        }
    }
}

fn check_container(container: &Container, findings: &mut Vec<Finding>) {
    let name = &container.name;
    let mut find = |fault, text: String| findings.push(Finding::new(fault, text));
    let count = container.key_columns.len();
    if !(1..=KEY_COLUMNS_MAX).contains(&count) {
        find(
            Fault::ColumnCount,
            format!("container `{name}` has {count} key columns; 1 to {KEY_COLUMNS_MAX} are possible"),
        );
    }
    let count = container.value_columns.len();
    if count > VALUE_COLUMNS_MAX {
        find(
            Fault::ColumnCount,
            format!("container `{name}` has {count} value columns; {VALUE_COLUMNS_MAX} are possible"),
        );
    }
    if container.value_columns.is_empty() && container.increment_column.is_empty() {
        let text = format!(
            "container `{name}` names neither value columns nor an increment column: nothing would be kept"
        );
        find(Fault::NothingMapped, text);
    }
    if !container.large_values_table.is_empty() && container.value_columns.len() != 1 {
        let text =
            format!("container `{name}` has a large_values_table, which needs exactly one value column");
        find(Fault::LargeValues, text);
    }
    let options = &container.options;
    for (what, separator) in [("separator", &options.separator), ("key_separator", &options.key_separator)] {
        if !(1..=8).contains(&separator.len()) {
            find(
                Fault::Separator,
                format!(
                    "the {what} of container `{name}` has {} bytes; 1 to 8 are possible",
                    separator.len()
                ),
            );
        }
    }
    let flags = match &container.flags {
        Flags::Column(column) => column.as_str(),
        Flags::Constant(_) => "",
    };
    let values = container.value_columns.iter().map(String::as_str);
    let counter = container.increment_column.as_str();
    // The increment column may be the only value column: a pure counter.
    let counter_alone =
        if container.value_columns.iter().any(|column| column == counter) { "" } else { counter };
    let helpers =
        [flags, counter_alone, &container.cas_column, &container.expire_time_column, &container.marks_column];
    let all = container.key_columns.iter().map(String::as_str).chain(values).chain(helpers);
    let mut seen = HashSet::new();
    for column in all.filter(|column| !column.is_empty()) {
        if !seen.insert(column) {
            let text = format!("column `{column}` of container `{name}` is named for two uses: keep one");
            findings.push(Finding::new(Fault::ColumnTwice, text));
        }
    }
}
