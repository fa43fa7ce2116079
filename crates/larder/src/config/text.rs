//! Text that was decoded from a source, with the way back to its bytes there.

use std::ops::Range;

use super::report::Place;

/// A decoded text, such as the content of a TOML string, that can name the place of each of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text itself.
    pub text: String,
    /// The whole of it in its source, with any quotes.
    pub whole: Place,
    /// For each byte of the text and for its end, the offset inside `whole`; `None` where that is not known.
    offsets: Option<Vec<usize>>,
}

impl Text {
    /// A text that stands in its source as it is.
    pub fn plain(text: &str, whole: Place) -> Text {
        Text { text: text.to_owned(), whole, offsets: Some((0..=text.len()).collect()) }
    }

    /// The content of a TOML string that stands as `raw` in its source, quotes included.
    pub fn toml_string(text: &str, raw: &str, whole: Place) -> Text {
        Text { text: text.to_owned(), whole, offsets: toml_offsets(raw, text) }
    }

    /// The place of some bytes of the text.
    pub fn place(&self, range: Range<usize>) -> Place {
        match &self.offsets {
            Some(offsets) => self.whole.part(offsets[range.start]..offsets[range.end]),
            None => self.whole,
        }
    }

    /// The place of all of the text, without its quotes.
    pub fn content(&self) -> Place {
        self.place(0..self.text.len())
    }
}

/// Where each byte of a TOML string's content stands in the string as written.
fn toml_offsets(raw: &str, text: &str) -> Option<Vec<usize>> {
    let is_basic = raw.starts_with('"');
    let is_multiline = raw.len() >= 6 && (raw.starts_with("\"\"\"") || raw.starts_with("'''"));
    let quotes = if is_multiline { 3 } else { 1 };
    let end = raw.len().checked_sub(quotes)?;
    let mut at = quotes;
    if is_multiline {
        let rest = raw.get(at..)?;
        // The line break right after the opening quotes is not part of the content.
        at += ["\r\n", "\n"]
            .iter()
            .find(|newline| rest.starts_with(**newline))
            .map_or(0, |newline| newline.len());
    }
    let mut offsets = Vec::with_capacity(text.len() + 1);
    for c in text.chars() {
        at += continuation_len(raw.get(at..end)?, is_basic && is_multiline);
        offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
        at += char_len(raw.get(at..end)?, is_basic, c)?;
    }
    offsets.push(at);
    (at <= end && raw.is_char_boundary(at)).then_some(offsets)
}

/// Bytes of backslash line breaks, which a multi-line string drops together with the space after them.
fn continuation_len(raw: &str, allowed: bool) -> usize {
    let mut rest = raw;
    while allowed && rest.starts_with('\\') && rest[1..].starts_with([' ', '\t', '\r', '\n']) {
        rest = rest[1..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    raw.len() - rest.len()
}

/// Bytes that one character of the content takes as written.
fn char_len(raw: &str, is_basic: bool, c: char) -> Option<usize> {
    let mut written = raw.chars();
    match written.next()? {
        '\\' if is_basic => match written.next()? {
            'x' => Some(4),
            'u' => Some(6),
            'U' => Some(10),
            escaped => Some(1 + escaped.len_utf8()),
        },
        '\r' if c == '\n' => Some(2),
        plain => (plain == c).then_some(c.len_utf8()),
    }
}
