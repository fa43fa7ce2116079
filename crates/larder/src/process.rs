//! What the process is to the system: in the background, under which user, within which limits, by which pid file.
//!
//! Order matters: addresses are bound first, then [`detach`] forks while there is one thread, then the limits are set,
//! then root is given up. Stores are opened and threads started only after all of it.

mod pid_file;
mod ports;
mod system;

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::config::{Listener, Plan};

pub use pid_file::PidFile;
pub use ports::write as write_ports;
pub use system::{Side, leave, use_small_pages_only};

/// Descriptors for what is no client: stores, listeners, event loops.
const DESCRIPTORS_BESIDES: u64 = 256;

/// Runs on in a child without a terminal. The process that was started waits for [`Ready::tell`] and then exits 0, or
/// exits as the child did. Call it while there is one thread.
pub fn detach() -> anyhow::Result<Side> {
    system::detach().context("-d: cannot run in the background")
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    system::user_id() == 0
}

/// Sets the limits that the plan needs and that root may have to set.
pub fn set_limits(plan: &Plan) -> anyhow::Result<()> {
    let wanted = plan.connections_max as u64 + DESCRIPTORS_BESIDES;
    let possible = system::raise_open_files(wanted).context("cannot set the limit of open files")?;
    if possible < plan.connections_max as u64 {
        bail!(
            "{} connections (-c) need as many open files, but the system allows {possible}: raise `ulimit -Hn`, or \
             ask for fewer",
            plan.connections_max
        );
    }
    if plan.process.core_dumps {
        let bytes = system::raise_core_dumps().context("-r: cannot set the limit of core files")?;
        if bytes == 0 {
            bail!("-r: the system allows no core file: raise `ulimit -Hc`, or leave -r out");
        }
    }
    if plan.process.lock_memory
        && let Err(error) = system::lock_memory()
    {
        // As in memcached: a server that may be swapped out is better than none.
        eprintln!("larder: warning: -k: memory is not locked: {error}; run as root, or raise `ulimit -l`");
    }
    Ok(())
}

/// Becomes the user of the plan, if this process is root and there is one; gives the unix sockets to that user.
pub fn give_up_root(plan: &Plan) -> anyhow::Result<()> {
    if let Some(name) = &plan.process.user
        && is_root()
    {
        let user =
            system::find_user(name)
                .with_context(|| format!("-u {name}: cannot look this user up"))?
                .with_context(|| format!("-u {name}: there is no such user; name one of `getent passwd`"))?;
        for listener in &plan.listeners {
            if let Listener::Unix(path) = listener {
                give(path, user)?;
            }
        }
        system::become_user(user).with_context(|| format!("-u {name}: cannot become this user"))?;
    }
    if plan.process.core_dumps {
        system::allow_core_dumps().context("-r: core files stay forbidden after the change of user")?;
    }
    if plan.process.drop_privileges {
        system::forbid_new_privileges().context("-o drop_privileges: the system refuses")?;
    }
    Ok(())
}

fn give(path: &Path, user: system::User) -> anyhow::Result<()> {
    std::os::unix::fs::chown(path, Some(user.id), Some(user.group))
        .with_context(|| format!("{}: cannot be given to the user of -u", path.display()))
}
