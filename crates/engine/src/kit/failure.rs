//! What the kit says of an engine that fails.

use std::error::Error;
use std::fmt;

use super::diagnosis::Diagnosis;

/// One finding, in words an engine's author understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    text: String,
    diagnosis: Option<Diagnosis>,
}

/// What a check finds.
pub type Verdict = Result<(), Failure>;

impl Failure {
    /// A finding: what was asked, what was due, what came.
    pub fn new(text: impl Into<String>) -> Self {
        Failure { text: text.into(), diagnosis: None }
    }

    /// The same with what is wrong; the first diagnosis stays.
    pub fn because(self, diagnosis: Diagnosis) -> Self {
        Failure { diagnosis: self.diagnosis.or(Some(diagnosis)), ..self }
    }

    /// The same with a line before it that says where.
    pub fn within(self, place: &str) -> Self {
        Failure { text: format!("{place}: {}", self.text), ..self }
    }

    /// The same with lines behind it.
    pub(crate) fn followed_by(self, lines: &str) -> Self {
        Failure { text: format!("{}{lines}", self.text), ..self }
    }

    /// The same with what is wrong seen in another light.
    pub(crate) fn map_diagnosis(self, map: impl FnOnce(Diagnosis) -> Diagnosis) -> Self {
        Failure { diagnosis: self.diagnosis.map(map), ..self }
    }

    /// What was found.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong, if the finding tells.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.diagnosis
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnosis {
            None => f.write_str(&self.text),
            Some(diagnosis) => {
                let text = self.text.trim_end();
                write!(f, "{text}\n  diagnosis: {}\n  rule:      {}", diagnosis.sentence(), diagnosis.rule())
            }
        }
    }
}

impl Error for Failure {}

/// Fails a check unless `holds`.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure::new(text())) }
}

/// Fails a check for a reason unless `holds`.
pub(crate) fn require_or(diagnosis: Diagnosis, holds: bool, text: impl FnOnce() -> String) -> Verdict {
    require(holds, text).map_err(|failure| failure.because(diagnosis))
}
