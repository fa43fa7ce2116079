//! Outcomes as lines of text between two processes: words and numbers with spaces between, bytes in hexadecimal.

use std::fmt::Write as _;
use std::str::{FromStr, SplitAsciiWhitespace};

use larder_engine::kit::Outcome;
use larder_engine::kit::command::Certainty;
use larder_engine::{Deleted, Durability, ErrorKind, Expiry, Flushed, Found, Number, Stored, Token, Touched};

/// The line of an outcome, without what no audit looks at.
pub fn encode(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Missing => "missing".to_owned(),
        Outcome::Found(found, value) => {
            let Found { flags, cas, expiry, expiry_before, stale, token, .. } = found;
            let token = match token {
                Token::Free => "free",
                Token::Won => "won",
                Token::Taken => "taken",
            };
            let (expiry, before) = (expiry.raw(), expiry_before.raw());
            format!("found {flags} {cas} {expiry} {before} {stale} {token} {}", hexadecimal(value))
        }
        Outcome::Stored(Stored { cas, size, level, .. }) => format!("stored {cas} {size} {}", level.word()),
        Outcome::Deleted(Deleted { cas, level, .. }) => format!("deleted {cas} {}", level.word()),
        Outcome::Number(number) => {
            let Number {
                value, cas, flags, expiry, expiry_before, created, stale, token_taken, level, ..
            } = number;
            let (expiry, before, level) = (expiry.raw(), expiry_before.raw(), level.word());
            format!("number {value} {cas} {flags} {expiry} {before} {created} {stale} {token_taken} {level}")
        }
        Outcome::Touched(Touched { cas, flags, level, .. }) => {
            format!("touched {cas} {flags} {}", level.word())
        }
        Outcome::Flushed(Flushed { level }) => format!("flushed {}", level.word()),
        Outcome::Refused(kind, text) => {
            format!("refused {} {}", kind_word(*kind, outcome), hexadecimal(text.as_bytes()))
        }
        Outcome::Breach(text) => format!("breach {}", hexadecimal(text.as_bytes())),
        Outcome::Unanswered => "unanswered".to_owned(),
    }
}

/// The outcome of a line; `None` if it is none.
pub fn decode(line: &str) -> Option<Outcome> {
    let mut words = Words(line.split_ascii_whitespace());
    let outcome = match words.0.next()? {
        "missing" => Outcome::Missing,
        "found" => {
            let (flags, cas) = (words.parsed()?, words.parsed()?);
            let (expiry, expiry_before) = (words.expiry()?, words.expiry()?);
            let stale = words.parsed()?;
            let token = match words.0.next()? {
                "free" => Token::Free,
                "won" => Token::Won,
                "taken" => Token::Taken,
                _ => return None,
            };
            let found = Found { flags, cas, expiry, expiry_before, stale, token, ..Found::default() };
            Outcome::Found(found, words.bytes()?.into())
        }
        "stored" => {
            let (cas, size) = (words.parsed()?, words.parsed()?);
            Outcome::Stored(Stored { cas, size, level: words.level()?, version: 0 })
        }
        "deleted" => Outcome::Deleted(Deleted { cas: words.parsed()?, level: words.level()?, version: 0 }),
        "number" => Outcome::Number(Number {
            value: words.parsed()?,
            cas: words.parsed()?,
            flags: words.parsed()?,
            expiry: words.expiry()?,
            expiry_before: words.expiry()?,
            created: words.parsed()?,
            stale: words.parsed()?,
            token_taken: words.parsed()?,
            level: words.level()?,
            version: 0,
        }),
        "touched" => {
            let (cas, flags) = (words.parsed()?, words.parsed()?);
            Outcome::Touched(Touched { cas, flags, level: words.level()?, version: 0 })
        }
        "flushed" => Outcome::Flushed(Flushed { level: words.level()? }),
        "refused" => Outcome::Refused(words.kind()?, words.text()?),
        "breach" => Outcome::Breach(words.text()?),
        "unanswered" => Outcome::Unanswered,
        _ => return None,
    };
    words.0.next().is_none().then_some(outcome)
}

