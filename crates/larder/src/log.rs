//! The log: lines on standard error, as talkative as `verbosity` says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The target of lines that answer what was asked by hand, such as a reload: written at every verbosity.
pub const TOLD: &str = "larder::told";

/// The level in force, which a client's `verbosity` command may change.
#[derive(Clone)]
pub struct Verbosity(Arc<State>);

struct State {
    first: u32,
    followed: OnceLock<Arc<AtomicU32>>,
}

impl Verbosity {
    /// From now on this number decides.
    pub fn follow(&self, level: Arc<AtomicU32>) {
        // Set once in the life of the process; a second server in it keeps the first one's level.
        self.0.followed.get_or_init(|| level);
    }

    fn filter(&self) -> LevelFilter {
        match self.0.followed.get().map_or(self.0.first, |level| level.load(Ordering::Relaxed)) {
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// Starts the log: 0 warnings, errors and what a reload did, 1 what changes, 2 each connection, 3 everything.
pub fn start(level: u32) -> Verbosity {
    let verbosity = Verbosity(Arc::new(State { first: level, followed: OnceLock::new() }));
    let filter = {
        let verbosity = verbosity.clone();
        dynamic_filter_fn(move |metadata, _| {
            let is_told = metadata.target() == TOLD && *metadata.level() <= LevelFilter::INFO;
            is_told || *metadata.level() <= verbosity.filter()
        })
    };
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines =
        fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false).with_filter(filter);
    if tracing_subscriber::registry().with(lines).try_init().is_err() {
        eprintln!("larder: another log is set up in this process; larder's lines go there");
    }
    verbosity
}
