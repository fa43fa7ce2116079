//! `cargo xtask test`: everything a test run needs, then the tests.

use crate::{command, services};
use anyhow::Result;
use std::process::Command;

/// Run all tests: unit, property, kit, integration with real clients, documentation
///
/// Installs what the tests need (see `cargo xtask services`), builds the server binary that
/// integration tests start, and runs the examples in the documentation of the code, then the
/// workspace under cargo-nextest. A missing program fails the run; only --quick leaves tests out.
#[derive(clap::Args)]
#[command(after_help = TEST_ENVIRONMENT)]
pub(crate) struct Options {
    /// Leave out the tests that need programs from outside; installs no service
    #[arg(long)]
    quick: bool,

    /// Passed on to `cargo nextest run`, for instance a test's name or `-p larder-tier`.
    /// With any of these, documentation examples are left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NEXTEST_ARGUMENT")]
    nextest_arguments: Vec<String>,
}

const TEST_ENVIRONMENT: &str = "\
What the tests find in their environment:
  LARDER_BIN         the server binary, absolute path
  LARDER_SERVICES    the folder with the clients: python/bin/python has pymemcache, pylibmc,
                     python-binary-memcached and emcache, suites has the sources of the first three
                     with their own tests, node/node_modules has memjs; absolute path
  LARDER_TEST_QUICK  1 under --quick: a test that needs a program from outside returns at once;
                     not set otherwise: such a test fails when its program is missing";

pub(crate) fn run(options: &Options) -> Result<()> {
    command::ensure_cargo_command("nextest")?;
    if !options.quick {
        services::install_all()?;
    }
    command::run(&mut command::cargo(&command::BUILD_SERVER))?;

    if options.nextest_arguments.is_empty() {
        let mut documentation = command::cargo(&["test", "--doc", "--workspace", "--features", "larder/sql"]);
        command::run(with_test_environment(&mut documentation, options.quick))?;
    }
    // Last, so that a run ends with the count that matters.
    let mut nextest = command::cargo(&nextest_arguments(options));
    command::run(with_test_environment(&mut nextest, options.quick))
}

fn nextest_arguments(options: &Options) -> Vec<&str> {
    let given = || options.nextest_arguments.iter().map(String::as_str);
    // Cargo lets --workspace win over --package, so it must go when a package is asked for.
    let names_package =
        given().any(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    let mut arguments = vec!["nextest", "run"];
    if !names_package {
        arguments.push("--workspace");
    }
    // The whole binary is tested; other packages have no such feature.
    if !names_package || given().any(|argument| matches!(argument, "larder" | "--package=larder")) {
        arguments.extend(["--features", "larder/sql"]);
    }
    arguments.extend(given());
    arguments
}

fn with_test_environment(command: &mut Command, quick: bool) -> &mut Command {
    command.env("LARDER_BIN", command::server_binary()).env("LARDER_SERVICES", services::folder());
    if quick { command.env("LARDER_TEST_QUICK", "1") } else { command.env_remove("LARDER_TEST_QUICK") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments_for(given: &[&str]) -> String {
        let nextest = given.iter().map(ToString::to_string).collect();
        nextest_arguments(&Options { quick: false, nextest_arguments: nextest }).join(" ")
    }

    #[test]
    fn a_named_package_replaces_the_workspace() {
        assert_eq!(arguments_for(&[]), "nextest run --workspace --features larder/sql");
        assert_eq!(arguments_for(&["expiry"]), "nextest run --workspace --features larder/sql expiry");
        assert_eq!(arguments_for(&["-p", "larder-ram"]), "nextest run -p larder-ram");
        assert_eq!(arguments_for(&["-p", "larder"]), "nextest run --features larder/sql -p larder");
        assert_eq!(arguments_for(&["--package=larder-ram"]), "nextest run --package=larder-ram");
    }
}
