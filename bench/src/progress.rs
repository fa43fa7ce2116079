//! A line that moves while the load runs: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Progress {
    name: &'static str,
    shown: Shown,
    started: Instant,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    Plain { last: Instant },
}

impl Progress {
    pub(crate) fn new(name: &'static str, is_quiet: bool) -> Self {
        let started = Instant::now();
        let shown = if is_quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(1000);
            let style = ProgressStyle::with_template("{prefix:>8} [{bar:30}] {msg}")
                .expect("the template is a constant");
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(name);
            Shown::Bar(bar)
        } else {
            Shown::Plain { last: started }
        };
        Progress { name, shown, started }
    }

    /// Tells how far it is, from 0 to 1.
    pub(crate) fn tell(&mut self, part: f64, done: u64, errors: u64) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let rate = if elapsed > 0.0 { done as f64 / elapsed } else { 0.0 };
        let text = || {
            let errors = if errors > 0 { format!(", {errors} errors") } else { String::new() };
            format!("{elapsed:.0} s, {done} operations, {rate:.0}/s{errors}")
        };
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_position((part.clamp(0.0, 1.0) * 1000.0) as u64);
                bar.set_message(text());
            }
            Shown::Plain { last } => {
                if last.elapsed() >= PLAIN_EVERY {
                    *last = Instant::now();
                    eprintln!("{}: {:.0} %, {}", self.name, part * 100.0, text());
                }
            }
        }
    }

    pub(crate) fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}