/// Kinds an audit tells apart; of the others it matters only whether anything may have changed.
const KINDS: [(&str, ErrorKind); 5] = [
    ("not_found", ErrorKind::NotFound),
    ("exists", ErrorKind::Exists),
    ("not_stored", ErrorKind::NotStored),
    ("too_large", ErrorKind::TooLarge),
    ("not_numeric", ErrorKind::NotNumeric),
];

fn kind_word(kind: ErrorKind, outcome: &Outcome) -> &'static str {
    match KINDS.iter().find(|(_, known)| *known == kind) {
        Some((word, _)) => word,
        None if outcome.certainty() == Certainty::NothingHappened => "nothing_happened",
        None => "unknown",
    }
}

struct Words<'a>(SplitAsciiWhitespace<'a>);

impl Words<'_> {
    fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn expiry(&mut self) -> Option<Expiry> {
        self.parsed().map(Expiry::from_raw)
    }

    fn level(&mut self) -> Option<Durability> {
        let word = self.0.next()?;
        let levels = [Durability::Ram, Durability::Queued, Durability::Local, Durability::Committed];
        levels.into_iter().find(|level| level.word() == word)
    }

    fn kind(&mut self) -> Option<ErrorKind> {
        match self.0.next()? {
            "nothing_happened" => Some(ErrorKind::TryAgain),
            "unknown" => Some(ErrorKind::OutcomeUnknown),
            word => KINDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind),
        }
    }

    /// Bytes behind an `x`, so that none is a word too.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let digits = self.0.next()?.strip_prefix('x').filter(|digits| digits.len() % 2 == 0)?;
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(1 + 2 * bytes.len());
    text.push('x');
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_comes_back_and_what_is_cut_short_does_not() {
        let (expiry, expiry_before) = (Expiry::at(9), Expiry::NEVER);
        let (level, version) = (Durability::Local, 0);
        let found = Found {
            flags: 7,
            cas: u64::MAX,
            expiry,
            expiry_before,
            stale: true,
            token: Token::Won,
            ..Found::default()
        };
        let (value, cas, flags, created, stale, token_taken) = (5, 6, 8, true, false, true);
        let number =
            Number { value, cas, flags, expiry, expiry_before, created, stale, token_taken, level, version };
        let outcomes = [
            Outcome::Missing,
            Outcome::Found(found, vec![0u8, 255, b' ', b'\n'].into()),
            Outcome::Found(found, Vec::new().into()),
            Outcome::Stored(Stored { cas, size: 3, level, version }),
            Outcome::Deleted(Deleted { cas, level: Durability::Ram, version }),
            Outcome::Number(number),
            Outcome::Touched(Touched { cas, flags, level: Durability::Committed, version }),
            Outcome::Flushed(Flushed { level: Durability::Queued }),
            Outcome::Refused(ErrorKind::NotStored, "not stored".into()),
            Outcome::Refused(ErrorKind::OutcomeUnknown, String::new()),
            Outcome::Refused(ErrorKind::TryAgain, "full".into()),
            Outcome::Breach("a breach\nof two lines".into()),
            Outcome::Unanswered,
        ];
        for outcome in outcomes {
            let line = encode(&outcome);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(decode(&line).as_ref(), Some(&outcome), "{line}");
            assert_eq!(decode(&format!("{line} more")), None);
        }
        assert_eq!(decode(""), None);
        assert_eq!(decode("stored 5 3"), None);
        assert_eq!(decode("found 7 5 0 0 true won x0"), None);
    }

    #[test]
    fn a_kind_no_audit_tells_apart_keeps_its_certainty() {
        for (kind, certainty) in [
            (ErrorKind::Unavailable, Certainty::NothingHappened),
            (ErrorKind::Internal, Certainty::Unknown),
            (ErrorKind::Foreign(7), Certainty::Unknown),
        ] {
            let outcome = decode(&encode(&Outcome::Refused(kind, "?".into()))).expect("it is an outcome");
            assert_eq!(outcome.certainty(), certainty);
        }
    }
}
