//! `larder sql check` and `larder sql explain`: what a configuration file means on the live tables.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::Subcommand;
use larder_sql::{Checked, Served};

use crate::cli;
use crate::config::{Layer, Options, Plan, Program};

/// What can be asked about tables.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Sql {
    /// Check the containers of a configuration file against their tables
    Check {
        /// The file
        file: std::path::PathBuf,
    },
    /// Print the statements that each command on a key runs
    Explain {
        /// The file
        file: std::path::PathBuf,
        /// The key, with its prefix
        key: String,
    },
}

/// Runs one of them: success, or what is wrong to standard error and 1.
pub fn run(command: &Sql) -> ExitCode {
    let outcome = match command {
        Sql::Check { file } => check(file),
        Sql::Explain { file, key } => explain(file, key),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder sql: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The tables that the stacks of a file name, against the live ones; findings go to standard error.
fn checked(file: &Path) -> anyhow::Result<(Plan, Checked)> {
    let options = Options { config: Some(file.to_owned()), ..Options::default() };
    let plan = cli::load(&options, Program::Larder)?;
    let mut served = Vec::new();
    for prefix in &plan.prefixes {
        let Layer::Sql(table) = prefix.stack.lowest() else { continue };
        let meaning = table.meaning();
        served.push(Served { prefix: &prefix.key, container: &meaning.container, cluster: &meaning.cluster });
    }
    if served.is_empty() {
        bail!("{}: no stack of it keeps items in a table; write `stack = \"sql(NAME)\"`", file.display());
    }
    let checked = larder_sql::check(&served);
    for finding in &checked.findings {
        eprintln!("{finding}");
    }
    Ok((plan, checked))
}

fn check(file: &Path) -> anyhow::Result<()> {
    let (_, checked) = checked(file)?;
    for (prefix, plan) in &checked.prefixes {
        let keys: Vec<&str> = plan.keys.iter().map(|mapped| mapped.column.name.as_str()).collect();
        println!("prefix \"{prefix}\": {} by {}", plan.table, keys.join(", "));
    }
    if !checked.is_sound() {
        bail!("{}: the containers do not fit their tables", file.display());
    }
    Ok(())
}

fn explain(file: &Path, key: &str) -> anyhow::Result<()> {
    let (configured, checked) = checked(file)?;
    let routed = configured.serving(key);
    let Some((prefix, plan)) = checked.prefixes.iter().find(|(prefix, _)| *prefix == routed.key) else {
        bail!("the key `{key}` is kept by {}, which is no table that can be used", routed.stack);
    };
    let suffix = &key.as_bytes()[prefix.len()..];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Some(explained) = larder_sql::explain(plan, suffix, u32::try_from(now).unwrap_or(u32::MAX)) else {
        bail!("the key `{key}` does not fit container {}: no row can have it", plan.container.name);
    };
    println!("key \"{key}\": prefix \"{prefix}\", container {}, table {}", plan.container.name, plan.table);
    for one in explained {
        println!("{}", one.command);
        for statement in one.statements {
            println!("    {statement}");
        }
    }
    Ok(())
}
