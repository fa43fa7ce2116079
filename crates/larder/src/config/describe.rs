//! A plan in words, for `check-config` and for whoever wants to know what a configuration means.

use std::fmt::Write as _;

use super::plan::{Listener, Plan, Stack};
use super::units::{format_duration, format_size};

/// Columns that the names of settings take.
const NAME_WIDTH: usize = 16;

impl Plan {
    /// Every setting on a line, then every prefix with its stack and what an acknowledgement promises there.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (index, listener) in self.listeners.iter().enumerate() {
            let name = if index == 0 { "listens on" } else { "" };
            let mode = match listener {
                Listener::Tcp(_) => String::new(),
                Listener::Unix(_) => format!(" (permissions {:o})", self.unix_mask),
            };
            line(&mut text, name, &format!("{listener}{mode}"));
        }
        line(&mut text, "data folder", &self.data.display().to_string());
        line(&mut text, "memory", &format!("{}, shared by every bare `ram`", format_size(self.memory_bytes)));
        line(&mut text, "largest item", &format_size(self.item_size_bytes_max));
        let idle = self.idle_timeout.map_or("never closed".to_owned(), |timeout| {
            format!("closed when silent for {}", format_duration(timeout))
        });
        line(&mut text, "connections", &format!("at most {}, {idle}", self.connections_max));
        let turn = format!("{}, at most {} requests a turn", self.threads, self.requests_per_turn_max);
        line(&mut text, "threads", &turn);
        let metrics = self.metrics.as_ref().map_or("off".to_owned(), ToString::to_string);
        line(&mut text, "metrics", &metrics);
        line(
            &mut text,
            "shutdown",
            if self.allow_shutdown { "allowed to clients" } else { "not allowed to clients" },
        );
        line(&mut text, "verbosity", &self.verbosity.to_string());
        for prefix in &self.prefixes {
            text.push('\n');
            let keys = match prefix.key.as_str() {
                "" if self.prefixes.len() == 1 => "all keys".to_owned(),
                "" => "all other keys".to_owned(),
                key => format!("keys from \"{key}\""),
            };
            line(&mut text, &keys, &prefix.stack.to_string());
            for sentence in sentences(&prefix.stack) {
                line(&mut text, "", &sentence);
            }
        }
        for note in &self.notes {
            text.push_str("\nnote: ");
            text.push_str(note);
            text.push('\n');
        }
        text
    }
}

fn sentences(stack: &Stack) -> Vec<String> {
    let mut sentences = vec![stack.promise()];
    if let Some(tier) = &stack.tier {
        sentences.push(match tier.negative_ttl {
            Some(ttl) => format!("an absent key is remembered for {}", format_duration(ttl)),
            None => "an absent key is looked up in the store every time".to_owned(),
        });
    }
    sentences
}

fn line(text: &mut String, name: &str, value: &str) {
    writeln!(text, "{name:NAME_WIDTH$}  {value}").expect("writing to a string cannot fail");
}
