//! `larder sql check` and `larder sql explain`: what the `[sql]` part of a configuration file means on the live tables.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use larder_sql::Checked;
use larder_sql::model::Model;

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

/// The `[sql]` part of a file.
fn model(file: &Path) -> anyhow::Result<Model> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name}: cannot read it"))?;
    let mut table: toml::Table = text.parse().with_context(|| name.to_string())?;
    let Some(part) = table.remove("sql") else {
        bail!("{name}: there is no [sql] in it; write [[sql.cluster]] and [[sql.container]]");
    };
    part.try_into::<Model>().with_context(|| format!("{name}: [sql]"))
}

fn checked(file: &Path) -> anyhow::Result<Checked> {
    let checked = larder_sql::check(&model(file)?);
    for finding in &checked.findings {
        eprintln!("{finding}");
    }
    Ok(checked)
}

fn check(file: &Path) -> anyhow::Result<()> {
    let checked = checked(file)?;
    for (prefix, plan) in &checked.prefixes {
        let keys: Vec<&str> = plan.keys.iter().map(|mapped| mapped.column.name.as_str()).collect();
        println!("prefix \"{}\": {} by {}", prefix.prefix, plan.table, keys.join(", "));
    }
    if !checked.is_sound() {
        bail!("{}: the containers do not fit their tables", file.display());
    }
    Ok(())
}

fn explain(file: &Path, key: &str) -> anyhow::Result<()> {
    let checked = checked(file)?;
    let Some((prefix, plan, suffix)) = checked.of_key(key.as_bytes()) else {
        bail!("no prefix of {} sends the key `{key}` to a table", file.display());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Some(explained) = larder_sql::explain(plan, suffix, u32::try_from(now).unwrap_or(u32::MAX)) else {
        bail!("the key `{key}` does not fit container {}: no row can have it", plan.container.name);
    };
    println!(
        "key \"{key}\": prefix \"{}\", container {}, table {}",
        prefix.prefix, plan.container.name, plan.table
    );
    for one in explained {
        println!("{}", one.command);
        for statement in one.statements {
            println!("    {statement}");
        }
    }
    Ok(())
}
