//! Medians, targets, and whether they are met.

use std::fmt;

/// One measured number beside its target.
pub(crate) struct Verdict {
    what: String,
    measured: f64,
    unit: &'static str,
    target: Target,
    /// What is wished for beyond the target.
    aim: Option<f64>,
    sides: Option<Sides>,
    /// Digits behind the point; as many as the number's size asks for without.
    digits: Option<usize>,
    detail: String,
}

/// The two numbers a ratio was made from.
#[derive(Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) memcached: f64,
    pub(crate) larder: f64,
    pub(crate) unit: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Printed only.
    None,
}

impl Verdict {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str, target: Target) -> Self {
        Verdict {
            what: what.into(),
            measured,
            unit,
            target,
            aim: None,
            sides: None,
            digits: None,
            detail: String::new(),
        }
    }

    /// A row of a table: larder beside memcached.
    pub(crate) fn row(name: &str, ratio: f64, target: Target, sides: Sides) -> Self {
        Verdict { sides: Some(sides), ..Verdict::new(name, ratio, "", target) }
    }

    /// Prints so many digits behind the point.
    pub(crate) fn with_digits(mut self, digits: usize) -> Self {
        self.digits = Some(digits);
        self
    }

    /// Adds what is wished for.
    pub(crate) fn aiming_at(mut self, aim: f64) -> Self {
        self.aim = Some(aim);
        self
    }

    /// Adds what the number was made from.
    pub(crate) fn from(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.target.is_missed_by(self.measured)
    }

    /// Whether the measurement comes up to what is wished for.
    fn meets_aim(&self) -> Option<bool> {
        let aim = match self.target {
            Target::AtMost(_) => Target::AtMost(self.aim?),
            Target::AtLeast(_) | Target::None => Target::AtLeast(self.aim?),
        };
        Some(!aim.is_missed_by(self.measured))
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let (relation, target) = match self.target {
            Target::AtLeast(least) => (Some("at least"), Some(least)),
            Target::AtMost(most) => (Some("at most"), Some(most)),
            Target::None => (None, None),
        };
        serde_json::json!({
            "name": self.what,
            "measured": self.measured,
            "unit": self.unit.trim(),
            "memcached": self.sides.map(|sides| sides.memcached),
            "larder": self.sides.map(|sides| sides.larder),
            "sides_unit": self.sides.map(|sides| sides.unit.trim()),
            "target": target,
            "target_is": relation,
            "holds": target.map(|_| !self.is_missed()),
            "aim": self.aim,
            "aim_holds": self.meets_aim(),
            "detail": self.detail,
        })
    }

    /// A line of the table beside memcached.
    fn write_row(&self, sides: Sides, verdict: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side| format!("{}{}", number(side), sides.unit);
        let must = match self.target {
            Target::AtLeast(bound) | Target::AtMost(bound) => number(bound),
            Target::None => String::new(),
        };
        let (aim, reached) = match (self.aim, self.meets_aim()) {
            (Some(aim), Some(true)) => (number(aim), "reached"),
            (Some(aim), _) => (number(aim), ""),
            (None, _) => (String::new(), ""),
        };
        write!(
            f,
            "{verdict}  {:<22} memcached {:>12}  larder {:>12}  ratio {:>6}  must {must:>5}  aim {aim:>5} {reached:<8} {}",
            self.what,
            side(sides.memcached),
            side(sides.larder),
            number(self.measured),
            self.detail
        )
    }
}

impl Target {
    fn is_missed_by(self, measured: f64) -> bool {
        // A measurement that gave no number meets nothing.
        match self {
            Target::AtLeast(least) => measured.is_nan() || measured < least,
            Target::AtMost(most) => measured.is_nan() || measured > most,
            Target::None => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.target {
            Target::None => "    ",
            _ if self.is_missed() => "FAIL",
            _ => "PASS",
        };
        if let Some(sides) = self.sides {
            return self.write_row(sides, verdict, f);
        }
        let number = |value: f64| match self.digits {
            Some(digits) => format!("{value:.digits$}"),
            None => number(value),
        };
        let measured = format!("{}{}", number(self.measured), self.unit);
        let target = match self.target {
            Target::AtLeast(least) => format!("at least {}{}", number(least), self.unit),
            Target::AtMost(most) => format!("at most {}{}", number(most), self.unit),
            Target::None => String::new(),
        };
        write!(f, "{verdict}  {:<58} {measured:>12}  {target:<16} {}", self.what, self.detail)
    }
}

fn number(number: f64) -> String {
    if number.abs() >= 1000.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

/// The middle one.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// The median of the ratios of what was measured side by side.
pub(crate) fn median_ratio(upper: &[f64], lower: &[f64]) -> f64 {
    let ratios: Vec<f64> = upper.iter().zip(lower).map(|(upper, lower)| upper / lower).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(median_ratio(&[2.0, 9.0, 4.0], &[1.0, 3.0, 4.0]), 2.0);
    }

    #[test]
    fn targets() {
        let verdict = |measured, target| Verdict::new("rate", measured, "x", target);
        assert!(!verdict(0.8, Target::AtLeast(0.8)).is_missed());
        assert!(verdict(0.79, Target::AtLeast(0.8)).is_missed());
        assert!(verdict(1.06, Target::AtMost(1.05)).is_missed());
        assert!(verdict(f64::NAN, Target::AtMost(1.05)).is_missed());
        assert!(!verdict(9.0, Target::None).is_missed());
        assert!(verdict(0.5, Target::AtLeast(0.8)).to_string().starts_with("FAIL"));
    }

    #[test]
    fn rows_say_what_holds() {
        let sides = Sides { memcached: 4400.0, larder: 4000.0, unit: " ns" };
        let row = Verdict::row("get-32", 1.1, Target::AtLeast(1.05), sides).aiming_at(1.15);
        let line = row.to_string();
        for part in ["PASS", "4400 ns", "4000 ns", "1.10", "1.05", "1.15"] {
            assert!(line.contains(part), "{line:?} lacks {part}");
        }
        assert!(!line.contains("reached"), "{line}");
        let json = row.json();
        assert_eq!(json["holds"], true);
        assert_eq!(json["aim_holds"], false);
        assert_eq!(json["memcached"], 4400.0);
        let better = Verdict::row("get-32", 1.2, Target::AtLeast(1.05), sides).aiming_at(1.15);
        assert!(better.to_string().contains("reached"));
        let most = Verdict::row("idle", 0.9, Target::AtMost(1.0), sides).aiming_at(0.3);
        assert_eq!((most.is_missed(), most.meets_aim()), (false, Some(false)));
        assert_eq!(Verdict::new("rate", 1.0, "/s", Target::None).json()["holds"], serde_json::Value::Null);
    }
}
