//! What the kit says of an engine that fails.

use std::error::Error;
use std::fmt;

/// One finding, in words an engine's author understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    text: String,
}

/// What a check finds.
pub type Verdict = Result<(), Failure>;

impl Failure {
    /// A finding.
    pub fn new(text: impl Into<String>) -> Self {
        Failure { text: text.into() }
    }

    /// The same with a line before it that says where.
    pub fn within(self, place: &str) -> Self {
        Failure { text: format!("{place}: {}", self.text) }
    }

    /// What was found.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}

/// Fails a check unless `holds`.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure::new(text())) }
}
