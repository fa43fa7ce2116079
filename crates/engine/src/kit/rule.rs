//! The rules of the book that the kit watches over.

use std::fmt;

/// A rule, and where the book states it. Each is a heading of the chapter on writing an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// How a call is answered.
    Answers,
    /// What each command means.
    Meaning,
    /// In which order calls take effect.
    Order,
    /// What a CAS id is.
    CasIds,
    /// When an item is gone.
    Time,
    /// What a level claims.
    Levels,
    /// What an error says of what happened.
    Errors,
    /// What a worker may not do.
    Blocking,
    /// What a description and statistics say.
    Telling,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 9] = [
        Rule::Answers,
        Rule::Meaning,
        Rule::Order,
        Rule::CasIds,
        Rule::Time,
        Rule::Levels,
        Rule::Errors,
        Rule::Blocking,
        Rule::Telling,
    ];

    /// The heading it stands under.
    pub fn heading(self) -> &'static str {
        match self {
            Rule::Answers => "How a call is answered",
            Rule::Meaning => "What a command means",
            Rule::Order => "Order",
            Rule::CasIds => "CAS ids",
            Rule::Time => "Time",
            Rule::Levels => "Levels",
            Rule::Errors => "Errors",
            Rule::Blocking => "Blocking",
            Rule::Telling => "What an engine tells of itself",
        }
    }

    /// The page it stands on.
    pub const PAGE: &'static str = "docs/write-an-engine.md";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = self.heading().to_lowercase().replace(' ', "-");
        write!(f, "{}#{anchor}", Rule::PAGE)
    }
}
