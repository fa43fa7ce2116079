//! Mistakes with their places: which text, which line, which column, and what to write instead.
//!
//! A setting can stand in the configuration file or in the value of a command line option. Both are *sources*;
//! a [`Place`] is a range of bytes in one of them. Checks push into one [`Report`] and go on, so that the
//! operator sees every mistake at once.

use std::fmt;
use std::ops::Range;

/// A report shows at most this many mistakes; the rest are counted.
const MISTAKES_SHOWN_MAX: usize = 100;

/// Characters of an offending line that are shown on each side of the mistake.
const EXCERPT_SIDE_CHARS: usize = 60;

/// A range of bytes in one source of the report that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    source: usize,
    start: usize,
    end: usize,
}

impl Place {
    /// The part of this place between two byte offsets counted from its start.
    pub fn part(self, range: Range<usize>) -> Place {
        debug_assert!(self.start + range.end <= self.end, "a part lies inside its whole");
        Place { start: self.start + range.start, end: self.start + range.end, ..self }
    }
}

/// What is wrong with a piece of text and what to write instead, before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What is wrong, naming the offender.
    pub problem: String,
    /// What to write instead.
    pub instead: String,
}

/// Shorthand for an [`Objection`].
pub fn objection(problem: impl Into<String>, instead: impl Into<String>) -> Objection {
    Objection { problem: problem.into(), instead: instead.into() }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SourceKind {
    /// A file: places are `NAME:LINE:COLUMN`.
    File,
    /// The value of a command line option: places are `--option:COLUMN`.
    Option,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    kind: SourceKind,
    name: String,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    place: Place,
    objection: Objection,
}

/// The sources read so far and the mistakes found in them.
#[derive(Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    mistakes: Vec<Mistake>,
}

impl Report {
    /// Adds a file's text and returns the place that covers all of it.
    pub fn add_file(&mut self, name: &str, text: &str) -> Place {
        self.add(SourceKind::File, name, text)
    }

    /// Adds the value given to a command line option, such as `--store`, and returns the place of the whole value.
    pub fn add_option(&mut self, option: &str, value: &str) -> Place {
        self.add(SourceKind::Option, option, value)
    }

    fn add(&mut self, kind: SourceKind, name: &str, text: &str) -> Place {
        self.sources.push(Source { kind, name: name.to_owned(), text: text.to_owned() });
        Place { source: self.sources.len() - 1, start: 0, end: text.len() }
    }

    /// Notes a mistake.
    pub fn push(&mut self, place: Place, problem: impl Into<String>, instead: impl Into<String>) {
        self.object(place, objection(problem, instead));
    }

    /// Notes an objection at its place.
    pub fn object(&mut self, place: Place, objection: Objection) {
        self.mistakes.push(Mistake { place, objection });
    }

    /// The value, or `None` with the objection noted.
    pub fn take<T>(&mut self, place: Place, result: Result<T, Objection>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(objection) => {
                self.object(place, objection);
                None
            }
        }
    }

    /// Drops the mistakes of a file where `is_guess` says so of the byte offset at which they begin.
    pub fn forget(&mut self, file: Place, is_guess: impl Fn(usize) -> bool) {
        self.mistakes.retain(|mistake| mistake.place.source != file.source || !is_guess(mistake.place.start));
    }

    /// How a place is written in a message: `larder.toml:3:9` or `--store:7`.
    pub fn name_of(&self, place: Place) -> String {
        self.sources[place.source].name_of(place)
    }

    /// Whether no mistake was found so far.
    pub fn is_clean(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The value if nothing was found wrong; otherwise every mistake, in the order of the text.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Mistakes> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => {
                assert!(!self.mistakes.is_empty(), "a value is missing only where a mistake says why");
                self.mistakes.sort_by_key(|mistake| mistake.place);
                self.mistakes.dedup();
                Err(Mistakes { sources: self.sources, list: self.mistakes })
            }
        }
    }
}

/// Every mistake of a configuration; never empty. Its `Display` is what the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    sources: Vec<Source>,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// One line for each mistake, `FILE:LINE:COLUMN: what is wrong; what to write instead`, without excerpts.
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(|mistake| self.line(mistake)).collect()
    }

    fn line(&self, mistake: &Mistake) -> String {
        let Objection { problem, instead } = &mistake.objection;
        let place = self.sources[mistake.place.source].name_of(mistake.place);
        visible(&format!("{place}: {problem}; {instead}"))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in self.list.iter().take(MISTAKES_SHOWN_MAX) {
            writeln!(f, "{}", self.line(mistake))?;
            self.sources[mistake.place.source].write_excerpt(f, mistake.place)?;
        }
        match self.list.len().saturating_sub(MISTAKES_SHOWN_MAX) {
            0 => Ok(()),
            hidden => writeln!(f, "and {hidden} more"),
        }
    }
}

impl std::error::Error for Mistakes {}

impl Source {
    fn name_of(&self, place: Place) -> String {
        let (line, column) = line_and_column(&self.text, place.start);
        match self.kind {
            SourceKind::File => format!("{}:{line}:{column}", self.name),
            SourceKind::Option => format!("{}:{column}", self.name),
        }
    }

    /// The offending line with carets under the offender. Empty texts have nothing to show.
    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>, place: Place) -> fmt::Result {
        let line_start = self.text[..place.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[place.start..].find('\n').map_or(self.text.len(), |len| place.start + len);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        if line.trim().is_empty() {
            return Ok(());
        }
        let offset = (place.start - line_start).min(line.len());
        let before = &line[..offset];
        let marked_len = (place.end.min(line_end) - place.start).min(line.len() - offset);
        let marked_chars = line[offset..offset + marked_len].chars().count().clamp(1, EXCERPT_SIDE_CHARS);
        let hidden_chars = before.chars().count().saturating_sub(EXCERPT_SIDE_CHARS);
        let shown: String = line.chars().skip(hidden_chars).take(2 * EXCERPT_SIDE_CHARS).collect();
        let padding: String =
            before.chars().skip(hidden_chars).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let gutter = match self.kind {
            SourceKind::File => line_and_column(&self.text, place.start).0.to_string(),
            SourceKind::Option => String::new(),
        };
        writeln!(f, "  {gutter} | {}", visible(&shown))?;
        writeln!(f, "  {:width$} | {padding}{}", "", "^".repeat(marked_chars), width = gutter.len())
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The text with control characters replaced one for one, so that a file cannot steer the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
