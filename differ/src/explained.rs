//! What was answered in a run, counted.

use std::collections::BTreeMap;
use std::fmt;

use crate::differences::Difference;
use crate::reply::Answer;
use crate::stream::Dialect;

/// What was answered, counted.
#[derive(Default)]
pub struct Explained {
    /// The same answers by their kind: the first word, or the binary opcode and status.
    pub answers: BTreeMap<String, u64>,
    /// Intended differences by name.
    pub differences: BTreeMap<&'static str, u64>,
}

impl Explained {
    pub(crate) fn count_difference(&mut self, difference: &Difference) {
        *self.differences.entry(difference.name).or_default() += 1;
    }

    /// Counts the first answer of a group.
    pub(crate) fn count_answer(&mut self, dialect: Dialect, answer: &Answer) {
        let kind = match (dialect, &answer.raw[..]) {
            (_, []) => "nothing".to_owned(),
            (Dialect::Binary, [_, opcode, _, _, _, _, high, low, ..]) => {
                format!("{opcode:02x}:{}", u16::from_be_bytes([*high, *low]))
            }
            (Dialect::Binary, _) => "cut".to_owned(),
            (_, raw) => {
                let line = raw.split(|&byte| byte == b'\n').next().unwrap_or(raw);
                let text = String::from_utf8_lossy(line);
                let word = text.trim_end().split(' ').next().unwrap_or_default();
                match word {
                    "CLIENT_ERROR" | "SERVER_ERROR" => text.trim_end().to_owned(),
                    word if word.bytes().all(|byte| byte.is_ascii_digit()) => "number".to_owned(),
                    word => word.to_owned(),
                }
            }
        };
        *self.answers.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: Vec<(&str, u64)>| {
            let words: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            words.join(", ")
        };
        let answers = self.answers.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let differences = self.differences.iter().map(|(name, count)| (*name, *count)).collect();
        writeln!(formatter, "  groups by their first answer: {}", list(answers))?;
        write!(formatter, "  intended differences: {}", list(differences))
    }
}
