//! What a store knows besides its items, and its list of warm keys: small files of text, each with a checksum.
//! Described in `docs/reference/file-format.md`.

use std::fmt::Write as _;

use larder_engine::Timestamp;
use larder_engine::durable::{Flush, Flushes, crc32};

use crate::item::hexadecimal;
use crate::names;

/// The format this program writes.
pub(crate) const VERSION: u32 = 1;

const FORMAT_START: &str = "larder file store, format ";
const STATE_START: &str = "larder-state 1";
const WARM_START: &str = "larder-warm 1";

/// The content of `FORMAT`: for the program its first line, for people the rest.
pub(crate) fn format_text() -> String {
    format!(
        "{FORMAT_START}{VERSION}\n\n\
         Each file in items/*/ is one item: its value, then a line that says all else.\n\
         The file's name is the key, where it is short enough; %3a stands for the byte 3a.\n\
         `state` is part of the data. Change nothing here while a server runs.\n"
    )
}

/// The version that the content of `FORMAT` names.
pub(crate) fn read_format(content: &[u8]) -> Option<u32> {
    let first = content.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(first).ok()?.strip_prefix(FORMAT_START)?.parse().ok()
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    /// Every id below may have been given away.
    pub ids_reserved: u64,
    pub flushes: Flushes,
    /// Known after a clean stop only, as is whether the list of warm keys is of this stop.
    pub stopped: Option<Stopped>,
}

/// What is known of a store that was stopped cleanly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stopped {
    /// The second at which the first item expires; `u32::MAX`: none does.
    pub expires_first: u32,
    /// Shard, items and bytes of their files, where there are any.
    pub shards: Vec<(u8, u64, u64)>,
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{STATE_START}\nids {}\n", self.ids_reserved);
        let mut line = |arguments: std::fmt::Arguments<'_>| {
            writeln!(text, "{arguments}").expect("a string takes what is written to it");
        };
        for flush in &self.flushes.in_effect {
            line(format_args!("flush {} prefix={}", flush.version, names::to_text(&flush.prefix)));
        }
        for waiting in &self.flushes.waiting {
            line(format_args!("flush-at {} prefix={}", waiting.at.0, names::to_text(&waiting.prefix)));
        }
        if let Some(stopped) = &self.stopped {
            line(format_args!("stopped expires-first={}", stopped.expires_first));
            for (shard, items, bytes) in &stopped.shards {
                line(format_args!("shard {} {items} {bytes}", names::shard_name(*shard)));
            }
        }
        with_sum(text)
    }

    /// The error says what is wrong.
    pub fn decode(content: &[u8]) -> Result<State, String> {
        let mut lines = without_sum(content)?.lines();
        if lines.next() != Some(STATE_START) {
            return Err("its first line is not that of a state of ours".into());
        }
        let mut state = State::default();
        for line in lines {
            state.take(line).ok_or_else(|| format!("the line `{}` makes no sense", line.escape_debug()))?;
        }
        if state.ids_reserved == 0 {
            return Err("it does not say which ids were given".into());
        }
        Ok(state)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        let flush = || {
            let (number, prefix) = rest.split_once(" prefix=")?;
            Some((number, names::from_text(prefix)?))
        };
        match word {
            "ids" => self.ids_reserved = rest.parse().ok()?,
            "flush" => {
                let (version, prefix) = flush()?;
                let flush = Flush { prefix: prefix.into(), version: version.parse().ok()? };
                self.flushes.in_effect.push(flush);
            }
            "flush-at" => {
                let (at, prefix) = flush()?;
                self.flushes.wait(&prefix, Timestamp(at.parse().ok()?));
            }
            "stopped" => {
                let expires_first = rest.strip_prefix("expires-first=")?.parse().ok()?;
                self.stopped = Some(Stopped { expires_first, shards: Vec::new() });
            }
            "shard" => {
                let mut words = rest.split(' ');
                let shard = names::read_shard(words.next()?)?;
                let (items, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.stopped.as_mut()?.shards.push((shard, items, bytes));
            }
            _ => return None,
        }
        Some(())
    }
}

/// The file of warm keys, newest first.
pub(crate) fn encode_warm(keys: &[Box<[u8]>]) -> Vec<u8> {
    let mut text = format!("{WARM_START}\n");
    for key in keys {
        text.push_str(&names::to_text(key));
        text.push('\n');
    }
    with_sum(text)
}

/// The error says what is wrong.
pub(crate) fn decode_warm(content: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = without_sum(content)?.lines();
    if lines.next() != Some(WARM_START) {
        return Err("its first line is not that of a list of ours".into());
    }
    let keys: Option<Vec<_>> = lines.map(names::from_text).collect();
    keys.ok_or_else(|| "a line is no key".into())
}

/// The text with a last line that holds its CRC-32.
fn with_sum(mut text: String) -> Vec<u8> {
    let sum = crc32(text.as_bytes());
    text.push_str(&format!("sum {sum:08x}\n"));
    text.into_bytes()
}

fn without_sum(content: &[u8]) -> Result<&str, String> {
    let changed = || "it was changed or cut: the checksum does not fit".to_owned();
    let text = std::str::from_utf8(content).map_err(|_| changed())?;
    let (before, sum) =
        text.strip_suffix('\n').and_then(|text| text.rsplit_once("\nsum ")).ok_or_else(changed)?;
    let text = &text[..before.len() + 1];
    if hexadecimal(sum) == Some(crc32(text.as_bytes())) { Ok(text) } else { Err(changed()) }
}

#[cfg(test)]
mod tests;
