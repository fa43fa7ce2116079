//! A durable memcached: keys live in RAM, in SQLite, or in both, by prefix.

use std::process::ExitCode;

use larder::cli::{self, Command};
use larder::{engine_check, stores};

/// Requests are allocated by workers and freed by stores' threads, which the system's allocator takes badly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let program = cli::program(arguments.first().map(|name| name.as_os_str()).unwrap_or_default());
    let cli = match cli::parse(program, arguments) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.command {
        Some(Command::Bench(arguments)) => cli::bench(&arguments),
        Some(Command::CheckConfig { file }) => cli::check_config(&file, program),
        #[cfg(feature = "sql")]
        Some(Command::Sql(command)) => larder::sql::run(&command),
        Some(Command::TryModule { library, config, profile, unchecked }) => {
            cli::try_module(&library, config, &profile, unchecked)
        }
        Some(Command::Check { dir }) => stores::check(&dir),
        Some(Command::EngineCheck(arguments)) => engine_check::run(&arguments),
        Some(Command::Backup { dir, to }) => stores::back_up(&dir, &to),
        None if cli.options.license => cli::licence(),
        None => larder::run::run(&cli.options, program),
    }
}
