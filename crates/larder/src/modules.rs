//! Engines from shared libraries: what they are told, and how one is tried out before it may come near the clients.

use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use larder_engine::{Engine, Services};
use larder_module::{ModuleEngine, ModuleOptions};

use crate::config::{self, Layer, Listener, Plan};
use crate::process;

/// Folders in which the name of a library without a slash is looked for, before the system's own.
const FOLDERS: &[&str] =
    &["/usr/local/lib/larder", "/usr/lib/larder", "/usr/local/lib/memcached", "/usr/lib/memcached"];

/// The word by which larder calls itself to try a module out.
pub const TRY_OUT: &str = "try-module";

/// What a module of the plan is opened with.
pub fn options(plan: &Plan, module: &config::Module) -> ModuleOptions {
    ModuleOptions {
        item_size_max: plan.item_size_bytes_max,
        settings: settings(plan),
        verbosity: u32::from(plan.verbosity),
        ..bare_options(module)
    }
}

fn bare_options(module: &config::Module) -> ModuleOptions {
    ModuleOptions {
        folders: FOLDERS.iter().map(Into::into).collect(),
        config: module.config.clone(),
        profile: module.profile,
        checks_slots: module.checks_slots,
        version: larder_server::Options::default().version.to_owned(),
        ..ModuleOptions::new(&module.library)
    }
}

/// What modules may ask for, under memcached's names.
fn settings(plan: &Plan) -> Vec<(String, String)> {
    let yes_no = |is_so: bool| if is_so { "true" } else { "false" }.to_owned();
    let accepted = &plan.service.accepted;
    let port = plan.listeners.iter().find_map(Listener::tcp).map_or(0, |address| address.port);
    let factor = format!("{}.{:02}", accepted.growth_factor / 100, accepted.growth_factor % 100);
    let settings = [
        ("maxconns", plan.connections_max.to_string()),
        ("tcpport", port.to_string()),
        ("udpport", plan.udp.first().map_or(0, |address| address.port).to_string()),
        ("verbosity", plan.verbosity.to_string()),
        ("evictions", yes_no(plan.service.evictions)),
        ("growth_factor", factor),
        ("chunk_size", accepted.chunk_bytes_min.to_string()),
        ("num_threads", threads(plan).to_string()),
        ("reqs_per_event", plan.requests_per_turn_max.to_string()),
        ("cas_enabled", yes_no(plan.service.cas)),
        ("item_size_max", plan.item_size_bytes_max.to_string()),
        ("maxbytes", plan.memory_bytes.to_string()),
    ];
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Threads that may call a module: the workers, and a cache's own above it.
fn threads(plan: &Plan) -> usize {
    let above_modules = plan
        .prefixes
        .iter()
        .filter(|prefix| prefix.stack.tier.is_some() && matches!(prefix.stack.lowest(), Layer::Module(_)));
    plan.threads + above_modules.count()
}

/// Loads a module in another process, so that one that crashes there does not end this one.
///
/// # Errors
/// What that process said, or how it ended.
pub fn try_out(module: &config::Module) -> anyhow::Result<()> {
    let program =
        std::env::current_exe().context("cannot find larder's own program to try the module out")?;
    let mut command = Command::new(program);
    command.arg(TRY_OUT).arg(&module.library).args(["--profile", module.profile.name()]);
    if let Some(config) = &module.config {
        command.arg(format!("--config={config}"));
    }
    if !module.checks_slots {
        command.arg("--unchecked");
    }
    let outcome = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot start larder once more to try the module out")?;
    if outcome.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&outcome.stderr);
    let line = said.lines().rev().find_map(|line| line.strip_prefix("larder: "));
    match line {
        Some(line) => Err(anyhow!("{line}")),
        None => Err(anyhow!(
            "module {}: the process that tried it out ended with {}",
            module.library.display(),
            outcome.status
        )),
    }
}

/// The other side of [`try_out`]: opens the module, closes it again, and ends the process.
pub fn try_here(module: &config::Module) -> ! {
    let tried = ModuleEngine::open(&Services::system(), &bare_options(module))
        .map_err(|error| error.to_string())
        .and_then(|engine| engine.close().map_err(|error| error.to_string()));
    if let Err(error) = &tried {
        eprintln!("larder: {error}");
    }
    process::leave(u8::from(tried.is_err()))
}
