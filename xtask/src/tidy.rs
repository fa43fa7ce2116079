//! `cargo xtask tidy`: what the compiler and clippy do not look at.
//!
//! A check is a function from the repository's files (and, for two of them, cargo's description of
//! the packages) to findings; it reads nothing else, so that a test can plant a fault.

mod edges;
mod examples;
mod licences;
mod links;
mod markdown;
mod repository;
mod rust_text;
mod sizes;
mod unsafe_code;
mod words;

#[cfg(test)]
mod tests;

use crate::command;
use anyhow::{Context, Result, bail};
use repository::Repository;
use std::fmt;

/// Check licences, crate edges, file sizes, documentation and forbidden words
///
/// Errors fail the run, warnings do not. Looks at the files that git knows and those it could be
/// told to add.
#[derive(clap::Args)]
#[command(after_help = TIDY_MARKS)]
pub(crate) struct Options {
    /// Run only these checks; all when none is named
    #[arg(value_enum, value_name = "CHECK")]
    checks: Vec<Check>,
}

const TIDY_MARKS: &str = "\
In the documentation:
  ```toml           must pass `larder check-config`; write ```toml,ignore for other TOML
  ```sh, ```console a command `larder …` or `cargo xtask …` must use subcommands and options
                    that its --help names; write ```sh,ignore for what is not to be checked";

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// The licence of every dependency is on the list of those allowed
    Licences,
    /// No crate depends on one that it must not know
    Edges,
    /// No file is too long
    Sizes,
    /// Links in Markdown lead somewhere; the book lists every page
    Links,
    /// Configurations and commands in the documentation are ones that larder takes
    Examples,
    /// Forbidden words, trailing blanks, missing last newline
    Words,
    /// `unsafe` only where allowed, each with its reason
    Unsafe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    path: String,
    /// Counted from one; zero when the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn error(path: &str, line: usize, message: String) -> Self {
        Finding { severity: Severity::Error, path: path.to_owned(), line, message }
    }

    fn warning(path: &str, line: usize, message: String) -> Self {
        Finding { severity: Severity::Warning, ..Finding::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Warning {
            write!(formatter, "warning: ")?;
        }
        write!(formatter, "{}:", self.path)?;
        if self.line > 0 {
            write!(formatter, "{}:", self.line)?;
        }
        write!(formatter, " {}", self.message)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let asked = |check| options.checks.is_empty() || options.checks.contains(&check);
    let repository = Repository::read(&command::repository())?;

    let mut findings = Vec::new();
    if asked(Check::Licences) || asked(Check::Edges) {
        let metadata = metadata()?;
        if asked(Check::Licences) {
            findings.extend(licences::check(&metadata));
        }
        if asked(Check::Edges) {
            findings.extend(edges::check(&metadata));
        }
    }
    if asked(Check::Sizes) {
        findings.extend(sizes::check(&repository));
    }
    if asked(Check::Links) {
        findings.extend(links::check(&repository));
    }
    if asked(Check::Examples) {
        findings.extend(check_examples(&repository)?);
    }
    if asked(Check::Words) {
        findings.extend(words::check(&repository));
    }
    if asked(Check::Unsafe) {
        findings.extend(unsafe_code::check(&repository));
    }
    report(&findings)
}

fn metadata() -> Result<serde_json::Value> {
    let text = command::output(&mut command::cargo(&["metadata", "--format-version=1", "--locked"]))?;
    serde_json::from_str(&text).context("`cargo metadata` wrote something that is not JSON")
}

fn check_examples(repository: &Repository) -> Result<Vec<Finding>> {
    let examples = examples::collect(repository);
    if !examples.need_server() {
        return Ok(examples.check(None));
    }
    command::run(&mut command::cargo(&[&command::BUILD_SERVER[..], &["--quiet"]].concat()))?;
    let server = examples::Server::new(command::server_binary(), command::target_folder().join("tidy"))?;
    Ok(examples.check(Some(&server)))
}

fn report(findings: &[Finding]) -> Result<()> {
    for finding in findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    if errors > 0 {
        bail!("tidy: {errors} errors, {warnings} warnings");
    }
    println!("tidy: no errors, {warnings} warnings");
    Ok(())
}
