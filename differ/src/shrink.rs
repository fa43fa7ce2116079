//! A failing stream, cut down to the commands that matter.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::explained::Explained;
use crate::servers::Addresses;
use crate::session::{Mismatch, run};
use crate::stream::{Dialect, Piece, Stream};

/// How often the stream is tried at most.
const TRIES_MAX: usize = 2000;

/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Shorter than in a campaign, since a server that waits for more is waited for in every try.
const SILENCE: Duration = Duration::from_secs(1);

/// Leaves out what can be left out while the servers still differ, and describes the rest.
///
/// # Errors
/// If a server cannot be reached.
pub fn shrink(servers: &Addresses, stream: Stream, first: Mismatch) -> Result<String> {
    let mut shrinker = Shrinker { servers, tries: 0, start: Instant::now(), best: stream, mismatch: first };
    if !shrinker.attempt(|_| {})? {
        return Ok(format!("it did not happen again:\n{}", describe(&shrinker.best, &shrinker.mismatch)));
    }
    shrinker.last_batches()?;
    shrinker.batches()?;
    shrinker.parts(|stream| stream.batches.len(), |stream, index| drop(stream.batches.remove(index)))?;
    for batch in (0..shrinker.best.batches.len()).rev() {
        shrinker.parts(
            |stream| stream.batches[batch].groups.len(),
            |stream, index| drop(stream.batches[batch].groups.remove(index)),
        )?;
        for group in (0..shrinker.best.batches[batch].groups.len()).rev() {
            shrinker.parts(
                |stream| stream.batches[batch].groups[group].len(),
                |stream, index| drop(stream.batches[batch].groups[group].remove(index)),
            )?;
        }
        shrinker.attempt(|stream| stream.batches[batch].cuts.clear())?;
    }
    shrinker.connections()?;
    shrinker.words()?;
    Ok(describe(&shrinker.best, &shrinker.mismatch))
}

struct Shrinker<'a> {
    servers: &'a Addresses,
    tries: usize,
    start: Instant,
    best: Stream,
    mismatch: Mismatch,
}

impl Shrinker<'_> {
    /// Keeps the change if the servers still differ.
    fn attempt(&mut self, change: impl FnOnce(&mut Stream)) -> Result<bool> {
        if self.tries >= TRIES_MAX || self.start.elapsed() >= TIME_MAX {
            return Ok(false);
        }
        self.tries += 1;
        let mut stream = self.best.clone();
        change(&mut stream);
        let outcome = run(self.servers, &stream, SILENCE, &mut Explained::default())?;
        let Err(mismatch) = outcome else { return Ok(false) };
        (self.best, self.mismatch) = (stream, *mismatch);
        Ok(true)
    }

    /// Leaves out the batches behind the first that differs.
    fn last_batches(&mut self) -> Result<()> {
        for count in 1..self.best.batches.len() {
            let shortens = |stream: &mut Stream| {
                stream.batches.truncate(count);
                stream.closes = false;
            };
            if self.attempt(shortens)? {
                break;
            }
        }
        Ok(())
    }

    /// Leaves out halves, quarters and so on of each batch.
    fn batches(&mut self) -> Result<()> {
        for batch in 0..self.best.batches.len() {
            let mut part = self.best.batches[batch].groups.len() / 2;
            while part > 1 {
                let mut start = 0;
                while start < self.best.batches[batch].groups.len() {
                    let end = (start + part).min(self.best.batches[batch].groups.len());
                    // What closes the connection must stay last.
                    let is_last = self.best.closes
                        && batch + 1 == self.best.batches.len()
                        && end == self.best.batches[batch].groups.len();
                    let leave_out =
                        |stream: &mut Stream| drop(stream.batches[batch].groups.drain(start..end));
                    if is_last || !self.attempt(leave_out)? {
                        start = end;
                    }
                }
                part /= 2;
            }
        }
        Ok(())
    }

    /// Sends all on as few connections as will do.
    fn connections(&mut self) -> Result<()> {
        for batch in 0..self.best.batches.len() {
            for connection in 0..self.best.batches[batch].connection {
                let is_alike = self.best.dialects[connection] == self.best.dialect(&self.best.batches[batch]);
                if is_alike && self.attempt(|stream| stream.batches[batch].connection = connection)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Leaves out words of lines that have no data behind them.
    fn words(&mut self) -> Result<()> {
        for batch in 0..self.best.batches.len() {
            for group in 0..self.best.batches[batch].groups.len() {
                for command in 0..self.best.batches[batch].groups[group].len() {
                    let mut word = 0;
                    while let Some(line) =
                        without_word(&self.best.batches[batch].groups[group][command].0, word)
                    {
                        let shortens = |stream: &mut Stream| {
                            stream.batches[batch].groups[group][command].0 = vec![Piece::Bytes(line)];
                        };
                        if !self.attempt(shortens)? {
                            word += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves out one part after the other, from the end.
    fn parts(&mut self, count: impl Fn(&Stream) -> usize, remove: impl Fn(&mut Stream, usize)) -> Result<()> {
        let closes = usize::from(self.best.closes);
        for index in (0..count(&self.best).saturating_sub(closes)).rev() {
            if count(&self.best) > 1 {
                self.attempt(|stream| remove(stream, index))?;
            }
        }
        Ok(())
    }
}

/// The only line of a command without one of its words, the first and the last excepted.
fn without_word(command: &[Piece], word: usize) -> Option<Vec<u8>> {
    let [Piece::Bytes(line)] = command else { return None };
    let lines = line.iter().filter(|&&byte| byte == b'\n').count();
    let mut words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    if lines != 1 || !line.ends_with(b"\n") || word + 2 >= words.len() {
        return None;
    }
    words.remove(word + 1);
    Some(words.join(&b' '))
}

fn describe(stream: &Stream, mismatch: &Mismatch) -> String {
    let mut text = format!("{} commands matter:\n", stream.command_count());
    for batch in &stream.batches {
        let dialect = stream.dialect(batch);
        writeln!(text, " (on connection {}, {})", batch.connection, dialect.name())
            .expect("a String takes all");
        for group in &batch.groups {
            for command in group {
                writeln!(text, "  {command}").expect("as above");
            }
            if dialect != Dialect::Binary {
                text += "  mn\\r\\n\n";
            }
        }
        if !batch.cuts.is_empty() {
            writeln!(text, "  (cut into {} writes)", batch.cuts.len() + 1).expect("as above");
        }
    }
    write!(text, "{mismatch}").expect("as above");
    text
}
