//! A plan in words, for `check-config` and for whoever wants to know what a configuration means.

use super::guard::{describe_authentication, describe_tls};
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
                Listener::Tcp(_) | Listener::Tls(..) => String::new(),
                Listener::Unix(_) => format!(" (permissions {:o})", self.unix_mask),
            };
            line(&mut text, name, &format!("{listener}{mode}"));
        }
        for (index, address) in self.udp.iter().enumerate() {
            line(&mut text, if index == 0 { "listens on UDP" } else { "" }, &address.to_string());
        }
        for (name, value) in
            [("authentication", describe_authentication(&self.guard)), ("TLS", describe_tls(&self.guard))]
        {
            if let Some(value) = value {
                line(&mut text, name, &value);
            }
        }
        line(&mut text, "data folder", &self.data.display().to_string());
        line(&mut text, "memory", &format!("{}, shared by every bare `ram`", format_size(self.memory_bytes)));
        line(&mut text, "largest item", &format_size(self.item_size_bytes_max));
        let idle = self.idle_timeout.map_or("silent ones stay open".to_owned(), |timeout| {
            format!("silent ones are closed after {}", format_duration(timeout))
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
        // The catch-all sorts first, but reads best after what it does not catch.
        let (others, named): (Vec<_>, Vec<_>) =
            self.prefixes.iter().partition(|prefix| prefix.key.is_empty());
        for prefix in named.iter().chain(&others) {
            let keys = match prefix.key.as_str() {
                "" if named.is_empty() => "all keys".to_owned(),
                "" => "all other keys".to_owned(),
                key => format!("keys that begin with \"{key}\""),
            };
            text.push_str(&format!("\n{keys}\n  {}\n", prefix.stack));
            for sentence in sentences(&prefix.stack) {
                text.push_str(&format!("  {sentence}\n"));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("\nnote: {note}\n"));
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
        sentences.extend(tier.fresh.map(|fresh| match fresh.is_zero() {
            true => "a copy is served until it is evicted, whatever others write to the table".to_owned(),
            false => {
                format!("what others write to the table is seen after {} at most", format_duration(fresh))
            }
        }));
    }
    sentences
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name:NAME_WIDTH$}  {value}\n"));
}
