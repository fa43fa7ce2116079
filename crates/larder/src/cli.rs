//! The command line: which command, and with which options.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Options, Plan, Program};

const STACKS: &str = "\
Stack expressions:
  ENGINE > ENGINE                 a cache above a store, as in: ram > sqlite
  ram(SIZE)                       RAM of its own; a bare `ram` shares --memory-limit
  module(LIBRARY, CONFIG)         an engine in C, or from anybody else, from a shared library
  sqlite(FILE, write=through|behind, dirty_bytes=64MiB, dirty_age=1s, negative_ttl=1s)
  file(FOLDER, ...)               one file a key; the same arguments

Examples:
  larder                                        127.0.0.1:11211, ram > sqlite in ./larder-data
  larder -p 11212 -m 64 -t 2                    as memcached, but durable
  larder --store ram                            plain memcached
  larder --store \"ram > sqlite(write=behind)\"   fast writes; a crash loses the last second
  larder --config larder.toml                   stacks by key prefix, from a file
  larder check-config larder.toml               what a file means, or every mistake in it
  larder engine-check \"ram > sqlite\"           what a store promises, proved

Called by the name `memcached`, larder keeps items in RAM only and listens on all addresses.";

/// memcached's variable for the password file of SASL.
const SASL_PASSWORDS_VARIABLE: &str = "MEMCACHED_SASL_PWDB";

/// A longer file was named by mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// A durable memcached: keys live in RAM, in SQLite, or in both, by prefix
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    args_override_self = true,
    infer_long_args = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = STACKS
)]
pub struct Cli {
    /// What to do instead of running the server.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to run the server.
    #[command(flatten)]
    pub options: Options,
}

/// What larder does besides running the server.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Print what a configuration file means, or every mistake in it
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Verify the stores in a data folder and say what is wrong
    Check {
        /// The data folder
        dir: PathBuf,
    },
    /// Copy the stores of a data folder, consistent, also while the server runs
    Backup {
        /// The data folder
        dir: PathBuf,
        /// The folder to write, which must not exist yet
        to: PathBuf,
    },
    /// Prove a store, or find what is wrong with it, by the checks every engine must pass
    EngineCheck(Box<crate::engine_check::Args>),
    /// Check or explain the tables that a configuration file serves
    #[cfg(feature = "sql")]
    #[command(subcommand)]
    Sql(crate::sql::Sql),
    /// Open a module and close it again: how a running server tries one out
    #[command(name = "try-module", hide = true)]
    TryModule {
        /// The library
        library: PathBuf,
        /// Its configuration
        #[arg(long)]
        config: Option<String>,
        /// What it was compiled for
        #[arg(long, default_value = "auto")]
        profile: String,
        /// Whether it may borrow functions
        #[arg(long)]
        unchecked: bool,
    },
    /// Load a server that speaks a memcached protocol (or Redis' GET and SET) and report what it did
    Bench(Box<larder_bench::Args>),
}

/// The command line split up; a wrong one, `--help` and `--version` come back as the error that prints them.
pub fn parse(program: Program, arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if program == Program::Memcached {
        // Whoever asks memcached for its version wants to know what it can do.
        command = command.name("memcached").version(larder_server::Options::default().version);
    }
    let mut cli = Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)?;
    cli.options.sasl_passwords_of_environment = std::env::var(SASL_PASSWORDS_VARIABLE).ok();
    Ok(cli)
}

/// `-i`: the licence to standard output.
pub fn licence() -> ExitCode {
    print(include_str!("../../../LICENSE"))
}

/// The program that the first argument of the command line names.
pub fn program(argument_0: &OsStr) -> Program {
    match Path::new(argument_0).file_name() {
        Some(name) if name == "memcached" => Program::Memcached,
        _ => Program::Larder,
    }
}

/// Cores of this machine that larder may use, at least 1.
pub fn cores() -> usize {
    // An error means that the system does not tell; one worker is then the safe guess.
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the file that `--config` names, if any, and checks it together with the options.
pub fn load(options: &Options, program: Program) -> anyhow::Result<Plan> {
    let content = options.config.as_deref().map(read_config).transpose()?;
    let file = match (&options.config, &content) {
        (Some(path), Some(content)) => Some(config::File { path, content }),
        _ => None,
    };
    Ok(config::check(&config::Input { program, cores: cores(), options, file })?)
}

fn read_config(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut content))
        .map_err(|error| {
            anyhow::anyhow!(
                "{name}: cannot read this configuration file: {error}; name one that exists and may be read"
            )
        })?;
    if content.len() as u64 > CONFIG_BYTES_MAX {
        anyhow::bail!("{name}: longer than {CONFIG_BYTES_MAX} bytes; name a configuration file");
    }
    Ok(content)
}

/// `larder try-module`: 0, or what is wrong to standard error and 1.
pub fn try_module(library: &Path, config: Option<String>, profile: &str, unchecked: bool) -> ExitCode {
    let Some(profile) = larder_module::Profile::named(profile) else {
        eprintln!(
            "larder: {profile} is no profile; write one of {}",
            larder_module::Profile::NAMES.join(", ")
        );
        return ExitCode::FAILURE;
    };
    let module = config::Module { config, profile, checks_slots: !unchecked, ..config::Module::new(library) };
    crate::modules::try_here(&module)
}

/// `larder bench`: the report to standard output and success, or what was wrong to standard error and 1.
pub fn bench(arguments: &larder_bench::Args) -> ExitCode {
    match larder_bench::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `larder check-config FILE`: the plan to standard output and success, or every mistake to standard error and 1.
pub fn check_config(file: &Path, program: Program) -> ExitCode {
    let options = Options { config: Some(file.to_owned()), ..Options::default() };
    match load(&options, program) {
        Ok(plan) => print(&plan.describe()),
        Err(error) => {
            eprintln!("{}", error.to_string().trim_end());
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("standard output: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
